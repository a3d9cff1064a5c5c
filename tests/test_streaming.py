"""A stream of frames ends in the prediction of the batch, whatever came late, twice or never; what
it holds is bounded; what cannot be a frame is refused and changes nothing."""

import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fsrf
from fsrf.core import FsrfError, seeded
from fsrf.data import load_dataset
from fsrf.methods import build
from fsrf.methods.checkpoint import training_facts
from fsrf.training import Predictor, StreamingPredictor, TrainConfig, calibrate, fit

SMALL = dict(width=8, heads=2, layers=1)
PLANTED = "synthetic-quick?sizes=[60,20,20]"
WIDTH = dict(language=32, audio=16, visual=8)
LONGEST = 12


def knowing(name, method="fsrf", config=SMALL, **facts):
    "An untrained network that knows its data: any weights will do"
    ds = load_dataset(name)
    with seeded("streaming", method):
        net = build(method, config, ds.spec)
    parts = ds.parts()
    net.meta = training_facts(parts["train"], parts["valid"], seed=0, settings={}) | facts
    return Predictor(net, "cpu")


@pytest.fixture(scope="module")
def model():
    "A trained and calibrated one"
    ds = load_dataset(PLANTED)
    with seeded("streaming"):
        net = build("fsrf", SMALL, ds.spec)
    parts = ds.parts()
    how = TrainConfig(epochs=1, batch_size=32)
    fit(net, parts["train"], parts["valid"], how, seed=0, device="cpu", progress=False)
    calibrate(net, parts["valid"], device="cpu")
    return Predictor(net, "cpu")


@pytest.fixture(scope="module")
def aligned():
    return knowing(PLANTED + "&common_length=true", aligned=True)


def frames_of(n, m="audio", seed=0):
    return np.random.default_rng(seed).standard_normal((n, WIDTH[m])).astype("f4")


def same(stream, model, recording, **options):
    "The stream's row is the batch's, to the bit"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* no frame left")
        known = model.predict({m: [x] for m, x in recording.items()}, **options)
    pd.testing.assert_frame_equal(stream.predict(**options), known, check_exact=True)


# --- equal to the batch ---------------------------------------------------------------------------


@st.composite
def arrivals(draw, longest):
    """({modality: frames (T, d) with zeros in the gaps}, events (modality, position, frame)) in an
    order that is not theirs, some twice, some with other values before the last ones"""
    recording, events = {}, []
    g = np.random.default_rng(draw(st.integers(0, 2**32)))
    for m, d in WIDTH.items():
        n = draw(st.integers(0, longest))
        x = g.standard_normal((n, d)).astype("f4")
        x[g.random(n) < draw(st.sampled_from([0, 0.3, 1]))] = 0
        recording[m] = x if n else None
        for position, frame in enumerate(x):
            # the last frame always comes, perhaps as one that is missing
            if frame.any() or position == n - 1 or g.random() < 0.3:
                events += [(m, position, frame)] * int(g.integers(1, 3))
    order = g.permutation(len(events))
    events = [events[i] for i in order]
    wrong = [(m, p, f + 1) for m, p, f in events if f.any() and g.random() < 0.1]
    return recording, wrong + events


@settings(max_examples=40, deadline=None)
@given(arrivals(LONGEST))
def test_any_order_ends_in_the_prediction_of_the_batch(model, case):
    recording, events = case
    stream = StreamingPredictor(model)
    for i, (m, position, frame) in enumerate(events):
        stream.push(m, frame, at=position)
        if i % 7 == 0:
            stream.predict()  # what is asked in between leaves nothing behind
    if any(x is not None for x in recording.values()):
        same(stream, model, recording)
    same(stream, model, {m: None for m in WIDTH} | stream_window(stream))


def stream_window(stream):
    return {m: x for m, (x,) in stream.window().items()}


@settings(max_examples=25, deadline=None)
@given(arrivals(5 * LONGEST))
def test_a_long_stream_counts_its_last_frames(model, case):
    recording, events = case
    stream = StreamingPredictor(model)
    for m, position, frame in events:
        stream.push(m, frame, at=position)
    last = {m: None if x is None else x[-LONGEST:] for m, x in recording.items()}
    if any(x is not None for x in last.values()):
        same(stream, model, last)
        same(stream, model, last, without="audio")


@settings(max_examples=25, deadline=None)
@given(arrivals(2 * LONGEST))
def test_aligned_sequences_have_one_clock(aligned, case):
    recording, events = case
    stream = StreamingPredictor(aligned)
    for m, position, frame in events:
        stream.push(m, frame, at=position)
    end = max((len(x) for x in recording.values() if x is not None), default=0)
    if not end:
        return
    whole = {}
    for m, x in recording.items():
        whole[m] = None if x is None else np.zeros((end, WIDTH[m]), "f4")
        if x is not None:
            whole[m][: len(x)] = x
            whole[m] = whole[m][-LONGEST:]
    same(stream, aligned, whole)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32))
