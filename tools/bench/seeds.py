"""Several seeds of one configuration as one stacked model: is that faster than one by one?

    python tools/bench/seeds.py        (part of `make bench`)

The stacked step holds the weights of S networks in tensors with a leading S
(torch.func.stack_module_state), gives each its own view of the batch, and maps the loss over both
(vmap). Its losses and gradients are compared with those of the networks one by one; dropout is off
for that, since a stacked mask cannot repeat S generators' draws.
"""

import copy
import json

import torch
from sizes import medians, random_batch, spec_of
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from fsrf.core import generator, seeded
from fsrf.data import Batch, DataSpec
from fsrf.methods import Method, build, task_loss
from fsrf.missing import MRMLaw, mrm
from fsrf.nn import SequenceEncoder

VECTORS = dict(language=(384, 1), audio=(768, 1), visual=(105, 1))
SEQUENCES = dict(language=(300, 50), audio=(74, 50), visual=(35, 50))
CASES = dict(vectors=(VECTORS, 64), sequences=(SEQUENCES, 128))
SEEDS = (1, 2, 5)
NO_DROPOUT = dict(dropout=0.0, attention_dropout=0.0, input_dropout=0.0)


def networks(spec: DataSpec, k: int) -> list[Method]:
    """k plain networks without dropout, each of its own seed; sequence encoders without the CPU's
    short cut, whose sizes depend on the data."""
    out = []
    for seed in range(k):
        with seeded("seeds", seed):
            net = build("plain_mrm", NO_DROPOUT, spec).train()
        for encoder in net.encoders.values():
            if isinstance(encoder, SequenceEncoder):
                encoder.forward = encoder.encode
        out.append(net)
    return out


def losses_one_by_one(nets: list[Method], views: list[Batch]) -> list[tuple]:
    "[(loss, {name: gradient})]"
    out = []
    for net, view in zip(nets, views, strict=True):
        net.zero_grad(set_to_none=True)
        loss = task_loss(net.spec, net.predict(view), view.y)
        loss.backward()
        out.append((loss.detach(), {k: p.grad for k, p in net.named_parameters()}))
    return out


class Loss(torch.nn.Module):
    "A network's task loss, as a function of the features and of what was observed of them."

    def __init__(self, net: Method, view: Batch):
        super().__init__()
        self.net = net
        self.view = view

    def forward(self, x, observed):
        batch = Batch(x, self.view.length, self.view.y, self.view.index, observed)
        return task_loss(self.net.spec, self.net.predict(batch), self.view.y)


def stacked(nets: list[Method], views: list[Batch]):
    """A function that gives the gradients {name: (S, ...)} and the losses (S,) of all networks at
    once."""
    params, buffers = stack_module_state(nets)
    params = {k: v.detach() for k, v in params.items()}
    names = views[0].names
    x = {m: torch.stack([v.x[m] for v in views]) for m in names}
    observed = {m: torch.stack([v.observed[m] for v in views]) for m in names}
    module = Loss(copy.deepcopy(nets[0]), views[0])

    def one(params, buffers, x, observed):
        state = {f"net.{k}": v for k, v in {**params, **buffers}.items()}
        return functional_call(module, (state,), (x, observed))

    both = vmap(grad_and_value(one))
    return lambda: both(params, buffers, x, observed)


def check_equal(alone: list[tuple], grads: dict, losses: torch.Tensor) -> None:
    "Losses and gradients of the stacked networks are those of the single ones."
    gaps = [abs(losses[i] - loss).item() for i, (loss, _) in enumerate(alone)]
    for i, (_, own) in enumerate(alone):
        gaps += [(grads[k][i] - g).abs().max().item() for k, g in own.items()]
    assert max(gaps) < 1e-5, f"stacked and single networks differ by {max(gaps)}"


def compare(spec: DataSpec, batch: Batch, seeds: int, rounds: int) -> tuple[float, float]:
    "Seconds of a step of so many networks: one by one, and stacked."
    nets = networks(spec, seeds)
    views = [mrm(batch, MRMLaw(), generator("view", i)) for i in range(seeds)]
    together = stacked(nets, views)
    check_equal(losses_one_by_one(nets, views), *together())
    times = dict(single=lambda: losses_one_by_one(nets, views), stacked=together)
    seconds = medians(times, rounds)
    return seconds["single"], seconds["stacked"]


def bench(rounds: int = 7) -> dict:
    """Keys `stacked_<S>_<case>_over_single`: seconds per step of S networks, stacked over one by
    one."""
    head = "".join(f"{f'{s} seeds':>22}" for s in SEEDS)
    print(f"\n{'':12}{head}   step of S stacked networks, x of one by one")
    out = {}
    for name, (sizes, n) in CASES.items():
        line = f"{name:12}"
        for seeds in SEEDS:
            spec, batch = spec_of(sizes), random_batch(sizes, n, "seeds")
            single, together = compare(spec, batch, seeds, rounds)
            out[f"stacked_{seeds}_{name}_over_single"] = together / single
            line += f"{1e3 * together:9.1f} ms {together / single:6.2f} x".rjust(22)
        print(line)
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({k: round(v, 3) for k, v in bench().items()}))
