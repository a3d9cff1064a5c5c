"""Calibrated predictions: the error falls, no label moves, few samples do no harm, and a checkpoint
keeps what was learned."""

import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import fsrf
from fsrf.cli import main as cli
from fsrf.core import FsrfError, seeded
from fsrf.data import load_dataset
from fsrf.evaluation import EvalConfig, Sweep
from fsrf.evaluation.calibration import WIDEST, expected_calibration_error, fit_calibration
from fsrf.methods import build, load_method, save_method
from fsrf.training import Predictor, TrainConfig, calibrate, fit, measure_calibration

SMALL = dict(width=8, heads=2, layers=1)
CONFIG = EvalConfig(rates=(0.0, 0.5, 1.0), mask_seeds=(0,))
PLANTED = "synthetic-quick?sizes=[90,40,120]"
TASKS = {
    "binary": PLANTED,
    "multilabel": PLANTED + '&task="multilabel-binary"&n_classes=3',
    "regression": PLANTED + '&task="regression"',
}


class Bold(torch.nn.Module):
    "A network whose answers are forty times as sure as another's"

    def __init__(self, inner):
        super().__init__()
        self.inner, self.spec, self.name = inner, inner.spec, "bold"
        self.meta, self.config = inner.meta, inner.config

    def predict(self, batch):
        return 40 * self.inner.predict(batch)


def trained(name, refit=False):
    ds, kept = load_dataset(name), []
    with seeded("test calibration"):
        net = build("plain_mrm", SMALL, ds.spec)
    parts, how = ds.parts(), TrainConfig(epochs=4, batch_size=32, lr=5e-3, refit=refit)
    fit(net, parts["train"], parts["valid"], how, seed=0, device="cpu", progress=False,
        look=kept.append)  # fmt: skip
    return ds, net, kept[0]


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    ds, net, chosen = trained(TASKS[request.param])
    assert chosen is net
    return request.param, ds, net


def test_the_error_of_a_bold_network_falls():
    ds, net, _ = trained(TASKS["binary"])
    bold, parts = Bold(net), ds.parts()
    calibrate(bold, parts["valid"], CONFIG, device="cpu")
    every = CONFIG.conditions(ds.spec.names)
    logits = Sweep(parts["test"], every, split="test").logits(bold)
    table = measure_calibration(bold, parts["test"], CONFIG, logits)
    assert len(table) == 9 and (table["with"] < 0.5 * table["without"]).all()
    p = logits[6].softmax(-1).max(-1).values.numpy()
    right = logits[6].argmax(-1).numpy() == parts["test"].y
    assert table["without"][6] == pytest.approx(expected_calibration_error(p, right))


def test_no_label_moves_and_the_networks_own_words_stay(task):
    name, ds, net = task
    test = ds.parts(scale=False)["test"]
    calibrate(net, ds.parts()["valid"], CONFIG, device="cpu")
    model = Predictor(net, "cpu")
    own, told = (model.predict(test, without="audio", calibrated=c) for c in (False, None))
    assert repr(model).endswith(", calibrated")
    if name == "regression":
        np.testing.assert_array_equal(own.value, told.value)
        assert "sd" not in own and (told.sd > 0).all()
        return
    assert own.label.tolist() == told.label.tolist()
    columns = [c for c in own if c.startswith("p(")]
    assert not np.allclose(own[columns], told[columns], atol=1e-3)
    pd.testing.assert_frame_equal(told, model.predict(test, without="audio", calibrated=True))


def test_alone_as_among_others(task):
    _, ds, net = task
    calibrate(net, ds.parts()["valid"], CONFIG, device="cpu")
    model, test = Predictor(net, "cpu"), ds.parts(scale=False)["test"]
    lists = {m: [v[:k] for v, k in zip(test.x[m], test.length[m])] for m in test.x}
    lists["audio"][3] = None
    lists["visual"][3] = lists["visual"][3][:1]
    whole = model.predict(lists).select_dtypes("number").to_numpy()
    for i in (3, 7):
        alone = model.predict({m: v[i : i + 1] for m, v in lists.items()})
        np.testing.assert_allclose(alone.select_dtypes("number").to_numpy()[0], whole[i], atol=1e-5)


