"""Samples without a label: where they are allowed, which part they are, what keeps them, and that
a training that does not use them is not moved by them."""

import concurrent.futures as cf
import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fsrf.core import FsrfError, generator, seeded
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
from fsrf.data.dataset import DATASETS, concatenate
from fsrf.data.files.check import check, leaks
from fsrf.data.files.read import open_path, read
from fsrf.data.files.show import show
from fsrf.data.files.write import write_mmsa, write_npz
from fsrf.methods.base import METHODS, task_loss
from fsrf.runs import collect, reproduce
from fsrf.runs.search import run_trial
from fsrf.training import TrainConfig, epoch_batches, fit

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


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("by", ["split", "folds"])
def test_an_npz_comes_back_with_what_is_hidden(tmp_path, task, by):
    names = dict(binary=("calm", "upset")).get(task, TASKS[task][2])
    ds = small(task, by=by, class_names=names)
    found = read(write_npz(ds, tmp_path / "own.npz"))
    assert found.task == task and found.labelled.tolist() == ds.labelled.tolist()
    np.testing.assert_array_equal(found.y, ds.y)
    for part, expected in ds.parts().items():
        assert found.parts()[part].ids == expected.ids
    again = open_path(tmp_path / "own.npz", tmp_path / "store")
    assert again.labelled.tolist() == ds.labelled.tolist()


def folder_of(path, labels, split=None):
    "A folder with a table of twelve samples and a vector for each"
    path.mkdir(exist_ok=True)
    np.save(path / "audio.npy", np.random.default_rng(0).normal(size=(12, 2)))
    split = small().split if split is None else split
    rows = [f"s{i},{label},{part}" for i, (label, part) in enumerate(zip(labels, split))]
    (path / "samples.csv").write_text("\n".join(["id,label,split", *rows]))
    return path


def blanked(values):
    return ["" if i in HIDDEN else str(v) for i, v in enumerate(values)]


@pytest.mark.parametrize(
    ("labels", "task", "names", "some"),
    [
        (blanked([0, 1] * 6), "binary", ("0", "1"), [0, 1, -1]),
        ([0, 1, -1, 0, 1, 2, 0, -1, 2, 0, 1, -1], "multiclass", ("0", "1", "2"), [0, 1, -1]),
        (blanked(["calm", "upset"] * 6), "binary", ("calm", "upset"), [0, 1, -1]),
        (blanked(np.linspace(-2, 2, 12).round(2)), "regression", (), [-2, -1.64, np.nan]),
        (["nan" if i in HIDDEN else i / 4 for i in range(12)], "regression", (), [0, 0.25, np.nan]),
    ],
)  # fmt: skip
def test_a_table_leaves_the_field_blank(tmp_path, labels, task, names, some):
    ds = read(folder_of(tmp_path / "own", labels))
    assert (ds.task, ds.class_names) == (task, names)
    np.testing.assert_allclose(ds.y[:3], some, rtol=1e-6)
    assert np.flatnonzero(~ds.labelled).tolist() == HIDDEN
    assert len(ds.parts()["unlabelled"]) == 3


def test_a_table_may_spell_it_the_other_way_and_be_cut_at_zero(tmp_path):
    split = np.where(np.isin(np.arange(12), HIDDEN), "Unlabeled", SPLIT)
    ds = read(folder_of(tmp_path / "own", blanked(np.linspace(-2, 2, 12)), split), task="binary")
    assert ds.y.tolist() == [0, 0, -1, 0, 0, 0, 1, -1, 1, 1, 1, -1]


@pytest.mark.parametrize(
    ("labels", "split", "words"),
    [
        (["a", "b"] * 6, None, "row 2"),
        ([0, 1] * 6, None, "an unlabelled sample has a label"),
        (blanked(["a", "b"] * 6), SPLIT, "row 2"),
        ([-1, *[0, 1] * 5, 0], SPLIT, "'unlabelled' in split"),
        (["nan", *np.linspace(0, 1, 11)], SPLIT, "row 0 of train (s0)"),
    ],
)
def test_a_label_in_the_wrong_place_is_named(tmp_path, labels, split, words):
    with pytest.raises(FsrfError) as e:
        read(folder_of(tmp_path / "own", labels, split))
    assert words in str(e.value)


