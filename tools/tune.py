"""The same search budget for every method, on validation only.

    python tools/tune.py --dataset NAME[,NAME] [--methods ...] [--trials 6] [--workers 2] [--cluster FILE|ADDRESS]

Trial 0 of a method is its defaults; the others are drawn from SHARED and from the method's own SPACES. A trial trains on the
folds (or the published split) with a seed that no reported run uses, and its value is the validation score of the chosen epochs;
test parts are never built. Writes data/tuning/trials.csv (every trial) and data/tuning/tuned.json (the best settings per
data set, which `fsrf reproduce --tuned data/tuning/tuned.json` takes). A second call does only what is missing.
"""
import argparse, concurrent.futures as cf, itertools, json
import numpy as np, pandas as pd
from fsrf.cluster import Executor
from fsrf.core import canonical_json, find_root, read_json, seeded, stable_seed, write_atomic, write_json
from fsrf.data import load_dataset
from fsrf.method import build
from fsrf.run import load_all
from fsrf.train import TrainConfig, fit
from tqdm.auto import tqdm
import tune          # this file by its name: a worker imports what it runs, and cannot import a __main__

SEED = 1000          # reported runs use 0, 1, 2, ...
SHARED = dict(lr=(5e-4, 1e-3, 2e-3), regularisation=((.3, .2), (.5, .4)))      # regularisation: dropout, input_dropout
FSRF = dict(dhf=(.3, 1., 3.), das=(.3, 1., 3.), factor_task=(.2, .5, 1.))
SPACES = dict(fsrf=FSRF, fsrf_recover=FSRF, corrkd=dict(margin=(1., 1.2, 1.4), scd=(.1, .3, 1.), cpd=(.1, .3, 1.), rcd=(.1, .3, 1.)),
              plain_mrm=dict(frame_drop=(.3, .5, .7)), complete={})
# steps per epoch differ by a factor of twenty between the sets; the same for all methods
BATCH = {'ict-mmmo-120': 16, 'mosi-lat': 128, 'mosi-lat-binary': 128, 'mosi-lat-glove': 128, 'meld-3class-glove': 128, 'meld-negpos-glove': 128}


def settings(method, dataset, trial):
    "{'train': .., 'config': ..} of a trial; 0 is the defaults."
    train = dict(batch_size=BATCH.get(dataset, 64))
    if not trial: return dict(train=train, config={})
    rng = np.random.default_rng(stable_seed('tune', method, dataset, trial))
    drawn = {k: v[rng.integers(len(v))] for k, v in {**SHARED, **SPACES[method]}.items()}
    lr, (dropout, input_dropout) = drawn.pop('lr'), drawn.pop('regularisation')
    return dict(train=dict(train, lr=lr), config=dict(drawn, dropout=dropout, input_dropout=input_dropout))


def run_trial(method, dataset, trial, folds):
    "One row per fold."
    import torch
    torch.set_num_threads(1); load_all()
    ds, s, rows = load_dataset(dataset), settings(method, dataset, trial), []
    for f in folds if ds.folds is not None else (0,):
        which = ds.parts(f, scale=True)
        train, valid = which['train'], which['valid']
        with seeded('init', SEED, f): net = build(method, s['config'], ds.spec)
        h = fit(net, train, valid, TrainConfig.from_dict(s['train']), seed=SEED, device='cpu', progress=False)
        best = max(h, key=lambda e: e['valid'])
        rows.append(dict(dataset=dataset, method=method, trial=trial, fold=f, valid=best['valid'], epochs=len(h),
                         seconds=sum(e['seconds'] for e in h), settings=canonical_json(s)))
    return rows


def choose(rows):
    "{data set: {method: {'train': .., 'config': ..}}}: the trial with the best mean over its folds; '*' for every other method."
    out = {d: {'*': settings('', d, 0)} for d in BATCH}
    for (d, m), t in rows.groupby(['dataset', 'method']):
        best = t.groupby('trial').valid.mean().idxmax()
        out.setdefault(d, {'*': settings('', d, 0)})[m] = json.loads(t[t.trial == best].settings.iloc[0])
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--dataset', required=True); p.add_argument('--methods', default=','.join(SPACES))
    p.add_argument('--trials', type=int, default=6); p.add_argument('--folds', default='0,1,2'); p.add_argument('--workers', type=int); p.add_argument('--cluster')
    a = p.parse_args()
    folder = find_root()/'data'/'tuning'
    table = folder/'trials.csv'
    rows = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=['dataset', 'method', 'trial'])
    done = set(map(tuple, rows[['dataset', 'method', 'trial']].drop_duplicates().values))
    todo = [t for t in itertools.product(a.dataset.split(','), a.methods.split(','), range(a.trials)) if (t[0], t[1], t[2]) not in done]
    folds = tuple(map(int, a.folds.split(',')))
    with Executor(a.cluster, workers=a.workers) as pool:
        futures = [pool.submit(tune.run_trial, m, d, t, folds) for d, m, t in todo]
        for f in tqdm(cf.as_completed(futures), total=len(futures), unit='trial'):
            rows = pd.concat([rows, pd.DataFrame(f.result())]).sort_values(['dataset', 'method', 'trial', 'fold'])
            write_atomic(table, rows.to_csv(index=False))
    old = read_json(folder/'tuned.json') if (folder/'tuned.json').exists() else {}
    write_json(folder/'tuned.json', {**old, **choose(rows)})
    print(rows.groupby(['dataset', 'method', 'trial']).valid.mean().unstack().round(4).to_string())


if __name__ == '__main__': main()
