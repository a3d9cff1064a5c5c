"""Properties of the metrics on random input: scikit-learn's values, and the ways a score must
refuse to be computed."""

import dataclasses
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn import metrics as skm

from fsrf import report
from fsrf.core import FsrfError, seeded
from fsrf.data import FAMILIES, MultimodalDataset, files, metric_family
from fsrf.evaluation import EvalConfig, check_metric, evaluate_rows, metric_names, notes_before
from fsrf.evaluation import metrics as fm
from fsrf.methods import build
from fsrf.training import TrainConfig, fit

settings.register_profile("metrics", deadline=None, derandomize=True, max_examples=60)
props = settings.get_profile("metrics")
close = pytest.approx


@st.composite
def labels(draw, low=0, high=4, values=None):
    "Truth and prediction of one length, often with classes that only one of the two holds."
    n = draw(st.integers(1, 30))
    value = st.integers(low, high) if values is None else values
    return tuple(np.array(draw(st.lists(value, min_size=n, max_size=n))) for _ in range(2))


# grains that hit zero and the halves, where the conventions differ
sentiment = st.integers(-24, 24).map(lambda k: k / 6) | st.integers(-9, 9).map(lambda k: k / 2)


@props
@given(labels())
def test_classification_equals_sklearn(ty):
    t, p = ty
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert fm.weighted_f1(y_true=t, y_pred=p) == close(
            skm.f1_score(t, p, average="weighted"), abs=1e-12
        )
        assert fm.macro_f1(y_true=t, y_pred=p) == close(
            skm.f1_score(t, p, average="macro"), abs=1e-12
        )
        assert fm.accuracy(y_true=t, y_pred=p) == close(skm.accuracy_score(t, p), abs=1e-12)
        assert fm.f1_swapped_legacy(y_true=t, y_pred=p) == close(
            skm.f1_score(p, t, average="weighted"), abs=1e-12
        )


def test_the_swap_is_a_different_number():
    """Without this, the property above would hold for a library that ignores which argument is the
    truth."""
    t, p = np.array([0] * 5 + [1] * 3), np.zeros(8, int)
    assert fm.weighted_f1(y_true=t, y_pred=p) == close(2 * 0.625**2 / 1.625)
    assert fm.f1_swapped_legacy(y_true=t, y_pred=p) == close(2 * 0.625 / 1.625)


@props
@given(labels(values=sentiment))
def test_regression_equals_sklearn(ty):
    t, p = ty
    f1 = lambda a, b: skm.f1_score(a, b, average="weighted")  # noqa: E731
    assert fm.f1_has0(y_true=t, y_pred=p) == close(f1(t >= 0, p >= 0), abs=1e-12)
    assert fm.acc2_has0(y_true=t, y_pred=p) == close(skm.accuracy_score(t >= 0, p >= 0), abs=1e-12)
    assert fm.mae(y_true=t, y_pred=p) == close(skm.mean_absolute_error(t, p), abs=1e-12)
    for f, k in ((fm.acc7, 3), (fm.acc5, 2)):
        same = skm.accuracy_score(np.round(np.clip(t, -k, k)), np.round(np.clip(p, -k, k)))
        assert f(y_true=t, y_pred=p) == close(same, abs=1e-12)
    some = t != 0
    if some.any():
        assert fm.f1_non0(y_true=t, y_pred=p) == close(f1(t[some] > 0, p[some] > 0), abs=1e-12)
        assert fm.acc2_non0(y_true=t, y_pred=p) == close(
            skm.accuracy_score(t[some] > 0, p[some] > 0), abs=1e-12
        )
    else:
        with pytest.raises(FsrfError, match="Non0 set is empty"):
            fm.f1_non0(y_true=t, y_pred=p)


@props
@given(labels(values=sentiment))
def test_pearson_is_numpys_or_zero(ty):
    t, p = ty
    if np.ptp(t) == 0:
        with pytest.raises(FsrfError, match="labels that differ"):
            fm.pearson(y_true=t, y_pred=p)
    else:
        want = 0.0 if np.ptp(p) == 0 else np.corrcoef(t, p)[0, 1]
        assert fm.pearson(y_true=t, y_pred=p) == close(want, abs=1e-9)


# scores with the cuts of CH-SIMS among them, and some beyond its ends, in float32 as data come
cuts = st.sampled_from([-1.2, -1, -0.7, -0.6, -0.4, -0.1, 0, 0.1, 0.2, 0.4, 0.7, 0.8, 1, 1.5])
sims = cuts.map(np.float32) | st.floats(-1.25, 1.25, width=32).map(np.float32)


