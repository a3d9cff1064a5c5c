"""What FSRF costs beside plain-MRM, on one batch of MOSI's size: ratios measured in turn in one run.

    make bench                                   prints a table and writes runs/bench.json (flat keys)
    make bench ARGS="--full-grid --keep"         writes data/results/bench.json too, which nbs/explanations/speed.ipynb shows
"""
import argparse, json, platform, statistics
from pathlib import Path
import torch
import bench_grid, bench_seeds, bench_share, bench_store
from fsrf.core import commit, find_root, generator, write_json
from fsrf.training.cost import in_turn, prediction, trained_in_turn, training_step
from fsrf.data.dataset import Batch, DataSpec, ModalitySpec
from fsrf.evaluation.evaluate import EvalConfig
from fsrf.evaluation.sweep import Sweep
from fsrf.methods.base import load_methods, n_parameters
from fsrf.missing.conditions import inter_conditions
from fsrf.data.synthetic import SyntheticConfig, make_synthetic

MOSI = dict(language=300, audio=74, visual=35)


def batch_of(n, frames):
    g = generator('bench')
    return Batch({m: torch.randn(n, frames, d, generator=g) for m, d in MOSI.items()}, {m: torch.full((n,), frames) for m in MOSI},
                 torch.randint(0, 2, (n,), generator=g), torch.arange(n))


def network(name, config=None, frames=50):
    "A method for batches of MOSI's size, with a teacher where it has one."
    spec = DataSpec(tuple(ModalitySpec(m, d, frames) for m, d in MOSI.items()), 'binary', 2)
    return trained_in_turn(name, spec, config)[0]


def medians(functions, rounds):
    "Median seconds of each function, all of them once per round: a slow spell of the machine meets them alike."
    return {k: statistics.median(v) for k, v in in_turn(functions, rounds, warm=2).items()}


def processor():
    "The processor's name."
    try: return next(line.split(':', 1)[1].strip() for line in Path('/proc/cpuinfo').read_text().splitlines() if line.startswith('model name'))
    except (OSError, StopIteration): return platform.processor() or platform.machine()


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--rounds', type=int, default=15); p.add_argument('--batch', type=int, default=128); p.add_argument('--frames', type=int, default=50)
    p.add_argument('--no-store', action='store_false', dest='store', help='leave out the store of a MOSEI-sized set (four minutes, 4 GB of disk)')
    p.add_argument('--no-grid', action='store_false', dest='grid', help='leave out what a papermill run costs beside its training (two minutes)')
    p.add_argument('--full-grid', action='store_true', help='the grid at its full size: 40 runs of 20 s on 2 workers')
    p.add_argument('--keep', action='store_true', help='write data/results/bench.json too')
    a = p.parse_args()
    torch.set_num_threads(1)
    load_methods()
    batch, names = batch_of(a.batch, a.frames), ('plain_mrm', 'fsrf', 'fsrf_recover', 'corrkd')
    nets = {n: network(n, frames=a.frames) for n in names}
    train = medians({n: training_step(m.train(), batch) for n, m in nets.items()}, a.rounds)
    infer = medians({n: prediction(m.eval(), batch) for n, m in nets.items()}, a.rounds)
    out = {}
    print(f'{"":14}{"parameters":>12}{"step ms":>10}{"x plain":>9}{"predict ms":>12}{"x plain":>9}   batch {a.batch}, {a.frames} frames, 300+74+35 dims, 1 thread')
    for n in names:
        out[f'train_step_{n}_over_plain'], out[f'inference_{n}_over_plain'] = train[n]/train['plain_mrm'], infer[n]/infer['plain_mrm']
        print(f'{n:14}{n_parameters(nets[n]):12,}{1e3*train[n]:10.1f}{out[f"train_step_{n}_over_plain"]:9.2f}'
              f'{1e3*infer[n]:12.1f}{out[f"inference_{n}_over_plain"]:9.2f}')
    test = make_synthetic(SyntheticConfig(sizes=(2, 2, 686))).parts(scale=False)['test']
    plain, everything = nets['plain_mrm'], EvalConfig().conditions(test.spec.names)
    sweeps = {'forward': prediction(plain, test.batch())}
    for k, c in (('subsets', inter_conditions(test.spec.names)), ('all', everything)):
        s = Sweep(test, c, split='test'); sweeps[k] = lambda s=s: s.logits(plain)
    t = medians(sweeps, 2)
    out |= dict(sweep_subsets_in_forwards=t['subsets']/t['forward'], sweep_cost_in_forwards=t['all']/t['forward'])
    print(f'\n7 subsets cost {out["sweep_subsets_in_forwards"]:.1f}, all {len(everything)} conditions {out["sweep_cost_in_forwards"]:.1f} plain forward passes over 686 samples')
    out |= bench_share.bench(network, batch_of(128, 50))
    out |= bench_seeds.bench()
    if a.store: out |= bench_store.bench()   # open_mosei_s, open_mosei_rss_mb, ...
    if a.grid: out |= bench_grid.grid_bench(full=a.full_grid)   # papermill_overhead_s, grid_efficiency
    out = {k: round(v, 3) for k, v in out.items()} | dict(processor=processor(), torch=torch.__version__, commit=commit())
    for folder in ('runs', 'data/results')[:1 + a.keep]: path = write_json(Path(find_root())/folder/'bench.json', out)
    print(f'{path.relative_to(find_root())}: {json.dumps(out)}')


if __name__ == '__main__': main()
