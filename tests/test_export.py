"""An exported file answers as `predict`: whatever is missing, alone and in a batch, and it is whole
or not there."""

import copy
import importlib.util
import json
import warnings

import numpy as np
import pytest
import torch
from test_cli import call
from test_predict import trained

import fsrf
from fsrf.core import FsrfError
from fsrf.evaluation.calibration import Calibration, calibration_dict
from fsrf.methods import METHODS
from fsrf.missing import subsets
from fsrf.training import Predictor, exported_facts, graph_inputs, load_exported, rehearsal
from fsrf.training.export import LACKS, InferenceGraph, largest_difference, traced

PRESET = "synthetic-quick?sizes=[90,30,100]"
TWO = PRESET + '&names=["language","audio"]&dims=[8,6]&strength=[1,1]'
MIXED = TWO + "&lengths=[12,1]"
# Three modalities once: each more makes the tracing longer
SETS = {
    "vectors": TWO + "&lengths=[1,1]",
    "sequences": PRESET,
    "aligned": TWO + "&lengths=[12,12]&common_length=true",
    "mixed": MIXED,
    "regression": MIXED + '&task="regression"',
    "labels": MIXED + '&task="multilabel-binary"&n_classes=3',
    "classes": MIXED + '&task="multiclass"&n_classes=3',
}
# Every kind of set with fsrf, and one with the plain network: what a set needs of the graph is the
# same in all methods, and each of the others is exported once
KINDS = [*((name, "fsrf") for name in SETS), ("mixed", "plain_mrm")]
has_onnx = all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime")))
needs_onnx = pytest.mark.skipif(not has_onnx, reason="fsrf[export] is not installed")


@pytest.fixture(scope="module")
def mixed():
    return trained(MIXED)


@pytest.fixture(scope="module")
def program(mixed):
    return traced(mixed[2])


@pytest.fixture
def once(monkeypatch, program):
    "The mixed model is traced once: that is what takes seconds"
    monkeypatch.setattr("fsrf.training.export.traced", lambda model: program)


@pytest.fixture
def pt2(mixed, once, tmp_path):
    return mixed[2].export(tmp_path / "model.pt2")


def as_written(model):
    "The graph as torch runs it line by line: quick, where the tracing is not what is tested"
    graph = InferenceGraph(model).eval()

    def answer(inputs):
        with torch.no_grad():
            told = graph({name: torch.from_numpy(a) for name, a in inputs.items()})
        return {name: t.numpy() for name, t in told.items()}

    return answer


def check(ds, model, answer):
    "Every subset, from raw features: outcomes and what was seen, in batches of 1 and 40"
    test = ds.parts(scale=False)["test"]
    for left in (*subsets(ds.spec.names), ()):
        given = {m: [v[:n] for v, n in zip(test.x[m][:40], test.length[m])] for m in ds.spec.names}
        samples = {m: v if m in left else [None] * 40 for m, v in given.items()}
        assert largest_difference(model, answer, samples) <= 1e-4
        seen = answer(graph_inputs(model, samples))["seen"]
        assert [m for m, s in zip(ds.spec.names, seen[0]) if s > 0] == list(left)


@pytest.mark.parametrize(("name", "method"), KINDS)
def test_the_graph_answers_as_predict(name, method):
    ds, _, model = trained(SETS[name], method)
    check(ds, model, as_written(model))


def calibrated(model):
    "The same model with temperatures (or standard deviations) that differ by what was seen"
    several = model.spec.task == "multilabel-binary"
    rows = model.spec.n_classes if several else 1
    columns = 2 + len(model.spec.modalities)
    weights = np.random.default_rng(0).normal(size=(rows, columns)).tolist()
    found = Calibration(weights, level=1.3, samples=30, nothing=0.7)
    method = copy.copy(model.method)
    method.meta = model.meta | dict(calibration=calibration_dict(found))
    return Predictor(method)


@pytest.mark.parametrize("name", ["mixed", "regression", "labels", "classes"])
def test_the_graph_is_calibrated_as_predict(name):
    ds, _, model = trained(SETS[name], "plain_mrm")
    own = calibrated(model)
    check(ds, own, as_written(own))
    assert largest_difference(own, as_written(model)) > 1e-2


def test_pt2_answers_as_predict(mixed, pt2):
    check(mixed[0], mixed[2], load_exported(pt2))


@needs_onnx
def test_onnx_answers_as_predict_and_says_what_it_is(mixed, once, tmp_path):
    import onnxruntime

    ds, _, model = mixed
    path = model.export(tmp_path / "model.onnx")
    check(ds, model, load_exported(path))
    session = onnxruntime.InferenceSession(path)
    inputs = {i.name: i.shape for i in session.get_inputs()}
    assert inputs == {
        "x_language": ["samples", "frames_language", 8],
        "length_language": ["samples"],
        "x_audio": ["samples", 6],
    }
    assert [o.name for o in session.get_outputs()] == ["probabilities", "logits", "seen"]
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["class_names"]) == list(ds.class_names)
    facts = exported_facts(path)
    assert facts["data"]["sha256"] == ds.parts()["train"].sha256 and facts["lacks"] == LACKS
    assert facts["checked_with"] == "onnxruntime" and facts["largest_difference"] <= 1e-5


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("name", ["vectors", "sequences", "regression", "labels"])
def test_onnx_of_every_kind_of_set(name, tmp_path):
    "The mixed set with two classes is above; aligned lengths and three classes are the same graph"
    ds, _, model = trained(SETS[name], "fsrf")
    model = calibrated(model)
    check(ds, model, load_exported(model.export(tmp_path / "model.onnx")))


