"""The command `fsrf`: what it prints and writes, its exit codes, and that bad input is told before
any training."""

import contextlib
import dataclasses
import io
import json
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

import fsrf
from fsrf import data, runs
from fsrf.cli import main as cli
from fsrf.cli import printing
from fsrf.core import write_json
from fsrf.evaluation.rows import example_rows, read_rows, write_rows
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
        (["--dataset", "nowhere"], ["unknown data set", "'nowhere'", "synthetic-quick"]),
        (["--dataset", "simsv2"], ["the files of", "are not there", "ask for the data"]),
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
        (["--set", "confg.width=8"], ["did you mean 'config'?"]),
        (["--set", "train.epoch=3"], ["did you mean 'epochs'?"]),
        (["--methods", "plain-mrm"], ["did you mean 'plain_mrm'?"]),
        (["--dataset", "synthetic_quik"], ["did you mean 'synthetic-quick'?"]),
        (["--dataset", "data/mosi.npz"], ["no such file or folder", "data/mosi.npz"]),
        (["--seeds", "5-1"], ["runs backwards: write 1-5"]),
        (["--seeds", "0-99999999999"], ["numbers"]),
        (["--folds", "7"], ["no folds", "leave --folds out"]),
        (["--tuned", "nowhere.json"], ["nowhere.json", "check the path"]),
        (["--sed", "3"], ["did you mean '--seeds'?", "usage: fsrf reproduce"]),
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
    monkeypatch.setattr("fsrf.cli.main.make_report", lambda rows, out, metric: shown.append(metric))
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


LIGHT = """
import sys
from fsrf.cli.main import main
try: main(sys.argv[1:])
except SystemExit as end: assert not end.code
print(sorted({'torch', 'pandas', 'scipy', 'matplotlib', 'dask'} & set(sys.modules)))
"""


QUICK_ONES = ["--help", "--version", "list --help", "reproduce --help", "data check --help"]


