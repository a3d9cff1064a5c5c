"""Intervals and verdicts: the rule covers what it says, few seeds give no verdict, many comparisons
are judged together, and runs on different data are not compared."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from processes import PLUGIN

from fsrf import report, runs
from fsrf.core import FsrfError
from fsrf.data.synthetic import SyntheticConfig, make_synthetic
from fsrf.evaluation import interval, widening
from fsrf.evaluation.rows import example_rows
from fsrf.runs import grid

SEEDS = (3, 5, 10)


def noisy(rows, spread=0.004):
    "Made-up rows in which every run has some noise of its own"
    rng = np.random.default_rng(0)
    names = rows.method + "/" + rows.seed.astype(str) + "/" + rows.fold.astype(str)
    noise = {name: rng.normal(0, spread) for name in names.unique()}
    return rows.assign(value=rows.value + names.map(noise) * rows.metric.str.startswith("f1"))


def coverage(found, truth=0.0):
    return ((found.lo <= truth) & (truth <= found.hi)).mean()


# --- the rule -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", SEEDS)
def test_over_seeds_95_percent_are_95_percent(seeds):
    values = np.random.default_rng(seeds).normal(size=(seeds, 6000))
    assert 0.94 < coverage(interval(values)) < 0.96


@pytest.mark.parametrize("repetitions", SEEDS)
def test_over_folds_what_they_share_is_counted(repetitions):
    "Values of folds with the correlation that overlapping training parts bring"
    rng, folds, worlds = np.random.default_rng(1), 5, 6000
    shared = rng.normal(size=(1, worlds)) * (1 / folds) ** 0.5
    own = rng.normal(size=(repetitions * folds, worlds)) * (1 - 1 / folds) ** 0.5
    assert 0.94 < coverage(interval(shared + own, folds=folds)) < 0.96
    assert coverage(interval(shared + own)) < 0.75


@pytest.mark.parametrize("seeds", SEEDS)
def test_items_are_a_source_where_they_are_known(seeds):
    rng = np.random.default_rng(seeds)
    values = rng.normal(size=(seeds, 6000)) + rng.normal(0, 0.8, size=(1, 6000))
    assert 0.93 < coverage(interval(values, item_se=0.8)) < 0.97
    assert coverage(interval(values)) < 0.9


def test_three_seeds_are_not_their_smallest_and_largest_value():
    found = interval([0.1, 0.5, 0.3])
    assert found.lo < 0.1 - 0.1 and found.hi > 0.5 + 0.1


def test_tables_and_comparisons_take_the_same_interval():
    rows = noisy(example_rows(seeds=range(5), folds=range(5)))
    runs_of = report.run_means(rows)
    by_fold = runs_of["fsrf"].groupby(level=["repeat", "fold"]).mean().to_numpy()
    table = report.inter_table(rows)
    assert table.lo.loc["fsrf", "avg6"] == pytest.approx(interval(by_fold, folds=5).lo)
    gap = (runs_of["fsrf"] - runs_of["corrkd"]).groupby(level=["repeat", "fold"]).mean()
    line = report.paired_table(rows, against=["corrkd"]).iloc[0]
    assert line.lo == pytest.approx(interval(gap.to_numpy(), folds=5).lo)
    curve = report.curves(rows)["fsrf"]
    at_one_rate = report.run_interval(curve.iloc[:, 3])
    assert report.run_interval(curve).lo[3] == pytest.approx(at_one_rate.lo)


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
@pytest.mark.parametrize("folds", [1, 5])
def test_equal_signs_over_few_seeds_are_no_verdict(seeds, folds):
    rows = noisy(example_rows(seeds=range(seeds), folds=range(folds)))
    table = report.paired_table(rows)
    assert (table.difference > 0).all() and set(table.verdict) == {report.FEW}
    told = report.compare_text(rows)
    assert "cannot tell" in told and "--seeds 0-4" in told
    assert "above" not in told and "below" not in told
    assert report.inter_table(rows).best() == {}
    assert not report.is_sure(table).any() and "*" not in "".join(report.starred(table))


def test_five_seeds_have_a_verdict_and_no_p_value():
    table = report.paired_table(noisy(example_rows(seeds=range(5)), 0.001))
    assert set(table.verdict) == {report.ABOVE} and not {"p", "p_holm"} & set(table.columns)
    assert "for all 3 comparisons together" in report.verdict_text(table)
    assert set(report.from_reference(table).verdict) == {report.BELOW}


def test_seeds_that_change_nothing_are_no_repeats():
    rows = example_rows(seeds=range(5), methods=dict(fsrf=0.78, corrkd=0.76))
    assert set(report.paired_table(rows).verdict) == {report.SAME}


def test_a_method_with_fewer_seeds_is_not_ranked():
    rows = pd.concat([example_rows(seeds=range(5)), example_rows((0,), methods=dict(lucky=0.99))])
    table = report.inter_table(rows)
    assert set(table.best().values()) == {"fsrf"}
    assert table.groups[0][-1] == "plain_mrm" and table.groups[1] == ["lucky"]
    assert any("lucky (1 seed)" in note for note in table.notes)
    order = list(table.mean.index)
    assert order.index("plain_mrm") < order.index("lucky") < order.index("majority")
    lines = report.paired_table(rows, "lucky", ["fsrf"])
    assert set(lines.verdict) == {report.FEW}


def test_verdicts_of_a_table_hold_together():
    "Families of 100 equal comparisons over five seeds: hardly one has a sure sign"
    rng, families, wrong = np.random.default_rng(2), 300, 0
    for _ in range(families):
        mean, lo, hi = interval(rng.normal(size=(5, 100)))
        table = pd.DataFrame(dict(seeds=5, difference=mean, lo=lo, hi=hi, df=4))
        wrong += report.is_sure(report.judged(table)).any()
    assert wrong / families < 0.09
    assert widening(4, 1) == 1 and widening(4, 100) > 3


# --- different data under one name ----------------------------------------------------------------


@pytest.mark.parametrize(
    "look", [report.inter_table, report.paired_table, report.curves, report.influence_table]
)
def test_two_hashes_of_one_set_are_refused_by_name(look):
    rows = example_rows()
    other = rows.method.isin(["corrkd", "complete"])
    rows["data_sha256"] = rows.data_sha256.where(~other, "another" * 8)
    with pytest.raises(FsrfError) as error:
        look(rows)
    told = str(error.value)
    assert "anotheranoth: corrkd (seed 0, 1, 2); complete" in told and "d: fsrf" in told
    assert "fixed seed" in told


def small(seed=0):
    config = SyntheticConfig(sizes=(20, 10, 10), lengths=(2, 2, 1), dims=(3, 3, 3), seed=seed)
    return make_synthetic(config)


def test_a_grid_reads_each_set_once_and_plans_with_its_hash(monkeypatch):
    names, read = [f"set{i}" for i in range(7)], []

    def load(name):
        read.append(name)
        return dataclasses.replace(small(names.index(name)), name=name)

    monkeypatch.setattr(grid, "load_dataset", load)
    specs, ids = runs.plan(names, ["majority", "ridge", "plain_mrm"], [0, 1])
    assert sorted(read) == names and len(set(ids)) == len(specs) == 7 * 3 * 2
    hashes = {spec.dataset: spec.data_sha256 for spec in specs}
    assert hashes == {name: small(i).sha256 for i, name in enumerate(names)}
    runs.plan(names[:1], ["majority"], [0])
    assert len(read) == 8  # a file may have changed since


@pytest.mark.slow
def test_a_run_on_other_data_than_planned_fails_before_it_trains(tmp_path):
    spec = runs.RunSpec("majority", "tiny", plugin=PLUGIN, data_sha256="0" * 64)
    made = runs.execute(spec, tmp_path, "run")
    assert made.status == "failed" and "planned with" in made.error, made.error
    assert "expected: 000000000000" in made.error and not list(tmp_path.rglob("*.safetensors"))
