"""A data set's own labels: their names go with it from the source to batches and pages."""

import dataclasses
import hashlib

import numpy as np
import pytest
from etils import epath
from toy_source import ToySource

from data_pipelines import manifest as folder_layout
from data_pipelines.batches import evaluation_batches, open_data, read_records
from data_pipelines.inspect import inspect
from data_pipelines.prepare import prepare
from data_pipelines.records import CHEXPERT_LABELS, BadInput, Label

NAMES = ("Normal", "Pneumonia", "COVID-19")
SETTINGS = {"image_size": 32, "vocab_size": 200, "shards": 2, "workers": 1}


class ThreeClasses(ToySource):
    """Image i is of class i % 3, and its box is of the last class."""

    label_names = NAMES

    def load(self, key):
        i = int(key.image_id.removeprefix("image"))
        study = super().load(key)
        labels = np.zeros(3, np.int8)
        labels[i % 3] = Label.POSITIVE
        return dataclasses.replace(
            study, labels=labels, box_label=np.array([2], np.int32), mask=None
        )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("classes") / "data"
    prepare(ThreeClasses(images=80), out, **SETTINGS)
    return open_data(out)


def test_batches_and_records_have_a_column_for_each_name(data):
    assert data.label_names == NAMES
    records = read_records(data, "train")
    sizes = {"batch_size": 50, "crop_size": 32, "max_tokens": 32, "max_sentences": 4}
    batches = list(evaluation_batches(data, "train", **sizes))
    labels = np.concatenate([batch["labels"] for batch in batches])
    assert labels.shape == (100, 3)
    for record, row in zip(records, labels, strict=False):
        expected = np.arange(3) == int(record["image_id"].removeprefix("image")) % 3
        np.testing.assert_array_equal(record["labels"], expected)
        np.testing.assert_array_equal(row, expected)
    assert (labels[len(records) :] == Label.MISSING).all()


def test_inspect_counts_labels_by_their_own_names(data, tmp_path):
    text = inspect(data.dir, tmp_path / "sheet.png")
    counts = {
        name: sum(int(r["labels"][i]) for r in read_records(data, "test"))
        for i, name in enumerate(NAMES)
    }
    line = text.splitlines()[[t.startswith("test:") for t in text.splitlines()].index(True) + 1]
    assert all(f"{name} {count}" in line for name, count in counts.items())
    assert not any(name in text for name in set(CHEXPERT_LABELS) - set(NAMES))


def test_a_folder_whose_manifest_has_no_names_has_those_of_chexpert(tmp_path):
    manifest = prepare(ToySource(images=80), tmp_path / "data", **SETTINGS)
    assert manifest.pop("label_names") == list(CHEXPERT_LABELS)
    folder_layout.write_json(epath.Path(tmp_path / "data" / "manifest.json"), manifest)
    assert open_data(tmp_path / "data").label_names == CHEXPERT_LABELS


def test_a_source_that_gives_more_labels_than_names_stops_the_build(tmp_path):
    class Confused(ToySource):
        label_names = NAMES

    with pytest.raises(Exception, match="toy has 3 label_names and gave 14 labels"):
        prepare(Confused(images=20), tmp_path / "data", **SETTINGS)
    assert not (tmp_path / "data/manifest.json").exists()


def test_positions_in_the_source_s_list_are_kept(data):
    index = folder_layout.read_arrays(folder_layout.split_index_path(epath.Path(data.dir), "train"))
    ids = [record["image_id"] for record in read_records(data, "train")]
    assert [f"image{i}" for i in index["position"]] == ids


def test_the_manifest_names_each_split_by_the_hash_of_its_images(tmp_path):
    source = ToySource(images=80, bad=(3,))
    some = prepare(source, tmp_path / "some", limit=70, max_bad_fraction=0.1, **SETTINGS)
    every = sorted(key.image_id for key in source.keys() if key.split == "test")
    expected = hashlib.sha256("\n".join(every).encode()).hexdigest()
    assert some["split_ids"]["test"] == expected, "neither a limit nor a bad image changes it"
    assert set(some["split_ids"]) == {"train", "validation", "test"}


def test_a_shard_in_which_nothing_can_be_used_is_an_empty_shard(tmp_path):
    """All of the validation split: images 32..35 and 72..75."""
    bad = (32, 33, 34, 35, 72, 73, 74, 75)
    manifest = prepare(
        ToySource(images=80, bad=bad), tmp_path / "data", max_bad_fraction=0.2, **SETTINGS
    )
    assert manifest["splits"]["validation"]["examples"] == 0
    assert manifest["quarantined"] == {"truncated_pixels": 8}
    with pytest.raises(BadInput, match="no examples in split 'validation'"):
        read_records(open_data(tmp_path / "data"), "validation")
