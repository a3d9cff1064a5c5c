"""Files in the exact layouts of the published sets, made from planted factors: a rehearsal.

    python tools/rehearsal.py --size small OUT           every set in every layout: 10 MB, seconds
    python tools/rehearsal.py --size full OUT            the published counts: 5 GB, minutes
    python tools/rehearsal.py --size full OUT --sets mosi --layouts mult,csd
    python tools/rehearsal.py --measure OUT              what these files cost to check, load, train
                                                         on: data/results/rehearsal/full.csv

Then `FSRF_DATA=OUT fsrf data check mosi`, `FSRF_DATA=OUT fsrf reproduce --dataset mosi ...`: all
that the real files go through. Nothing in the files is real, and no result on them says anything
about a published set. What is as in the published files: names, fields, shapes, counts, columns,
zeros in front (Multimodal-Transformer) or behind (MMSA), `-inf` in COVAREP, ids, IEMOCAP's pairs.
"""

import argparse
import os
import pickle
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd

from fsrf.core import find_root
from fsrf.data import KNOWN_SETS, NAMED_SETS
from fsrf.data.planted import SyntheticConfig, draw_lengths, make_labels, make_sequence, plant

PARTS = "train", "valid", "test"
SMALL = 60, 24, 36  # samples for training, validation, test
SECONDS, PAUSE = 0.2, 0.4  # of a word, and between two segments
RATES = dict(COVAREP=100, Visual_Facet_42=30)  # frames a second, as the SDK has them
A_VIDEO = 24  # segments of a video


class Shape(NamedTuple):
    "Columns and longest sequences of language, audio, visual; the latter for the small size too."

    dims: tuple
    frames: tuple
    few: tuple


GLOVE = Shape((300, 74, 35), (50, 50, 50), (8, 8, 8))
SHAPES = {
    ("mosi", "mult"): GLOVE._replace(dims=(300, 74, 47)),
    ("mosi", "csd"): GLOVE._replace(dims=(300, 74, 47)),
    ("mosi", "mmsa"): GLOVE._replace(dims=(768, 5, 20)),
    ("mosi", "mmsa-unaligned"): Shape((768, 5, 20), (50, 375, 500), (8, 20, 24)),
    ("mosei", "mult"): GLOVE,
    ("mosei", "mmsa"): GLOVE._replace(dims=(768, 74, 35)),
    ("iemocap", "mult"): GLOVE._replace(frames=(20, 20, 20)),
    ("sims", "mmsa-unaligned"): Shape((768, 33, 709), (39, 400, 55), (8, 24, 10)),
    ("simsv2", "mmsa-unaligned"): Shape((768, 25, 177), (50, 925, 232), (8, 24, 12)),
}
# At full size these are made only when their set is asked for.
LEFT_OUT = {("mosi", "mmsa-unaligned"), ("mosei", "mmsa"), ("simsv2", "mmsa-unaligned")}
STEPS = {"mosi": 5, "mosei": 3, "sims": 5, "simsv2": 5}  # a score is a whole multiple of 1/STEPS


class Planted(NamedTuple):
    "What the files of a set say, before it is put into one layout or another."

    x: dict  # {modality: (N, T, d)}
    length: dict  # {modality: (N,)}
    y: np.ndarray
    split: np.ndarray
    video: np.ndarray
    clip: np.ndarray  # number of the segment in its video
    begin: np.ndarray  # seconds

    def end(self) -> np.ndarray:
        return self.begin + SECONDS * self.length["language"]


def _scores(name: str, y: np.ndarray) -> np.ndarray:
    "The planted scores on the grid of the set's annotators."
    if name.startswith("sims"):
        y = y / 3
    return (np.round(y * STEPS[name]) / STEPS[name]).astype(np.float32)


