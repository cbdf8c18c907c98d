"""COVIDx from its official lists: versions, both kinds of classes, splits by both protocols."""

import pickle

import command_line
import numpy as np
import pytest
from chexpert_tree import write_jpeg
from sklearn.model_selection import train_test_split

from data_pipelines.batches import open_data, read_records
from data_pipelines.records import BadInput
from data_pipelines.sources.covidx import CovidxSource

CLASSES = ("normal", "pneumonia", "COVID-19")
# Odd names of the owner's lists: brackets, dots, capitals, a space.
FILES = ("COVID(1).png", "1-s2.0-S0140673620303706-fx1_lrg.jpg", "16745_2_1.PNG", "COVID 2.png")


def write_lists(root, train, test, version="_COVIDx9A"):
    root.mkdir(exist_ok=True)
    (root / f"train{version}.txt").write_text("\n".join(train) + "\n")
    (root / f"test{version}.txt").write_text("\r\n".join(test) + "\n\n")


@pytest.fixture
def root(tmp_path):
    """40 images of 20 patients to train on, 6 to test; four columns, source as the owner has it."""
    train = [f"{i // 2} {i:03d}.jpg {CLASSES[i % 3]} rnsa" for i in range(36)]
    train += [f"ANON{i // 2} {file} COVID-19 sirm" for i, file in enumerate(FILES)]
    test = [f"SITE2-{i} MIDRC-{i}.png {CLASSES[i % 3]} ricord" for i in range(6)]
    root = tmp_path / "covidx"
    write_lists(root, train, test)
    for part, lines in (("train", train), ("test", test)):
        for i, line in enumerate(lines):
            file = line.split(" ", 1)[1].rsplit(" ", 2)[0]
            write_jpeg(root / part / file, i)
    return root


def ids(keys, split):
    return [key.image_id for key in keys if key.split == split]


def test_strict_keeps_patients_apart(root):
    keys = CovidxSource(str(root)).keys()
    assert [len(ids(keys, s)) for s in ("train", "validation", "test")] == [32, 8, 6]
    patients = [{k.patient_id for k in keys if k.split == s} for s in ("train", "validation")]
    assert not patients[0] & patients[1]
    assert set(FILES) <= {key.image_id for key in keys}


def test_mgca_compat_splits_as_scikit_learn_does(root):
    source = CovidxSource(str(root), protocol="mgca_compat")
    keys = source.keys()
    listed = [f"{i:03d}.jpg" for i in range(36)] + list(FILES)
    train, validation = train_test_split(listed, train_size=0.8, random_state=0)
    assert sorted(ids(keys, "train")) == sorted(train)
    assert sorted(ids(keys, "validation")) == sorted(validation)
    assert all(key.patient_id.endswith("@" + key.split) for key in keys)


def test_the_counts_of_the_papers_list_come_out_of_its_size():
    """MGCA's list had 29,986 images, which are 23,988 and 5,998."""
    from data_pipelines.sources import covidx

    lines = [covidx._Line("train", str(i), f"{i}.png", "A", "Normal") for i in range(29_986)]
    for protocol in ("strict", "mgca_compat"):
        assert len(covidx._drawn(lines, protocol)) == 5998


def test_three_classes_are_one_hot(root):
    source = pickle.loads(pickle.dumps(CovidxSource(str(root))))
    keys = {key.image_id: key for key in source.keys()}
    assert tuple(source.label_names) == ("Normal", "Pneumonia", "COVID-19")
    labels = np.stack([source.load(keys[f"{i:03d}.jpg"]).labels for i in range(3)])
    np.testing.assert_array_equal(labels, np.eye(3))


def test_positive_and_negative_of_three_columns(tmp_path):
    train = [f"{i} {i}.jpg {('negative', 'positive')[i % 2]}" for i in range(10)]
    write_lists(tmp_path / "x", train, ["a a.png Positive", "b b.png negative"], "_COVIDx_CXR-3B")
    write_jpeg(tmp_path / "x" / "test" / "a.png", 1)
    write_jpeg(tmp_path / "x" / "test" / "b.png", 2)
    source = CovidxSource(str(tmp_path / "x"))
    tests = [key for key in source.keys() if key.split == "test"]
    assert list(source.label_names) == ["COVID-19"]
    assert [source.load(key).labels.tolist() for key in tests] == [[1], [0]]
    assert source.version.startswith("CXR-3B-strict-")
    assert sum(source.published_counts.values()) == 29_986 + 400


