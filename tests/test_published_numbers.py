"""What the way of measuring is worth: the tool, its committed rows, and the page that shows them"""

import dataclasses
import importlib.util
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch

from fsrf.core import find_root, generator, seeded
from fsrf.data import load_dataset
from fsrf.evaluation import Sweep, interval, weighted_f1
from fsrf.methods import build
from fsrf.missing import inter_conditions
from fsrf.training import TrainConfig, fit

ROOT = find_root()
SIX = ["{l}", "{a}", "{v}", "{l,a}", "{l,v}", "{a,v}"]
SMALL = "synthetic-quick?sizes=[96,48,80]&lengths=[1,1,1]"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("effects", ROOT / "tools/protocol_effects.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows():
    return pd.read_csv(ROOT / "data/results/effects/protocol.csv")


def test_committed_rows_are_whole_and_of_the_sets_as_they_are(tool, rows):
    key = ["variant", "draw", "method", "seed"]
    wanted = {(label, draw, method, seed) for label, draw, method, seed, _ in tool.jobs()}
    assert set(rows[key].itertuples(index=False, name=None)) == wanted, "make effects"
    assert len(rows) == 3 * len(wanted) and not rows.duplicated([*key, "chosen"]).any()
    assert rows.commit.nunique() == 1 and "dirty" not in rows.commit[0]
    for name, digests in rows.groupby("dataset").data_sha256.unique().items():
        assert list(digests) == [load_dataset(name).sha256], f"{name} is stale: make effects"
        assert sorted(np.unique(load_dataset(name).split, return_counts=True)[1]) == [
            229,
            686,
            1284,
        ]


def test_the_page_says_what_the_rows_say(rows):
    "Computed once more, in plain pandas: the sentence at the top of the page"
    ours = rows[rows.variant == "ours"].copy()
    ours["right"] = ours[SIX].mean(axis=1)
    ours["swapped"] = ours[["swapped_" + s for s in SIX]].mean(axis=1)
    runs = ours.pivot(
        index=["draw", "method", "seed"], columns="chosen", values=["right", "swapped"]
    )
    per_set = runs.groupby(["draw", "method"])
    mean, best = per_set.mean(), per_set.max()
    strict = mean["right"]["valid"]
    gains = [
        mean["swapped"]["valid"] - strict,
        mean["right"]["test"] - strict,
        mean["right"]["each"] - strict,
        best["right"]["valid"] - strict,
        best["swapped"]["each"] - strict,
    ]
    page = json.loads((ROOT / "nbs/explanations/published_numbers.ipynb").read_text("utf-8"))
    outputs = [o for c in page["cells"] for o in c.get("outputs", [])]
    told = [
        "".join(o["data"]["text/markdown"]) for o in outputs if "text/markdown" in o.get("data", {})
    ]
    bold = re.findall(r"\*\*([+-][^*]*)\*\*", told[0])
    values = [interval(gain.groupby("draw").mean().to_numpy()) for gain in gains]
    assert bold == [f"{v.mean:+.1f} [{v.lo:+.1f}, {v.hi:+.1f}]" for v in values], "run the page"


@pytest.mark.parametrize("method", ["plain_mrm", "corrkd", "fsrf"])
def test_watching_changes_no_run(tool, method):
    "Same history and same scores as `fit` alone; the tool's swapped F1 is the swapped one"
    parts = tool.parts_of(SMALL, 0.0)
    valid, test, labels = tool.epoch_scores(parts, method, tool.VARIANTS["ours"], 0, 2)
    with seeded("init", 0):
        network = build(method, dict(layers=1), parts["test"].spec)
    how = TrainConfig(epochs=2, least=2, patience=2, average=0.0)
    alone = fit(network, parts["train"], parts["valid"], how, seed=0, device="cpu", progress=False)
    assert [h["valid"] for h in alone] == valid.tolist() and test.shape == (2, 2, 7)
    sweep = Sweep(parts["test"], inter_conditions(parts["test"].spec.names), split="test")
    said, y = sweep.logits(network).argmax(-1).numpy(), parts["test"].y
    right, swapped = test[:, valid.argmax()]
    np.testing.assert_allclose(right, [weighted_f1(y_true=y, y_pred=p) for p in said])
    np.testing.assert_allclose(swapped, [weighted_f1(y_true=p, y_pred=y) for p in said])
    assert labels[:6] == SIX


def test_epochs_are_chosen_as_told(tool):
    "Epoch 1 is best on validation, 0 on test, and {l} is best in 2"
    right = np.full((3, 7), 0.5)
    right[0, :6] += 0.2
    right[1] += 0.1
    right[2, 0] = 0.9
    labels = [*SIX, "{l,a,v}"]
    test = np.stack([right, right[::-1]])
    valid, on_test, each = tool.chosen_rows(np.array([0.1, 0.3, 0.2]), test, labels)
    assert [row["chosen"] for row in (valid, on_test, each)] == ["valid", "test", "each"]
    assert [valid["{l}"], on_test["{l}"], each["{l}"]] == pytest.approx([60, 70, 90])
    assert [valid["{a}"], on_test["{a}"], each["{l,a,v}"]] == pytest.approx([60, 70, 60])
    assert each["swapped_{l}"] == pytest.approx(90)


def test_laws_draw_what_their_names_say(tool):
    batch = (
        load_dataset("synthetic-quick?sizes=[400,2,2]&lengths=[1,1,1]").parts()["train"].tensors()
    )

    def sizes(label):
        view = tool.VARIANTS[label].law(batch, generator("test", 0), 5)
        assert all((view.x[m][~seen] == 0).all() for m, seen in view.observed.items())
        return torch.bincount(view.present.sum(1), minlength=4) / len(view)

    assert sizes("law: never complete").tolist() == pytest.approx([0, 0.5, 0.5, 0], abs=0.05)
    some = np.array([0, 3 * 0.8 * 0.04, 3 * 0.64 * 0.2, 0.512]) / 0.992
    assert sizes("law: each goes one time in five").tolist() == pytest.approx(some, abs=0.05)


def test_a_moved_centre_moves_what_is_there_and_nothing_else(tool):
    name = "synthetic-quick?sizes=[60,9,9]&lengths=[4,4,4]"
    before, after = tool.parts_of(name, 0.0)["train"], tool.parts_of(name, 1.0)["train"]
    for m, x in before.x.items():
        there = np.arange(4) < before.length[m][:, None]
        assert (after.x[m] - x)[there] == pytest.approx(1, abs=1e-5) and not after.x[m][
            ~there
        ].any()
    assert dataclasses.replace(after, x=before.x).sha256 == before.sha256
