"""The engine's faults, with real processes: the driver or scheduler killed, a full disk, a hang,
greed for memory, two drivers, damaged rows, an object store. After each, the rows are those of an
undisturbed run, bit for bit."""

import concurrent.futures as cf
import contextlib
import dataclasses
import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from dask.distributed import Client
from processes import (  # noqa: F401
    PLUGIN,
    alive,
    fork_server_of,
    holds_lock,
    kernels,
    plugin,
    same_rows,
    wait_for,
    workers_of,
)

from fsrf import data, runs
from fsrf.core import FsrfError, read_json
from fsrf.evaluation import read_rows
from fsrf.runs import cluster
from fsrf.runs import kernels as limits
from fsrf.runs.kernels import Limits
from fsrf.runs.remote import MARKER, RemoteRuns

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent
SETTINGS = dict(
    train=dict(epochs=2, batch_size=32),
    config=dict(width=8, heads=2, layers=1),
    evaluation=dict(rates=[0.0, 0.5], mask_seeds=[0]),
)
FLAGS = [f"{g}.{k}={json.dumps(v)}" for g, fields in SETTINGS.items() for k, v in fields.items()]
FLAGS = [word for flag in FLAGS for word in ("--set", flag)]


@pytest.fixture
def signs(tmp_path, monkeypatch):
    "Where methods say that they have begun, and look whether they may go on"
    (folder := tmp_path / "signs").mkdir()
    monkeypatch.setenv("FSRF_TEST_FOLDER", str(folder))
    return folder


def spec(name):
    return runs.RunSpec(name, "tiny", plugin=PLUGIN, **SETTINGS)


def here(function, *args, **_):
    "A `submit` that works in this process; the kernels are real ones"
    future = cf.Future()
    try:
        future.set_result(function(*args))
    except Exception as e:
        future.set_exception(e)
    return future


def grid(out, names=("plain_mrm",), submit=here, **kw):
    kw = dict(settings=SETTINGS, plugin=PLUGIN, submit=submit, progress=False, report=list) | kw
    return runs.reproduce(["tiny"], list(names), [0], out, **kw)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    "Undisturbed runs: {method: folder}"
    out = tmp_path_factory.mktemp("reference")
    (out / "go").touch()
    os.environ["FSRF_TEST_FOLDER"] = str(out)
    made = {o.spec.method: Path(o.path) for o in grid(out / "runs", ("plain_mrm", "halting"))}
    del os.environ["FSRF_TEST_FOLDER"]
    return made


def command(out, name, *more):
    words = [
        Path(sys.executable).parent / "fsrf",
        "reproduce",
        "--dataset",
        "tiny",
        "--methods",
        name,
        "--seeds",
        "0",
    ]
    return [
        *map(str, words),
        "--plugin",
        PLUGIN,
        "--out",
        str(out),
        "--workers",
        "1",
        *FLAGS,
        *map(str, more),
    ]


def start(words, **kw):
    return subprocess.Popen(
        words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kw
    )


# --- drivers and schedulers -----------------------------------------------------------------------


def test_a_killed_driver_leaves_no_process_and_the_next_call_goes_on(tmp_path, signs, reference):
    driver = start(command(tmp_path / "runs", "halting"))
    try:
        kernel = wait_for(lambda: kernels(signs))[0]
        processes = [kernel, fork_server_of(kernel), *workers_of(driver.pid)]
        assert len(processes) == 3
    finally:
        driver.kill()
        driver.communicate()
    wait_for(lambda: not any(map(alive, processes)), 30)
    partial = next((tmp_path / "runs").glob(".partial-*/training/fold0/state.safetensors"))
    assert partial.stat().st_size and not runs.status(tmp_path / "runs")["done"]
    (signs / "go").touch()
    outcome = grid(tmp_path / "runs", ["halting"])[0]
    assert outcome.status == "done"
    same_rows(outcome.path, reference["halting"])
    assert grid(tmp_path / "runs", ["halting"])[0].status == "skipped"


