"""How well anybody could do on each planted set, and what plain-MRM reaches there.

    make headroom                              all planted sets: 20 minutes on two cores
    make headroom ARGS="--sets synthetic-few"  some of them; the rows of the others stay

Writes data/results/headroom/planted.csv, which nbs/explanations/headroom.ipynb shows: weighted F1
per set, subset of modalities and `by`: the best that is possible with the activity `known` or
`inferred` (fsrf.evaluation.headroom), on a `population` of new samples and on the set's own `test`
part; and plain-MRM on the test part, three seeds, with its defaults (`plain_mrm`) and with the
settings that `make results` takes for sets of that size (`plain_mrm by size`).
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pandas as pd
import torch

from fsrf.core import find_root, seeded, write_atomic
from fsrf.data import PRESETS, load_dataset
from fsrf.evaluation import Sweep, best_scores, score_many
from fsrf.methods import build
from fsrf.missing import inter_conditions, subset_label
from fsrf.runs import fixed_settings
from fsrf.training import TrainConfig, fit

FILE = "data/results/headroom/planted.csv"
SEEDS = range(3)
DEFAULTS, BY_SIZE = "plain_mrm", "plain_mrm by size"
# A sequence of fifty frames makes inferring its activity, and training, a matter of hours.
LONG = ("synthetic",)


def trained(name: str, by: str, seed: int) -> pd.DataFrame:
    "Weighted F1 per subset, on the test part, of plain-MRM with one of its two settings."
    ds = load_dataset(name)
    own = fixed_settings("plain_mrm", ds) if by == BY_SIZE else dict(config={}, train={})
    parts = ds.parts()
    with seeded("init", seed):
        net = build("plain_mrm", own["config"], ds.spec)
    how = TrainConfig(**own["train"])
    fit(net, parts["train"], parts["valid"], how, seed=seed, device="cpu", progress=False)
    sweep = Sweep(parts["test"], inter_conditions(ds.spec.names), split="test")
    logits = sweep.logits(net.eval()).detach().float().numpy()
    scores = score_many(ds.task, y_true=parts["test"].y, logits=logits)
    labels = [subset_label(c.subset, ds.spec.names) for c in sweep.conditions]
    return pd.DataFrame(dict(subset=labels, by=by, scored_on="test", seed=float(seed), f1=scores))


def rows_of(name: str, items: int) -> pd.DataFrame:
    "All rows of a set."
    torch.set_num_threads(1)
    ds = load_dataset(name)
    activities = ("known",) if name in LONG else ("known", "inferred")
    best = best_scores(ds, items=items, activities=activities).rename(columns=dict(activity="by"))
    made = [best]
    if name not in LONG:
        made += [trained(name, by, seed) for by in (DEFAULTS, BY_SIZE) for seed in SEEDS]
    rows = pd.concat(made, ignore_index=True)
    print(name, len(rows), "rows", flush=True)
    return rows.assign(dataset=name, data_sha256=ds.sha256)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--sets", help="default: all planted sets")
    p.add_argument("--items", type=int, default=2000, help="new samples for the population")
    p.add_argument("--workers", type=int, default=2)
    a = p.parse_args()
    names = a.sets.split(",") if a.sets else list(PRESETS)
    if unknown := set(names) - set(PRESETS):
        sys.exit(f"no planted sets: {', '.join(unknown)}; there are {', '.join(PRESETS)}")
    file = find_root() / FILE
    with ProcessPoolExecutor(a.workers) as pool:
        made = list(pool.map(partial(rows_of, items=a.items), names))
    if file.exists():
        before = pd.read_csv(file)
        made.append(before[before.dataset.isin(set(PRESETS) - set(names))])
    rows = pd.concat(made, ignore_index=True)
    rows["dataset"] = pd.Categorical(rows.dataset, list(PRESETS))
    rows = rows.sort_values("dataset", kind="stable")
    columns = ["dataset", "scored_on", "subset", "by", "seed", "f1", "data_sha256"]
    write_atomic(file, rows[columns].to_csv(index=False, float_format="%.6g"))


if __name__ == "__main__":
    main()
