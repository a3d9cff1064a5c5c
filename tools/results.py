"""The committed rows, from nothing: on each set all methods that were searched there, with the
chosen settings, and the floors. FSRF_DATA must point to the development sets.

    make results                            goes on where it was cut off
    make results ARGS="--ablation fsrf"     a method with its chosen settings, and each of its
                                            `ablations` over them: data/results/ablation/fsrf/
    make results ARGS=--map                 FSRF and plain-MRM, both with their defaults, on sets
                                            planted for it: data/results/map/
    make results ARGS=--labels              few labels and many samples without one:
                                            data/results/labels/

Writes data/results/<data set>.csv.gz, a file of rows per data set. `make figures` makes the tables
and figures of them.
"""

import argparse
import functools
import gzip
import io
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fsrf import runs
from fsrf.cli.paper_command import ONCE
from fsrf.core import find_root, read_json, write_atomic
from fsrf.methods import METHODS, method_config
from fsrf.report import headline
from fsrf.runs.cluster import Executor

SEEDS = 5  # of a set, unless their number is given
SEEDED = ("language_only",)  # also run, with all that were searched on a set
# .95: the far end, where the paper says that it is weak
EVALUATION = dict(evaluation=dict(rates=[*(i / 10 for i in range(10)), 0.95, 1.0]))
ABLATED = (
    "meld-negpos-minilm",
    "meld-3class-minilm",
    "ict-mmmo-120",
    "mosi-lat",
    "synthetic-redundant",
    "synthetic-complementary",
    "synthetic-noisy",
)

# The map: how much of the label is shared, against three levels of nuisance and noise. Each seed
# plants a set of its own, so that the intervals hold for sets of that kind and not for one draw;
# 1000 test items, so that they are not the test's own noise.
MAP_METHODS = ("fsrf", "plain_mrm")
SHARED = (0.05, 0.35, 0.65, 0.95)
LEVELS = ((0.3, 0.2), (1.0, 0.5), (3.0, 0.8))
PLANTED = "synthetic-quick?sizes=[480,160,1000]&label_shared={}&nuisance={}&noise={}&seed={}"

# The curve over labels: so many training samples keep their label, each seed draws its own, and all
# others stay without. The same settings for all, on vectors, so that it stays cheap.
COUNTS = (50, 100, 300, 1000)
LABELLED = {
    "mmsd": "mmsd",
    "synthetic-redundant": "synthetic-redundant?sizes=[4000,300,1000]&lengths=[1,1,1]",
}
LABEL_TRAINING = dict(batch_size=32, epochs=30, least=10, patience=6, least_steps=20)
SUBSETS = dict(evaluation=dict(rates=[0.3, 0.6], mask_seeds=[0]))  # the curve reads subsets alone
LABEL_METHODS = {  # label: (method, what its training has of its own)
    "fsrf": ("fsrf", {}),
    "fsrf, labels alone": ("fsrf", dict(unlabelled_ratio=0.0)),
    "mean_teacher": ("mean_teacher", {}),
    "corrkd": ("corrkd", {}),
    "plain_mrm": ("plain_mrm", {}),
}


def packed(rows: pd.DataFrame) -> bytes:
    """CSV, gzipped without a time stamp, so that the same rows make the same bytes; values with six
    digits."""
    text = rows.to_csv(index=False, float_format="%.6g")
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as f:
        f.write(text.encode())
    return out.getvalue()


def write_rows(rows: pd.DataFrame, *path: str) -> None:
    "Write rows below data/results/ and say so."
    root = find_root()
    file = write_atomic(root / "data" / "results" / "/".join(path), packed(rows))
    size = file.stat().st_size / 1e3
    print(f"{file.relative_to(root)}: {len(rows)} rows, {size:.0f} kB", flush=True)


def rows_of(parts: list[tuple], out: Path, submit: Callable) -> tuple[pd.DataFrame, list]:
    """Rows of [(label or None, specs, ids)], made as one queue, and the failed outcomes. Only what
    a table of differences reads; the label becomes the method's name."""
    runs.make_folder(out)
    ids = [i for _, _, some in parts for i in some]
    specs = [s for _, some, _ in parts for s in some]
    made = runs.run_all(specs, ids, out, submit=submit)
    failed = {o.id: o for o in made if o.status == "failed"}
    found = []
    for label, _, own in parts:
        good = [i for i in own if i not in failed]
        if not good:
            continue
        rows = runs.collect(out, good)
        wanted = rows.metric.isin([headline(rows), "constant_prediction"])
        rows = rows[wanted & rows.protocol.isin(["inter", "intra"])]
        found.append(rows.assign(method=label) if label else rows)
    if not found:
        sys.exit("every run failed:\n" + "\n".join(map(str, failed.values())))
    return pd.concat(found, ignore_index=True), list(failed.values())


def main_rows(name, seeds, out, tuned, submit, methods=None) -> list:
    "A file of all methods (or of some) on a data set; returns what failed."
    repeats = runs.cached_dataset(name).n_repeats
    searched = [m for m in tuned[name] if m != "*" and m in (methods or tuned[name])]
    made = []
    for some, own in (([*searched, *SEEDED], seeds), (list(ONCE), seeds[:repeats])):
        how = dict(tuned=tuned, settings=EVALUATION, submit=submit)
        made += runs.reproduce([name], some, own, out, **how)
    failed = [o for o in made if o.status == "failed"]
    rows = runs.collect(out, [o.id for o in made if o.status != "failed"])
    write_rows(rows.sort_values(["method", "seed", "fold"], kind="stable"), f"{name}.csv.gz")
    return failed


