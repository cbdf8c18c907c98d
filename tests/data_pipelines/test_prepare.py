"""prepare: what is stored, what is left out, what is left behind when it cannot go on."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from etils import epath
from toy_source import KilledElsewhere, ToySource, pixels

from data_pipelines import manifest as folder_layout
from data_pipelines import prepare as prepare_module
from data_pipelines.batches import open_data, read_records
from data_pipelines.image import decode_png, fit_long_side
from data_pipelines.outages import Outage
from data_pipelines.prepare import prepare, tokenize
from data_pipelines.records import RECORD_FIELDS, BadInput, Key
from data_pipelines.reports import fingerprint, normalise_statement
from data_pipelines.shards import count_shards, plan_shards

SETTINGS = {"image_size": 48, "vocab_size": 200, "shards": 4, "workers": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy") / "data"
    prepare(ToySource(bad=(3, 50)), out, max_bad_fraction=0.05, **SETTINGS)
    return out


def contents(folder: pathlib.Path) -> dict[str, str]:
    """File -> hash of its bytes."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def number(record) -> int:
    return int(record["image_id"].removeprefix("image"))


def test_a_record_holds_what_the_source_gave(folder):
    source = ToySource()
    keys = {key.image_id: key for key in source.keys()}
    record = next(r for r in read_records(open_data(folder), "train") if number(r) % 6 == 1)
    assert set(record) == set(RECORD_FIELDS)
    i, key = number(record), keys[record["image_id"]]
    study = source.load(key)
    np.testing.assert_array_equal(decode_png(record["image"]), fit_long_side(study.pixels, 48))
    assert max(decode_png(record["image"]).shape) == 48
    assert (record["study_id"], record["patient_id"]) == (key.study_id, key.patient_id)
    assert record["view"] == study.view and record["source"] == "toy"
    assert record["findings"] == study.findings and record["impression"] == study.impression
    assert record["section"] == ["findings", "findings", "impression"]
    assert record["sentences"][1] == "The heart is normal in size."
    assert record["statement"][1] == fingerprint(normalise_statement("the heart is normal IN size"))
    np.testing.assert_array_equal(record["labels"], study.labels)
    np.testing.assert_array_equal(record["boxes"], study.boxes / 2)  # 96 pixels became 48
    mask = decode_png(record["mask"])
    assert mask.shape == decode_png(record["image"]).shape
    assert set(np.unique(mask)) == {0, 11}  # classes are not blended
    exact = cv2.resize(
        (pixels(i) > 128).astype(np.uint8), mask.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT
    )
    np.testing.assert_array_equal(mask == 11, exact == 1)


def test_tfds_opens_the_folder_by_itself(folder):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(folder))
    data = open_data(folder)
    assert {name: s.num_examples for name, s in builder.info.splits.items()} == data.splits
    ours = {r["image_id"]: r for r in read_records(data, "test")}
    theirs = list(tfds.as_numpy(builder.as_dataset(split="test")))
    assert {e["image_id"].decode() for e in theirs} == set(ours)
    for example in theirs:
        record = ours[example["image_id"].decode()]
        np.testing.assert_array_equal(example["image"][..., 0], decode_png(record["image"]))
        assert [s.decode() for s in example["sentences"]] == record["sentences"]
        for name in ("statement", "labels", "boxes", "sentence_box", "report_statement"):
            np.testing.assert_array_equal(example[name], record[name])


