"""Labels, tasks and pickles as people have them, after public reports: what they become, or the
error that says why not."""

import gzip
import pickle

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsrf.core import FormatError, FsrfError
from fsrf.data import files
from fsrf.data.dataset import MultimodalDataset
from fsrf.data.files.file_labels import labels_of
from fsrf.data.labels import keep_labels

SPLITS = ("train", "valid", "test")
rng = np.random.default_rng(0)


def floats(*shape):
    return rng.normal(size=shape).astype("f4")


def pickled(path, obj):
    path.write_bytes(pickle.dumps(obj, 4))
    return path


def splits(part):
    "Three splits of the fields that `part(name)` makes"
    return {name: part(name) for name in SPLITS}


def mult(name, labels, **fields):
    ids = np.array([f"{name}{i}" for i in range(len(labels))])
    n = len(labels)
    base = dict(text=floats(n, 5, 3), audio=floats(n, 5, 2), vision=floats(n, 5, 2))
    return base | dict(labels=labels, id=ids) | fields


def mmsa(name, n=4, **fields):
    base = dict(audio=floats(n, 5, 2), vision=floats(n, 5, 2), raw_text=np.array(["a b"] * n))
    base |= dict(regression_labels=floats(n), id=[f"{name}{i}" for i in range(n)])
    return base | fields


# --- labels never become inputs -------------------------------------------------------------------


@pytest.mark.parametrize("key", ["y", "label", "labels", "sentiment", "score"])
@pytest.mark.parametrize("axes", [(), (1,), (1, 1)])
def test_the_labels_of_an_npz_are_no_modality(tmp_path, key, axes):
    y = np.linspace(-1, 1, 6)
    np.savez(
        tmp_path / "own.npz",
        x_audio=np.ones((6, 3, 2), "f4"),
        split=np.array(SPLITS * 2),
        emotions=floats(6, 6),
        regression_labels_T=floats(6, 1, 1),
        **{key: y.reshape(6, *axes)},
    )
    ds = files.read(tmp_path / "own.npz")
    assert list(ds.x) == ["audio"] and np.allclose(ds.y, y) and ds.task == "regression"


def test_labels_under_other_names_in_a_pickle_are_no_modality(tmp_path):
    def part(name):
        return mmsa(name, regression_labels_T=floats(4, 1, 1), emotions=floats(4, 6, 1))

    ds = files.read(pickled(tmp_path / "a.pkl", splits(part)))
    assert list(ds.x) == ["audio", "visual"]
    assert any("emotions (labels)" in note for note in ds.meta["notes"])


def test_hidden_labels_are_hidden_under_every_name(tmp_path):
    def part(name):
        y = np.arange(4) % 2
        return mmsa(
            name,
            regression_labels=y.astype("f4"),
            classification_labels=y,
            annotations=np.array(["no", "yes"])[y],
            regression_labels_T=y / 2,
        )

    few = keep_labels(files.read(pickled(tmp_path / "a.pkl", splits(part))), 2)
    hidden = few.split == "unlabelled"
    assert hidden.sum() == 2 and np.isnan(few.meta["regression_labels_T"][hidden]).all()
    assert (few.meta["annotations"][hidden] == "").all()


# --- the task follows from the labels -------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "task", "y"),
    [
        (np.array([[0], [1], [1], [0]]), "binary", [0, 1, 1, 0]),
        (np.array([0.0, 1, 1, 0])[:, None, None], "binary", [0, 1, 1, 0]),
        ([-1, 1, 1, -1], "binary", [0, 1, 1, 0]),
        (["no", "yes", "yes", "no"], "binary", [0, 1, 1, 0]),
        (np.eye(4, dtype="f4"), "multiclass", [0, 1, 2, 3]),
        ([-1.0, 0.5, 0, 2], "regression", [-1, 0.5, 0, 2]),
        (np.array([-1.5, 1, 3, 0])[:, None, None], "regression", [-1.5, 1, 3, 0]),
    ],
)
def test_labels_of_mult_files(tmp_path, labels, task, y):
    path = pickled(tmp_path / "a.pkl", splits(lambda name: mult(name, labels)))
    ds = files.read(path)
    assert ds.task == task and np.allclose(ds.y, y * 3)
    if task == "binary":
        assert files.read(path, task="binary").y.tolist() == y * 3


