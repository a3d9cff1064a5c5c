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
from fsrf.extras import EXTRAS

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


def call(*words, cwd, code=0, **env):
    "What a command prints that somebody gives who has told fsrf nothing, not even where it is"
    own = {k: v for k, v in os.environ.items() if not k.startswith(("FSRF_", "PYTHONPATH"))}
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=own | env, timeout=600, text=True, capture_output=True
    )
    assert done.returncode == code, done.stdout + done.stderr
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


def test_the_wheel_tells_its_extras_and_one_command(wheel):
    "nbdev's commands are a checkout's: in a wheel they would call a package that is not there"
    with zipfile.ZipFile(wheel) as packed:
        (info,) = {n.partition("/")[0] for n in packed.namelist() if n.startswith("fsrf-")}
        metadata = packed.read(f"{info}/METADATA").decode().splitlines()
        commands = packed.read(f"{info}/entry_points.txt").decode()
    extras = {line.partition(": ")[2] for line in metadata if line.startswith("Provides-Extra")}
    assert extras == {*EXTRAS, "all", "dev"}
    plain = [line for line in metadata if line.startswith("Requires-Dist") and "extra" not in line]
    assert len(plain) == len(settings()["requirements"].split())
    assert commands.count("=") == 2 and "fsrf = fsrf.cli.main:main" in commands


# jinja2 and fsspec come with torch
HIDDEN = sorted({p for packages in EXTRAS.values() for p in packages} - {"jinja2", "fsspec"})
HIDE = f"""
from importlib.machinery import PathFinder
real = PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition('.')[0] in {HIDDEN} else real(name, path, target)
PathFinder.find_spec = staticmethod(find_spec)
"""

TRAIN = f"""
import sys, warnings, numpy as np, fsrf
warnings.simplefilter('ignore')
result = fsrf.run('fsrf', 'synthetic-quick', epochs=1, width=8, layers=1, progress=False)
print(result.table)
result.save('model')
try: result.curve
except fsrf.core.FsrfError as error: print(error)
ds = result.data
own = dict(y=ds.y[:9], ids=np.array(ds.ids[:9]), split=np.repeat(['train', 'valid', 'test'], 3))
np.savez('mine.npz', **{{m: x[:9] for m, x in ds.x.items()}}, **own)
hidden = set(sys.modules) & set({HIDDEN})
assert not hidden, hidden
"""


@pytest.fixture(scope="module")
def trained(programs, tmp_path_factory):
    "A folder with a model/ and mine.npz, made by `fsrf.run` without any extra; what it printed"
    folder = tmp_path_factory.mktemp("trained")
    (folder / "hide").mkdir()
    (folder / "hide/sitecustomize.py").write_text(HIDE)
    hide = dict(PYTHONPATH=str(folder / "hide"))
    return folder, hide, call(programs / "python", "-c", TRAIN, cwd=folder, **hide)


def test_without_extras_everything_but_grids_and_figures_works(programs, trained):
    folder, hide, printed = trained

    def told(*words, code=0):
        return call(programs / "fsrf", *words, cwd=folder, code=code, **hide)

    assert "| fsrf |" in printed.lower() and "pip install 'fsrf[report]'" in printed
    assert "plain_mrm" in told("list") and "epochs" in told("list", "train")
    assert "samples   9" in told("data", "check", "mine.npz")
    told("predict", "model", "mine.npz", "--without", "audio", "--out", "said.csv")
    assert len(pd.read_csv(folder / "said.csv")) == 9
    assert "15 runs, 15 to make" in told("reproduce", "--dry-run")


def test_what_needs_an_extra_names_the_command_that_installs_it(programs, trained):
    folder, hide, _ = trained

    def told(*words):
        return call(programs / "fsrf", *words, cwd=folder, code=2, **hide)

    assert "pip install 'fsrf[report,run]'" in told("reproduce", "--seeds", "0")
    assert not (folder / "runs").exists()
    assert "pip install 'fsrf[report,run]'" in told("report", "model/rows.json")
    assert "pip install 'fsrf[report]'" in told("data", "show", "mine.npz")
    predict = ("predict", "model", "mine.npz")
    assert "pip install 'fsrf[report]'" in told(*predict, "--out", "a.parquet")
    assert "pip install 'fsrf[s3]'" in told("collect", "s3://bucket/runs")
    (folder / "slurm.yaml").write_text("kind: slurm")
    assert "'fsrf[run,cluster]'" in told("reproduce", "--dry-run", "--cluster", "slurm.yaml")


WINDOWS = """
import sys, importlib, os, pkgutil, signal, socket
# other packages know their system: they come first
import torch, scipy.stats, sklearn.model_selection, h5py, pyarrow.parquet, seaborn, rich.live
import dask_jobqueue, distributed, papermill, optuna, psutil, ipykernel.kernelapp
for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios'): sys.modules[name] = None
for module, names in (
    (os, 'fork getuid getpgid setsid pidfd_open memfd_create'),
    (signal, 'SIGKILL SIGALRM SIGCHLD alarm pidfd_send_signal'),
    (socket, 'AF_UNIX SOCK_SEQPACKET send_fds recv_fds'),
):
    for name in names.split(): module.__dict__.pop(name, None)
sys.platform = 'win32'
import fsrf
found = [module.name for module in pkgutil.walk_packages(fsrf.__path__, 'fsrf.')]
for name in found: importlib.import_module(name)
print(len(found), 'modules')
from fsrf.cli.main import main
for words in (['list'], ['data', 'check', 'mine.npz'], ['predict', 'model', 'mine.npz'],
              ['reproduce', '--dry-run'], ['status', 'model']):
    assert main(words) == 0, words
assert main(['reproduce', '--seeds', '0', '--methods', 'majority']) == 2
"""


def test_windows_imports_predicts_and_says_what_the_engine_needs(trained):
    "In a process that has lost what Windows lacks"
    folder, _, _ = trained
    told = call(sys.executable, "-c", WINDOWS, cwd=folder, PYTHONPATH=str(ROOT))
    assert "the engine runs on Linux and macOS" in told and "win32" in told
