"""Shared by all tests: one thread per process, the project's paths, the development sets."""

import os

# Before torch is imported: two torch processes on two cores are 5-20 times slower when each takes
# all threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import subprocess  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
from pages import Pages  # noqa: E402

from fsrf.runs import forks  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
# Where the development sets are present they are used: by the tests here and by the notebooks
# that read them.
if not os.environ.get("FSRF_DATA") and (ROOT / "../shared/data").is_dir():
    os.environ["FSRF_DATA"] = "../shared/data"


def is_notebook(item):
    return getattr(item, "originalname", "") == "test_notebook"


def is_quick(item):
    return item.get_closest_marker("slow") is None


def pytest_collection_modifyitems(items):
    "Notebooks run beside the other tests, so what became of them is asked last"
    items.sort(key=is_notebook)


@pytest.fixture(scope="session", autouse=True)
def shared_fork_server():
    """Whoever starts kernels, also in a process of its own, forks them from this one. It imports
    nothing before somebody asks"""
    if not forks.CAN_FORK:
        yield
        return
    server = forks.ForkServer()
    os.environ[forks.SHARED] = server.launch()
    yield
    del os.environ[forks.SHARED]
    server.stop()


@pytest.fixture(scope="session", autouse=True)
def pages(request, shared_fork_server, tmp_path_factory):
    "The selected notebooks, started with the first test"
    items = sorted(filter(is_notebook, request.session.items), key=is_quick)
    chosen = [ROOT / item.callspec.params["name"] for item in items]
    if not chosen:
        yield None
        return
    running = Pages(chosen, tmp_path_factory.mktemp("pages"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def root():
    "The project's root folder"
    return ROOT


@pytest.fixture(scope="session")
def shared_data():
    """The folder of the development sets; skips where it is absent (a relative FSRF_DATA counts
    from the root)"""
    folder = (ROOT / os.environ.get("FSRF_DATA", "../shared/data")).resolve()
    if not (folder / "meld").is_dir():
        pytest.skip("no development sets: FSRF_DATA points to no folder that has meld/")
    return folder


@pytest.fixture(scope="session")
def tracked():
    "The files of the project: what git tracks, and what it would track"
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        pytest.skip("not a git checkout: which files belong to the project is unknown")
    return [
        ROOT / name
        for name in sorted(filter(None, found.stdout.split("\0")))
        if (ROOT / name).is_file()
    ]
