"""What a papermill run costs next to its training, and how much of a grid's time is training.

    python tools/bench/grid.py [--full]        (part of `make bench`)

`papermill_overhead_s`: the median, over the runs of a worker that is warm, of a whole run's
seconds less its training's: kernel, papermill, evaluation, tables and figures. `grid_efficiency`:
sum of training times / (workers x wall), start of the cluster included.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from fsrf import runs
from fsrf.core import read_json

FEW = dict(evaluation=dict(rates=[0.0, 0.5], mask_seeds=[0]))
PROBE = 40  # epochs


def trained(outcome: runs.Outcome) -> float:
    "Seconds of a run's training."
    return sum(fold["seconds"] for fold in read_json(Path(outcome.path) / "history.json"))


def make(out: str, seeds: list[int], epochs: int, workers: int) -> list[runs.Outcome]:
    "Plain-MRM on the embedded set, a run per seed, each of so many epochs."
    settings = dict(FEW, train=dict(epochs=epochs, patience=epochs))
    own = dict(workers=workers, device="cpu", settings=settings)
    made = runs.reproduce(["synthetic-quick"], ["plain_mrm"], seeds, out, **own)
    if failed := [o for o in made if o.status != "done"]:
        raise RuntimeError(str(failed[0]))
    return made


def bench(*, full: bool = False, workers: int = 2) -> dict:
    "The two numbers, from a real grid: 40 runs of 20 s if `full`, else 8 of about 8 s."
    n, seconds = (40, 20.0) if full else (8, 8.0)
    with tempfile.TemporaryDirectory() as folder:
        # how many epochs take that long, with as many runs at a time as the grid has; a run's
        # first epochs are its slowest
        probe = make(f"{folder}/probe", list(range(workers)), PROBE, workers)
        epoch = statistics.mean(trained(o) for o in probe) / PROBE
        start = time.perf_counter()
        seeds = list(range(100, 100 + n))
        made = make(f"{folder}/grid", seeds, max(1, round(seconds / epoch)), workers)
        wall = time.perf_counter() - start
        training = [trained(o) for o in made]
    overhead = statistics.median(o.seconds - t for o, t in zip(made, training, strict=True))
    efficiency = sum(training) / (workers * wall)
    print(
        f"{n} runs of {statistics.mean(training):.1f} s on {workers} workers in {wall:.0f} s: "
        f"{overhead:.2f} s next to the training, {100 * efficiency:.0f} % of the time is training"
    )
    return dict(papermill_overhead_s=overhead, grid_efficiency=efficiency)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--full", action="store_true")
    p.add_argument("--workers", type=int, default=2)
    a = p.parse_args()
    print(json.dumps(bench(full=a.full, workers=a.workers)))


if __name__ == "__main__":
    main()
