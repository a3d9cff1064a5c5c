"""The same search budget for every method, on validation only.

    python tools/tune.py --dataset NAME[,NAME] [--methods ...] [--trials 6] [--workers 2]

Trial 0 of a method is its defaults; the others are drawn from SHARED and from the method's own SPACES. A trial trains on the
folds (or the published split) with a seed that no reported run uses, and its value is the validation score of the chosen epochs;
test parts are never built. Writes data/tuning/trials.csv (every trial) and data/tuning/tuned.json (the best settings per
data set, which `fsrf reproduce --tuned data/tuning/tuned.json` takes). A second call does only what is missing.
"""
import argparse, concurrent.futures as cf, itertools, json, multiprocessing, os
for v in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'): os.environ[v] = '1'
import numpy as np, pandas as pd
from fsrf.core import canonical_json, find_root, seeded, stable_seed, write_atomic, write_json
from fsrf.data import load_dataset
from fsrf.method import build
from fsrf.run import load_all
from fsrf.train import TrainConfig, fit
from tqdm.auto import tqdm

SEED = 1000          # reported runs use 0, 1, 2, ...
SHARED = dict(lr=(5e-4, 1e-3, 2e-3), regularisation=((.3, .2), (.5, .4)))      # regularisation: dropout, input_dropout
FSRF = dict(dhf=(.1, .3, 1.), das=(.1, .3, 1.), factor_task=(.2, .5, 1.))
SPACES = dict(fsrf=FSRF, fsrf_recover=FSRF, corrkd=dict(margin=(1., 1.2, 1.4), scd=(.1, .3, 1.), cpd=(.1, .3, 1.), rcd=(.1, .3, 1.)),
              plain_mrm=dict(frame_drop=(.3, .5, .7)), complete={})
# Steps per epoch differ by a factor of twenty between the sets. Sequences cost ten times what vectors do: on them every method has
# one Transformer block and fewer epochs. FSRF sees each sample at least twice an epoch, so the others get twice the epochs.
BATCH = {'meld-negpos-minilm': 64, 'meld-3class-minilm': 64, 'ict-mmmo-120': 16, 'mosi-lat': 128, 'meld-negpos-glove': 128, 'meld-3class-glove': 128}
SEQUENCES, TWO_VIEWS = ('ict-mmmo-120', 'mosi-lat', 'meld-negpos-glove', 'meld-3class-glove'), ('fsrf', 'fsrf_recover')
LIKE = {'meld-negpos-glove': 'meld-negpos-minilm', 'meld-3class-glove': 'meld-3class-minilm'}      # the same sentences: not searched again


def frame(method, dataset):
    "{'train': .., 'config': ..} that no trial changes: what the set's size asks for, the same for all methods."
    train, config = dict(batch_size=BATCH[dataset]), {}
    if dataset in SEQUENCES: k = 1 if method in TWO_VIEWS else 2; train |= dict(epochs=30*k, patience=8*k); config |= dict(layers=1)
    return dict(train=train, config=config)


def settings(method, dataset, trial):
    "{'train': .., 'config': ..} of a trial; 0 is the defaults."
    fixed = frame(method, dataset)
    if not trial: return fixed
    rng = np.random.default_rng(stable_seed('tune', method, dataset, trial))
    drawn = {k: v[rng.integers(len(v))] for k, v in {**SHARED, **SPACES[method]}.items()}
    lr, (dropout, input_dropout) = drawn.pop('lr'), drawn.pop('regularisation')
    return dict(train=dict(fixed['train'], lr=lr), config=dict(fixed['config'], **drawn, dropout=dropout, input_dropout=input_dropout))


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
    """{data set: {method: {'train': .., 'config': ..}}}: the trial with the best mean over its folds; '*' goes before it for every
    method. Where a set has folds, the reported runs train anew on training and validation parts."""
    def every(d): return {k: dict(v, refit=load_dataset(d).folds is not None) if k == 'train' else v for k, v in frame('', d).items()}
    out = {d: {'*': every(d)} for d in BATCH}
    for (d, m), t in rows.groupby(['dataset', 'method']):
        best = json.loads(t[t.trial == t.groupby('trial').valid.mean().idxmax()].settings.iloc[0])
        for to in [d, *(k for k, like in LIKE.items() if like == d)]:
            out[to][m] = {k: {**best[k], **v} for k, v in frame(m, to).items()}
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--dataset', required=True); p.add_argument('--methods', default=','.join(SPACES))
    p.add_argument('--trials', type=int, default=6); p.add_argument('--folds', default='0,1,2'); p.add_argument('--workers', type=int, default=2)
    a = p.parse_args()
    folder = find_root()/'data'/'tuning'
    table = folder/'trials.csv'
    rows = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=['dataset', 'method', 'trial'])
    done = set(map(tuple, rows[['dataset', 'method', 'trial']].drop_duplicates().values))
    todo = [t for t in itertools.product(a.dataset.split(','), a.methods.split(','), range(a.trials)) if (t[0], t[1], t[2]) not in done]
    folds = tuple(map(int, a.folds.split(',')))
    with cf.ProcessPoolExecutor(a.workers, mp_context=multiprocessing.get_context('spawn')) as pool:
        futures = [pool.submit(run_trial, m, d, t, folds) for d, m, t in todo]
        for f in tqdm(cf.as_completed(futures), total=len(futures), unit='trial'):
            rows = pd.concat([rows, pd.DataFrame(f.result())]).sort_values(['dataset', 'method', 'trial', 'fold'])
            write_atomic(table, rows.to_csv(index=False))
    load_all()
    write_json(folder/'tuned.json', choose(rows))
    print(rows.groupby(['dataset', 'method', 'trial']).valid.mean().unstack().round(4).to_string())


if __name__ == '__main__': main()