def test_times_are_positions_in_seconds(model, n, seed):
    g = np.random.default_rng(seed)
    rate = dict(language=2.5, audio=30, visual=25)
    x = {m: frames_of(n, m, seed) for m in WIDTH}
    timed, placed = StreamingPredictor(model, rate=rate), StreamingPredictor(model)
    for m in g.permutation([*WIDTH]):
        jitter = g.uniform(-0.49, 0.49, n) / rate[m]
        order = g.permutation(n)
        timed.push(m, x[m][order], at=(np.arange(n) / rate[m] + jitter)[order])
        placed.push(m, x[m], at=0)
    now = (n - 1) / rate["language"]  # the slowest is the last
    for m, (left,) in timed.window().items():
        end = int(np.floor(now * rate[m] + 1e-6)) + 1
        whole = np.zeros((end, WIDTH[m]), "f4")
        whole[:n] = x[m]
        np.testing.assert_array_equal(left, whole[-LONGEST:])
    same(timed, model, stream_window(timed))
    same(placed, model, {m: v[-LONGEST:] for m, v in x.items()})


TASKS = (
    'task="multiclass"&n_classes=3',
    'task="multilabel-binary"&n_classes=3',
    'task="regression"',
)


@pytest.mark.parametrize("task", TASKS)
def test_all_tasks(task):
    model = knowing(f"{PLANTED}&{task}")
    stream, recording = StreamingPredictor(model), {m: frames_of(7, m) for m in WIDTH}
    for m, x in recording.items():
        stream.push(m, x)
    same(stream, model, recording)
    for nothing in ("prior", "nan"):
        row = StreamingPredictor(model).predict(nothing=nothing)
        with pytest.warns(UserWarning, match="no frame left"):
            known = model.predict({"audio": [np.zeros((3, 16))]}, nothing=nothing)
        columns = [c for c in row if c not in ("id", "share_seen")]
        pd.testing.assert_frame_equal(row[columns], known[columns], check_exact=True)


METHODS = "plain_mrm mult tfr_net umdf lnln zero_input language_only majority".split()


@pytest.mark.parametrize("method", METHODS)
def test_other_methods(method):
    "Some encode each modality alone, some do not, some have no encoders"
    config = dict(majority={}, mult=dict(width=8, heads=2)).get(method, SMALL)
    model = knowing(PLANTED, method, config)
    stream, recording = StreamingPredictor(model), {m: frames_of(9, m) for m in WIDTH}
    for part in (slice(0, 4), slice(4, 9)):
        for m, x in recording.items():
            stream.push(m, x[part])
            stream.predict()
    same(stream, model, recording)
    same(stream, model, recording, without=["audio"])
    same(stream, model, recording, without=[*WIDTH])


@pytest.fixture(scope="module")
def mixed():
    "A sequence, and a vector of each sample"
    return knowing(PLANTED + "&lengths=[1,12,12]")


def test_a_vector_comes_whole(mixed):
    words, voice = frames_of(1, "language"), frames_of(30)
    stream = StreamingPredictor(mixed)
    assert stream.push("language", words[0] + 1) == 1
    stream.push("audio", voice)
    assert stream.push("language", words) == 1  # a correction
    assert stream.push("language", words[0]) == 0
    assert stream.push("language", None) == 0
    same(stream, mixed, dict(language=words, audio=voice[-LONGEST:]))
    with pytest.raises(FsrfError, match="a vector has no position"):
        stream.push("language", words[0], at=0)
    with pytest.raises(FsrfError, match=r"(?s)wrong shape of frames.*'language'.*\(32,\)"):
        stream.push("language", frames_of(2, "language"))


# --- what is kept ---------------------------------------------------------------------------------


def test_only_what_changed_is_encoded_anew(mixed, aligned):
    def counted(model):
        calls = []
        for m, encoder in model.method.encoders.items():
            encoder.register_forward_hook(lambda *_, m=m: calls.append(m))
        return StreamingPredictor(model), calls

    stream, calls = counted(mixed)
    stream.push("language", frames_of(1, "language"))
    for i, frame in enumerate(frames_of(20)):
        stream.push("audio", frame)
        stream.push("audio", frame, at=i)  # twice
        stream.predict()
        stream.predict(without="audio")
    assert calls.count("audio") == 20 + 12  # 20 new windows; nothing, at 12 lengths
    assert calls.count("language") == calls.count("visual") == 1
    stream.push("audio", frames_of(1), at=2)  # too old to be seen
    stream.predict()
    assert len(calls) == 20 + 12 + 2

    stream, calls = counted(aligned)
    stream.push("audio", frames_of(40))
    stream.push("visual", frames_of(12, "visual"), at=28)
    stream.predict()
    before = len(calls)
    stream.push("audio", frames_of(1, seed=1)[0])  # the common window moves on
    stream.predict()
    assert calls[before:] == ["audio", "visual"]


