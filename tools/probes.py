"""What FSRF's factors hold of the factors that were planted, and which of the bars that meets.

    make probes                              all sets: half an hour on one core
    make probes ARGS="--sets synthetic-few"  some of them; the rows of the others stay
    make probes ARGS=--ablations             FSRF with each of its ablations on one of the sets:
                                             data/results/probes/ablations.csv, for table_ablation

Writes data/results/probes/planted.csv, which nbs/explanations/factors.ipynb shows: a row per set
and training seed, with the figures of fsrf.evaluation.factor_row, and prints the bars
(fsrf.evaluation.BARS) that the mean over seeds meets. Probes are fitted on training samples and
scored on test samples, of complete input."""

import argparse
import time

import pandas as pd
import torch

from fsrf.core import find_root, seeded, write_atomic
from fsrf.data import load_dataset
from fsrf.evaluation import check_bars, factor_row
from fsrf.methods import METHODS, build
from fsrf.training import TrainConfig, fit

FOLDER = "data/results/probes"
# A fit on the whole of `synthetic`, of MOSI's size, takes more than three minutes: half of it.
HALF = "synthetic?sizes=[642,114,343]"
SETS = (
    "synthetic-quick",
    "synthetic-redundant",
    "synthetic-complementary",
    "synthetic-noisy",
    "synthetic-quick?seed=1",
    "synthetic-quick?seed=2",
    HALF,
)
SEEDS = range(5)
ABLATED = "synthetic-quick"
# Those of data/results/tuned.json for the planted sets.
CONFIG = dict(layers=1)
TRAIN = TrainConfig(lr=1e-3, batch_size=64, epochs=20, least=12, patience=3)


def row_of(name: str, seed: int, change: dict) -> dict:
    "FSRF, or FSRF with a change, trained on a set, and what its factors hold."
    start = time.perf_counter()
    ds = load_dataset(name)
    parts = ds.parts()
    with seeded("init", seed):
        net = build("fsrf", CONFIG | change, ds.spec)
    train, valid, test = (parts[part] for part in ("train", "valid", "test"))
    history = fit(net, train, valid, TRAIN, seed=seed, device="cpu", progress=False)
    about = dict(
        dataset=name, seed=seed, epochs=len(history), directions=int(net.gate.passes.sum())
    )
    row = about | factor_row(net, train, test) | dict(data_sha256=ds.sha256)
    print(f"{name}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    return row


def of_sets(sets: list[str]) -> None:
    "The file of the sets: those made now, and what it held of the others."
    file = find_root() / FOLDER / "planted.csv"
    for name in sets:
        rows = pd.DataFrame([row_of(name, seed, {}) for seed in SEEDS])
        print(check_bars(rows).round(3), flush=True)
        if file.exists():
            before = pd.read_csv(file)
            rows = pd.concat([before[before.dataset != name], rows], ignore_index=True)
        order = {name: i for i, name in enumerate(SETS)}
        rows = rows.sort_values("dataset", kind="stable", key=lambda names: names.map(order))
        write_atomic(file, rows.to_csv(index=False, float_format="%.4f"))


def of_ablations() -> None:
    "The file of the ablations: 'full' and each change, over the seeds."
    changes = {"full": {}} | METHODS["fsrf"][0].ablations
    rows = []
    for label, change in changes.items():
        rows += [dict(ablation=label) | row_of(ABLATED, seed, change) for seed in SEEDS]
        print(label, flush=True)
    text = pd.DataFrame(rows).to_csv(index=False, float_format="%.4f")
    write_atomic(find_root() / FOLDER / "ablations.csv", text)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--sets", nargs="+", default=SETS, help="default: all of them")
    p.add_argument("--ablations", action="store_true", help=f"on {ABLATED} alone")
    a = p.parse_args()
    torch.set_num_threads(1)
    if a.ablations:
        of_ablations()
    else:
        of_sets(a.sets)


if __name__ == "__main__":
    main()