def test_data_check_counts_them_and_says_nothing_against_them(tmp_path):
    lines, code = check(folder_of(tmp_path / "own", blanked([0, 1] * 6)))
    text = "\n".join(lines)
    assert code == 0 and "unlabelled 3" in text and "belong to no part" not in text
    assert "0 55.6%, 1 44.4%" in text  # of the nine that have a label
    assert "always the largest: 55.6%" in text and "LEAK" not in text
    assert show(tmp_path / "own", tmp_path / "own.png").stat().st_size > 10_000
    keys, split = ["a", "a", "b", "b"], np.array(["train", "unlabelled", "unlabelled", "test"])
    assert leaks(keys, split) == {("test", "unlabelled"): ["b"]}


def test_an_mmsa_pickle_holds_them(tmp_path):
    ds = small()
    back = read(write_mmsa(ds, tmp_path / "own.pkl"), name=ds.name)
    assert back.sha256 == ds.sha256 and (~back.labelled).sum() == (~ds.labelled).sum() > 0


# --- training -------------------------------------------------------------------------------------


class Watching(METHODS["plain_mrm"][0]):
    "plain-MRM that uses samples without a label: it pulls their logits to 0, and notes its batches"

    uses_unlabelled = True

    def loss(self, batch, generator):
        self.__dict__.setdefault("seen", []).append((batch.index.tolist(), batch.labelled.sum()))
        logits = self.predict(self.incomplete(batch, generator))
        task = task_loss(self.spec, logits[batch.labelled], batch.y[batch.labelled])
        return task + 0.1 * logits.square().mean(), dict(task=task.detach())


PLANTED = SyntheticConfig(sizes=(90, 20, 20), lengths=(3, 1, 1), dims=(4, 3, 2), k=2)
FEW = TrainConfig(epochs=3, batch_size=16, average=1.0)


def few(labels=20, **changes):
    return keep_labels(make_synthetic(PLANTED.replace(**changes)), labels).parts()


def train(parts, config=FEW, method=Watching, seed=0, unlabelled=True, **more):
    with seeded("init", seed):
        net = method(method.config_class(), parts["train"].spec)
    net.name = "watching"
    rest = parts["unlabelled"] if unlabelled else None
    how = dict(seed=seed, device="cpu", progress=False, unlabelled=rest)
    return net, fit(net, parts["train"], parts["valid"], config, **how, **more)


def weights(net):
    return torch.cat([w.flatten() for w in net.state_dict().values()])


def test_each_step_sees_as_many_samples_without_a_label():
    parts = few()
    net, history = train(parts)
    sizes = [(len(index), int(labelled)) for index, labelled in net.seen]
    assert sizes == [(32, 16), (8, 4)] * 3 and len(history) == 3
    for index, labelled in net.seen:
        assert max(index[:labelled]) < 20 <= min(index[labelled:]) and max(index) < 90
    epochs = [net.seen[i][0][16:] + net.seen[i + 1][0][4:] for i in (0, 2, 4)]
    assert [len(set(e)) for e in epochs] == [20] * 3  # no sample twice before all were seen
    assert len(set(sum(epochs, []))) > 40  # each epoch starts elsewhere


def test_the_stream_goes_through_all_of_them_before_it_begins_again():
    parts = few()
    config = FEW.replace(unlabelled_ratio=2.0, least_steps=7)
    steps = list(epoch_batches(parts["train"], config, seed=0, epoch=0,
                               unlabelled=parts["unlabelled"]))  # fmt: skip
    assert [(n, len(b) - n) for b, n in steps] == [(16, 32), (4, 8)] * 3 + [(16, 32)]
    drawn = torch.cat([b.index[n:] for b, n in steps]).tolist()
    assert len(drawn) == 152 and sorted(drawn[:70]) == sorted(drawn[70:140]) == list(range(20, 90))
    labelled = torch.cat([b.index[:n] for b, n in steps]).tolist()
    rounds = [labelled[i : i + 20] for i in (0, 20, 40)]
    assert [sorted(r) for r in rounds] == [list(range(20))] * 3
    assert len({tuple(r) for r in rounds}) == 3  # reshuffled
    half = FEW.replace(unlabelled_ratio=0.5)
    halves = epoch_batches(parts["train"], half, seed=0, epoch=0, unlabelled=parts["unlabelled"])
    assert [len(b) - n for b, n in halves] == [8, 2]


