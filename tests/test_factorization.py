"""FSRF's factors: what they hold of the planted ones, and that training them survives an
interruption, few samples, any number of modalities, and one that is never there"""

import dataclasses
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression

from fsrf.core import find_root, seeded
from fsrf.data import load_dataset
from fsrf.evaluation import (
    BARS,
    check_bars,
    factor_row,
    factor_table,
    modality_neighbours,
    read_factors,
)
from fsrf.methods import build, stack
from fsrf.methods.fsrf import FSRF
from fsrf.training import TrainConfig, fit

VECTORS = "synthetic-quick?lengths=[1,1,1]"
SMALL = "synthetic-quick?lengths=[1,1,1]&sizes=[72,40,60]"


def trained(parts, epochs=1, seed=0, config=None, **how):
    "FSRF, or a change of it, trained on a data set's parts"
    with seeded("init", seed):
        net = build("fsrf", dict(layers=1) | (config or {}), parts["train"].spec)
    loop = TrainConfig(epochs=epochs, patience=epochs)
    args = dict(seed=seed, device="cpu", progress=False) | how
    fit(net, parts["train"], parts["valid"], loop, **args)
    return net


@pytest.fixture(scope="module")
def parts():
    return load_dataset(VECTORS).parts()


@pytest.fixture(scope="module")
def net(parts):
    return trained(parts, epochs=12)


# --- what the factors hold ------------------------------------------------------------------------


def test_the_factors_hold_what_their_names_say(net, parts):
    "Looser than the bars, since it is one seed"
    bars = check_bars(pd.DataFrame([factor_row(net, parts["train"], parts["test"])]), slack=0.05)
    assert list(bars.index) == list(BARS.index)
    assert bars.met.all(), bars[~bars.met]


def test_other_directions_of_a_private_factor_belong_to_n(net, parts):
    table = factor_table(net, parts["train"], parts["test"])
    rest = table["private (rest)"]
    assert rest["n"] > 0.6 * rest["z"] and max(rest["c"], rest["s"]) < 0.15


def test_the_first_edition_separates_nothing(parts):
    "The bars can fail"
    with seeded("init", 0):
        first = build("fsrf_first", dict(layers=1), parts["train"].spec)
    fit(first, parts["train"], parts["valid"], TrainConfig(epochs=3), seed=0, progress=False)
    row = factor_row(first, parts["train"], parts["test"])
    assert abs(row["separation"]) < 0.1 and row["neighbours"] > 0.7
    assert not check_bars(pd.DataFrame([row]), slack=0.05).met.all()


def test_a_further_modality_never_makes_the_recovered_worse(net, parts):
    "One map to the true shared factor, from complete input, for every subset"

    def recovered(part, subset):
        batch = parts[part].batch()
        present = torch.zeros(len(batch), 3, dtype=torch.bool)
        present[:, list(subset)] = True
        with torch.no_grad():
            c = net.eval().split(stack(net.encode(batch)))[0]
            return net.gate.recovered(c, present)[0].numpy()

    reader = LinearRegression().fit(recovered("train", (0, 1, 2)), parts["train"].meta["shared"])
    true = parts["test"].meta["shared"]
    subsets = [s for k in (1, 2, 3) for s in combinations(range(3), k)]
    r2 = {s: reader.score(recovered("test", s), true) for s in subsets}
    for fewer in subsets:
        for more in (s for s in subsets if set(fewer) < set(s)):
            assert r2[more] > r2[fewer] - 0.01, (fewer, more, r2)
    assert r2[0, 1, 2] > 0.7


# --- the committed table --------------------------------------------------------------------------


def test_the_committed_probes_are_of_the_sets_as_they_are():
    rows = pd.read_csv(find_root() / "data" / "results" / "probes" / "planted.csv")
    assert rows.dataset.nunique() == 7 and not rows.duplicated(["dataset", "seed"]).any()
    for name, r in rows.groupby("dataset"):
        assert len(r) == 5, f"{name}: make probes"
        assert set(r.data_sha256) == {load_dataset(name).sha256}, f"{name} is stale: make probes"
        bars = check_bars(r)
        if name.startswith("synthetic-quick"):
            assert bars.met.all(), bars
        assert bars.met["c mixes the modalities"] and bars.met["s: nothing shared"]


