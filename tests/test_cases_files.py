"""Files and habits from public reports: what is read, refused or noted, with its value

Own npz and folders, tables, computational sequences, ids, folds, and what `data check` says."""

import contextlib
import pickle
import sys
import zipfile

import h5py
import numpy as np
import pytest

from fsrf.cli import main as cli
from fsrf.core import FsrfError, read_json
from fsrf.data import cache, files
from fsrf.data.dataset import MultimodalDataset, load_dataset
from fsrf.data.files import warnings_of
from fsrf.data.known import KNOWN_SETS, guide

PARTS = ["train", "valid", "test"]
ROWS = 12


def audio(n=ROWS, frames=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, frames, 2)).astype("f4")


def scores(n=ROWS):
    return np.arange(n) * 0.5 - 2


def npz(folder, **arrays):
    "An own npz of twelve samples with a split, changed by `arrays` (None leaves one out)"
    whole = dict(x_audio=audio(), y=scores(), split=np.array(PARTS * 4)) | arrays
    np.savez(folder / "own.npz", **{k: a for k, a in whole.items() if a is not None})
    return folder / "own.npz"


def table(folder, text=None, **arrays):
    "A folder with samples.csv and npy files"
    for name, a in (arrays or dict(audio=audio())).items():
        np.save(folder / f"{name}.npy", a)
    rows = "".join(f"s{i},{PARTS[i % 3]},{v}\n" for i, v in enumerate(scores()))
    (folder / "samples.csv").write_text("id,split,y\n" + rows if text is None else text)
    return folder


def csd(folder, name, root, videos):
    with h5py.File(folder / name, "w") as f:
        for video, (intervals, features) in videos.items():
            f[f"{root}/data/{video}/intervals"] = np.asarray(intervals, "f4")
            f[f"{root}/data/{video}/features"] = features
    return folder / name


TICKS = np.c_[np.arange(40) * 0.1, np.arange(1, 41) * 0.1]
CUTS = [[0, 2], [2, 4]]


def opinion(*videos):
    return {v: (CUTS, np.array([[-2.0], [1.0]])) for v in videos}


def sound(*videos):
    return {v: (TICKS, np.ones((40, 3), "f4")) for v in videos}


def notes_of(path, **options):
    return " | ".join(files.load(path, **options).notes)


def told(path):
    "The words of the page of `data check`, and its exit code"
    lines, code = files.check(path)
    return "\n".join(lines), code


# --- labels never become inputs


@pytest.mark.parametrize("key", ["y", "label", "labels", "sentiment", "score"])
@pytest.mark.parametrize("shape", [(ROWS, 1), (ROWS, 1, 1), (ROWS,)])
def test_labels_of_any_shape_are_no_modality(tmp_path, key, shape):
    values = {"y": None, key: scores().reshape(shape)}
    ds = files.read(npz(tmp_path, **values))
    assert list(ds.x) == ["audio"] and ds.y.tolist() == scores().tolist()


@pytest.mark.parametrize(
    "key", ["regression_labels_T", "label", "emotion", "annotation", "gt", "rating", "class"]
)
def test_a_second_label_is_kept_with_a_note(tmp_path, key):
    ds = files.read(npz(tmp_path, **{key: scores()[:, None]}))
    assert list(ds.x) == ["audio"] and any(key in note for note in ds.meta["notes"])


def test_labels_beside_the_table_are_a_column(tmp_path):
    rows = "".join(f"s{i},{PARTS[i % 3]}\n" for i in range(ROWS))
    folder = table(tmp_path, "id,split\n" + rows, audio=audio(), labels=scores()[:, None])
    ds = files.read(folder)
    assert list(ds.x) == ["audio"] and ds.y.tolist() == scores().tolist()


