"""The committed rows, from nothing: on each set all methods that were searched there, with the chosen settings, and the floors.

    make results        (FSRF_DATA must point to the development sets; goes on where it was cut off)

Writes data/results/<data set>.csv.gz, a file of rows per data set. `make figures` makes the tables and figures of them.
"""
import argparse, gzip, io, sys
from fsrf.core import find_root, read_json, write_atomic
from fsrf import run
from fsrf.cluster import Executor
from fsrf.synthetic import PRESETS

SEEDED = ('language_only',)     # beside all that were searched on a set
EVALUATION = dict(evaluation=dict(rates=[*(i/10 for i in range(10)), .95, 1.]))      # .95: the far end, where the paper says that it is weak
ONCE = ('majority', 'ridge', 'ridge_subset', 'zero_input')      # the first three know no seed, only the folds' repetition


def packed(rows):
    "CSV, gzipped without a time stamp, so that the same rows make the same bytes; values with six digits."
    text, out = rows.to_csv(index=False, float_format='%.6g'), io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode='wb', mtime=0) as f: f.write(text.encode())
    return out.getvalue()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--sets', help='default: all that were searched'); p.add_argument('--seeds', type=int, help='default: 5, on synthetic sets 3'); p.add_argument('--workers', type=int); p.add_argument('--cluster')
    p.add_argument('--out', default='runs/results')
    a = p.parse_args()
    root, bad = find_root(), []
    tuned = read_json(root/'data'/'results'/'tuned.json')
    sets = a.sets.split(',') if a.sets else list(tuned)
    if unsearched := [d for d in sets if d not in tuned]: sys.exit(f'not searched yet: {", ".join(unsearched)}; make tune comes first, or name the others with --sets')
    run.load_all()
    with Executor(a.cluster, workers=a.workers, device='auto') as pool:
        for name in sets:
            seeds, repeats = list(range(a.seeds or (3 if name in PRESETS else 5))), run.n_repeats(run.dataset(name))
            made = [o for methods, s in (([*(m for m in tuned[name] if m != '*'), *SEEDED], seeds), (ONCE, seeds[:repeats]))
                    for o in run.reproduce([name], list(methods), s, root/a.out, tuned=tuned, settings=EVALUATION, submit=pool.submit)]
            bad += [o for o in made if o.status == 'failed']
            rows = run.collect(root/a.out, [o.id for o in made if o.status != 'failed'])
            path = write_atomic(root/'data'/'results'/f'{name}.csv.gz', packed(rows.sort_values(['method', 'seed', 'fold'], kind='stable')))
            print(f'{path.relative_to(root)}: {len(rows)} rows, {path.stat().st_size/1e3:.0f} kB', flush=True)
    if bad: sys.exit(f'{len(bad)} runs failed:\n' + '\n'.join(map(str, bad)))


if __name__ == '__main__': main()
