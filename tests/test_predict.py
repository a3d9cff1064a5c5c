"""Prediction from raw features: as the evaluation to the bit, whatever is missing, and what cannot
be known is said."""

import copy
import dataclasses
import json
import struct
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from test_cli import call

import fsrf
from fsrf.cli import main as cli
from fsrf.core import FsrfError, seeded
from fsrf.data import column_statistics, load_dataset
from fsrf.evaluation import Sweep, evaluate_rows, example_rows, score
from fsrf.evaluation.evaluate import EvalConfig
from fsrf.methods import build, load_method, save_method
from fsrf.missing import Condition, inter_conditions
from fsrf.training import Predictor, TrainConfig, as_samples, fit, scale_faults

SMALL = dict(width=8, heads=2, layers=1)
PLANTED = "synthetic-quick?sizes=[90,30,100]"
CASES = {
    "binary": PLANTED,
    "multiclass": PLANTED + '&task="multiclass"&n_classes=3',
    "multilabel": PLANTED + '&task="multilabel-binary"&n_classes=3',
    "regression": PLANTED + '&task="regression"',
}


def trained(name, method="fsrf", config=SMALL):
    ds = load_dataset(name)
    with seeded("test", method):
        net = build(method, config, ds.spec)
    parts = ds.parts()
    how = TrainConfig(epochs=1, batch_size=32)
    fit(net, parts["train"], parts["valid"], how, seed=0, device="cpu", progress=False)
    return ds, net, Predictor(net, "cpu")


@pytest.fixture(scope="module")
def binary():
    return trained(CASES["binary"])


@pytest.fixture(scope="module")
def raw(binary):
    "The test part as it was measured"
    return binary[0].parts(scale=False)["test"]


@pytest.fixture
def file(binary, tmp_path):
    return binary[2].save(tmp_path / "model.safetensors")


def logits(net, ds, left):
    "What the evaluation of the standardised test part gives"
    every = inter_conditions(ds.spec.names)
    return Sweep(ds.parts()["test"], every, split="test").logits(net)[every.index(left)]


def quietly(model, samples, **options):
    "The table; a warning is an error"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return model.predict(samples, **options)


# --- the same as the evaluation -------------------------------------------------------------------


@pytest.mark.parametrize("task", CASES)
def test_a_prediction_is_that_of_the_evaluation(task, tmp_path):
    ds, net, model = trained(CASES[task])
    model = fsrf.load(model.save(tmp_path / "m.safetensors"), "cpu")
    test = ds.parts(scale=False)["test"]
    for left in inter_conditions(ds.spec.names):
        gone = [m for m in ds.spec.names if m not in left.subset]
        table, known = quietly(model, test, without=gone), logits(net, ds, left)
        if task == "regression":
            assert list(table.columns) == ["id", "value", "seen", "share_seen"]
            np.testing.assert_array_equal(table.value, known[:, 0])
            continue
        p = known.softmax(-1)[..., 1] if task == "multilabel" else known.softmax(-1)
        names = [f"p({name})" for name in ds.class_names]
        assert list(table.columns) == ["id", "label", *names, "seen", "share_seen"]
        np.testing.assert_array_equal(table[names], p)
        if task != "multilabel":
            assert table.label.tolist() == [ds.class_names[k] for k in known.argmax(-1)]
    assert list(table.id) == test.ids and set(table.seen) == {"language+audio+visual"}
    if task == "multilabel":
        told = [set(filter(None, text.split(", "))) for text in table.label]
        assert told == [
            {n for n, k in zip(ds.class_names, row) if k} for row in known.argmax(-1).tolist()
        ]


@pytest.mark.parametrize("method", ["plain_mrm", "ridge_subset", "majority"])
def test_other_methods_predict_as_evaluated(method):
    ds, net, model = trained(PLANTED, method, SMALL if method == "plain_mrm" else {})
    known = logits(net, ds, Condition("inter", ("language", "visual"))).softmax(-1)
    table = quietly(model, ds.parts(scale=False)["test"], without="audio")
    np.testing.assert_array_equal(table[["p(negative)", "p(positive)"]], known)


