"""Runs through papermill: what they leave, that they repeat, and what happens when one fails or is
killed.

Real kernels on a tiny data set (tests/plugins/tiny.py). The runs that several tests look at are
made once.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from processes import (  # noqa: F401
    PLUGIN,
    alive,
    holds_lock,
    kernels,
    plugin,
    same_rows,
    wait_for,
    workers_of,
)

import fsrf
from fsrf import methods, runs
from fsrf.core import FsrfError, hash_file, read_json
from fsrf.data import load_dataset
from fsrf.evaluation import read_rows
from fsrf.evaluation.evaluate import COLUMNS
from fsrf.runs.cluster import Executor
from fsrf.runs.forks import SHARED, ForkServer

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent
SETTINGS = dict(
    train=dict(epochs=2, batch_size=32),
    config=dict(width=8, heads=2, layers=1),
    evaluation=dict(rates=[0.0, 0.5], mask_seeds=[0, 1]),
)


QUICK = dict(evaluation=SETTINGS["evaluation"])


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    "Two workers; `folder` is where the method `waiting` says that it has begun"
    folder = tmp_path_factory.mktemp("waiting")
    workers = Executor(workers=2, env=dict(FSRF_TEST_FOLDER=str(folder)))
    workers.folder = folder
    yield workers
    workers.close(kill=True)  # a test that failed may have left a run that waits


def reproduce(methods, seeds, out, pool, **kw):
    kw = dict(settings=SETTINGS, plugin=PLUGIN, submit=pool.submit, progress=False) | kw
    return runs.reproduce(["tiny"], methods, seeds, out, **kw)


@pytest.fixture(scope="module")
def grid(tmp_path_factory, pool):
    "A method that works beside one that fails, and what was reported: (folder, outcomes, texts)"
    out, texts = tmp_path_factory.mktemp("runs"), []
    return out, reproduce(["broken", "plain_mrm"], [0], out, pool, report=texts.append), texts


def good(grid):
    return grid[1][1]


def bad(grid):
    return grid[1][0]


def rows_of(outcome):
    return pd.DataFrame(read_json(Path(outcome.path) / "rows.json"))


# --- a run ----------------------------------------------------------------------------------------


def test_a_run_leaves_its_artefacts(grid):
    outcome = good(grid)
    assert outcome.status == "done", outcome
    folder = Path(outcome.path)
    assert {p.name for p in folder.iterdir()} == {
        "run.ipynb",
        "rows.json",
        "predictions.parquet",
        "model.safetensors",
        "history.json",
    }
    rows = rows_of(outcome)
    assert set(rows.columns) == set(COLUMNS)
    assert {"inter", "intra", "influence"} <= set(rows.protocol)
    assert {"influence", "constant_prediction", "f1_weighted"} <= set(rows.metric)
    assert [len(fold["history"]) for fold in read_json(folder / "history.json")] == [2]
    assert methods.load_method(folder / "model.safetensors").meta["seed"] == 0
    assert set(rows.checkpoint_sha256) == {hash_file(folder / "model.safetensors")}


def test_a_run_can_be_used_and_knows_its_scores(grid):
    folder, rows = Path(good(grid).path), rows_of(good(grid))
    model = fsrf.load(folder)
    f1 = rows[(rows.protocol == "inter") & (rows.metric == "f1_weighted")]
    assert model.meta["scores"]["subsets"] == dict(zip(f1.subset, f1.value))
    assert model.meta["dataset"] == "tiny" and set(rows.data_sha256) == {model.meta["data_sha256"]}
    methods.load_plugin(PLUGIN)
    test = load_dataset("tiny").parts(scale=False)["test"]
    answers = [model.class_names[k] for k in test.y]
    full = rows[(rows.metric == "accuracy") & (rows.protocol == "inter")].value.iloc[-1]
    assert (model.predict(test).label == answers).mean() == full


def test_a_run_covers_all_folds(pool, tmp_path):
    outcome = runs.reproduce(
        ["tiny-folds"],
        ["majority"],
        [1],
        tmp_path,
        plugin=PLUGIN,
        submit=pool.submit,
        progress=False,
        settings=QUICK,
    )[0]
    rows = rows_of(outcome)
    assert outcome.status == "done" and runs.is_done(outcome.path, outcome.spec)
    assert set(rows.fold) == {0, 1, 2} and set(rows.repeat) == {1}
    assert (
        len(list(Path(outcome.path).glob("*.safetensors"))) == rows.checkpoint_sha256.nunique() == 3
    )


def test_an_executed_notebook_is_a_report(grid):
    notebook = nbformat.read(Path(good(grid).path) / "run.ipynb", as_version=4)
    nbformat.validate(notebook)
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    kinds = [kind for o in outputs for kind in o.get("data", {})]
    assert (
        kinds.count("image/png") >= 2
        and kinds.count("text/html") >= 4
        and kinds.count("text/markdown") >= 3
    )
    assert not [o for o in outputs if o.output_type in ("error", "stream")], (
        "warnings or errors in the report"
    )
    injected = [c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert len(injected) == 1 and "plain_mrm" in injected[0].source


def test_same_seed_same_rows_other_seed_other_rows(grid, pool, tmp_path):
    again, other = reproduce(["plain_mrm"], [0, 1], tmp_path, pool)
    assert again.id == good(grid).id != other.id
    a, b, c = (rows_of(o).drop(columns=["seconds", "commit"]) for o in (good(grid), again, other))
    pd.testing.assert_frame_equal(a, b)
    assert (a.value != c.value).any() and (a.checkpoint_sha256 != c.checkpoint_sha256).all()


def test_done_runs_are_skipped_and_failed_ones_tried_again(grid, pool):
    out, before, _ = grid
    stamp = (Path(good(grid).path) / "rows.json").stat().st_mtime_ns
    texts = []
    after = reproduce(["broken", "plain_mrm"], [0], out, pool, report=texts.append)
    assert [o.id for o in after] == [o.id for o in before]
    assert [o.status for o in after] == ["failed", "skipped"] and len(texts) == 1
    assert stamp == (Path(good(grid).path) / "rows.json").stat().st_mtime_ns


def test_what_a_run_is_named_after(grid):
    spec, sha = good(grid).spec, runs.cached_dataset("tiny").sha256
    name = runs.run_id(spec, data_sha256=sha)
    assert name == good(grid).id
    assert name != runs.run_id(spec, data_sha256="0" * 64)


def test_a_changed_template_or_plugin_is_another_run(grid, tmp_path):
    spec, sha = good(grid).spec, runs.cached_dataset("tiny").sha256
    name = runs.run_id(spec, data_sha256=sha)
    template = json.loads(runs.template_path().read_text(encoding="utf-8"))
    template["cells"][0]["metadata"]["note"] = "metadata alone changes nothing"
    (tmp_path / "run.ipynb").write_text(json.dumps(template), encoding="utf-8")
    assert runs.run_id(spec, data_sha256=sha, template=tmp_path / "run.ipynb") == name
    template["cells"][-1]["source"] = ["x = 1"]
    (tmp_path / "run.ipynb").write_text(json.dumps(template), encoding="utf-8")
    assert runs.run_id(spec, data_sha256=sha, template=tmp_path / "run.ipynb") != name
    (tmp_path / "tiny.py").write_text(
        Path(PLUGIN).read_text(encoding="utf-8") + "\n", encoding="utf-8"
    )
    other = runs.RunSpec(**{**spec.parameters(), "plugin": str(tmp_path / "tiny.py")})
    assert runs.run_id(other, data_sha256=sha) != name


def test_collected_rows(grid, tmp_path):
    rows = runs.collect(grid[0], to=tmp_path / "rows.csv")
    assert set(rows.method) == {"plain_mrm"} and set(rows.seed) == {0}
    pd.testing.assert_frame_equal(read_rows(tmp_path / "rows.csv"), rows)


def test_two_runs_of_one_thing_are_refused_unless_the_newer_is_asked_for(grid, tmp_path):
    done = Path(good(grid).path)
    shutil.copytree(done, tmp_path / "older")
    shutil.copytree(done, tmp_path / "newer")
    os.utime(tmp_path / "older" / "rows.json", (1, 1))
    with pytest.raises(FsrfError, match="duplicate rows"):
        runs.collect(tmp_path)
    assert len(runs.collect(tmp_path, newest=True)) == len(rows_of(good(grid)))


@pytest.mark.parametrize("damage", ["rows", "model", "notebook", "unfinished"])
def test_a_damaged_run_is_not_done(grid, tmp_path, damage):
    spec, folder = good(grid).spec, tmp_path / "one"
    shutil.copytree(good(grid).path, folder)
    assert runs.is_done(folder, spec)
    if damage == "rows":
        (folder / "rows.json").write_text((folder / "rows.json").read_text()[:-50])
    if damage == "model":
        (folder / "model.safetensors").write_bytes(b"")
    if damage == "notebook":
        (folder / "run.ipynb").write_text("{}")
    if damage == "unfinished":
        notebook = read_json(folder / "run.ipynb")
        notebook["metadata"]["papermill"]["end_time"] = None
        (folder / "run.ipynb").write_text(json.dumps(notebook))
    assert not runs.is_done(folder, spec)
    with pytest.raises(FsrfError, match="no finished run"):
        runs.collect(tmp_path)


# --- failures -------------------------------------------------------------------------------------


def test_a_failing_notebook_is_reported_while_others_go_on(grid):
    out, outcomes, texts = grid
    assert [o.status for o in outcomes] == ["failed", "done"]
    outcome = bad(grid)
    path = Path(outcome.path)
    assert path == out / f"{outcome.id}.failed" / "run.ipynb" and path.is_file()
    assert (
        "RuntimeError: this method is broken on purpose" in outcome.error
        and outcome.error.startswith("cell ")
        and re.search(r"\(tiny\.py line \d+\)$", outcome.error)
    )
    assert len(texts) == 1 and outcome.error in texts[0] and str(path) in texts[0]
    assert not (out / outcome.id).exists()
    assert nbformat.read(path, as_version=4).metadata.papermill.exception is True
    assert not list(out.glob(".partial-*"))


def test_unknown_parameters_are_errors(tmp_path):
    for name in ("run", "table_inter", "fig_missing_rate"):
        with pytest.raises(FsrfError, match="found: 'sed'") as e:
            runs.run_notebook(
                runs.template_path(name), tmp_path / "out.ipynb", dict(sed=1, out_dir=str(tmp_path))
            )
        assert "unknown parameter" in str(e.value) and "out_dir" in str(e.value)
    assert not list(tmp_path.iterdir()), "nothing was executed"


def test_a_template_knows_every_parameter_of_a_run():
    runs.check_parameters(runs.template_path(), [*runs.RunSpec("", "").parameters(), "out_dir"])


# --- kills ----------------------------------------------------------------------------------------


def spec_of(name):
    return runs.RunSpec(name, "tiny", plugin=PLUGIN, **SETTINGS)


def test_a_killed_worker_loses_nothing(pool, tmp_path):
    """The worker is killed in its second epoch: no half run, no orphan kernel; another worker goes
    on to the same rows"""
    spec = spec_of("halting")
    future = pool.submit(runs.execute, spec, str(tmp_path), "one")
    kernel = wait_for(lambda: kernels(pool.folder))[0]
    told = wait_for(lambda: [t for t in runs.status(tmp_path)["working"] if "epoch" in t])[0]
    assert (told["pid"], told["epoch"], told["epochs"], told["state"]) == (kernel, 1, 2, "running")
    (worker,) = [w for w in pool.pids() if holds_lock(w, tmp_path / ".locks/one")]
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not alive(kernel), 60)
    assert not (tmp_path / "one").exists() and not runs.is_done(tmp_path / "one")
    with pytest.raises(FsrfError):
        runs.collect(tmp_path)
    assert (
        future.result(240).status == "done"
    )  # its second kernel goes on in the second epoch, and waits for nothing
    (pool.folder / "go").touch()
    assert runs.is_done(tmp_path / "one", spec) and not (tmp_path / ".partial-one").exists()
    assert (
        pool.submit(runs.execute, spec, str(tmp_path), "undisturbed").result(240).status == "done"
    )
    same_rows(tmp_path / "one", tmp_path / "undisturbed")


def test_a_worker_that_always_dies_is_a_failed_run(pool, tmp_path):
    from distributed.scheduler import KilledWorker

    future = pool.submit(os._exit, 1)
    with pytest.raises(KilledWorker):
        future.result(240)
    outcome = runs.outcome_of(future, spec_of("plain_mrm"), "one", tmp_path)
    assert outcome.status == "failed" and "worker process died" in outcome.error
    assert pool.submit(os.getpid).result(240) > 0


def test_retries_and_fail_fast(pool, tmp_path):
    """A run that fails once is tried again if asked; at the first failure with fail_fast the rest
    is left"""
    (pool.folder / "go").unlink(missing_ok=True)
    assert [o.status for o in reproduce(["flaky"], [0], tmp_path / "a", pool, retries=1)] == [
        "done"
    ]
    outcomes = reproduce(
        ["broken", "waiting"], [0, 1], tmp_path / "b", pool, report=list, fail_fast=True
    )
    (pool.folder / "go").touch()
    assert {o.status for o in outcomes[:2]} <= {"failed", "not run"} and {
        o.status for o in outcomes[2:]
    } == {"not run"}


def test_workers_end_with_a_driver_that_is_killed(tmp_path):
    script = "import os, time; from fsrf.runs.cluster import Executor; p = Executor(workers=1)\n"
    script += "print(p.submit(os.getpid).result(), flush=True); p.submit(time.sleep, 60).result()"
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        worker = int(driver.stdout.readline())
        assert alive(worker)
        driver.kill()
        wait_for(lambda: not alive(worker), 60)
    finally:
        driver.kill()
        driver.wait()
        driver.stdout.close()


def start_in_terminal(folder):
    """`fsrf reproduce` on the method that waits. A shell's background job hands on an ignored
    SIGINT; a driver in a terminal has the default"""
    words = "reproduce --dataset tiny --methods waiting --seeds 0".split()
    words += ["--set", "config.width=8", "--set", "config.heads=2", "--plugin", PLUGIN]
    return subprocess.Popen(
        [Path(sys.executable).parent / "fsrf", *words, "--out", folder / "runs"],
        env={**os.environ, "FSRF_TEST_FOLDER": str(folder)},
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_an_interrupt_leaves_no_orphans_and_no_half_run(tmp_path):
    """Ctrl-C: worker and kernel end too, only dotted folders remain, and the command says what is
    left"""
    driver = start_in_terminal(tmp_path)
    try:
        kernel = wait_for(lambda: kernels(tmp_path))[0]
        (worker,) = workers_of(driver.pid)
        driver.send_signal(signal.SIGINT)
        _, told = driver.communicate(timeout=60)
        assert driver.returncode == 130, told
        assert "fsrf: interrupted" in told and "Traceback" not in told, told
        wait_for(lambda: not alive(worker) and not alive(kernel), 60)
        assert not [p.name for p in (tmp_path / "runs").iterdir() if not p.name.startswith(".")]
    finally:
        driver.kill()


# --- the fork server ------------------------------------------------------------------------------


def kernel_of(server, folder):
    "A kernel that waits, forked for a client of the fork server"
    number = len(list(folder.iterdir()))
    (home := folder / str(number)).mkdir()
    return server.fork(["-f", str(home / "c.json")], env=dict(os.environ), cwd=".")


def test_kernels_end_with_their_client_and_all_with_the_fork_server(tmp_path, monkeypatch):
    "Two workers on one server: one ends, the other's kernel lives; the server ends, all end"
    monkeypatch.delenv(SHARED, raising=False)
    owner, guest = ForkServer(), ForkServer()
    try:
        first = kernel_of(owner, tmp_path)
        monkeypatch.setenv(SHARED, owner.address)
        second = kernel_of(guest, tmp_path)
        assert guest.process is None, "it needed no server of its own"
        guest.stop()
        second.wait(60)
        assert first.poll() is None
        third = kernel_of(guest, tmp_path)
        owner.process.kill()
        for kernel in (first, third):
            kernel.wait(60)
    finally:
        guest.stop()
        owner.stop()


def test_a_server_with_other_code_is_not_used(tmp_path, monkeypatch):
    "Its address ends in the hash of its library's files"
    monkeypatch.setenv(SHARED, str(tmp_path / "0123456789abcdef"))
    server = ForkServer()
    try:
        assert kernel_of(server, tmp_path).poll() is None and server.process
    finally:
        server.stop()


def test_papermill_comes_without_the_grammar_of_addresses():
    code = "import sys; from fsrf.runs.kernels import _papermill; _papermill(); print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(told.stdout.split())
    assert "jsonschema" in imported and "rfc3987_syntax" not in imported
