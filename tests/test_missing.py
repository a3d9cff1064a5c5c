"Properties of masks and views on random data sets: masks are data, views are never empty."

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fsrf import missing as fm
from fsrf.core import FsrfError
from fsrf.data.dataset import MultimodalDataset

settings.register_profile("missing", deadline=None, derandomize=True, max_examples=40)
props = settings.get_profile("missing")
rates = st.integers(0, 64).map(lambda k: k / 64) | st.floats(0, 1, allow_subnormal=False)
seeds = st.integers(0, 2**31)


@st.composite
def datasets(draw, max_n=12):
    """A long sequence and up to three more modalities; a length may be 0 (never there) but no value
    is zero by itself."""
    n, rng = draw(st.integers(1, max_n)), np.random.default_rng(draw(seeds))
    sizes = [20, *draw(st.lists(st.sampled_from([1, 2, 7, 20]), max_size=3))]
    x, length = {}, {}
    for i, t in enumerate(sizes):
        m = f"m{i}"
        length[m] = rng.integers(0, t + 1, n)
        x[m] = rng.uniform(0.5, 1, (n, t, 2)) * (np.arange(t) < length[m][:, None])[..., None]
    ids = [f"clip {k}" for k in rng.permutation(1000)[:n]]
    return MultimodalDataset("drawn", x, length, rng.integers(0, 2, n), ids, "binary")


def valid(ds, m):
    return np.arange(ds.x[m].shape[1]) < ds.length[m][:, None]


def masks(ds, p, protocol="intra", seed=0, split="test"):
    return fm.keep_masks(ds, fm.Condition(protocol, ds.spec.names, p, seed), split=split)


@props
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8), st.integers(0, 40))
def test_fields_are_numpys_philox(keys, length):
    ours = fm.uniform_fields(np.array(keys, np.uint64), length)
    for key, row in zip(keys, ours, strict=True):
        assert (
            row.tolist() == np.random.Generator(np.random.Philox(key=key)).random(length).tolist()
        )


@pytest.mark.parametrize("protocol", ["intra", "block"])
@props
@given(datasets(), st.lists(rates, max_size=4), st.integers(0, 9))
def test_masks_are_nested_in_p(protocol, ds, some, seed):
    "Along a ladder of rates from 0 to 1, what is lost never comes back."
    ladder = [masks(ds, p, protocol, seed) for p in sorted({0.0, 0.25, 0.5, 0.6, 0.75, 1.0, *some})]
    for m in ds.x:
        assert (ladder[0][m] == valid(ds, m)).all() and not ladder[-1][m].any()
        for more, less in itertools.pairwise(ladder):
            assert (less[m] <= more[m]).all()


@props
@given(datasets(), rates, st.sampled_from(["intra", "block"]), st.randoms(use_true_random=False))
def test_masks_follow_the_sample(ds, p, protocol, random):
    "A selection in any order, with any repeats of work, has the masks of the whole."
    rows = random.sample(range(len(ds)), random.randint(1, len(ds)))
    whole, part = masks(ds, p, protocol), masks(ds.select(np.array(rows)), p, protocol)
    for m in ds.x:
        assert (part[m] == whole[m][rows]).all()


@props
@given(datasets(), rates, st.integers(1, 5))
def test_any_batch_size_gives_the_same_corrupted_data(ds, p, size):
    keep = masks(ds, p)
    whole = fm.apply_mask(ds.batch(), keep)
    parts = [fm.apply_mask(b, fm.keep_rows(keep, b.index)) for b in ds.batches(size)]
    for m in ds.x:
        assert torch.equal(torch.cat([b.x[m] for b in parts]), whole.x[m])
        assert torch.equal((whole.x[m] != 0).any(-1), torch.from_numpy(keep[m]))


@props
@given(datasets(), rates)
def test_a_block_is_one_run_of_the_right_length(ds, p):
    keep = masks(ds, p, "block")
    for m in ds.x:
        for kept, n in zip(keep[m], ds.length[m], strict=True):
            lost = np.flatnonzero(~kept[:n])
            assert lost.size in (
                int(np.floor(p * n)),
                int(np.floor(p * n)) + 1,
                int(np.ceil(p * n)),
            )
            assert not lost.size or lost[-1] - lost[0] + 1 == lost.size


def big(n=300, t=30):
    names = ("language", "audio")
    return MultimodalDataset(
        "big",
        {m: np.ones((n, t, 1)) for m in names},
        {m: np.full(n, t) for m in names},
        np.zeros(n, int),
        [f"s{i}" for i in range(n)],
        "binary",
    )


@pytest.mark.parametrize("protocol", ["intra", "block"])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.83])
def test_the_realised_rate_is_the_one_asked_for(protocol, p):
    ds = big()
    for share in fm.realised_rate(ds, masks(ds, p, protocol)).values():
        assert share == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 9000))


def test_a_block_starts_anywhere():
    first = masks(big(3000, 10), 0.7, "block")["language"].argmin(
        1
    )  # 7 of 10 frames go: four places to start
    assert stats.chisquare(np.bincount(first, minlength=4)).pvalue > 0.001


