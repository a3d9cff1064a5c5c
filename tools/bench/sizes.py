"""What the benches share: batches of MOSI's size, medians of functions called in turn, memory."""

import platform
import resource
import statistics
from collections.abc import Callable
from pathlib import Path

import torch

from fsrf.core import generator
from fsrf.data import Batch, DataSpec, ModalitySpec
from fsrf.methods import Method
from fsrf.runs.estimates import peak_memory
from fsrf.training.cost import in_turn, trained_in_turn

MOSI = dict(language=300, audio=74, visual=35)


def spec_of(sizes: dict[str, tuple[int, int]]) -> DataSpec:
    "A binary task on modalities {name: (width, frames)}."
    modalities = tuple(ModalitySpec(m, width, frames) for m, (width, frames) in sizes.items())
    return DataSpec(modalities, "binary", 2)


def random_batch(sizes: dict[str, tuple[int, int]], n: int, stream: str) -> Batch:
    "n samples of standard normal features, every frame valid."
    g = generator(stream)
    x = {m: torch.randn(n, t, d, generator=g) for m, (d, t) in sizes.items()}
    length = {m: torch.full((n,), t) for m, (_, t) in sizes.items()}
    return Batch(x, length, torch.randint(0, 2, (n,), generator=g), torch.arange(n))


def mosi_sizes(frames: int) -> dict[str, tuple[int, int]]:
    "MOSI's widths, with so many frames."
    return {m: (width, frames) for m, width in MOSI.items()}


def batch_of(n: int, frames: int) -> Batch:
    "A batch of MOSI's widths."
    return random_batch(mosi_sizes(frames), n, "bench")


def network(name: str, config: dict | None = None, frames: int = 50) -> Method:
    "A method for batches of MOSI's size, with a teacher where it has one."
    return trained_in_turn(name, spec_of(mosi_sizes(frames)), config)[0]


def medians(functions: dict[str, Callable], rounds: int) -> dict[str, float]:
    """Median seconds of each function, all of them once per round: a slow spell of the machine
    meets them alike."""
    return {k: statistics.median(v) for k, v in in_turn(functions, rounds, warm=2).items()}


def held_mb() -> float:
    """The most that this process has held in memory, MB; not ru_maxrss, which starts from what the
    parent held."""
    return peak_memory() / 1024e3


def held_now_mb() -> float:
    "What this process holds now, in MB."
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def processor() -> str:
    "The processor's name."
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