def test_a_sample_alone_gets_the_answer_it_gets_among_others(binary, raw):
    ds, _, model = binary
    for without in ((), "language", ("audio", "visual")):
        whole = model.predict(raw, without=without)["p(positive)"].to_numpy()
        ones = [model.predict(raw.select([i]), without=without) for i in range(0, 100, 9)]
        alone = [table["p(positive)"][0] for table in ones]
        np.testing.assert_allclose(alone, whole[::9], rtol=0, atol=1e-5)
    some = model.predict(raw.select(np.arange(100)[::-1]))["p(positive)"].to_numpy()
    np.testing.assert_allclose(some[::-1], model.predict(raw)["p(positive)"], rtol=0, atol=1e-5)


def test_a_part_that_is_standardised_already_is_not_standardised_again(binary, raw):
    ds, _, model = binary
    parts = ds.parts()
    pd.testing.assert_frame_equal(quietly(model, parts["test"]), quietly(model, raw))
    few = parts["test"].select([4, 2])
    np.testing.assert_allclose(
        model.predict(few)["p(positive)"], model.predict(raw)["p(positive)"][[4, 2]], atol=1e-6
    )
    other = load_dataset(PLANTED + "&seed=1").parts()["test"]
    with pytest.raises(FsrfError, match="other statistics"):
        model.predict(other)


def test_a_network_that_was_trained_on_raw_columns_gets_raw_columns(tmp_path):
    ds = load_dataset(PLANTED)
    parts = ds.parts(scale=False)
    with seeded("raw"):
        net = build("fsrf", SMALL, ds.spec)
    how = TrainConfig(epochs=1, batch_size=32)
    fit(net, parts["train"], parts["valid"], how, seed=0, device="cpu", progress=False)
    model = fsrf.load(Predictor(net).save(tmp_path / "m.safetensors"), "cpu")
    known = Sweep(parts["test"], [Condition("inter", ds.spec.names)], split="test").logits(net)[0]
    table = quietly(model, parts["test"])
    np.testing.assert_array_equal(table["p(positive)"], known.softmax(-1)[:, 1])
    with pytest.warns(UserWarning, match="language: most columns lie"):
        model.predict(dict(parts["test"].x, language=parts["test"].x["language"] * 100))
    with pytest.raises(FsrfError, match="other statistics"):
        model.predict(ds.parts()["test"])


# --- shapes of samples ----------------------------------------------------------------------------


def as_lists(ds):
    return {m: [v[:k] for v, k in zip(ds.x[m], ds.length[m])] for m in ds.x}


def test_arrays_lists_and_dicts_are_one_thing(binary, raw):
    model, known = binary[2], binary[2].predict(raw)["p(positive)"]
    lists = as_lists(raw)
    dicts = [{m: torch.tensor(lists[m][i]) for m in lists} for i in range(len(raw))]
    padded = {m: np.pad(v, ((0, 0), (0, 5), (0, 0))) for m, v in raw.x.items()}
    for samples in (dict(raw.x), lists, dicts, {m: v.astype(float) for m, v in padded.items()}):
        table = quietly(model, samples)
        np.testing.assert_allclose(table["p(positive)"], known, rtol=0, atol=1e-6)
        assert table.id.tolist() == [str(i) for i in range(100)]
    assert quietly(model, lists, ids=raw.ids).id.tolist() == raw.ids


@pytest.mark.parametrize("method", ["fsrf", "plain_mrm"])
def test_aligned_sequences_share_a_length_also_where_one_is_missing(method):
    ds, net, model = trained(PLANTED + "&common_length=true", method)
    assert model.meta["aligned"]
    test = ds.parts(scale=False)["test"]
    known = logits(net, ds, Condition("inter", ("audio", "visual"))).softmax(-1)[:, 1]
    for samples in (dict(test.x), as_lists(test)):
        del samples["language"]
        np.testing.assert_array_equal(quietly(model, samples)["p(positive)"], known)
    x = dict(test.x, visual=test.x["visual"].copy())
    x["visual"][:, 3:] = 0  # dark at the end: these frames are missing, not padding
    share = model.predict(x).share_seen
    np.testing.assert_allclose(share, (2 + 3 / test.length["visual"]) / 3)