def test_emotions_are_several_labels(tmp_path):
    obj = splits(lambda name: mult(name, rng.integers(0, 2, (4, 6)).astype("f4")))
    ds = files.read(pickled(tmp_path / "mosei_emo_data.pkl", obj))
    wanted = np.concatenate([part["labels"] for part in obj.values()])
    assert ds.task == "multilabel-binary" and (ds.y == wanted).all()
    obj = splits(lambda name: mult(name, rng.uniform(0, 3, (4, 6))))
    with pytest.raises(FormatError, match=r"labels of several columns[\s\S]*next:"):
        files.read(pickled(tmp_path / "intensities.pkl", obj))


def test_sentiment_beside_emotions_is_the_label(tmp_path):
    y = np.c_[[-2.0, 1, 0, 3], rng.uniform(0, 3, (4, 6))]
    ds = files.read(pickled(tmp_path / "a.pkl", splits(lambda name: mult(name, y))))
    assert ds.y.tolist() == [-2, 1, 0, 3] * 3 and ds.meta["emotions"].shape == (12, 6)
    assert any("emotions" in note for note in ds.meta["notes"])


@pytest.mark.parametrize(
    ("labels", "words"),
    [([0.0, 1, 2, 1], None), ([-1, 0, 1, 1], "-1"), ([0.0, 1, np.nan, 1], "row 2 of train")],
)
def test_classes_of_mmsa(tmp_path, labels, words):
    def part(name):
        return dict(
            audio=floats(4, 5, 2),
            classification_labels=np.array(labels),
            id=[f"{name}{i}" for i in range(4)],
        )

    path = pickled(tmp_path / "c.pkl", splits(part))
    if words is None:
        lines, code = files.check(path)
        assert code == 0 and files.read(path).y.tolist() == [0, 1, 2, 1] * 3
        return
    with pytest.raises(FormatError) as e:
        files.check(path)
    assert words in str(e.value) and "c.pkl" in str(e.value)


def test_regression_labels_that_repeat_classes_are_classes(tmp_path):
    y = np.array([0, 1, 1, 0])
    obj = splits(lambda name: mmsa(name, regression_labels=y * 1.0, classification_labels=y))
    ds = files.read(pickled(tmp_path / "a.pkl", obj))
    assert ds.task == "binary" and ds.y.tolist() == [0, 1, 1, 0] * 3


@pytest.mark.parametrize("hole", ["", "NA", "None", "?", "nan", "null"])
def test_a_hole_among_scores_is_named(tmp_path, hole):
    np.save(tmp_path / "audio.npy", np.ones((12, 3, 2), "f4"))
    rows = [f"s{i},{SPLITS[i % 3]},{hole if i == 3 else i * 0.5 - 2}" for i in range(12)]
    (tmp_path / "samples.csv").write_text("id,split,y\n" + "\n".join(rows) + "\n")
    with pytest.raises(FormatError, match="row 3"):
        files.read(tmp_path)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([0.0, 1, 2, np.nan], "row 3"),
        ([0, 1, -1, 0], "row 2"),
        (["1.5", "two", "3"], "row 1"),
        (np.full((4, 3), 0.5), "several columns"),
        (np.arange(300), "at most 100 classes"),
    ],
)
def test_labels_with_two_readings_are_asked_about(y, words):
    with pytest.raises(FormatError, match=words) as e:
        labels_of(y, "own.npz")
    assert {"where", "expected", "next"} <= set(e.value.parts)


def test_a_missing_label_is_named_by_file_row_and_count(tmp_path):
    def part(name):
        y = np.array([0.5, np.nan, np.nan, -1]) if name == "valid" else floats(4)
        return mmsa(name, regression_labels=y)

    with pytest.raises(FormatError) as e:
        files.read(pickled(tmp_path / "a.pkl", splits(part)))
    text = str(e.value)
    assert all(word in text for word in ("a.pkl", "row 1 of valid (valid1)", "2 such rows"))


def test_scores_on_one_side_are_not_cut_at_0(tmp_path):
    obj = splits(lambda name: mmsa(name, regression_labels=np.array([1.0, 2.5, 3, 5])))
    path = pickled(tmp_path / "a.pkl", obj)
    with pytest.raises(FormatError, match="both sides of 0"):
        files.read(path, task="binary")
    assert files.read(path).task == "regression"