def test_a_video_of_frames_is_a_modality_and_no_group(tmp_path):
    (tmp_path / "folder").mkdir()
    of_npz = files.read(npz(tmp_path, video=audio(seed=1)))
    of_folder = files.read(table(tmp_path / "folder", audio=audio(), video=audio(seed=1)))
    for ds in (of_npz, of_folder):
        assert np.array_equal(ds.x["video"], audio(seed=1)) and "video" not in ds.meta
    ds = files.read(npz(tmp_path, video=np.arange(ROWS) // 2))
    assert list(ds.x) == ["audio"] and len(set(ds.meta["groups"])) == ROWS // 2


def test_one_file_of_video_for_each_sample(tmp_path):
    (tmp_path / "video").mkdir()
    for i in range(ROWS):
        np.save(tmp_path / "video" / f"s{i}.npy", audio()[i])
    assert list(files.read(table(tmp_path)).x) == ["audio", "video"]


def test_word_vectors_without_word_numbers_are_told(tmp_path):
    assert "left out: text_table (20, 4)" in notes_of(npz(tmp_path, text_table=np.ones((20, 4))))


def test_a_column_that_is_the_label_is_a_leak(tmp_path):
    face = np.c_[np.random.default_rng(1).normal(size=ROWS), 2 * scores() + 1]
    page, code = told(npz(tmp_path, x_face=face))
    assert code == 0 and "LEAK: column 1 of face is the label itself" in page


def test_the_sentiment_of_mosei_is_the_label(tmp_path):
    csd(tmp_path, "CMU_MOSEI_LabelsSentiment.csd", "Sentiment Labels", opinion("vA"))
    emotions = {"vA": (CUTS, np.array([[0.3] * 6, [0.6] * 6]))}
    csd(tmp_path, "CMU_MOSEI_LabelsEmotions.csd", "Emotion Labels", emotions)
    csd(tmp_path, "CMU_MOSEI_COVAREP.csd", "COVAREP", sound("vA"))
    ds = files.read(tmp_path)
    assert (list(ds.x), ds.y.tolist()) == (["audio"], [-2, 1])
    assert ds.meta["emotions"].tolist() == [[0.3] * 6, [0.6] * 6]
    assert any("Emotion Labels" in note for note in ds.meta["notes"])


def test_emotions_alone_are_no_score(tmp_path):
    csd(tmp_path, "LabelsEmotions.csd", "Emotion Labels", {"vA": (CUTS, np.full((2, 6), 0.3))})
    csd(tmp_path, "COVAREP.csd", "COVAREP", sound("vA"))
    with pytest.raises(FsrfError, match="several columns"):
        files.read(tmp_path)


def test_two_files_of_scores_are_asked_about(tmp_path):
    for root in ("Opinion Labels", "Sentiment Labels"):
        csd(tmp_path, f"{root}.csd", root, opinion("vA"))
    csd(tmp_path, "COVAREP.csd", "COVAREP", sound("vA"))
    with pytest.raises(FsrfError, match="(?s)Opinion.*Sentiment"):
        files.read(tmp_path)


# --- tables as people save them


@pytest.mark.parametrize("hole", ["", "NA", "None", "?", "nan"])
def test_one_blank_among_scores(tmp_path, hole):
    values = [hole if i == 3 else str(v) for i, v in enumerate(scores())]
    rows = "".join(f"s{i},{PARTS[i % 3]},{v}\n" for i, v in enumerate(values))
    with pytest.raises(FsrfError, match=r"y, row 3|\(s3\)"):
        files.read(table(tmp_path, "id,split,y\n" + rows))


@pytest.mark.parametrize("end", ["\n", "\n\n\r\n", ",,\n", " , ,\n"])
def test_lines_without_anything_are_skipped(tmp_path, end):
    text = table(tmp_path).joinpath("samples.csv").read_text()
    ds = files.read(table(tmp_path, text + end))
    assert len(ds) == ROWS and ds.y.tolist() == scores().tolist()


@pytest.mark.parametrize(
    "head",
    ["label,id,split", "clip,id,split,label", "dialogue,id,split,label", "(x,id,split,label"],
)
def test_a_table_named_by_itself(tmp_path, head):
    def cell(name, i):
        return dict(label=scores()[i], id=f"s{i}", split=PARTS[i % 3]).get(name, f"v{i}")

    rows = [",".join(str(cell(name, i)) for name in head.split(",")) for i in range(ROWS)]
    folder = table(tmp_path, "\n".join([head, *rows]))
    one, other = files.read(folder / "samples.csv"), files.read(folder)
    assert len(one) == ROWS and one.sha256 == other.sha256 and one.name == other.name
    assert folder / "audio.npy" in files.files_of(folder / "samples.csv")


def test_bom_capitals_and_names_of_parts(tmp_path):
    words = ["Training", "VAL", " test "]
    rows = "".join(f"{i:03d},{words[i % 3]},{v}\n" for i, v in enumerate(scores()))
    ds = files.read(table(tmp_path, "\ufeffID,Split,Label\n" + rows))
    assert ds.ids[7] == "007" and ds.split.tolist() == PARTS * 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id;split;y\ns0;train;0,5\n", "commas"),
        ("id,split,y,y\ns0,train,1,2\n", "two columns of one name"),
        ("", "empty"),
        ("id,split,y\ns0,train\n", "line 2"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, words):
    with pytest.raises(FsrfError, match=words):
        files.read(table(tmp_path, text))


def test_a_table_in_another_encoding(tmp_path):
    folder = table(tmp_path)
    (folder / "samples.csv").write_text("id,split,y\ns0,train,1\n", encoding="utf-16")
    with pytest.raises(FsrfError, match="UTF-8"):
        files.read(folder)


def test_clips_of_sims_make_ids(tmp_path):
    rows = "".join(
        f"video_{i // 3:04d},{i % 3:04d},{v},{PARTS[i // 4]}\n" for i, v in enumerate(scores())
    )
    ds = files.read(table(tmp_path, "video_id,clip_id,label,mode\n" + rows))
    assert ds.ids[4] == "video_0001/0001" and ds.meta["groups"][4] == "video_0001"
    assert "LEAK: 1 videos are in valid and in test: video_0002" in told(tmp_path)[0]


# --- ids


def test_one_file_for_two_ids(tmp_path):
    ids = [f"v{i}/{k}" for i in range(6) for k in range(2)]
    rows = "".join(f"{t},{PARTS[i % 3]},{i}\n" for i, t in enumerate(ids))
    (tmp_path / "audio").mkdir()
    for k in range(2):
        np.save(tmp_path / "audio" / f"{k}.npy", np.full((2, 3), k + 1.0))
    (tmp_path / "samples.csv").write_text("id,split,y\n" + rows)
    with pytest.raises(FsrfError, match="v0/0.npy"):
        files.read(tmp_path)
    for i, name in enumerate(ids):
        path = tmp_path / "audio" / f"{name if i % 2 else name.replace('/', '_')}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.full((2, 3), i + 1.0))
    ds = files.read(tmp_path)
    assert ds.x["audio"][:, 0, 0].tolist() == list(range(1, 13))
    assert any("2 files belong to no sample" in note for note in ds.meta["notes"])
    (tmp_path / "samples.csv").write_text("id,split,y\n" + rows.replace("v1/0", "v0_0"))
    with pytest.raises(FsrfError, match="two samples have one file"):
        files.read(tmp_path)


def test_an_id_does_not_leave_its_folder(tmp_path):
    own = tmp_path / "own"
    (own / "audio").mkdir(parents=True)
    np.save(tmp_path / "secret.npy", np.ones((2, 3)))
    np.save(own / "audio" / "s1.npy", np.ones((2, 3)))
    (own / "samples.csv").write_text("id,split,y\n../../secret,train,.5\ns1,test,1.5\n")
    ds = files.load(own)
    assert ds.length["audio"].tolist() == [0, 2] and "../../secret" in " ".join(ds.notes)


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("video_0001/0002", "video_0001"),
        ("video_0001_0002", "video_0001"),
        ("video_0001$_$0002", "video_0001"),
        ("dia0_utt3.mp4", "dia0"),
        ("dia0_utt3", "dia0"),
        ("03bSnISJMiM_11", "03bSnISJMiM"),
        ("Ses01F_impro01_F000", "Ses01F_impro01"),
        ("Ses01F_script01_1_M012", "Ses01F_script01_1"),
        ("-6rXp3zJ3kc_12.5_17", "-6rXp3zJ3kc"),
        ("video_0001", "video_0001"),
        ("sample_12", "sample_12"),
        ("v[3]", "v"),
    ],
)
def test_the_video_of_an_id(name, video):
    assert files.video_of(name) == video