def test_two_workers_write_the_same_bytes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare_module, "_MIN_PER_WORKER", 1)
    settings = SETTINGS | {"workers": 2}
    prepare(ToySource(bad=(3, 50)), tmp_path / "data", max_bad_fraction=0.05, **settings)
    assert contents(tmp_path / "data") == contents(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same source with nothing amiss."""
    out = tmp_path_factory.mktemp("whole") / "data"
    prepare(ToySource(), out, **SETTINGS)
    return out


@pytest.mark.parametrize(("fault", "error"), [("interrupt", MemoryError), ("outage", Outage)])
def test_an_interrupted_build_goes_on_to_the_same_bytes(whole, tmp_path, fault, error):
    out = tmp_path / "data"
    with pytest.raises(error):
        prepare(ToySource(bad=(100,), fault=fault), out, **SETTINGS)
    assert not list(out.glob(".*")), "a half-written file was left"
    with pytest.raises(BadInput, match="not a finished prepared folder"):
        open_data(out)
    finished = {p: p.stat().st_mtime_ns for p in out.glob("*.tfrecord*")}
    prepare(ToySource(), out, **SETTINGS)
    assert {p: p.stat().st_mtime_ns for p in finished} == finished
    assert contents(out) == contents(whole)


def test_killed_at_any_moment_and_run_again_it_is_the_same_bytes(whole, tmp_path):
    """kill -9: before the first file, in the midst of shards and indices, before the manifest."""
    out = tmp_path / "data"
    program = pathlib.Path(__file__).with_name("killed_prepare.py")
    moments = ["1", "2", "3", "5", "8", "9", "14", "17", "20", "26", "29"]
    subprocess.run([sys.executable, program, out, *moments], check=True, env=os.environ)
    assert contents(out) == contents(whole)


def test_only_what_is_missing_or_cut_short_is_written_again(whole, tmp_path):
    out = tmp_path / "data"
    shutil.copytree(whole, out)
    cut, gone, *rest = sorted(out.glob("*.tfrecord*"))
    cut.write_bytes(cut.read_bytes()[:-10])
    gone.unlink()
    before = {p: p.stat().st_mtime_ns for p in rest}
    prepare(ToySource(), out, **SETTINGS)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert contents(out) == contents(whole)


def test_what_cannot_be_used_is_counted_and_named_without_paths(folder):
    data = open_data(folder)
    assert data.manifest["quarantined"] == {"truncated_pixels": 2}
    text = (folder / "quarantine.jsonl").read_text()
    assert "SMITH" not in text and "/" not in text
    entries = [json.loads(line) for line in text.splitlines()]
    assert [(e["image_id"], e["position"], e["reason"]) for e in entries] == [
        ("image3", 3, "truncated_pixels"),
        ("image50", 50, "truncated_pixels"),
    ]
    used = {r["image_id"] for s in data.splits for r in read_records(data, s, ("image_id",))}
    assert used == {f"image{i}" for i in range(240)} - {"image3", "image50"}


@pytest.mark.parametrize(
    "fault, reason",
    [("decoder", "error_ArithmeticError"), ("bad_input", "truncated_pixels")],
)
def test_too_many_bad_images_fail_the_build(tmp_path, fault, reason):
    out = tmp_path / "data"
    bad = tuple(range(0, 240, 20))
    with pytest.raises(BadInput) as error:
        prepare(ToySource(bad=bad, fault=fault), out, max_bad_fraction=0.04, **SETTINGS)
    message = str(error.value)
    assert "\n" not in message and f"12 of 240 images cannot be used ({reason} 12)" in message
    assert "0.04" in message and "--max-bad-fraction" in message
    assert not (out / "manifest.json").exists()


def test_a_report_without_a_sentence_is_left_out(tmp_path, monkeypatch):
    load = ToySource.load

    def silent(self, key):
        study = load(self, key)
        blank = key.image_id == "image5"
        return dataclasses.replace(study, findings=" . ", impression="") if blank else study

    monkeypatch.setattr(ToySource, "load", silent)
    manifest = prepare(ToySource(images=80), tmp_path / "data", max_bad_fraction=0.02, **SETTINGS)
    assert manifest["quarantined"] == {"empty_report": 1}


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    out = tmp_path / "data"
    with pytest.raises(MemoryError):
        prepare(ToySource(bad=(0,), fault="interrupt"), out, **SETTINGS)
    name = "toy-train.tfrecord-00002-of-00004"
    (out / name).unlink(missing_ok=True)
    full = out / f".{name}.full"
    with monkeypatch.context() as patched:

        def partial_path(path):
            if path.name != name:
                return path.parent / f".{path.name}.partial"
            full.symlink_to("/dev/full")  # every write to it finds a full disk
            return epath.Path(full)

        patched.setattr(folder_layout, "partial_path", partial_path)
        with pytest.raises(BadInput) as error:
            prepare(ToySource(), out, **SETTINGS)
    assert error.value.reason == "disk_full"
    assert "\n" not in str(error.value) and str(out) in str(error.value)
    assert not list(out.glob(".*")) and not (out / name).exists()
    assert not (out / "manifest.json").exists()
    prepare(ToySource(), out, **SETTINGS)


def test_a_worker_that_is_killed_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare_module, "_MIN_PER_WORKER", 1)
    with pytest.raises(BadInput, match="worker process died.*workers=1"):
        prepare(KilledElsewhere(images=40), tmp_path / "data", **SETTINGS | {"workers": 2})


@pytest.mark.parametrize(
    "source, settings, named",
    [
        (ToySource(version="2"), {}, "version"),
        (ToySource(), {"image_size": 64}, "image_size=48"),
        (ToySource(), {"shards": 8}, "shards"),
        (ToySource(), {"limit": 20}, "limit"),
    ],
)
def test_other_settings_do_not_mix_in_one_folder(folder, source, settings, named):
    before = contents(folder)
    with pytest.raises(BadInput, match=f"{named}.*another --out-dir"):
        prepare(source, folder, max_bad_fraction=0.05, **SETTINGS | settings)
    assert contents(folder) == before


def test_a_folder_of_someone_elses_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="another --out-dir"):
        prepare(ToySource(), tmp_path, **SETTINGS)
    assert contents(tmp_path).keys() == {"thesis.txt"}


def test_another_vocabulary_leaves_the_images_as_they_are(whole, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    before, first = contents(folder), open_data(folder)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "effusion", "there", "is", "a", "left"]
    pieces += ["right", "pleural", "small", "the", "heart", "normal", "in", "size", "."]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n")
    tokenize(folder, tmp_path / "vocab.txt")
    after, second = contents(folder), open_data(folder)
    assert second.tokenizer.vocab == pieces
    assert second.manifest_hash == first.manifest_hash, "the records are the same"
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"manifest.json", "vocab.txt"}
    assert open_data(folder, vocab_hash=first.vocab_hash).tokenizer.vocab == first.tokenizer.vocab
    with pytest.raises(BadInput, match="no tokens of vocabulary abc.*place tokenize.*--vocab"):
        open_data(folder, vocab_hash="abc")


def test_a_vocabulary_of_something_else_is_refused(whole, tmp_path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "lorem", "ipsum"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    before = contents(whole)
    with pytest.raises(BadInput, match="unknown to this vocabulary of 7 pieces"):
        tokenize(whole, tmp_path / "vocab.txt")
    kept = {name: value for name, value in contents(whole).items() if name in before}
    assert kept == before


def test_shards_share_out_studies_and_keep_patients_whole():
    keys = ToySource(images=4000).keys()
    specs = plan_shards(keys, name="toy", version="1", image_size=48)
    shards = {(s.split, s.shard): s for s in specs}
    assert sorted(k.image_id for s in specs for k in s.keys) == sorted(k.image_id for k in keys)
    for split in ("train", "validation", "test"):
        of_split = [s for s in shards.values() if s.split == split]
        patients = [{k.patient_id for k in s.keys} for s in of_split]
        assert sum(map(len, patients)) == len(set.union(*patients))
        studies = [len({k.study_id for k in s.keys}) for s in of_split]
        assert max(studies) - min(studies) <= 4  # one patient, where a hash would leave 20
    assert len([s for s in specs if s.split == "train"]) == 64


@pytest.mark.parametrize(
    "images, patients, shards",
    [
        (20, 20, 1),
        (64, 64, 2),
        (2047, 900, 32),
        (4000, 3, 2),
        (16000, 9000, 64),
        (4 * 10**5,) * 2 + (1024,),
    ],
)
def test_shard_count(images, patients, shards):
    assert count_shards(images, patients) == shards


@pytest.mark.parametrize(
    "keys, message",
    [
        ([], "no images"),
        ([Key("a", "s", "p", "train"), Key("b", "t", "p", "test")], "patient p is in both"),
        ([Key("a", "s", "p", "train"), Key("a", "t", "p", "train")], "image a is listed twice"),
        ([Key("a", "s", "p", "dev")], "split 'dev'"),
    ],
)
def test_lists_that_contradict_themselves(keys, message):
    with pytest.raises(BadInput, match=message):
        plan_shards(keys, name="toy", version="1", image_size=48)


def test_limit_keeps_so_many_whatever_their_order():
    keys = ToySource(images=400).keys()
    some = {
        k for s in plan_shards(keys, name="t", version="1", image_size=8, limit=60) for k in s.keys
    }
    again = plan_shards(keys[::-1], name="t", version="1", image_size=8, limit=60)
    assert len(some) == 60 and some == {k for s in again for k in s.keys}