def test_vectors_are_predicted_as_evaluated():
    ds, net, model = trained("synthetic-quick?sizes=[90,30,200]&lengths=[1,12,1]")
    test = ds.parts(scale=False)["test"]
    flat = {m: v[:, 0] if v.shape[1] == 1 else v for m, v in test.x.items()}
    known = Sweep(ds.parts()["test"], EvalConfig().conditions(ds.spec.names), split="test")
    row = known.conditions.index(Condition("inter", ds.spec.names))
    p = known.logits(net)[row].softmax(-1)[:, 1]
    np.testing.assert_array_equal(quietly(model, flat)["p(positive)"], p)
    with pytest.raises(FsrfError, match=r"'language'(.*\n)*.*\(samples, width\)"):
        model.predict(dict(language=np.ones((2, 3, 32))))


def test_what_is_missing_is_told_per_sample(binary, raw):
    model, lists = binary[2], as_lists(raw)
    lists["language"][0] = None
    lists["audio"][0] = np.zeros((0, 16))
    lists["visual"][1] = lists["visual"][1].copy()
    lists["visual"][1][0] = 0
    table = quietly(model, lists)
    assert table.seen[0] == "visual" and table.share_seen[0] == pytest.approx(1 / 3)
    n = len(lists["visual"][1])
    assert table.share_seen[1] == pytest.approx((2 + (n - 1) / n) / 3)
    assert (table.share_seen[2:] == 1).all()
    same = model.predict(raw.select([0]), without=("language", "audio"))
    assert table["p(positive)"][0] == pytest.approx(same["p(positive)"][0], abs=1e-5)
    lacking = {m: v for m, v in lists.items() if m != "audio"}
    assert quietly(model, lacking).seen[3] == "language+visual"


def test_what_is_longer_than_in_training_is_cut_and_said(binary, raw):
    model, x = binary[2], {m: v.copy() for m, v in raw.x.items()}
    x["audio"] = np.concatenate([x["audio"], np.ones((100, 8, 16), np.float32)], 1)
    with pytest.warns(UserWarning, match="audio: 100 samples are longer than 12 frames"):
        table = model.predict(x, length=dict(audio=np.full(100, 20)))
    assert (table.share_seen < 1).all()
    cut = dict(x, audio=x["audio"][:, :12])
    np.testing.assert_array_equal(
        table["p(positive)"], model.predict(cut, length=dict(audio=[12] * 100))["p(positive)"]
    )


def test_no_samples_give_no_rows(binary):
    for samples in (dict(language=np.zeros((0, 12, 32)), audio=[]), []):
        table = quietly(binary[2], samples)
        assert len(table) == 0 and "p(positive)" in table


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (dict(text=np.ones((2, 3, 4))), "does not know.*\n.*language, audio, visual\n.*text"),
        (dict(audio=np.ones((2, 3, 17))), "modality 'audio'\n.*16 columns.*\n.*17"),
        (dict(audio=[np.ones((3, 16)), np.ones((3, 15))]), "'audio'\n.*\n.*15 in sample 1"),
        (dict(audio=np.ones((3, 3, 16))), "unequal numbers of samples\n.*'audio': 3"),
        (dict(audio=np.ones((2, 16))), "'audio'\n(.*\n)*.*x\\[None\\]"),
        (dict(audio=np.ones((2, 3, 4, 16))), "wrong shape"),
        (dict(audio="loud"), "no array and no list"),
        (dict(audio=[["a"], ["b"]]), "not an array of numbers"),
        (dict(audio=np.full((2, 3, 16), 1e300)), "NaN or infinity"),
        (dict(audio=np.full((2, 3, 16), 1j)), "not an array of numbers\n.*'audio'\n.*complex"),
        (dict(audio=np.full((2, 3, 16), "2026", "datetime64[D]")), "not an array of numbers"),
        (dict(audio=np.ma.masked_less(np.ones((2, 3, 16)), 2)), "masked array\n(.*\n)*.*filled"),
    ],
)
def test_what_does_not_fit_is_named(binary, raw, change, match):
    samples = {m: v[:2] for m, v in raw.x.items()} | change
    with pytest.raises(FsrfError, match=match):
        binary[2].predict(samples)


@pytest.mark.parametrize(
    "samples", [{}, None, 3, np.ones((2, 3, 4)), "nowhere.npz", dict(audio=None)]
)
def test_what_is_no_sample_is_an_error(binary, samples):
    with pytest.raises(FsrfError):
        binary[2].predict(samples)


