"""The export gate: the notebooks are the source, so exporting and cleaning them must change
nothing.

Compares nbs/ and fsrf/ before and after `nbdev-export` and `nbdev-clean`. With --committed (and
wherever CI is set) the two folders must also equal the last commit: a new module that nobody added
would pass a plain `git diff`.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("nbs", "fsrf")
IGNORED = {"__pycache__", ".ipynb_checkpoints"}


def snapshot(root):
    "sha256 of every file below nbs/ and fsrf/, by path"
    files = (p for folder in FOLDERS for p in (root / folder).rglob("*") if p.is_file())
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in files
        if not IGNORED & set(p.parts) and p.name != ".last_checked"
    }


def differences(root):
    "Paths that export and clean change, make or remove"
    before = snapshot(root)
    for command in ("nbdev-export", "nbdev-clean"):
        subprocess.run([Path(sys.executable).parent / command], cwd=root, check=True)
    after = snapshot(root)
    return sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))


def uncommitted(root):
    "What git says of the two folders, untracked files included"
    command = ["git", "status", "--porcelain", "--", *FOLDERS]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def main(argv=None, root=ROOT):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--committed",
        action="store_true",
        default=bool(os.environ.get("CI")),
        help="the folders must equal the last commit too (default where CI is set)",
    )
    args = parser.parse_args(argv)
    if changed := differences(root):
        print(
            "export and clean changed these files; look at them and commit them:",
            *changed,
            sep="\n  ",
        )
        return 1
    if args.committed and (status := uncommitted(root)):
        print("these files are not as committed:", status, sep="\n")
        return 1
    print("gate: export and clean leave no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