def ablation_rows(name, seeds, out, tuned, submit, method, only=None) -> list:
    "A file of a method and its ablations (or `only` some) on a data set; returns what failed."
    _, own = runs.tuned_for(tuned, name, method)
    full = method_config(method, own)
    changes = {"full": {}}
    for label, change in METHODS[method][0].ablations.items():
        # a change that is the method's own form is no ablation
        if method_config(method, own | change) != full and (not only or label in only):
            changes[label] = change
    parts = []
    for label, change in changes.items():
        settings = {method: change, **EVALUATION}
        specs, ids = runs.plan([name], [method], seeds, tuned=tuned, settings=settings)
        parts.append((label, specs, ids))
    rows, failed = rows_of(parts, out, submit)
    write_rows(rows, "ablation", method, f"{name}.csv.gz")
    return failed


def map_rows(seeds, shared, levels, out, submit) -> list:
    "The file of the map; returns what failed."
    parts = []
    for level, share, seed in itertools.product(levels, shared, seeds):
        name = PLANTED.format(share, *level, seed)
        ds = runs.cached_dataset(name)
        tuned = {name: {m: runs.fixed_settings(m, ds) for m in MAP_METHODS}}
        how = dict(tuned=tuned, settings=EVALUATION)
        specs, ids = runs.plan([name], list(MAP_METHODS), [seed], **how)
        parts.append((None, specs, ids))
    rows, failed = rows_of(parts, out, submit)
    write_rows(rows, "map", f"{PLANTED.partition('?')[0]}.csv.gz")
    return failed


def label_rows(short, seeds, out, tuned, submit, counts) -> list:
    "The file of a set's curve over numbers of labels; returns what failed."
    parts = []
    for n, seed in itertools.product(counts, seeds):
        mark = "&" if "?" in LABELLED[short] else "?"
        name = f"{LABELLED[short]}{mark}labels={n}&labels_seed={seed}"
        for label, (method, own) in LABEL_METHODS.items():
            setting = dict(train=LABEL_TRAINING | own, config=dict(layers=1))
            how = dict(tuned={name: {method: setting}}, settings=SUBSETS)
            specs, ids = runs.plan([name], [method], [seed], **how)
            parts.append((label, specs, ids))
    rows, failed = rows_of(parts, out, submit)
    write_rows(rows, "labels", f"{short}.csv.gz")
    return failed


def arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    p.add_argument("--methods", help="default: all that were searched on the set")
    p.add_argument("--sets", help="default: all that were searched")
    p.add_argument("--seeds", type=int, help="default: 5")
    p.add_argument("--workers", type=int)
    p.add_argument("--cluster")
    p.add_argument("--out", default="runs/results")
    p.add_argument("--ablation", metavar="METHOD", help=f"default sets: {', '.join(ABLATED)}")
    p.add_argument("--changes", help="of the ablation, only these, parted by semicolons")
    p.add_argument("--map", action="store_true")
    p.add_argument("--labels", action="store_true")
    p.add_argument("--counts", help=f"of the labels, how many are kept (default: {COUNTS})")
    p.add_argument("--shared", help=f"of the map, label_shared (default: {SHARED})")
    p.add_argument("--level", type=int, help="of the map, only this level of noise (0, 1, 2)")
    return p.parse_args()


def sets_of(a: argparse.Namespace, tuned: dict) -> list[str]:
    "The data sets that the arguments ask for; one that was not searched ends the program."
    if a.map:
        return []
    every = ABLATED if a.ablation else LABELLED if a.labels else tuned
    sets = a.sets.split(",") if a.sets else list(every)
    if a.labels:
        if unknown := set(sets) - set(LABELLED):
            sys.exit(f"no curve for {', '.join(unknown)}; there are {', '.join(LABELLED)}")
        return sets
    if unsearched := [d for d in sets if d not in tuned]:
        names = ", ".join(unsearched)
        sys.exit(f"not searched yet: {names}; make tune comes first, or name others with --sets")
    return sets


def changes_of(a: argparse.Namespace) -> list[str]:
    "The changes that the arguments ask for; an unknown method or change ends the program."
    only = a.changes.split(";") if a.changes else []
    known = {m: c.ablations for m, (c, _) in METHODS.items() if c.ablations}
    if a.ablation and a.ablation not in known:
        sys.exit(f"no ablations of {a.ablation!r}: choose one of {', '.join(known)}")
    own = known.get(a.ablation, ())
    if unknown := set(only) - set(own):
        sys.exit(f"no such changes: {', '.join(unknown)}; known: {'; '.join(own)}")
    return only


def main() -> None:
    a = arguments()
    root = find_root()
    out = (root / a.out).resolve()
    tuned = read_json(root / "data" / "results" / "tuned.json")
    sets = sets_of(a, tuned)
    only = changes_of(a)
    if a.labels:
        counts = list(map(int, a.counts.split(","))) if a.counts else COUNTS
        make = functools.partial(label_rows, counts=counts)
    elif a.ablation:
        make = functools.partial(ablation_rows, method=a.ablation, only=only)
    else:
        make = functools.partial(main_rows, methods=a.methods and a.methods.split(","))
    failed = []
    with Executor(a.cluster, workers=a.workers, device="auto") as pool:
        for name in sets:
            failed += make(name, list(range(a.seeds or SEEDS)), out, tuned, pool.submit)
        if a.map:
            shared = [float(s) for s in a.shared.split(",")] if a.shared else SHARED
            levels = LEVELS if a.level is None else LEVELS[a.level : a.level + 1]
            failed += map_rows(range(a.seeds or 3), shared, levels, out, pool.submit)
    if failed:
        sys.exit(f"{len(failed)} runs failed:\n" + "\n".join(map(str, failed)))


if __name__ == "__main__":
    main()
