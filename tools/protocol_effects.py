"""How many points of avg6 the way of measuring is worth, on planted data of MOSI's size.

    make effects                    all of it: some 15 minutes of one core
    make effects ARGS=--workers=4   more runs at a time

Writes data/results/effects/protocol.csv, which nbs/explanations/published_numbers.ipynb shows: a
row per run and way of choosing the epoch, with weighted F1 in points per subset of modalities,
right and with its arguments swapped (columns `swapped_*`).

A run is a method on one of five planted sets (each with training, validation and test samples of
its own), trained for 20 epochs. `chosen`: the epoch that is best on `valid` (mean over subsets and
rates, as `fit` chooses), on `test` (avg6), or another one for `each` subset, on test. `variant`:
what is done in another way than in `ours`; see VARIANTS.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from fsrf.core import commit, find_root, seeded, write_atomic
from fsrf.data import load_dataset
from fsrf.evaluation import Sweep, score_table
from fsrf.methods import build
from fsrf.missing import MRMLaw, inter_conditions, subset_label, views, zero_missing
from fsrf.training import TrainConfig, fit

FILE = "data/results/effects/protocol.csv"
METHODS = ("plain_mrm", "corrkd", "fsrf")
DRAWS, SEEDS, EPOCHS = range(5), range(5), 20
SIZES = "sizes=[1284,229,686]"
VECTORS = "synthetic-quick?" + SIZES + "&lengths=[1,1,1]&seed={draw}"
FRAMES = "synthetic-quick?" + SIZES + "&lengths=[4,4,4]&seed={draw}"


def subsets_law(weights: list[float]) -> Callable:
    "Views whose subset of modalities is drawn by these weights: of number 1, 2, .., read as bits."

    def law(batch, generator, n):
        number = 1 + torch.multinomial(
            torch.tensor(weights), n * len(batch), True, generator=generator
        )
        observed = {}
        for i, (m, seen) in enumerate(batch.observed.items()):
            observed[m] = seen.repeat(n, 1) & (number[:, None] >> i & 1).bool()
        return zero_missing(batch, observed, n)

    return law


def frames_law(**fields: object) -> Callable:
    "Views by `MRMLaw` with these fields."
    return lambda batch, generator, n: views(batch, MRMLaw(**fields), generator, n)


@dataclass(frozen=True)
class Variant:
    "A way of measuring: on which sets, of which methods and seeds, and what differs from `ours`."

    sets: str = VECTORS
    methods: tuple = METHODS
    seeds: tuple = (0,)
    law: Callable | None = None  # how training draws its views; None: as the methods do
    centre: float = 0.0  # mean of each feature, in its standard deviations: missing ones are zeros
    average: float = 0.0  # epochs over which weights are averaged; public code keeps the last step


KEPT = [bin(number).count("1") for number in range(1, 8)]  # modalities in subset 1, 2, .., 7
PLAIN = ("plain_mrm",)
VARIANTS = {
    "ours": Variant(seeds=tuple(SEEDS)),
    "law: never complete": Variant(law=subsets_law([1.0] * 6 + [0.0])),
    "law: each goes one time in five": Variant(
        law=subsets_law([0.8**k * 0.2 ** (3 - k) for k in KEPT])
    ),
    "missing is one std off": Variant(centre=1.0),
    "three of four positive": Variant(sets=VECTORS + "&balance=0.75"),
    "weights averaged": Variant(average=2.0, seeds=tuple(SEEDS), methods=PLAIN),
    "sequences": Variant(sets=FRAMES, methods=PLAIN),
    "sequences, law: no frames go": Variant(
        sets=FRAMES, methods=PLAIN, law=frames_law(p_frames=0.0)
    ),
    "sequences, law: only frames go": Variant(
        sets=FRAMES, methods=PLAIN, law=frames_law(p_frames=1.0, subset="all")
    ),
}


def watched(method, law: Callable | None, look: Callable):
    "The same network; `look` is called with it, averaged, before training and after each epoch."
    own = type(method)

    def settle(self, train, unlabelled=None):
        own.settle(self, train, unlabelled)
        look(self)

    def incomplete(self, batch, generator, n=1):
        return law(batch, generator, n)

    changes = dict(settle=settle) | (dict(incomplete=incomplete) if law else {})
    method.__class__ = type(own.__name__, (own,), changes)
    return method


def parts_of(name: str, centre: float) -> dict:
    "The parts of a set, standardised, with each feature's mean moved away from zero."
    parts = load_dataset(name).parts()
    if not centre:
        return parts

    def moved(ds):
        here = {m: np.arange(x.shape[1]) < ds.length[m][:, None] for m, x in ds.x.items()}
        x = {m: x + np.float32(centre) * here[m][..., None] for m, x in ds.x.items()}
        return dataclasses.replace(ds, x=x)

    return {part: moved(ds) for part, ds in parts.items()}


def epoch_scores(parts: dict, method: str, variant: Variant, seed: int, epochs: int) -> tuple:
    "Train: the validation score of each epoch (E,), and test F1, right and swapped, (2, E, C)."
    test = parts["test"]
    names = test.spec.names
    sweep = Sweep(test, inter_conditions(names), split="test")
    seen = []

    def look(network):
        table = score_table(test.task, y_true=test.y, logits=sweep.logits(network).numpy())
        seen.append([table["f1_weighted"], table["f1_swapped_legacy"]])

    with seeded("init", seed):
        network = build(method, dict(layers=1), test.spec)
    how = TrainConfig(epochs=epochs, least=epochs, patience=epochs, average=variant.average)
    history = fit(
        watched(network, variant.law, look),
        parts["train"],
        parts["valid"],
        how,
        seed=seed,
        device="cpu",
        progress=False,
    )
    labels = [subset_label(c.subset, names) for c in sweep.conditions]
    return np.array([h["valid"] for h in history]), np.array(seen[1:]).swapaxes(0, 1), labels


def chosen_rows(valid: np.ndarray, test: np.ndarray, labels: list[str]) -> list[dict]:
    "A row per way of choosing the epoch: F1 in points, right and swapped."
    whole = int(np.argmax([len(label) for label in labels]))
    avg6 = np.delete(test, whole, axis=2).mean(2)
    every, rows = np.arange(len(labels)), []
    for scored, part in zip(("", "swapped_"), (0, 1), strict=True):
        epochs = dict(valid=valid.argmax(), test=avg6[part].argmax(), each=test[part].argmax(0))
        for chosen, epoch in epochs.items():
            values = 100 * test[part][epoch, every]
            rows.append(
                dict(chosen=chosen)
                | {scored + label: v for label, v in zip(labels, values, strict=True)}
            )
    return [right | swapped for right, swapped in zip(rows[:3], rows[3:], strict=True)]


def run(job: tuple) -> pd.DataFrame:
    "The rows of one run; `job`: variant, number of the planted set, method, seed, epochs."
    label, draw, method, seed, epochs = job
    torch.set_num_threads(1)
    start, variant = time.process_time(), VARIANTS[label]
    name = variant.sets.format(draw=draw)
    scores = epoch_scores(parts_of(name, variant.centre), method, variant, seed, epochs)
    rows = pd.DataFrame(chosen_rows(*scores))
    about = dict(variant=label, draw=draw, method=method, seed=seed)
    for place, (column, value) in enumerate(about.items()):
        rows.insert(place, column, value)
    seconds = time.process_time() - start
    print(*about.values(), f"{seconds:.0f} s", flush=True)
    return rows.assign(dataset=name, data_sha256=load_dataset(name).sha256, seconds=seconds)


def jobs() -> list[tuple]:
    "All runs."
    return [
        (label, draw, method, seed, EPOCHS)
        for label, v in VARIANTS.items()
        for method in v.methods
        for seed in v.seeds
        for draw in DRAWS
    ]


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--workers", type=int, default=2)
    a = p.parse_args()
    code = commit()
    with ProcessPoolExecutor(a.workers) as pool:
        rows = pd.concat(list(pool.map(run, jobs())), ignore_index=True)
    seconds = rows[rows.chosen == "valid"].seconds.sum()
    print(f"{len(jobs())} runs, {seconds / 60:.1f} minutes of one core")
    text = rows.assign(commit=code).to_csv(index=False, float_format="%.5g")
    write_atomic(find_root() / FILE, text)


if __name__ == "__main__":
    main()