@pytest.mark.parametrize(
    ("option", "match"),
    [
        (dict(without="text"), "without\n.*language"),
        (dict(nothing="zero"), "'prior' or 'nan'"),
        (dict(nonfinite="zero"), "'error' or 'missing'"),
        (dict(ids=["a"]), "unequal"),
        (dict(length=dict(text=[1])), "text"),
        (dict(length=dict(audio=[1])), "wrong lengths"),
        (dict(length=[1, 1]), "without the names"),
    ],
)
def test_options_are_checked(binary, raw, option, match):
    with pytest.raises(FsrfError, match=match):
        binary[2].predict(dict(raw.x), **option)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_is_refused_by_sample_and_modality_or_missing(binary, raw, value):
    model, x = binary[2], {m: v.copy() for m, v in raw.x.items()}
    x["visual"][7, 2, 3] = value
    with pytest.raises(FsrfError, match=f"'visual', sample {raw.ids[7]}, frame 2"):
        model.predict(x, ids=raw.ids)
    with pytest.warns(UserWarning, match="visual: 1 frames"):
        table = model.predict(x, nonfinite="missing")
    x["visual"][7, 2] = 0
    np.testing.assert_array_equal(table["p(positive)"], model.predict(x)["p(positive)"])
    assert table.share_seen[7] < 1


def test_what_is_left_out_may_be_broken(binary, raw):
    model, x = binary[2], {m: v.copy() for m, v in raw.x.items()}
    known = model.predict(raw, without="visual")
    length = dict(raw.length)
    x["visual"][3, 1] = np.nan
    x["visual"][4] = 1e9 * (x["visual"][4] != 0)
    pd.testing.assert_frame_equal(
        quietly(model, x, length=length, ids=raw.ids, without="visual"), known
    )


# --- nothing left ---------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["binary", "regression", "multilabel"])
def test_a_sample_of_which_nothing_is_left_gets_the_prior_or_nan(task):
    ds, _, model = trained(CASES[task], "majority", {})
    train, test = ds.parts()["train"], ds.parts(scale=False)["test"].select(range(5))
    lists = as_lists(test)
    for m in lists:
        lists[m][2] = None
    columns = ["value"] if task == "regression" else [f"p({n})" for n in ds.class_names]
    share = train.y.mean(0)
    prior = np.atleast_1d([1 - share, share] if task == "binary" else share)
    with pytest.warns(UserWarning, match="1 of 5 samples have no frame left"):
        table = model.predict(lists)
    np.testing.assert_allclose(table.loc[2, columns].to_numpy(float), prior, rtol=1e-5)
    assert table.seen[2] == "nothing" and table.share_seen[2] == 0
    with pytest.warns(UserWarning, match="they get NaN"):
        table = model.predict(lists, nothing="nan")
    assert table[columns].isna().all(axis=1).tolist() == [False, False, True, False, False]
    with pytest.warns(UserWarning, match="5 of 5"):
        table = model.predict(lists, without=ds.spec.names)
    assert set(table.seen) == {"nothing"}


# --- other units ----------------------------------------------------------------------------------


def on(x, change):
    "The change of the frames that are there"
    return np.where((x != 0).any(-1, keepdims=True), change(x), 0)


@pytest.mark.parametrize("modality", ["language", "audio", "visual"])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda x: x * 100 + 50, "most columns lie more than 10 standard deviations"),
        (lambda x: x + 500, "most columns lie more than 10 standard deviations"),
        (lambda x: x / 1000, "most columns vary by less than"),
    ],
)
def test_other_units_are_told_by_modality(binary, raw, modality, change, match):
    samples = raw.x | {modality: on(raw.x[modality], change)}
    with pytest.warns(UserWarning) as caught:
        binary[2].predict(samples)
    assert len(caught) == 1 and str(caught[0].message).startswith(f"{modality}: {match}")
    assert caught[0].filename == __file__


def test_like_data_is_not_warned_of(binary, raw):
    for some in (raw, raw.select([0]), raw.select([3, 4, 5])):
        quietly(binary[2], some)
    x = {m: np.repeat(v[:1], 12, 0) for m, v in raw.x.items()}
    found = as_samples(x, raw.spec)
    assert not scale_faults(found, binary[2].statistics)


