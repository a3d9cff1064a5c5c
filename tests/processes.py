"""What the tests with real processes share: the plug-in, waiting, looking whether a process lives,
comparing rows."""

import os
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from fsrf import data, methods
from fsrf.core import read_json

PLUGIN = str(Path(__file__).resolve().parent / "plugins/tiny.py")


def forget_plugin():
    "The plug-in's names are unknown again"
    for name in ("broken", "waiting", "halting", "greedy", "flaky"):
        methods.METHODS.pop(name, None)
    for name in ("tiny", "tiny-folds"):
        data.DATASETS.pop(name, None)
    sys.modules.pop("fsrf_plugin_tiny", None)


@pytest.fixture(scope="module", autouse=True)
def plugin():
    "The plug-in's names are known while these tests run"
    methods.load_plugin(PLUGIN)
    yield
    forget_plugin()


def wait_for(condition, seconds=240):
    "What `condition` gives, as soon as it is true"
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def fork_server_of(kernel):
    "The branch of the fork server that has made a kernel; it serves one worker"
    return psutil.Process(kernel).ppid()


def workers_of(driver):
    "The dask workers that a driver (a process id) has started"
    found = psutil.Process(driver).children()
    return [p.pid for p in found if "spawn_main" in " ".join(p.cmdline())]


def holds_lock(pid, path):
    "Has the process this run's lock open?"
    links = Path(f"/proc/{pid}/fd").iterdir()
    return any(os.path.realpath(link) == os.path.realpath(path) for link in links)


def kernels(folder):
    "The kernels in which a method of tests/plugins/tiny.py has said that it waits"
    return [int(p.name.split("-")[1]) for p in folder.glob("began-*")]


def same_rows(a, b):
    "Two runs' rows, equal to the last bit but for seconds and commit"
    a, b = (
        pd.DataFrame(read_json(Path(f) / "rows.json")).drop(columns=["seconds", "commit"])
        for f in (a, b)
    )
    pd.testing.assert_frame_equal(a, b, check_exact=True)
