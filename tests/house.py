"""What the tests know of the house: its notebooks, its modules, on which floor each stands, and
what it imports."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(
    p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts
)
TEMPLATES = [p for p in NOTEBOOKS if p.parent.name == "paper"]
MODULES = sorted(
    p
    for p in (ROOT / "fsrf").rglob("*.py")
    if p.name != "_modidx.py" and p != ROOT / "fsrf/__init__.py"
)
DOOR = 99  # the page 00_* of a wing exports its __init__: it may import everything in the wing
UNNUMBERED = 50  # a method's page: above the numbered pages of its folder, below the door


def name_of(path: Path) -> str:
    "The path from the project's root, as tests are named by it"
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> dict:
    "A notebook's JSON"
    return json.loads(path.read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    "`fsrf.data.dataset` for fsrf/data/dataset.py, `fsrf.data` for fsrf/data/__init__.py"
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def default_exp(path: Path) -> str | None:
    "The module that a notebook exports to"
    for cell in read(path)["cells"]:
        if found := re.match(r"#\|\s*default_exp\s+(\S+)", "".join(cell["source"])):
            return found[1]
    return None


def floor_of(path: Path) -> tuple[int, int]:
    "(number of the wing, of the page in it): nbs/1_data/files/24_read.ipynb is (1, 18)"
    folders = path.relative_to(ROOT / "nbs").parts[:-1]
    wing = int(folders[0].split("_")[0]) if folders else 0
    number = re.match(r"(\d\d)_", path.name)
    page = int(number[1]) if number else UNNUMBERED
    if (
        wing and page == 0
    ):  # the door; that of an inner folder stands on the last page of that folder
        inner = [int(p.name[:2]) for p in path.parent.glob("[0-9][0-9]_*.ipynb")]
        page = DOOR if len(folders) == 1 else max(inner) + 1
    return wing, page


@cache
def floors() -> dict[str, tuple[int, int]]:
    "{module: its floor}, from the notebooks' own words"
    found = {}
    for path in NOTEBOOKS:
        if exp := default_exp(path):
            found[f"fsrf.{exp}".removesuffix(".__init__")] = floor_of(path)
    return found


def imports(source: str, module: str, is_door: bool = False) -> Iterator[str]:
    "Absolute names of all modules that a source imports, also inside functions"
    package = module.split(".") if is_door else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *(node.module.split(".") if node.module else [])])
            inner = [f"{name}.{alias.name}" for alias in node.names]
            # `from fsrf import core` imports the module fsrf.core, `from fsrf.core
            # import Config` does not
            yield from (full if full in floors() else name for full in inner)


def broken_floors(source: str, module: str, is_door: bool = False) -> Iterator[str]:
    "What a module imports though it stands no lower, as text"
    own = floors()[module]
    for name in imports(source, module, is_door):
        if name in floors() and name != module and floors()[name] >= own:
            yield f"{module} (floor {own}) imports {name} (floor {floors()[name]})"


def exported(cell: dict) -> bool:
    "Does the cell go into a module?"
    return bool(re.search(r"^#\|\s*exporti?\b", "".join(cell["source"]), re.MULTILINE))


def statements(source: str) -> int:
    "How many statements a cell holds; docstrings and imports, which nobody reads twice, are none"

    def counts(node: ast.AST) -> bool:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        no_step = docstring or isinstance(node, ast.Import | ast.ImportFrom)
        return isinstance(node, ast.stmt) and not no_step

    try:
        tree = ast.parse(source)
    except SyntaxError:  # a magic
        return len([line for line in source.splitlines() if line.strip()])
    return sum(counts(node) for node in ast.walk(tree))
