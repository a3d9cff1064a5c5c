"""The command `fsrf`: what it prints and writes, its exit codes, and that bad input is told before
any training."""

import contextlib
import dataclasses
import io
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from processes import PLUGIN, forget_plugin

from fsrf import data, runs
from fsrf.cli import main as cli
from fsrf.cli import printing
from fsrf.evaluation.rows import example_rows, read_rows
from fsrf.runs.execute import Outcome

ROOT = Path(__file__).resolve().parent.parent
FSRF = Path(sys.executable).parent / "fsrf"
NO_WORDS = data.SyntheticConfig(
    names=("audio", "visual", "touch"), sizes=(40, 20, 20), lengths=(4, 4, 1), dims=(5, 4, 3)
)
QUICK = [
    "--set",
    "train.epochs=1",
    "--set",
    "config.width=8",
    "--set",
    "config.heads=2",
    "--set",
    "config.layers=1",
    "--set",
    "evaluation.rates=[0, 0.5, 1]",
    "--set",
    "evaluation.mask_seeds=[0]",
]


def call(*argv):
    "Exit code, standard output and standard error of the command, in this process"
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        try:
            code = cli.main([str(a) for a in argv])
        except SystemExit as e:
            code = e.code
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(autouse=True)
def no_plugin_left():
    yield
    forget_plugin()


def bad_plugin(tmp_path):
    "A data set with a NaN in it"
    path = tmp_path / "nan.py"
    path.write_text(
        "import numpy as np\nfrom fsrf.data import MultimodalDataset, register_dataset\n"
        "@register_dataset('with-nan')\ndef f():\n    x = np.ones((9, 1, 2)); x[3, 0, 1] = np.nan\n"
        "    return MultimodalDataset('with-nan', {'a': x}, {'a': np.ones(9)}, np.zeros(9, int),"
        " list('abcdefghi'), 'binary', folds=np.arange(9)[None] % 3)\n"
    )
    return path


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--methods", "fsfr"], ["unknown method", "'fsfr'", "plain_mrm"]),
        (["--methods", "fsrf,fsrf"], ["named twice"]),
        (["--methods", ","], ["no method given"]),
        (["--dataset", "mosi"], ["unknown data set", "'mosi'", "synthetic-quick"]),
        (["--seeds", ","], ["no seed given"]),
        (["--seeds", "0,0"], ["named twice"]),
        (["--seeds", "-1"], ["'-1' is neither an integer from 0"]),
        (["--seeds", "one"], ["neither an integer"]),
        (["--folds", "7"], ["no such fold"]),
        (["--workers", "0"], ["at least one worker"]),
        (["--memory-limit", "plenty"], ["amount of memory", "2GB"]),
        (["--out", "nowhere://x"], ["cannot write", "nowhere"]),
        (["--device", "abacus"], ["no such device", "abacus"]),
        (["--plugin", "nowhere.py"], ["no such plug-in file", "nowhere.py"]),
        (["--set", "epochs=3"], ["cannot read a setting", "epochs=3"]),
        (["--set", "train.epoch=3"], ["unknown field in TrainConfig", "epochs"]),
        (["--set", "train.epochs=0"], ["bad value in TrainConfig", "epochs"]),
        (["--set", "train.epochs=many"], ["bad value in TrainConfig", "many"]),
        (["--set", "evaluation.rates=[0, 1.2]"], ["bad value in EvalConfig", "1.2"]),
        (["--set", "config.wdith=8"], ["no chosen method has this field", "wdith"]),
        (["--set", "hrlf.width=8"], ["settings for something unknown", "hrlf"]),
        (["--methods", "plain_mrm", "--set", "plain_mrm.width=0"], ["width"]),
        (["--out", "/dev/null/runs"], ["cannot"]),
        (["--metric", "maee"], ["no such metric", "'maee'", "f1_weighted, f1_macro"]),
        (["--metric", "r2"], ["no such metric", "(classes)"]),
        (["--methods", "fsrf,language_only", "--dataset", "no-words"], ["single_modality"]),
    ],
)
def test_bad_input_is_told_before_any_training(argv, told, tmp_path, monkeypatch):
    monkeypatch.setattr("fsrf.runs.cluster.Executor", None)  # whoever starts a worker fails
    where = [] if "--out" in argv else ["--out", tmp_path / "runs"]
    which = [] if "--methods" in argv else ["--methods", "fsrf,plain_mrm"]
    make = partial(data.make_synthetic, NO_WORDS)
    monkeypatch.setitem(data.DATASETS, "no-words", make)
    code, printed, error = call("reproduce", *where, *which, *argv)
    assert code == 2 and not printed, (code, printed, error)
    for text in told:
        assert text in error
    assert "Traceback" not in error and not (tmp_path / "runs").exists()