@pytest.mark.parametrize("what", ["one-hot", "seventeen"])
def test_labels_of_other_mfn_sets(tmp_path, what):
    for part, n in dict(train=6, valid=3, test=3).items():
        y = np.eye(3, dtype="f4")[np.arange(n) % 3] if what == "one-hot" else floats(n, 17)
        for m, a in dict(audio=np.ones((n, 4, 2)), video=np.ones((n, 4, 3)), y=y).items():
            with h5py.File(tmp_path / f"{m}_{part}.h5", "w") as h:
                h["d1"] = a
    if what == "one-hot":
        ds = files.read(tmp_path)
        assert (ds.task, len(ds), ds.y[:3].tolist()) == ("multiclass", 12, [0, 1, 2])
        return
    with pytest.raises(FormatError, match="labels of several columns"):
        files.read(tmp_path)


# --- nothing is lost in silence -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(text_bert=np.ones((4, 3, 5), "f4")), "language is left out"),
        (dict(text=np.array(["a b"] * 4)), "language is left out"),
        (dict(text=["a b"] * 4), "language is left out"),
        (dict(text=np.arange(20).reshape(4, 5)), "language is left out"),
        (dict(text=np.arange(60.0).reshape(4, 15)), "token numbers"),
        (dict(text=floats(4)), "language is left out"),
        (dict(pose=floats(4, 6)), "pose"),
        (dict(faces=np.ones((4, 5, 2), int)), "faces"),
        (dict(notes={"by": "me"}), "notes"),
        (dict(audio_lengths=[9, 5, 1, 2]), "audio_lengths: 3 are longer than the 5 frames"),
    ],
)
def test_what_is_no_feature_is_told(tmp_path, changes, words):
    path = pickled(tmp_path / "a.pkl", splits(lambda name: mmsa(name, **changes)))
    ds = files.read(path)
    assert list(ds.x) == ["audio", "visual"]
    assert any(words in note for note in ds.meta["notes"]), ds.meta["notes"]
    assert any(words in line for line in files.check(path)[0])


def test_a_field_of_some_splits_is_told(tmp_path):
    obj = splits(mmsa)
    obj["train"]["text"] = floats(4, 5, 3)
    ds = files.read(pickled(tmp_path / "a.pkl", obj))
    assert any("language is left out" in note for note in ds.meta["notes"])


def test_lists_and_whole_numbers_are_features(tmp_path):
    def part(name):
        return mmsa(
            name,
            regression_labels=[-1.0, 0.5, 0, 2],
            text=[[[1.5, 2], [3, 4]]] * 4,
            audio=np.full((4, 5, 2), 7, "i2"),
            vision=[np.ones((t, 2), "f4") for t in (1, 3, 2, 4)],
        )

    ds = files.read(pickled(tmp_path / "features.pkl", splits(part)))
    assert ds.y.tolist() == [-1, 0.5, 0, 2] * 3 and list(ds.x) == ["language", "audio", "visual"]
    assert ds.x["language"][0].tolist() == [[1.5, 2], [3, 4]] and (ds.x["audio"] == 7).all()
    assert ds.length["visual"].tolist() == [1, 3, 2, 4] * 3
    assert any("whole numbers" in note for note in ds.meta["notes"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(dev=mmsa("dev")), "twice"),
        (dict(tset=mmsa("tset")), "did you mean test"),
        (dict(vocabulary=["a", "b"]), None),
    ],
)
def test_splits_with_strange_names(tmp_path, changes, words):
    path = pickled(tmp_path / "a.pkl", splits(mmsa) | changes)
    if words is None:
        assert any("vocabulary" in note for note in files.read(path).meta["notes"])
        return
    with pytest.raises(FormatError, match=words):
        files.read(path)


def test_one_order_of_modalities(tmp_path):
    def part(name):
        fields = mmsa(name)
        return dict(
            face=floats(4, 1, 2), vision=fields.pop("vision"), **fields, text=floats(4, 5, 3)
        )

    ds = files.read(pickled(tmp_path / "a.pkl", splits(part)))
    assert list(ds.x) == ["language", "audio", "visual", "face"]
    z = dict(x_visual=floats(3, 2), x_audio=floats(3, 2), x_language=floats(3, 2), y=floats(3))
    np.savez(tmp_path / "a.npz", **z)
    assert list(files.load(tmp_path / "a.npz").x) == ["language", "audio", "visual"]


# --- lists of samples -----------------------------------------------------------------------------


def six(i, label=1.5):
    fields = [], floats(4, 5), floats(3, 6), ["good", "film"], np.int64(3), np.int64(3)
    return fields, np.array([[label]], "f4"), f"v{i}_1"