@pytest.mark.parametrize("words", [*QUICK_ONES, "status"])
def test_help_and_status_start_without_what_is_heavy(words, tmp_path):
    "torch alone takes more than a second"
    write_run(tmp_path / "runs/one")
    told = subprocess.run(
        [sys.executable, "-c", LIGHT, *words.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 0 and told.stdout.endswith("[]\n"), told
    assert words != "status" or told.stdout.startswith("1 done\n"), told.stdout


def write_run(folder):
    "A finished run as it lies on disk, with made-up rows"
    write_rows(folder / "rows.json", example_rows(seeds=[0], methods={"fsrf": 0.7}))
    (folder / "model.safetensors").write_bytes(b"x")
    write_json(folder / "run.ipynb", dict(metadata=dict(papermill=dict(end_time="now"))))


def test_status_and_list_as_json(tmp_path):
    write_run(tmp_path / "one")
    code, printed, _ = call("status", tmp_path, "--json")
    assert code == 0 and json.loads(printed)["done"] == ["one"]
    code, printed, _ = call("list", "--json")
    assert code == 0 and {"methods", "data sets"} < set(json.loads(printed))
    code, printed, _ = call("list", "corrkd", "train", "--json")
    told = json.loads(printed)
    assert [s["default"] for s in told["corrkd"]["settings"] if s["field"] == "margin"] == [1.2]
    assert "epochs" in {s["field"] for s in told["train"]["settings"]}


def test_every_setting_is_told_with_its_default_and_a_help_text():
    from fsrf.cli.printing import settings_of
    from fsrf.methods import METHODS

    for name in ("train", "evaluation", *METHODS):
        bare = [told["field"] for told in settings_of(name) if not told["help"]]
        assert not bare, f"{name}: no help for {bare}"
    code, printed, _ = call("list", "ridge_subset")
    assert code == 0 and re.search(r"per_subset +True +\S", printed), printed
    code, _, error = call("list", "ridge_subst")
    assert code == 2 and "did you mean 'ridge_subset'?" in error


@pytest.mark.parametrize("words", [["statu"], ["reprduce"], ["data", "chek"], ["status", "--wach"]])
def test_a_misspelt_word_is_asked_after(words):
    code, printed, error = call(*words)
    assert code == 2 and not printed and "did you mean '" in error


def test_the_module_is_the_command():
    words = [sys.executable, "-m", "fsrf", "--version"]
    told = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert told.stdout == f"fsrf {fsrf.__version__}\n" and not told.stderr


def test_a_reader_that_leaves_ends_the_command_quietly(tmp_path):
    "As in `fsrf list | head`: the pipe's other end is closed before anything is printed"
    for number in range(3):
        write_run(tmp_path / str(number))
    for words in (["status", tmp_path], ["--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([FSRF, *words], stdout=writing, stderr=subprocess.PIPE, timeout=60)
        os.close(writing)
        # argparse itself may swallow the refusal of its help
        assert done.stderr == b"" and done.returncode in ((141,) if "status" in words else (0, 141))


def test_a_terminal_without_the_letters(tmp_path):
    "`·` and lines of tables become `?`, not an error"
    write_run(tmp_path / "one")
    (tmp_path / "one/rows.json").write_text("[\u00b7")
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    words = [FSRF, "status", tmp_path / "\u00e9"]
    (tmp_path / "\u00e9").mkdir()
    (tmp_path / "one").rename(tmp_path / "\u00e9/\u00f6ne")
    told = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0 and "DAMAGED ?ne" in told.stdout and not told.stderr, told


def test_completion_in_bash(tmp_path):
    code, script, _ = call("completion", "bash")
    assert code == 0
    (tmp_path / "fsrf.sh").write_text(script)
    asked = {
        "fsrf re": "report reproduce",
        "fsrf data ch": "check",
        "fsrf data check --me": "--memory",
        "fsrf reproduce --methods fsrf,pla": "fsrf,plain_mrm",
        "fsrf list cor": "corrkd",
        "fsrf status --j": "--json",
    }
    lines = [f"source {tmp_path}/fsrf.sh"]
    for words in asked:
        lines.append(f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _fsrf")
        lines.append('echo "${COMPREPLY[@]}"')
    told = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True)
    assert told.stdout.splitlines() == list(asked.values()), told
    assert "bashcompinit" in call("completion", "zsh")[1]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("syntax.py", "x = 1\ndef f(:\n", ["SyntaxError", "syntax.py, line 2"]),
        ("raises.py", "import numpy\n\nnumpy.none()\n", ["AttributeError", "raises.py, line 3"]),
        ("leaves.py", "import sys\nsys.exit(3)\n", ["SystemExit", "leaves.py, line 2"]),
        ("absent.py", "import no_such_thing\n", ["no_such_thing", "absent.py, line 1"]),
        ("suffix.txt", "x = 1\n", ["this is no plug-in", "ends in .py"]),
        (
            "set.py",
            "from fsrf.data import register_dataset\n@register_dataset('raising')\n"
            "def f():\n    return 1/0\n",
            ["ZeroDivisionError", "set.py, line 4"],
        ),
    ],
)
def test_faults_of_a_plug_in_name_its_line(tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    which = ["--dataset", "raising"] if name == "set.py" else []
    words = ["reproduce", "--dry-run", "--methods", "majority", *which, "--plugin", tmp_path / name]
    for _ in range(2):  # the second time too: half a module is not kept
        code, printed, error = call(*words, "--out", tmp_path / "runs")
        assert code == 2 and not printed and "Traceback" not in error
        assert all(text in error for text in told), error
    data.DATASETS.pop("raising", None)


def test_what_the_system_refuses_is_told_with_the_next_step(tmp_path):
    "A collected table under a file, a report under a file"
    write_run(tmp_path / "runs/one")
    (tmp_path / "file").touch()
    for words in (
        ["collect", tmp_path / "runs", "--to", tmp_path / "file/rows.csv"],
        ["report", tmp_path / "runs", "--out", tmp_path / "file/report"],
    ):
        code, _, error = call(*words)
        assert code == 2 and "next: " in error and "Traceback" not in error, error


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
