"""What opening a MOSEI-sized data set costs: mapped from the store, beside unpickling; and what a run on it holds in memory.
Each part is a fresh process.

python tools/bench_store.py        prints one line of JSON; about 4 GB of disk and four minutes
"""

import argparse
import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from bench_share import held_mb
from fsrf.data import cache
from fsrf.data.dataset import MultimodalDataset

SAMPLES, FRAMES, DIMS = 22856, 50, dict(language=300, audio=74, visual=35)  # CMU-MOSEI, word-aligned


def rss():
    "What this process holds now, in MB"
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def make(n):
    r = np.random.default_rng(0)
    x = {m: r.random((n, FRAMES, d), np.float32) for m, d in DIMS.items()}
    split = np.array(["train", "valid", "test"])[np.searchsorted([0.714, 0.796], np.arange(n) / n, "right")]
    return MultimodalDataset(
        "mosei-size",
        x,
        {m: np.full(n, FRAMES) for m in x},
        r.normal(size=n).astype("f4"),
        [f"video{i // 7}[{i % 7}]" for i in range(n)],
        "regression",
        split=split,
    )


def opened(root, name):
    "Open, first batch, one epoch of batches in random order"
    before, start = rss(), time.perf_counter()
    ds = cache.open_entry(name, root)
    out = dict(open_mosei_s=time.perf_counter() - start, open_mosei_rss_mb=rss() - before)
    batches, g, most = None, torch.Generator().manual_seed(0), 0.0
    batches = ds.parts()["train"].batches(64, g)
    next(batches)
    out["first_batch_s"] = time.perf_counter() - start
    for i, _ in enumerate(batches):
        if i % 10 == 0:
            most = max(most, rss() - before)
    return out | dict(epoch_s=time.perf_counter() - start, epoch_rss_mb=most)


def unpickled(path):
    "The same batch after unpickling the whole"
    start = time.perf_counter()
    with open(path, "rb") as f:
        x, y = pickle.load(f)
    index = np.random.default_rng(0).permutation(len(y))[:64]
    {m: torch.from_numpy(a[index]) for m, a in x.items()}
    return dict(unpickle_first_batch_s=time.perf_counter() - start)


def trained(root, name):
    "An epoch of FSRF, chosen on validation, and its rows on the test part: the most that the process held"
    from fsrf import evaluation
    from fsrf import methods
    from fsrf import training

    methods.load_methods()
    torch.set_num_threads(1)
    start, parts = time.perf_counter(), cache.open_entry(name, root).parts()
    net = methods.build("fsrf", {}, parts["train"].spec)
    config = training.TrainConfig(epochs=1, batch_size=128)
    training.fit(net, parts["train"], parts["valid"], config, seed=0, device="cpu", progress=False)
    known = "method dataset seed fold repeat config_hash data_sha256 checkpoint_sha256 seconds"
    meta = dict.fromkeys(known.split(), 0)
    few = evaluation.EvalConfig(rates=(0.0, 0.5), mask_seeds=(0,))
    evaluation.evaluate_rows(net, parts["test"], few, meta=meta, device="cpu")
    return dict(mosei_run_mb=held_mb(), mosei_run_s=time.perf_counter() - start)


PARTS = dict(unpickled=lambda folder, name: unpickled(f"{folder}/all.pkl"), opened=opened, trained=trained)


def bench(n=SAMPLES):
    with tempfile.TemporaryDirectory(dir=Path.cwd() / "runs") as folder:
        ds = make(n)
        name = cache.save(ds, folder)
        with open(f"{folder}/all.pkl", "wb") as f:
            pickle.dump((ds.x, ds.y), f, 4)
        del ds
        out = {}
        for what in PARTS:
            done = subprocess.run(
                [sys.executable, __file__, "--part", what, folder, name], capture_output=True, text=True, check=True
            )
            out |= json.loads(done.stdout)
    return {k: round(v, 3) for k, v in out.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--part", nargs=3, metavar=("WHAT", "FOLDER", "NAME"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        what, folder, name = args.part
        print(json.dumps(PARTS[what](folder, name)))
    else:
        (Path.cwd() / "runs").mkdir(exist_ok=True)
        print(json.dumps(bench(args.samples)))
