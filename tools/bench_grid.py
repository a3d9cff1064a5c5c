"""What a papermill run costs beside its training, and how much of a grid's time is training.

    python tools/bench_grid.py [--full]        (part of `make bench`)

`papermill_overhead_s`: the median, over the runs of a worker that is warm, of a whole run's seconds less its training's: kernel,
papermill, evaluation, tables and figures. `grid_efficiency`: sum of training times / (workers x wall), start of the cluster included.
"""
import argparse, json, statistics, tempfile, time
from pathlib import Path
from fsrf.core import read_json

FEW = dict(evaluation=dict(rates=[0., .5], mask_seeds=[0]))


def trained(outcome): return sum(f['seconds'] for f in read_json(Path(outcome.path)/'history.json'))


def grid_bench(*, full=False, workers=2, where=None):
    "The two numbers, from a real grid: 40 runs of 20 s if `full`, else 8 of about 8 s."
    runs, seconds = (40, 20.) if full else (8, 8.)
    with tempfile.TemporaryDirectory() as d:
        def make(out, seeds, epochs):
            train = dict(epochs=epochs, patience=epochs)
            return runs.reproduce(['synthetic-quick'], ['plain_mrm'], seeds, f'{d}/{out}', workers=workers, device='cpu', progress=where != '',
                                 settings=dict(FEW, train=train))
        # how many epochs take that long, with as many runs beside each other as the grid has; a run's first epochs are its slowest
        probe = make('probe', list(range(workers)), 40)
        epoch = statistics.mean(trained(o) for o in probe)/40
        start = time.perf_counter()
        made = make('grid', list(range(100, 100 + runs)), max(1, round(seconds/epoch)))
        wall = time.perf_counter() - start
        if bad := [o for o in made if o.status != 'done']: raise RuntimeError(str(bad[0]))
        training = [trained(o) for o in made]
        out = dict(papermill_overhead_s=statistics.median(o.seconds - t for o, t in zip(made, training)), grid_efficiency=sum(training)/(workers*wall))
    print(f'{runs} runs of {statistics.mean(training):.1f} s on {workers} workers in {wall:.0f} s: {out["papermill_overhead_s"]:.2f} s beside the training, '
          f'{100*out["grid_efficiency"]:.0f} % of the time is training')
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--full', action='store_true'); p.add_argument('--workers', type=int, default=2)
    a = p.parse_args()
    print(json.dumps(grid_bench(full=a.full, workers=a.workers)))


if __name__ == '__main__': main()
