"""`fsrf paper` from files in the published layouts to the page: a rehearsal, small, killed in
between.

The files are planted (tools/rehearsal.py); what is looked at is the way, not the numbers.
"""

import contextlib
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from processes import wait_for

from fsrf.cli import main as cli
from fsrf.cli import paper_command
from fsrf.cli.paper_command import paper_grid
from fsrf.cli.paper_results import settings_note
from fsrf.core import FsrfError
from fsrf.report import published_table
from fsrf.runs import read_probes

ROOT = Path(__file__).resolve().parent.parent
SETS = ("mosi", "mosei", "iemocap", "sims")
METHODS = ("fsrf", "corrkd", "plain_mrm")
WORDS = "paper --methods fsrf,corrkd,plain_mrm --seeds 0 --ablation none --workers 2 --quiet"
SMALL = (
    "train.epochs=1",
    "evaluation.rates=[0, 0.8, 1]",
    "evaluation.mask_seeds=[0]",
    "config.width=8",
    "config.heads=2",
    "config.layers=1",
)


def rehearse(out, sets=SETS):
    "Small files of the sets, each in one layout"
    spec = importlib.util.spec_from_file_location("rehearsal", ROOT / "tools/rehearsal.py")
    tool = importlib.util.module_from_spec(spec)
    sys.modules["rehearsal"] = tool
    spec.loader.exec_module(tool)
    with contextlib.redirect_stdout(io.StringIO()):
        tool.make(out, "small", [(s, "mmsa-unaligned" if s == "sims" else "mult") for s in sets], 0)


def words(out, sets=SETS):
    settings = [w for setting in SMALL for w in ("--set", setting)]
    return [*WORDS.split(), "--steps", "2", "--sets", ",".join(sets), *settings, "--out", str(out)]


def done(out):
    return sorted(file.parent for file in out.glob("[!.]*/rows.json"))


