"More than three modalities: every method takes five, and tables of many subsets stay readable."

import itertools
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from fsrf import report
from fsrf.core import FsrfError, seeded
from fsrf.data import MultimodalDataset, development_sets, load_dataset
from fsrf.data.synthetic import FIVE
from fsrf.evaluation import many_subsets
from fsrf.evaluation.evaluate import EvalConfig, evaluate_rows
from fsrf.evaluation.rows import example_rows
from fsrf.evaluation.sweep import Sweep
from fsrf.methods import METHODS, build, method_config
from fsrf.missing import inter_conditions, subset_label, subsets
from fsrf.training import TrainConfig, fit

MIXED = "synthetic-five?lengths=[6,1,5,1,4]&sizes=[48,24,24]"
TEN = "abcdefghij"
SMALL = dict(width=8, heads=2, layers=1)


@cache
def mixed():
    ds = load_dataset(MIXED)
    return ds, ds.parts()


def small(method):
    "The fields of a small network that this method has"
    known = method_config(method, {}).to_dict()
    return {k: min(v, known[k]) for k, v in SMALL.items() if k in known}


def trained(method, ds, parts):
    with seeded("init", 0):
        net = build(method, small(method), ds.spec)
    config = TrainConfig(epochs=1, batch_size=24)
    fit(net, parts["train"], parts["valid"], config, seed=0, device="cpu", progress=False)
    return net


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_five_modalities_some_of_them_vectors(method):
    "A step of training, then a finite answer under every subset"
    ds, parts = mixed()
    assert [m.is_vector for m in ds.spec.modalities] == [False, True, False, True, False]
    sweep = Sweep(parts["test"], inter_conditions(ds.spec.names), split="test")
    net = trained(method, ds, parts)
    logits = sweep.logits(net)
    assert logits.shape == (31, 24, 2)
    assert torch.isfinite(logits).all()
    if method not in ("majority", "zero_input", "language_only", "single_modality"):
        by_one = logits[:5].flatten(1)
        assert len(by_one.unique(dim=0)) == 5, "a modality alone is read as another one"


@pytest.mark.parametrize("method", ["ridge", "ridge_subset"])
def test_linear_floors_say_how_many_modalities_they_take(method):
    "2^M models are fitted for subsets; one model takes any number"
    names = tuple(f"m{i}" for i in range(24))
    ds = load_dataset(
        "synthetic-quick?sizes=[60,20,20]&"
        f"names={list(names)}&dims={[9] * 24}&lengths={[1] * 24}&strength={[1] * 24}".replace(
            "'", '"'
        ).replace(" ", "")
    )
    if method == "ridge_subset":
        with pytest.raises(FsrfError, match=r"(?s)ridge_subset.*10.*24"):
            build(method, {}, ds.spec)
        return
    net = build(method, {}, ds.spec)
    parts = ds.parts()
    net.prepare(parts["train"], parts["valid"])
    assert torch.isfinite(net.predict(parts["test"].batch())).all()


def test_ten_modalities_take_few_conditions_and_the_table_says_of_how_many():
    "The rows of a method have the conditions that the table expects, on sets of any names"
    names = list(TEN)
    ds = load_dataset(
        'synthetic-quick?sizes=[40,20,20]&names=["'
        + '","'.join(names)
        + f'"]&dims={[9] * 10}&lengths={[1] * 10}&strength={[1] * 10}'.replace(" ", "")
    )
    parts = ds.parts()
    meta = dict(
        method="ridge",
        dataset="ten",
        seed=0,
        fold=0,
        repeat=0,
        config_hash="c",
        data_sha256="d",
        checkpoint_sha256="k",
        seconds=0.0,
    )
    net = build("ridge", {}, ds.spec)
    net.prepare(parts["train"], parts["valid"])
    config = EvalConfig(rates=(0.0, 0.5), mask_seeds=(0,))
    rows = evaluate_rows(net, parts["test"], config, meta=meta, device="cpu")
    inter = rows[(rows.protocol == "inter") & (rows.metric == "accuracy")]
    assert len(inter) == 105
    influence = rows[rows.protocol == "influence"]
    assert list(influence.subset) == [f"{{{m}}}" for m in names]

    table = report.inter_table(rows)
    assert table.columns == ["none missing", *(f"{k} missing" for k in range(1, 10)), "avg104"]
    assert any("104 of 1,022 proper subsets" in note for note in table.notes)
    assert "104 of 1,022" in table.text() and "104 of 1,022" in table.markdown()


@pytest.mark.parametrize("letters", ["l", "la", "lav", "lavt"])
def test_up_to_four_modalities_a_table_has_a_column_per_subset(letters):
    table = report.inter_table(example_rows(letters=letters))
    assert table.whole is None
    assert sum(c.startswith("{") for c in table.columns) == 2 ** len(letters) - 1


def test_above_four_a_table_has_a_column_per_number_of_missing_ones(tmp_path):
    "The mean of a group is taken within a seed; the CSV has every subset too"
    rows = example_rows(letters="lavpc", methods=dict(fsrf=0.8, corrkd=0.7))
    changed = (rows.subset == "{l,a}") & (rows.metric == "f1_weighted") & (rows.seed == 1)
    rows.loc[changed, "value"] += 0.1
    table = report.inter_table(rows)
    groups = ["none missing", "1 missing", "2 missing", "3 missing", "4 missing"]
    assert table.columns == [*groups, "avg30"]
    lines = report.run_lines(rows).loc["fsrf"]
    pairs = [c for c in lines if c.count(",") == 1]
    assert len(pairs) == 10
    assert table.mean.loc["fsrf", "3 missing"] == pytest.approx(lines[pairs].mean().mean())
    assert table.mean.loc["fsrf", "avg30"] == pytest.approx(lines["avg30"].mean())
    assert any("5, 10, 10, 5" in note for note in table.notes)

    md, tex, csv = report.save_tables(dict(five=table), "t", folder=tmp_path)
    saved = pd.read_csv(csv)
    columns = [c for c in saved.column.unique() if c.startswith("{")]
    assert len(columns) == 31 and not saved.duplicated(["method", "column"]).any()
    of = saved.set_index(["method", "column"])["mean"]
    assert of["fsrf", "{l,a}"] == pytest.approx(lines["{l,a}"].mean())
    assert "{l,a}" not in md.read_text() and "\\{l,a\\}" not in tex.read_text()
    assert max(map(len, table.text(100).splitlines())) <= 100


