"""Hostile data files: no code of theirs runs, memory and time stay bounded, and every end is a
result or a FormatError."""

import io
import json
import os
import pickle
import subprocess
import sys
import textwrap
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from fsrf.core import FormatError
from fsrf.data import files
from fsrf.data.files import safe_pickle

ROOT = Path(__file__).resolve().parent.parent
FUZZ = ROOT / "tests/fuzz.py"


class Call:
    "Pickles as the call of a function"

    def __init__(self, f, *args, state=None):
        self.f, self.args, self.state = f, args, state

    def __reduce__(self):
        return (self.f, self.args) if self.state is None else (self.f, self.args, self.state)


def touch(canary):
    return f"open({str(canary)!r}, 'w').close()"


def attacks(canary):
    "{name: pickle}: each would leave the canary, or call something, under pickle.load"
    path, code = str(canary).encode(), touch(canary)
    yield "os.system", pickle.dumps(Call(os.system, f"touch {canary}"))
    yield "subprocess", pickle.dumps(Call(subprocess.call, ["touch", str(canary)]))
    yield "eval", pickle.dumps(Call(eval, code))
    yield "exec in a list", pickle.dumps({"train": [1, Call(exec, code)]})
    yield "protocol 0", b"cposix\nsystem\n(S'touch " + path + b"'\ntR."
    yield "__import__", b"c__builtin__\n__import__\n(S'os'\ntR."
    yield "getattr", b"c__builtin__\ngetattr\n(cnumpy\nndarray\nS'tofile'\ntR."
    yield "numpy re-export", b"cnumpy.lib.utils\nos\n."
    yield "numpy.os", b"\x80\x04\x8c\x05numpy\x8c\x09os.system\x93\x8c\x05touch\x85R."
    yield "numpy through another module", b"cnumpy.core.multiarray\nsys\n."
    run = b"cnumpy.testing._private.utils\nrunstring\n(S'"
    yield "runstring", run + code.replace("'", '"').encode() + b"'\n}tR."
    yield "numpy.load", b"cnumpy\nload\n(S'x.npy'\nNI01\ntR."
    yield "memmap", b"cnumpy\nmemmap\n(S'" + path + b"'\nS'u1'\nS'w+'\nI0\n(I4\nttR."
    yield "fromfile", b"cnumpy\nfromfile\n(S'/etc/passwd'\ntR."
    yield from attacks_by_opcode(path)
    yield from unwanted_values(canary)


def attacks_by_opcode(path):
    "Opcodes that reach for names, extensions or objects in other ways"
    array = pickle.dumps(np.zeros(3), 4)
    yield "dotted STACK_GLOBAL", b"\x80\x04\x8c\x08builtins\x8c\x0deval.__self__.\x93."
    yield "module with a space", b"\x8c\x05numpy\x8c\x0cdtype eval  x\x93."
    yield "admitted name, split elsewhere", b"\x8c\x00\x8c\x0dnumpy ndarray\x93."
    yield "extension 1", b"\x82\xf0."
    yield "extension 2", b"\x83\xf0\xf0."
    yield "extension 4", b"\x84\xf0\xf0\xf0\x70."
    yield "persistent id", b"Pevil\n."
    yield "binary persistent id", b"K\x01Q."
    yield "INST", b"(S'touch " + path + b"'\nios\nsystem\n."
    yield "OBJ", b"(cos\nsystem\nS'touch " + path + b"'\no."
    yield "NEWOBJ", b"\x80\x02cnumpy\nndarray\n)\x81."
    yield "NEWOBJ_EX", b"\x80\x04cnumpy\nndarray\n)}\x92."
    yield "BUILD with __setstate__", b"cnumpy\nndarray\n}S'__setstate__'\ncos\nsystem\nsb."
    yield "BUILD of a dict", b"}}S'__class__'\nI1\nsb."
    yield "BUILD of a list", b"]}S'a'\nI1\nsb."
    yield "REDUCE of an array", array[:-1] + b")R."
    yield "out-of-band buffer", b"\x80\x05\x97."