def test_a_killed_scheduler_ends_its_workers_and_is_told(tmp_path, signs, reference):
    file = tmp_path / "scheduler.json"
    base = [sys.executable, "-m", "distributed.cli"]
    words = ["--scheduler-file", str(file), "--no-dashboard"]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    scheduler = subprocess.Popen(
        [*base[:2], "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *words],
        **quiet,
    )
    worker = subprocess.Popen(
        [*base[:2], "distributed.cli.dask_worker", "--nthreads", "1", *words], **quiet
    )
    try:
        address = wait_for(
            lambda: file.is_file() and file.stat().st_size and read_json(file)["address"]
        )
        driver = start(command(tmp_path / "runs", "halting", "--cluster", address))
        kernel = wait_for(lambda: kernels(signs))[0]
        scheduler.kill()
        told, _ = driver.communicate(timeout=120)
        assert (
            driver.returncode == 1 and "the cluster was lost" in told and "Traceback" not in told
        ), told
        wait_for(lambda: not alive(kernel), 60)
    finally:
        for p in (scheduler, worker):
            p.kill()
            p.wait()
    (signs / "go").touch()
    outcome = grid(tmp_path / "runs", ["halting"])[0]
    assert outcome.status == "done"
    same_rows(outcome.path, reference["halting"])


def test_a_terminal_shows_the_grid_and_its_runs(tmp_path, signs):
    """On a real terminal: a bar, and below it a line for each run in work with its epoch and its
    validation score"""
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (30, 140))
    words, env = command(tmp_path / "runs", "halting"), {**os.environ, "TERM": "xterm-256color"}
    driver = subprocess.Popen(words, stdout=terminal, stderr=terminal, env=env)
    os.close(terminal)
    os.set_blocking(screen, False)
    seen = b""

    def find(pattern):
        nonlocal seen
        with contextlib.suppress(OSError):  # nothing new, or nobody writes any more
            while new := os.read(screen, 65536):
                seen += new
        return re.search(
            pattern, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode(errors="replace"))
        )

    try:
        wait_for(lambda: find(r"runs ╌+ 0/1 .*\s+run +state +epoch +valid"))
        wait_for(
            lambda: find(r"halting tiny seed 0 +running +1/2 +\d\.\d{3} +\d:\d\d +<\d:\d\d +\d+ MB")
        )
        (signs / "go").touch()
        wait_for(lambda: find(r"runs ━+ 1/1"))
        assert driver.wait(60) == 0
    finally:
        driver.kill()
        os.close(screen)


def seen_gpus():
    return os.environ["CUDA_VISIBLE_DEVICES"], [os.environ[k] for k in cluster.THREADS]


def test_each_worker_sees_its_gpu_alone():
    "No GPU is needed to look at what a worker was told; its kernels are its children"
    environments = cluster.worker_environments(gpus=["3", "GPU-7"])
    with cluster.local_cluster(environments) as workers, Client(workers) as client:
        seen = list(client.run(seen_gpus).values())
    assert sorted(seen) == [("3", ["1"] * 3), ("GPU-7", ["1"] * 3)]


def test_two_drivers_make_each_run_once(tmp_path, reference):
    drivers = [start(command(tmp_path / "runs", "plain_mrm")) for _ in range(2)]
    told = [d.communicate(timeout=240)[0] for d in drivers]
    print(*told, sep="\n")  # pytest shows it whole
    assert [d.returncode for d in drivers] == [0, 0]
    assert sorted(line for t in told for line in t.splitlines() if " runs in " in line)
    assert (
        sum("1 made, 0 there before" in t for t in told) == 1
        and sum("0 made, 1 there before" in t for t in told) == 1
    )
    (done,) = runs.status(tmp_path / "runs")["done"]
    same_rows(tmp_path / "runs" / done, reference["plain_mrm"])


# --- one run --------------------------------------------------------------------------------------


