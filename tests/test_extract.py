"""`fsrf extract` on media that the tests make: whole, missing, damaged and hostile."""

import json
import os
import subprocess
import sys
import threading
import time
import wave
import zipfile
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from fsrf.core import FsrfError
from fsrf.data.files import raw_worker
from fsrf.data.files.media import MOST_BYTES, Missing, media_kind, pictures_of, sound_of
from fsrf.data.files.raw_folder import Extraction, extract, utterances_in
from fsrf.data.files.read import read

av = pytest.importorskip("av", reason="the extra [extract] is not installed")
cv2 = pytest.importorskip("cv2", reason="the extra [extract] is not installed")

PLAIN = Extraction(audio="logmel", language="hashed")


def wav(path, hz=300, seconds=1.0, rate=16000):
    samples = 0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def film(path, n=20, size=(128, 96), fourcc="mp4v", fps=20):
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), fps, size)
    for i in range(n):
        picture = np.full((size[1], size[0], 3), 40, np.uint8)
        cv2.circle(picture, (10 + 4 * i, size[1] // 2), 12, (0, 180, 255), -1)
        out.write(picture)
    out.release()


def utterance(folder, name):
    wav(folder / f"{name}.wav", 200 + 50 * len(name))
    film(folder / f"{name}.mp4")
    (folder / f"{name}.txt").write_text(f"words of {name}", encoding="utf-8")


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    return folder


def reasons(done):
    return {(id, m): note for id, m, note in done.notes}


# --- what is right --------------------------------------------------------------------------------


def test_whole_utterances_and_what_the_file_says_of_itself(clips, tmp_path):
    for name in ("a1", "a2", "a3"):
        utterance(clips, name)
    (clips / "v").mkdir()
    utterance(clips / "v", "clip")
    utterance(clips / "v", "0001")
    rows = ["id,label,part", "a1,sad,train", "a2,glad,train", "a3,glad,test", "v,sad,valid"]
    (clips / "labels.csv").write_text("\n".join(rows))
    done = extract(clips, tmp_path / "mine.npz", PLAIN)
    assert done.count == dict(language=4, audio=4, visual=4)
    assert reasons(done) == {("v/0001", ""): "left out: labels.csv does not list it"}
    ds = read(tmp_path / "mine.npz")
    assert ds.ids == ["a1", "a2", "a3", "v"]
    assert ds.class_names == ("glad", "sad") and ds.y.tolist() == [1, 0, 0, 1]
    assert ds.split.tolist() == ["train", "train", "test", "valid"]
    assert ds.length["audio"].tolist() == [10] * 4 and ds.length["visual"].tolist() == [10] * 4
    assert ds.length["language"].tolist() == [3] * 4
    made = json.loads(str(np.load(tmp_path / "mine.npz")["extraction"]))
    assert made["audio"]["packages"]["av"] == av.__version__
    assert made["visual"]["packages"]["opencv-python-headless"].startswith(cv2.__version__[:3])
    assert made["audio"]["frames_per_second"] == 10
    assert [len(made[m]["columns"]) for m in ds.x] == [x.shape[2] for x in ds.x.values()]
    assert any(note.startswith("audio: extracted as logmel") for note in ds.meta["notes"])


def test_sound_comes_from_the_video_where_no_sound_file_is(clips, tmp_path):
    with av.open(str(clips / "a.mkv"), "w") as out:
        sound = out.add_stream("flac", rate=16000, layout="mono")
        x = (9000 * np.sin(2 * np.pi * 440 * np.arange(16384) / 16000)).astype(np.int16)
        for i in range(0, len(x), 4096):
            frame = av.AudioFrame.from_ndarray(x[None, i : i + 4096], "s16", "mono")
            frame.sample_rate, frame.pts = 16000, i
            out.mux(sound.encode(frame))
        out.mux(sound.encode())
    done = extract(clips, tmp_path / "mine.npz", PLAIN)
    assert done.count == dict(language=0, audio=1, visual=0)
    assert reasons(done)["a", "visual"] == "missing: it has no pictures"


def test_parallel_and_alone_are_the_same(clips, tmp_path):
    for i in range(4):
        utterance(clips, f"u{i}")
    for workers in (1, 2):
        extract(clips, tmp_path / f"{workers}.npz", PLAIN.replace(workers=workers))
    one, two = (np.load(tmp_path / f"{k}.npz") for k in (1, 2))
    for name in one.files:
        np.testing.assert_array_equal(one[name], two[name])


def test_a_long_recording_is_cut_and_said(clips, tmp_path):
    wav(clips / "a.wav", seconds=5)
    film(clips / "a.avi", 100, fourcc="MJPG")
    done = extract(clips, tmp_path / "mine.npz", PLAIN.replace(seconds=2.0, rate=5.0))
    assert reasons(done)["a", "audio"] == reasons(done)["a", "visual"]
    assert reasons(done)["a", "audio"] == "only its first 2 s were read"
    arrays = np.load(tmp_path / "mine.npz")
    assert arrays["length_audio"] == arrays["length_visual"] == 10


@pytest.mark.parametrize("fps", [4, 12.5, 30])
def test_frames_come_at_the_rate_that_is_said(tmp_path, fps):
    film(tmp_path / "a.mp4", int(fps * 4), fps=fps)
    assert abs(len(pictures_of(tmp_path / "a.mp4", 60, 10)[0]) - 40) <= 2


# --- what is missing ------------------------------------------------------------------------------


def test_what_cannot_be_read_is_missing_and_the_rest_goes_on(clips, tmp_path):
    utterance(clips, "good")
    whole = (clips / "good.mp4").read_bytes()
    sound = (clips / "good.wav").read_bytes()
    bad = {
        "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "concat.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "cut.mp4": whole[: len(whole) // 2],
        "noise.mp4": whole[:200] + os.urandom(3000),
        "cut.wav": sound[: len(sound) // 3],
        "huge.wav": sound[:4] + b"\xff" * 4 + sound[8:40] + b"\xff\xff\xff\x7f" + b"\0" * 10,
        "rates.wav": sound[:24] + b"\xff\xff\xff\x7f" + sound[28:],
        "empty.wav": b"",
        "short.wav": sound[:60],
        "latin.txt": "café".encode("latin-1"),
        "nul.txt": b"a\0b",
        "long.txt": b"word " * 300_000,
        "blank.txt": b" \n\n",
        "points.txt": b"...",
    }
    for name, content in bad.items():
        (clips / name).write_bytes(content)
    with zipfile.ZipFile(clips / "bomb.wav", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * 10_000_000)
    os.mkfifo(clips / "pipe.wav")
    (clips / "folder.wav").mkdir()
    (clips / "nowhere.wav").symlink_to("loop.wav")
    (clips / "loop.wav").symlink_to("nowhere.wav")
    begin = time.monotonic()
    done = extract(clips, tmp_path / "mine.npz", PLAIN)
    assert time.monotonic() - begin < 60
    assert done.count == dict(language=1, audio=1, visual=1)
    found = reasons(done)
    kinds = dict(wav="audio", mp4="visual", txt="language")
    for name in [*bad, "bomb.wav", "pipe.wav", "nowhere.wav"]:
        id, ending = name.split(".")
        assert found[id, kinds[ending]].startswith("missing: "), name
        assert "no such file" not in found[id, kinds[ending]], name
    log = pd.read_csv(done.log)
    assert log.columns.tolist() == ["id", "modality", "note"] and len(log) == len(done.notes)
    assert not any("passwd" in note and "root" in note for note in log.note)


def test_a_link_out_of_the_folder_is_not_read(clips, tmp_path):
    utterance(tmp_path, "secret")
    (tmp_path / "more").mkdir()
    utterance(tmp_path / "more", "deep")
    utterance(clips, "mine")
    for ending in ("wav", "mp4", "txt"):
        (clips / f"out.{ending}").symlink_to(tmp_path / f"secret.{ending}")
    (clips / "within.wav").symlink_to(clips / "mine.wav")
    (clips / "more").symlink_to(tmp_path / "more")
    done = extract(clips, tmp_path / "mine.npz", PLAIN)
    assert done.count == dict(language=1, audio=2, visual=1)
    for m in done.count:
        assert reasons(done)["out", m] == "missing: it is a link out of the folder"
    assert [u.id for u in utterances_in(clips)] == ["mine", "out", "within"]


def test_labels_that_lead_out_of_the_folder_are_refused(clips, tmp_path):
    utterance(clips, "a")
    (tmp_path / "labels.csv").write_text("id,label\na,1\n")
    (clips / "labels.csv").symlink_to(tmp_path / "labels.csv")
    with pytest.raises(FsrfError, match="link out of the folder"):
        extract(clips, tmp_path / "mine.npz", PLAIN)


def test_a_picture_that_is_too_large_is_missing(tmp_path):
    film(tmp_path / "a.avi", 1, (6000, 4000), "MJPG")
    with pytest.raises(Missing, match="its pictures are 6000 x 4000"):
        pictures_of(tmp_path / "a.avi")


def test_a_file_beyond_the_limit_is_not_opened(tmp_path):
    wav(tmp_path / "a.wav")
    os.truncate(tmp_path / "a.wav", MOST_BYTES + 1)  # a hole: it takes no room
    with pytest.raises(Missing, match="more than"):
        media_kind(tmp_path / "a.wav")


def test_a_decoder_that_hangs_is_ended_and_the_next_file_is_read(tmp_path):
    wav(tmp_path / "a.wav")
    job = dict(modality="audio", kind="logmel", path=str(tmp_path / "a.wav"), seconds=9, rate=10)
    decoder = raw_worker.Decoder(1.0, [sys.executable, "-c", "import time; time.sleep(99)"])
    begin = time.monotonic()
    with pytest.raises(Missing, match="took more than 1 s"):
        decoder.track(job)
    assert time.monotonic() - begin < 10
    decoder.command, decoder.timeout = None, 60
    assert decoder.track(job).values.shape == (10, 40)
    decoder.process.kill()  # as the system does when memory is short
    with pytest.raises(Missing, match="crashed"):
        decoder.track(job)
    assert decoder.track(job).values.shape == (10, 40)
    decoder.end()


def test_the_decoding_process_may_write_no_file_and_has_a_limit_of_memory(tmp_path):
    pytest.importorskip("resource", reason="no such limits on this system")
    *python, start = raw_worker._command()
    program = start.replace(
        "import serve\nserve()",
        "import MEMORY, _limit\n_limit()\n"
        f"try: open({str(tmp_path / 'x')!r}, 'wb', 0).write(b'a'); print('written')\n"
        "except OSError: print('refused')\n"
        "try: bytearray(MEMORY); print('taken')\n"
        "except MemoryError: print('refused')\n"
        "print('torch' in sys.modules)",
    )
    said = subprocess.run([*python, program], capture_output=True, text=True, check=False)
    assert said.stdout.split() == ["refused", "refused", "False"], said.stderr


# --- whole or not at all --------------------------------------------------------------------------


def test_nothing_to_extract_leaves_no_file(clips, tmp_path):
    (clips / "a.wav").write_bytes(b"nothing")
    with pytest.raises(FsrfError, match="nothing could be extracted"):
        extract(clips, tmp_path / "mine.npz", PLAIN)
    assert not (tmp_path / "mine.npz").exists()
    assert "its first bytes" in (tmp_path / "mine.missing.csv").read_text()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FsrfError, match="0 utterances\n.*name another folder"):
        extract(tmp_path / "empty", tmp_path / "other.npz", PLAIN)


def test_an_interrupted_extraction_leaves_the_old_file(clips, tmp_path, monkeypatch):
    utterance(clips, "a")
    extract(clips, tmp_path / "mine.npz", PLAIN)
    before = (tmp_path / "mine.npz").read_bytes()
    threads = threading.active_count()

    def fail(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(KeyboardInterrupt):
        extract(clips, tmp_path / "mine.npz", PLAIN)
    assert (tmp_path / "mine.npz").read_bytes() == before
    assert not list(tmp_path.glob(".*tmp"))
    assert threading.active_count() <= threads + 1


@pytest.mark.parametrize(
    "rows, told",
    [
        (["name,label", "a,1"], "no column id"),
        (["id,part", "a,train"], "no column label"),
        (["id,label", "a,1", "a,2"], "two rows of one id"),
        (["id,label,part", "a,,train"], "a label is blank"),
        (["id,label,part", "a,1,holdout"], "holdout"),
    ],
)
def test_labels_are_looked_at_before_anything_is_decoded(clips, tmp_path, rows, told):
    utterance(clips, "a")
    (clips / "labels.csv").write_text("\n".join(rows))
    with pytest.raises(FsrfError, match=told):
        extract(clips, tmp_path / "mine.npz", PLAIN)
    assert not (tmp_path / "mine.missing.csv").exists()


def test_features_that_would_need_too_much_memory_are_told(clips, tmp_path):
    for i in range(3):
        wav(clips / f"{i}.wav")
    with pytest.raises(FsrfError, match="much memory"):
        extract(clips, tmp_path / "mine.npz", PLAIN.replace(memory=3000))


@pytest.mark.parametrize(
    "change, told",
    [
        (dict(audio="loud"), "egemaps"),
        (dict(language="vectors"), "name the file"),
        (dict(vectors="glove.txt", language="hashed"), "name the file"),
        (dict(rate=0.0), "rate"),
        (dict(vectors="nothing.txt"), "nothing.txt"),
    ],
)
def test_wrong_settings_are_told(clips, tmp_path, change, told):
    (clips / "a.txt").write_text("a word")
    with pytest.raises(FsrfError, match=told):
        extract(clips, tmp_path / "mine.npz", Extraction(**change))


# --- and on to a prediction -----------------------------------------------------------------------


@pytest.mark.slow
def test_the_whole_way_from_the_shell(clips, tmp_path, capsys, monkeypatch):
    import fsrf
    from fsrf.cli.main import main
    from fsrf.methods import build
    from fsrf.training import TrainConfig, fit

    for i in range(12):
        wav(clips / f"u{i}.wav", 200 if i % 2 else 900)
        (clips / f"u{i}.txt").write_text("yes" if i % 2 else "no")
    (clips / "u3.wav").unlink()
    parts = ["train"] * 6 + ["valid"] * 3 + ["test"] * 3
    rows = [f"u{i},{'good' if i % 2 else 'bad'},{part}" for i, part in enumerate(parts)]
    (clips / "labels.csv").write_text("\n".join(["id,label,part", *rows]))
    monkeypatch.chdir(tmp_path)
    words = "extract clips -o mine.npz --audio logmel --language hashed --quiet"
    assert main(words.split()) == 0
    said = capsys.readouterr().out
    assert "audio     11 of 12: logmel" in said and "mine.missing.csv" in said
    assert main("data check mine.npz".split()) == 0
    assert "extracted as logmel" in capsys.readouterr().out
    data = read("mine.npz").parts()
    net = build("plain_mrm", dict(width=8, heads=2, layers=1), data["train"].spec)
    config = TrainConfig(epochs=1, batch_size=4)
    fit(net, data["train"], data["valid"], config, seed=0, device="cpu", progress=False)
    fsrf.Predictor(net).save("net.safetensors")
    (clips / "labels.csv").unlink()
    (clips / "u5.txt").unlink()
    assert main("extract clips -o new.npz --audio logmel --language hashed --quiet".split()) == 0
    assert main("predict net.safetensors new.npz --out out.csv".split()) == 0
    table = pd.read_csv("out.csv").set_index("id")
    assert table.seen["u3"] == "language" and table.seen["u5"] == "audio"
    assert table.seen["u7"] == "language+audio"


@pytest.mark.skipif(not find_spec("opensmile"), reason="opensmile is not installed")
def test_egemaps_has_the_pitch_of_a_tone(tmp_path):
    from fsrf.data.files.sound import sound_track

    wav(tmp_path / "a.wav", 220, 2)
    track = sound_track(tmp_path / "a.wav", "egemaps")
    pitch = track.values[2:-2, track.columns.index("F0semitoneFrom27.5Hz_sma3nz")]
    assert track.values.shape[1] == 25 and np.abs(pitch - 36).max() < 0.5
    assert len(sound_of(tmp_path / "a.wav")[0]) == 32000
