"""The project's own rules: one place for metadata, floors, the README, notebook style, the gate,
the set-up."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from house import MODULES, imports, module_name, name_of, read
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import fsrf
from fsrf.extras import EXTRAS

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import gate  # noqa: E402
import readme  # noqa: E402

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def settings():
    parser = ConfigParser(delimiters=["="], interpolation=None)
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def listed(key):
    "The requirements under one key of settings.ini"
    return [Requirement(line) for line in settings()[key].splitlines() if line.strip()]


def requirements(*keys):
    "Requirement by name, from the given keys of settings.ini (all), other extras of ours left out"
    keys = keys or [key for key in settings() if key.endswith("requirements")]
    found = [r for key in keys for r in listed(key) if r.name != settings()["lib_name"]]
    return {r.name.lower(): r for r in found}


def pins():
    "{name: version} of constraints.txt, in its order"
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {
        k.lower().replace("_", "-"): v
        for k, v in (line.split("==") for line in lines if line and not line.startswith("#"))
    }


# --- metadata -------------------------------------------------------------------------------------


def test_versions_agree():
    assert fsrf.__version__ == settings()["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == settings()["version"]
    assert f"## {settings()['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_settings_ini_is_the_one_place():
    project = PYPROJECT["project"]
    assert set(project) == {"name", "dynamic"}, "metadata belongs into settings.ini"
    assert project["name"] == settings()["lib_name"]
    assert {"version", "dependencies", "scripts", "optional-dependencies"} <= set(
        project["dynamic"]
    )


def test_nbdev_keeps_the_parameters_tag():
    nbdev = PYPROJECT["tool"]["nbdev"]
    assert nbdev["allowed_cell_metadata_keys"] == ["tags"]
    assert (nbdev["lib_path"], nbdev["nbs_path"]) == (
        settings()["lib_path"],
        settings()["nbs_path"],
    )


def test_constraints_pin_every_requirement_inside_its_range():
    pinned = pins()
    assert next(iter(pinned)) == "torch", "torch is installed first"
    for name, requirement in requirements().items():
        assert name in pinned, f"{name} has no pin in constraints.txt"
        assert requirement.specifier.contains(pinned[name]), (
            f"{name}=={pinned[name]} is outside {requirement}"
        )


def closure(names):
    "{package: version} of what is installed for these requirements, extras and markers honoured"
    found, todo = {}, [(name, frozenset(requirement.extras)) for name, requirement in names.items()]
    seen = set()
    while todo:
        name, extras = todo.pop()
        key = name.lower().replace("_", "-").replace(".", "-")
        if (key, extras) in seen:
            continue
        seen.add((key, extras))
        found[key] = metadata.version(name).split("+")[0]
        for requirement in map(Requirement, metadata.requires(name) or []):
            if not requirement.marker or any(
                requirement.marker.evaluate({"extra": e}) for e in extras | {""}
            ):
                todo.append((requirement.name, frozenset(requirement.extras)))
    return found


def test_constraints_are_the_closure_that_is_installed():
    """Every package that the requirements bring is pinned, nothing else is, and the pins are what
    is installed"""
    if (sys.platform, sys.version_info[:2]) != ("linux", (3, 11)):
        pytest.skip(
            "the pins were taken on Linux with Python 3.11; elsewhere the closure differs a little"
        )
    cuda = re.compile("nvidia-|cuda-|triton")  # come with a CUDA build of torch
    installed = {k: v for k, v in closure(requirements()).items() if not cuda.match(k)}
    assert installed == pins()


def brought_by(extra):
    "The names that an extra brings, with those of the extras in it"
    names = set()
    for requirement in listed(f"{extra}_requirements"):
        if requirement.name != settings()["lib_name"]:
            names.add(requirement.name)
        for inner in requirement.extras if requirement.name == settings()["lib_name"] else ():
            names |= brought_by(inner)
    return names


# what a package is imported as, where that is another name
IMPORTED = {"dask-jobqueue": "dask_jobqueue", "pyyaml": "yaml", "opencv-python-headless": "cv2"}


def test_extras_are_what_the_library_asks_for():
    "`need` names the extra that brings the package, and `dev`, by `all`, brings every one"
    for extra, packages in EXTRAS.items():
        own = [r.name for r in listed(f"{extra}_requirements") if r.name != "fsrf"]
        assert {IMPORTED.get(name, name) for name in own} == set(packages), extra
    assert set(requirements()) - set(requirements("requirements")) == brought_by("dev")
    kept = set(requirements("requirements"))
    assert kept == {
        *("torch", "numpy", "pandas", "scipy", "scikit-learn"),
        *("safetensors", "h5py", "fastcore", "tqdm"),
    }, "what everybody gets who only predicts: a new one needs a reason in CONTRIBUTING.md"


def test_contributing_tells_each_requirement():
    "By its extra, with the reason"
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Dependencies")[2]
    cells = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| ")]
    told = {(e.strip().strip("`"), name.strip()) for e, names in cells for name in names.split(",")}
    for key in (key for key in settings() if key.endswith("requirements")):
        extra = key.removesuffix("requirements").rstrip("_") or "fsrf"
        for requirement in listed(key):
            if requirement.name != settings()["lib_name"]:
                name = str(requirement).partition(str(requirement.specifier))[0]
                assert (extra, name) in told, f"CONTRIBUTING.md: no reason for {name} of {extra}"


CONDA_NAMES = {"torch": "pytorch-gpu", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}


def test_environment_yml_has_every_requirement():
    env = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert (
        set(env) == {"name", "channels", "dependencies"} and env["name"] == settings()["lib_name"]
    )
    conda = dict(d.partition(" ")[::2] for d in env["dependencies"] if isinstance(d, str))
    pip = next(d["pip"] for d in env["dependencies"] if isinstance(d, dict))
    assert "-e ." in pip
    assert conda["python"] == f">={settings()['min_python']}"
    by_pip = {
        r.name: r.specifier for r in map(Requirement, (p for p in pip if not p.startswith("-")))
    }
    for name, requirement in requirements().items():
        spec = by_pip[name] if name in by_pip else SpecifierSet(conda[CONDA_NAMES.get(name, name)])
        assert spec == requirement.specifier, (
            f"{name}: environment.yml says {spec}, settings.ini {requirement}"
        )
    known = (
        {CONDA_NAMES.get(name, name) for name in requirements()} | set(by_pip) | {"python", "pip"}
    )
    assert set(conda) | set(by_pip) <= known, "environment.yml asks for what settings.ini does not"


def test_every_import_is_a_requirement():
    """A third-party package that fsrf imports stands in settings.ini itself, not only in somebody's
    closure"""
    dev = {r.name for r in listed("dev_requirements")}
    known = (set(requirements()) - dev) | {
        "fsrf",
        "sklearn",
        "nbformat",
        "nbclient",
        "yaml",
        "jupyter_client",
        "dask_jobqueue",
        "cv2",
        "IPython",
        "execnb",
        "traitlets",
        "packaging",
    }
    for path in MODULES:
        for name in imports(
            path.read_text(encoding="utf-8"), module_name(path), path.name == "__init__.py"
        ):
            top = name.split(".")[0]
            assert top in known or top in sys.stdlib_module_names, f"{name_of(path)} imports {top}"


# --- README ---------------------------------------------------------------------------------------


def test_readme_equals_index():
    assert (ROOT / "README.md").read_text(encoding="utf-8") == readme.render(), "run `make readme`"


def test_readme_links_resolve():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = [m[2] for m in readme.LINK.finditer(text) if not readme.OUTSIDE.match(m[2])]
    assert targets
    missing = [t for t in targets if not (ROOT / t).exists()]
    assert not missing, f"the README links to what is not there: {missing}"


def test_readme_rendering(tmp_path):
    def code(source, *outputs):
        return {"cell_type": "code", "source": [source], "outputs": list(outputs)}

    text = "# t\n\n[a](../data/README.md) [b](x.ipynb#s) [c](https://e.org)"
    cells = [
        {"cell_type": "markdown", "source": text.splitlines(keepends=True)},
        code("#| hide\nimport nbdev"),
        code("1 + 1", {"output_type": "execute_result", "data": {"text/plain": ["2"]}}),
        code(
            "#| echo: false\nshow()",
            {"output_type": "display_data", "data": {"text/markdown": ["| m |"]}},
        ),
    ]
    path = tmp_path / "index.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    assert readme.render(path) == (
        "# t\n\n[a](data/README.md) [b](nbs/x.ipynb#s) [c](https://e.org)\n\n"
        "```python\n1 + 1\n```\n\n```text\n2\n```\n\n| m |\n"
    )


# --- the tree -------------------------------------------------------------------------------------

HOSTS = re.compile(
    r"pypi\.org|pythonhosted\.org|anaconda\.(?:org|com)|download\.pytorch\.org|index[-]url"
    r"|https?://[^/\s]*(?:mirror|proxy|nexus|artifactory)",
    re.IGNORECASE,
)
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:root|tmp|work|home/[a-z]+|Users/\w+)/")
IMAGE = re.compile(r'"image/(?:png|jpeg)": "[^"]*"')  # base64 has slashes of its own


@pytest.mark.parametrize(
    "pattern", [HOSTS, MACHINE_PATHS], ids=["registry hosts", "paths of one machine"]
)
def test_tracked_files_name_no(pattern, tracked):
    found = []
    for path in tracked:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(path)}: {m[0]}" for m in pattern.finditer(IMAGE.sub("", text))]
    assert not found, found


def test_the_tree_check_can_fail():
    assert HOSTS.search("pip install --index" + "-url x") and HOSTS.search(
        "https://py" + "pi.org/simple"
    )
    assert MACHINE_PATHS.search("see /wo" + "rk/main") and MACHINE_PATHS.search(
        "'/ho" + "me/ann/x'"
    )
    assert not MACHINE_PATHS.search("nbs/work/x") and not MACHINE_PATHS.search("https://e.org/tmp/")


def test_no_large_file(tracked):
    large = [
        f"{name_of(p)} ({p.stat().st_size >> 10} KiB)"
        for p in tracked
        if p.stat().st_size > 1 << 20
    ]
    assert not large, large


def test_published_cells_stand_apart():
    lines = (ROOT / "data/reported_results.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "dataset,task,method,l,a,v,la,lv,av,avg6,lav,source,certainty"
    assert len(lines) > 20 and not any(line.split(",")[2] == "FSRF" for line in lines), (
        "no FSRF row could be read"
    )


# --- gate and set-up ------------------------------------------------------------------------------


@pytest.fixture
def small_project(tmp_path):
    "A committed project of one clean notebook and its exported module"
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (tmp_path / "fsrf").mkdir()
    (tmp_path / "nbs").mkdir()
    (tmp_path / "fsrf/__init__.py").write_text('__version__ = "0.1.0"\n')
    write_notebook(tmp_path, "one", "x = 1")
    gate.differences(tmp_path)
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        git(tmp_path, *command)
    return tmp_path


def git(folder, *command):
    identity = {
        f"GIT_{who}_{what}": "t@e" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    subprocess.run(["git", *command], cwd=folder, check=True, env={**os.environ, **identity})


def write_notebook(folder, name, code, **metadata):
    cells = [
        nbformat.v4.new_code_cell(f"#| default_exp {name}"),
        nbformat.v4.new_code_cell(f"#| export\n{code}"),
    ]
    cells[1]["metadata"].update(metadata)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"nbs/{name}.ipynb")


@pytest.mark.slow
def test_gate_passes_a_clean_project(small_project, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    assert gate.differences(small_project) == []
    assert (
        gate.main([], root=small_project) == 0
        and gate.main(["--committed"], root=small_project) == 0
    )


@pytest.mark.slow
def test_gate_sees_an_edited_module_a_stale_module_and_an_unclean_notebook(small_project, capsys):
    for check in (gate.differences, lambda root: gate.main([], root=root)):
        (small_project / "fsrf/one.py").write_text("x = 2")
        assert check(small_project) in (["fsrf/one.py"], 1)
    assert "fsrf/one.py" in capsys.readouterr().out
    write_notebook(small_project, "two", "y = 1", collapsed=True)
    assert {"fsrf/two.py", "nbs/two.ipynb"} <= set(gate.differences(small_project))


@pytest.mark.slow
def test_gate_wants_new_modules_committed(small_project, monkeypatch, capsys):
    write_notebook(small_project, "two", "y = 1")
    gate.differences(small_project)  # as somebody who exports and forgets `git add`
    monkeypatch.delenv("CI", raising=False)
    assert gate.main([], root=small_project) == 0
    assert gate.main(["--committed"], root=small_project) == 1
    assert "fsrf/two.py" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    assert gate.main([], root=small_project) == 1


def make(folder, *words, **env):
    return subprocess.run(
        ["make", *words], cwd=folder, env={**os.environ, **env}, capture_output=True, text=True
    )


@pytest.fixture
def make_tree(tmp_path):
    "The Makefile with what the set-up depends on"
    for name in ("Makefile", "settings.ini", "constraints.txt", "setup.py", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"))
    return tmp_path


@pytest.mark.parametrize("target", ["reproduce", "test", "lab"])
def test_the_set_up_runs_once(make_tree, target):
    assert "pip install" in make(make_tree, "-n", target).stdout
    (make_tree / ".venv").mkdir()
    (make_tree / ".venv/.ready").touch()
    assert "pip install" not in make(make_tree, "-n", target).stdout
    for name in ("settings.ini", "constraints.txt", "setup.py", "pyproject.toml"):
        later = (make_tree / ".venv/.ready").stat().st_mtime + 5
        os.utime(make_tree / name, (later, later))
        assert "pip install" in make(make_tree, "-n", target).stdout, (
            f"a new {name} renews the set-up"
        )
        os.utime(make_tree / name, (0, 0))


def test_torch_is_installed_first_and_exactly(make_tree):
    installs = [
        line for line in make(make_tree, "-n", "setup").stdout.splitlines() if "pip install" in line
    ]
    assert (
        len(installs) == 2
        and "torch==" in installs[0]
        and "-c constraints.txt -e '.[dev]'" in installs[1]
    )


def test_an_old_python_is_named(make_tree):
    old = make_tree / "oldpython"
    pretend = f'"{sys.executable}" -c "import sys; sys.version_info = (3, 8, 1); exec(sys.argv[1])"'
    answers = (
        f'[ "$1" = --version ] && echo Python 3.8.1 && exit 0\n[ "$1" = -c ] && exec {pretend} "$2"'
    )
    old.write_text(f"#!/bin/sh\n{answers}\n")
    old.chmod(0o755)
    done = make(make_tree, "test", f"PYTHON={old}")
    assert (
        done.returncode
        and "needs Python 3.11 or newer" in done.stderr
        and "Python 3.8.1" in done.stderr
    )
    assert not (make_tree / ".venv").exists()


def test_ci_is_make_test():
    run = ROOT / ".ci/run"
    assert (
        os.access(run, os.X_OK)
        and "set -euo pipefail" in run.read_text()
        and "\nmake test" in run.read_text()
    )
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    assert settings()["min_python"] in job["strategy"]["matrix"]["python"]


@pytest.fixture
def save(small_project, monkeypatch):
    "Save a notebook's cell as JupyterLab does under `make lab`; gives the cell as it is on disk"
    from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
    from traitlets.config import Config

    config = Config()
    source = (ROOT / "tools/jupyter_server_config.py").read_text(encoding="utf-8")
    exec(compile(source, "config", "exec"), {"get_config": lambda: config})
    monkeypatch.chdir(small_project)
    manager = AsyncLargeFileManager(root_dir=str(small_project), config=config)

    def saved(cell):
        content = nbformat.v4.new_notebook(cells=[cell])
        model = {"type": "notebook", "format": "json", "content": content}
        asyncio.run(manager.save(model, "nbs/saved.ipynb"))
        return read(small_project / "nbs/saved.ipynb")["cells"][0]

    return saved


def run_cell(**metadata):
    "A cell that was run in JupyterLab"
    output = nbformat.v4.new_output("stream", text="1")
    return nbformat.v4.new_code_cell(
        "x = 1", execution_count=7, outputs=[output], metadata=metadata
    )


@pytest.mark.filterwarnings("ignore:Overriding existing pre_save_hook")
def test_jupyter_saves_clean_notebooks(save, caplog):
    "A saved notebook is a cleaned one, its tags and outputs kept"
    cell = save(run_cell(tags=["parameters"], scrolled=True))
    assert not caplog.records, "the hook failed"
    assert cell["execution_count"] is None and cell["metadata"] == {"tags": ["parameters"]}
    assert cell["outputs"]


@pytest.mark.filterwarnings("ignore:Overriding existing pre_save_hook")
def test_a_run_template_is_saved_without_outputs(save):
    assert not save(run_cell(tags=["parameters", "no-outputs"]))["outputs"]
    template = read(ROOT / "nbs/paper/run.ipynb")["cells"]
    assert any("no-outputs" in cell["metadata"].get("tags", []) for cell in template)
    assert not any(cell.get("outputs") for cell in template)