def mmsa_class(y, edges):
    "As MMSA cuts: the number of the interval (low, high] that holds each score."
    y = np.clip(np.asarray(y, np.float32), -1, 1)
    out = np.full(len(y), -1)
    for i, (low, high) in enumerate(zip(edges, edges[1:], strict=False)):
        out[(y > low) & (y <= high)] = i
    return out


@props
@given(labels(values=sims))
def test_sims_equals_its_public_definition(ty):
    t, p = (np.asarray(y, np.float32) for y in ty)
    row = fm.score("regression", y_true=t, logits=p, metrics="sims")
    edges = {
        2: [-1.01, 0, 1.01],
        3: [-1.01, -0.1, 0.1, 1.01],
        5: [-1.01, -0.7, -0.1, 0.1, 0.7, 1.01],
    }
    classes = {k: (mmsa_class(t, e), mmsa_class(p, e)) for k, e in edges.items()}
    for k, (truth, said) in classes.items():
        assert row[f"acc{k}_sims"] == close(skm.accuracy_score(truth, said), abs=1e-12)
    assert row["f1_sims"] == close(skm.f1_score(*classes[2], average="weighted"), abs=1e-12)
    ct, cp = np.clip(t, -1, 1), np.clip(p, -1, 1)
    assert row["mae_sims"] == close(skm.mean_absolute_error(ct, cp), abs=1e-6)
    weak = (ct >= np.float32(-0.4)) & (ct <= np.float32(0.4))
    assert ("acc2_weak_sims" in row) == weak.any()
    if weak.any():
        truth, said = (y[weak] for y in classes[2])
        assert row["acc2_weak_sims"] == close(skm.accuracy_score(truth, said), abs=1e-12)
    if np.ptp(ct) == 0:
        assert not {"pearson_sims", "r2_sims"} & set(row)
    else:
        want = 0.0 if np.ptp(cp) == 0 else np.corrcoef(ct, cp)[0, 1]
        assert row["pearson_sims"] == close(want, abs=1e-6)
        assert row["r2_sims"] == close(skm.r2_score(ct, cp), rel=1e-4, abs=1e-4)
    assert not [name for name in row if name in ("f1_has0", "acc7", "acc5", "mae", "pearson")]


def test_a_zero_is_negative_for_sims_and_positive_for_has0():
    y, p = np.array([0.0, 0.2, -0.2]), np.array([-0.1, 0.3, -0.3])
    assert fm.score("regression", y_true=y, logits=p, metrics="sims")["acc2_sims"] == 1
    assert fm.score("regression", y_true=y, logits=p)["acc2_has0"] == close(2 / 3)


@props
@given(labels(values=st.floats(1, 7) | st.integers(1, 7).map(float)))
def test_plain_regression_equals_sklearn_and_scipy(ty):
    t, p = ty
    row = fm.score("regression", y_true=t, logits=p, metrics="regression")
    assert row["mae"] == close(skm.mean_absolute_error(t, p), abs=1e-12)
    assert row["rmse"] == close(skm.root_mean_squared_error(t, p), abs=1e-9)
    if np.ptp(t) == 0:
        assert set(row) == {"mae", "rmse", "constant_prediction"}
        for f in (fm.r2, fm.pearson, fm.spearman):
            with pytest.raises(FsrfError, match="labels that differ"):
                f(y_true=t, y_pred=p)
        return
    assert list(row)[0] == "r2" and row["r2"] == close(skm.r2_score(t, p), rel=1e-6, abs=1e-6)
    assert not [name for name in row if name.startswith(("f1", "acc"))]
    if np.ptp(p) == 0:
        assert row["spearman"] == row["pearson"] == 0
    else:
        assert row["spearman"] == close(stats.spearmanr(t, p).statistic, abs=1e-9)
        if np.ptp(t) > 1e-6 and np.ptp(p) > 1e-6:
            assert row["pearson"] == close(stats.pearsonr(t, p).statistic, abs=1e-6)


EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")