def test_an_official_validation_list_is_the_validation_split(root):
    write_lists(root / "v4", ["1 a.jpg normal x", "2 b.jpg normal x"], ["3 c.jpg normal x"], "")
    (root / "v4" / "val.txt").write_text("2 d.jpg normal x\n4 e.jpg normal x\n")
    source = CovidxSource(str(root / "v4"))
    keys = source.keys()
    assert ids(keys, "validation") == ["d.jpg", "e.jpg"] and ids(keys, "train") == ["a.jpg"]
    assert source.left_out == {"patient_of_a_later_split": 1}
    write_jpeg(root / "v4" / "val" / "e.jpg", 5)
    assert source.load(keys[2]).pixels.shape == (40, 48)


def test_training_does_not_see_patients_of_the_test_list(root):
    with (root / "train_COVIDx9A.txt").open("a") as file:
        file.write("SITE2-3 new.png COVID-19 ricord\nz MIDRC-4.png normal ricord\n")
        file.write("0 000.jpg normal rnsa\n1 002.jpg normal rnsa\n")
    source = CovidxSource(str(root))
    images = {key.image_id for key in source.keys()}
    assert "new.png" not in images and "002.jpg" not in images, (
        "the one leaks, the other is unclear"
    )
    assert source.left_out == {
        "repeated_line": 2,
        "contradicting_lines": 1,
        "patient_of_a_later_split": 1,
        "file_of_a_later_split": 1,
    }
    compat = CovidxSource(str(root), protocol="mgca_compat")
    assert "new.png" in {key.image_id for key in compat.keys()}


def test_prepared(root, tmp_path):
    (root / "train" / "005.jpg").write_bytes(b"<!DOCTYPE html><html>")
    options = ("--image-size", "32", "--max-bad-fraction", "0.05", "--list-version", "9A")
    manifest = command_line.prepare("covidx", root, tmp_path / "data", *options)
    assert sum(d["examples"] for d in manifest["splits"].values()) == 45
    assert manifest["quarantined"] == {"html_page": 1} and not manifest["shareable"]
    data = open_data(tmp_path / "data")
    assert data.label_names == ("Normal", "Pneumonia", "COVID-19")
    assert all(record["labels"].sum() == 1 for s in data.splits for record in read_records(data, s))


def test_versions_are_told_apart(root):
    write_lists(root, ["1 a.jpg negative"], ["2 b.jpg positive"], "_COVIDx8B")
    with pytest.raises(BadInput, match="versions 8B, 9A: give --list-version") as error:
        CovidxSource(str(root)).keys()
    assert error.value.reason == "several_versions"
    assert len(CovidxSource(str(root), list_version="8B").keys()) == 2
    with pytest.raises(BadInput, match="'7A' is none of those there: 8B, 9A"):
        CovidxSource(str(root), list_version="7A").keys()


def test_lists_beside_the_images_in_a_folder_of_their_own(root):
    (root / "labels").mkdir()
    for name in ("train_COVIDx9A.txt", "test_COVIDx9A.txt"):
        (root / name).rename(root / "labels" / name)
    source = CovidxSource(str(root))
    assert source.load(source.keys()[0]).pixels.shape == (40, 48)


@pytest.mark.parametrize("lost", ["train_COVIDx9A.txt", "test_COVIDx9A.txt"])
def test_what_is_missing_is_named(root, lost):
    (root / lost).unlink()
    with pytest.raises(BadInput, match=f"no {lost}.*comes with COVIDx CXR") as error:
        CovidxSource(str(root)).keys()
    assert error.value.reason == "missing_list" and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "line, reason, says",
    [
        ("5", "bad_line", "line 41"),
        ("5 x.png", "bad_line", "line 41"),
        ("5 ../x.png normal rsna", "bad_line", "line 41.*no name of a file"),
        ("5 x.png level2 rsna", "bad_class", "line 41: class 'level2'.*severity"),
        ("5 x.png positive rsna", "mixed_classes", "one version"),
    ],
)
def test_a_line_that_is_not_the_owners_is_named(root, line, reason, says):
    with (root / "train_COVIDx9A.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(BadInput, match=says) as error:
        CovidxSource(str(root)).keys()
    assert error.value.reason == reason and "\n" not in str(error.value)
