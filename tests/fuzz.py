"""Mutates data files and reads each mutant: every one must end in a result or a `FormatError`.

    python tests/fuzz.py --runs 10500 --seed 0     prints a line of JSON; test_hostile.py calls it

The seeds are small files in every layout and protocol and, where FSRF_DATA points to them, cuts of
the real files and the real files themselves. Mutations: bit flips, bytes replaced, inserted,
deleted, cut off, pieces of another file.
"""

import argparse
import io
import json
import pickle
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fsrf.core import FormatError, data_root
from fsrf.data import files

OPCODES = (
    b"}](l.0123456789:;<=>?@ABCFGIJKLMNPQRSTUVXabcdefghijloprstuq\x80\x81\x82\x85\x88\x8a\x8b\x8c\x8e\x8f"
    b"\x90\x91\x92\x93\x94\x95\x96\x97\x98"
)


def samples(n=3):
    "The first samples of the real MISA file, or made-up ones of the same layout"
    path = data_root() / "mosi/misa_valid_seq.pkl"
    if path.is_file():
        return pickle.loads(path.read_bytes())[:n]
    r = np.random.default_rng(0)
    return [
        (
            (
                np.arange(4),
                r.normal(size=(4, 5)).astype("f4"),
                r.normal(size=(4, 6)).astype("f4"),
                list("abcd"),
            ),
            np.ones((1, 1), "f4"),
            f"v[{i}]",
        )
        for i in range(n)
    ]


def pickled(r):
    "{name: object}: a small one of every layout that is a pickle"
    x = [r.normal(size=(3, 4, 2)) for _ in range(3)]
    part = dict(text=x[0], audio=x[1], vision=x[2], labels=r.normal(size=(3, 1, 1)))
    mult = {p: dict(part, id=np.array([["v", "1", "2"]] * 3)) for p in ("train", "valid", "test")}
    own = dict(regression_labels=np.ones(3), raw_text=np.array(["a b"] * 3), id=list("abc"))
    own |= dict(audio_lengths=[4, 2, 1], text_bert=np.ones((3, 3, 4)))
    mmsa = {p: dict(v, **own) for p, v in mult.items()}
    train, test = (np.ones((2, 3, 2)), np.ones((2, 3))), (np.ones((1, 3, 2)), np.zeros((1, 3)))
    by_video = (*train, *test, 3, [3, 1], [2])
    mag = {"train": [((s[0][3], s[0][1], s[0][2]), s[1], s[2]) for s in samples(2)]}
    return dict(mult=mult, mmsa=mmsa, misa=samples(2), mag=mag, video=by_video)


def seeds():
    "{name: bytes}: small files of every layout and protocol"
    r = np.random.default_rng(0)
    out = {}
    for name, obj in pickled(r).items():
        for protocol in range(6):
            out[f"{name}{protocol}.pkl"] = pickle.dumps(obj, protocol)
    arrays = dict(x_audio=r.normal(size=(4, 3, 2)), y=np.arange(4.0), id=np.array(list("abcd")))
    for pack in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        pack(file, **arrays, length_audio=np.array([3, 1, 2, 3]))
        out[f"{pack.__name__}.npz"] = file.getvalue()
    return out


def real():
    "The real files themselves"
    names = ["mosi/misa_valid_seq.pkl", "mosi/audio_2way.pickle", "mosi/mosi_valid_sequences.npz"]
    return {n: (data_root() / n).read_bytes() for n in names if (data_root() / n).is_file()}


def mutate(data, rng, other):
    "A mutant of `data`"
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        kind, at = rng.randrange(7), rng.randrange(len(out) or 1)
        if not out:
            break
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.randrange(256)
        elif kind == 2:
            out[at] = rng.choice(OPCODES)
        elif kind == 3:
            out[at:at] = bytes(rng.choice(OPCODES) for _ in range(rng.randrange(1, 9)))
        elif kind == 4:
            del out[at : at + rng.choice((1, 1, 2, 4, 8, 100))]
        elif kind == 5:
            out[at : at + 8] = rng.choice(
                (b"\xff" * 8, b"\0" * 8, (2**40).to_bytes(8, "little"), b"\x7f" * 4)
            )
        elif len(out) < 10**5:
            start = rng.randrange(len(other))
            out[at:at] = other[start : start + rng.randrange(1, 60)]
    return bytes(out) if rng.random() > 0.05 else bytes(out[: rng.randrange(len(out) + 1)])


def peak():
    "The most memory that this process has had, in bytes"
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def attempt(path):
    "'read', 'refused', or what went wrong"
    try:
        files.load(path)
        return "read"
    except FormatError as e:
        if e.parts.get("where") is None or e.parts.get("next") is None:
            return f"a message without place or next step: {e}"
        return "refused"
    except BaseException as e:
        return f"{type(e).__name__}: {e}"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_500)
    parser.add_argument(
        "--real", type=int, default=120, help="of these on the real files themselves"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    rng, small, whole = random.Random(args.seed), list(seeds().items()), list(real().items())
    folder = Path(tempfile.mkdtemp())
    count, wrong, slowest = {"read": 0, "refused": 0}, [], 0.0
    files.load(_write(folder, *small[0]))
    before = peak()
    for i in range(args.runs):
        name, data = rng.choice(whole) if whole and i < args.real else rng.choice(small)
        mutant = mutate(data, rng, rng.choice(small)[1])
        path = _write(folder, Path(name).name, mutant)
        start = time.process_time()
        outcome = attempt(path)
        slowest = max(slowest, time.process_time() - start)
        if outcome in count:
            count[outcome] += 1
        else:
            wrong.append(f"run {i}, {name}: {outcome}"[:600])
    print(
        json.dumps(
            dict(
                runs=args.runs,
                **count,
                wrong=wrong[:20],
                n_wrong=len(wrong),
                slowest_s=round(slowest, 3),
                grown_mb=round((peak() - before) / 2**20, 1),
                largest_mb=round(max(map(len, [d for _, d in small + whole])) / 2**20, 1),
            )
        )
    )
    return int(bool(wrong))


def _write(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    sys.exit(main())
