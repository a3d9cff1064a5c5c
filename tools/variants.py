"""What each form of FSRF is worth on validation: the search from which its form was chosen.

    make variants                                 all folds of three sets, two repeats
    make variants ARGS="--repeats 5 --workers 4"  goes on where it was cut off
    make variants ARGS=--minutes=30               ends after that time with what is there

Plain-MRM, CorrKD, FSRF's first edition with recovery, FSRF, and FSRF with each of its `ablations`,
all in one setting per set. The test parts are never looked at. A fit is one line in the journal;
delete that file after a change of the code. Writes data/results/search/fsrf_variants.csv, which
nbs/explanations/tried.ipynb shows: a row per set and variant, differences of weighted F1 from
plain-MRM, paired by fold and repeat: the mean over the incomplete subsets (`avg6`, with its
standard error `se` over the `n` pairs), on complete input (`full`), at missing rates (`rates`); and
of `avg6` from FSRF as it stands (`from_fsrf`).
Folds that some variant has no fit of yet do not count, so all variants have the same ones.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fsrf.core import canonical_json, find_root, seeded, write_atomic
from fsrf.data import MultimodalDataset, load_dataset
from fsrf.evaluation import score_many
from fsrf.methods import METHODS, build, method_config
from fsrf.runs import fixed_settings
from fsrf.runs.search import trial_settings
from fsrf.training import TrainConfig, fit, validation_sweep

FILE = "data/results/search/fsrf_variants.csv"
BASE, FSRF = "plain_mrm", "fsrf"
SCORES = ["avg6", "full", "rates"]
# {set: how hard the network is regularised there}
SETS = {"meld-negpos-minilm": "light", "meld-3class-minilm": "strong", "ict-mmmo-120": "light"}
METHODS_BESIDE = (BASE, "corrkd", "fsrf_first_recover", FSRF)
# Where every modality is a vector, these have nothing to change.
OF_SEQUENCES = {"complete", "mask_aware"}


def variants(ds: MultimodalDataset) -> dict[str, tuple[str, dict]]:
    "{name: (method, change of its settings)}, those that can be another form on this set."
    found = {name: (name, {}) for name in METHODS_BESIDE}
    only_vectors = all(m.is_vector for m in ds.spec.modalities)
    for name, change in METHODS[FSRF][0].ablations.items():
        other = method_config(FSRF, change) != method_config(FSRF)
        if other and not (only_vectors and set(change) <= OF_SEQUENCES):
            found[f"{FSRF}, {name}"] = FSRF, change
    return found


def jobs(sets: list[str], repeats: int) -> Iterator[dict]:
    "All fits; a repeat after the other, so that whatever is cut off is balanced."
    folds = max(load_dataset(name).n_folds for name in sets)
    for seed, fold, name in itertools.product(range(repeats), range(folds), sets):
        ds = load_dataset(name)
        if fold >= ds.n_folds:
            continue
        for variant, (method, change) in variants(ds).items():
            regularised = dict(lr=1e-3, regularisation=SETS[name])
            setting = trial_settings(fixed_settings(method, ds), regularised)
            setting["config"] |= change
            about = dict(dataset=name, variant=variant, method=method, fold=fold, seed=seed)
            yield about | dict(setting=setting, data_sha256=ds.sha256)


load_once = cache(load_dataset)


def made(job: dict) -> dict:
    "A fit, and its scores on validation."
    start = time.monotonic()
    ds, seed = load_once(job["dataset"]), job["seed"]
    parts = ds.parts(job["fold"], seed % ds.n_repeats)
    with seeded("init", seed, job["fold"]):
        net = build(job["method"], job["setting"]["config"], ds.spec)
    config = TrainConfig(**job["setting"]["train"])
    fit(net, parts["train"], parts["valid"], config, seed=seed, device="cpu", progress=False)
    sweep = validation_sweep(parts["valid"], config)
    logits = sweep.logits(net).float().numpy()
    scores = score_many(ds.task, y_true=parts["valid"].y, logits=logits)
    inter = np.array([c.protocol == "inter" for c in sweep.conditions])
    *subsets, full = scores[inter]  # the complete input is the last of the subsets
    found = dict(avg6=np.mean(subsets), full=full, rates=scores[~inter].mean())
    return {k: float(v) for k, v in found.items()} | dict(seconds=time.monotonic() - start)


def key(job: dict) -> str:
    "What a fit is known by in the journal."
    return canonical_json(job)


def read_journal(path: Path) -> dict[str, dict]:
    "{key: scores} of the fits that are done; a line that was cut off counts for nothing."
    done = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        done[key(entry["job"])] = entry["scores"]
    return done


def run(todo: list[dict], journal: Path, workers: int, seconds: float) -> None:
    "Make fits and write each down, until all are done or the time is up."
    start = time.monotonic()
    queue = iter(todo)
    with (
        ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        journal.open("a") as out,
    ):
        open_fits = {pool.submit(made, job): job for job in itertools.islice(queue, workers)}
        while open_fits:
            future = next(as_completed(open_fits))
            job = open_fits.pop(future)
            print(json.dumps(dict(job=job, scores=future.result())), file=out, flush=True)
            if time.monotonic() - start < seconds and (job := next(queue, None)):
                open_fits[pool.submit(made, job)] = job


def gains(wide: pd.DataFrame, variant: str, other: str) -> pd.DataFrame:
    "Differences of a variant from another one: a row per fold and repeat, a column per score."
    return pd.DataFrame({score: wide[score][variant] - wide[score][other] for score in SCORES})


def table(wanted: list[dict], done: dict[str, dict]) -> pd.DataFrame:
    "A row per set and variant, from the fits that are done."
    rows = pd.DataFrame([job | done[key(job)] for job in wanted if key(job) in done])
    lines = []
    if not len(rows):
        return rows
    for name, found in rows.groupby("dataset", sort=False):
        wide = found.pivot(index=["fold", "seed"], columns="variant", values=SCORES)
        names = list(variants(load_once(name)))
        wide = wide.dropna() if set(names) <= set(found.variant) else wide.iloc[:0]
        for variant in names if len(wide) > 1 else ():
            line = dict(dataset=name, variant=variant, n=len(wide))
            line["level"] = wide["avg6"][variant].mean()
            gain = gains(wide, variant, BASE)
            line |= dict(gain.mean(), se=gain.avg6.sem())
            own = gains(wide, variant, FSRF).avg6
            line |= dict(from_fsrf=own.mean(), from_fsrf_se=own.sem())
            lines.append(line | dict(data_sha256=found.data_sha256.iloc[0]))
    return pd.DataFrame(lines)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--sets", help=f"default: {','.join(SETS)}")
    p.add_argument("--repeats", type=int, default=2, help="seeds, and draws of the folds")
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--minutes", type=float, default=float("inf"), help="no fit begins after them")
    p.add_argument("--journal", default="runs/variants/journal.jsonl")
    a = p.parse_args()
    sets = a.sets.split(",") if a.sets else list(SETS)
    if unknown := set(sets) - set(SETS):
        sys.exit(f"no setting for {', '.join(unknown)}; there are {', '.join(SETS)}")
    journal = find_root() / a.journal
    journal.parent.mkdir(parents=True, exist_ok=True)
    wanted = list(jobs(sets, a.repeats))
    done = read_journal(journal)
    todo = [job for job in wanted if key(job) not in done]
    print(f"{len(wanted)} fits, {len(todo)} to do", flush=True)
    run(todo, journal, a.workers, 60 * a.minutes)
    rows = table(wanted, read_journal(journal))
    if not len(rows):
        sys.exit("too little for a table: no two folds of a set have all variants yet")
    write_atomic(find_root() / FILE, rows.to_csv(index=False, float_format="%.6g"))
    print(f"{FILE}: {len(rows)} rows, {rows.groupby('dataset').n.first().to_dict()} pairs each")


if __name__ == "__main__":
    main()
