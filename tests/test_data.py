"""Properties of data sets, planted and real: bad input is refused by name, the same
seed gives the same bytes, folds partition, and the development sets hold what their files hold."""

import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsrf import runs
from fsrf.cli import main as cli
from fsrf.core import FsrfError, generator, hash_file
from fsrf.data.dataset import (
    DATASETS,
    TASKS,
    MultimodalDataset,
    column_statistics,
    load_dataset,
    make_folds,
    register_dataset,
    standardise,
)
from fsrf.data.development_sets import (
    SHA256,
    align_left,
    last_frame,
    read_arrays,
    word_sequences,
)
from fsrf.data.planted import bend_columns, known_score, straighten_columns
from fsrf.data.synthetic import (
    PRESETS,
    QUICK,
    SyntheticConfig,
    make_labels,
    make_synthetic,
    plant,
    temporal_noise,
)
from fsrf.evaluation.probes import FACTORS, probe_r2, probe_table
from fsrf.methods.linear import linear_reference, observed_means

settings.register_profile("data", deadline=None, derandomize=True, max_examples=25)
props = settings.get_profile("data")
seeds = st.integers(0, 2**31)
TINY = SyntheticConfig(sizes=(40, 12, 12), lengths=(6, 5, 1), dims=(7, 4, 3), k=2)


def valid(length, size):
    return np.arange(size) < np.asarray(length)[:, None]


def small(n=15, seed=0, **changes):
    "Two modalities, one of them a vector; the first has padding, absent samples, and zero frames"
    rng = np.random.default_rng(seed)
    length = dict(language=rng.integers(0, 5, n), audio=np.ones(n, int))
    x = dict(language=rng.normal(3, 2, size=(n, 4, 3)), audio=rng.normal(size=(n, 1, 2)))
    x["language"] *= (valid(length["language"], 4) & (rng.random((n, 4)) < 0.8))[..., None]
    d = dict(
        name="small",
        x=x,
        length=length,
        y=np.arange(n) % 2,
        ids=[f"s{i}" for i in range(n)],
        task="binary",
    )
    return MultimodalDataset(**{**d, **changes})


# --- data sets ------------------------------------------------------------------------------------


@props
@given(
    st.sampled_from(["language", "audio"]),
    st.sampled_from([np.nan, np.inf, -np.inf]),
    st.integers(0, 10**6),
)
def test_one_bad_value_anywhere_is_named(modality, value, place):
    x = {m: v.copy() for m, v in small().x.items()}
    place %= x[modality].size
    x[modality].ravel()[place] = value
    i, t, k = np.unravel_index(place, x[modality].shape)
    with pytest.raises(FsrfError) as e:
        small(x=x)
    assert f"modality {modality!r}, sample {i}, frame {t}, column {k}" in str(e.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(x={}, length={}), "without modalities"),
        (dict(ids=["a"] * 15), "sample ids repeat"),
        (dict(length=dict(language=np.full(15, 4))), "modalities and lengths differ"),
        (dict(length=dict(language=np.full(15, 9), audio=np.ones(15, int))), "0 to 4"),
        (dict(length=dict(language=np.full(15, -1), audio=np.ones(15, int))), "wrong lengths"),
        (dict(length=dict(language=np.full(14, 4), audio=np.ones(15, int))), "wrong lengths"),
        (
            dict(x=dict(language=np.ones((15, 4)), audio=np.ones((15, 1, 2)))),
            "wrong shape of features",
        ),
        (dict(x=dict(language=np.ones((14, 4, 3)), audio=np.ones((15, 1, 2)))), "language"),
        (dict(task="ranking"), "unknown task"),
        (dict(y=np.full(15, 2)), "0..1"),
        (dict(y=np.full(15, -1)), "labels are missing"),
        (dict(y=np.full(15, 0.5)), "outside the task"),
        (dict(y=np.full(14, 1)), "wrong shape of labels"),
        (dict(y=np.full(15, np.nan), task="regression"), "NaN"),
        (dict(class_names=("a", "b", "c")), "two classes"),
        (
            dict(y=np.full((15, 2), 1), task="multilabel-binary", class_names=("a", "b", "c")),
            "(15, 3)",
        ),
    ],
)
def test_bad_input_is_refused(changes, words):
    with pytest.raises(FsrfError) as e:
        small(**changes)
    assert words in str(e.value)


