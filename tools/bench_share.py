"""What share of this machine's matrix-multiplication rate a step reaches, how FSRF stands to MulT, and what training holds in memory.

    python tools/bench_share.py        (part of `make bench`)

The share: every product that a step makes is written down by its size (matrix products, convolutions as the products that they are,
attention as its two, or in the gradient its five), each size is timed alone with torch.matmul, and the sum is divided by the step's time. What is left
of 1 goes to everything that is no product: normalisation, activations, dropout, masks, the optimiser, Python.
"""
import collections, json, subprocess, sys, time
from pathlib import Path
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from fsrf.training.cost import prediction, training_step

ATTENTION = {'_scaled_dot_product_flash_attention_for_cpu': 2, '_scaled_dot_product_flash_attention_for_cpu_backward': 5}


class Products(TorchDispatchMode):
    "While it is open: counts the products by size, {(batch, rows, inner, columns): number}."
    def __init__(self): super().__init__(); self.sizes = collections.Counter()
    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        name = op.overloadpacket.__name__
        if name in ('mm', 'addmm'): a, b = args[-2:]; self.sizes[1, *a.shape, b.shape[1]] += 1
        elif name in ('bmm', 'baddbmm'): a, b = args[-2:]; self.sizes[*a.shape, b.shape[2]] += 1
        elif name == 'convolution': x, w = args[:2]; self.sizes[1, len(x)*x.shape[2], w.shape[1]*w.shape[2], len(w)] += 1
        elif name == 'convolution_backward':
            g, x, w = args[:3]; wanted = args[-1]
            self.sizes[1, len(x)*x.shape[2], w.shape[1]*w.shape[2], len(w)] += wanted[0] + wanted[1]
        elif name in ATTENTION:
            q = args[name.endswith('backward')]
            b, h, t, d = q.shape
            self.sizes[b*h, t, d, t] += ATTENTION[name]
        return op(*args, **(kwargs or {}))


def seconds(f, rounds=5):
    "The quickest of some calls."
    out = []
    for _ in range(rounds): start = time.perf_counter(); f(); out.append(time.perf_counter() - start)
    return min(out)


def product_time(sizes):
    "Seconds that torch.matmul needs for all of {size: number}, and the operations in them."
    total = work = 0.
    for (b, m, k, n), times in sizes.items():
        x, y = torch.randn(b, m, k), torch.randn(b, k, n)
        if b == 1: x, y = x[0], y[0]
        total += times*seconds(lambda x=x, y=y: torch.matmul(x, y)); work += times*2*b*m*k*n
    return total, work


def share(name, step):
    "The share of `step` that its products would take alone; prints where it stands."
    step()
    with Products() as seen: step()
    alone, work = product_time(seen.sizes)
    took = seconds(step)
    print(f'{name:10} {1e3*took:7.1f} ms, its {sum(seen.sizes.values())} products alone {1e3*alone:7.1f} ms ({work/alone/1e9:.1f} GFLOP/s): {100*alone/took:.0f} %')
    return alone/took


def held_mb():
    "The most that this process has held in memory, MB; not ru_maxrss, which starts from what the parent held."
    return int(next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM')).split()[1]) / 1e3


def peak_mb(steps=3):
    "Peak resident MB of a process that trains FSRF at MOSI's size: torch, library, data and all."
    code = ('import torch, bench, bench_share; torch.set_num_threads(1); bench.load_methods(); net, batch = bench.network("fsrf"), bench.batch_of(128, 50); '
            f'step = bench.training_step(net.train(), batch); [step() for _ in range({steps})]; print(bench_share.held_mb())')
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    return float(out.stdout.split()[-1])


def bench(network, batch, rounds=3):
    "All keys of this page. `network(name, config)` makes a method for `batch`."
    from fsrf.methods.mult import PUBLISHED
    out, n = {}, len(batch)
    fsrf, mult = network('fsrf'), network('mult', PUBLISHED)
    print()
    out['train_share_of_matmul_rate'] = share('training', training_step(fsrf.train(), batch))
    out['inference_share_of_matmul_rate'] = share('inference', prediction(fsrf.eval(), batch))
    # in turn: a slow spell of the machine meets both
    pairs = [(seconds(training_step(fsrf.train(), batch), 2), seconds(training_step(mult.train(), batch), 2), seconds(prediction(fsrf.eval(), batch), 2),
              seconds(prediction(mult.eval(), batch), 2)) for _ in range(rounds)]
    a, b, c, d = (min(p) for p in zip(*pairs))
    out |= dict(fsrf_samples_per_s=n/a, mult_samples_per_s=n/b, fsrf_eval_samples_per_s=n/c, mult_eval_samples_per_s=n/d,
                fsrf_over_mult_samples_per_s=b/a, fsrf_over_mult_eval_samples_per_s=d/c, train_peak_mb=peak_mb())
    print(f'samples per second, training: FSRF {n/a:.0f}, MulT at its published size {n/b:.0f} ({b/a:.1f} x); '
          f'evaluation: {n/c:.0f}, {n/d:.0f} ({d/c:.1f} x); training FSRF holds {out["train_peak_mb"]:.0f} MB at most')
    return out


if __name__ == '__main__':
    import bench as b
    torch.set_num_threads(1); b.load_methods()
    print(json.dumps({k: round(v, 3) for k, v in bench(b.network, b.batch_of(128, 50)).items()}))