# --- arrays, names, lengths: nothing lost without a word


def test_whole_numbers_and_vectors_are_modalities(tmp_path):
    ds = files.read(npz(tmp_path, x_beats=np.arange(ROWS), x_units=np.ones((ROWS, 4, 2), int)))
    assert {m: a.shape for m, a in ds.x.items()} == dict(
        audio=(ROWS, 3, 2), beats=(ROWS, 1, 1), units=(ROWS, 4, 2)
    )


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (dict(gaze=np.arange(ROWS)), "gaze"),
        (dict(extra=audio(5)), "extra"),
        (dict(pixels=audio()[..., None]), "pixels"),
        (dict(length_audio=np.full(ROWS, 7)), "12 lengths are beyond its 3 frames"),
        (dict(folds=np.arange(ROWS) % 3 + 1.0), "from 1"),
    ],
)
def test_what_is_noted(tmp_path, arrays, words):
    assert words in notes_of(npz(tmp_path, **arrays))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (dict(x_audio=audio(5)), "x_audio"),
        (dict(x_words=np.array(["a"] * ROWS)), "x_words"),
        (dict(audio=audio()), "two modalities of one name"),
        (dict(split=np.array(PARTS)), "split"),
        (dict(id=np.arange(5)), "id"),
        (dict(group=np.arange(5)), "group"),
        (dict(split=np.array(["train", "tset", "test"] * 4)), "(?s)row 1.*4 rows.*did you mean"),
        (dict(part=np.array(["test"] * ROWS)), "split and part"),
        (dict(length=np.full(ROWS, 1.5)), "row 0"),
        (dict(length=np.ones(ROWS, int)), "(?s)sample 0.*12 such samples"),
        (
            dict(y=np.where(np.arange(ROWS) == 5, np.nan, scores())),
            r"(?s)own\.npz, .*\(5\).*1 such",
        ),
        (dict(x_type=audio()), "'type'"),
    ],
)
def test_what_is_refused(tmp_path, arrays, words):
    with pytest.raises(FsrfError, match=words):
        files.read(npz(tmp_path, **arrays))
    with contextlib.suppress(FsrfError):
        assert told(tmp_path / "own.npz")[1] == 1


