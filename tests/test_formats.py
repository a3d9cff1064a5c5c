"""Readers, writer, store and the command `fsrf data`: real files where they are, exact layouts
elsewhere."""

import importlib
import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fsrf.cli import main as cli
from fsrf.core import FsrfError
from fsrf.data import cache, files
from fsrf.data.dataset import MultimodalDataset, load_dataset
from fsrf.data.files import cmu_sdk, containers
from fsrf.data.files import write as pickle_writer

ROOT = Path(__file__).resolve().parent.parent


def small(n=40, seed=0, **changes):
    r = np.random.default_rng(seed)
    length = dict(language=r.integers(1, 8, n), audio=r.integers(1, 8, n))
    x = {
        m: r.normal(size=(n, 7, d)).astype("f4") * (np.arange(7) < length[m][:, None])[..., None]
        for m, d in dict(language=5, audio=3).items()
    }
    return MultimodalDataset(
        **(
            dict(
                name="small",
                x=x,
                length=length,
                y=r.normal(size=n),
                ids=[f"v{i // 3}[{i}]" for i in range(n)],
                task="regression",
                split=np.array(["train", "test", "valid", "train"] * (n // 4)),
            )
            | changes
        )
    )


@pytest.mark.parametrize(
    ("file", "layout", "samples"),
    [
        ("mosi/misa_valid_seq.pkl", "MISA", 229),
        ("mosi/audio_2way.pickle", "utterances by video (Poria et al. 2017)", 2199),
        ("mmmo/h5", "MFN HDF5", 40),
        ("mosi/mosi_valid_sequences.npz", "npz", 229),
        ("mosi/mosi_language_acoustic.npz", "npz", 2199),
        ("meld/meld_dev_trimodal.npz", "npz", 1102),
    ],
)
def test_real_files(shared_data, tmp_path, file, layout, samples):
    ds = files.read(shared_data / file)
    assert (ds.meta["layout"], len(ds)) == (layout, samples)
    lines, code = files.check(shared_data / file)
    parts = set(()) if ds.split is None else set(ds.split.tolist())
    whole = ds.folds is not None or {"train", "valid", "test"} <= parts
    assert code == int(not whole) and max(map(len, lines)) < 250
    assert lines[-1].startswith("verdict   " + ("usable" if whole else "can be read, but no run"))
    if ds.split is None:
        ds.split = np.array(["train", "valid", "test"])[np.arange(len(ds)) % 3]
        ds.__dict__.pop("_sha256", None)
    ds.folds = None
    assert files.read(files.write_mmsa(ds, tmp_path / "back.pkl"), name=ds.name).sha256 == ds.sha256


def test_misa_equals_the_same_segments_as_arrays(shared_data):
    ds, z = (
        files.read(shared_data / "mosi/misa_valid_seq.pkl"),
        containers.read_npz(shared_data / "mosi/mosi_valid_sequences.npz"),
    )
    at = {s: i for i, s in enumerate(z["segment"].tolist())}
    order = [at[i] for i in ds.ids]
    assert (
        np.allclose(ds.y, z["label"][order]) and (ds.length["visual"] == z["length"][order]).all()
    )
    assert np.allclose(ds.x["visual"], z["V_facet47"][order], atol=1e-2, rtol=1e-3)


def test_words_cut_by_the_label_intervals(shared_data):
    """2,199 segments; 178 of the 229 agree word for word, 219 when words without a vector are
    dropped as theirs were"""
    mosi = shared_data / "mosi"
    raw = files.load([mosi / "CMU_MOSI_ModifiedTimestampedWords.csd", mosi / "CMU_MOSI_Labels.csd"])
    assert len(raw) == 2199 and "moved by -1" in " ".join(raw.notes)
    z, known = (
        containers.read_npz(mosi / "mosi_valid_sequences.npz"),
        set(containers.read_npz(mosi / "mosi_vocab_glove300.npz")["words"].tolist()),
    )
    text = dict(zip(raw.ids, raw.meta["text"].tolist(), strict=True))
    kinds = Counter(
        "equal"
        if text[i] == w
        else "known words equal"
        if [v for v in text[i].split() if v in known] == w.split()
        else "other"
        for i, w in zip(z["segment"].tolist(), z["words"].tolist(), strict=True)
    )
    assert kinds == {"equal": 178, "known words equal": 41, "other": 10}


def test_intervals_that_belong_to_their_rows_stay(shared_data):
    "The repaired file is not moved again"
    _, words = zip(
        *[
            (v, (i, cmu_sdk.text_of(f)))
            for _, v, i, f in cmu_sdk.videos(
                containers.stream_hdf5(shared_data / "mosi/CMU_MOSI_ModifiedTimestampedWords.csd"),
                "x",
            )
        ],
        strict=True,
    )
    repaired = {k: cmu_sdk.shifted(*w, -1) for k, w in enumerate(words)}
    assert cmu_sdk.find_shift(dict(enumerate(words))) == -1 and cmu_sdk.find_shift(repaired) == 0
    assert cmu_sdk.letters_and_seconds(repaired) > 0.5


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "multilabel-binary"])
def test_round_trips(tmp_path, task):
    r, n = np.random.default_rng(1), 40
    y = dict(
        regression=r.normal(size=n), binary=r.integers(0, 2, n), multiclass=np.arange(n) % 3
    ).get(task, r.integers(0, 2, (n, 4)))
    ds = small(
        y=y,
        task=task,
        class_names=dict(binary=("no", "yes"), multiclass=("a", "b", "c")).get(
            task, tuple("wxyz") if task[:6] == "multil" else ()
        ),
    )
    back = files.read(files.write_mmsa(ds, tmp_path / "a.pkl"), name="small")
    assert back.sha256 == ds.sha256 and back.ids == ds.ids and back.class_names == ds.class_names
    plain = pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert (
        plain["train"]["text"].shape == ((ds.split == "train").sum(), 7, 5)
        and plain["train"]["id"][0] == ds.ids[0]
    )


