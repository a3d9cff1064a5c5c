"""The committed tables, figures and choices are what the committed rows and trials say"""

import json
import re

import pandas as pd
import pytest

from fsrf import report
from fsrf.core import find_root
from fsrf.methods import METHODS, floor_names
from fsrf.runs.kernels import run_notebook

pytestmark = pytest.mark.slow
ROOT = find_root()
FILES = sorted((ROOT / "data" / "results").glob("*.csv.gz"))
MAIN = {"fsrf", "fsrf_first", "fsrf_first_recover", "corrkd", "plain_mrm", "complete"}


@pytest.fixture(scope="module")
def rows():
    return report.select_rows()


def test_every_set_has_rows_of_all_methods_and_seeds(rows):
    assert len(FILES) == rows.dataset.nunique()
    for name, r in rows.groupby("dataset"):
        seeds = r.groupby("method").seed.nunique()
        # every set has language: where it has none, single_modality is the floor
        assert MAIN | set(floor_names()) - {"single_modality"} <= set(seeds.index), name
        trained = seeds[[m for m in seeds.index if m not in floor_names()]]
        assert trained.nunique() == 1 and trained.iloc[0] >= 3, f"{name}: {trained.to_dict()}"


def test_one_version_of_the_data_and_committed_code(rows):
    assert (rows.groupby("dataset").data_sha256.nunique() == 1).all()
    assert not rows.commit.str.contains("dirty").any()


def test_committed_table_is_made_from_committed_rows(rows, tmp_path):
    tables = {d: report.inter_table(r) for d, r in rows.groupby("dataset", sort=False)}
    for path in report.save_tables(tables, "table_inter", folder=tmp_path):
        committed = ROOT / "figures" / path.name
        assert committed.read_bytes() == path.read_bytes(), f"{path.name} is stale: make figures"


@pytest.mark.parametrize(
    "name",
    ["table_inter", "fig_missing_rate", "fig_differences", "high_rates", "reproduction_report"],
)
def test_figures_are_there_and_name_their_notebook(name):
    svg = (ROOT / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    assert (ROOT / "figures" / f"{name}.png").stat().st_size > 10_000
    assert re.search(rf"nbs/(paper|explanations)/{name}\.ipynb", svg)


TABLES = {
    "fig_differences": ".",
    "high_rates": ".",
    "table_ablation": "ablation/fsrf",
    "map_factorization": "map",
    "fig_labels": "labels",
    "table_ablation_corrkd": "ablation/corrkd",
    "table_ablation_hrlf": "ablation/hrlf",
}


@pytest.mark.parametrize(("name", "folder"), TABLES.items())
def test_table_of_differences(name, folder, tmp_path):
    "The template writes what is committed; where no rows are, it says so and shows made-up ones"
    there = bool(list((ROOT / "data" / "results" / folder).glob("*.csv.gz")))
    template, _, method = name.partition("ablation_")
    template, own = (f"{template}ablation", dict(method=method)) if method else (name, {})
    run_notebook(
        ROOT / "nbs" / "paper" / f"{template}.ipynb",
        tmp_path / "run.ipynb",
        dict(out_dir=str(tmp_path), **own),
    )
    cells = json.loads((tmp_path / "run.ipynb").read_text(encoding="utf-8"))["cells"]
    shown = json.dumps([c["outputs"] for c in cells if c["cell_type"] == "code"])
    assert ("made-up rows, shows only the form" in shown) != there
    for made in [f for f in tmp_path.iterdir() if f.suffix in (".md", ".csv")]:
        assert not there or made.read_bytes() == (ROOT / "figures" / made.name).read_bytes(), (
            f"{made.name} is stale: make figures"
        )
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_ablations_stand_beside_the_full_method():
    files = sorted((ROOT / "data" / "results" / "ablation").glob("*/*.csv.gz"))
    for path in files:
        seeds = report.read_rows(path).groupby("method").seed.nunique()
        known = {"full", *METHODS[path.parent.name][0].ablations}
        assert "full" in seeds.index and set(seeds.index) <= known and seeds.nunique() == 1, path
    assert files


def test_forms_of_fsrf_are_those_of_the_code():
    "Differences are from plain-MRM, on the same folds and seeds for all forms of a set"
    path = ROOT / "data" / "results" / "search" / "fsrf_variants.csv"
    if not path.exists():
        pytest.skip("no table of forms is committed yet: make variants")
    forms = pd.read_csv(path)
    known = {"plain_mrm", "corrkd", "fsrf_first_recover", "fsrf"}
    known |= {f"fsrf, {name}" for name in METHODS["fsrf"][0].ablations}
    for dataset, r in forms.groupby("dataset"):
        assert {"plain_mrm", "fsrf"} <= set(r.variant) <= known, f"{dataset}: make variants"
        assert r.n.nunique() == 1 and r.variant.is_unique, dataset
        plain = r[r.variant == "plain_mrm"].iloc[0]
        assert (r.level - plain.level).values == pytest.approx(r.avg6.values, abs=2e-6), dataset


def test_tuned_settings_are_the_best_trials_of_equal_budgets():
    trials = pd.read_csv(ROOT / "data" / "results" / "search" / "trials.csv")
    tuned = json.loads((ROOT / "data" / "results" / "tuned.json").read_text())
    assert (
        trials.groupby(["dataset", "method"]).trial.nunique().groupby("dataset").nunique() == 1
    ).all()
    for (dataset, method), t in trials.groupby(["dataset", "method"]):
        best = t.groupby("trial").valid.mean().idxmax()
        assert tuned[dataset][method] == json.loads(t[t.trial == best].settings.iloc[0])