def test_a_dot_in_a_name_is_harmless(tmp_path):
    ds = files.read(table(tmp_path, **{"glove.6B.300d": audio(), "audio": audio(seed=1)}))
    assert "glove_6B_300d" in ds.x and any("glove.6B.300d" in n for n in ds.meta["notes"])
    with pytest.raises(FsrfError, match="'a.b'"):
        MultimodalDataset(
            "own",
            {"a.b": audio()},
            {"a.b": np.full(ROWS, 3)},
            scores(),
            [f"s{i}" for i in range(ROWS)],
            "regression",
        )


# --- folds and splits: what check calls usable, read and a run take


FOLDS = np.arange(ROWS) % 3


@pytest.mark.parametrize(
    "folds",
    [FOLDS, FOLDS * 1.0, FOLDS[:, None], FOLDS[None], FOLDS + 1, np.c_[FOLDS, (FOLDS + 1) % 3]],
)
def test_folds_that_are_read(tmp_path, folds):
    path = npz(tmp_path, split=None, folds=folds)
    ds = files.read(path)
    page, code = told(path)
    assert code == 0 and "no split" not in page and "verdict   ready" in page
    assert ds.folds[0].tolist() == FOLDS.tolist()
    assert all(len(part) for k in range(3) for part in ds.parts(k).values())


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        (np.arange(ROWS) % 2, "too few folds"),
        (FOLDS * 2, "none of 1"),
        (FOLDS + 0.5, "row 0"),
        (FOLDS[:5], "shape"),
        (np.array(["a", "b", "c"] * 4), "numbers"),
    ],
)
def test_folds_that_are_refused(tmp_path, folds, words):
    path = npz(tmp_path, split=None, folds=folds)
    for look in (files.read, files.check):
        with pytest.raises(FsrfError, match=words):
            look(path)


