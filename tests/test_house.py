"""The house rules: floors, one statement a line, plain classes, signatures, page style, links."""

import ast
import importlib
import inspect
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator

import nbformat
import pytest
from house import (
    MODULES,
    NOTEBOOKS,
    ROOT,
    TEMPLATES,
    broken_floors,
    default_exp,
    exported,
    floors,
    module_name,
    name_of,
    read,
    statements,
)
from nbdev.clean import clean_nb

DOORS = [p for p in MODULES if p.name == "__init__.py"]
PAGES = [p for p in NOTEBOOKS if default_exp(p)]


def every(paths):
    "One test a path, named by it"
    return pytest.mark.parametrize("path", paths, ids=name_of)


# --- floors ---------------------------------------------------------------------------------------


@every(MODULES)
def test_a_module_imports_only_lower_floors(path):
    source = path.read_text(encoding="utf-8")
    assert not list(broken_floors(source, module_name(path), path.name == "__init__.py"))


@pytest.mark.parametrize(
    ("module", "source", "broken"),
    [
        ("core", "import numpy, os", False),
        ("core", "from .data.dataset import Batch", True),
        ("core", "def f():\n    from fsrf import data", True),
        ("data.cache", "from .dataset import Batch", False),
        ("data.cache", "from .files.read import read", True),
        ("data.files.read", "from ..cache import save; from .containers import MB", False),
        ("data.files.read", "from . import check", True),
        ("data.files.read", "from fsrf.data import MultimodalDataset", True),
        ("methods.base", "from . import fsrf", True),
        (
            "methods.plain_mrm",
            "from .backbone import BackboneMethod; from ..core import FsrfError",
            False,
        ),
        ("methods.plain_mrm", "from .corrkd import CorrKD", True),
        ("methods.plain_mrm", "import fsrf.training.fit", True),
        (
            "training.fit",
            "from ..methods import build; from ..evaluation.sweep import Sweep",
            False,
        ),
        ("training.fit", "from ..report.table import inter_table", True),
    ],
)
def test_the_floor_check_can_fail(module, source, broken):
    assert bool(list(broken_floors(source, f"fsrf.{module}"))) == broken


@every(MODULES)
def test_every_module_comes_from_a_notebook(path):
    "Deleting a notebook leaves its module: delete both"
    edit = re.search(r"File to edit: (\S+\.ipynb)", path.read_text(encoding="utf-8"))
    assert edit, f"{name_of(path)} is written by hand: fsrf/ is exported from nbs/"
    assert (path.parent / edit[1]).resolve().is_file(), (
        f"{edit[1]} is gone: delete {name_of(path)} too"
    )


def test_every_folder_has_its_number():
    folders = {
        p.parent.relative_to(ROOT / "nbs").parts[0] for p in PAGES if p.parent != ROOT / "nbs"
    }
    numbers = sorted(int(f.split("_")[0]) for f in folders)
    assert numbers == list(range(1, len(folders) + 1))
    wings = {n.split(".")[1] for n in floors()} - {"core", "doors", "extras", "__main__"}
    assert {f.split("_")[1] for f in folders} == wings


def test_no_two_pages_of_a_folder_share_a_number():
    for folder in {p.parent for p in PAGES}:
        numbers = [p.name[:2] for p in folder.glob("[0-9][0-9]_*.ipynb")]
        assert len(numbers) == len(set(numbers)), f"{name_of(folder)}: {sorted(numbers)}"


# --- wings ----------------------------------------------------------------------------------------


@every(DOORS)
def test_a_wing_says_what_lives_there(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), (
        "the page of a wing needs a > subtitle"
    )


@every(DOORS)
def test_no_two_modules_of_a_wing_share_a_public_name(path):
    "The door shows them all: of two things of one name a reader would get either"
    homes = {}
    for module in sorted(path.parent.rglob("*.py")):
        if module.name == "__init__.py" or module_name(module).startswith("fsrf.methods."):
            continue
        for name in getattr(importlib.import_module(module_name(module)), "__all__", []):
            homes.setdefault(name, []).append(module.name)
    assert not {n: m for n, m in homes.items() if len(m) > 1}


