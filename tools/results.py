"""The committed rows, from nothing: on each set all methods that were searched there, with the chosen settings, and the floors.

    make results                           (FSRF_DATA must point to the development sets; goes on where it was cut off)
    make results ARGS="--ablation fsrf"   a method with its chosen settings, and each of its `ablations` over them: data/results/ablation/fsrf/
    make results ARGS=--map                FSRF and plain-MRM, both with their defaults, on sets planted for it: data/results/map/

Writes data/results/<data set>.csv.gz, a file of rows per data set. `make figures` makes the tables and figures of them.
"""
import argparse, functools, gzip, io, itertools, sys
import pandas as pd
from fsrf.core import find_root, read_json, write_atomic
from fsrf import runs
from fsrf.runs.cluster import Executor
from fsrf.methods.base import METHODS, method_config
from fsrf.report.table import headline
from fsrf.runs.search import fixed_settings
from fsrf.data.synthetic import PRESETS

SEEDED = ('language_only',)     # beside all that were searched on a set
EVALUATION = dict(evaluation=dict(rates=[*(i/10 for i in range(10)), .95, 1.]))      # .95: the far end, where the paper says that it is weak
ONCE = ('majority', 'ridge', 'ridge_subset', 'zero_input')      # the first three know no seed, only the folds' repetition
ABLATED = ('meld-negpos-minilm', 'meld-3class-minilm', 'ict-mmmo-120', 'mosi-lat', 'synthetic-redundant', 'synthetic-complementary', 'synthetic-noisy')
# The map: how much of the label is shared, against three levels of nuisance and noise. Each seed plants a set of its own, so that the
# intervals hold for sets of that kind and not for one draw; 1000 test items, so that they are not the test's own noise.
MAP_METHODS, SHARED, LEVELS = ('fsrf', 'plain_mrm'), (.05, .35, .65, .95), ((.3, .2), (1., .5), (3., .8))
PLANTED = 'synthetic-quick?sizes=[480,160,1000]&label_shared={}&nuisance={}&noise={}&seed={}'


def packed(rows):
    "CSV, gzipped without a time stamp, so that the same rows make the same bytes; values with six digits."
    text, out = rows.to_csv(index=False, float_format='%.6g'), io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode='wb', mtime=0) as f: f.write(text.encode())
    return out.getvalue()


def write_rows(rows, *path):
    path = write_atomic(find_root()/'data'/'results'/'/'.join(path), packed(rows))
    print(f'{path.relative_to(find_root())}: {len(rows)} rows, {path.stat().st_size/1e3:.0f} kB', flush=True)


def rows_of(parts, out, submit):
    """Rows of [(label or None, specs, ids)], made as one queue: what a table of differences reads, the label as the method's name.
    Beside them the failed outcomes."""
    runs.make_folder(out)
    ids = [i for _, _, some in parts for i in some]
    made = runs.run_all([s for _, specs, _ in parts for s in specs], ids, out, submit=submit)
    failed = {o.id: o for o in made if o.status == 'failed'}
    found = []
    for label, _, ids in parts:
        if good := [i for i in ids if i not in failed]:
            rows = runs.collect(out, good)
            rows = rows[rows.protocol.isin(['inter', 'intra']) & rows.metric.isin([headline(rows), 'constant_prediction'])]
            found.append(rows.assign(method=label) if label else rows)
    if not found: sys.exit('every run failed:\n' + '\n'.join(map(str, failed.values())))
    return pd.concat(found, ignore_index=True), list(failed.values())


def seeds_of(name, seeds): return list(range(seeds or (3 if name in PRESETS else 5)))


def main_rows(name, seeds, out, tuned, submit, methods=None):
    "A file of all methods (or of some) on a data set; returns what failed."
    repeats = runs.cached_dataset(name).n_repeats
    made = [o for some, s in (([*(m for m in tuned[name] if m != '*' and m in (methods or tuned[name])), *SEEDED], seeds), (ONCE, seeds[:repeats]))
            for o in runs.reproduce([name], list(some), s, out, tuned=tuned, settings=EVALUATION, submit=submit)]
    rows = runs.collect(out, [o.id for o in made if o.status != 'failed'])
    write_rows(rows.sort_values(['method', 'seed', 'fold'], kind='stable'), f'{name}.csv.gz')
    return [o for o in made if o.status == 'failed']


