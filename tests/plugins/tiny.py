"""A plug-in for the tests: a tiny data set, and methods that fail, wait, halt, eat memory, or fail
only once."""

import dataclasses
import os
import time
from pathlib import Path

from fsrf.data.dataset import make_folds, register_dataset
from fsrf.data.synthetic import SyntheticConfig, make_synthetic
from fsrf.methods.backbone import BackboneMethod
from fsrf.methods.base import register


@register_dataset("tiny")
def tiny():
    "Three modalities, 128 samples"
    return make_synthetic(
        SyntheticConfig(sizes=(64, 32, 32), lengths=(6, 6, 1), dims=(8, 6, 5)), name="tiny"
    )


@register_dataset("tiny-folds")
def tiny_folds():
    "The same samples in three folds, two repetitions"
    ds = tiny()
    return dataclasses.replace(
        ds, name="tiny-folds", split=None, folds=make_folds(len(ds), 3, repeats=2, y=ds.y)
    )


@register("broken")
class Broken(BackboneMethod):
    "Fails in its first step"

    def loss(self, batch, generator):
        raise RuntimeError("this method is broken on purpose")


@register("waiting")
class Waiting(BackboneMethod):
    "Says that its first step has begun, then waits until it may go on"

    def loss(self, batch, generator):
        folder = Path(os.environ["FSRF_TEST_FOLDER"])
        (folder / f"began-{os.getpid()}").touch()
        while not (folder / "go").exists():
            time.sleep(0.02)
        return super().loss(batch, generator)


@register("halting")
class Halting(Waiting):
    "Waits in its second epoch: the state of the first one is on disk by then"

    calls = 0

    def loss(self, batch, generator):
        self.calls += 1
        return (
            super().loss(batch, generator)
            if self.calls > 2
            else BackboneMethod.loss(self, batch, generator)
        )


@register("greedy")
class Greedy(BackboneMethod):
    "Holds ever more memory"

    def loss(self, batch, generator):
        held = []
        while len(held) < 400:
            held.append(bytearray(b"x" * 10**7))
            time.sleep(0.01)
        return super().loss(batch, generator)


@register("flaky")
class Flaky(BackboneMethod):
    "Fails the first time"

    def loss(self, batch, generator):
        if not (seen := Path(os.environ["FSRF_TEST_FOLDER"]) / "seen").exists():
            seen.touch()
            raise RuntimeError("once")
        return super().loss(batch, generator)