@every(DOORS)
def test_a_wing_shows_no_modules(path):
    "`from fsrf.methods import *` would make `fsrf` another module"
    wing = importlib.import_module(module_name(path))
    assert not [n for n in wing.__all__ if inspect.ismodule(getattr(wing, n))]


FRESH = [
    "from fsrf.data import MultimodalDataset, load_dataset; load_dataset('synthetic-quick')",
    "from fsrf.data.dataset import load_dataset; load_dataset('synthetic-quick?sizes=[20,10,10]')",
    "from fsrf.methods import build, load_method; from fsrf.data import load_dataset;"
    "build('fsrf', {}, load_dataset('synthetic-quick').spec)",
    "from fsrf.training import TrainConfig, fit; from fsrf.evaluation import evaluate_rows",
    "from fsrf.report import inter_table, read_rows; from fsrf.runs import reproduce",
]


FORKS = """
import os, sys, traceback
import numpy, pandas, scipy.stats, sklearn.linear_model, seaborn, torch
failed = 0
for code in sys.argv[1:]:
    if not (pid := os.fork()):
        assert not [m for m in sys.modules if m.split('.')[0] == 'fsrf']
        try: exec(code, {})
        except BaseException: traceback.print_exc(); os._exit(1)
        os._exit(0)
    failed |= os.waitpid(pid, 0)[1]
sys.exit(bool(failed))
"""


@pytest.mark.slow
def test_a_fresh_interpreter_needs_no_import_for_its_side_effect():
    "Each piece of code in a process that knows other packages but nothing of fsrf"
    command = [sys.executable, "-c", FORKS, *FRESH]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


FRONT_PAGES = [p for p in PAGES if p.name.startswith("00_") and p.parent != ROOT / "nbs"]


@every(FRONT_PAGES)
def test_the_front_page_of_a_wing_names_its_pages(path):
    "Each by its title, so that a reader finds it again"
    text = "".join("".join(cell["source"]) for cell in read(path)["cells"])
    for page in path.parent.glob("*.ipynb"):
        title = "".join(read(page)["cells"][0]["source"]).splitlines()[0].removeprefix("# ")
        assert page == path or f"[{title}]({page.name})" in text, f"{page.name} is not named"


# --- code -----------------------------------------------------------------------------------------

GENERATED = re.compile(r"^(__all__ = \[|           ')")  # nbdev writes these lines
HUNG = re.compile(r"^[A-Z]\w+\.\w+ = \w+$|setattr\(", re.MULTILINE)
RATTED = re.compile(r"^(?:[A-Z]\w+\.\w+, )+[A-Z]\w+\.\w+ = ", re.MULTILINE)


