"""Properties of the metrics on random input: scikit-learn's values, and the ways a score must
refuse to be computed."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as skm

from fsrf.core import FsrfError
from fsrf.evaluation import metrics as fm

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


@st.composite
def tasks(draw):
    """A task with truth, and logits of some conditions; few distinct logits, so that ties and
    constants occur."""
    task, c, n = (
        draw(st.sampled_from(sorted(fm.PRIMARY))),
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
    rows = [fm.score(task, y_true=y, logits=one) for one in logits]
    assert fm.score_many(task, y_true=y, logits=logits).tolist() == [
        r[fm.PRIMARY[task]] for r in rows
    ]
    table = fm.score_table(task, y_true=y, logits=logits)
    for name in rows[0]:
        assert table[name].tolist() == close([r[name] for r in rows], abs=1e-12)
    assert all(
        next(iter(r)) == fm.PRIMARY[task] and np.isfinite(list(r.values())).all() for r in rows
    )


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