def test_nothing_left_gets_the_prior(task):
    name, ds, net = task
    calibrate(net, ds.parts()["valid"], CONFIG, device="cpu")
    model = Predictor(net, "cpu")
    with pytest.warns(UserWarning, match="no frame left"):
        table = model.predict({m: [None] for m in ds.x})
    value = table.filter(regex=r"^p\(|^value").to_numpy()[0]
    np.testing.assert_allclose(value, net.meta["prior"], rtol=1e-5)
    if name == "regression":
        y = ds.parts()["valid"].y
        assert table.sd[0] == pytest.approx(np.sqrt(np.mean((y - net.meta["prior"][0]) ** 2)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.isnan(model.predict({m: [None] for m in ds.x}, nothing="nan").sd[0])


def test_a_checkpoint_keeps_it_and_one_without_says_so(task, tmp_path):
    _, ds, net = task
    test = ds.parts(scale=False)["test"]
    net.meta = {k: v for k, v in net.meta.items() if k != "calibration"}
    plain = fsrf.load(save_method(net, tmp_path / "plain.safetensors"), "cpu")
    assert repr(plain).endswith("not calibrated") and "sd" not in plain.predict(test)
    with pytest.raises(FsrfError, match="not calibrated"):
        plain.predict(test, calibrated=True)
    calibrate(net, ds.parts()["valid"], CONFIG, device="cpu")
    model = Predictor(net, "cpu")
    again = fsrf.load(model.save_pretrained(tmp_path / "folder"), "cpu")
    pd.testing.assert_frame_equal(again.predict(test), model.predict(test))
    pd.testing.assert_frame_equal(again.predict(test, calibrated=False), plain.predict(test))
    assert "learned from 40 validation samples" in (tmp_path / "folder/README.md").read_text()


@pytest.mark.parametrize(
    "damage",
    [
        dict(weights=[[0.0, 0.0]]),
        dict(weights=[["a"] * 5]),
        dict(level=-1.0),
        dict(level="one"),
        dict(samples=0),
        dict(errors=dict(subsets={"{l}": [1]}, rates={})),
        dict(errors=dict(subsets={})),
    ],
)
def test_a_damaged_calibration_is_refused(damage, tmp_path):
    ds, net, _ = trained(TASKS["binary"])
    calibrate(net, ds.parts()["valid"], CONFIG, device="cpu")
    net.meta = dict(net.meta, calibration=dict(net.meta["calibration"], **damage))
    with pytest.raises(FsrfError):
        load_method(save_method(net, tmp_path / "m.safetensors"))


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("sure", [0.0, 1.0, 1e4])
def test_eight_samples_do_not_blow_up(right, sure):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 8)
    logits = sure * np.eye(3)[y if right else (y + 1) % 3][None].repeat(12, 0)
    shares = rng.random((12, 8, 3))
    found = fit_calibration("multiclass", y_true=y, logits=logits, shares=shares)
    scale = found.scale([[1, 1, 1], [0.1, 0, 0], [0, 0.5, 1]])
    assert np.isfinite(scale).all() and (scale >= 0.999 / WIDEST).all()
    assert (scale <= 1.001 * WIDEST).all() and found.samples == 8
    values = fit_calibration("regression", y_true=y.astype(float), shares=shares,
                             logits=y + np.zeros((12, 8)), prior=[1.0])  # fmt: skip
    assert np.isfinite(values.scale(shares)).all() and (values.scale(shares) > 0).all()


def test_a_network_that_saw_its_validation_part_is_calibrated_by_the_copy_that_did_not():
    ds, net, chosen = trained(TASKS["binary"], refit=True)
    valid = ds.parts()["valid"]
    assert chosen is not net
    with pytest.raises(FsrfError, match="refit"):
        calibrate(net, valid, CONFIG, device="cpu")
    found = calibrate(net, valid, CONFIG, chosen=chosen, device="cpu")
    chosen.meta = {}
    assert found == calibrate(chosen, valid, CONFIG, device="cpu")
    assert json.dumps(net.meta["calibration"])


def test_a_run_is_calibrated_and_says_so_in_its_card_and_its_rows_stay(tmp_path):
    small = dict(width=8, heads=2, layers=1, epochs=2, rates=(0.0, 0.5, 1.0), mask_seeds=(0,))
    result = fsrf.run("plain_mrm", PLANTED, progress=False, device="cpu", **small)
    net = result.runs[0].net
    assert list(net.meta["calibration"]["errors"]["rates"]) == ["0", "0.5"]
    assert len(result.rows.checkpoint_sha256.unique()) == 1
    table = result.predict(result.data.parts(scale=False)["test"])
    own = result.predict(result.data.parts(scale=False)["test"], calibrated=False)
    assert not table["p(positive)"].equals(own["p(positive)"])
    result.save(tmp_path / "run")
    card = (tmp_path / "run/README.md").read_text()
    assert "| what is there | as the network says | calibrated |" in card
    names = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert names == ["README.md", "model.safetensors", "predictions.parquet", "rows.json"]
    data = tmp_path / "mine.npz"
    from fsrf.data.files.write import write_npz

    write_npz(result.data, data)
    for option, known in (([], table), (["--uncalibrated"], own)):
        out = tmp_path / "p.csv"
        words = ["predict", tmp_path / "run", PLANTED, "--out", out, *option]
        assert cli.main(list(map(str, words))) == 0
        read = pd.read_csv(out)
        assert len(read) >= len(known) and read["p(positive)"].between(0, 1).all()


# --- fsrf errors ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    "Two runs of one data set"
    small = dict(rates=(0.0, 0.5), mask_seeds=(0,), progress=False, device="cpu")
    found = []
    for method, data in (("ridge_subset", PLANTED), ("majority", PLANTED),
                         ("ridge_subset", TASKS["regression"]), ("majority", TASKS["multilabel"]),
                         ("majority", "synthetic-five?sizes=[40,20,20]")):  # fmt: skip
        folder = tmp_path_factory.mktemp("runs") / method
        fsrf.run(method, data, **small).save(folder)
        found.append(folder)
    return found


def call(capsys, *words):
    code = cli.main(["errors", *map(str, words)])
    return code, *capsys.readouterr()


def test_errors_of_a_run(runs, capsys):
    from fsrf.evaluation import read_predictions, worst_items

    code, printed, _ = call(capsys, runs[0], "--top", 4)
    assert code == 0 and "the 4 of 120 utterances" in printed and "f1_weighted" in printed
    for item in worst_items(read_predictions(runs[0]), 4).index:
        assert str(item) in printed
    code, printed, _ = call(capsys, runs[0], "--condition", "{a,v}", "--metric", "f1_macro")
    assert code == 0 and "{a,v}" in printed and "f1_macro" in printed
    table = read_predictions(runs[0])
    lines = table[table.subset == "{a,v}"]
    hits = (lines[["logit_0", "logit_1"]].to_numpy().argmax(1) == 0) & (lines.y == 0)
    assert f"{100 * hits.sum() / (lines.y == 0).sum():.0f} %" in printed
    assert call(capsys, runs[0], "--condition", "0.5")[0] == 0


def test_errors_of_two_runs(runs, capsys):
    code, printed, _ = call(capsys, runs[0], runs[0])
    assert code == 0 and len(re.findall(r"  \+0\.0 +0 and 0\n", printed)) == 7
    code, printed, _ = call(capsys, runs[0], runs[1])
    assert code == 0 and "ridge_subset - majority: f1_weighted" in printed and "{l,a,v}" in printed


def test_errors_of_other_tasks_and_of_many_modalities(runs, capsys):
    code, printed, _ = call(capsys, runs[2])
    assert code == 0 and "0 and above" in printed
    code, printed, _ = call(capsys, runs[3])
    assert code == 0 and "true classes" not in printed
    code, printed, _ = call(capsys, runs[4])
    assert code == 0 and "none missing" in printed and "4 missing" in printed


def test_errors_in_a_file(runs, capsys, tmp_path):
    code, printed, _ = call(capsys, runs[0], "--top", 3, "--out", tmp_path / "worst.json")
    assert code == 0 and "3 utterances" in printed
    lines = json.loads((tmp_path / "worst.json").read_text())
    assert len(lines) == 3 and set(lines[0]) >= {"id", "label", "said", "wrong"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere",), "no predictions here"),
        (("{run}", "--condition", "{x}"), "{l,a,v}"),
        (("{run}", "--metric", "f2"), "f1_macro"),
        (("{run}", "{run}", "--metric", "f2"), "f1_macro"),
        (("{run}", "--top", "0"), "1 or more"),
        (("{run}", "{run}", "{run}"), "at most two"),
        (("{run}", "{other}"), "different items"),
        (("{run}", "--out", "x.txt"), ".parquet"),
    ],
)
def test_errors_are_told(runs, capsys, words, told):
    named = {"{run}": runs[0], "{other}": runs[4]}
    code, printed, error = call(capsys, *(named.get(word, word) for word in words))
    assert code == 2 and not printed and told in error