def test_six_fields_of_mmim(tmp_path):
    for name, n in dict(train=4, dev=2, test=2).items():
        pickled(tmp_path / f"{name}.pkl", [six(i, (i % 2) * 1.0) for i in range(n)])
    ds = files.read(tmp_path)
    assert {m: a.shape for m, a in ds.x.items()} == dict(audio=(8, 3, 6), visual=(8, 3, 5))
    assert ds.length["visual"].tolist() == [3] * 8 and ds.length["audio"].tolist() == [3] * 8
    assert ds.task == "binary" and ds.meta["text"][0] == "good film"
    assert any("language is left out" in note for note in ds.meta["notes"])


def test_the_task_is_that_of_the_whole_folder(tmp_path):
    for name, labels in dict(train=(-1.4, 0), dev=(0, 1), test=(1, 1)).items():
        pickled(tmp_path / f"{name}.pkl", [six(i, label) for i, label in enumerate(labels)])
    ds = files.read(tmp_path)
    assert ds.task == "regression" and np.allclose(ds.y, [-1.4, 0, 0, 1, 1, 1])


def test_a_folder_with_a_split_twice_or_a_pointer_in_its_place(tmp_path):
    for name in ("train", "dev", "test"):
        pickled(tmp_path / f"{name}.pkl", [six(0), six(1)])
    pickled(tmp_path / "valid.pkl", [six(0)])
    with pytest.raises(FormatError, match="twice"):
        files.read(tmp_path)
    (tmp_path / "valid.pkl").unlink()
    (tmp_path / "train.pkl").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1")
    with pytest.raises(FormatError, match="Git LFS"):
        files.read(tmp_path)


@pytest.mark.parametrize("m", ["text", "audio", "video"])
def test_features_by_video_are_of_the_modality_in_the_name(tmp_path, m):
    x, y = floats(2, 3, 2), np.array([[0, 1, 0], [1, 0, 0]])
    path = pickled(tmp_path / f"{m}_2way.pickle", (x, y, x, y, 3, [3, 2], [1, 3]))
    modality = dict(text="language", audio="audio", video="visual")[m]
    assert list(files.load(path).x) == [modality]


def test_many_small_samples_are_no_bomb(tmp_path):
    words, visual, audio = ["good", "film"] * 5, np.ones((10, 4), "f4"), np.ones((10, 5), "f4")
    label = np.array([[1.5]], "f4")
    part = [((words, visual + 1, audio + 1), label + 0, f"v{i}[0]") for i in range(13_000)]
    path = pickled(tmp_path / "mosei.pkl", dict(train=part, dev=part[:10], test=part[:10]))
    assert len(files.load(path)) == 13_020


def test_memory_lifts_the_limit_of_steps(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"(0" * 1_300_000 + b"N.")
    with pytest.raises(FormatError, match="memory="):
        files.load(path)
    with pytest.raises(FormatError, match="unknown layout"):
        files.load(path, memory=2**31)


# --- what is no data file -------------------------------------------------------------------------

WHOLE = pickle.dumps(splits(mmsa), 2)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.pkl", b"", "empty"),
        ("a.pkl", bytes(5000), "zeros"),
        ("a.pkl", b"\n<!DOCTYPE html><html><title>Sign in</title>", "web page"),
        ("a.npz", b'<html lang="en">', "web page"),
        ("a.csd", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        ("a.pkl", WHOLE.replace(b"\n", b"\r\n"), "moved as text"),
        ("a.pkl", WHOLE[:-200] + bytes(200), "filled with zeros"),
        ("a.safetensors", (70).to_bytes(8, "little") + b'{"x":{"dtype":"F32"', "safetensors"),
        ("a.pkl", gzip.compress(b"x" * 99), "gzip"),
    ],
)
def test_files_that_are_no_data_are_named_for_what_they_are(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError, match=words) as e:
        files.read(tmp_path / name)
    assert {"where", "next"} <= set(e.value.parts)


def test_files_of_torch_are_named(tmp_path):
    torch = pytest.importorskip("torch")
    for new in (True, False):
        torch.save(dict(a=torch.ones(3)), tmp_path / "a.pt", _use_new_zipfile_serialization=new)
        with pytest.raises(FormatError, match=r"torch\.save"):
            files.read(tmp_path / "a.pt")


# --- there and back -------------------------------------------------------------------------------

NAMES = st.lists(
    st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=6),
    min_size=2,
    max_size=5,
    unique=True,
)