def test_a_run_that_hangs_is_ended_and_can_go_on(tmp_path, signs, reference, monkeypatch):
    "The watch's clock passes the limit as soon as the kernel has said that it waits"

    def clock():
        return time.monotonic() + (1e6 if kernels(signs) else 0)

    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=clock))
    outcome = runs.execute(spec("halting"), tmp_path, "one", limits=Limits(timeout=1e5))
    assert outcome.status == "failed" and "--timeout" in outcome.error, outcome
    (kernel,) = kernels(signs)
    wait_for(lambda: not alive(kernel), 60)
    failed = runs.status(tmp_path)["failed"][0]
    assert "--timeout" in failed["error"] and Path(failed["path"]).is_file()
    (signs / "go").touch()
    assert runs.execute(spec("halting"), tmp_path, "one").status == "done"
    same_rows(tmp_path / "one", reference["halting"])
    assert not runs.status(tmp_path)["failed"]


def test_a_run_that_eats_memory_is_ended(tmp_path):
    outcome = runs.execute(spec("greedy"), tmp_path, "one", limits=Limits(memory=1500 * 10**6))
    assert outcome.status == "failed" and "--memory-limit" in outcome.error, outcome
    assert not list(tmp_path.glob("[!.]*/rows.json"))


@pytest.fixture
def small_disk(tmp_path):
    (folder := tmp_path / "disk").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_loses_nothing(small_disk, reference):
    assert (
        runs.execute(dataclasses.replace(spec("plain_mrm"), seed=1), small_disk, "before").status
        == "done"
    )
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 60_000))
    outcome = runs.execute(spec("plain_mrm"), small_disk, "one")
    assert outcome.status == "failed" and "No space left" in outcome.error, outcome
    assert runs.is_done(small_disk / "before") and not (small_disk / "one").exists()
    ballast.unlink()
    assert runs.execute(spec("plain_mrm"), small_disk, "one").status == "done"
    same_rows(small_disk / "one", reference["plain_mrm"])


def test_damaged_rows_are_made_again_and_force_makes_the_same(tmp_path, reference):
    shutil.copytree(reference["plain_mrm"], tmp_path / "one")
    (tmp_path / "one/rows.json").write_text('[{"half":')
    assert [i for i, _ in runs.status(tmp_path)["damaged"]] == ["one"]
    assert runs.execute(spec("plain_mrm"), tmp_path, "one").status == "done"
    same_rows(tmp_path / "one", reference["plain_mrm"])
    now = time.time()
    assert runs.execute(spec("plain_mrm"), tmp_path, "one", force=now).status == "done"
    assert (
        runs.execute(spec("plain_mrm"), tmp_path, "one", force=now).status == "skipped"
    )  # once is enough
    same_rows(tmp_path / "one", reference["plain_mrm"])


def test_a_kill_between_two_renames_loses_nothing(tmp_path, reference):
    shutil.copytree(reference["plain_mrm"], tmp_path / ".replaced-one")
    assert runs.execute(spec("plain_mrm"), tmp_path, "one").status == "skipped"
    same_rows(tmp_path / "one", reference["plain_mrm"])


def test_a_lock_is_held_by_the_kernel_too(tmp_path, signs):
    "Else a second run could begin beside a kernel that is still dying"
    import fcntl

    with cf.ThreadPoolExecutor(1) as pool:
        future = pool.submit(runs.execute, spec("waiting"), tmp_path, "one")
        kernel = wait_for(lambda: kernels(signs))[0]
        held = holds_lock(kernel, tmp_path / ".locks/one")
        with open(tmp_path / ".locks/one") as f, pytest.raises(BlockingIOError):
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (signs / "go").touch()
        assert held and future.result(120).status == "done"


# --- names, kernels, places -----------------------------------------------------------------------


def test_a_run_of_a_long_path_has_a_name_that_fits():
    "A folder's name has 255 bytes; ids of short names are as they were"
    path = "/scratch/" + "/".join(["project_" + "x" * 50] * 5) + "/mosi.npz"
    which = [(path, 0), (path, 1), (path[1:], 0), ("\u00e4" * 300, 0), (path, 10**300)]
    names = [
        runs.run_id(runs.RunSpec("majority", dataset, seed), data_sha256="0" * 64)
        for dataset, seed in which
    ]
    assert len(set(names)) == 5
    assert all(len(f".replaced-{name}.failed".encode()) < 256 for name in names)
    assert "mosi.npz-s0-" in names[0] and names[0].startswith("majority--scratch-project_")
    short = runs.run_id(runs.RunSpec("majority", "data/mosi.npz", 3), data_sha256="0" * 64)
    assert re.fullmatch(r"majority-data-mosi\.npz-s3-[0-9a-f]{12}", short)