def held(thing, seen=None):
    "Bytes of the numbers, and the number of objects, that something holds; not those of the model"
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (Predictor, type, str, int, float)):
        return np.zeros(2, int)
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        return np.array([thing.untyped_storage().nbytes(), 1])
    if isinstance(thing, np.ndarray):
        return np.array([thing.nbytes, 1])
    parts = [*thing.values()] if isinstance(thing, dict) else []
    parts += [*thing] if isinstance(thing, (dict, list, tuple, set)) else []
    if hasattr(thing, "__dict__"):
        parts.append(vars(thing))
    return sum((held(part, seen) for part in parts), np.array([0, 1]))


@pytest.mark.parametrize("clock", ["own", "common"])
def test_memory_does_not_grow(model, clock):
    stream = StreamingPredictor(model, rate=None if clock == "own" else 30)

    def go_on(frames):
        for i in frames:
            for m in WIDTH:
                if m != "visual" or i % 100 < 50:
                    stream.push(m, x[m] + i / 1000, at=i if clock == "own" else i / 30)
            if i < 20 or i % 10 == 0:
                stream.predict()
                stream.predict(without="language")

    x = {m: frames_of(1, m)[0] for m in WIDTH}
    go_on(range(120))
    before = held(stream)
    go_on(range(120, 720))
    assert (held(stream) <= before).all()
    windows = sum(LONGEST * 4 * d for d in WIDTH.values())
    assert before[0] < 8 * windows


def test_the_callers_array_is_not_kept(model):
    stream, x = StreamingPredictor(model), frames_of(4)
    for array in (x, torch.from_numpy(x)):
        stream.push("audio", array, at=0)
    known = x.copy()
    x[:] = 0
    stream.window()["audio"][0][:] = 7
    same(stream, model, dict(audio=known))


def test_sensors_may_push_from_their_own_threads(model):
    stream = StreamingPredictor(model)
    recording = {m: frames_of(200, m) for m in WIDTH}

    def sensor(m):
        for i, frame in enumerate(recording[m]):
            stream.push(m, frame, at=i)

    sensors = [threading.Thread(target=sensor, args=(m,)) for m in WIDTH]
    for s in sensors:
        s.start()
    while any(s.is_alive() for s in sensors):
        stream.predict()
    for s in sensors:
        s.join()
    same(stream, model, {m: x[-LONGEST:] for m, x in recording.items()})


# --- going and coming back ------------------------------------------------------------------------


def test_a_modality_is_dropped_and_comes_back(model):
    recording = {m: frames_of(10, m) for m in WIDTH}
    stream = StreamingPredictor(model)
    for m, x in recording.items():
        stream.push(m, x)
    stream.drop("language")
    same(stream, model, recording | dict(language=np.zeros((10, 32), "f4")))
    stream.push("language", recording["language"][6], at=6)
    back = np.zeros((10, 32), "f4")
    back[6] = recording["language"][6]
    same(stream, model, recording | dict(language=back))
    same(stream, model, recording | dict(language=back), calibrated=False)
    stream.push("language", recording["language"], at=0)
    same(stream, model, recording)


def test_a_silent_modality_leaves_a_common_window(aligned):
    stream = StreamingPredictor(aligned)
    for m in WIDTH:
        stream.push(m, frames_of(12, m))
    stream.push("audio", frames_of(11, seed=1))
    assert stream.predict().seen[0] == "language+audio+visual"
    stream.push("audio", None)  # time passes with frames that are missing, too
    assert stream.predict().seen[0] == "audio"
    assert stream.push("visual", frames_of(1, "visual"), at=11) == 0
    assert stream.counts["visual"]["old"] == 1
    stream.push("visual", frames_of(1, "visual"), at=23)
    assert stream.predict().seen[0] == "audio+visual"


def test_a_missing_frame_replaces_nothing(model):
    x = frames_of(5)
    stream = StreamingPredictor(model, nonfinite="missing")
    stream.push("audio", x)
    worse = x.copy()
    worse[1] = 0
    worse[2, 3] = np.nan
    worse[4] = np.inf
    assert stream.push("audio", worse, at=0) == 0
    assert stream.push("audio", None, at=3) == 0
    same(stream, model, dict(audio=x))
    assert stream.counts["audio"] == dict(new=5, repeated=2, replaced=0, old=0, missing=4)


