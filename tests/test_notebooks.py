"""Every notebook passes nbdev's own test machinery: one test a notebook, its directives honoured.

Each notebook runs in a process of its own (a registry that one notebook fills is not seen by the
next), beside the other tests: see pages.py. nbs/paper holds a `.notest` file, as nbdev_test
expects it: those notebooks are papermill templates and are run with parameters by the papermill
tests.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from pages import TIMEOUT, Pages

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SLOW = """
    1_data/05_synthetic 4_methods/04_linear 4_methods/casd 4_methods/dmd 4_methods/hrlf
    4_methods/lnln 4_methods/misa 4_methods/mult 4_methods/prlf 4_methods/tfrnet 4_methods/umdf
    5_evaluation/11_evaluate 6_training/02_fit 6_training/03_cost 6_training/06_predict
    8_runs/02_forks 8_runs/03_kernels
    8_runs/04_cluster 8_runs/09_status explanations/factors explanations/reproduction_report
    tutorials/predict tutorials/more_modalities tutorials/streaming
""".split()


def notebooks():
    "What nbdev_test would run"
    found = nbglob(get_config(ROOT).nbs_path, as_path=True)
    return [
        p.relative_to(ROOT).as_posix() for p in sorted(found) if not (p.parent / ".notest").exists()
    ]


def marked(name):
    "Slow ones have their mark; they are started first"
    slow = name.removeprefix("nbs/").removesuffix(".ipynb") in SLOW
    return pytest.param(name, marks=[pytest.mark.slow] if slow else [])


def test_the_slow_notebooks_are_there():
    assert not {f"nbs/{name}.ipynb" for name in SLOW} - set(notebooks())


@pytest.mark.parametrize("name", map(marked, notebooks()))
def test_notebook(name, pages):
    code, printed = pages.result(ROOT / name)
    assert code == 0, f"{name} failed\n{printed}"


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


def run_alone(path):
    "(exit code, what it printed) of one notebook"
    pages = Pages([path], path.parent)
    try:
        return pages.result(path)
    finally:
        pages.close()


def test_a_failing_notebook_fails(project):
    code, printed = run_alone(project("x = 1", "assert x == 2"))
    assert code == 1 and "AssertionError" in printed


def test_a_notebook_that_ends_its_process_fails(project):
    code, _ = run_alone(project("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert code == -9


def test_directives_are_honoured(project):
    code, printed = run_alone(
        project(
            "x = 1",
            "#| eval: false\nassert False",
            "#| slow\nassert False",
            "#| cuda\nassert False",
            "assert x == 1",
        )
    )
    assert code == 0, printed
    assert printed.splitlines()[0] == "2", "two cells run, three are skipped"


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


@pytest.mark.slow
def test_nbdev_test_passes_the_first_notebook():
    done = subprocess.run(
        [BIN / "nbdev_test", "nbs/00_core.ipynb"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0 and "Success." in done.stdout, done.stdout + done.stderr