def test_a_large_environment_does_not_end_the_fork_server(tmp_path):
    "300 kB, as modules of a cluster and service links make it; the child has all of it"
    large = dict(os.environ) | {f"LARGE_{i}": "x" * 100_000 for i in range(3)}
    server = runs.ForkServer()
    try:
        child = server.fork(["-f", str(tmp_path / "c.json")], env=large, cwd=str(tmp_path))
        wait_for((tmp_path / "c.json").exists)
        assert child.poll() is None
        child.kill()
    finally:
        server.stop()


def handed_to_papermill(monkeypatch, *answers):
    "`run_notebook` with papermill's own function replaced: what it was called with, call by call"
    import papermill

    calls, answers = [], iter(answers)

    def stub(*_, **options):
        calls.append(options)
        if isinstance(answer := next(answers, None), Exception):
            raise answer
        return answer

    monkeypatch.setattr(papermill, "execute_notebook", stub)
    monkeypatch.setattr(limits, "check_parameters", lambda *_: None)
    return calls


def test_a_late_output_is_waited_for(monkeypatch):
    "nbclient's own patience is 4 s, too little on a machine under load"
    calls = handed_to_papermill(monkeypatch)
    runs.run_notebook("in.ipynb", "out.ipynb", {})
    assert calls[0]["iopub_timeout"] >= 30 and calls[0]["start_timeout"] >= 60


def test_a_kernel_that_dies_before_its_first_answer_is_started_once_more(monkeypatch):
    died = RuntimeError("Kernel died before replying to kernel_info")
    calls = handed_to_papermill(monkeypatch, died, "made")
    assert runs.run_notebook("in.ipynb", "out.ipynb", {}) == "made" and len(calls) == 2
    calls = handed_to_papermill(monkeypatch, died, died, "made")
    with pytest.raises(FsrfError, match="died twice"):
        runs.run_notebook("in.ipynb", "out.ipynb", {})
    assert len(calls) == 2
    calls = handed_to_papermill(monkeypatch, RuntimeError("another"), "made")
    with pytest.raises(RuntimeError, match="another"):
        runs.run_notebook("in.ipynb", "out.ipynb", {})
    assert len(calls) == 1


BARE = """
from fsrf import runs
print('the script', flush=True)
settings = dict(evaluation=dict(rates=[0.0], mask_seeds=[0]))
made = runs.reproduce(['synthetic-quick'], ['majority'], [0], 'runs', workers=1, settings=settings)
print([outcome.status for outcome in made])
"""