@pytest.mark.parametrize(
    "changes",
    [
        dict(
            x=dict(language=np.ones((15, 4, 3)), audio=np.ones((15, 1, 2))),
            length=dict(language=np.full(15, 2), audio=np.ones(15, int)),
        ),
        dict(split=np.array(["train"] * 9)),
        dict(split=np.array(["train"] * 9 + ["val"] * 3 + ["test"] * 3)),
        dict(folds=np.arange(15) % 5),
        dict(folds=np.arange(10)[None] % 5),
        dict(length=dict(language=np.full(15, 2.5), audio=np.ones(15, int))),
        dict(x=dict(language=np.full((15, 4, 3), "a"), audio=np.ones((15, 1, 2)))),
    ],
    ids=[
        "padding",
        "short-split",
        "split-words",
        "flat-folds",
        "short-folds",
        "half-length",
        "text",
    ],
)
def test_more_bad_input_is_refused(changes):
    with pytest.raises(FsrfError):
        small(**changes)


def test_presence_follows_the_order_of_the_modalities():
    ds = small()
    turned = small(length=dict(reversed(ds.length.items())))
    assert turned.spec.names == ds.spec.names
    assert (turned.batch().present == ds.batch().present).all()


@props
@given(seeds, st.sampled_from(["y", "x", "length", "ids", "folds", "names", "task"]))
def test_the_hash_covers_what_results_depend_on(seed, what):
    ds = small(seed=seed, folds=make_folds(15))
    language = ds.x["language"].copy()
    longest = np.argmax(ds.length["language"])  # only valid frames may change: padding must be zero
    language[longest, 0, seed % 3] += 1
    longer = np.where(np.arange(15) == np.argmin(ds.length["language"]), 4, ds.length["language"])
    changes = dict(
        y=dict(y=1 - ds.y),
        x=dict(x=ds.x | dict(language=language)),
        length=dict(length=ds.length | dict(language=longer)),
        ids=dict(ids=[f"t{i}" for i in range(15)]),
        folds=dict(folds=(make_folds(15) + 1) % 5),
        task=dict(task="multiclass"),
        names=dict(class_names=("bad", "good")),
    )
    kept = dict(folds=ds.folds, x=ds.x, length=ds.length)
    assert small(**kept).sha256 == ds.sha256
    assert small(**{**kept, **changes[what]}).sha256 != ds.sha256


@props
@given(seeds)
def test_standardising_uses_frames_that_hold_something_and_leaves_the_rest_zero(seed):
    ds = small(n=40, seed=seed)
    z = standardise(ds, column_statistics(ds))
    holds = (ds.x["language"] != 0).any(-1)
    assert ((z.x["language"] != 0).any(-1) <= holds).all()
    np.testing.assert_allclose(z.x["language"][holds].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(z.x["language"][holds].std(0), 1, atol=1e-3)
    assert (ds.x["language"][~holds] == 0).all() and np.isfinite(z.x["audio"]).all()


def test_test_rows_do_not_move_the_scale():
    "Whatever stands in the test part, training and validation come out the same"
    split = np.repeat(["train", "valid", "test"], 5)
    a = small(split=split)
    b = small(
        split=split,
        x={m: np.where((split == "test")[:, None, None], v * 100, v) for m, v in a.x.items()},
    )
    for part in ("train", "valid"):
        for m in a.x:
            np.testing.assert_array_equal(a.parts()[part].x[m], b.parts()[part].x[m])


def test_constant_and_huge_columns_stay_finite():
    x = {m: v.copy() for m, v in small().x.items()}
    x["audio"][..., 0] = 7
    x["audio"][0, 0, 1] = 3e30
    z = small(x=x, split=np.repeat(["train", "valid", "test"], 5)).parts()["train"].x["audio"]
    assert np.isfinite(z).all() and abs(z).max() <= 10


@props
@given(st.integers(10, 80), st.integers(3, 6), st.integers(1, 3), seeds)
def test_folds_partition(n, k, repeats, seed):
    y = np.random.default_rng(seed).integers(0, 2, n)
    y[: 2 * k] = np.arange(2 * k) % 2  # every class can stand in every fold
    folds = make_folds(n, k, repeats=repeats, y=y, seed=seed)
    assert folds.shape == (repeats, n)
    np.testing.assert_array_equal(folds, make_folds(n, k, repeats=repeats, y=y, seed=seed))
    for r in folds:
        assert sorted(set(r)) == list(range(k))
        counts = np.array([np.bincount(y[r == f], minlength=2) for f in range(k)])
        assert (np.ptp(counts, axis=0) <= 1).all()
    ds = MultimodalDataset(
        "d",
        dict(a=np.ones((n, 1, 1))),
        dict(a=np.ones(n)),
        y,
        [str(i) for i in range(n)],
        "binary",
        folds=folds,
    )
    seen = []
    for f in range(k):
        parts = ds.parts(f, repeat=repeats - 1)
        sets = [set(p.ids) for p in parts.values()]
        assert sum(map(len, sets)) == n and set().union(*sets) == set(ds.ids)
        seen += parts["test"].ids
    assert sorted(seen) == sorted(ds.ids)


@props
@given(st.integers(8, 20), seeds)
def test_grouped_folds_keep_groups_together(n_groups, seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 6, n_groups))
    folds = make_folds(len(groups), 4, groups=groups, y=rng.integers(0, 2, len(groups)), seed=seed)[
        0
    ]
    assert all(len(set(folds[groups == g])) == 1 for g in range(n_groups))