def test_a_folder_of_rows_without_predictions(runs, capsys, tmp_path):
    (tmp_path / "rows.json").write_bytes((runs[0] / "rows.json").read_bytes())
    code, _, error = call(capsys, tmp_path)
    assert code == 2 and "predictions.parquet" in error and "make it again" in error


# --- what test items add --------------------------------------------------------------------------


def test_differences_say_what_test_items_add_where_predictions_are(tmp_path):
    from fsrf.evaluation import example_rows, read_rows, run_predictions
    from fsrf.report import compare_text, paired_table

    kept, rows = {}, []
    small = dict(rates=(0.0,), mask_seeds=(0,), progress=False, device="cpu")
    for method in ("ridge_subset", "language_only"):
        result = fsrf.run(method, PLANTED, **small)
        rows.append(result.rows)
        kept |= {r.rows.checkpoint_sha256.iloc[0]: r.predictions for r in result.runs}
        result.save(tmp_path / method)
    rows = pd.concat(rows, ignore_index=True)
    assert len(kept) == 2
    against = ["language_only"]
    alone = paired_table(rows, "ridge_subset", against).iloc[0]
    both = paired_table(rows, "ridge_subset", against, predictions=kept).iloc[0]
    assert alone.item_se == 0 and 0.005 < both.item_se < 0.1
    assert both.difference == alone.difference and np.isnan(alone.lo)
    assert both.hi - both.lo == pytest.approx(2 * 1.96 * both.item_se, rel=1e-3)
    less = dict(list(kept.items())[:1])
    pd.testing.assert_series_equal(
        paired_table(rows, "ridge_subset", against, predictions=less).iloc[0], alone
    )
    assert len(run_predictions([tmp_path])) == 2
    assert len(read_rows(tmp_path)) == len(rows)
    known = example_rows()
    assert compare_text(known, predictions=kept) == compare_text(known)


def test_a_comparison_tells_of_test_items():
    how = dict(epochs=6, lr=5e-3, rates=(0.0,), mask_seeds=(0,), device="cpu", **SMALL)
    result = fsrf.run("plain_mrm", PLANTED, progress=False, **how)
    told = str(result.compare("complete", progress=False))
    assert "1 seed and the test items" in told