def test_a_script_without_a_guard_makes_a_grid(tmp_path):
    "A spawned worker would run the script again, and with that the grid"
    (tmp_path / "bare.py").write_text(BARE)
    told = subprocess.run(
        [sys.executable, "bare.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert told.stdout == "the script\n['done']\n" and "Traceback" not in told.stderr, told


def own_file(folder):
    "A small data set in a file"
    rng = np.random.default_rng(0)
    x = {m: rng.normal(size=(30, 4, 3)).astype("float32") for m in ("text", "audio")}
    split = np.repeat(["train", "valid", "test"], 10)
    np.savez(folder / "own.npz", **x, y=np.arange(30) % 2, split=split)
    return str(folder / "own.npz")


def test_a_store_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FSRF_CACHE", str(tmp_path / "file/store"))
    with pytest.raises(FsrfError, match="FSRF_CACHE") as told:
        data.load_dataset(own_file(tmp_path))
    assert "cannot be written" in str(told.value) and "file/store" in str(told.value)


def test_a_store_that_can_only_be_read_serves(tmp_path, monkeypatch):
    monkeypatch.setenv("FSRF_CACHE", str(tmp_path / "store"))
    path = own_file(tmp_path)
    ds = data.load_dataset(path)
    assert list((tmp_path / "store").glob("*.safetensors"))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fsrf.data.entries._write_about", refuse)
    monkeypatch.setattr("fsrf.data.cache.write_json", refuse)
    means = [part.x["text"].mean() for part in data.load_dataset(path).parts().values()]
    assert abs(means[0]) < 1e-6 and len(ds) == 30  # standardised by the training part


def test_a_full_disk_is_told_before_a_run(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fsrf.runs.grid.write_atomic", full)
    with pytest.raises(FsrfError, match="make room"):
        runs.make_folder(tmp_path)


# --- papermill by hand ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "nbs/paper").glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_template_tells_its_parameters_and_checks_them(path):
    "`papermill --help-notebook` shows kind and help, and the first cell refuses what is unknown"
    import papermill

    for name, about in papermill.inspect_notebook(str(path)).items():
        assert about["inferred_type_name"] != "None" and about["help"], name
    cells = [c for c in read_json(path)["cells"] if c["cell_type"] == "code"]
    source = ["".join(c["source"]) for c in cells[:2]]
    assert "parameters" in cells[0]["metadata"]["tags"]
    assert source[1].startswith("from fsrf.runs import check_given\n\ncheck_given()\n")
    place = "out_dir" if "\nout_dir: str" in source[0] else "out"
    runs.check_given(["", source[0], f"# Parameters\n{place} = 'here'\n"])
    with pytest.raises(FsrfError, match=f"did you mean '{place}'"):
        runs.check_given(["", source[0], f"# Parameters\n{place}x = 'here'\n"])
    with pytest.raises(FsrfError, match="another kind"):
        runs.check_given(["", source[0], f"# Parameters\n{place} = 3\n"])


def test_papermill_by_hand_stops_in_the_first_cell(tmp_path):
    words = [Path(sys.executable).parent / "papermill", ROOT / "nbs/paper/run.ipynb", "out.ipynb"]
    told = subprocess.run(
        [*words, "-p", "methd", "fsrf"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert told.returncode and "did you mean 'method'?" in told.stderr, told.stderr
    cells = [c for c in read_json(tmp_path / "out.ipynb")["cells"] if c["cell_type"] == "code"]
    begun = [c for c in cells if c["execution_count"]]
    assert len(begun) <= 3 < len(cells), "the parameters, what was given, the first cell"


# --- an object store ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket():
    "A real S3 server on this machine"
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    words = [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    told = dict(
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",
        AWS_DEFAULT_REGION="us-east-1",
    )
    before = {k: os.environ.get(k) for k in told}
    os.environ.update(told)

    def ready():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    wait_for(ready)
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).mkdir("experiments")
    yield "s3://experiments"
    server.kill()
    server.wait()
    for k, v in before.items():
        os.environ.pop(k) if v is None else os.environ.update({k: v})


def test_runs_go_to_an_object_store(bucket, reference, tmp_path):
    out = f"{bucket}/runs"
    store = RemoteRuns(out)
    o = grid(out)[0]
    assert o.status == "done" and o.path == f"{out}/{o.id}"
    files = {"run.ipynb", "rows.json", "predictions.parquet", "model.safetensors", "history.json"}
    assert set(store.read_json(o.id, MARKER)) == files
    same_rows(store.fetch([o.id], ["rows.json"], tmp_path) / o.id, reference["plain_mrm"])
    assert grid(out)[0].status == "skipped" and runs.status(out)["done"] == [o.id]
    store.remove(o.id, MARKER)  # as when the upload was cut off
    assert not runs.status(out)["done"] and grid(out)[0].status == "done"
    rows = runs.collect(out, to=f"{out}/rows.parquet")
    (tmp_path / "rows.parquet").write_bytes(store.fs.cat_file(store.path("rows.parquet")))
    pd.testing.assert_frame_equal(read_rows(tmp_path / "rows.parquet"), rows)


def test_a_failure_reaches_the_object_store(bucket):
    o = grid(f"{bucket}/bad", ["broken"])[0]
    failed = runs.status(f"{bucket}/bad")["failed"][0]
    assert (
        o.status == "failed" and "broken on purpose" in failed["error"] and failed["path"] == o.path
    )
    assert RemoteRuns(f"{bucket}/bad").fs.exists(o.path.removeprefix("s3://"))


# --- plans, batch systems, collecting -------------------------------------------------------------


def test_a_dry_run_lists_and_estimates(reference, capsys):
    from fsrf.cli import main as cli

    out = reference["plain_mrm"].parent
    before = sorted(out.rglob("*"))
    words = [
        "reproduce",
        "--dataset",
        "tiny",
        "--methods",
        "plain_mrm,complete",
        "--seeds",
        "0",
        "--plugin",
        PLUGIN,
        *FLAGS,
    ]
    assert cli.main([*words, "--out", str(out), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "2 runs, 1 to make, about " in told and sorted(out.rglob("*")) == before
    assert [line.split()[1] for line in told.splitlines()[:2]] == ["done", "about"]


@pytest.mark.parametrize(("kind", "lines"), [
    ("slurm", ["#SBATCH -p gpu", "#SBATCH -t 02:00:00", "#SBATCH -n 1"]),
    ("pbs", ["#PBS -q gpu", "#PBS -l walltime=02:00:00"])])  # fmt: skip
def test_job_scripts(tmp_path, kind, lines):
    (tmp_path / "c.yaml").write_text(
        f'kind: {kind}\noptions: {{queue: gpu, memory: 4GB, walltime: "02:00:00"}}\n'
    )
    script = cluster.job_script(tmp_path / "c.yaml").splitlines()
    assert script[0] == "#!/usr/bin/env bash" and set(lines) | {"export OMP_NUM_THREADS=1"} <= set(
        script
    )
    assert (
        sys.executable in script[-1]
        and "distributed.cli.dask_worker" in script[-1]
        and "--nthreads 1" in script[-1]
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: slrm", "slurm, pbs"),
        ("kind: slurm\njob: 3", "unknown field"),
        ("kind: slurm\njobs: 0", "an integer from 1"),
        ("- a list", "unknown field"),
        ("kind: [", "cannot read"),
        ("kind: slurm\noptions: {colour: red, memory: 1GB}", "refuses"),
        ("kind: slurm", "refuses"),
    ],
)
def test_bad_cluster_files_are_told(tmp_path, text, told):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(FsrfError, match=told):
        cluster.job_script(tmp_path / "c.yaml")


def test_collecting_checks_schema_and_duplicates(reference, tmp_path):
    rows = runs.collect(reference["plain_mrm"].parent, to=tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(read_rows(tmp_path / "rows.parquet"), rows)
    with pytest.raises(FsrfError, match="parquet or .csv"):
        runs.save_rows(rows, tmp_path / "rows.xlsx")
    pd.concat([rows, rows]).to_parquet(tmp_path / "twice.parquet", index=False)
    with pytest.raises(FsrfError, match="duplicate"):
        read_rows(tmp_path / "twice.parquet")
    rows.drop(columns="value").to_parquet(tmp_path / "less.parquet", index=False)
    with pytest.raises(FsrfError, match="missing: \\['value'\\]"):
        read_rows(tmp_path / "less.parquet")


def test_importing_runs_needs_no_dask():
    heavy = "{'dask', 'distributed', 'papermill', 's3fs'}"
    code = f"import sys, fsrf.runs; assert not {heavy} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_threads_may_import_papermill_at_once():
    "`fsrf report` runs two notebooks in two threads, which both begin by importing it"
    code = """
import concurrent.futures as cf, sys, threading
from fsrf.runs.kernels import _papermill
together = threading.Barrier(8)
def papermill(_):
    together.wait()
    return _papermill().__name__
with cf.ThreadPoolExecutor(8) as pool: assert set(pool.map(papermill, range(8))) == {"papermill"}
assert sys.modules.get("rfc3987_syntax", 0) is not None"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
