"""batches: what training and evaluation are given, from the first byte of a prepared folder."""

import dataclasses
import itertools
import shutil

import numpy as np
import pytest
from etils import epath
from toy_source import ToySource

from data_pipelines.batches import (
    evaluation_batches,
    open_data,
    read_records,
    training_batches,
)
from data_pipelines.image import decode_png, pad_and_crop
from data_pipelines.manifest import read_arrays, split_index_path
from data_pipelines.packing import Sections, of_sections
from data_pipelines.prepare import prepare
from data_pipelines.record_reader import RecordReader
from data_pipelines.records import BadInput, batch_fields
from data_pipelines.token_sidecar import halves
from data_pipelines.tokenizer import pack

SIZES = {"batch_size": 16, "crop_size": 40, "max_tokens": 48, "max_sentences": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy") / "data"
    prepare(ToySource(), out, image_size=48, vocab_size=400, shards=8, workers=1)
    return out


@pytest.fixture(scope="module")
def data(folder):
    return open_data(folder)


def first(batches, count):
    return list(itertools.islice(batches, count))


def training(data, **settings):
    return training_batches(data, **{"seed": 1} | SIZES | settings)


def assert_equal(batch, other):
    assert batch.keys() == other.keys()
    for name in batch:
        np.testing.assert_array_equal(batch[name], other[name], err_msg=name)


def test_fields_are_as_the_contract_says(data):
    fields = batch_fields(16, 40, 48, 4)
    for batch in (next(training(data)), next(evaluation_batches(data, "test", **SIZES))):
        assert {n: (v.shape, v.dtype.type) for n, v in batch.items()} == fields


def test_a_row_is_one_record_its_image_cropped_and_its_report(data):
    records = read_records(data, "train")
    for batch in first(training(data), 3):
        for row, index in enumerate(batch["index"]):
            record, image = records[index], batch["image"][row, :, :, 0]
            pixels = decode_png(record["image"])
            crops = [
                (y, x)
                for y, x in itertools.product(range(9), repeat=2)
                if np.array_equal(pad_and_crop(pad_and_crop(pixels, 48), 40, (y, x)), image)
            ]
            assert len(crops) == 1
            ids = [data.tokenizer.encode(s) for s in record["sentences"]]
            tokens, sentence_of_token, kept = pack(ids, data.tokenizer, 48, 4)
            assert len(kept) == len(ids), "no report of this source is too long"
            np.testing.assert_array_equal(batch["tokens"][row], tokens)
            np.testing.assert_array_equal(batch["sentence_of_token"][row], sentence_of_token)
            assert batch["sentence_mask"][row].sum() == len(kept)
            np.testing.assert_array_equal(
                batch["statement"][row, : len(kept)], halves(record["statement"])
            )
            np.testing.assert_array_equal(
                batch["report_statement"][row], halves(np.array(record["report_statement"]))
            )
            np.testing.assert_array_equal(batch["labels"][row], record["labels"])


def test_crops_change_from_visit_to_visit(data):
    by_index = {}
    for batch in first(training(data), 40):
        for index, image in zip(batch["index"].tolist(), batch["image"], strict=True):
            by_index.setdefault(index, []).append(image.tobytes())
    visits = [crops for crops in by_index.values() if len(crops) >= 3]
    assert len(visits) > 50
    assert np.mean([len(set(crops)) > 1 for crops in visits]) > 0.95


@pytest.mark.parametrize("shuffle_pairs", [False, True])
def test_a_run_goes_on_from_any_step(data, shuffle_pairs):
    whole = first(training(data, shuffle_pairs=shuffle_pairs), 25)
    later = training(data, start_step=21, shuffle_pairs=shuffle_pairs)
    for batch, other in zip(whole[21:], first(later, 4), strict=True):
        assert_equal(batch, other)


@pytest.mark.parametrize("num_hosts", [2, 4])
@pytest.mark.parametrize("shuffle_pairs", [False, True])
def test_hosts_share_the_same_global_batch(data, num_hosts, shuffle_pairs):
    short = {"max_tokens": 20, "shuffle_pairs": shuffle_pairs}  # some sentences are left out
    alone = first(training(data, **short), 3)
    hosts = [
        first(training(data, host=host, num_hosts=num_hosts, **short), 3)
        for host in range(num_hosts)
    ]
    for step in range(3):
        parts = [host[step] for host in hosts]
        together = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        assert_equal(together, alone[step])
    assert next(training(data, host=1, num_hosts=2))["image"].shape[0] == 8


def test_a_long_report_loses_whole_sentences_others_each_time(data):
    records = read_records(data, "train", ("sentences",))
    kept_of = {}
    for batch in first(training(data, max_tokens=24), 60):
        for row, index in enumerate(batch["index"].tolist()):
            whole = [tuple(data.tokenizer.encode(s)) for s in records[index]["sentences"]]
            kept = []
            for number in range(1, int(batch["sentence_mask"][row].sum()) + 1):
                pieces = batch["tokens"][row][batch["sentence_of_token"][row] == number]
                assert pieces[-1] == data.tokenizer.sep_id
                kept.append(whole.index(tuple(pieces[:-1].tolist())))
            assert kept == sorted(kept) and kept
            if len(kept) < len(whole):
                kept_of.setdefault(index, set()).add(tuple(kept))
    assert len(kept_of) > 10
    assert np.mean([len(choices) > 1 for choices in kept_of.values()]) > 0.5


def test_shuffled_pairs_keep_images_and_labels_and_change_patients(data):
    patients = [r["patient_id"] for r in read_records(data, "train", ("patient_id",))]
    reports = {}
    for i, record in enumerate(read_records(data, "train", ("report_statement",))):
        key = tuple(halves(np.array(record["report_statement"])).tolist())
        reports.setdefault(key, set()).add(patients[i])
    plain, shuffled = first(training(data), 4), first(training(data, shuffle_pairs=True), 4)
    moved = []
    for batch, other in zip(plain, shuffled, strict=True):
        for name in ("image", "labels", "index"):
            np.testing.assert_array_equal(batch[name], other[name])
        for row, index in enumerate(other["index"].tolist()):
            owners = reports[tuple(other["report_statement"][row].tolist())]
            assert owners != {patients[index]}
            moved.append(not np.array_equal(batch["tokens"][row], other["tokens"][row]))
    assert np.mean(moved) > 0.8


def test_evaluation_is_in_order_with_the_centre_crop(data):
    records = read_records(data, "validation")
    batches = list(evaluation_batches(data, "validation", **SIZES))
    assert len(records) == 24 and len(batches) == 2
    index = np.concatenate([b["index"] for b in batches])
    assert index.tolist() == [*range(24), *[-1] * 8]
    assert (
        np.concatenate([b["example_mask"] for b in batches]).tolist() == [True] * 24 + [False] * 8
    )
    images = np.concatenate([b["image"] for b in batches])
    labels = np.concatenate([b["labels"] for b in batches])
    for record, image, label in zip(records, images, labels, strict=False):
        pixels = decode_png(record["image"])
        np.testing.assert_array_equal(image[..., 0], pad_and_crop(pad_and_crop(pixels, 48), 40))
        np.testing.assert_array_equal(label, record["labels"])
    assert not images[24:].any() and not batches[1]["sentence_mask"][8:].any()
    assert (batches[1]["tokens"][8:, 0] == data.tokenizer.cls_id).all()


def test_evaluation_hosts_take_as_many_steps_and_slices_of_each_batch(data):
    alone = list(evaluation_batches(data, "validation", **SIZES))
    hosts = [
        list(evaluation_batches(data, "validation", host=h, num_hosts=4, **SIZES)) for h in range(4)
    ]
    assert {len(h) for h in hosts} == {2}
    for step in range(2):
        parts = [h[step] for h in hosts]
        assert_equal({n: np.concatenate([p[n] for p in parts]) for n in parts[0]}, alone[step])
    some = list(evaluation_batches(data, "validation", max_examples=10, **SIZES))
    assert len(some) == 1 and some[0]["example_mask"].sum() == 10


def test_records_in_part(data):
    whole = read_records(data, "test")
    assert [r["image_id"] for r in read_records(data, "test", ("image_id",), limit=5)] == [
        r["image_id"] for r in whole[:5]
    ]
    for name in ("patient_id", "study_id"):
        assert [r[name] for r in read_records(data, "test", (name,))] == [r[name] for r in whole]


def test_settings_that_the_data_cannot_serve(data):
    with pytest.raises(BadInput, match="crop_size=64.*image_size=48.*--image-size 64"):
        next(training(data, crop_size=64))
    with pytest.raises(BadInput, match="batch_size=16 does not divide over 3 hosts"):
        next(evaluation_batches(data, "test", num_hosts=3, **SIZES))
    with pytest.raises(BadInput, match="--shards 16"):
        next(training(data, num_hosts=16))
    with pytest.raises(BadInput, match="no examples in split 'holdout'; it has train 192"):
        next(evaluation_batches(data, "holdout", **SIZES))


def test_a_folder_that_is_not_prepared(tmp_path):
    with pytest.raises(BadInput, match="place prepare"):
        open_data(tmp_path)


def test_a_shard_cut_short_and_a_missing_one(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "data")
    data = open_data(tmp_path / "data")
    shard = tmp_path / "data" / "toy-test.tfrecord-00000-of-00001"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput) as error:
        list(evaluation_batches(data, "test", **SIZES))
    assert "\n" not in str(error.value) and f"written with {len(whole)}" in str(error.value)
    with pytest.raises(BadInput, match="written with"):
        read_records(data, "test", ("view",))
    shard.unlink()
    with pytest.raises(BadInput, match="is missing: run the same `place prepare`"):
        list(evaluation_batches(data, "test", **SIZES))