def test_split_and_folds_together(tmp_path):
    path = npz(tmp_path, folds=FOLDS)
    ds = files.read(path)
    assert ds.split.tolist() == PARTS * 4 and ds.folds.tolist() == [FOLDS.tolist()]
    assert "runs use the folds" in told(path)[0]
    split = np.array(["unlabelled", *PARTS * 4][:ROWS])
    with pytest.raises(FsrfError, match="row 0"):
        files.read(npz(tmp_path, folds=FOLDS, split=split))


def test_a_group_on_several_folds(tmp_path):
    path = npz(tmp_path, split=None, folds=FOLDS, group=np.repeat(list("abcd"), 3))
    assert "LEAK: 4 videos are in several folds" in told(path)[0]


@pytest.mark.parametrize("split", [None, np.array(["train", "test"] * 6)])
def test_a_set_without_all_parts_can_be_read_and_not_run(tmp_path, split):
    path = npz(tmp_path, split=split)
    page, code = told(path)
    assert code == 1 and "can be read, but no run can be made of it" in page
    with pytest.raises(FsrfError):
        files.read(path).parts()


# --- computational sequences


def test_a_video_in_no_fold(tmp_path):
    videos = ("vA", "vB", "vC", "vD")
    csd(tmp_path, "l.csd", "All Labels", opinion(*videos))
    csd(tmp_path, "a.csd", "COVAREP", sound(*videos[:3]))
    folds = tmp_path / "folds.py"
    text = "standard_train_fold = ['vA', 'vX']\nstandard_val_fold = ['vB']\n"
    folds.write_text(text + "standard_test_fold = ['vC']\n")
    ds = files.read([tmp_path / "l.csd", tmp_path / "a.csd"], folds=folds)
    notes = " | ".join(ds.meta["notes"])
    assert len(ds) == 6 and "2 segments of 1 videos" in notes and "vD" in notes and "vX" in notes
    whole = notes_of([tmp_path / "l.csd", tmp_path / "a.csd"])
    assert "1 videos have no a: zero there (vD)" in whole


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"train": ["vA"], "val": ["vA"], "test": ["vC"]}', "(?s)vA.*train and valid"),
        ('{"train": ["vA"], "validd": ["vB"], "test": ["vC"]}', "'validd'"),
        ('{"train": ["vA"], "test": ["vC"]}', "no valid"),
        ('["vA"]', "cannot be read"),
    ],
)
def test_files_of_folds_that_are_refused(tmp_path, text, words):
    (tmp_path / "folds.json").write_text(text)
    with pytest.raises(FsrfError, match=words):
        files.read_folds(tmp_path / "folds.json")


