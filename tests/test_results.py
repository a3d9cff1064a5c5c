"""The committed tables, figures and choices are what the committed rows and trials say"""

import json, re
import pandas as pd
import pytest
from fsrf import report
from fsrf.core import find_root

ROOT = find_root()
FILES = sorted((ROOT / "data" / "results").glob("*.csv.gz"))


@pytest.fixture(scope="module")
def rows():
    return report.select_rows()


def test_every_set_has_rows_of_all_methods_and_seeds(rows):
    assert len(FILES) == rows.dataset.nunique()
    for name, r in rows.groupby("dataset"):
        seeds = r.groupby("method").seed.nunique()
        assert {"fsrf", "fsrf_recover", "corrkd", "plain_mrm", "complete", *report.FLOORS} <= set(seeds.index), name
        trained = seeds[[m for m in seeds.index if m not in report.FLOORS]]
        assert trained.nunique() == 1 and trained.iloc[0] >= 3, f"{name}: {trained.to_dict()}"


def test_one_version_of_the_data_and_committed_code(rows):
    assert (rows.groupby("dataset").data_sha256.nunique() == 1).all()
    assert not rows.commit.str.contains("dirty").any()


def test_committed_table_is_made_from_committed_rows(rows, tmp_path):
    tables = {d: report.inter_table(r) for d, r in rows.groupby("dataset", sort=False)}
    for path in report.save_tables(tables, "table_inter", folder=tmp_path):
        committed = ROOT / "figures" / path.name
        assert committed.read_bytes() == path.read_bytes(), f"{path.name} is stale: make figures"


@pytest.mark.parametrize("name", ["table_inter", "fig_missing_rate", "reproduction_report"])
def test_figures_are_there_and_name_their_notebook(name):
    svg = (ROOT / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    assert (ROOT / "figures" / f"{name}.png").stat().st_size > 10_000
    assert re.search(rf"nbs/(paper|explanations)/{name}\.ipynb", svg)


def test_tuned_settings_are_the_best_trials_of_equal_budgets():
    trials = pd.read_csv(ROOT / "data" / "results" / "search" / "trials.csv")
    tuned = json.loads((ROOT / "data" / "results" / "tuned.json").read_text())
    assert (trials.groupby(["dataset", "method"]).trial.nunique().groupby("dataset").nunique() == 1).all()
    for (dataset, method), t in trials.groupby(["dataset", "method"]):
        best = t.groupby("trial").valid.mean().idxmax()
        assert tuned[dataset][method] == json.loads(t[t.trial == best].settings.iloc[0])