# --- files ----------------------------------------------------------------------------------------


def write_npz(path, ds, **more):
    arrays = {f"x_{m}": v for m, v in ds.x.items()}
    arrays |= {f"length_{m}": n for m, n in ds.length.items()}
    np.savez(path, **arrays, id=np.array(ds.ids), **more)
    return path


def test_a_file_needs_no_labels(binary, raw, tmp_path):
    model, known = binary[2], binary[2].predict(raw)
    pd.testing.assert_frame_equal(quietly(model, write_npz(tmp_path / "a.npz", raw)), known)
    np.savez(tmp_path / "c.npz", **{f"x_{m}": v for m, v in raw.x.items()}, id=raw.ids)
    pd.testing.assert_frame_equal(quietly(model, tmp_path / "c.npz"), known)
    labelled = write_npz(tmp_path / "b.npz", raw, y=np.array(["?"] * 99 + [""]))
    pd.testing.assert_frame_equal(quietly(model, str(labelled)), known)
    folder = tmp_path / "mine"
    folder.mkdir()
    lengths = {f"length_{m}": n for m, n in raw.length.items()}
    pd.DataFrame(dict(id=raw.ids) | lengths).to_csv(folder / "samples.csv", index=False)
    for m in ("language", "visual"):
        np.save(folder / f"{m}.npy", raw.x[m])
    table = quietly(model, folder).assign(id=raw.ids)
    pd.testing.assert_frame_equal(table, model.predict(raw, without="audio"))
    assert len(quietly(model, PLANTED)) == 220


def command(*argv, capsys):
    code = cli.main([str(a) for a in argv])
    return code, *capsys.readouterr()


def test_the_command_predicts_as_the_model_does(binary, raw, file, tmp_path, capsys):
    data, out = write_npz(tmp_path / "a.npz", raw), tmp_path / "out" / "p.csv"
    code, printed, told = command(
        "predict", file, data, "--without", "language,audio", "--out", out, capsys=capsys
    )
    assert (code, told) == (0, "") and printed.startswith("100 predictions: ")
    known = binary[2].predict(raw, without=["language", "audio"])
    np.testing.assert_allclose(pd.read_csv(out)["p(positive)"], known["p(positive)"], rtol=1e-6)
    code, printed, _ = command("predict", file.parent, data, capsys=capsys)
    assert code == 0 and len(printed.splitlines()) == 101 and "p(positive)" in printed
    loud = dict(raw.x, audio=on(raw.x["audio"], lambda x: 100 * x + 50))
    np.savez(data, **{f"x_{m}": v for m, v in loud.items()})
    code, _, told = command("predict", file, data, capsys=capsys)
    assert code == 0 and told.startswith("fsrf: warning: audio: most columns")
    for wrong in (["nowhere", data], [file, "nowhere.npz"], [file, data, "--without", "smell"]):
        code, printed, told = command("predict", *wrong, capsys=capsys)
        assert (code, printed) == (2, "") and told.startswith("fsrf: error: ")


# --- the checkpoint -------------------------------------------------------------------------------


def head_of(path):
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["fsrf"])


def with_head(path, change):
    "The same file with another header"
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    head = json.loads(header["__metadata__"]["fsrf"])
    change(head)
    header["__metadata__"]["fsrf"] = json.dumps(head)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    return path


def test_a_checkpoint_is_whole(binary, file):
    ds, net, _ = binary
    head, train = head_of(file), ds.parts()["train"]
    assert (head["format"], head["library"], head["name"]) == (2, fsrf.__version__, "fsrf")
    assert head["config"] == json.loads(json.dumps(net.config.to_dict()))
    for m, (mean, std) in column_statistics(ds.parts(scale=False)["train"]).items():
        assert head["columns"][m] == dict(mean=mean.tolist(), std=std.tolist())
    assert head["spec"]["class_names"] == ["negative", "positive"]
    assert head["spec"]["modalities"][1] == dict(name="audio", dim=16, max_len=12)
    assert head["data"]["sha256"] == train.sha256 and head["data"]["samples"] == 90
    assert head["prior"] == pytest.approx([1 - train.y.mean(), train.y.mean()])
    assert (head["seed"], head["train"]["epochs"], head["standardised"]) == (0, 1, True)
    model = fsrf.load(file)
    assert model.save(file.parent / "again").read_bytes() == file.read_bytes()