@props
@given(st.integers(1, 20), seeds)
def test_an_epoch_visits_each_sample_once_and_repeats_by_its_seed(size, seed):
    ds = small()
    order = [b.index.tolist() for b in ds.batches(size, generator("epoch", seed))]
    assert order == [b.index.tolist() for b in ds.batches(size, generator("epoch", seed))]
    assert sorted(sum(order, [])) == list(range(15))
    assert max(map(len, order)) <= size


@props
@given(st.lists(st.integers(0, 14), min_size=1, max_size=15, unique=True))
def test_selecting_keeps_rows_together(index):
    ds = small(folds=make_folds(15, repeats=2), meta=dict(score=np.arange(15.0), title="t"))
    part = ds.select(np.array(index))
    assert part.ids == [ds.ids[i] for i in index] and part.meta["title"] == "t"
    np.testing.assert_array_equal(part.meta["score"], np.array(index, float))
    np.testing.assert_array_equal(part.folds, ds.folds[:, index])
    for m in ds.x:
        np.testing.assert_array_equal(part.x[m], ds.x[m][index])


def test_an_absent_modality_is_not_present():
    ds = small()
    present = ds.batch().present[:, 0].numpy()
    assert not present[ds.length["language"] == 0].any() and ds.batch().present[:, 1].all()


def test_unknown_data_sets_are_refused_with_the_known_names():
    with pytest.raises(FsrfError, match="synthetic-quick"):
        load_dataset("synthetik")
    register_dataset("mine")(small)
    try:
        assert len(load_dataset("mine")) == 15
    finally:
        del DATASETS["mine"]


# --- synthetic sets -------------------------------------------------------------------------------


@props
@given(seeds, st.sampled_from(TASKS))
def test_one_seed_gives_one_data_set(seed, task):
    config = TINY.replace(seed=seed, task=task)
    a, b = make_synthetic(config), make_synthetic(config)
    assert a.sha256 == b.sha256 and a.task == task
    assert make_synthetic(config.replace(seed=seed + 1)).sha256 != a.sha256
    for m in a.x:
        assert not a.x[m][~valid(a.length[m], a.x[m].shape[1])].any()
    assert all(len(v) == len(a) for k, v in a.meta.items() if isinstance(v, np.ndarray))


@props
@given(st.integers(1, 5), st.data())
def test_any_number_of_modalities(n, data):
    names = tuple(f"m{i}" for i in range(n))
    lengths = tuple(data.draw(st.lists(st.sampled_from([1, 2, 9]), min_size=n, max_size=n)))
    ds = make_synthetic(
        TINY.replace(names=names, dims=(3,) * n, lengths=lengths, strength=(1.0,) * n, shortest=0.0)
    )
    assert ds.spec.names == names and tuple(m.max_len for m in ds.spec.modalities) == lengths
    assert all(v.min() >= 1 for v in ds.length.values())


def test_a_change_moves_only_what_it_is_about():
    base = make_synthetic(TINY)
    noisier, longer = (
        make_synthetic(TINY.replace(noise=2.0)),
        make_synthetic(TINY.replace(lengths=(9, 5, 1))),
    )
    for other in (noisier, longer):
        np.testing.assert_array_equal(other.y, base.y)
        np.testing.assert_array_equal(other.meta["private/audio"], base.meta["private/audio"])
    np.testing.assert_array_equal(longer.x["audio"], base.x["audio"])
    assert (noisier.x["audio"] != base.x["audio"]).any()


