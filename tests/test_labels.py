"""Samples without a label: where they are allowed, which part they are, what keeps them, and that
a training that does not use them is not moved by them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from fsrf.core import FsrfError
from fsrf.data import (
    MultimodalDataset,
    SyntheticConfig,
    cached,
    keep_labels,
    load_dataset,
    make_synthetic,
    register_dataset,
    summary,
)
from fsrf.data.dataset import DATASETS

TASKS = {  # task: (labels of twelve samples, what stands for none, names)
    "binary": (np.arange(12) % 2, -1, ()),
    "multiclass": (np.arange(12) % 3, -1, ("a", "b", "c")),
    "multilabel-binary": (np.stack([np.arange(12) % 2] * 2, 1), -1, ("a", "b")),
    "regression": (np.linspace(-2, 2, 12), np.nan, ()),
}
HIDDEN = [2, 7, 11]
SPLIT = np.array(["train"] * 6 + ["valid"] * 3 + ["test"] * 3)
FOLDS = np.stack([np.arange(12) % 3, np.arange(12) // 4])


def small(task="binary", hide=HIDDEN, **changes):
    "Twelve samples of a sequence and a vector, those of `hide` without a label"
    y, none, names = TASKS[task]
    y, split, folds = y.copy(), SPLIT.astype("U10"), FOLDS.copy()
    y[hide], split[hide], folds[:, hide] = none, "unlabelled", -1
    rng = np.random.default_rng(0)
    fields = dict(
        name="small",
        x=dict(language=rng.normal(size=(12, 4, 3)), audio=rng.normal(size=(12, 1, 2))),
        length=dict(language=np.full(12, 4), audio=np.ones(12, int)),
        y=y,
        ids=[f"s{i}" for i in range(12)],
        task=task,
        class_names=names,
        split=split,
        folds=folds,
    )
    assignment = changes.pop("by", "split")
    fields["folds" if assignment == "split" else "split"] = None
    return MultimodalDataset(**{**fields, **changes})


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("by", ["split", "folds"])
def test_samples_without_a_label_are_a_part_of_their_own(task, by):
    ds = small(task, by=by)
    assert np.flatnonzero(~ds.labelled).tolist() == HIDDEN
    assert np.flatnonzero(~ds.batch().labelled.numpy()).tolist() == HIDDEN
    for fold, repeat in [(0, 0)] if by == "split" else [(0, 0), (2, 1)]:
        parts = ds.parts(fold, repeat)
        assert list(parts) == ["train", "valid", "test", "unlabelled"]
        assert parts["unlabelled"].ids == [f"s{i}" for i in HIDDEN]
        assert sum(map(len, parts.values())) == 12
        assert [p.labelled.all() for p in parts.values()] == [True, True, True, False]
        frames = parts["train"].x["language"].reshape(-1, 3)
        np.testing.assert_allclose(frames.mean(0), 0, atol=1e-5)  # the labelled part's own scale
        np.testing.assert_allclose(frames.std(0), 1, atol=1e-4)


def test_a_set_with_all_labels_is_as_before(root):
    whole = small(hide=[])
    assert list(whole.parts()) == ["train", "valid", "test"] and whole.labelled.all()
    rows = pd.read_csv(root / "data/results/synthetic-redundant.csv.gz")
    assert set(rows.data_sha256) == {load_dataset("synthetic-redundant").sha256}


@pytest.mark.parametrize("task", TASKS)
def test_a_missing_label_elsewhere_is_named(task):
    ds = small(task)
    for split, words in (
        (np.where(np.arange(12) == 7, "valid", ds.split), "y, row 7"),
        (np.where(np.arange(12) == 4, "unlabelled", ds.split), "y, row 4"),
    ):
        with pytest.raises(FsrfError, match=words) as e:
            dataclasses.replace(ds, split=split)
        assert "1 such rows in all" in str(e.value)


def test_labels_partly_missing_or_not_in_all_repeats_are_refused():
    y = small("multilabel-binary").y.copy()
    y[0, 0] = -1
    with pytest.raises(FsrfError, match="outside the task"):
        small("multilabel-binary", y=y)
    folds = small(by="folds").folds.copy()
    folds[1, 2] = 0
    with pytest.raises(FsrfError, match="in all repeats"):
        small(by="folds", folds=folds)
    with pytest.raises(FsrfError, match="wrong folds"):
        small(by="folds", folds=folds - 1)


def test_the_hash_and_selections_see_what_is_hidden():
    ds, whole = small(), small(hide=[])
    assert ds.sha256 != whole.sha256
    part = ds.select(HIDDEN + [0])
    assert part.labelled.tolist() == [False] * 3 + [True] and part.y.tolist() == [-1] * 3 + [0]
    assert summary(ds).equals(summary(whole))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("by", ["split", "folds"])
def test_the_store_gives_back_the_same_parts(tmp_path, task, by):
    (tmp_path / "source").write_text("x")
    stored = cached([tmp_path / "source"], lambda: small(task, by=by), root=tmp_path / "store")
    here = small(task, by=by)
    assert stored.sha256 == here.sha256
    for name, part in here.parts().items():
        other = stored.parts()[name]
        np.testing.assert_array_equal(other.y, part.y)
        np.testing.assert_allclose(other.x["language"], part.x["language"], atol=1e-6)
        assert torch.equal(other.batch().labelled, part.batch().labelled)


@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 3)])
def test_labels_are_kept_by_class_nested_and_whatever_the_order(task, classes):
    ds = make_synthetic(SyntheticConfig(sizes=(90, 20, 20), lengths=(3, 1, 1), dims=(4, 3, 2),
                                        task=task, balance=.8))  # fmt: skip
    kept = {n: set(keep_labels(ds, n).parts()["train"].ids) for n in (classes, 10, 30, 90)}
    assert [len(ids) for ids in kept.values()] == list(kept)
    assert kept[classes] < kept[10] < kept[30] < kept[90]
    whole = np.bincount(ds.parts()["train"].y) / 90
    few = np.bincount(keep_labels(ds, 30).parts()["train"].y) / 30
    assert abs(whole - few).max() < 1.5 / 30
    assert len(set(keep_labels(ds, classes).parts()["train"].y.tolist())) == classes
    backwards = ds.select(np.arange(len(ds))[::-1])
    assert set(keep_labels(backwards, 10).parts()["train"].ids) == kept[10]
    assert set(keep_labels(ds, 10, seed=3).parts()["train"].ids) != kept[10]


def test_what_is_hidden_is_gone_and_the_rest_stays():
    ds = load_dataset("synthetic-quick")
    few = load_dataset("synthetic-quick?labels=60")
    hidden = few.split == "unlabelled"
    assert hidden.sum() == 420 and (few.y[hidden] == -1).all()
    assert np.isnan(few.meta["score"][hidden]).all()
    np.testing.assert_array_equal(few.y[~hidden], ds.y[~hidden])
    for part in ("valid", "test"):
        np.testing.assert_array_equal(few.parts(scale=False)[part].y, ds.parts()[part].y)
    assert few.meta["title"] == "Synthetic (quick), 60 labels"
    assert load_dataset("synthetic-quick?labels=60").sha256 == few.sha256
    other = load_dataset("synthetic-quick?labels=60&labels_seed=1")
    assert other.sha256 != few.sha256 and "draw 1" in other.meta["title"]


def test_a_set_with_folds_needs_one_of_them():
    register_dataset("small-folds")(lambda: small(by="folds", hide=[]))
    try:
        few = load_dataset("small-folds?labels=3&fold=1")
        assert {k: len(v) for k, v in few.parts().items()} == dict(
            train=3, valid=4, test=4, unlabelled=1
        )
        assert few.meta["title"] == "small-folds, fold 1, 3 labels".replace("-folds", "")
        with pytest.raises(FsrfError, match="fold=0..2"):
            load_dataset("small-folds?labels=3")
        with pytest.raises(FsrfError, match="labels=N"):
            load_dataset("small-folds?fold=1")
        with pytest.raises(FsrfError, match="labels=N") as e:
            load_dataset("small-folds?label=3")
        assert "'label=3'" in str(e.value)
    finally:
        del DATASETS["small-folds"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("synthetic-quick?labels=", "whole number"),
        ("synthetic-quick?labels=1", "2..480"),
        ("synthetic-quick?labels=481", "2..480"),
        ("synthetic-quick?labels=60&labels=60", "given once"),
        ("synthetic-quick?labels=60&fold=1", "no folds"),
        ("synthetic-quick?labels_seed=1", "labels=N"),
        ("synthetic-quick?labels=60&nois=1", "nois"),
        ("no-such-set?labels=60", "unknown data set"),
    ],
)
def test_bad_names_are_refused(name, words):
    with pytest.raises(FsrfError) as e:
        load_dataset(name)
    assert words in str(e.value)
