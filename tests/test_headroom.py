"""The best possible score on planted sets, and the committed table of it"""

import numpy as np
import pandas as pd
import pytest

from fsrf.core import FsrfError, find_root
from fsrf.data import PRESETS, QUICK, load_dataset, make_synthetic
from fsrf.evaluation import best_probabilities, best_scores, best_threshold, weighted_f1

TABLE = find_root() / "data" / "results" / "headroom" / "planted.csv"
SMALL = QUICK.replace(sizes=(30, 10, 120))


def test_the_committed_table_is_of_the_sets_as_they_are():
    rows = pd.read_csv(TABLE)
    assert set(rows.dataset) == set(PRESETS), "make headroom"
    for name, r in rows.groupby("dataset"):
        assert set(r.data_sha256) == {load_dataset(name).sha256}, f"{name} is stale: make headroom"
        assert r.subset.nunique() == 7 and set(r.scored_on) == {"population", "test"}
        assert not r.duplicated(["subset", "by", "scored_on", "seed"]).any()


def test_a_small_run_finds_what_is_committed():
    rows = pd.read_csv(TABLE).query("dataset == 'synthetic-quick' and by == 'known'")
    again = best_scores(load_dataset("synthetic-quick"), draws=40, activities=("known",))
    both = rows.merge(again, on=["subset", "scored_on"], suffixes=("", "_again"))
    assert len(both) == 14
    np.testing.assert_allclose(both.f1, both.f1_again, atol=0.03)


@pytest.mark.parametrize("activity", ["known", "inferred"])
def test_a_helper_alone_says_nothing_and_with_the_others_much(activity):
    config = SMALL.replace(helper="visual", helper_turns=0.5, strength=(1.0, 0.8, 2.0), balance=0.6)
    ds = make_synthetic(config)
    how = dict(activity=activity, draws=150)
    np.testing.assert_allclose(best_probabilities(ds, ["visual"], **how), 0.6, atol=0.15)
    alone, both = (
        abs(best_probabilities(ds, s, **how) - 0.5).mean()
        for s in (["language"], ["language", "visual"])
    )
    assert alone < 0.15 < both - 0.05


@pytest.mark.parametrize("activity", ["known", "inferred"])
def test_clean_frames_leave_nothing_open(activity):
    ds = make_synthetic(SMALL.replace(noise=0.01, white=0.01, label_noise=0.0))
    p = best_probabilities(ds, ds.spec.names, activity=activity)
    assert ((p > 0.5) == ds.y).mean() > 0.98
    part = best_probabilities(ds, ["visual"], activity=activity)
    assert ((part > 0.5) == ds.y).mean() < 0.85


def test_one_seed_one_answer_and_batches_do_not_matter_beyond_the_draws():
    ds = make_synthetic(SMALL.replace(sizes=(1, 1, 700)))
    p = best_probabilities(ds, ["language"], draws=60)
    np.testing.assert_array_equal(p, best_probabilities(ds, ["language"], draws=60))
    other = best_probabilities(ds, ["language"], draws=60, seed=1)
    assert 0 < abs(p - other).max() < 0.4 and abs(p - other).mean() < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_the_best_threshold_is_the_best(seed):
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 6, 40) / 5
    y = (rng.random(40) < p).astype(int)
    f1, threshold = best_threshold(y, p)
    each = [weighted_f1(y_true=y, y_pred=(p >= t).astype(int)) for t in np.unique(p)]
    assert f1 == pytest.approx(max(each))
    assert f1 == pytest.approx(weighted_f1(y_true=y, y_pred=(p >= threshold).astype(int)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(task="multiclass"), "binary"),
        (dict(lengths=(12, 12, 1)), "vectors"),
        (dict(dims=(32, 16, 6)), "at least 7"),
        (dict(white=0.0), "white"),
    ],
)
def test_sets_without_a_known_best_are_refused(change, words):
    with pytest.raises(FsrfError, match=words):
        best_probabilities(make_synthetic(SMALL.replace(**change)), ["language"])


def test_only_planted_sets_and_two_kinds_of_activity():
    ds = make_synthetic(SMALL)
    with pytest.raises(FsrfError, match="known or inferred"):
        best_probabilities(ds, ["language"], activity="guessed")
    ds.meta.pop("config")
    with pytest.raises(FsrfError, match="planted"):
        best_probabilities(ds, ["language"])