@pytest.mark.parametrize("seed", range(3))
def test_the_label_comes_from_shared_and_private_and_never_from_nuisance(seed):
    config = SyntheticConfig(sizes=(4000, 500, 500), seed=seed)
    factors = plant(config)
    score = make_labels(config, factors)[2]

    def explained(name):
        return (
            np.linalg.norm(np.linalg.lstsq(factors[name], score, rcond=None)[0]) ** 2 / score.var()
        )

    assert explained("shared") == pytest.approx(0.95 * 0.4, abs=0.05)
    private = [explained(f"private/{m}") for m in config.names]
    assert private == sorted(private, reverse=True) and sum(private) == pytest.approx(
        0.95 * 0.6, abs=0.05
    )
    assert max(explained(f"nuisance/{m}") for m in config.names) < 0.01
    assert abs(np.mean(score)) < 0.06 and abs(np.std(score) - 1) < 0.06


def test_lengths_are_shared_only_if_asked_for():
    own = make_synthetic(TINY.replace(sizes=(900, 50, 50), lengths=(20, 20, 20), shortest=0.0))
    config = TINY.replace(sizes=(900, 50, 50), lengths=(20, 20, 1), common_length=True)
    common = make_synthetic(config)
    assert abs(np.corrcoef(*list(own.length.values())[:2])[0, 1]) < 0.1
    np.testing.assert_array_equal(common.length["language"], common.length["audio"])
    assert (common.length["visual"] == 1).all()
    for lengths in (own.length["language"], own.length["audio"]):
        assert (lengths.min(), lengths.max()) == (1, 20) and abs(lengths.mean() - 10) < 1


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_a_product_hides_the_shared_factor_from_linear_readers(part):
    config = SyntheticConfig(
        sizes=(40_000, 1, 1), label_shared=1.0, label_noise=0.0, label_product=part
    )
    factors = plant(config)
    score = known_score(config, factors)
    fit = np.linalg.lstsq(factors["shared"], score, rcond=None)[0]
    assert np.linalg.norm(fit) ** 2 == pytest.approx(1 - part, abs=0.04)
    assert score.mean() == pytest.approx(0, abs=0.03)
    with pytest.raises(FsrfError, match="two directions"):
        config.replace(k=1)
    assert score.var() == pytest.approx(1, abs=0.05)
    # what is left is a quadratic form of trace 0 and with eigenvalues +-1/2
    pairs = [(i, j) for i in range(config.k) for j in range(i, config.k)]
    quadratic = np.stack([factors["shared"][:, i] * factors["shared"][:, j] for i, j in pairs], 1)
    coefficients = np.linalg.lstsq(quadratic, score - factors["shared"] @ fit, rcond=None)[0]
    form = np.zeros((config.k, config.k))
    for (i, j), c in zip(pairs, coefficients, strict=True):
        form[i, j] += c / 2
        form[j, i] += c / 2
    values = np.sqrt(part) * np.array([-0.5, 0, 0, 0.5])
    np.testing.assert_allclose(np.linalg.eigvalsh(form), values, atol=0.05)


@pytest.mark.parametrize("turns", [0.0, 0.25, 0.5])
def test_a_helper_turns_the_others_and_says_nothing_alone(turns):
    config = SyntheticConfig(sizes=(8000, 1000, 1000), k=2, helper="audio", helper_turns=turns)
    factors = plant(config)
    y, _, score = make_labels(config, factors)
    straight = known_score(config.replace(helper_turns=0.0), factors)
    known = known_score(config, factors)
    assert (known != straight).mean() == pytest.approx(turns, abs=0.02)
    np.testing.assert_array_equal(abs(known), abs(straight))
    fit = np.linalg.lstsq(factors["private/audio"], score, rcond=None)[0]
    assert np.linalg.norm(fit) < 0.05
    turned = known != straight
    assert turned.sum() < 10 or y[turned].mean() == pytest.approx(y.mean(), abs=0.04)
    assert known.var() == pytest.approx(1, abs=0.05)


def test_a_helpers_frames_do_not_hold_the_shared_factor():
    config = TINY.replace(sizes=(900, 50, 50), helper="audio", noise=0.1, white=0.05)
    ds = make_synthetic(config)
    for m, there in (("language", True), ("audio", False)):
        means = ds.x[m].sum(1) / ds.length[m][:, None]
        r2 = probe_r2(means, ds.meta["shared"], train=np.arange(500), test=np.arange(500, 1000))
        assert (r2 > 0.5) == there and (r2 < 0.05) != there