@pytest.mark.slow
@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("fsrf", "plain_mrm")])
def test_a_method_is_exported_or_says_why_not(method, tmp_path):
    "One that says why not really cannot be traced"
    small = {"width": 8, "heads": 2} if METHODS[method][0].trainable else {}
    ds, net, model = trained(MIXED, method, small)
    if reason := net.no_graph:
        with pytest.raises(FsrfError, match=reason):
            traced(model)
        net.no_graph = ""
        with pytest.raises(FsrfError, match="cannot follow the inference"):
            traced(model)
        return
    model.export(tmp_path / "model.pt2")


def test_lengths_frames_and_batches_are_free(mixed, pt2):
    "Longer than the training, one frame, garbage behind the length, NaN: as predict says"
    ds, _, model = mixed
    answer = load_exported(pt2)
    one = rehearsal(model)[0]
    long = one | {"language": np.tile(one["language"], (3, 1))}
    short = one | {"language": one["language"][:1]}
    for samples in ([long], [short], [long, short, {}]):
        assert largest_difference(model, answer, samples) <= 1e-5
    inputs = graph_inputs(model, [one])
    wanted = answer(inputs)
    padded = np.concatenate([inputs["x_language"], np.full((1, 5, 8), 7e30, "f4")], 1)
    for name, told in answer(inputs | {"x_language": padded}).items():
        np.testing.assert_array_equal(told, wanted[name])
    broken = {m: v.copy() for m, v in one.items()}
    broken["language"][3] = np.nan
    spoilt = graph_inputs(model, [one])
    spoilt["x_language"][0, 3] = np.nan
    with warnings.catch_warnings(action="ignore"):
        table = model.predict([broken], nonfinite="missing")
    np.testing.assert_allclose(
        answer(spoilt)["probabilities"][0], table[["p(negative)", "p(positive)"]].iloc[0], atol=1e-5
    )


def test_large_offsets_keep_their_digits():
    "Columns whose mean is a thousand times their deviation: float32 alone would lose three digits"
    ds, net, _ = trained(MIXED)
    columns = net.meta["columns"]
    for m in columns:
        columns[m]["mean"] = [v + 1234.56789 for v in columns[m]["mean"]]
    model = Predictor(net, "cpu")
    assert largest_difference(model, as_written(model)) <= 1e-5


def test_what_cannot_be_exported_is_refused_and_nothing_is_written(mixed, tmp_path):
    model = mixed[2]
    for path, words in {"m.txt": "unknown kind of file", "m": "unknown kind"}.items():
        with pytest.raises(FsrfError, match=words):
            model.export(tmp_path / path)
    with pytest.raises(FsrfError, match="another kind of file"):
        model.export(tmp_path / "m.pt2", "onnx")
    with pytest.raises(FsrfError, match="unknown kind of file"):
        model.export(tmp_path / "m.pt2", "tflite")
    alone = trained(MIXED, "single_modality")[2]
    with pytest.raises(FsrfError, match="no graph.*\n.*\n.*number among its weights"):
        alone.export(tmp_path / "m.pt2")
    assert not list(tmp_path.iterdir())


def test_a_method_that_looks_at_its_numbers_is_refused(mixed, monkeypatch):
    _, net, model = mixed
    own = type(net).decide

    def looks(self, z, present):
        return own(self, z, present) if present.all() else own(self, z, present) * 2

    monkeypatch.setattr(type(net), "decide", looks)
    with pytest.raises(FsrfError, match="cannot follow the inference"):
        traced(model)


def test_answers_that_differ_are_refused(mixed, once, tmp_path, monkeypatch):
    "As when predict has learned a step that the graph lacks"
    _, _, model = mixed
    file = tmp_path / "m.pt2"
    file.write_text("there before")
    own = Predictor._outcomes
    monkeypatch.setattr(Predictor, "_outcomes", lambda *a: own(*a) ** 1.01)
    with pytest.raises(FsrfError, match="other answers than predict"):
        model.export(file)
    assert file.read_text() == "there before" and len(list(tmp_path.iterdir())) == 1


def test_without_the_packages_onnx_is_refused(mixed, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    with pytest.raises(FsrfError, match=r"fsrf\[export\]"):
        mixed[2].export(tmp_path / "m.onnx")


def test_the_command(mixed, once, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mixed[2].save("model.safetensors")
    code, told, error = call("export", "model.safetensors", "--to", "pt2")
    assert (code, error) == (0, "") and "x_audio (samples, 6), float32" in told
    assert told.startswith("model.pt2: ") and "largest difference" in told
    ready = torch.export.load("model.pt2").module()
    samples = [s for s in rehearsal(mixed[2]) if s]
    inputs = graph_inputs(mixed[2], samples)
    p = ready({m: torch.from_numpy(a) for m, a in inputs.items()})["probabilities"]
    table = fsrf.load("model.safetensors", "cpu").predict(samples)
    np.testing.assert_allclose(p.detach()[:, 1], table["p(positive)"], atol=1e-5)
    code, _, error = call("export", "model.safetensors", "--out", "model.zip")
    assert code == 2 and "expected: .onnx or .pt2" in error
    code, _, error = call("export", "absent.safetensors")
    assert code == 2 and "no such checkpoint" in error