def test_the_writer_leaves_nothing_half_written(tmp_path, monkeypatch):
    def broken(self, obj):
        self.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pickle_writer._Pickler, "dump", broken)
    with pytest.raises(OSError):
        files.write_mmsa(small(), tmp_path / "a.pkl")
    assert not list(tmp_path.iterdir())


def test_store_serves_what_was_saved(tmp_path):
    ds = small()
    stored = cache.open_entry(cache.save(ds, tmp_path), tmp_path)
    for m in ds.x:
        assert (stored.x[m] == ds.x[m]).all()
    for (p, a), (q, b) in zip(stored.parts().items(), ds.parts().items(), strict=True):
        assert (
            p == q
            and a.ids == b.ids
            and np.allclose(a.x["audio"], b.x["audio"], atol=1e-5)
            and (a.tensors().y == b.tensors().y).all()
        )
    moved = small(seed=2)
    assert cache.save(moved, tmp_path) != cache.save(ds, tmp_path)


def test_statistics_come_from_the_training_part_alone(tmp_path):
    ds = small()
    other = {
        m: np.where((ds.split == "train")[:, None, None], a, a * 100 + (a != 0))
        for m, a in ds.x.items()
    }
    one, two = (
        cache.open_entry(cache.save(d, tmp_path), tmp_path)._entry.about["statistics"]
        for d in (ds, small(x=other))
    )
    assert one == two and set(one) == {"split"}


@pytest.mark.parametrize("damage", ["cut", "bit", "json", "no json", "empty", "longer"])
def test_a_damaged_entry_is_rebuilt(tmp_path, damage):
    source, made, ds = tmp_path / "source", [], small()
    source.write_bytes(b"x")

    def build():
        made.append(1)
        return ds

    name = cache.cached([source], build, root=tmp_path)._entry.name
    data, about = tmp_path / f"{name}.safetensors", tmp_path / f"{name}.json"
    raw = bytearray(data.read_bytes())
    if damage == "bit":
        raw[-9] ^= 4
    if damage in ("cut", "bit", "empty", "longer"):
        data.write_bytes(dict(cut=raw[:-5], bit=raw, empty=b"", longer=raw + b"x")[damage])
    if damage == "json":
        about.write_text(about.read_text().replace("small", "smell"))
    if damage == "no json":
        about.unlink()
    again = cache.cached([source], build, root=tmp_path)
    assert len(made) == 2 and (again.x["audio"] == ds.x["audio"]).all()
    cache.cached([source], build, root=tmp_path)
    assert len(made) == 2


@pytest.mark.slow
def test_writers_in_many_processes(tmp_path):
    "Each a fork of one fresh process; they begin together"
    code = """
import os, sys
sys.path.insert(0, 'tests')
from test_formats import small
from fsrf.data import cache
ready, go = os.pipe()
children = []
for _ in range(3):
    if pid := os.fork():
        children.append(pid)
        continue
    os.close(go)
    os.read(ready, 1)  # until the parent closes its end
    names = {cache.save(small(), sys.argv[1]) for _ in range(5)}
    os.write(1, ' '.join([*names, '']).encode())
    os._exit(0)
os.close(go)
sys.exit(any(os.waitpid(pid, 0)[1] for pid in children))
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert len(names) == 3 and len(set(names)) == 1
    assert cache.open_entry(names[0], tmp_path).sha256 == small().sha256
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_a_path_is_the_name_of_a_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "store_root", lambda: tmp_path / "cache")
    path = files.write_mmsa(small(), tmp_path / "small.pkl")
    one, two = load_dataset(str(path)), load_dataset(str(path))
    assert isinstance(two, cache.StoredDataset) and one.sha256 == two.sha256 == small().sha256
    with pytest.raises(FsrfError, match="unknown data set"):
        load_dataset("smal")


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_mmsa(small(), "small.pkl")
    assert cli.main(["data", "check", "small.pkl"]) == 0 and "verdict" in capsys.readouterr().out
    assert (
        cli.main(["data", "convert", "small.pkl", "small.npz"]) == 0
        and files.read("small.npz").sha256 == small().sha256
    )
    assert (
        cli.main(["data", "show", "small.pkl", "--out", "page.png"]) == 0
        and (tmp_path / "page.png").stat().st_size > 10_000
    )
    assert cli.main(["data", "check", "nothing.pkl"]) == 2 and "next:" in capsys.readouterr().err
    assert cli.main(["data", "convert", "small.pkl", "small.mat"]) == 2


@pytest.mark.slow
def test_mosei_size(tmp_path, monkeypatch):
    """A set of an eighth of MOSEI's size is mapped, not read, and an epoch holds bounded memory
    (tools/bench/store.py: all of it)"""
    bench = ROOT / "tools/bench"
    monkeypatch.syspath_prepend(str(bench))
    ds = importlib.import_module("store").make(2857)
    size = sum(x.nbytes for x in ds.x.values()) / 1e6
    name = cache.save(ds, tmp_path)
    del ds
    words = [sys.executable, str(bench / "store.py"), "--part", "opened", str(tmp_path), name]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr[-800:]
    out = json.loads(done.stdout)
    assert size > 200 and out["open_mosei_rss_mb"] < 50 and out["epoch_rss_mb"] < 600, out
