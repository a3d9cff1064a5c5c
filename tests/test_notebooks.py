"""Every notebook passes nbdev's own test machinery: one test a notebook, its directives honoured.

Each notebook runs in a process of its own (a registry that one notebook fills is not seen by the
next), as many at a time as there are cores. nbs/paper holds a `.notest` file, as nbdev_test
expects it: those notebooks are papermill templates and are run with parameters by the papermill
tests.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nbdev.config import get_config
from nbdev.doclinks import nbglob

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
TIMEOUT = 300
RUN = """
import sys
from nbdev.config import get_config
from nbdev.test import nb_test_cells, test_nb
path, cfg = sys.argv[1], get_config(sys.argv[1])
flags = cfg.tst_flags.split()
print(len(nb_test_cells(path, skip_flags=flags)), flush=True)
passed, seconds = test_nb(path, skip_flags=flags, basepath=cfg.config_path, do_print=True)
sys.exit(not passed)
"""


def notebooks():
    "What nbdev_test would run"
    found = nbglob(get_config(ROOT).nbs_path, as_path=True)
    return [
        p.relative_to(ROOT).as_posix() for p in sorted(found) if not (p.parent / ".notest").exists()
    ]


def run_notebook(path):
    "Run one notebook through nbdev's test_nb in a fresh process"
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    return subprocess.run(
        [sys.executable, "-c", RUN, str(path)],
        cwd=Path(path).parent,
        env=env,
        timeout=TIMEOUT,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="session")
def results(request):
    """All the notebooks that this session selected, started at once; conftest lets other tests run
    beside them"""
    chosen = [
        item.callspec.params["name"]
        for item in request.session.items
        if getattr(item, "originalname", "") == "test_notebook"
    ]
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        futures = {name: pool.submit(run_notebook, ROOT / name) for name in chosen}
        yield futures
        for future in futures.values():
            future.cancel()


@pytest.mark.parametrize("name", notebooks())
def test_notebook(name, results):
    done = results[name].result()
    assert done.returncode == 0, f"{name} failed\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def project(tmp_path):
    "A project of one notebook, with this project's nbdev settings"
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "fsrf").mkdir()
    (tmp_path / "nbs").mkdir()

    def write(*cells):
        import nbformat as nbf

        notebook = nbf.v4.new_notebook(
            cells=[nbf.v4.new_code_cell(c) for c in cells],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}
            },
        )
        path = tmp_path / "nbs" / "one.ipynb"
        nbf.write(notebook, path)
        return path

    return write


def test_a_failing_notebook_fails(project):
    done = run_notebook(project("x = 1", "assert x == 2"))
    assert done.returncode == 1 and "AssertionError" in done.stderr


def test_directives_are_honoured(project):
    done = run_notebook(
        project(
            "x = 1",
            "#| eval: false\nassert False",
            "#| slow\nassert False",
            "#| cuda\nassert False",
            "assert x == 1",
        )
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "2", "two cells run, three are skipped"


@pytest.mark.parametrize(("cell", "code"), [("assert True", 0), ("assert False", 1)])
def test_nbdev_test_is_a_command(project, cell, code):
    path = project(cell)
    done = subprocess.run(
        [BIN / "nbdev_test", str(path)],
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert ("Success." in done.stdout) == (code == 0)


def test_nbdev_test_passes_the_first_notebook():
    done = subprocess.run(
        [BIN / "nbdev_test", "nbs/00_core.ipynb"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0 and "Success." in done.stdout, done.stdout + done.stderr