def _videos(split: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    "(video, segment in it) of each sample; no video is in two parts, all are in order."
    video, clip, number = [], [], 0
    for part in PARTS:
        for i in range((split == part).sum()):
            number += i % A_VIDEO == 0
            video.append(f"rehearsal{number:05d}")
            clip.append(i % A_VIDEO)
    return np.array(video), np.array(clip)


def planted(name: str, layout: str, size: str, seed: int) -> Planted:
    "A set from planted factors, with the sizes, columns and lengths of a layout."
    shape = SHAPES[name, layout]
    task = NAMED_SETS[name].task
    aligned = not layout.endswith("-unaligned")
    config = SyntheticConfig(
        task=task,
        sizes=KNOWN_SETS[name].parts if size == "full" else SMALL,
        dims=shape.dims,
        lengths=shape.frames if size == "full" else shape.few,
        common_length=aligned,
        shortest=0.1,
        balance=0.3 if task == "multilabel-binary" else 0.55,
        seed=seed,
    )
    factors, length = plant(config), draw_lengths(config)
    y = make_labels(config, factors)[0]
    x = {m: make_sequence(config, m, factors, length[m])[0] for m in config.names}
    split = np.repeat(PARTS, config.sizes)
    video, clip = _videos(split)
    seconds = SECONDS * length["language"] + PAUSE
    begin = np.concatenate([[0.0], np.cumsum(seconds)[:-1]])
    first = np.flatnonzero(clip == 0)
    begin = begin - np.repeat(begin[first], np.diff([*first, len(clip)]))
    return Planted(x, length, y if y.ndim > 1 else _scores(name, y), split, video, clip, begin)


def _with_inf(p: Planted) -> np.ndarray:
    "The audio with an -inf in one column of every fiftieth sample, as COVAREP's logarithms have."
    audio = p.x["audio"]
    audio[::50, 0, 3] = -np.inf
    return audio


def _to_the_end(x: np.ndarray, length: np.ndarray) -> np.ndarray:
    "The same sequences, with their zeros in front."
    out = np.zeros_like(x)
    for i, n in enumerate(length):
        out[i, x.shape[1] - n :] = x[i, :n]
    return out


def write_mult(p: Planted, path: Path) -> None:
    "A pickle of Multimodal-Transformer: arrays per part, zeros in front; IEMOCAP as pairs, no ids."
    _with_inf(p)
    names = dict(language="text", audio="audio", visual="vision")
    y = p.y[:, None, None] if p.y.ndim == 1 else np.stack([1 - p.y, p.y], -1).astype(np.float32)
    if p.y.ndim == 2:
        y = y[:, [3, 0, 1, 2]]  # neutral, happy, sad, angry
    times = np.array([[f"{b:.3f}", f"{e:.3f}"] for b, e in zip(p.begin, p.end(), strict=True)])
    ids = np.char.encode(np.column_stack([p.video, times]))
    out = {}
    for part in PARTS:
        rows = np.flatnonzero(p.split == part)
        rows = slice(rows[0], rows[-1] + 1)
        out[part] = {
            field: _to_the_end(p.x[m][rows], p.length[m][rows]) for m, field in names.items()
        }
        out[part]["labels"] = y[rows]
        if p.y.ndim == 1:
            out[part]["id"] = ids[rows]
    _dump(out, path)


def write_mmsa(p: Planted, path: Path, name: str, aligned: bool) -> None:
    "A pickle of MMSA: arrays and lists per part, zeros behind; CH-SIMS has labels per modality."
    tokens = np.zeros((len(p.y), 3, p.x["language"].shape[1]), np.float32)
    filled = np.arange(tokens.shape[2]) < p.length["language"][:, None]
    tokens[:, 0], tokens[:, 1] = 1000 * filled, filled
    sign = np.sign(p.y).astype(np.int64)
    out = {}
    for part in PARTS:
        rows = np.flatnonzero(p.split == part)
        fields = dict(
            raw_text=np.array(["words " * int(n) for n in p.length["language"][rows]]),
            audio=p.x["audio"][rows],
            vision=p.x["visual"][rows],
            id=[f"{p.video[i]}$_${p.clip[i] + 1}" for i in rows],
            text=p.x["language"][rows],
            text_bert=tokens[rows],
            annotations=np.array(["Negative", "Neutral", "Positive"])[sign[rows] + 1].tolist(),
            classification_labels=(sign[rows] + 1).astype(np.float32),
            regression_labels=p.y[rows],
        )
        if not aligned:
            fields |= {
                f"{field}_lengths": p.length[m][rows].tolist()
                for m, field in dict(audio="audio", visual="vision").items()
            }
        if name.startswith("sims"):
            fields |= {f"regression_labels_{m}": p.y[rows] for m in "TAV"}
            fields |= {f"classification_labels_{m}": sign[rows] + 1.0 for m in "TAV"}
        out[part] = fields
    _dump(out, path)


def _dump(obj: dict, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pickle.dump(obj, file, protocol=4)


def _sequence(folder: Path, name: str, root: str, videos: dict) -> None:
    "A computational sequence of the SDK: root/data/VIDEO/{features, intervals}, and metadata."
    with h5py.File(folder / f"CMU_MOSI_{name}.csd", "w") as file:
        for video, (intervals, features) in videos.items():
            file[f"{root}/data/{video}/features"] = features
            file[f"{root}/data/{video}/intervals"] = intervals
        for key, value in {"root name": root, "dataset name": "a rehearsal of CMU-MOSI"}.items():
            file[f"{root}/metadata/{key}"] = [f'"{value}"'.encode()]


def _frames(p: Planted, m: str, rows: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    "(intervals (n, 2), features (n, d)) of the words of a video at `rate` frames a second."
    times, features = [], []
    k = round(SECONDS * rate)  # frames of a word, all alike: their mean is the word's
    for i in rows:
        n = int(p.length[m][i])
        starts = p.begin[i] + SECONDS * np.arange(n * k) / k
        times.append(np.column_stack([starts, starts + SECONDS / k]))
        features.append(np.repeat(p.x[m][i, :n], k, 0))
    return np.concatenate(times), np.concatenate(features)


def write_csd(p: Planted, folder: Path) -> None:
    "Computational sequences of MOSI, and its folds as the SDK's Python lists."
    folder.mkdir(parents=True, exist_ok=True)
    _with_inf(p)
    rows = {v: np.flatnonzero(p.video == v) for v in dict.fromkeys(p.video.tolist())}
    vectors = {v: _frames(p, "language", r, 1 / SECONDS) for v, r in rows.items()}
    words = {v: (t, np.full((len(t), 1), b"word")) for v, (t, _) in vectors.items()}
    cuts = {v: np.column_stack([p.begin[r], p.end()[r]]) for v, r in rows.items()}
    labels = {v: (cuts[v], p.y[r][:, None]) for v, r in rows.items()}
    _sequence(folder, "TimestampedWordVectors", "glove_vectors", vectors)
    _sequence(folder, "TimestampedWords", "words", words)
    _sequence(folder, "Opinion_Labels", "Opinion Segment Labels", labels)
    for (name, rate), root, m in zip(
        RATES.items(), ("COVAREP", "FACET_4.2"), ("audio", "visual"), strict=True
    ):
        _sequence(folder, name, root, {v: _frames(p, m, r, rate) for v, r in rows.items()})
    folds = {part: list(dict.fromkeys(p.video[p.split == part].tolist())) for part in PARTS}
    lists = "".join(f"standard_{part}_fold = {videos}\n" for part, videos in folds.items())
    (folder / "cmu_mosi_std_folds.py").write_text(lists)


def path_of(name: str, layout: str) -> str:
    "Where the files of a set in a layout go, below OUT."
    file = dict(NAMED_SETS[name].files)[layout]
    folder = dict(sims="SIMS", simsv2="SIMSv2").get(name, name.upper())
    return {
        "mult": f"MulT/{file}",
        "csd": f"SDK/CMU_{name.upper()}",
        "mmsa": f"{folder}/Processed/{file}",
        "mmsa-unaligned": f"{folder}/Processed/{file}",
    }[layout]


def make(out: Path, size: str, pairs: list[tuple[str, str]], seed: int = 0) -> list[dict]:
    "Write the files of `pairs` (set, layout) below `out`, and a mark that they are no data."
    made = []
    out.mkdir(parents=True, exist_ok=True)
    (out / "REHEARSAL.txt").write_text("Made from planted factors by tools/rehearsal.py.\n")
    for name, layout in pairs:
        start, path = time.perf_counter(), Path(out, path_of(name, layout))
        p = planted(name, layout, size, seed)
        if layout == "mult":
            write_mult(p, path)
        elif layout == "csd":
            write_csd(p, path)
        else:
            write_mmsa(p, path, name, aligned=layout == "mmsa")
        files = [path] if path.is_file() else list(path.iterdir())
        record = dict(
            set=name,
            layout=layout,
            step="make",
            seconds=time.perf_counter() - start,
            megabytes=sum(f.stat().st_size for f in files) / 1e6,
        )
        made.append(record)
        print(f"{path}: {record['megabytes']:.0f} MB, {record['seconds']:.1f} s", flush=True)
    return made


def chosen(size: str, sets: str = "", layouts: str = "") -> list[tuple[str, str]]:
    "The (set, layout) pairs to make; at full size, unless asked for, only the usual ones."
    names = sets.split(",") if sets else list(NAMED_SETS)
    if unknown := set(names) - set(NAMED_SETS):
        sys.exit(f"no such sets: {', '.join(unknown)}; there are {', '.join(NAMED_SETS)}")
    pairs = [pair for pair in SHAPES if pair[0] in names]
    if layouts:
        return [pair for pair in pairs if pair[1] in layouts.split(",")]
    return [pair for pair in pairs if size == "small" or sets or pair not in LEFT_OUT]


# What is measured of a set, each in a process of its own: Python source; `name` is the data set.
MEASURED = {
    "first load": "from fsrf.data import load_dataset; load_dataset(name)",
    "later load": "from fsrf.data import load_dataset; load_dataset(name)",
    "check": "from fsrf.data import check_named; lines, code = check_named(name); assert not code",
    "one epoch and validation": """
import torch
from fsrf.data import load_dataset
from fsrf.methods import build
from fsrf.training import TrainConfig, fit
torch.set_num_threads(1)
ds = load_dataset(name)
parts = ds.parts()
net = build('plain_mrm', {'layers': 1}, ds.spec)
how = TrainConfig(epochs=1)
fit(net, parts['train'], parts['valid'], how, seed=0, device='cpu', progress=False)
""",
}
TOLD = """
import re, sys, time
from pathlib import Path
peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]
print('PEAK', int(peak)/1024, time.process_time(), file=sys.stderr)
"""  # ru_maxrss would be that of the process that started it, too


def measure(out: Path, pairs: list[tuple[str, str]]) -> list[dict]:
    "Seconds on the clock and of CPU, and peak memory (MB), of each step for each of the sets."
    rows, env = [], os.environ | dict(FSRF_DATA=str(out), FSRF_CACHE=str(out / "cache"))
    for name, layout in pairs:
        for step, source in MEASURED.items():
            code = f"name = '{name}?layout={layout}'\n{source}{TOLD}"
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", code], env=env, stderr=subprocess.PIPE)
            told = done.stderr.decode()
            if done.returncode:
                sys.exit(f"{name}, {layout}, {step}: {told}")
            peak, cpu = map(float, told.rsplit("PEAK", 1)[1].split())
            rows.append(
                dict(
                    set=name,
                    layout=layout,
                    step=step,
                    seconds=time.perf_counter() - start,
                    cpu_seconds=cpu,
                    peak_mb=peak,
                )
            )
            print(name, layout, step, f"{cpu:.1f} s of CPU, {peak:.0f} MB", flush=True)
    return rows


def machine() -> str:
    "This machine in words: processor, cores, memory."
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((li.split(":")[1].strip() for li in told.splitlines() if "model name" in li), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = model or platform.processor()
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB, {sys.platform}"


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("out", type=Path, metavar="OUT", help="the folder for the files")
    p.add_argument("--size", choices=("small", "full"), default="small")
    p.add_argument("--sets", default="", help="default: all")
    p.add_argument("--layouts", default="", help="mult, csd, mmsa, mmsa-unaligned")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--measure", action="store_true", help="make no files, measure those in OUT")
    a = p.parse_args()
    pairs, out = chosen(a.size, a.sets, a.layouts), a.out.resolve()
    if not a.measure:
        made = pd.DataFrame(make(out, a.size, pairs, a.seed))
        made.assign(size=a.size).to_csv(out / "made.csv", index=False)
        return
    made = pd.read_csv(out / "made.csv")
    pairs = list(zip(made["set"], made.layout, strict=True))
    rows = made.drop(columns="size").to_dict("records") + measure(out, pairs)
    file = find_root() / f"data/results/rehearsal/{made['size'][0]}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    digits = dict(seconds=1, cpu_seconds=1, megabytes=0, peak_mb=0)
    pd.DataFrame(rows).assign(machine=machine()).round(digits).to_csv(file, index=False)
    print(file)


if __name__ == "__main__":
    main()
