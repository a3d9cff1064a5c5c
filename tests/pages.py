"""Runs notebooks as `nbdev_test` does, each in a fork of one process with all imports done.

    python tests/pages.py FOLDER NOTEBOOK ..

A line of JSON for each notebook as it ends: its path, its exit code, its CPU seconds, and the file
in FOLDER that holds what it printed. As many at a time as there are cores, and whatever runs beside
them goes first. A fork sees nothing of what another one registers or changes.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

TIMEOUT = 300
LANES = min(4, os.cpu_count() or 1)


def warm_up():
    "Import, once, what would take every notebook two seconds and more"
    import nbdev.test  # noqa: F401

    from fsrf.runs import forks

    forks.warm_up()
    gc.freeze()  # a fork's garbage collector leaves these objects where they are


def run(path):
    "Run a notebook with its directives honoured; its exit code"
    from nbdev.config import get_config
    from nbdev.test import nb_test_cells, test_nb

    config = get_config(path)
    flags = config.tst_flags.split()
    print(len(nb_test_cells(path, skip_flags=flags)), flush=True)
    return int(not test_nb(path, skip_flags=flags, basepath=config.config_path, do_print=True)[0])


def start(path, printed):
    "Fork; the child runs the notebook in its folder and ends"
    server = os.getpid()
    if pid := os.fork():
        return pid
    from fsrf.runs.forks import die_with_parent

    die_with_parent(server)
    signal.alarm(TIMEOUT)
    with open(printed, "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(path.parent)
    sys.path[0] = ""
    try:
        code = run(path)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.exit(code)


def main(folder, *paths):
    os.nice(5)
    if len(paths) > 1:
        warm_up()
    waiting = [(Path(p).resolve(), Path(folder) / f"{i}.txt") for i, p in enumerate(paths)]
    running = {}
    while waiting or running:
        while waiting and len(running) < LANES:
            path, printed = waiting.pop(0)
            running[start(path, printed)] = path, printed
        pid, status, used = os.wait4(-1, 0)
        path, printed = running.pop(pid)
        seconds = used.ru_utime + used.ru_stime
        code = os.waitstatus_to_exitcode(status)
        record = dict(path=str(path), code=code, seconds=seconds, printed=str(printed))
        print(json.dumps(record), flush=True)


class Pages:
    "Notebooks that run beside whatever else this process does"

    def __init__(self, paths, folder):
        here = dict(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MPLBACKEND="agg")
        command = [sys.executable, __file__, folder, *paths]
        self.ended = {}
        self.process = subprocess.Popen(
            list(map(str, command)), env=os.environ | here, stdout=subprocess.PIPE, text=True
        )

    def result(self, path):
        "Wait for one: (exit code, what it printed)"
        while str(path) not in self.ended:
            line = self.process.stdout.readline()
            assert line, f"the process that runs the notebooks has ended: {self.process.wait()}"
            record = json.loads(line)
            self.ended[record["path"]] = record
        found = self.ended[str(path)]
        return found["code"], Path(found["printed"]).read_text(errors="replace")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
