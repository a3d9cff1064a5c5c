"""The committed rows and figures, from nothing: the grid on the embedded and the development sets, with the tuned settings.

    make results        (FSRF_DATA must point to the development sets; about 45 minutes on 2 cores; goes on where it was cut off)

Writes data/results/<data set>.csv.gz, a file of rows per data set. `make figures` makes the tables and figures of them.
"""
import argparse, gzip, io, sys
from fsrf.core import find_root, read_json, write_atomic
from fsrf import run
from fsrf.cluster import Executor

SETS = ('meld-negpos-minilm', 'meld-3class-minilm', 'ict-mmmo-120', 'synthetic-quick', 'mosi-lat', 'meld-negpos-glove', 'meld-3class-glove')
TWO_VIEWS = ('fsrf', 'fsrf_recover')
ONE_VIEW = ('corrkd', 'plain_mrm', 'complete', 'language_only')
ONCE = ('majority', 'ridge', 'ridge_subset', 'zero_input')      # the first three know no seed, only the folds' repetition
# Sequences cost ten times what vectors do: on them every method has one Transformer block and fewer epochs. FSRF sees every
# sample at least twice an epoch, so the others get twice the epochs, or a small set ends their training before it begins.
SHORT = {m: dict(train=dict(epochs=30*k, patience=8*k), config=dict(layers=1)) for k, methods in ((1, TWO_VIEWS), (2, ONE_VIEW + ONCE)) for m in methods}
SEQUENCES = ('ict-mmmo-120', 'mosi-lat', 'meld-negpos-glove', 'meld-3class-glove')
LIKE = {'meld-negpos-glove': 'meld-negpos-minilm', 'meld-3class-glove': 'meld-3class-minilm'}      # whose tuned settings they take
BATCH = {'meld-negpos-glove': 128, 'meld-3class-glove': 128}


def packed(rows):
    "CSV, gzipped without a time stamp, so that the same rows make the same bytes; values with six digits."
    text, out = rows.to_csv(index=False, float_format='%.6g'), io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode='wb', mtime=0) as f: f.write(text.encode())
    return out.getvalue()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--sets', default=','.join(SETS)); p.add_argument('--seeds', type=int, default=5); p.add_argument('--workers', type=int); p.add_argument('--cluster')
    p.add_argument('--out', default='runs/results')
    a = p.parse_args()
    root, bad = find_root(), []
    tuned = read_json(root/'data'/'tuning'/'tuned.json')
    run.load_all()
    with Executor(a.cluster, workers=a.workers, device='auto') as pool:
        for name in a.sets.split(','):
            made, seeds, repeats = [], list(range(a.seeds)), run.n_repeats(run.dataset(name))
            chosen = {name: tuned.get(LIKE.get(name, name), {})}
            for methods, s in ((TWO_VIEWS, seeds), (ONE_VIEW, seeds), (ONCE, seeds[:repeats])):
                settings = {k: dict(v) for k, v in SHORT[methods[0]].items()} if name in SEQUENCES else {}
                if name in BATCH: settings['train']['batch_size'] = BATCH[name]
                made += run.reproduce([name], list(methods), s, root/a.out, settings=settings, tuned=chosen, submit=pool.submit)
            bad += [o for o in made if o.status == 'failed']
            rows = run.collect(root/a.out, [o.id for o in made if o.status != 'failed'])
            path = write_atomic(root/'data'/'results'/f'{name}.csv.gz', packed(rows.sort_values(['method', 'seed', 'fold'], kind='stable')))
            print(f'{path.relative_to(root)}: {len(rows)} rows, {path.stat().st_size/1e3:.0f} kB', flush=True)
    if bad: sys.exit(f'{len(bad)} runs failed:\n' + '\n'.join(map(str, bad)))


if __name__ == '__main__': main()
