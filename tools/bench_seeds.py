"""Several seeds of one configuration in one process, as one stacked model: is that faster than one by one?

    python tools/bench_seeds.py        (part of `make bench`)

The stacked step holds the weights of S networks in tensors with a leading S (torch.func.stack_module_state), gives each its own view
of the batch, and maps the loss over both (vmap). Its losses and gradients are compared with those of the networks one by one; dropout is
off for that, since a stacked mask cannot repeat S generators' draws.
"""
import copy, statistics, time
import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from fsrf.core import generator, seeded
from fsrf.data.dataset import Batch, DataSpec, ModalitySpec
from fsrf.nn.layers import SequenceEncoder
from fsrf.methods.base import build, load_methods, task_loss
from fsrf.missing.training_views import MRMLaw, mrm

CASES = dict(vectors=(dict(language=(384, 1), audio=(768, 1), visual=(105, 1)), 64), sequences=(dict(language=(300, 50), audio=(74, 50), visual=(35, 50)), 128))


def case(dims, n):
    "A batch and its specification: {modality: (dim, frames)}, n samples."
    g = generator('seeds')
    spec = DataSpec(tuple(ModalitySpec(m, d, t) for m, (d, t) in dims.items()), 'binary', 2)
    batch = Batch({m: torch.randn(n, t, d, generator=g) for m, (d, t) in dims.items()}, {m: torch.full((n,), t) for m, (d, t) in dims.items()},
                  torch.randint(0, 2, (n,), generator=g), torch.arange(n))
    return spec, batch


def networks(spec, k):
    "k plain networks without dropout, each of its own seed; sequence encoders without the CPU's short cut, whose sizes depend on the data."
    out = []
    for s in range(k):
        with seeded('seeds', s): net = build('plain_mrm', dict(dropout=0., attention_dropout=0., input_dropout=0.), spec).train()
        for e in net.encoders.values():
            if isinstance(e, SequenceEncoder): e.forward = e.encode
        out.append(net)
    return out


def losses_one_by_one(nets, views):
    "[(loss, {name: gradient})]"
    out = []
    for net, v in zip(nets, views):
        net.zero_grad(set_to_none=True)
        loss = task_loss(net.spec, net.predict(v), v.y)
        loss.backward()
        out.append((loss.detach(), {k: p.grad for k, p in net.named_parameters()}))
    return out


def stacked(nets, views):
    "A function that gives the losses (S,) and the gradients {name: (S, ...)} of all networks at once."
    params, buffers = stack_module_state(nets)
    frame, y = copy.deepcopy(nets[0]), views[0].y
    x, seen = ({m: torch.stack([getattr(v, f)[m] for v in views]) for m in views[0].names} for f in ('x', 'observed'))
    class Loss(torch.nn.Module):
        def __init__(self): super().__init__(); self.net = frame
        def forward(self, x, seen): return task_loss(frame.spec, frame.predict(Batch(x, views[0].length, y, views[0].index, seen)), y)
    module = Loss()
    def one(p, b, x, seen): return functional_call(module, ({f'net.{k}': v for k, v in {**p, **b}.items()},), (x, seen))
    both = vmap(grad_and_value(one))
    params = {k: v.detach() for k, v in params.items()}
    return lambda: both(params, buffers, x, seen)


def bench(rounds=7):
    "Prints seconds per step of S networks, stacked over one by one; the flat keys `stacked_<S>_<case>_over_single`."
    load_methods(); torch.set_num_threads(1)
    out = {}
    print(f'\n{"":12}' + ''.join(f'{f"{s} seeds":>22}' for s in (1, 2, 5)) + '   step of S stacked networks, x of one by one')
    for name, (dims, n) in CASES.items():
        spec, batch = case(dims, n)
        line = f'{name:12}'
        for s in (1, 2, 5):
            nets = networks(spec, s)
            views = [mrm(batch, MRMLaw(), generator('view', i)) for i in range(s)]
            together = stacked(nets, views)
            grads, losses = together()
            alone = losses_one_by_one(nets, views)
            gap = max([abs(losses[i] - loss).item() for i, (loss, _) in enumerate(alone)]
                      + [(grads[k][i] - g).abs().max().item() for i, (_, gs) in enumerate(alone) for k, g in gs.items()])
            assert gap < 1e-5, f'stacked and single networks differ by {gap}'
            times = dict(a=[], b=[])
            for _ in range(rounds):
                for k, f in dict(a=lambda: losses_one_by_one(nets, views), b=together).items():  # noqa: B023 (used at once)
                    start = time.perf_counter(); f(); times[k].append(time.perf_counter() - start)
            a, b = (statistics.median(t) for t in times.values())
            out[f'stacked_{s}_{name}_over_single'] = b/a
            line += f'{1e3*b:9.1f} ms {b/a:6.2f} x'.rjust(22)
        print(line)
    return out


if __name__ == '__main__': bench()
