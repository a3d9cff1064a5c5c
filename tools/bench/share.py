"""What share of this machine's matrix-multiplication rate a step reaches, how FSRF compares with
MulT, and what training holds in memory.

    python tools/bench/share.py        (part of `make bench`)

The share: every product that a step makes is written down by its size (matrix products,
convolutions as the products that they are, attention as its two, or in the gradient its five),
each size is timed alone with torch.matmul, and the sum is divided by the step's time. What is left
of 1 goes to everything that is no product: normalisation, activations, dropout, masks, the
optimiser, Python.
"""

import collections
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from sizes import batch_of, network
from torch.utils._python_dispatch import TorchDispatchMode

from fsrf.methods.mult import PUBLISHED
from fsrf.training.cost import prediction, training_step

ATTENTION = {
    "_scaled_dot_product_flash_attention_for_cpu": 2,
    "_scaled_dot_product_flash_attention_for_cpu_backward": 5,
}


class Products(TorchDispatchMode):
    "While it is open: counts the products by size, {(batch, rows, inner, columns): number}."

    def __init__(self):
        super().__init__()
        self.sizes = collections.Counter()

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        name = op.overloadpacket.__name__
        if name in ("mm", "addmm"):
            a, b = args[-2:]
            self.sizes[1, *a.shape, b.shape[1]] += 1
        elif name in ("bmm", "baddbmm"):
            a, b = args[-2:]
            self.sizes[*a.shape, b.shape[2]] += 1
        elif name == "convolution":
            x, w = args[:2]
            self.count_convolution(x, w, 1)
        elif name == "convolution_backward":
            _, x, w = args[:3]
            to_input, to_weight, _ = args[-1]
            self.count_convolution(x, w, to_input + to_weight)
        elif name in ATTENTION:
            q = args[name.endswith("backward")]
            b, h, t, d = q.shape
            self.sizes[b * h, t, d, t] += ATTENTION[name]
        return op(*args, **(kwargs or {}))

    def count_convolution(self, x, w, times):
        "A convolution as one product: its frames are the rows."
        self.sizes[1, len(x) * x.shape[2], w.shape[1] * w.shape[2], len(w)] += times


def seconds(f: Callable, rounds: int = 5) -> float:
    "The quickest of some calls."
    out = []
    for _ in range(rounds):
        start = time.perf_counter()
        f()
        out.append(time.perf_counter() - start)
    return min(out)


def product_time(sizes: dict[tuple, int]) -> tuple[float, float]:
    "Seconds that torch.matmul needs for all of {size: number}, and the operations in them."
    total = work = 0.0
    for (b, m, k, n), times in sizes.items():
        x, y = torch.randn(b, m, k), torch.randn(b, k, n)
        if b == 1:
            x, y = x[0], y[0]
        total += times * seconds(lambda x=x, y=y: torch.matmul(x, y))
        work += times * 2 * b * m * k * n
    return total, work


def share(name: str, step: Callable) -> float:
    "The share of `step` that its products would take alone; prints it."
    step()
    with Products() as seen:
        step()
    alone, work = product_time(seen.sizes)
    took = seconds(step)
    print(
        f"{name:10} {1e3 * took:7.1f} ms, its {sum(seen.sizes.values())} products alone "
        f"{1e3 * alone:7.1f} ms ({work / alone / 1e9:.1f} GFLOP/s): {100 * alone / took:.0f} %"
    )
    return alone / took


PEAK = """
import torch
from sizes import batch_of, held_mb, network
from fsrf.training.cost import training_step
torch.set_num_threads(1)
step = training_step(network("fsrf").train(), batch_of(128, 50))
for _ in range({steps}):
    step()
print(held_mb())
"""


def peak_mb(steps: int = 3) -> float:
    "Peak resident MB of a process that trains FSRF at MOSI's size: torch, library, data and all."
    words = [sys.executable, "-c", PEAK.format(steps=steps)]
    here = Path(__file__).parent
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=here)
    return float(done.stdout.split()[-1])


def bench(n: int = 128, frames: int = 50, rounds: int = 3) -> dict:
    "All keys of this page."
    batch = batch_of(n, frames)
    fsrf, mult = network("fsrf"), network("mult", PUBLISHED)
    print()
    out = {
        "train_share_of_matmul_rate": share("training", training_step(fsrf.train(), batch)),
        "inference_share_of_matmul_rate": share("inference", prediction(fsrf.eval(), batch)),
    }
    # in turn: a slow spell of the machine meets both
    least = dict.fromkeys(
        ("fsrf train", "mult train", "fsrf predict", "mult predict"), float("inf")
    )
    for _ in range(rounds):
        for name, net in (("fsrf", fsrf), ("mult", mult)):
            step = seconds(training_step(net.train(), batch), 2)
            predict = seconds(prediction(net.eval(), batch), 2)
            least[f"{name} train"] = min(step, least[f"{name} train"])
            least[f"{name} predict"] = min(predict, least[f"{name} predict"])
    rate = {name: n / t for name, t in least.items()}
    out |= dict(
        fsrf_samples_per_s=rate["fsrf train"],
        mult_samples_per_s=rate["mult train"],
        fsrf_eval_samples_per_s=rate["fsrf predict"],
        mult_eval_samples_per_s=rate["mult predict"],
        fsrf_over_mult_samples_per_s=rate["fsrf train"] / rate["mult train"],
        fsrf_over_mult_eval_samples_per_s=rate["fsrf predict"] / rate["mult predict"],
        train_peak_mb=peak_mb(),
    )
    print(
        f"samples per second, training: FSRF {rate['fsrf train']:.0f}, MulT at its published size "
        f"{rate['mult train']:.0f} ({out['fsrf_over_mult_samples_per_s']:.1f} x); evaluation: "
        f"{rate['fsrf predict']:.0f}, {rate['mult predict']:.0f} "
        f"({out['fsrf_over_mult_eval_samples_per_s']:.1f} x); "
        f"training FSRF holds {out['train_peak_mb']:.0f} MB at most"
    )
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({k: round(v, 3) for k, v in bench().items()}))