def test_draws_of_other_modalities_seeds_and_splits_are_independent():
    ds = big()
    base = masks(ds, 0.5)
    others = [
        base["audio"],
        masks(ds, 0.5, seed=1)["language"],
        masks(ds, 0.5, split="valid")["language"],
    ]
    for other in others:
        assert abs(np.corrcoef(base["language"].ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(9000)


laws = st.builds(
    lambda p, a, b, s: fm.MRMLaw(p_frames=p, rate_low=min(a, b), rate_high=max(a, b), subset=s),
    rates,
    rates,
    rates,
    st.sampled_from(["uniform", "all"]),
)


@props
@given(datasets(), laws, seeds, st.integers(1, 3))
def test_views_lose_something_but_never_all(ds, law, seed, n):
    batch = ds.batch()
    before = {m: x.clone() for m, x in batch.x.items()}
    seen = {m: o.clone() for m, o in batch.observed.items()}
    view = fm.views(batch, law, torch.Generator().manual_seed(seed), n=n)
    again = fm.views(batch, law, torch.Generator().manual_seed(seed), n=n)
    assert len(view) == n * len(ds) and view.index.tolist() == batch.index.repeat(n).tolist()
    assert torch.equal(
        view.present.any(1), batch.present.any(1).repeat(n)
    )  # empty only if it always was
    for m in ds.x:
        assert torch.equal(batch.x[m], before[m]) and torch.equal(
            batch.observed[m], seen[m]
        )  # not in place
        assert torch.equal(view.x[m], again.x[m])
        assert torch.equal(view.x[m], before[m].repeat(n, 1, 1) * view.observed[m][..., None])
        assert (view.observed[m] <= seen[m].repeat(n, 1)).all()
        assert torch.equal((view.x[m] != 0).any(-1), view.observed[m])
    if law.subset == "all":
        assert torch.equal(view.present, batch.present.repeat(n, 1))


@props
@given(datasets(), laws, seeds)
def test_a_vector_loses_no_frames_by_itself(ds, law, seed):
    view = fm.mrm(ds.batch(), law.replace(subset="all"), torch.Generator().manual_seed(seed))
    for m in ds.x:
        if ds.x[m].shape[1] == 1:
            assert torch.equal(view.observed[m], ds.batch().observed[m])


@props
@given(datasets(), laws, seeds)
def test_observed_share_is_a_hand_count(ds, law, seed):
    view = fm.mrm(ds.batch(), law, torch.Generator().manual_seed(seed))
    for i, share in enumerate(fm.observed_share(view).tolist()):
        by_hand = [view.observed[m][i].sum().item() / max(int(ds.length[m][i]), 1) for m in ds.x]
        assert share == pytest.approx(np.mean(by_hand), abs=1e-6)


def test_a_mask_that_does_not_fit_is_an_error():
    ds = big(10)
    keep = masks(ds, 0.5)
    with pytest.raises(FsrfError, match="keep_rows"):
        fm.apply_mask(ds.batch(torch.arange(3)), keep)
    with pytest.raises(FsrfError, match="visual"):
        fm.keep_masks(ds, fm.Condition("inter", ("visual",)), split="test")


def test_a_frame_that_is_zero_in_the_data_is_never_observed():
    ds = big(6)
    ds.x["audio"][:, 3] = 0
    batch = ds.batch()
    for view in (
        fm.apply_mask(batch, masks(ds, 0.0)),
        fm.views(batch, fm.MRMLaw(p_frames=0.0), torch.Generator()),
    ):
        assert not view.observed["audio"][:, 3].any()


def proper_by_size(m):
    "{size: its tested subsets} of m modalities, without the full one"
    found = {}
    for s in fm.subsets([f"m{i:02d}" for i in range(m)])[:-1]:
        found.setdefault(len(s), []).append(s)
    return found


@pytest.mark.parametrize("m", [1, 2, 3, 5, 6])
def test_up_to_six_modalities_every_subset_is_tested(m):
    names = [f"m{i}" for i in range(m)]
    every = [s for k in range(1, m + 1) for s in itertools.combinations(names, k)]
    assert fm.subsets(names) == every


@pytest.mark.parametrize("m", [7, 8, 10, 17, 30])
def test_above_six_a_sample_has_every_size(m):
    "Each modality alone and each one missing, and as many of every size between"
    found = proper_by_size(m)
    between = {size: len(set(s)) for size, s in found.items() if 1 < size < m - 1}
    assert len(set(found[1])) == len(set(found[m - 1])) == m
    assert between == dict.fromkeys(range(2, m - 1), 12)
    assert sum(map(len, found.values())) < 2 * m + 12 * m


def test_the_sample_of_subsets_is_always_the_same():
    "By place, whatever the names are; in the order of the names; another one for another number"
    ten = fm.subsets(range(10))
    assert ten[10:13] == [(0, 5), (0, 8), (1, 2)]
    assert fm.subsets("abcdefghij") == [tuple("abcdefghij"[i] for i in s) for s in ten]
    assert all(list(s) == sorted(s) for s in ten) and ten[-1] == tuple(range(10))
    assert not {*fm.subsets(range(9))[9:21]} >= {*ten[10:22]}


def test_conditions_of_many_modalities_are_few():
    names = [f"m{i}" for i in range(10)]
    assert len(fm.inter_conditions(names)) == 105
    assert {c.subset for c in fm.inter_conditions(names)} == {*fm.subsets(names)}