def test_word_vectors_without_words(tmp_path):
    r = np.random.default_rng(0)
    csd(tmp_path, "labels.csd", "Opinion Segment Labels", opinion("vA"))
    words = [[k * 0.5, k * 0.5 + 0.5] for k in range(8)]
    vectors = r.normal(size=(8, 4)).astype("f4")
    csd(tmp_path, "vectors.csd", "glove_vectors", {"vA": (words, vectors)})
    csd(tmp_path, "covarep.csd", "COVAREP", sound("vA"))
    ds = files.read(tmp_path)
    assert {m: a.shape for m, a in ds.x.items()} == dict(language=(2, 4, 4), audio=(2, 4, 3))
    assert np.allclose(ds.x["language"].reshape(8, 4), vectors)


def test_words_and_labels_of_other_videos(tmp_path):
    csd(tmp_path, "labels.csd", "Labels", opinion("vA", "vB"))
    words = {v: ([[0, 1], [2, 3]], np.array([[b"so"], [b"good"]])) for v in ("vA", "vC")}
    csd(tmp_path, "words.csd", "words", words)
    csd(tmp_path, "covarep.csd", "COVAREP", sound("vA"))
    notes = notes_of(tmp_path)
    assert "labels but no words: left out (vB)" in notes
    assert "words but no labels: left out (vC)" in notes


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4000,
        b"version https://git-lfs.github.com/spec",
        b"<!DOCTYPE html><html>",
        b"just text",
    ],
)
def test_a_stream_that_is_no_data_is_not_left_out_in_silence(tmp_path, content):
    csd(tmp_path, "labels.csd", "Labels", opinion("vA"))
    csd(tmp_path, "covarep.csd", "COVAREP", sound("vA"))
    (tmp_path / "readme.html").write_bytes(b"<!DOCTYPE html>")
    assert list(files.read(tmp_path).x) == ["audio"]
    (tmp_path / "facet.csd").write_bytes(content)
    with pytest.raises(FsrfError, match=r"facet\.csd"):
        files.read(tmp_path)


# --- what is said before a run


def doubtful(y, task="regression", **changes):
    x = dict(audio=audio()) | changes
    length = {m: np.full(ROWS, a.shape[1]) for m, a in x.items()}
    names = ("no", "yes") if task == "binary" else ()
    return MultimodalDataset(
        "doubtful",
        x,
        length,
        y,
        [f"s{i}" for i in range(ROWS)],
        task,
        names,
        split=np.array(PARTS * 4),
    )


TEST = np.array(PARTS * 4) == "test"
TRAIN = np.array(PARTS * 4) == "train"