def unwanted_values(canary):
    "What is no data set of numbers and texts"
    call = Call(os.system, f"touch {canary}")
    yield "object array of objects", pickle.dumps(np.array([call], object))
    yield "object array of lists", pickle.dumps(np.array([[1], [2, 3], None], object))
    yield "structured array", pickle.dumps(np.zeros(2, [("a", "f4")]))
    yield "matrix", pickle.dumps(np.ma.masked_array([1, 2], [0, 1]))
    yield "dates", pickle.dumps(np.array(["2020-01-01"], "M8[D]"))
    yield "a function", pickle.dumps(np.sum)
    yield "a class", pickle.dumps(np.float32)
    yield "defaultdict factory", b"ccollections\ndefaultdict\n(cos\ngetcwd\ntR."
    yield "codecs", b"c_codecs\ndecode\n(S'x'\nS'hex'\ntR."
    yield "another encoding", b"c_codecs\nencode\n(Vx\nS'rot13'\ntR."


def test_no_code_runs(tmp_path):
    canary, seen = tmp_path / "canary", []
    for name, data in attacks(canary):
        path = tmp_path / "evil.pkl"
        path.write_bytes(data)
        for read in (safe_pickle.load_pickle, files.load, files.read):
            with pytest.raises(FormatError) as e:
                read(path)
            assert {"where", "next"} <= set(e.value.parts) and "evil.pkl" in str(
                e.value.parts["where"]
            ), (
                name,
                str(e.value),
            )
        seen.append(name)
        assert not canary.exists(), name
    assert len(seen) > 40


def test_the_canary_works(tmp_path):
    "pickle.load does leave it"
    canary = tmp_path / "canary"
    pickle.loads(dict(attacks(canary))["exec in a list"])
    assert canary.exists()


def test_only_known_modules_are_imported(tmp_path):
    "Reading imports nothing that the file names"
    path = tmp_path / "a.pkl"
    path.write_bytes(b"canti_gravity_module\nx\n." + b"cthis\ns\n.")
    before = set(sys.modules)
    with pytest.raises(FormatError):
        files.load(path)
    assert "this" not in set(sys.modules) - before


def bombs():
    "{name: file}: small files that ask for much"
    huge = (2**40).to_bytes(8, "little")
    yield "bytes8", b"\x80\x04\x8e" + huge + b"x."
    yield "unicode8", b"\x80\x04\x8d" + huge + b"x."
    yield "bytearray8", b"\x80\x05\x96" + huge + b"x."
    yield "binbytes", b"B\xff\xff\xff\xffx."
    yield "frame", b"\x80\x04\x95" + huge + b"N."
    yield "negative string", b"T\xff\xff\xff\xffx."
    yield "memo index", b"]r\xff\xff\xff\xff."
    yield "put with digits", b"]p" + b"9" * 300 + b"\n."
    yield "digits", b"L" + b"9" * 10**6 + b"L\n."
    yield "long4", b"\x80\x02\x8b\xff\xff\xff\x7f" + b"\x7f" * 10**6 + b"."
    yield "sets", b"\x8f" * 3_000_000 + b"."
    yield "memoize", b"]" + b"\x94" * 3_000_000 + b"."
    yield "lists", b"]" * 3_000_000 + b"."
    yield "nested lists", b"]" * 400_000 + b"a" * 399_999 + b"."
    yield "nested tuples", b")" + b"\x85" * 900_000 + b"."
    yield "nested keys", b"}" + b")" + b"\x85" * 900_000 + b"Ns."
    yield "marks", b"(" * 3_000_000 + b"."
    yield "dup", b"]" + b"2" * 900_000 + b"a" * 900_000 + b"."
    yield "mark and pop", b"(0" * 3_000_000 + b"N."
    yield "loop", b"]q\x00h\x00a."
    yield "loop through a dict", b"}q\x00]q\x01h\x00a\x8c\x01ah\x01s."
    yield (
        "shape",
        pickle.dumps(np.zeros((2, 3)), 4).replace(
            b"K\x02K\x03", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f"[:4]
        ),
    )
    yield (
        "wide text",
        b"X" + (2**24 + 9).to_bytes(4, "little") + b"a" * (2**24 + 5) + "😀".encode() + b".",
    )


@pytest.mark.slow
def test_bombs_of_pickles(tmp_path):
    "All in one fresh process, small files first, because the peak of a process only grows"
    paths = []
    for i, (name, data) in enumerate(sorted(bombs(), key=lambda b: len(b[1]))):
        paths.append(tmp_path / f"{i} {name}.pkl")
        paths[-1].write_bytes(data)
    measured = measure(paths)
    assert len(measured) == len(paths)
    for path, m in zip(paths, measured, strict=True):
        assert m["outcome"] == "FormatError", (path.name, m)
        assert m["seconds"] < 5 and m["grown"] < 2 * path.stat().st_size + 256 * 2**20, (
            path.name,
            m,
        )