@pytest.mark.parametrize("task", ["multilabel-binary", "regression"])
def test_labels_that_are_missing_stay_missing_in_a_batch(task):
    parts = few(task=task)
    batch, n = next(epoch_batches(parts["train"], FEW, seed=0, epoch=0,
                                  unlabelled=parts["unlabelled"]))  # fmt: skip
    y = batch.y[n:]
    assert (y.isnan() if task == "regression" else y == -1).all()
    _, history = train(parts)
    assert np.isfinite([epoch["loss"] for epoch in history]).all()


def test_without_such_samples_or_without_a_use_for_them_nothing_changes():
    parts = few()
    alone, _ = train(parts, unlabelled=False)
    none, _ = train(parts, FEW.replace(unlabelled_ratio=0.0))
    with_them, _ = train(parts)
    assert [n for _, n in alone.seen] == [16, 4] * 3
    assert torch.equal(weights(alone), weights(none))
    assert not torch.equal(weights(alone), weights(with_them))
    plain = METHODS["plain_mrm"][0]
    assert not plain.uses_unlabelled
    one, _ = train(parts, method=plain)
    other, _ = train(parts, method=plain, unlabelled=False)
    assert torch.equal(weights(one), weights(other))


@pytest.mark.parametrize("least_steps", [0, 3])
def test_a_run_that_was_cut_off_goes_on_to_the_bit(tmp_path, monkeypatch, least_steps):
    parts, config = few(), FEW.replace(least_steps=least_steps)
    whole, history = train(parts, config)
    clip, calls = torch.nn.utils.clip_grad_norm_, []

    def cut(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2 * (least_steps or 2) + 2:
            raise InterruptedError
        return clip(*args, **kwargs)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", cut)
    with pytest.raises(InterruptedError):
        train(parts, config, run_dir=tmp_path)
    again, resumed = train(parts, config, run_dir=tmp_path)
    assert torch.equal(weights(whole), weights(again))
    assert [e["loss"] for e in resumed] == [e["loss"] for e in history]
    assert len(again.seen) == (least_steps or 2)  # the third epoch alone was made again
    others = few(label_noise=0.3)["unlabelled"]  # a state is that of its unlabelled samples too
    _, anew = train(parts | dict(unlabelled=others), config, run_dir=tmp_path)
    assert anew[0]["loss"] != history[0]["loss"]


def test_steps_of_few_labels_are_counted():
    parts = few(6)
    net, history = train(parts, FEW.replace(least_steps=5, epochs=6))
    assert [int(n) for _, n in net.seen] == [6] * 30
    losses = [epoch["task"] for epoch in history]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def test_a_teacher_is_given_them_if_it_uses_them():
    class Student(METHODS["plain_mrm"][0]):
        def teacher(self):
            return Watching(self.config, self.spec)

        def adopt(self, teacher):
            self.__dict__["taught_by"] = teacher

    net, _ = train(few(), method=Student)
    assert [len(index) for index, _ in net.taught_by.seen] == [32, 8] * 3


def test_an_unlabelled_part_with_labels_or_of_another_kind_is_refused():
    parts = few()
    with pytest.raises(FsrfError, match="has labels"):
        train(parts | dict(unlabelled=parts["valid"]))
    other = keep_labels(make_synthetic(PLANTED.replace(dims=(4, 3, 1))), 20).parts()
    with pytest.raises(FsrfError, match="another kind"):
        train(parts | dict(unlabelled=other["unlabelled"]))


def test_a_refit_is_on_both_labelled_parts_and_the_same_unlabelled_ones():
    parts = few()
    net, history = train(parts, FEW.replace(refit=True))
    kept = max(range(3), key=lambda i: history[i]["valid"]) + 1
    assert [int(n) for _, n in net.seen] == [16, 16, 8] * kept  # 20 + 20 samples
    assert min(net.seen[0][0][16:]) >= 40


def test_a_search_trial_uses_them(monkeypatch):
    seen = []

    class Told(Watching):
        def loss(self, batch, generator):
            seen.append((len(batch), int(batch.labelled.sum())))
            return super().loss(batch, generator)

    monkeypatch.setitem(METHODS, "told", (Told, {}))
    setting = dict(train=dict(epochs=1, batch_size=16), config={})
    [row] = run_trial("told", "synthetic-quick?labels=20", setting)
    assert seen == [(32, 16), (8, 4)] and row["epochs"] == 1


# --- mean teacher ---------------------------------------------------------------------------------


class MeanTeacher(METHODS["mean_teacher"][0]):
    "With a ramp and a mean that matter within a few steps"

    @staticmethod
    def config_class():
        return METHODS["mean_teacher"][0].config_class(ramp=4, decay=0.8, layers=1)


def test_a_mean_teacher_that_was_cut_off_goes_on_to_the_bit(tmp_path, monkeypatch):
    parts = few()
    whole, history = train(parts, method=MeanTeacher)
    clip, calls = torch.nn.utils.clip_grad_norm_, []

    def cut(*args, **kwargs):
        calls.append(1)
        if len(calls) == 6:
            raise InterruptedError
        return clip(*args, **kwargs)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", cut)
    with pytest.raises(InterruptedError):
        train(parts, method=MeanTeacher, run_dir=tmp_path)
    again, resumed = train(parts, method=MeanTeacher, run_dir=tmp_path)
    assert [e["loss"] for e in resumed] == [e["loss"] for e in history]
    assert [name for name in whole.state_dict() if name.startswith("mean.")]
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    assert int(whole.step) == 2 * (1 + max(range(3), key=lambda i: history[i]["valid"]))


def test_a_mean_teacher_follows_its_student_and_no_gradient():
    parts = few()
    with seeded("mt"):
        net = MeanTeacher(MeanTeacher.config_class(), parts["train"].spec).train()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    students = []
    for step in range(3):
        students.append([w.detach().clone() for w in net.encoders.parameters()])
        loss, _ = net.loss(parts["train"].batch(), generator("v", step))
        optimizer.zero_grad()
        loss.backward()
        assert all(w.grad is None for w in net.mean.parameters())
        optimizer.step()
    one, two, three = students  # alpha is 0, 1/2, 2/3: the plain mean of all steps so far
    for i, weight in enumerate(net.mean.encoders.parameters()):
        torch.testing.assert_close(weight, (one[i] + two[i] + three[i]) / 3)
    before = weights(net.mean)
    net.eval().loss(parts["train"].batch(), generator("v"))
    assert torch.equal(weights(net.mean), before)  # a look at the loss moves nothing


def test_what_a_mean_teacher_learns_from_samples_without_a_label_is_consistency_alone():
    parts = few()
    with seeded("mt"):
        net = MeanTeacher(MeanTeacher.config_class(), parts["train"].spec).eval()
    labelled, more = parts["train"].batch(), parts["unlabelled"].batch()
    both = concatenate(labelled, more)
    _, alone = net.loss(labelled, generator("v"))
    _, parts_of_both = net.loss(both, generator("v"))
    logits = net.predict(net.incomplete(both, generator("v")))[: len(labelled)]
    torch.testing.assert_close(parts_of_both["task"], task_loss(net.spec, logits, labelled.y))
    assert alone["consistency"] != parts_of_both["consistency"]
    plain, _ = train(parts, method=METHODS["plain_mrm"][0])
    off = METHODS["mean_teacher"][0].config_class(consistency=0.0)
    with seeded("init", 0):
        same = METHODS["mean_teacher"][0](off, parts["train"].spec)
    fit(same, parts["train"], parts["valid"], FEW, seed=0, device="cpu", progress=False)
    student = {k: v for k, v in same.state_dict().items() if k in plain.state_dict()}
    for name, weight in plain.state_dict().items():  # without its term it is plain-MRM, to the bit
        assert torch.equal(weight, student[name]), name


def at_once(function, *arguments):
    "`submit` without workers"
    future = cf.Future()
    future.set_result(function(*arguments))
    return future


def test_a_set_with_few_labels_goes_through_a_grid(tmp_path):
    name = "synthetic-quick?labels=24&seed=1"
    settings = dict(train=dict(epochs=1), evaluation=dict(rates=[0.0], mask_seeds=[0]))
    [made] = reproduce([name], ["mean_teacher"], [0], tmp_path, submit=at_once, progress=False,
                       settings=settings)  # fmt: skip
    assert made.status == "done", made
    folder = Path(made.path)
    assert re.fullmatch(r"mean_teacher-synthetic-quick-labels-24-seed-1-s0-\w{12}", folder.name)
    rows = collect(tmp_path, [made.id])
    assert set(rows.dataset) == {name} and set(rows.data_sha256) == {load_dataset(name).sha256}
    text = (folder / "run.ipynb").read_text(encoding="utf-8")
    assert "unlabelled" in text and "456" in text  # 480 training samples but for 24
    [again] = reproduce([name], ["mean_teacher"], [0], tmp_path, submit=at_once, progress=False,
                        settings=settings)  # fmt: skip
    assert again.status == "skipped"
