"""What an update of a stream costs: three modalities at 30 frames a second, a prediction after
every frame.

    python tools/bench/stream.py                  ten seconds of each stream (part of `make bench`)
    python tools/bench/stream.py --full --keep    ten minutes; writes data/results/streaming.json,
                                                  which nbs/6_training/10_streaming.ipynb shows

Sizes are CMU-MOSI's: 300, 74 and 35 features, windows of 50 frames, full from the start. The
streams are `aligned` (one clock, whose every tick gives all sequences another window), and, for
less time, `apart` (a clock each) and `long` (aligned, with windows of 500 frames). Of the frames
5 % never come, 1 % come twice, 5 % come up to half a second late; in every minute each modality is
away for ten seconds. An update is a push and a prediction. Beside it: `batch`, model.predict on the
same window, once in 200 updates. `cpu` is the time of the processor, which the machine's other
programs change less than they change the wall clock's.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator

import numpy as np
import torch
from sizes import held_mb, held_now_mb, mosi_sizes, processor, spec_of

from fsrf.core import commit, find_root, seeded, write_json
from fsrf.methods import build
from fsrf.training import Predictor, StreamingPredictor

RATE = 30  # frames a second
EVERY = 200  # updates, between two predictions from the window in one batch


def model_of(frames: int, aligned: bool) -> Predictor:
    "An untrained network: what it costs does not depend on its weights."
    spec = spec_of(mosi_sizes(frames))
    with seeded("bench"):
        net = build("fsrf", {}, spec)
    columns = {s.name: dict(mean=[0.0] * s.dim, std=[1.0] * s.dim) for s in spec.modalities}
    length = {s.name: s.max_len for s in spec.modalities}
    net.meta = dict(columns=columns, standardised=True, typical_length=length, aligned=aligned)
    net.meta |= dict(prior=[0.5, 0.5], data=dict(title="bench"))
    return Predictor(net, "cpu")


def arrivals(names: tuple[str, ...], seconds: float) -> Iterator[tuple[str, int]]:
    "(modality, position) as they come in."
    g = np.random.default_rng(0)
    n = int(seconds * RATE)
    coming = []
    for i in range(len(names)):
        position = np.arange(n)
        away = (position // RATE - 20 * i) % 60 < 10
        kept = position[(g.random(n) > 0.05) & ~(away & (position > 10 * RATE))]
        twice = kept[g.random(len(kept)) < 0.01]
        for p in np.concatenate([kept, twice]).tolist():
            late = g.random() * RATE / 2 if g.random() < 0.05 else 0
            coming.append((p + late, i, p))
    return ((names[i], p) for _, i, p in sorted(coming))


def run(frames: int, aligned: bool, seconds: float) -> dict[str, float]:
    "Milliseconds of updates and of predictions in one batch, and memory, of one stream."
    model = model_of(frames, aligned)
    stream = StreamingPredictor(model)
    pool = {s.name: torch.randn(997, s.dim).numpy() for s in model.spec.modalities}
    for m, rows in pool.items():
        stream.push(m, rows[:frames])
    took, busy, batch, before = [], [], [], 0.0
    coming = list(arrivals(model.spec.names, seconds))
    for i, (m, position) in enumerate(coming):
        frame = pool[m][position % 997]
        start, cpu = time.perf_counter(), time.thread_time()
        stream.push(m, frame, at=frames + position)
        stream.predict()
        busy.append(time.thread_time() - cpu)
        took.append(time.perf_counter() - start)
        if i % EVERY == 0:
            window = stream.window()
            cpu = time.thread_time()
            model.predict(window)
            batch.append(time.thread_time() - cpu)
        if i == len(coming) // 5:
            before = held_now_mb()
    ms, cpu_ms = 1e3 * np.array(took), 1e3 * np.array(busy)
    return dict(
        updates=len(ms),
        p50_ms=np.median(ms),
        p99_ms=np.percentile(ms, 99),
        max_ms=ms.max(),
        p50_cpu_ms=np.median(cpu_ms),
        p99_cpu_ms=np.percentile(cpu_ms, 99),
        batch_p50_cpu_ms=1e3 * np.median(batch),
        busy=cpu_ms.sum() / 1e3 / seconds,
        grown_mb=held_now_mb() - before,
    )


def bench(seconds: float = 10.0) -> dict[str, float]:
    "All keys of this page, `stream_<which>_<what>`; prints a table."
    out = {}
    print(f"\n{seconds:g} s of three modalities, {RATE} frames/s, 1 thread; ms an update")
    print(
        f"{'':10}{'updates':>9}{'p50':>8}{'p99':>8}{'cpu p50':>9}{'cpu p99':>9}"
        f"{'batch cpu p50':>15}{'busy':>8}"
    )
    streams = (("aligned", 50, True, 1), ("apart", 50, False, 0.1), ("long", 500, True, 0.04))
    for name, frames, aligned, share in streams:
        r = run(frames, aligned, share * seconds)
        print(
            f"{name:10}{r['updates']:9,}{r['p50_ms']:8.2f}{r['p99_ms']:8.2f}"
            f"{r['p50_cpu_ms']:9.2f}{r['p99_cpu_ms']:9.2f}{r['batch_p50_cpu_ms']:15.2f}"
            f"{100 * r['busy']:7.0f}%",
            flush=True,
        )
        out |= {f"stream_{name}_{what}": value for what, value in r.items()}
    return out


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--full", action="store_true", help="ten minutes")
    p.add_argument("--keep", action="store_true", help="write data/results/streaming.json")
    a = p.parse_args()
    torch.set_num_threads(1)
    seconds = 600.0 if a.full else 10.0
    out = {k: round(float(v), 3) for k, v in bench(seconds).items()}
    out |= dict(seconds=seconds, rate=RATE, held_mb=held_mb(), load=os.getloadavg()[2])
    out |= dict(processor=processor(), torch=torch.__version__, commit=commit())
    if a.keep:
        write_json(find_root() / "data/results/streaming.json", out)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
