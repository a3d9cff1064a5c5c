"""What a step and a prediction of FSRF cost next to plain-MRM's, and what all conditions cost.

python tools/bench/step.py        (part of `make bench`)
"""

import json

import torch
from sizes import batch_of, medians, network

from fsrf.data import SyntheticConfig, make_synthetic
from fsrf.evaluation import EvalConfig, Sweep
from fsrf.methods import Method, n_parameters
from fsrf.missing import inter_conditions
from fsrf.training.cost import prediction, training_step

NAMES = ("plain_mrm", "fsrf", "fsrf_first_recover", "corrkd")
SAMPLES = 686  # of MOSI's test part


def bench_steps(nets: dict[str, Method], rounds: int, batch_size: int, frames: int) -> dict:
    "Keys `train_step_<method>_over_plain` and `inference_<method>_over_plain`; prints a table."
    batch = batch_of(batch_size, frames)
    train = medians({n: training_step(m.train(), batch) for n, m in nets.items()}, rounds)
    infer = medians({n: prediction(m.eval(), batch) for n, m in nets.items()}, rounds)
    print(
        f"{'':14}{'parameters':>12}{'step ms':>10}{'x plain':>9}{'predict ms':>12}{'x plain':>9}"
        f"   batch {batch_size}, {frames} frames, 300+74+35 dims, 1 thread"
    )
    out = {}
    for name, net in nets.items():
        step, predict = train[name] / train["plain_mrm"], infer[name] / infer["plain_mrm"]
        out[f"train_step_{name}_over_plain"] = step
        out[f"inference_{name}_over_plain"] = predict
        print(
            f"{name:14}{n_parameters(net):12,}{1e3 * train[name]:10.1f}{step:9.2f}"
            f"{1e3 * infer[name]:12.1f}{predict:9.2f}"
        )
    return out


def bench_sweep(plain: Method) -> dict:
    "Keys `sweep_subsets_in_forwards` and `sweep_cost_in_forwards`."
    test = make_synthetic(SyntheticConfig(sizes=(2, 2, SAMPLES))).parts(scale=False)["test"]
    subsets = inter_conditions(test.spec.names)
    everything = EvalConfig().conditions(test.spec.names)
    functions = {"forward": prediction(plain, test.batch())}
    for name, conditions in (("subsets", subsets), ("all", everything)):
        sweep = Sweep(test, conditions, split="test")
        functions[name] = lambda sweep=sweep: sweep.logits(plain)
    seconds = medians(functions, 2)
    few = seconds["subsets"] / seconds["forward"]
    many = seconds["all"] / seconds["forward"]
    print(
        f"\n7 subsets cost {few:.1f}, all {len(everything)} conditions {many:.1f} plain forward "
        f"passes over {SAMPLES} samples"
    )
    return dict(sweep_subsets_in_forwards=few, sweep_cost_in_forwards=many)


def bench(rounds: int = 15, batch_size: int = 128, frames: int = 50) -> dict:
    "All keys of this page."
    nets = {name: network(name, frames=frames) for name in NAMES}
    return bench_steps(nets, rounds, batch_size, frames) | bench_sweep(nets["plain_mrm"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({k: round(v, 3) for k, v in bench().items()}))
