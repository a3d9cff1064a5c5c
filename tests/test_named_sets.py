"""The day the data arrives, rehearsed: files in the published layouts, found, checked and read."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fsrf.core import FsrfError
from fsrf.data import NAMED_SETS, check_named, find_sets, load_dataset, locate
from fsrf.evaluation import PRIMARY, metric_names
from fsrf.runs import read_settings, run

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    "The tool, and a folder with every set in every layout, small"
    spec = importlib.util.spec_from_file_location("rehearsal", ROOT / "tools/rehearsal.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    out = tmp_path_factory.mktemp("rehearsal")
    tool.make(out, "small", tool.chosen("small"))
    return tool, out


@pytest.fixture
def arrived(rehearsal, monkeypatch):
    "The same, as FSRF_DATA"
    tool, out = rehearsal
    monkeypatch.setenv("FSRF_DATA", str(out))
    monkeypatch.setenv("FSRF_CACHE", str(out / "cache"))
    return tool


def test_every_set_is_found_in_every_layout_that_was_made(arrived):
    found = {(name, f.layout) for name, files in find_sets().items() for f in files}
    assert found == set(arrived.SHAPES)
    assert {name for name, _ in found} == set(NAMED_SETS)


@pytest.mark.parametrize("name", NAMED_SETS)
def test_a_set_has_its_task_metrics_and_counts(name, arrived):
    known = NAMED_SETS[name]
    for layout in [lay for each, lay in arrived.SHAPES if each == name]:
        ds = load_dataset(f"{name}?layout={layout}")
        assert (ds.task, ds.metrics) == (known.task, known.metrics)
        assert metric_names(ds)[0] == PRIMARY[known.metrics]
        assert [(ds.split == part).sum() for part in arrived.PARTS] == list(arrived.SMALL)
        assert tuple(m.dim for m in ds.spec.modalities) == arrived.SHAPES[name, layout].dims
        assert all(np.isfinite(ds.x[m]).all() for m in ds.spec.names)


def test_labels_and_features_are_those_that_were_planted(arrived):
    for name, layout in arrived.SHAPES:
        p, ds = arrived.planted(name, layout, "small", 0), load_dataset(f"{name}?layout={layout}")
        y = p.y if p.y.ndim == 1 else p.y[:, [3, 0, 1, 2]]
        assert np.array_equal(ds.y, y), (name, layout)
        for m in p.x:
            assert np.array_equal(ds.length[m], p.length[m]), (name, layout, m)
        assert np.array_equal(ds.x["visual"], p.x["visual"]), (name, layout)
    assert load_dataset("iemocap").class_names == ("neutral", "happy", "sad", "angry")


def test_pickle_and_sequences_of_one_set_are_one_data_set(arrived):
    pickled, sequences = (load_dataset(f"mosi?layout={layout}") for layout in ("mult", "csd"))
    assert pickled.sha256 == sequences.sha256
    assert load_dataset("mosi").sha256 == pickled.sha256
    # MMSA's features differ, its utterances and so the masks do not
    assert load_dataset("mosi?layout=mmsa").ids == pickled.ids


def test_pickle_and_sequences_give_equal_rows(arrived):
    how = dict(epochs=1, layers=1, width=8, heads=2, mask_seeds=(0,), progress=False, device="cpu")
    rows = [run("plain_mrm", f"mosi?layout={layout}", **how).rows for layout in ("mult", "csd")]
    compared = ["protocol", "subset", "p", "mask_seed", "metric", "value", "n", "data_sha256"]
    one, other = (r[compared] for r in rows)
    assert len(one) > 100 and one.equals(other)


@pytest.mark.parametrize("name", [*NAMED_SETS, "mosi?layout=csd"])
def test_check_says_what_was_found_and_in_what_it_differs(name, arrived):
    lines, code = check_named(name)
    told = "\n".join(lines)
    assert code == 0 and lines[-1].startswith("verdict")
    assert "differs   60/24/36 samples for training, validation, test" in told


def test_check_names_the_layouts_that_are_not_taken(arrived):
    lines, _ = check_named("mosi")
    also = [line for line in lines if line.startswith("also")]
    others = ["csd", "mmsa", "mmsa-unaligned"]
    assert [line.partition("?layout=")[2].split()[0] for line in also] == others
    assert not any(line.startswith("also") for line in check_named("sims")[0])


def test_what_differs_is_named_with_what_the_protocol_has(arrived):
    told = " ".join(load_dataset("mosi?layout=mmsa-unaligned").meta["differs"])
    for text in ("BERT", "300 columns (GloVe", "74 columns (COVAREP", "35 or 47", "by words"):
        assert text in told, text
    assert len(load_dataset("mosi").meta["differs"]) == 1  # the counts of the small size


def test_a_set_that_is_not_there_says_what_is_looked_for_where_and_whom_to_ask(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("FSRF_DATA", str(tmp_path))
    for name, whom in dict(iemocap="Southern California", mosei="CMU", sims="Tsinghua").items():
        with pytest.raises(FsrfError) as error:
            load_dataset(name)
        told = str(error.value)
        assert whom in told and str(tmp_path) in told
        assert all(pattern in told for _, pattern in NAMED_SETS[name].files)


def test_the_preferred_layout_is_the_one_closest_to_the_tables(arrived):
    assert locate("mosi").layout == "mult"
    assert locate("sims").layout == "mmsa-unaligned"


def test_published_settings_stand_for_every_set():
    assert set(read_settings("published")) == set(NAMED_SETS)