def test_bent_columns_come_back_and_hide_from_a_linear_reader():
    config = TINY.replace(dims=(24, 7, 1), bend=3.0)
    rng = np.random.default_rng(0)
    for m, dim in zip(config.names, config.dims, strict=True):
        columns = rng.standard_normal((200, 4, dim), dtype=np.float32)
        bent = bend_columns(config, m, columns)
        np.testing.assert_allclose(straighten_columns(config, m, bent), columns, atol=1e-4)
        np.testing.assert_array_equal(bend_columns(config.replace(bend=0.0), m, columns), columns)
        assert dim == 1 or abs(bent - columns).mean() > 1
    straight, there = make_synthetic(config.replace(bend=0.0)), make_synthetic(config)
    np.testing.assert_array_equal(there.y, straight.y)
    valid_frames = valid(there.length["language"], there.x["language"].shape[1])
    back = straighten_columns(config, "language", there.x["language"])[valid_frames]
    np.testing.assert_allclose(back, straight.x["language"][valid_frames], atol=1e-4)
    assert not there.x["language"][~valid_frames].any()


@pytest.mark.parametrize("balance", [0.2, 0.55, 0.9])
def test_balance(balance):
    config = SyntheticConfig(sizes=(4000, 1, 1), balance=balance)
    assert make_labels(config, plant(config))[0].mean() == pytest.approx(balance, abs=0.03)
    y = make_labels(config.replace(task="regression"), plant(config))[0]
    assert (y >= 0).mean() == pytest.approx(balance, abs=0.03) and y.min() >= -3 and y.max() <= 3


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.95])
def test_temporal_noise_is_stationary(memory):
    e = temporal_noise((4000, 12, 2), memory, np.random.default_rng(0))
    np.testing.assert_allclose(e.std((0, 2)), 1, atol=0.06)
    assert np.corrcoef(e[:, 5].ravel(), e[:, 6].ravel())[0, 1] == pytest.approx(memory, abs=0.04)


def test_a_planted_set_by_its_name_in_a_grid_and_the_command_line():
    name = "synthetic-quick?label_shared=0.9&sizes=[60,20,20]"
    (one, other), ids = runs.plan([name, "synthetic-quick"], ["majority"], [0])
    assert one.dataset == name and ids[0].startswith(
        "majority-synthetic-quick-label_shared-0.9-sizes-60-20-20--s0-"
    )
    assert cli.parse_names(f"{name},synthetic-quick") == [one.dataset, other.dataset]
    with pytest.raises(FsrfError, match="label_sharde"):
        runs.plan(["synthetic-quick?label_sharde=0.9"], ["majority"], [0])


@pytest.mark.parametrize("name", [n for n in PRESETS if n != "synthetic"])
def test_presets_order_their_modalities_and_are_not_saturated(name):
    ds = load_dataset(name)
    f1 = {m: linear_reference(ds, [m] if m != "all" else None)["train"] for m in (*ds.x, "all")}
    positive = ds.y[ds.split == "test"].mean()
    larger = max(positive, 1 - positive)
    majority = 2 * larger**2 / (1 + larger)
    assert f1["language"] > f1["audio"] > f1["visual"] > majority and f1["all"] < 0.9
    assert ds.y.mean() == pytest.approx(0.55, abs=0.05) and ds.meta["title"].startswith("Synthetic")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("dims", (3, 4), "one per modality"),
        ("names", (), "at least one"),
        ("names", ("a", "a", "b"), "its own"),
        ("sizes", (5, 5), "three sizes"),
        ("sizes", (5, 5, 0), ">= 1"),
        ("lengths", (5, 5, 2.5), "integers"),
        ("strength", (1.0, 0.0, 1.0), "> 0"),
        ("strength", (1.0, float("nan"), 1.0), "> 0"),
        ("k", 0, "1 <="),
        ("noise", -1.0, "0.0 <="),
        ("noise", float("nan"), "a number"),
        ("balance", 1.5, "balance"),
        ("task", "x", "binary"),
        ("helper", "touch", "one of language, audio, visual"),
        ("helper_turns", 1.5, "helper_turns"),
        ("label_product", -0.5, "label_product"),
        ("bend", -1.0, "bend"),
    ],
)
def test_bad_configs_are_refused(field, value, words):
    with pytest.raises(FsrfError) as e:
        TINY.replace(**{field: value})
    assert field in str(e.value) and words in str(e.value)