def test_a_table_can_be_grouped_or_whole_by_wish():
    rows = example_rows(letters="lavpc")
    assert len(report.inter_table(rows, grouped=False).columns) == 32
    three = report.inter_table(example_rows(), grouped=True)
    assert three.columns == ["none missing", "1 missing", "2 missing", "avg6"]


def test_a_sampled_subset_that_a_run_lacks_is_missed():
    rows = example_rows(letters=TEN, seeds=(0,))
    report.run_lines(rows)
    label = "{" + ",".join(subsets(TEN)[15]) + "}"
    with pytest.raises(FsrfError, match="no row for"):
        report.run_lines(rows[(rows.subset != label) | (rows.method != "fsrf")])
    other = next(s for s in itertools.combinations(TEN, 2) if s not in subsets(TEN))
    strange = rows.replace({"subset": {label: "{" + ",".join(other) + "}"}})
    with pytest.raises(FsrfError, match="do not belong together"):
        report.run_lines(strange)


def test_the_average_of_a_sample_stands_for_all_subsets():
    "A score that depends on the number of modalities alone: the exact mean over all 1,022 subsets"
    found = subsets(TEN)[:-1]
    lines = pd.DataFrame([{"{" + ",".join(s) + "}": float(len(s)) ** 2 for s in found}])
    every = [int(code).bit_count() ** 2 for code in range(1, 1023)]
    assert many_subsets.proper_mean(lines)[0] == pytest.approx(np.mean(every))
    assert lines.mean(axis=1)[0] != pytest.approx(np.mean(every), rel=0.01)


def test_the_figure_has_a_place_per_group():
    fig = report.inter_figure(example_rows(letters="lavpc"))
    labels = [t.get_text() for t in fig.axes[0].get_xticklabels()]
    assert labels == ["none missing", *(f"{k} missing" for k in range(1, 5)), "avg30"]
    assert "missing" in fig.axes[0].get_xlabel()


def test_the_preset_of_five_separates_its_subsets():
    "Each modality carries a part of the label of its own: a linear model gains by every one"
    ds = load_dataset("synthetic-five?sizes=[600,200,1500]")
    assert ds.spec.names == FIVE.names and len(ds.spec.names) == 5
    net = build("ridge_subset", {}, ds.spec)
    parts = ds.parts()
    net.prepare(parts["train"], parts["valid"])
    conditions = inter_conditions(ds.spec.names)
    said = Sweep(parts["test"], conditions, split="test").logits(net).argmax(-1).numpy()
    hits = pd.Series((said == parts["test"].y).mean(1), [len(c.subset) for c in conditions])
    by_size = hits.groupby(level=0).mean()
    assert (by_size.diff().dropna() > 0.015).all(), by_size
    assert (hits[4] < hits.loc[5]).all()


@pytest.mark.skipif(
    not (development_sets.data_root() / "meld").is_dir(), reason="MELD-dev is not there"
)
def test_meld_as_four_views():
    views, glove = load_dataset("meld-negpos-views"), load_dataset("meld-negpos-glove")
    minilm = load_dataset("meld-negpos-minilm")
    assert views.spec.names == ("language", "sentence", "audio", "visual")
    assert np.array_equal(views.x["language"], glove.x["language"])
    assert np.array_equal(views.x["sentence"], minilm.x["language"])
    assert np.array_equal(views.y, glove.y) and np.array_equal(views.folds, glove.folds)
    assert list(views.ids) == list(glove.ids)


@pytest.mark.parametrize("name", ["a,b", "a{", "eye.left", "", "type", "keys"])
def test_a_modality_name_that_breaks_tables_or_networks_is_refused_by_the_data_set(name):
    "A label `{a,b,a}` would be read as three modalities; torch has no attribute `eye.left`"
    with pytest.raises(FsrfError, match="a modality has a name") as told:
        MultimodalDataset(
            "odd",
            {name: np.ones((4, 1, 2)), "audio": np.ones((4, 1, 2))},
            {name: np.ones(4, int), "audio": np.ones(4, int)},
            [0, 1, 0, 1],
            list("abcd"),
            "binary",
        )
    assert repr(name) in str(told.value)


@pytest.mark.parametrize("name", ["eye left", "eye-left", "Ω", "text", "0"])
def test_other_modality_names_work_to_the_table(name):
    ds = MultimodalDataset(
        "named",
        {name: np.ones((4, 1, 2)), "e": np.ones((4, 1, 2))},
        {name: np.ones(4, int), "e": np.ones(4, int)},
        [0, 1, 0, 1],
        list("abcd"),
        "binary",
    )
    assert build("plain_mrm", {}, ds.spec).predict(ds.batch()).shape == (4, 2)
    labels = [subset_label(s, ds.spec.names) for s in subsets(ds.spec.names)]
    assert report.subset_columns(labels) == (labels[:2], labels[2])