def test_bad_data_is_told_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setattr("fsrf.runs.cluster.Executor", None)
    code, _, error = call(
        "reproduce",
        "--methods",
        "plain_mrm",
        "--dataset",
        "with-nan",
        "--plugin",
        bad_plugin(tmp_path),
        "--out",
        tmp_path / "runs",
    )
    data.DATASETS.pop("with-nan", None)
    assert code == 2 and "NaN" in error and "modality 'a', sample 3" in error


@pytest.mark.parametrize(
    "argv",
    [
        ["collect", "nowhere"],
        ["status", "nowhere"],
        ["report", "nowhere.csv"],
        ["list", "--plugin", "nowhere.py"],
    ],
)
def test_other_commands_name_what_is_missing(argv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, error = call(*argv)
    assert code == 2 and not printed and "nowhere" in error and not list(tmp_path.iterdir())


def one_class_in_test():
    "A quick planted set whose test labels are all 1, and whose last modality is zero in training"
    ds = data.make_synthetic(NO_WORDS)
    y = np.where(ds.split == "test", 1, ds.y)
    last = ds.x["touch"] * (ds.split != "train")[:, None, None]
    return dataclasses.replace(ds, name="blind", y=y, x=ds.x | dict(touch=last))


def test_the_plan_says_what_makes_numbers_worthless(tmp_path, monkeypatch):
    monkeypatch.setitem(data.DATASETS, "blind", one_class_in_test)
    scores = partial(data.make_synthetic, NO_WORDS.replace(task="regression"))
    monkeypatch.setitem(data.DATASETS, "scores", scores)
    where = ["--methods", "majority", "--dataset", "blind,scores", "--out", tmp_path / "runs"]
    code, printed, error = call("reproduce", *where, "--dry-run", "--metric", "")
    assert code == 0 and not error
    for text in ("all test labels are 'positive'", "touch is zero in all training samples"):
        assert f"warning: blind: {text}" in printed
    assert "scores: scored as mosi, headline f1_has0" in printed
    specs, ids = runs.plan(["blind", "scores"], ["majority"], [0])
    done = [Outcome(spec, id, "done", "") for spec, id in zip(specs, ids, strict=True)]
    monkeypatch.setattr("fsrf.runs.grid.run_all", lambda *args, **how: done)
    code, printed, error = call("reproduce", *where)  # without training; then there are no rows
    assert "warning: blind: touch is zero" in error and "scored as mosi" in error


def test_report_names_the_metrics_that_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example_rows().to_csv("rows.csv", index=False)
    code, printed, error = call("report", "rows.csv", "--metric", "mae")
    assert code == 2 and not printed and "f1_weighted, constant_prediction" in error
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
    shown = []
    monkeypatch.setattr(
        "fsrf.cli.main.make_report", lambda rows, out, metric: shown.append(metric)
    )
    code, printed, _ = call("report", "rows.csv", "--metric", "constant_prediction")
    assert code == 0 and "made-up: constant_prediction, " in printed
    assert "differences of weighted F1 (%)" in printed and shown == ["constant_prediction"]


def test_constant_and_one_sign_are_told_apart_in_print(capsys):
    rows = example_rows(methods=dict(fsrf=0.78, corrkd=0.7)).replace(
        {"metric": {"f1_weighted": "f1_has0"}}
    )
    rows.loc[(rows.metric == "constant_prediction") & (rows.method == "corrkd"), "value"] = 1.0
    sign = rows[rows.metric == "constant_prediction"].assign(metric="one_sign", value=1.0)
    printing.print_report(pd.concat([rows, sign]))
    printed = capsys.readouterr().out
    told = "warning: {} on made-up, seed 0, fold 0, predicts {} for every sample on complete input"
    assert told.format("corrkd", "one value") in printed
    assert told.format("fsrf", "one sign") in printed
    assert told.format("corrkd", "one sign") not in printed


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["reproduce", "--help"],
        ["collect", "--help"],
        ["status", "--help"],
        ["report", "--help"],
        ["list", "--help"],
    ],
)
def test_help(argv):
    code, printed, _ = call(*argv)
    assert code == 0 and "usage: fsrf" in printed