def test_the_committed_probes_of_ablations_are_of_all_of_them():
    rows = pd.read_csv(find_root() / "data" / "results" / "probes" / "ablations.csv")
    do = "make probes ARGS=--ablations"
    assert set(rows.ablation) == {"full", *FSRF.ablations}, do
    assert not rows.duplicated(["ablation", "seed"]).any()
    assert set(rows.groupby("ablation").seed.nunique()) == {5}
    assert set(rows.data_sha256) == {load_dataset("synthetic-quick").sha256}, f"stale: {do}"


# --- training -------------------------------------------------------------------------------------


def test_an_interrupted_training_goes_on_to_the_bit(tmp_path, monkeypatch):
    "Gate and residuals are state, too: running moments, directions, what is regressed out"
    small = load_dataset(SMALL).parts()
    straight = trained(small, epochs=4)
    steps, loss = iter(range(5)), FSRF.loss

    def cut_off(self, batch, generator):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return loss(self, batch, generator)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(FSRF, "loss", cut_off)
        trained(small, epochs=4, run_dir=tmp_path)
    with monkeypatch.context() as patch:
        counted = []
        patch.setattr(FSRF, "loss", lambda *a: counted.append(1) or loss(*a))
        resumed = trained(small, epochs=4, run_dir=tmp_path)
    assert len(counted) == 4  # two epochs of two steps were left
    a, b = straight.state_dict(), resumed.state_dict()
    assert {"gate.moments", "gate.whiten", "after_c.slope", "after_s.slope", "prior"} <= set(a)
    for name in a:
        assert torch.equal(a[name], b[name]), name
    batch = small["test"].batch()
    assert torch.equal(straight.eval().predict(batch), resumed.eval().predict(batch))


def test_a_training_set_of_72_samples():
    "The judges are 18: what passes must be shared by far"
    small = load_dataset(SMALL).parts()
    net = trained(small, epochs=5)
    assert net.gate.judges == 18 and net.gate.threshold > 0.45
    assert all(p.isfinite().all() for p in net.parameters())
    assert net.eval().predict(small["test"].batch()).isfinite().all()


@pytest.mark.parametrize("names", ["a", "ab", "abcde"])
def test_any_number_of_modalities(names):
    m = len(names)
    fields = dict(names=list(names), dims=[12] * m, lengths=[1] * m, strength=[1.0] * m)
    query = "&".join(f"{k}={v}".replace("'", '"').replace(" ", "") for k, v in fields.items())
    own = load_dataset(f"synthetic-quick?{query}").parts()
    net = trained(own, epochs=8)
    c = read_factors(net, own["test"])["c"]
    if m == 1:
        assert not c.any() and not net.gate.passes.any()
        return
    row = factor_row(net, own["train"], own["test"])
    assert row["c shared"] > 0.7 * row["z shared"] and row["separation"] > 0.3, row
    assert modality_neighbours(c) < 1 / m + 0.15


def test_nothing_shared_leaves_c_empty():
    "Each modality with a shared factor of strength 0"
    apart = load_dataset(f"{VECTORS}&shared=0").parts()
    net = trained(apart, epochs=3)
    assert net.gate.passes.sum() <= 1
    assert net.eval().predict(apart["test"].batch()).isfinite().all()


def test_a_modality_that_no_training_sample_has(parts):
    "It is absent in training and validation; c and the prediction come from the others"

    def without(ds, name):
        x = ds.x | {name: np.zeros_like(ds.x[name])}
        length = ds.length | {name: np.zeros_like(ds.length[name])}
        return dataclasses.replace(ds, x=x, length=length)

    less = {part: without(ds, "visual") for part, ds in parts.items()}
    net = trained(less, epochs=8)
    assert all(p.isfinite().all() for p in net.parameters())
    assert all(b.isfinite().all() for b in net.buffers())
    assert net.gate.passes.any()
    rows = np.arange(len(less["train"]))
    c = read_factors(net, less["train"])["c"]
    assert np.isfinite(c).all()
    half = len(rows) // 2
    reader = LinearRegression().fit(c[:half, 0], parts["train"].meta["shared"][:half])
    assert reader.score(c[half:, 0], parts["train"].meta["shared"][half:]) > 0.5
    assert net.eval().predict(less["test"].batch()).isfinite().all()
    assert net.eval().predict(parts["test"].batch()).isfinite().all()