@props
@given(st.integers(1, 12), st.data())
def test_emotions_equal_sklearn(n, data):
    bits = arrays(int, (n, 6), elements=st.integers(0, 1))
    y, said = data.draw(bits), data.draw(bits)
    logits = np.stack([1 - said, said], -1).astype(float)
    row = fm.score("multilabel-binary", y_true=y, logits=logits, class_names=EMOTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an emotion that nobody feels, scikit-learn warns
        for i, name in enumerate(EMOTIONS):
            t, p = y[:, i], said[:, i]
            f1 = skm.f1_score(t, p, average="weighted")
            assert row[f"f1_{name}"] == close(f1, abs=1e-12)
            assert row[f"wacc_{name}"] == close(skm.balanced_accuracy_score(t, p), abs=1e-12)
            if 0 < t.sum() < n:  # as the field writes it: (TP N/P + TN)/2N
                positive, negative = t.sum(), n - t.sum()
                hits, rejected = (t & p).sum(), ((1 - t) & (1 - p)).sum()
                published = (hits * negative / positive + rejected) / (2 * negative)
                assert row[f"wacc_{name}"] == close(published, abs=1e-12)
    assert row["wacc"] == close(np.mean([row[f"wacc_{name}"] for name in EMOTIONS]))
    assert row["f1_weighted"] == close(np.mean([row[f"f1_{name}"] for name in EMOTIONS]))


def test_constant_means_one_value_and_one_sign_has_its_own_column():
    y = np.array([0.2, 1.0, 2.0, 3.0, 0.5])
    row = fm.score("regression", y_true=y, logits=y)
    assert row["pearson"] == close(1) and (row["constant_prediction"], row["one_sign"]) == (0, 1)
    rounding = np.float32(0.3) + np.array([0, 1, -1, 0, 0]) * np.float32(3e-8)
    for family in FAMILIES["regression"]:
        for p, constant in ((y, 0), (rounding, 1), (np.full(5, -0.3), 1), (y * 1e-3, 0)):
            row = fm.score("regression", y_true=y, logits=p, metrics=family)
            assert row["constant_prediction"] == constant, (family, p)
            assert ("one_sign" in row) == (family != "regression")


@pytest.mark.parametrize(
    ("y", "name", "family"),
    [
        (np.arange(-15, 16) / 5, "x", "mosi"),
        (np.array([-3, -1 / 6, 2.75]), "x", "mosi"),
        (np.arange(-3.0, 4), "x", "mosi"),
        (np.arange(-5, 6) / 5, "unaligned_39", "sims"),
        (np.array([-0.33, 0.1, 0.9]), "ch-simsv2s", "sims"),
        (np.arange(-5, 6) / 5, "mosei_part", "regression"),
        (np.arange(-3.0, 4), "sims", "regression"),
        (np.array([-0.33, 0.1, 0.9]), "x", "regression"),
        (np.array([-1.0, 0, 1]), "x", "regression"),
        (np.array([1, 3.5, 7]), "mosi", "regression"),
        (np.array([0, 0.2, 1]), "sims", "regression"),
        (np.array([-4.0, 4]), "mosi", "regression"),
        (np.array([-2.313, 0.027, 2.931]), "mosi", "regression"),
        (np.array([-2.0, 0, 2]), "mosi", "regression"),
    ],
)
def test_only_scores_that_look_so_get_mosis_or_sims_metrics(y, name, family):
    for dtype in (np.float32, np.float64):
        assert metric_family("regression", y.astype(dtype), name)[0] == family


def regression_set(y, **fields):
    n = len(y)
    return MultimodalDataset(
        "u",
        x=dict(language=np.random.default_rng(0).normal(size=(n, 3, 2))),
        length=dict(language=np.full(n, 3)),
        y=y,
        ids=[f"s{i}" for i in range(n)],
        task="regression",
        split=np.resize(["train", "valid", "test"], n),
        **fields,
    )


def test_the_family_stays_with_the_data_and_tells_rows_apart(tmp_path):
    y = np.arange(-6, 6) / 5  # -1.2 .. 1: nobody's scale
    sets = {family: regression_set(y, metrics=family) for family in FAMILIES["regression"]}
    assert regression_set(y).metrics == "regression"
    assert len({ds.sha256 for ds in sets.values()}) == 3
    for family, ds in sets.items():
        assert {part.metrics for part in ds.parts().values()} == {family}
        for path in (
            files.write_npz(ds, tmp_path / f"{family}.npz"),
            files.write_mmsa(ds, tmp_path / f"{family}.pkl"),
        ):
            back = files.read(path, name="u")
            stored = files.open_path(path, tmp_path / "store", name="u")
            assert back.metrics == stored.metrics == stored.parts()["test"].metrics == family
            assert back.sha256 == stored.sha256 == ds.sha256
        assert files.read(path, metrics="sims").metrics == "sims"  # what is asked for comes first
    with pytest.raises(FsrfError, match="unknown metrics"):
        regression_set(y, metrics="mosei")
    signs = dataclasses.replace(ds, y=(y > 0).astype(int), task="binary")
    assert signs.metrics == "classes"
    arrays = dict(np.load(tmp_path / "sims.npz")) | dict(metrics=np.array("simss"))
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(FsrfError, match="unknown metrics"):
        files.read(tmp_path / "bad.npz")


def test_a_family_that_the_labels_chose_is_said(tmp_path):
    y = np.arange(-5, 7) / 5 - 0.2
    y[-1] = 0
    path = tmp_path / "x.npz"
    np.savez(path, x_language=np.ones((12, 2), np.float32), y=y, split=np.resize(["train"], 12))
    ds = files.read(path)
    assert ds.metrics == "regression" and any("metrics: regression" in n for n in ds.meta["notes"])
    assert any(line.startswith("note      metrics: regression") for line in files.check(path)[0])


@st.composite
def tasks(draw):
    """A task with truth, and logits of some conditions; few distinct logits, so that ties and
    constants occur."""
    task, c, n = (
        draw(st.sampled_from(sorted(FAMILIES))),
        draw(st.integers(1, 4)),
        draw(st.integers(2, 12)),
    )
    k = draw(st.integers(2, 4)) if task == "multiclass" else 2
    few = st.sampled_from([-1.5, -1.0, 0.0, 0.5, 2.0])
    if task == "regression":
        y = draw(arrays(float, n, elements=few).filter(lambda y: np.ptp(y) > 0))
        return task, y, draw(arrays(float, (c, n, 1), elements=few))
    shape = (n, 3) if task == "multilabel-binary" else (n,)
    return (
        task,
        draw(arrays(int, shape, elements=st.integers(0, k - 1))),
        draw(arrays(float, (c, *shape, k), elements=few)),
    )


@props
@given(tasks())
def test_score_many_equals_score(case):
    task, y, logits = case
    for family in FAMILIES[task]:
        rows = [fm.score(task, y_true=y, logits=one, metrics=family) for one in logits]
        first = fm.PRIMARY[family]
        many = fm.score_many(task, y_true=y, logits=logits, metrics=family)
        assert many.tolist() == [r[first] for r in rows]
        table = fm.score_table(task, y_true=y, logits=logits, metrics=family)
        for name in rows[0]:
            assert table[name].tolist() == close([r[name] for r in rows], abs=1e-12)
        assert all(next(iter(r)) == first and np.isfinite(list(r.values())).all() for r in rows)


def test_validation_ranks_epochs_also_where_all_labels_are_equal():
    y, logits = np.full(4, 2.0), np.array([[2.0, 2, 2, 2], [2, 2, 2, 3], [5, 5, 5, 5]])
    scores = fm.score_many("regression", y_true=y, logits=logits, metrics="regression")
    assert np.isfinite(scores).all() and (np.diff(scores) < 0).all()


@props
@given(tasks(), st.sampled_from([np.nan, np.inf, -np.inf]), st.randoms(use_true_random=False))
def test_a_value_that_is_not_finite_is_an_error(case, value, random):
    task, y, logits = case
    logits.flat[random.randrange(logits.size)] = value
    with pytest.raises(FsrfError, match="not finite"):
        fm.score_many(task, y_true=y, logits=logits)
    with pytest.raises(FsrfError, match="not finite"):
        for one in logits:
            fm.score(task, y_true=y, logits=one)


@props
@given(tasks(), st.randoms(use_true_random=False))
def test_scores_do_not_depend_on_the_order_of_samples(case, random):
    task, y, logits = case
    order = list(range(len(y)))
    random.shuffle(order)
    before = fm.score_many(task, y_true=y, logits=logits)
    assert fm.score_many(task, y_true=y[order], logits=logits[:, order]).tolist() == close(
        before.tolist(), abs=1e-12
    )


def test_truth_cannot_be_given_by_position():
    for f in (fm.weighted_f1, fm.f1_non0, fm.f1_has0, fm.score, fm.score_many):
        with pytest.raises(TypeError):
            f([0, 1], [0, 1])


# --- floors, tables and the plan ------------------------------------------------------------------


def three_modalities(order, task="binary", y=None, **fields):
    "120 samples whose label is in one column of `order[0]`'s name alone, wherever that stands."
    rng = np.random.default_rng(1)
    n = 120
    score = rng.normal(size=n)
    x = {m: rng.normal(size=(n, 1, 4)) for m in sorted(order)}
    x["text" if "text" in order else order[-1]][:, 0, 0] = score
    return MultimodalDataset(
        "planted",
        x={m: x[m] for m in order},
        length={m: np.ones(n, int) for m in order},
        y=(score > 0).astype(int) if y is None else y(score),
        ids=[f"s{i}" for i in range(n)],
        task=task,
        split=np.repeat(["train", "valid", "test"], [60, 30, 30]),
        **fields,
    )


CONDITIONS = EvalConfig(rates=(0.0, 0.5), mask_seeds=(0,))


def rows_of(name, ds, seed=0, config=None, epochs=30):
    parts = ds.parts()
    with seeded("init", seed):
        method = build(name, config or {}, ds.spec)
    training = TrainConfig(epochs=epochs, patience=epochs, lr=3e-3, batch_size=16)
    fit(method, parts["train"], parts["valid"], training, seed=seed, device="cpu", progress=False)
    meta = dict(method=name, dataset=ds.name, seed=seed, fold=0, repeat=0, config_hash="c")
    meta |= dict(data_sha256=ds.sha256, checkpoint_sha256="k", seconds=0.0)
    return evaluate_rows(method, parts["test"], CONDITIONS, meta=meta, device="cpu")


SMALL = dict(width=8, heads=2, layers=0, dropout=0.0, input_dropout=0.0)


@pytest.mark.parametrize("order", [("audio", "vision", "text"), ("text", "audio", "vision")])
def test_the_language_floor_is_of_language_wherever_it_stands(order):
    rows = rows_of("language_only", three_modalities(order), config=SMALL)
    inter = rows[(rows.protocol == "inter") & (rows.metric == "f1_weighted")]
    f1 = inter.set_index("subset").value
    assert f1["{t}"] > 0.85 and max(f1["{a}"], f1["{v}"]) < 0.7
    assert report.single_modality_notes(rows) == []  # its name says it


def test_without_language_the_floor_says_its_modality():
    ds = three_modalities(("hashtags", "attributes", "words"))
    for name, way_on in (("language_only", "single_modality"), ("lnln", "lnln.dominant")):
        with pytest.raises(FsrfError, match="no modality is called language") as error:
            build(name, {}, ds.spec)
        assert way_on in str(error.value) and "hashtags, attributes, words" in str(error.value)
    rows = rows_of("single_modality", ds, config=SMALL)
    told = "single_modality looks at one modality: {w} (1 of 1 runs)"
    assert told in report.inter_table(rows).notes
    inter = rows[(rows.protocol == "inter") & (rows.metric == "f1_weighted")]
    f1 = inter.set_index("subset").value
    assert f1["{w}"] > 0.85 and f1["{w}"] == f1["{h,a,w}"] and f1["{h}"] == f1["{h,a}"]
    named = rows_of("single_modality", ds, config=SMALL | dict(modality="hashtags"), epochs=2)
    assert any("{h} (1 of 1" in note for note in report.inter_table(named).notes)


def test_rows_of_an_older_language_floor_say_which_modality_they_are_of():
    rows = rows_of("single_modality", three_modalities(("audio", "vision", "text")), config=SMALL)
    rows["subset"] = rows.subset.str.replace("t", "x").str.replace("a", "t").str.replace("x", "a")
    older = rows.assign(method="language_only")  # the first modality, which was audio
    assert report.single_modality_notes(older) == [
        "language_only looks at one modality: {a} (1 of 1 runs)"
    ]


@pytest.mark.parametrize(
    ("family", "scale", "headline"),
    [("mosi", 1.2, "f1_has0"), ("sims", 0.4, "f1_sims"), ("regression", 1.0, "r2")],
)
def test_rows_and_tables_follow_the_family(family, scale, headline):
    shift = 4 if family == "regression" else 0
    ds = three_modalities(
        ("language", "audio"),
        task="regression",
        y=lambda score: np.round(np.clip(score * scale, -2.5 * scale, 2.5 * scale) * 5) / 5 + shift,
    )
    assert ds.metrics == family
    rows = pd.concat([rows_of(m, ds) for m in ("ridge", "majority")])
    names = set(metric_names(ds))
    told = {"constant_prediction", "realised_rate", "influence"}
    told |= {"one_sign"} if family != "regression" else set()
    assert set(rows.metric) == names | told
    table = report.inter_table(rows)
    assert report.headline(rows) == headline == metric_names(ds)[0]
    assert report.metric_label(headline) in table.caption
    mean = table.mean["{l,a}"]
    assert mean["ridge"] > mean["majority"] + 0.3  # the strength was chosen by a score that tells
    constant = report.constant_predictors(rows)
    assert "majority" in set(constant.method) and set(constant.what) == {"one value"}
    assert report.inter_table(rows, "mae_sims" if family == "sims" else "mae").lower_is_better


def test_a_metric_that_the_data_do_not_have_is_told_before_training():
    ds = three_modalities(("language", "audio"))
    with pytest.raises(FsrfError, match="no such metric") as error:
        check_metric(ds, "r2")
    assert "f1_weighted, f1_macro" in str(error.value)
    assert check_metric(ds, "accuracy") is check_metric(ds, "") is None


def test_labels_that_say_nothing_are_told_and_still_give_rows():
    ds = three_modalities(
        ("language", "audio"), "regression", lambda s: np.where(np.arange(120) < 90, s, 0.5)
    )
    assert any("correlation" in note for note in notes_before(ds))
    rows = rows_of("ridge", ds)
    assert "mae" in set(rows.metric) and not {"r2", "pearson"} & set(rows.metric)
    assert report.headline(rows) == "mae" and report.inter_table(rows).lower_is_better


def test_linear_floors_know_classes_that_training_lacks():
    for classes in ([0, 2], [2]):
        pick = lambda s, classes=classes: np.where(  # noqa: E731
            np.arange(120) < 60, np.resize(classes, 120), np.arange(120) % 3
        )
        ds = three_modalities(("language",), "multiclass", pick, class_names=("a", "b", "c"))
        assert any("train lacks" in note for note in notes_before(ds))
        for name in ("ridge", "ridge_subset"):
            rows = rows_of(name, ds)
            assert np.isfinite(rows.value).all()


@pytest.mark.parametrize(
    ("task", "y", "logits", "told"),
    [
        ("binary", [0, 1], np.zeros((3, 2)), "do not fit"),
        ("binary", [0, 1], np.zeros(2), "do not fit"),
        ("multilabel-binary", np.zeros((3, 2), int), np.zeros((3, 4)), "do not fit"),
        ("regression", [0.0, 1.0], np.zeros((2, 2)), "do not fit"),
        ("binary", [], np.zeros((0, 2)), "do not fit"),
        ("ranking", [0], [[0, 1]], "unknown task"),
        ("binary", [0, 2], np.zeros((2, 2)), "whole numbers"),
        ("binary", [0, 1], [[0, np.nan], [0, 1]], "not finite"),
    ],
)
def test_logits_that_do_not_fit_are_refused(task, y, logits, told):
    with pytest.raises(FsrfError, match=told):
        fm.score(task, y_true=y, logits=logits)
    with pytest.raises(FsrfError, match="unknown task|not for this task"):
        fm.score(task, y_true=y, logits=logits, metrics="accuracies")


def test_one_name_per_label():
    with pytest.raises(FsrfError, match="one name"):
        fm.score(
            "multilabel-binary",
            y_true=np.zeros((9, 1), int),
            logits=np.zeros((9, 1, 2)),
            class_names=("a", "b"),
        )


@pytest.mark.parametrize(
    ("f", "y", "p", "told"),
    [
        (fm.accuracy, [0, 1], [0], "do not belong together"),
        (fm.accuracy, [], [], "not empty"),
        (fm.f1_non0, [0.0, 0.0], [1.0, -1.0], "Non0 set is empty"),
        (fm.f1_has0, [1.0, -1.0], [np.nan, -1.0], "not finite"),
        (fm.pearson, [1.0, 1.0], [0.5, 0.6], "labels that differ"),
        (partial(fm.confusion, n_classes=2), [0, -1], [0, 1], "whole numbers"),
        (partial(fm.confusion, n_classes=2), [0, 1], [0, 2], "y_pred"),
        (partial(fm.confusion, n_classes=2), [0, 1], [0.0, 1.0], "float64"),
    ],
)
def test_labels_that_cannot_be_scored_are_refused(f, y, p, told):
    with pytest.raises(FsrfError, match=told):
        f(y_true=y, y_pred=p)