def test_an_older_file_is_refused_with_the_reason(file):
    with_head(file, lambda head: head.pop("format"))
    with pytest.raises(FsrfError, match="older version(.*\n)*.*train it again"):
        fsrf.load(file)
    with_head(file, lambda head: head.update(format=99))
    with pytest.raises(FsrfError, match="newer version(.*\n)*.*update fsrf"):
        fsrf.load(file)


def test_a_network_that_was_never_trained_cannot_predict(binary, tmp_path):
    path = save_method(build("fsrf", SMALL, binary[0].spec), tmp_path / "m.safetensors")
    assert load_method(path).meta == {}
    with pytest.raises(FsrfError, match="does not know its data"):
        fsrf.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["columns"]["audio"]["std"].__setitem__(3, 0),
        lambda h: h["columns"]["audio"]["std"].__setitem__(3, -1),
        lambda h: h["columns"]["audio"]["mean"].__setitem__(3, float("nan")),
        lambda h: h["columns"]["audio"].update(mean=[[0] * 16]),
        lambda h: h["columns"]["audio"]["mean"].pop(),
        lambda h: h["columns"].pop("audio"),
        lambda h: h.update(columns=None),
        lambda h: h["spec"]["class_names"].append("maybe"),
        lambda h: h["spec"].update(task="juggling"),
        lambda h: h.update(prior=[1.0]),
        lambda h: h.update(prior="even"),
        lambda h: h["typical_length"].update(audio=0),
        lambda h: h["typical_length"].update(audio=10**9),
        lambda h: h.pop("data"),
        lambda h: h.update(data=[], seed=None),
        lambda h: h.update(name="nobody"),
        lambda h: h["config"].update(unknown=1),
        lambda h: h["config"].update(width=10**9),
        lambda h: h["config"].update(layers=10**9),
        lambda h: h["spec"]["modalities"][0].update(dim=10**12),
        lambda h: h["spec"]["modalities"][0].update(max_len=10**12),
        lambda h: h["spec"]["modalities"][0].update(dim=-1),
        lambda h: h["spec"].update(n_classes=10**12, class_names=[]),
        lambda h: h["spec"].update(modalities=[]),
    ],
)
def test_a_hostile_header_is_an_error_and_takes_no_memory(file, change):
    with_head(file, change)
    with pytest.raises(FsrfError) as error:
        fsrf.load(file)
    assert len(str(error.value)) < 2000


def test_damaged_and_foreign_files_are_errors(file, tmp_path):
    whole = file.read_bytes()
    cases = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "long": whole + b"0",
        "huge header": struct.pack("<Q", 2**62) + whole[8:],
        "text": b"PK\x03\x04 no weights",
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FsrfError, match="cannot read a checkpoint"):
            fsrf.load(tmp_path / name)


def test_weights_of_something_else_and_broken_ones_are_errors(binary, tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, other)
    with pytest.raises(FsrfError, match="not a checkpoint of fsrf"):
        fsrf.load(other)
    net = copy.deepcopy(binary[1])
    with torch.no_grad():
        next(net.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(FsrfError, match="weights that are NaN or infinite"):
        fsrf.load(save_method(net, tmp_path / "broken.safetensors"))
    for nothing in ("", None):
        with pytest.raises(FsrfError, match="no such checkpoint\n.*no path was given"):
            fsrf.load(nothing)


class Runs:
    def __reduce__(self):
        return exec, ("import pathlib; pathlib.Path('ran').touch()",)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(weights=Runs()), tmp_path / "model.safetensors")
    for path in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(FsrfError, match="cannot read a checkpoint"):
            fsrf.load(path)
    assert not (tmp_path / "ran").exists()