def call(argv):
    "(exit code, standard output, standard error)"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(argv)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    "(folder, runs that were there when the command was killed, what it printed the second time)"
    data, out = (tmp_path_factory.mktemp(name) for name in ("files", "paper"))
    rehearse(data)
    here = dict(FSRF_DATA=str(data), FSRF_CACHE=str(data / "cache"))
    command = [sys.executable, "-m", "fsrf", *words(out), "--workers", "1"]
    driver = subprocess.Popen(
        command, env=os.environ | here, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for(lambda: len(done(out)) >= 2 or driver.poll() is not None)
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    before = {folder: (folder / "rows.json").stat().st_mtime_ns for folder in done(out)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in here.items():
            patch.setenv(name, value)
        checkpoints = paper_command.drawn_checkpoints  # one set's picture stands for all
        patch.setattr(
            paper_command, "drawn_checkpoints", lambda *a: dict([*checkpoints(*a).items()][:1])
        )
        code, told, _ = call(words(out, (*SETS, "simsv2")))
    assert code == 0, told
    return out, before, told


@pytest.mark.slow
def test_it_goes_on_after_a_kill(rehearsed):
    out, before, told = rehearsed
    n = len(SETS) * len(METHODS)
    assert 2 <= len(before) < n and len(done(out)) == n
    for folder, when in before.items():
        assert (folder / "rows.json").stat().st_mtime_ns == when, "it was made again"
    there = int(re.search(r"(\d+) there before, 0 failed", told)[1])
    assert there == len(before)
    assert "probing" not in told, "what was measured is kept"


@pytest.mark.slow
def test_a_set_that_is_not_there_is_named(rehearsed):
    out, _, told = rehearsed
    line = next(line for line in told.splitlines() if line.startswith("simsv2"))
    assert "left out" in line and "ch-simsv2s.pkl" in line and "ask for the data" in line
    assert "simsv2" in (out / "paper.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_plan_is_measured(rehearsed):
    out, _, told = rehearsed
    probes = read_probes(out / "probes.json").values()
    assert {(p.dataset, p.method) for p in probes} == {(s, m) for s in SETS for m in METHODS}
    assert all(p.memory > 10**8 and p.seconds() > 3 for p in probes)
    assert len({len(p.epoch) for p in probes if p.method == "corrkd"} - {2}) == 0, "a teacher too"
    assert len(pd.read_csv(out / "plan.csv")) == 12
    assert re.search(r"\d+ of 12 runs to make: about [\d:]+ on 2 workers", told)


@pytest.mark.slow
def test_rows_stand_beside_published_cells(rehearsed):
    out, _, _ = rehearsed
    beside = pd.read_csv(out / "report/beside_published.csv")
    corrkd = beside[(beside.method == "corrkd") & (beside.column == "avg6")]
    assert set(zip(corrkd.dataset, corrkd.task)) == {
        ("mosi", "sentiment"),
        ("mosei", "sentiment"),
        *(("iemocap", emotion) for emotion in ("happy", "sad", "angry", "neutral")),
    }
    printed = published_table("MOSI").xs("CorrKD", level="method").avg6.iloc[0]
    mosi = corrkd[corrkd.dataset == "mosi"].iloc[0]
    assert mosi.published == printed
    rows = pd.read_parquet(out / "rows.parquet")
    own = rows[(rows.dataset == "mosi") & (rows.method == "corrkd") & (rows.protocol == "inter")]
    own = own[(own.metric == "f1_has0") & (own.subset != "{l,a,v}")]
    assert len(own) == 6 and abs(100 * own.value.mean() - mosi.here) < 1e-3
    assert abs(mosi.here - printed - mosi.difference) < 1e-3
    assert "sims" not in set(beside.dataset), "no table of it could be read"


@pytest.mark.slow
def test_the_page_needs_nothing_beside_it(rehearsed):
    out, _, _ = rehearsed
    page = (out / "paper.html").read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!data:|#|https?://)', page) and "<script" not in page
    assert not re.search(r'src="https?:', page), "nothing is fetched"
    banner = "Rehearsal: the files of " + ", ".join(SETS)
    for text in (banner, "Beside the published cells", "HRLF (NeurIPS 2024) Table 1"):
        assert text in page
    assert "Where FSRF puts a sample, " in page
    assert page.count("data:image/png;base64,") >= 5 and 'alt=""' not in page
    assert str(out) not in page, "no path of this machine"
    assert "No set has seeds enough" in page, "one seed claims nothing"
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles[0] == "In short" and len(titles) == len(set(titles)) == 9


@pytest.fixture
def small_mosi(tmp_path, monkeypatch):
    "FSRF_DATA holds a small MOSI; a folder for runs"
    rehearse(tmp_path, ["mosi"])
    monkeypatch.setenv("FSRF_DATA", str(tmp_path))
    monkeypatch.setenv("FSRF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "out"


def grid_of(words):
    args = cli.make_parser().parse_args(["paper", "--sets", "mosi", *words.split()])
    return paper_grid(args, ["mosi"])


def test_a_setting_need_not_be_one_of_every_method(small_mosi):
    words = "--methods fsrf,corrkd,majority --seeds 0,1 --set config.layers=1"
    grid = grid_of(words + " --set corrkd.margin=1 --ablation parts")
    of = {}
    for spec, change in zip(grid.specs, grid.changes, strict=True):
        of.setdefault((spec.method, change), []).append(spec)
    runs = {key: len(specs) for key, specs in of.items()}
    changed = {("fsrf", "no factorization"): 2, ("fsrf", "no distillation"): 2}
    assert runs == {("fsrf", ""): 2, ("corrkd", ""): 2, ("majority", ""): 1} | changed
    full, changed = of["fsrf", ""][0], of["fsrf", "no distillation"][0]
    assert changed.config == full.config | dict(log=0.0, dis=0.0) and full.config["layers"] == 1


def test_settings_that_do_not_fit_together_are_told_before_any_work(small_mosi):
    words = "paper --methods fsrf --seeds 0 --set config.width=8"
    code, _, told = call([*words.split(), "--sets", "mosi", "--out", str(small_mosi)])
    assert code == 2 and "width=8, heads=10" in told and "Traceback" not in told
    assert not (small_mosi / "probes.json").exists()


def test_without_any_set_it_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("FSRF_DATA", str(tmp_path))
    code, _, told = call(["paper", "--out", str(tmp_path / "out")])
    assert code == 2 and "none of these sets is there" in told and "mosi_data.pkl" in told
    assert not (tmp_path / "out").exists()


def test_a_damaged_set_is_no_absent_one(tmp_path, monkeypatch):
    (tmp_path / "mosi_data.pkl").write_bytes(b"not a pickle")
    monkeypatch.setenv("FSRF_DATA", str(tmp_path))
    monkeypatch.setenv("FSRF_CACHE", str(tmp_path / "cache"))
    code, _, told = call(["paper", "--sets", "mosi", "--out", str(tmp_path / "out")])
    assert code == 2 and "mosi_data.pkl" in told


def test_an_address_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("FSRF_DATA", str(tmp_path))
    with pytest.raises(SystemExit):
        call(["paper", "--settings"])
    code, _, told = call(["paper", "--out", "s3://bucket/runs"])
    assert code == 2 and "expected: a path" in told
    assert FsrfError.__name__ not in told


def test_an_incomplete_folder_says_what_it_lacks(tmp_path, monkeypatch):
    (tmp_path / "MOSI").mkdir()
    for name in ("TimestampedWordVectors", "COVAREP", "Visual_Facet_42", "Opinion_Labels"):
        (tmp_path / f"MOSI/CMU_MOSI_{name}.csd").touch()
    monkeypatch.setenv("FSRF_DATA", str(tmp_path))
    code, _, told = call(["paper", "--sets", "mosi", "--out", str(tmp_path / "out")])
    assert code == 2 and "without a file of folds" in told and "cmu_mosi_std_folds.py" in told


@pytest.mark.parametrize("words", ("--steps 0", "--workers 0", "--workers x"))
def test_a_count_begins_at_one(words):
    with pytest.raises(SystemExit):
        call(["paper", *words.split()])


def test_settings_that_say_nothing_of_a_set_are_told():
    assert "nothing of mosi:" in settings_note("tuned", ["mosi", "mosi-lat"])
    assert not settings_note("published", [*SETS, "mosi?layout=csd"])
    assert not settings_note("default", SETS)


def test_a_dry_run_shows_the_script_of_a_job(small_mosi, tmp_path):
    pytest.importorskip("dask_jobqueue")
    file = tmp_path / "slurm.yaml"
    file.write_text("kind: slurm\njobs: 2\noptions: {queue: gpu, cores: 1, memory: 4GB}\n")
    words = f"--methods majority --seeds 0 --dry-run --cluster {file} --out {small_mosi}"
    code, told, err = call(["paper", "--sets", "mosi", *words.split()])
    assert code == 0 and "#SBATCH -p gpu" in told, err


def test_the_scripts_on_a_page_begin_as_scripts_do():
    page = json.loads((ROOT / "nbs/explanations/gpus.ipynb").read_text(encoding="utf-8"))
    text = "\n".join("".join(cell["source"]) for cell in page["cells"])
    assert re.findall(r"```\n(.*)\n#SBATCH", text) == ["#!/bin/bash"], "jupytext drops the #"
