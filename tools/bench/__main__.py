"""What FSRF costs next to plain-MRM and MulT, and a run next to its training, as ratios.

    make bench                                prints tables and writes runs/bench.json (flat keys)
    make bench ARGS="--full-grid --keep"      writes data/results/bench.json too, which
                                              nbs/explanations/speed.ipynb shows

Each subject is a module of this folder and runs alone too: step, share, seeds, stream, store, grid.
"""

import argparse
import json

import grid
import seeds
import share
import step
import store
import stream
import torch
from sizes import processor

from fsrf.core import commit, find_root, write_json


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--frames", type=int, default=50)
    p.add_argument(
        "--no-store",
        action="store_false",
        dest="store",
        help="leave out the cache of a MOSEI-sized set (four minutes, 4 GB of disk)",
    )
    p.add_argument(
        "--no-grid",
        action="store_false",
        dest="grid",
        help="leave out what a papermill run costs next to its training (two minutes)",
    )
    p.add_argument("--full-grid", action="store_true", help="the grid of 40 runs of 20 s")
    p.add_argument("--keep", action="store_true", help="write data/results/bench.json too")
    return p.parse_args()


def main() -> None:
    a = arguments()
    torch.set_num_threads(1)
    out = step.bench(a.rounds, a.batch, a.frames)
    out |= share.bench()
    out |= seeds.bench()
    out |= stream.bench()
    if a.store:
        out |= store.bench()
    if a.grid:
        out |= grid.bench(full=a.full_grid)
    out = {k: round(v, 3) for k, v in out.items()}
    out |= dict(processor=processor(), torch=torch.__version__, commit=commit())
    for folder in ("runs", "data/results") if a.keep else ("runs",):
        path = write_json(find_root() / folder / "bench.json", out)
        print(f"{path.relative_to(find_root())}: {json.dumps(out)}")


if __name__ == "__main__":
    main()