def test_a_folder_is_saved_with_its_card_and_loaded(binary, raw, tmp_path):
    ds, net, model = binary
    rows = example_rows(dataset="planted")
    folder = model.save_pretrained(tmp_path / "mine", rows)
    assert {p.name for p in folder.iterdir()} == {"model.safetensors", "README.md"}
    card = (folder / "README.md").read_text()
    train = ds.parts()["train"]
    for text in (train.sha256, "seed: 0", "| language | 32 |", "majority", "Limits"):
        assert text in card
    value = rows[(rows.method == "fsrf") & (rows.subset == "{a}") & (rows.metric == "f1_weighted")]
    assert f"{value.value.mean():.3f} (" in card
    for again in (fsrf.load(folder), Predictor.from_pretrained(str(folder / "model.safetensors"))):
        pd.testing.assert_frame_equal(again.predict(raw), model.predict(raw))
    with pytest.raises(FsrfError, match="no such checkpoint"):
        fsrf.load("somebody/some-model")


def test_the_card_knows_the_runs_scores(binary):
    ds, net, model = binary
    meta = dict.fromkeys(["data_sha256", "checkpoint_sha256", "config_hash"], "0")
    meta |= dict(method="fsrf", dataset="planted", seed=0, fold=0, repeat=0, seconds=1.0)
    how = EvalConfig(rates=(0.0, 0.5), mask_seeds=(0,))
    rows = evaluate_rows(net, ds.parts()["test"], how, meta=meta, device="cpu")
    scores = fsrf.training.score_summary(rows, "accuracy")
    test = ds.parts(scale=False)["test"]
    answers = np.array(ds.class_names)[test.y]
    for label, gone in {"{l,a,v}": (), "{a}": ("language", "visual")}.items():
        right = model.predict(test, without=gone).label == answers
        assert scores["subsets"][label] == right.mean()
    known = logits(net, ds, Condition("inter", ds.spec.names))
    assert scores["rates"]["0"] == score("binary", y_true=test.y, logits=known)["accuracy"]


def test_the_library_starts_without_torch_and_loads():
    code = (
        "import sys, fsrf; assert 'torch' not in sys.modules and 'load' in dir(fsrf)\n"
        "try: fsrf.nothing\nexcept AttributeError: pass\nelse: raise SystemExit(1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


UNNAMED = {
    "binary": (np.arange(20) % 2, ()),
    "multilabel-binary": (
        np.stack([np.arange(20) % 2, np.arange(20) % 3 > 0], 1),
        ("glad", "loud"),
    ),
    "regression": (4 + np.linspace(0, 1, 20), ()),
}


def vectors(task):
    "20 samples of two vectors, those of a class without names"
    y, names = UNNAMED[task]
    rng = np.random.default_rng(0)
    return fsrf.data.MultimodalDataset(
        "mine",
        {m: rng.normal(size=(20, 1, 3)) for m in ("language", "audio")},
        {m: np.ones(20, int) for m in ("language", "audio")},
        y,
        [f"u{i}" for i in range(20)],
        task,
        names,
        np.repeat(["train", "valid", "test"], [10, 4, 6]),
    )


@pytest.mark.parametrize("task", UNNAMED)
def test_errors_are_told_of_classes_without_names_labels_and_values(task, tmp_path):
    ds = vectors(task)
    result = fsrf.run("majority", ds, progress=False)
    assert "mine" in repr(ds) and len(repr(ds)) < 200
    assert repr(result).startswith("majority trained on mine, seed 0") and len(repr(result)) < 200
    result.save(tmp_path / "mine")
    code, told, error = call("errors", str(tmp_path / "mine"))
    assert (code, error) == (0, "")
    if task == "binary":
        assert "true classes" in told and "100 %" in told
    else:
        assert "true classes" not in told  # no classes, or scores that are all above 0
    assert ("glad  loud" in told) == (task == "multilabel-binary")
    if task == "binary":
        other = dataclasses.replace(ds, y=1 - ds.y)
        fsrf.run("majority", other, progress=False).save(tmp_path / "other")
        code, _, error = call("errors", str(tmp_path / "mine"), str(tmp_path / "other"))
        assert code == 2 and "with the same labels" in error


@pytest.mark.parametrize("seeds", [(), 0, "a", (0, 0), (0.5,)])
def test_one_call_wants_different_seeds(seeds):
    with pytest.raises(FsrfError, match="seeds\n.*\n.*found"):
        fsrf.run("majority", vectors("binary"), seeds=seeds, progress=False)
