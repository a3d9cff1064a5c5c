"""The templates that measure by themselves, executed by papermill on a small set: what they write,
and that it is nothing by default"""

import re
from pathlib import Path

import nbformat
import pytest

from fsrf import runs
from fsrf.core import FsrfError
from fsrf.methods.base import build
from fsrf.methods.checkpoint import save_method

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent
CASES = {
    "table_cost": dict(methods=["corrkd"], repeats=1),
    "fig_representation": dict(
        config=dict(width=8, heads=2, layers=1),
        train=dict(epochs=1),
        samples=60,
        drawn=20,
        lost="audio",
        p=0.5,
    ),
    "fig_recovered": dict(config=dict(width=8, heads=2, layers=1), train=dict(epochs=1), seeds=2),
}


def files(folder):
    return {
        p
        for f in (folder / "figures", folder / "data", folder / "nbs")
        for p in f.rglob("*")
        if p.is_file()
    }


def new(before):
    "Files since then; the cache is left out: pages that run beside this test fill it too"
    return {p for p in files(ROOT) - before if p.parent.name not in ("__pycache__", "cache")}


def execute(name, to, **parameters):
    runs.run_notebook(runs.template_path(name), to, parameters)
    outputs = [o for c in nbformat.read(to, as_version=4).cells for o in c.get("outputs", [])]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    return "\n".join(o["data"].get("text/markdown", "") for o in outputs if "data" in o)


@pytest.fixture(scope="module", params=CASES)
def executed(request, tmp_path_factory):
    "(name, folder with what it wrote, the Markdown that it shows, files of the project before)"
    out, before = tmp_path_factory.mktemp(request.param), files(ROOT)
    return (
        request.param,
        out,
        execute(
            request.param, out / "run.ipynb", out_dir=str(out / "made"), **CASES[request.param]
        ),
        before,
    )


def test_a_template_writes_its_page_and_figure_into_its_folder(executed):
    name, out, shown, before = executed
    assert {p.name for p in (out / "made").iterdir()} == {
        f"{name}.{kind}" for kind in ("md", "svg", "png")
    }
    page = (out / "made" / f"{name}.md").read_text(encoding="utf-8")
    assert f"nbs/paper/{name}.ipynb" in page and f"nbs/paper/{name}.ipynb" in (
        out / "made" / f"{name}.svg"
    ).read_text(encoding="utf-8")
    assert "nan" not in page.lower().split() and "Files:" in shown
    assert new(before) == set()


def test_without_a_folder_nothing_is_written(tmp_path):
    before = files(ROOT)
    shown = execute("table_cost", tmp_path / "run.ipynb", **CASES["table_cost"])
    assert "Files:" not in shown and new(before) == set()
    ratios = {
        m[1]: re.findall(r"\((\d+\.\d+)\)", m[0])
        for m in re.finditer(r"^\| (\w+) \|.*$", shown, re.MULTILINE)
    }
    assert ratios["plain_mrm"] == ["1.00"] * 5
    assert ratios["corrkd"][1] == "1.00" and float(ratios["corrkd"][2]) > 1, (
        "at test the plain network, in training a teacher too"
    )


def test_a_checkpoint_is_drawn_as_it_is(tmp_path):
    before = files(ROOT)
    config = CASES["fig_representation"]["config"]
    net = build("fsrf", config, runs.cached_dataset("synthetic-quick").spec)
    path = save_method(net, tmp_path / "model.safetensors")
    shown = execute(
        "fig_representation", tmp_path / "run.ipynb", checkpoint=str(path), samples=60, drawn=20
    )
    assert "the checkpoint" in shown and "Files:" not in shown and new(before) == set()


def test_a_method_without_factors_is_named(tmp_path):
    with pytest.raises(Exception, match="no factors") as error:
        runs.run_notebook(
            runs.template_path("fig_representation"),
            tmp_path / "run.ipynb",
            dict(method="plain_mrm", train=dict(epochs=1)),
        )
    assert FsrfError.__name__ in str(error.value)