@pytest.mark.parametrize(
    ("ds", "words"),
    [
        (doubtful(np.where(TEST, 1.5, scores())), "all test labels are 1.5"),
        (doubtful(np.where(TEST, 1, np.arange(ROWS) // 6), "binary"), "all test labels are 'yes'"),
        (doubtful(np.where(TRAIN, 0, np.arange(ROWS) // 6), "binary"), "train lacks: yes"),
        (doubtful(scores(), face=np.where(TRAIN, 0, 1)[:, None, None] * audio()), "face is zero"),
        (doubtful(scores(), face=3 * scores()[:, None, None]), "column 0 of face is the label"),
    ],
)
def test_what_makes_a_run_worthless(ds, words):
    assert any(words in text for text in warnings_of(ds)), warnings_of(ds)
    assert warnings_of(doubtful(scores())) == []


def test_one_validation_sample(tmp_path):
    split = np.array(["train", "train", "test"] * 4)
    split[0] = "valid"
    assert "valid has one sample" in told(npz(tmp_path, split=split))[0]


def test_warnings_of_folds_and_of_a_stored_set(tmp_path):
    ds = doubtful(np.where(FOLDS == 1, 0.5, scores()))
    ds = MultimodalDataset(ds.name, ds.x, ds.length, ds.y, ds.ids, ds.task, folds=FOLDS[None])
    found = warnings_of(ds)
    assert len(found) == 3 and all("(1 of 3 folds, first fold" in text for text in found)
    assert warnings_of(cache.open_entry(cache.save(ds, tmp_path), tmp_path)) == found


# --- messages


def test_a_path_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "store_root", lambda: tmp_path / "cache")
    npz(tmp_path)
    with pytest.raises(FsrfError, match="(?s)no such file.*did you mean 'own.npz'"):
        load_dataset(str(tmp_path / "owm.npz"))
    with pytest.raises(FsrfError, match="no such file"):
        load_dataset("nowhere/mosi")
    with pytest.raises(FsrfError, match="unknown data set"):
        load_dataset("nowhere")
    assert len(load_dataset(str(tmp_path / "own.npz"))) == ROWS


def test_what_an_older_reader_kept_is_not_taken(tmp_path, monkeypatch):
    made, path = [], npz(tmp_path)
    reader = sys.modules["fsrf.data.files.read"]
    monkeypatch.setattr(reader, "read", lambda p: made.append(p) or files.read(p))
    for version in ("one", "one", "two"):
        monkeypatch.setattr(reader, "_readers", lambda version=version: version)
        reader.open_path(path, tmp_path / "cache")
    assert len(made) == 2


def test_advice_that_does_no_harm(tmp_path):
    (tmp_path / "mine.json").write_text("{")
    with pytest.raises(FsrfError) as e:
        read_json(tmp_path / "mine.json")
    assert "correct it" in str(e.value) and "delete" not in str(e.value)
    with pytest.raises(FsrfError, match="give the file a split"):
        files.write_mmsa(files.read(npz(tmp_path, split=None)), tmp_path / "out.pkl")
    with pytest.raises(FsrfError) as e:
        files.read(npz(tmp_path, split=None, folds=FOLDS)).parts(7)
    assert "0 to 2" in str(e.value)


@pytest.mark.parametrize("name", ["a.npy", "a.zip", "a.csv"])
def test_files_that_are_no_set_are_named(tmp_path, name):
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, audio())
    elif name == "a.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data.csd", "x")
    else:
        path.write_text("id,label\na,1\n")
    words = {"a.npy": "samples.csv", "a.zip": "unpack", "a.csv": "samples.csv"}[name]
    with pytest.raises(FsrfError, match=words):
        files.read(path)


def test_the_guide(capsys):
    assert cli.main(["data", "guide", "mosei"]) == 0
    page = capsys.readouterr().out
    assert "train 16326, valid 1871, test 4659" in page and "Carnegie Mellon" in page
    assert cli.main(["data", "guide", "moesi"]) == 2 and "mosei" in capsys.readouterr().err
    assert KNOWN_SETS["iemocap"].parts == (2717, 798, 938) and "http" not in "".join(
        line for name in KNOWN_SETS for line in guide(name)
    )
    assert KNOWN_SETS["mosi"].parts == (1284, 229, 686)


def test_known_widths_and_sizes_are_told(tmp_path):
    split = np.repeat(PARTS, (1284, 229, 686))
    n = len(split)
    sound = np.random.default_rng(0).normal(size=(n, 74))
    page, code = told(npz(tmp_path, x_audio=sound, y=np.linspace(-3, 3, n), split=split))
    assert code == 0 and "sizes of CMU-MOSI" in page and "audio has 74 columns: COVAREP" in page


@pytest.mark.parametrize("name", ["empty.npz", "zeros.pkl", "cut.npz", "cut.pkl"])
def test_a_damaged_file_of_ones_own_is_not_to_be_fetched(tmp_path, name):
    whole = npz(tmp_path).read_bytes() if name == "cut.npz" else pickle.dumps(audio(), 4)
    data = {"empty.npz": b"", "zeros.pkl": bytes(50)}.get(name, whole[:120])
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FsrfError, match="take a whole copy") as e:
        files.load(tmp_path / name)
    assert "fetch" not in str(e.value) and "download" not in str(e.value)