def test_a_damaged_image_is_one_line(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "data")
    data = open_data(tmp_path / "data")
    shard = tmp_path / "data" / "toy-test.tfrecord-00000-of-00001"
    shard.write_bytes(shard.read_bytes().replace(b"IHDR", b"IHXX", 1))
    with pytest.raises(BadInput) as error:
        list(evaluation_batches(data, "test", **SIZES))
    assert error.value.reason == "damaged_record" and "\n" not in str(error.value)


def test_tokens_that_are_not_there(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "data")
    data = open_data(tmp_path / "data")
    (tmp_path / "data" / "tokens" / data.vocab_hash / "train.npz").unlink()
    with pytest.raises(BadInput, match="place tokenize .*data --vocab"):
        next(training(data))


def test_prepared_data_is_a_value(data):
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.image_size = 3
    assert data.splits == {"train": 192, "validation": 24, "test": 24}
    assert data.prompts["Pleural Effusion"]["positive"] == ["Pleural effusion."]
    assert data.shareable and data.name == "toy"


def test_a_remote_folder_is_read_by_whole_shards(data, monkeypatch):
    index = read_arrays(split_index_path(epath.Path(data.dir), "train"))
    here = RecordReader(epath.Path(data.dir), data.name, "train", index)
    there = RecordReader(epath.Path(data.dir), data.name, "train", index, remote_shards=3)
    monkeypatch.setattr(there, "_remote", True)
    monkeypatch.setattr(there, "_kept", 3)
    examples = np.random.default_rng(0).permutation(192)
    for rows in np.split(examples, 12):
        assert there.read(rows) == here.read(rows)
        assert len(there._shards) <= 3, "memory would grow with the data"


