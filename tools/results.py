"""The committed rows and figures, from nothing: the grid on the embedded and the development sets, with the tuned settings.

    make results        (FSRF_DATA must point to the development sets; about 25 minutes for each of the first four sets, on 2 cores; goes on where it was cut off)

Writes data/results/<data set>.csv.gz, a file of rows per data set. `make figures` makes the tables and figures of them.
"""
import argparse, gzip, io, sys
from fsrf.core import find_root, read_json, write_atomic
from fsrf import run
from fsrf.cluster import Executor

SETS = ('meld-negpos-minilm', 'meld-3class-minilm', 'ict-mmmo-120', 'mosi-lat', 'meld-negpos-glove', 'meld-3class-glove')      # the last two: after their search
SEEDED = ('fsrf', 'fsrf_recover', 'corrkd', 'plain_mrm', 'complete', 'language_only')
ONCE = ('majority', 'ridge', 'ridge_subset', 'zero_input')      # the first three know no seed, only the folds' repetition


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
    tuned = read_json(root/'data'/'results'/'tuned.json')
    if unsearched := [d for d in a.sets.split(',') if d not in tuned]: sys.exit(f'not searched yet: {", ".join(unsearched)}; make tune comes first, or name the others with --sets')
    run.load_all()
    with Executor(a.cluster, workers=a.workers, device='auto') as pool:
        for name in a.sets.split(','):
            seeds, repeats = list(range(a.seeds)), run.n_repeats(run.dataset(name))
            made = [o for methods, s in ((SEEDED, seeds), (ONCE, seeds[:repeats]))
                    for o in run.reproduce([name], list(methods), s, root/a.out, tuned=tuned, submit=pool.submit)]
            bad += [o for o in made if o.status == 'failed']
            rows = run.collect(root/a.out, [o.id for o in made if o.status != 'failed'])
            path = write_atomic(root/'data'/'results'/f'{name}.csv.gz', packed(rows.sort_values(['method', 'seed', 'fold'], kind='stable')))
            print(f'{path.relative_to(root)}: {len(rows)} rows, {path.stat().st_size/1e3:.0f} kB', flush=True)
    if bad: sys.exit(f'{len(bad)} runs failed:\n' + '\n'.join(map(str, bad)))


if __name__ == '__main__': main()