@st.composite
def datasets(draw):
    "A data set of any task, with a split or folds, perhaps with samples without a label"
    n, r = draw(st.integers(6, 12)), np.random.default_rng(draw(st.integers(0, 99)))
    task = draw(st.sampled_from(["regression", "binary", "multiclass", "multilabel-binary"]))
    names = () if task == "regression" else tuple(draw(NAMES))
    if task == "binary":
        names = names[:2]
    top = draw(st.integers(1, max(1, len(names))))  # perhaps the last classes have no sample
    y = r.integers(0, top, n)
    if task == "regression":
        y = [r.normal(size=n), r.integers(0, 2, n), r.integers(-3, 4, n)][draw(st.integers(0, 2))]
        y = y.astype("f4")
    if task == "multilabel-binary":
        y = r.integers(0, 2, (n, len(names)))
    split, folds = np.array([SPLITS[i % 3] for i in r.permutation(n)]).astype("U10"), None
    hidden = r.random(n) < draw(st.sampled_from([0, 0.3]))
    hidden[:4] = False
    y[hidden] = np.nan if task == "regression" else -1
    split[hidden] = "unlabelled"
    if draw(st.booleans()):
        split, folds = None, np.stack([r.permutation(n) % 3 for _ in range(2)])
        folds[:, hidden] = -1
    order = draw(st.permutations(["audio", "language", "face", "labels"]))[:3]
    x = {m: r.normal(size=(n, draw(st.integers(1, 3)), 2)).astype("f4") for m in order}
    groups = np.array([f"g{i // 2}" for i in range(n)])
    return MultimodalDataset(
        name="d",
        x=x,
        length={m: np.full(n, a.shape[1]) for m, a in x.items()},
        y=y,
        ids=[f"i_{k:03d}" for k in r.permutation(n)],
        task=task,
        class_names=names,
        split=split,
        folds=folds,
        meta=dict(groups=groups),
    )


WRITERS = dict(pkl=files.write_mmsa, npz=files.write_npz)


@settings(max_examples=60, deadline=None)
@given(ds=datasets(), way=st.permutations(["pkl", "npz", "pkl"]))
def test_files_keep_task_classes_and_folds(tmp_path_factory, ds, way):
    "Through both layouts in every direction, nothing of a data set changes"
    folder, back = tmp_path_factory.mktemp("way"), ds
    for step, ending in enumerate(way):
        back = files.read(WRITERS[ending](back, folder / f"{step}.{ending}"), name="d")
        assert (back.task, back.class_names) == (ds.task, ds.class_names)
        assert np.array_equal(back.y, ds.y, equal_nan=ds.task == "regression")
        assert back.sha256 == ds.sha256
        assert back.meta["groups"].tolist() == ds.meta["groups"].tolist()


@pytest.mark.parametrize(
    ("task", "y", "names"),
    [
        ("multilabel-binary", rng.integers(0, 2, (9, 4)), ("neutral", "happy", "sad", "angry")),
        ("multiclass", np.arange(9) % 2, ("anger", "joy", "sad")),
        ("multiclass", np.arange(9) % 4, ("neutral", "happy", "sad", "angry")),
        ("binary", np.arange(9) % 2, ("positive", "negative")),
        ("binary", np.zeros(9, int), ("no", "yes")),
    ],
)
@pytest.mark.parametrize("ending", list(WRITERS))
def test_converted_classes(tmp_path, task, y, names, ending):
    ds = MultimodalDataset(
        name="d",
        x=dict(audio=np.ones((9, 2, 2), "f4")),
        length=dict(audio=np.full(9, 2)),
        y=y,
        ids=[f"i{k}" for k in range(9)],
        task=task,
        class_names=names,
        split=np.repeat(SPLITS, 3),
    )
    back = files.read(WRITERS[ending](ds, tmp_path / f"o.{ending}"))
    assert (back.task, back.class_names, back.y.tolist()) == (task, names, y.tolist())


def test_a_modality_with_the_name_of_a_field_is_refused(tmp_path):
    ds = MultimodalDataset(
        name="d",
        x=dict(regression_labels=np.ones((3, 2, 2), "f4")),
        length=dict(regression_labels=np.full(3, 2)),
        y=np.arange(3.0),
        ids=list("abc"),
        task="regression",
        split=np.array(SPLITS),
    )
    with pytest.raises(FsrfError, match="name of a field"):
        files.write_mmsa(ds, tmp_path / "a.pkl")