@pytest.mark.parametrize(("sections", "number"), [("findings", 0), ("impression", 1)])
def test_one_section_is_read_alone_and_whole_reports_where_it_is_not_there(sections, number):
    """Three reports: both sections, the other section alone, nothing."""
    sidecar = {
        "tokens": np.arange(10, 16, dtype=np.int32),
        "sentence_length": np.array([1, 2, 1, 1, 1], np.int32),
        "sentences": np.array([3, 2, 0], np.int32),
        "statement": np.arange(10, dtype=np.uint32).reshape(5, 2),
        "report_statement": np.arange(6, dtype=np.uint32).reshape(3, 2),
        "section": np.array([number, 1 - number, number, 1 - number, 1 - number], np.uint8),
    }
    some = of_sections(sidecar, Sections(sections))
    assert some["sentences"].tolist() == [2, 2, 0]
    assert some["tokens"].tolist() == [10, 13, 14, 15]
    assert some["sentence_length"].tolist() == [1, 1, 1, 1]
    assert some["statement"][:, 0].tolist() == [0, 4, 6, 8]
    assert len(np.unique(some["report_statement"], axis=0)) == 3
    both = of_sections(sidecar, Sections.BOTH)
    assert both["report_statement"].tolist() == [[0, 1], [2, 3], [4, 5]]


def test_batches_of_impressions_are_shorter_reports_of_the_same_images(data):
    whole = next(training(data))
    cut = next(training(data, sections="impression"))
    assert cut["sentence_mask"].sum() < whole["sentence_mask"].sum()
    np.testing.assert_array_equal(cut["index"], whole["index"])
    np.testing.assert_array_equal(cut["image"], whole["image"])
    assert cut["sentence_mask"].any(axis=1).all()


def test_first_sentences_are_kept_where_none_are_drawn(data):
    short = {"max_sentences": 1}
    steps = [first(training(data, sentences="first", **short), 2) for _ in range(2)]
    for batch, again in zip(*steps, strict=True):
        assert_equal(batch, again)
    records = read_records(data, "train")
    for batch in steps[0]:
        wanted = [records[index]["statement"][:1] for index in batch["index"]]
        np.testing.assert_array_equal(batch["statement"], [halves(one) for one in wanted])
    drawn = first(training(data, **short), 2)
    kept = [(a["statement"] == b["statement"]).all() for a, b in zip(steps[0], drawn, strict=True)]
    assert not all(kept)
