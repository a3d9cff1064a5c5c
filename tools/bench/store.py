"""What opening a MOSEI-sized data set costs, mapped from the cache and unpickled, and what a run on
it holds in memory. Each part is a fresh process.

    python tools/bench/store.py        prints one line of JSON; about 4 GB of disk and four minutes
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sizes import MOSI as DIMS  # MOSEI has the same
from sizes import held_mb, held_now_mb

from fsrf import evaluation, methods, training
from fsrf.data import MultimodalDataset, cache

SAMPLES = 22856  # CMU-MOSEI, word-aligned
FRAMES = 50


def make(n: int) -> MultimodalDataset:
    "A data set of n random samples in MOSEI's sizes."
    r = np.random.default_rng(0)
    x = {m: r.random((n, FRAMES, d), np.float32) for m, d in DIMS.items()}
    part = np.searchsorted([0.714, 0.796], np.arange(n) / n, "right")
    return MultimodalDataset(
        "mosei-size",
        x,
        {m: np.full(n, FRAMES) for m in x},
        r.normal(size=n).astype("f4"),
        [f"video{i // 7}[{i % 7}]" for i in range(n)],
        "regression",
        split=np.array(["train", "valid", "test"])[part],
    )


def unpickled(folder: str, name: str) -> dict:
    "Seconds to a batch after unpickling the whole."
    start = time.perf_counter()
    with open(f"{folder}/all.pkl", "rb") as f:
        x, y = pickle.load(f)
    index = np.random.default_rng(0).permutation(len(y))[:64]
    for a in x.values():
        torch.from_numpy(a[index])
    return dict(unpickle_first_batch_s=time.perf_counter() - start)


def opened(folder: str, name: str) -> dict:
    "Open, first batch, one epoch of batches in random order."
    before = held_now_mb()
    start = time.perf_counter()
    ds = cache.open_entry(name, folder)
    out = dict(open_mosei_s=time.perf_counter() - start, open_mosei_rss_mb=held_now_mb() - before)
    batches = ds.parts()["train"].batches(64, torch.Generator().manual_seed(0))
    next(batches)
    out["first_batch_s"] = time.perf_counter() - start
    most = 0.0
    for i, _ in enumerate(batches):
        if i % 10 == 0:
            most = max(most, held_now_mb() - before)
    return out | dict(epoch_s=time.perf_counter() - start, epoch_rss_mb=most)


def trained(folder: str, name: str) -> dict:
    """An epoch of FSRF, chosen on validation, and its rows on the test part: the most that the
    process held."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    parts = cache.open_entry(name, folder).parts()
    net = methods.build("fsrf", {}, parts["train"].spec)
    config = training.TrainConfig(epochs=1, batch_size=128)
    training.fit(net, parts["train"], parts["valid"], config, seed=0, device="cpu", progress=False)
    known = "method dataset seed fold repeat config_hash data_sha256 checkpoint_sha256 seconds"
    meta = dict.fromkeys(known.split(), 0)
    few = evaluation.EvalConfig(rates=(0.0, 0.5), mask_seeds=(0,))
    evaluation.evaluate_rows(net, parts["test"], few, meta=meta, device="cpu")
    return dict(mosei_run_mb=held_mb(), mosei_run_s=time.perf_counter() - start)


PARTS = dict(unpickled=unpickled, opened=opened, trained=trained)


def bench(n: int = SAMPLES) -> dict:
    "All keys of this page."
    (Path.cwd() / "runs").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=Path.cwd() / "runs") as folder:
        ds = make(n)
        name = cache.save(ds, folder)
        with open(f"{folder}/all.pkl", "wb") as f:
            pickle.dump((ds.x, ds.y), f, 4)
        del ds
        out = {}
        for part in PARTS:
            words = [sys.executable, __file__, "--part", part, folder, name]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            out |= json.loads(done.stdout)
    return {k: round(v, 3) for k, v in out.items()}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--samples", type=int, default=SAMPLES)
    p.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.part:
        part, folder, name = a.part
        print(json.dumps(PARTS[part](folder, name)))
    else:
        print(json.dumps(bench(a.samples)))


if __name__ == "__main__":
    main()