def measure(paths):
    """Read files in a fresh process: how each ended, its seconds, and how much the process has
    grown since its start"""
    code = textwrap.dedent("""
        import json, resource, sys, time
        from fsrf.data import files
        def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss*1024
        before, out = peak(), []
        for path in sys.argv[1:]:
            start, outcome = time.process_time(), 'result'
            try: files.load(path)
            except BaseException as e: outcome = type(e).__name__
            seconds = time.process_time() - start
            out.append(dict(outcome=outcome, seconds=seconds, grown=peak() - before))
        print(json.dumps(out))
    """)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-500:])
    return json.loads(done.stdout)


def test_zip_and_npy_bombs(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, dict(descr="<f8", fortran_order=False, shape=(2**40,))
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("y.npy", header.getvalue() + bytes(8))
    with (
        zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as z,
        z.open("y.npy", "w") as f,
    ):
        for _ in range(300):
            f.write(bytes(2**20))
    for name, word in (
        ("a.npz", "does not fit its bytes"),
        ("b.npz", "declares more than its size explains"),
    ):
        tracemalloc.start()
        try:
            with pytest.raises(FormatError, match=word):
                files.load(tmp_path / name)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert most < 64 * 2**20, "refused before it is unpacked"


def test_truncated_at_every_byte(tmp_path):
    obj = {
        p: dict(
            text=np.ones((2, 3, 2), "f4"),
            audio=np.ones((2, 3, 1)),
            labels=np.ones((2, 1, 1)),
            id=["a", "b"],
        )
        for p in ("train", "valid", "test")
    }
    for protocol in range(6):
        data = pickle.dumps(obj, protocol)
        for n in range(len(data)):
            with pytest.raises(FormatError):
                safe_pickle.loads_pickle(data[:n])
    file = io.BytesIO()
    np.savez(file, x_a=np.ones((2, 3)), y=np.ones(2))
    path = tmp_path / "x.npz"
    for n in range(0, len(file.getvalue()), 3):
        path.write_bytes(file.getvalue()[:n])
        with pytest.raises(FormatError):
            files.load(path)


def test_damaged_hdf5(tmp_path):
    "The C library may crash: it does so in a process of its own"
    path, rng = tmp_path / "set_audio_train.h5", np.random.default_rng(0)
    with h5py.File(path, "w") as f:
        f["d1"] = rng.normal(size=(3, 4, 2))
    data, outcomes = path.read_bytes(), []
    for i in range(12):
        out = bytearray(data[: None if i % 4 else rng.integers(len(data))])
        for at in rng.integers(0, len(out), 20):
            out[at] ^= 1 << rng.integers(8)
        path.write_bytes(out)
        try:
            files.load(path)
            outcomes.append("read")
        except FormatError as e:
            assert {"where", "next"} <= set(e.parts)
            outcomes.append("refused")
    assert "refused" in outcomes


@pytest.mark.slow
@pytest.mark.parametrize("runs", [10_500, 100_000])
def test_mutations(runs):
    "Each mutant ends in a result or a FormatError; none takes 5 s or more memory than allowed"
    if runs > 50_000 and not os.environ.get("FSRF_LONG"):
        pytest.skip("set FSRF_LONG=1 for the long run")
    done = subprocess.run(
        [sys.executable, str(FUZZ), "--runs", str(runs), "--real", "100"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=1200,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout, done.stderr[-1000:]
    result = json.loads(done.stdout)
    print(result)
    assert not result["n_wrong"], result["wrong"]
    assert result["read"] + result["refused"] == runs and result["read"] > 50
    assert result["slowest_s"] < 5 and result["grown_mb"] < 2 * result["largest_mb"] + 256


@pytest.mark.parametrize("name", ["fifo", "folder", "nothing", "/dev/zero"])
def test_what_is_no_file(tmp_path, name):
    path = Path(name) if name.startswith("/") else tmp_path / name
    if name == "fifo":
        os.mkfifo(path)
    if name == "folder":
        path.mkdir()
    with pytest.raises(FormatError):
        files.load(path)