def ablation_rows(name, seeds, out, tuned, submit, method, only=None):
    "A file of a method and its ablations (or `only` some) on a data set; returns what failed."
    _, own = runs.tuned_for(tuned, name, method)
    full = method_config(method, own)
    changes = {'full': {}} | {k: c for k, c in METHODS[method][0].ablations.items()
                               if method_config(method, own | c) != full and (not only or k in only)}      # one that is its own form is no ablation
    parts = [(k, *runs.plan([name], [method], seeds, tuned=tuned, settings={method: c, **EVALUATION})) for k, c in changes.items()]
    rows, failed = rows_of(parts, out, submit)
    write_rows(rows, 'ablation', method, f'{name}.csv.gz')
    return failed


def map_rows(seeds, shared, levels, out, submit):
    "The file of the map; returns what failed."
    parts = []
    for level, s, seed in itertools.product(levels, shared, seeds):
        name = PLANTED.format(s, *level, seed)
        settings = {name: {m: fixed_settings(m, runs.cached_dataset(name)) for m in MAP_METHODS}}
        parts.append((None, *runs.plan([name], list(MAP_METHODS), [seed], tuned=settings, settings=EVALUATION)))
    rows, failed = rows_of(parts, out, submit)
    write_rows(rows, 'map', f'{PLANTED.partition("?")[0]}.csv.gz')
    return failed


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--methods', help='default: all that were searched on the set')
    p.add_argument('--sets', help='default: all that were searched'); p.add_argument('--seeds', type=int, help='default: 5, on synthetic sets 3'); p.add_argument('--workers', type=int); p.add_argument('--cluster')
    p.add_argument('--out', default='runs/results')
    p.add_argument('--ablation', metavar='METHOD', help=f'default sets: {", ".join(ABLATED)}')
    p.add_argument('--changes', help='of the ablation, only these, parted by semicolons'); p.add_argument('--map', action='store_true')
    p.add_argument('--shared', help=f'of the map, label_shared (default: {SHARED})'); p.add_argument('--level', type=int, help='of the map, only this level of noise (0, 1, 2)')
    a = p.parse_args()
    root, bad = find_root(), []
    tuned, out = read_json(root/'data'/'results'/'tuned.json'), (root/a.out).resolve()
    sets = [] if a.map else a.sets.split(',') if a.sets else list(ABLATED if a.ablation else tuned)
    if unsearched := [d for d in sets if d not in tuned]: sys.exit(f'not searched yet: {", ".join(unsearched)}; make tune comes first, or name the others with --sets')
    only = a.changes and a.changes.split(';')
    known = {m: c.ablations for m, (c, _) in METHODS.items() if c.ablations}
    if a.ablation and a.ablation not in known: sys.exit(f'no ablations of {a.ablation!r}: choose one of {", ".join(known)}')
    if unknown := set(only or ()) - set(known.get(a.ablation, ())): sys.exit(f'no such changes: {", ".join(unknown)}; known: {"; ".join(known.get(a.ablation, ()))}')
    with Executor(a.cluster, workers=a.workers, device='auto') as pool:
        make = functools.partial(ablation_rows, method=a.ablation, only=only) if a.ablation else functools.partial(main_rows, methods=a.methods and a.methods.split(','))
        for name in sets: bad += make(name, seeds_of(name, a.seeds), out, tuned, pool.submit)
        if a.map:
            shared = [float(s) for s in a.shared.split(',')] if a.shared else SHARED
            bad += map_rows(range(a.seeds or 3), shared, LEVELS if a.level is None else LEVELS[a.level:a.level+1], out, pool.submit)
    if bad: sys.exit(f'{len(bad)} runs failed:\n' + '\n'.join(map(str, bad)))


if __name__ == '__main__': main()