def test_other_units_are_told_once(model):
    stream = StreamingPredictor(model)
    stream.push("audio", 1000 + 500 * frames_of(1))
    with pytest.warns(UserWarning, match="audio: most columns lie more than") as caught:
        stream.predict()
    assert caught[0].filename == __file__
    stream.push("audio", 1000 + 500 * frames_of(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream.predict()


# --- what is refused ------------------------------------------------------------------------------

GOOD = frames_of(3)
BAD = {
    "unknown modality": (dict(modality="voice"), "unknown modality.*'voice'"),
    "no name": (dict(modality=["audio"]), "unknown modality"),
    "width": (dict(frames=GOOD[:, :9]), "another width.*'audio'.*16 columns.*9"),
    "no width": (dict(frames=3.0), "another width.*'audio'"),
    "axes": (dict(frames=GOOD[None]), r"wrong shape.*'audio'.*\(n, 16\).*1, 3, 16"),
    "words": (dict(frames=["a"] * 16), "not an array of numbers.*'audio'"),
    "NaN": (dict(frames=np.where(np.arange(3)[:, None] == 1, np.nan, GOOD)), "NaN.*frame 1 of"),
    "too large for float32": (dict(frames=GOOD.astype(float) * 1e300), "NaN or infinity.*'audio'"),
    "negative": (dict(at=-1), "negative position.*'audio'.*-1"),
    "one negative": (dict(at=[3, 4, -2]), "negative position"),
    "huge": (dict(at=10**9), "far ahead.*'audio'.*1000000000"),
    "larger than any integer": (dict(at=10**30), "far ahead.*'audio'"),
    "larger than any float": (dict(at=10**400), "no number.*'audio'"),
    "NaN position": (dict(at=np.nan), "no finite number.*'audio'"),
    "infinite position": (dict(at=[0, 1, np.inf]), "no finite number"),
    "half": (dict(at=1.5), "between two frames.*'audio'.*rate"),
    "words as positions": (dict(at="3"), "no number.*'audio'"),
    "truth as position": (dict(at=True), "no number.*'audio'"),
    "ragged": (dict(at=[[1], [2, 3]]), "no number.*'audio'"),
    "too few positions": (dict(at=[1, 2]), "not a position a frame.*'audio'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_push_is_refused_and_changes_nothing(model, name):
    wrong, told = BAD[name]
    stream = StreamingPredictor(model)
    stream.push("audio", frames_of(4, seed=1))
    row, counts = stream.predict(), stream.counts
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FsrfError, match=f"(?s){told}"):
            stream.push(**(dict(modality="audio", frames=GOOD, at=2) | wrong))
    assert stream.counts == counts
    assert stream.predict().equals(row)
    stream.push("audio", GOOD)  # follows frame 3: nothing has moved
    same(stream, model, dict(audio=np.concatenate([frames_of(4, seed=1), GOOD])))


def test_times_that_are_none(model):
    for wrong in (-1, -0.5, 1e9, 1e300, np.nan):
        with pytest.raises(FsrfError, match="'audio'"):
            StreamingPredictor(model, rate=30).push("audio", GOOD[0], at=wrong)
    assert StreamingPredictor(model, rate=30).push("audio", GOOD[0], at=-0.01) == 1
    assert StreamingPredictor(model, ahead=10**10).push("audio", GOOD[0], at=10**9) == 1


def test_options_that_mean_nothing(model, aligned):
    for options, told in (
        (dict(rate=0), "rate that is none"),
        (dict(rate=True), "rate that is none"),
        (dict(rate=dict(audio="30")), "rate that is none.*'audio'"),
        (dict(rate=dict(speech=30)), "unknown sequence.*'speech'"),
        (dict(nonfinite="mean"), "nonfinite"),
    ):
        with pytest.raises(FsrfError, match=f"(?s){told}"):
            StreamingPredictor(model, **options)
    with pytest.raises(FsrfError, match="different rates of aligned sequences"):
        StreamingPredictor(aligned, rate=dict(audio=30, visual=25))
    with pytest.raises(FsrfError, match="no trained model"):
        StreamingPredictor(model.method)
    for options in (dict(without="voice"), dict(nothing="zero")):
        with pytest.raises(FsrfError):
            StreamingPredictor(model).predict(**options)
    with pytest.raises(FsrfError, match="unknown modality"):
        StreamingPredictor(model).drop("voice")


def test_it_is_at_the_front_door():
    assert fsrf.StreamingPredictor is StreamingPredictor
    assert "StreamingPredictor" in dir(fsrf)
