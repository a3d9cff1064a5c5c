"""fsrf as its users have it: a wheel, in an environment and a folder that are not the project's."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from test_skeleton import settings

import fsrf

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


def call(*words, cwd):
    "What a command prints that somebody gives who has told fsrf nothing, not even where it is"
    own = {k: v for k, v in os.environ.items() if not k.startswith(("FSRF_", "PYTHONPATH"))}
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=own, timeout=600, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, tracked):
    "The wheel of this checkout's files, built from its source distribution as an index would"
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for file in tracked:
        to = source / file.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(file.read_bytes())
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def programs(tmp_path_factory, wheel):
    """The programs of an environment that has the wheel, and beside it this environment's packages
    (a .pth file shows them, but no editable fsrf: that has a .pth file of its own). It lies in a
    repository of somebody's own"""
    folder = tmp_path_factory.mktemp("environment")
    somebody = ("-c", "user.name=t", "-c", "user.email=t@e")
    call("git", "init", "--quiet", cwd=folder)
    call("git", *somebody, "commit", "--quiet", "--allow-empty", "-m", "theirs", cwd=folder)
    venv.create(folder, with_pip=False, symlinks=True)
    paths = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", paths))
    (packages / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    programs = Path(sysconfig.get_path("scripts", "venv", paths))
    quiet = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    pip = (sys.executable, "-m", "pip", "--python", programs / "python")
    call(*pip, "install", *quiet, wheel, cwd=folder)
    return programs


def files(folder):
    return sorted(p for p in folder.rglob("*") if "__pycache__" not in p.parts)


def test_a_wheel_has_copies_of_what_the_commands_read(wheel):
    wanted = [f for pattern in settings()["shipped"].split() for f in ROOT.glob(pattern)]
    with zipfile.ZipFile(wheel) as packed:
        copies = {f"fsrf/shipped/{f.relative_to(ROOT).as_posix()}": f for f in wanted}
        assert set(copies) == {n for n in packed.namelist() if n.startswith("fsrf/shipped/")}
        for name, file in copies.items():
            assert packed.read(name) == file.read_bytes(), f"{name} is not what the project has"
        assert all(n.startswith(("fsrf/", "fsrf-")) for n in packed.namelist())


def test_an_installed_fsrf_works_in_an_empty_folder(programs, tmp_path):
    def told(*words):
        return call(programs / "fsrf", *words, cwd=tmp_path)

    code = "import fsrf.core; print(fsrf.core.LIBRARY, fsrf.core.commit())"
    library, commit = call(programs / "python", "-c", code, cwd=tmp_path).split()
    assert Path(library).is_relative_to(programs.parent) and commit == "unknown"
    before = files(Path(library))

    assert told("--version").strip() == f"fsrf {fsrf.__version__}"
    assert "plain_mrm" in told("list")
    grid = "--methods fsrf,majority --seeds 0 --set train.epochs=2 --set fsrf.width=8 --workers 1"
    words = (*grid.split(), "--quiet", "--tuned", "data/results/tuned.json")
    assert "2 made, 0 there before, 0 failed" in told("reproduce", *words)
    told("report", "runs/rows.parquet")
    (run,) = (tmp_path / "runs").glob("fsrf-*")
    told("predict", run, "synthetic-quick", "--out", "predictions.csv")

    rows = pd.read_parquet(tmp_path / "runs/rows.parquet")
    assert set(rows.method) == {"fsrf", "majority"} and set(rows.commit) == {"unknown"}
    made = {p.name for p in (tmp_path / "report").iterdir()}
    assert {"table_inter.md", "table_inter.ipynb", "fig_missing_rate.svg"} <= made
    assert len(pd.read_csv(tmp_path / "predictions.csv"))
    assert {p.name for p in tmp_path.iterdir()} <= {"runs", "report", "data", "predictions.csv"}
    assert files(Path(library)) == before, "what a command makes lands in the working folder"


def test_an_installed_fsrf_finds_its_tables(programs, tmp_path):
    code = """
from fsrf.core import read_json, shipped
from fsrf.report import published_table
from fsrf.runs import read_settings
assert len(published_table("MOSI")) and read_json(shipped("data/results/tuned.json"))
assert read_settings("published")["mosi"]["mult"]["train"]["epochs"] == 100
print(shipped("nbs/paper/run.ipynb"))"""
    told = call(programs / "python", "-c", code, cwd=tmp_path)
    assert "shipped" in told and Path(told.strip()).is_relative_to(programs.parent)