def test_help_needs_no_torch():
    code = (
        "import sys\nfrom fsrf.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 0


def test_list():
    code, printed, _ = call("list", "--plugin", PLUGIN)
    assert code == 0
    for name in ("fsrf", "plain_mrm", "complete", "synthetic-quick", "tiny", "broken"):
        assert re.search(rf"^  {name}\b", printed, re.MULTILINE), name


# --- end to end -----------------------------------------------------------------------------------


COLUMNS = ["method", "{l}", "{a}", "{v}", "{l,a}", "{l,v}", "{a,v}", "avg6", "{l,a,v}"]
DRAWN = {f"{n}.{k}" for n in ("table_inter", "fig_missing_rate") for k in ("svg", "png", "ipynb")}
MADE = DRAWN | {"table_inter.md", "table_inter.tex", "table_inter.csv", "rows.parquet"}


def run_grid(folder):
    "`fsrf reproduce` in `folder`: a method that works and one that is broken on purpose"
    words = "reproduce --dataset tiny --methods plain_mrm,broken --seeds 0 --out runs".split()
    env = {**os.environ, "COLUMNS": "120"}
    how = dict(cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    return subprocess.run([FSRF, *words, "--plugin", PLUGIN, *QUICK], **how)


def check_table(printed):
    "The printed table has every column, and a row of the method that works"
    head = next(line for line in printed.splitlines() if line.startswith("method"))
    assert head.split() == COLUMNS
    assert re.search(r"^plain_mrm +\d", printed, re.MULTILINE)


def check_files(printed, folder):
    "Every file that is named is there, and none is empty"
    named = re.findall(r"^(?:figure|table|notebook|rows) +(\S+)$", printed, re.MULTILINE)
    assert {Path(n).name for n in named} == MADE
    for name in named:
        assert (folder / name).stat().st_size > 200, name


@pytest.mark.slow
def test_a_grid_from_the_command_line(tmp_path):
    "One failed run is told while the other goes on; then the table, the files, collect and status"
    done = run_grid(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 runs in runs: 1 made, 0 there before, 1 failed" in done.stdout
    assert done.stderr.count("this method is broken on purpose") == 1
    assert "Traceback" not in done.stderr
    check_table(done.stdout)
    check_files(done.stdout, tmp_path)
    rows = read_rows(tmp_path / "runs")
    assert rows.groupby(["method", "seed"]).ngroups == 1

    code, printed, _ = call("collect", tmp_path / "runs", "--to", tmp_path / "all.csv")
    assert code == 0 and "1 runs" in printed
    kept = read_rows(tmp_path / "runs/rows.parquet")
    pd.testing.assert_frame_equal(read_rows(tmp_path / "all.csv"), kept)
    code, printed, _ = call("status", tmp_path / "runs")
    assert code == 0 and "1 done, 1 failed" in printed
    assert "this method is broken on purpose" in printed


@pytest.mark.slow
def test_report_from_a_file_of_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example_rows().to_csv("rows.csv", index=False)
    code, printed, error = call("report", "rows.csv", "--out", "made")
    assert code == 0, error
    assert "3 seeds cannot tell" in printed and "--seeds 0-4" in printed
    assert "made/fig_missing_rate.svg" in printed
    table = pd.read_csv("made/table_inter.csv").set_index(["method", "column"])["mean"]
    assert table["fsrf", "avg6"] == pytest.approx(0.715)
    assert table["majority", "{l}"] == pytest.approx(0.5)