def test_class_counts():
    ds = make_synthetic(TINY.replace(task="multiclass", n_classes=5))
    assert ds.spec.n_classes == 5 and set(ds.y) <= set(range(5))
    assert make_synthetic(TINY.replace(task="multilabel-binary", n_classes=1)).y.shape == (64, 1)
    for task, n in (("binary", 3), ("multiclass", 1)):
        with pytest.raises(FsrfError, match="n_classes"):
            make_synthetic(TINY.replace(task=task, n_classes=n))


@props
@given(seeds)
def test_probes_see_through_linear_maps_only(seed):
    ds, rng = (
        make_synthetic(QUICK.replace(sizes=(150, 20, 80), seed=seed)),
        np.random.default_rng(seed),
    )
    sides = dict(train=np.arange(150), test=np.arange(170, 250))
    shared = ds.meta["shared"]
    assert probe_r2(shared @ rng.normal(size=(2, 5)) + 3, shared, **sides) > 0.99
    assert probe_r2(rng.normal(size=(250, 5)), shared, **sides) < 0.15
    table = probe_table(
        {("c", "audio"): shared, ("n", "audio"): ds.meta["nuisance/audio"]}, ds.meta, **sides
    )
    assert list(table.index) == ["c", "n"] and tuple(table.columns) == FACTORS
    assert (
        table.loc["c", "shared"] > 0.99
        and table.loc["n", "nuisance"] > 0.99
        and table.loc["c", "nuisance"] < 0.2
    )


# --- development sets: what needs no files --------------------------------------------------------


@props
@given(st.integers(1, 12), st.integers(1, 9), seeds)
def test_left_padding_moves_all_modalities_together(n, size, seed):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, size + 1, n)
    inside = ~valid(start, size)
    x = {
        m: rng.uniform(1, 2, (n, size, 2)) * (inside & (rng.random((n, size)) < 0.7))[..., None]
        for m in "ab"
    }
    moved, length = align_left(x)
    for i in range(n):
        held = np.flatnonzero((x["a"][i] != 0).any(-1) | (x["b"][i] != 0).any(-1))
        assert length[i] == (held[-1] - held[0] + 1 if len(held) else 0)
        for m in "ab":
            if len(held):
                np.testing.assert_array_equal(
                    moved[m][i, : length[i]], x[m][i, held[0] : held[-1] + 1]
                )
            assert not moved[m][i, length[i] :].any()


@props
@given(st.integers(1, 8), st.integers(1, 9), seeds)
def test_words_become_frames(n, size, seed):
    rng = np.random.default_rng(seed)
    ids, table = rng.integers(0, 4, (n, size)), rng.uniform(1, 2, (4, 3)).astype(np.float16)
    x, length = word_sequences(ids, table)
    np.testing.assert_array_equal(x[ids > 0], table.astype(np.float32)[ids[ids > 0]])
    assert not x[ids == 0].any() and x.dtype == np.float32
    for i in range(n):
        assert length[i] == max([t + 1 for t in range(size) if ids[i, t]], default=0)
    np.testing.assert_array_equal(length, last_frame(ids > 0))
    with pytest.raises(FsrfError, match="0..1"):
        word_sequences(np.full((1, 2), 2), table[:2])
    with pytest.raises(FsrfError, match="outside"):
        word_sequences(np.full((1, 2), -1), table)


def test_time_means_ignore_padding_and_empty_frames():
    x = np.zeros((2, 4, 1))
    x[0, [0, 2], 0] = 2, 4
    ds = MultimodalDataset("d", dict(a=x), dict(a=[4, 0]), np.array([0, 1]), ["0", "1"], "binary")
    np.testing.assert_array_equal(observed_means(ds), [[3], [0]])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "FSRF_DATA points to an empty folder"
    monkeypatch.setenv("FSRF_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "name", ["meld-3class-glove", "meld-negpos-minilm", "ict-mmmo-120", "mosi-lat", "mmsd"]
)
def test_an_absent_file_says_where_to_point(folder, name):
    with pytest.raises(FsrfError) as e:
        load_dataset(name)
    assert "FSRF_DATA" in str(e.value) and str(folder) in str(e.value) and ".npz" in str(e.value)