@every(MODULES)
def test_lines_have_at_most_100_columns(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    long = [
        f"{i}: {len(line)}"
        for i, line in enumerate(lines, 1)
        if len(line) > 100 and not GENERATED.match(line)
    ]
    assert not long, f"line: columns {long}"


@every(MODULES)
def test_methods_stand_in_their_class(path):
    "A class is one cell, or fastcore's @patch: nothing is hung on it by assignment"
    source = path.read_text(encoding="utf-8")
    assert not HUNG.findall(source) and not RATTED.findall(source)


def public_functions(path) -> Iterator[tuple[str, object, bool]]:
    "(name, function, may it lack a docstring?) of public functions, and of classes' methods"
    module = importlib.import_module(module_name(path))
    for name, thing in vars(module).items():
        if getattr(thing, "__module__", None) != module.__name__ or name.startswith("_"):
            continue
        if inspect.isfunction(thing):
            yield name, thing, False
        elif inspect.isclass(thing):
            yield from ((f"{name}.{n}", f, inherited) for n, f, inherited in public_methods(thing))


def public_methods(cls) -> Iterator[tuple[str, object, bool]]:
    "The same of a class; a method that a base class has too is told there"
    for name, thing in vars(cls).items():
        thing = thing.fget if isinstance(thing, property) else getattr(thing, "__func__", thing)
        ours = inspect.isfunction(thing) and "/fsrf/" in thing.__code__.co_filename
        if not ours or (name.startswith("_") and name != "__init__"):
            continue
        yield (
            name,
            thing,
            name == "__init__" or any(hasattr(base, name) for base in cls.__mro__[1:]),
        )


@every(MODULES)
def test_public_functions_are_told_and_typed(path):
    bare = []
    for name, function, inherited in public_functions(path):
        if not inherited and not (function.__doc__ or "").strip():
            bare.append(f"{name}: no docstring")
        hints = function.__annotations__
        parameters = [p for p in inspect.signature(function).parameters if p not in ("self", "cls")]
        if missing := [p for p in [*parameters, "return"] if p not in hints]:
            bare.append(f"{name}: no hint for {', '.join(missing)}")
    assert not bare, "\n".join(bare)


# --- pages ----------------------------------------------------------------------------------------

RUN = 3  # export cells in a row without a sentence


@every(NOTEBOOKS)
def test_page_style(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    cells = notebook["cells"]
    opening = "".join(cells[0]["source"])
    assert cells[0]["cell_type"] == "markdown", "a page opens with a title"
    assert re.match(r"# \S.*\n\n> \S", opening), (
        "a page opens with a title and a one-line > subtitle"
    )
    assert not re.match(r"# [a-z0-9_]+\n", opening), "the title is an identifier: say it in words"
    sizes = [statements("".join(c["source"])) for c in cells if c["cell_type"] == "code"]
    export = [
        statements("".join(c["source"])) for c in cells if c["cell_type"] == "code" and exported(c)
    ]
    assert max(export, default=0) <= 25, (
        f"export cells of {sorted(s for s in export if s > 25)} statements: split them"
    )
    assert statistics.median(export or [0]) <= 12, (
        "half of the export cells have more than 12 statements"
    )
    assert len(cells) <= 120, f"{len(cells)} cells: split the page"
    assert sum(sizes) <= 250, f"{sum(sizes)} statements: split the page"


@every(PAGES)
def test_no_long_run_of_code_without_a_sentence(path):
    run = 0
    for number, cell in enumerate(read(path)["cells"]):
        hidden = "#| hide" in "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            run = 0
        elif exported(cell) and not hidden:
            run += 1
        assert run <= RUN, f"cell {number} is the {run}th export cell without a sentence"


@every(PAGES)
def test_a_page_does_not_export(path):
    "A reader who tries a change would rewrite fsrf/: `make export` does it"
    assert not [c for c in read(path)["cells"] if "nbdev_export()" in "".join(c["source"])]


@every(NOTEBOOKS)
def test_no_notebook_holds_an_error(path):
    for number, cell in enumerate(read(path)["cells"]):
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error", (
                f"cell {number} ended in {output['ename']}: {output['evalue']}"
            )


@every(TEMPLATES)
def test_template_has_one_parameters_cell(path):
    "after cleaning too, and literals only: papermill puts its values below that cell"
    notebook = read(path)
    clean_nb(notebook, allowed_cell_metadata_keys=["tags"])
    tagged = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1, f"{len(tagged)} cells are tagged `parameters`"
    for statement in ast.parse("".join(tagged[0]["source"])).body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        assert isinstance(statement, ast.Assign | ast.AnnAssign), (
            f"no assignment: {ast.unparse(statement)}"
        )
        ast.literal_eval(statement.value)


RANDOM_ID = re.compile(
    r"T_[0-9a-f]{5}(?![0-9a-z])"
)  # pandas draws one for a Styler without set_uuid


@every(NOTEBOOKS)
def test_running_a_page_again_gives_the_same_output(path):
    "A styled table has an id of its own choice, or each run would change the notebook"
    for cell in read(path)["cells"]:
        for output in cell.get("outputs", []):
            html = "".join(output.get("data", {}).get("text/html", []))
            assert not RANDOM_ID.search(html), "give the Styler a fixed uuid"


LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")
OUTSIDE = re.compile(r"[a-z]+:|/", re.IGNORECASE)
TEXTS = [*NOTEBOOKS, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data/README.md"]


def links(path) -> Iterator[str]:
    "The relative links of a page's or a file's Markdown"
    texts = [path.read_text(encoding="utf-8")]
    if path.suffix == ".ipynb":
        texts = ["".join(c["source"]) for c in read(path)["cells"] if c["cell_type"] == "markdown"]
    for text in texts:
        yield from (target for target in LINK.findall(text) if not OUTSIDE.match(target))


@every(TEXTS)
def test_relative_links_resolve(path):
    missing = [target for target in links(path) if not (path.parent / target).exists()]
    assert not missing, f"links to what is not there: {missing}"
