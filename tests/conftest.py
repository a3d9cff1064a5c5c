"""Shared by all tests: one thread per process, the project's paths, the development sets."""

import os

# Before torch is imported: two torch processes on two cores are 5-20 times slower when each takes
# all threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import subprocess  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
# Where the development sets are present they are used: by the tests here and by the notebooks
# that read them.
if not os.environ.get("FSRF_DATA") and (ROOT / "../shared/data").is_dir():
    os.environ["FSRF_DATA"] = "../shared/data"


ALONE = ("test_cli", "test_engine", "test_papermill")  # they watch processes and clocks


def pytest_collection_modifyitems(items):
    """Those that want the machine for themselves first; then the first notebook, which starts all
    of them, and the rest beside them"""
    notebooks = [item for item in items if getattr(item, "originalname", "") == "test_notebook"]

    def turn(item):
        if item.path.stem in ALONE:
            return 0
        return 2 if item not in notebooks else 1 if item is notebooks[0] else 3

    items.sort(key=turn)


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