def write_meld(folder, **changes):
    "A file with MELD's layout, 30 rows; `changes` replace arrays, None drops one"
    rng = np.random.default_rng(0)
    a = dict(
        utt_id=np.array([f"u{i}" for i in range(30)]),
        dialogue=np.arange(30) // 3,
        fold5=np.arange(30) // 3 % 5,
        sentiment=np.array(["negative", "neutral", "positive"] * 10),
        A_wav2vec2=rng.normal(size=(30, 8)),
        V_openface_au=rng.normal(size=(30, 6)),
        T_minilm=rng.normal(size=(30, 5)),
        T_glove_ids=rng.integers(0, 9, (30, 7)),
        T_glove_table=rng.normal(size=(9, 4)),
    )
    (folder / "meld").mkdir(exist_ok=True)
    np.savez(
        folder / "meld/meld_dev_trimodal.npz",
        **{k: v for k, v in {**a, **changes}.items() if v is not None},
    )


def test_another_file_of_the_same_layout_loads_with_a_warning(folder):
    write_meld(folder)
    with pytest.warns(UserWarning, match="not be comparable"):
        ds = load_dataset("meld-negpos-glove")
    assert len(ds) == 20 and ds.spec.names == ("language", "audio", "visual")


@pytest.mark.filterwarnings("ignore:.*not be comparable")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(A_wav2vec2=None), "A_wav2vec2"),
        (dict(A_wav2vec2=np.ones((29, 8))), "30 rows"),
        (dict(A_wav2vec2=np.ones((30, 8, 2))), "2 axes"),
        (dict(A_wav2vec2=np.full((30, 8), "a")), "floats"),
        (dict(A_wav2vec2=np.full((30, 8), np.inf)), "audio"),
        (dict(T_glove_ids=np.full((30, 7), 9)), "outside the table"),
        (dict(sentiment=np.array(["negative", "neutral"] * 15)), "never occurs"),
        (dict(sentiment=np.array([None] * 30, dtype=object)), "without pickles"),
    ],
)
def test_a_wrong_file_is_refused_by_name(folder, changes, words):
    write_meld(folder, **changes)
    with pytest.raises(FsrfError) as e:
        load_dataset("meld-3class-glove")
    assert words in str(e.value)


def test_torn_files_are_refused(folder):
    write_meld(folder)
    whole = (folder / "meld/meld_dev_trimodal.npz").read_bytes()
    for cut in (b"", whole[:100], whole[: len(whole) // 2], b"PK\x03\x04 not a zip", b"\x93NUMPY"):
        (folder / "torn.npz").write_bytes(cut)
        with pytest.raises(FsrfError, match="cannot be read"):
            read_arrays("torn.npz", dict(utt_id="U1"))
    with zipfile.ZipFile(folder / "odd.npz", "w") as z:
        z.writestr("utt_id.npy", b"no array")
    with pytest.raises(FsrfError):
        read_arrays("odd.npz", dict(utt_id="U1"))


def test_a_broken_member_is_refused(folder):
    write_meld(folder)
    path = folder / "meld/meld_dev_trimodal.npz"
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as z:
        start = z.getinfo("fold5.npy").header_offset
    raw[start + 200] ^= 255  # one byte inside an array: its checksum fails
    path.write_bytes(raw)
    with pytest.warns(UserWarning), pytest.raises(FsrfError):
        load_dataset("meld-3class-glove")


# --- development sets: the files themselves -------------------------------------------------------


@pytest.fixture
def files(shared_data, monkeypatch):
    "FSRF_DATA points to the development sets"
    monkeypatch.setenv("FSRF_DATA", os.fspath(shared_data))
    return shared_data


@pytest.mark.data
@pytest.mark.parametrize("file", SHA256)
def test_known_files(files, file):
    if not (files / file).is_file():
        pytest.skip(f"no {file}")
    assert hash_file(files / file) == SHA256[file]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "n", "title"),
    [
        ("meld-3class-glove", 1102, "MELD-dev 3-class (GloVe)"),
        ("meld-3class-minilm", 1102, "MELD-dev 3-class (MiniLM)"),
        ("meld-negpos-glove", 634, "MELD-dev neg/pos (GloVe)"),
        ("meld-negpos-minilm", 634, "MELD-dev neg/pos (MiniLM)"),
        ("ict-mmmo-120", 120, "ICT-MMMO-120"),
        ("mosi-lat", 2199, "MOSI (L+A+timing)"),
        ("mosi-lat-glove", 2199, "MOSI (L+A+timing), GloVe"),
        ("mosi-lat-binary", 2199, "MOSI (L+A+timing), Has0"),
    ],
)
def test_development_sets(files, name, n, title):
    ds = load_dataset(name)
    assert (ds.name, len(ds), ds.meta["title"]) == (name, n, title) and ds.meta["cite"]
    assert len(ds.x) == 3 and list(ds.length) == list(ds.x)
    for m in ds.x:
        assert not ds.x[m][~valid(ds.length[m], ds.x[m].shape[1])].any(), m
    assert ds.sha256 == load_dataset(name).sha256
    for fold in range(1 if ds.folds is None else 5):
        parts = ds.parts(fold)
        assert sum(map(len, parts.values())) == n
        if "groups" in ds.meta:
            groups = [set(p.meta["groups"].tolist()) for p in parts.values()]
            assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
        for p in parts.values():
            assert all(np.isfinite(v).all() for v in p.x.values())


@pytest.mark.data
def test_language_variants_differ_in_language_alone(files):
    for a, b in (("meld-3class-glove", "meld-3class-minilm"), ("mosi-lat-glove", "mosi-lat")):
        one, other = load_dataset(a), load_dataset(b)
        assert (
            one.ids == other.ids
            and not one.spec.modalities[0].is_vector
            and other.spec.modalities[0].is_vector
        )
        np.testing.assert_array_equal(one.y, other.y)
        for m in list(one.x)[1:]:
            np.testing.assert_array_equal(one.x[m], other.x[m])


@pytest.mark.data
def test_mmmo_keeps_every_frame_of_the_file_in_order(files):
    with np.load(files / "mmmo/mmmo_seq20.npz", allow_pickle=False) as z:
        raw, rows, label = z["A_covarep74"], np.flatnonzero(z["has_text"]), z["label"]
    ds = load_dataset("ict-mmmo-120")
    for i, r in enumerate(rows):
        held = (raw[r] != 0).any(-1)
        np.testing.assert_array_equal(
            ds.x["audio"][i][(ds.x["audio"][i] != 0).any(-1)], raw[r][held]
        )
    np.testing.assert_array_equal(ds.y, label[rows] > 3)


@pytest.mark.data
def test_mosi_widens_before_it_computes(files):
    ds = load_dataset("mosi-lat")
    t = ds.parts()["train"].x["timing"]
    assert t.dtype == np.float32 and np.isfinite(t).all() and abs(t).max() <= 10
    y = ds.y[ds.split == "test"]
    assert [(y == 0).sum(), (y > 0).sum(), (y < 0).sum()] == [30, 277, 379]
    np.testing.assert_array_equal(load_dataset("mosi-lat-binary").meta["score"], ds.y)


@pytest.mark.data
def test_mmsd_keeps_its_split_and_knows_what_a_tweet_lacks(files):
    path = files / "mmsd/mmsd2_three_channels.npz"
    if not path.is_file():
        pytest.skip(f"no {path.name}")
    ds = load_dataset("mmsd")
    assert (ds.meta["title"], len(ds)) == ("MMSD (sarcasm, 3 channels)", 24635) and ds.meta["cite"]
    assert ds.spec.names == ("words", "attributes", "hashtags")
    assert [(m.dim, m.max_len) for m in ds.spec.modalities] == [(160, 1), (64, 1), (48, 1)]
    parts = ds.parts()
    assert [len(p) for p in parts.values()] == [19816, 2410, 2409]
    absent = {m: (n == 0).mean() for m, n in ds.length.items()}
    assert absent["attributes"] == 0 and round(absent["hashtags"], 4) == 0.6142
    with np.load(path, allow_pickle=False) as z:
        raw, label = z["H_hashtags_lsa"], z["label"]
    np.testing.assert_array_equal(ds.length["hashtags"], (raw != 0).any(1))
    np.testing.assert_array_equal(ds.x["hashtags"][:, 0], raw.astype(np.float32))
    np.testing.assert_array_equal(ds.y, label)
    assert (ds.batch().present[:, 2].numpy() == (ds.length["hashtags"] == 1)).all()
    few = load_dataset("mmsd?labels=100").parts()
    assert (len(few["train"]), len(few["unlabelled"])) == (100, 19716)
    assert linear_reference(ds, C=(3e-2,))["train"] > 0.74  # the data notes' best of a few: .758
