"""RSNA Pneumonia from a small tree in the layout of its download."""

import csv
import pickle

import command_line
import dicom_files
import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from data_pipelines.batches import open_data, read_records
from data_pipelines.image import decode_png
from data_pipelines.records import BadInput, Label
from data_pipelines.sources.rsna_pneumonia import RsnaPneumoniaSource

LABELS = RsnaPneumoniaSource.label_names
PNEUMONIA = LABELS.index("Pneumonia")
HEADER = "patientId,x,y,width,height,Target"
BOXES = {"p01": [(225, 415, 98, 101)], "p07": [(535, 626, 177, 240), (175, 825, 168, 109)]}
PATIENTS = [f"p{i:02d}" for i in range(20)]
# Boxes of a patient need not follow each other, and the order is not that of the ids.
ROWS = [
    *(f"{p},,,,,0" for p in reversed(PATIENTS) if p not in BOXES),
    "p07,535.0,626.0,177.0,240.0,1",
    "p01,225.0,415.0,98.0,101.0,1",
    "p07,175.0,825.0,168.0,109.0,1",
]
CLASSES = {p: ("Normal", "No Lung Opacity / Not Normal")[i % 2] for i, p in enumerate(PATIENTS)}
CLASSES |= dict.fromkeys(BOXES, "Lung Opacity")


def pixels(patient: str, side: int = 1024) -> np.ndarray:
    ramp = np.add.outer(np.arange(side), np.arange(side)) // 16
    return ((ramp + PATIENTS.index(patient)) % 256).astype(np.uint8)


def write_lists(folder, rows=ROWS, classes=CLASSES):
    (folder / "stage_2_train_labels.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    lines = [f"{p},{classes[p]}" for p in classes for _ in range(max(1, len(BOXES.get(p, ()))))]
    (folder / "stage_2_detailed_class_info.csv").write_text("\n".join(["patientId,class", *lines]))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rsna")
    write_lists(folder)
    (folder / "stage_2_train_images").mkdir()
    for patient in PATIENTS:
        elements = {"ViewPosition": "PA", "BodyPartExamined": "CHEST"}
        shown = pixels(patient)
        if patient == "p01":
            elements["PhotometricInterpretation"] = "MONOCHROME1"
            shown = 255 - shown
        content = dicom_files.make(shown, **elements)
        (folder / "stage_2_train_images" / f"{patient}.dcm").write_bytes(content)
    return folder


def load(source, patient):
    return source.load(next(key for key in source.keys() if key.image_id == patient))


def test_every_patient_once_and_in_one_split(tree):
    source = RsnaPneumoniaSource(str(tree))
    keys = source.keys()
    assert [key.image_id for key in keys] == list(dict.fromkeys(row[:3] for row in ROWS))
    assert all(key.image_id == key.study_id == key.patient_id for key in keys)
    splits = [key.split for key in keys]
    assert {s: splits.count(s) for s in splits} == {"train": 12, "validation": 4, "test": 4}
    assert pickle.loads(pickle.dumps(source)).keys() == keys
    assert not source.left_out and source.has_reports is False


def test_the_order_of_the_list_changes_no_split(tree, tmp_path):
    write_lists(tmp_path, rows=sorted(ROWS))
    (tmp_path / "stage_2_train_images").mkdir()
    first, second = (RsnaPneumoniaSource(str(d)).keys() for d in (tree, tmp_path))
    assert first != second and set(first) == set(second)


def test_mgca_compat_has_the_splits_of_the_reference_code(tree):
    source = RsnaPneumoniaSource(str(tree), protocol="mgca_compat")
    train, rest = train_test_split(sorted(PATIENTS), test_size=8, random_state=0)
    test, validation = train_test_split(rest, test_size=0.5, random_state=0)
    found = {
        s: {k.image_id for k in source.keys() if k.split == s} for s in source.published_counts
    }
    assert found == {"train": set(train), "validation": set(validation), "test": set(test)}
    assert source.version != RsnaPneumoniaSource(str(tree)).version


def test_the_official_number_of_patients_gives_the_published_counts(tmp_path):
    patients = [f"{i:05d}" for i in range(26684)]
    (tmp_path / "stage_2_train_images").mkdir()
    write_lists(tmp_path, [f"{p},,,,,0" for p in patients], dict.fromkeys(patients, "Normal"))
    for protocol in ("strict", "mgca_compat"):
        source = RsnaPneumoniaSource(str(tmp_path), protocol=protocol)
        splits = [key.split for key in source.keys()]
        assert {s: splits.count(s) for s in set(splits)} == source.published_counts


def test_boxes_masks_and_labels(tree):
    source = RsnaPneumoniaSource(str(tree))
    study = load(source, "p07")
    np.testing.assert_array_equal(study.boxes, [[535, 626, 712, 866], [175, 825, 343, 934]])
    assert study.box_label.tolist() == [PNEUMONIA, PNEUMONIA]
    mask = np.zeros((1024, 1024), np.uint8)
    for x, y, width, height in BOXES["p07"]:
        mask[y : y + height, x : x + width] = 1 + PNEUMONIA
    np.testing.assert_array_equal(study.mask, mask)
    assert study.findings == study.impression == ""
    expected = {"p07": (1, 1, 0), "p00": (0, 0, 1), "p03": (0, Label.MISSING, 0)}
    for patient, values in expected.items():
        labels = dict(zip(LABELS, load(source, patient).labels.tolist(), strict=True))
        names = ("Pneumonia", "Lung Opacity", "No Finding")
        assert tuple(labels[name] for name in names) == values
    assert not load(source, "p00").mask.any() and load(source, "p00").boxes.shape == (0, 4)


def test_bone_is_white_whichever_way_a_file_is_stored(tree):
    source = RsnaPneumoniaSource(str(tree))
    inverted, plain = (np.asarray(load(source, patient).pixels) for patient in ("p01", "p02"))
    for patient, shown in (("p01", inverted), ("p02", plain)):
        assert np.corrcoef(shown.ravel(), pixels(patient).ravel())[0, 1] > 0.99


def test_an_image_that_was_resized_is_refused(tree, tmp_path):
    write_lists(tmp_path)
    (tmp_path / "stage_2_train_images").mkdir()
    (tmp_path / "stage_2_train_images" / "p07.dcm").write_bytes(
        dicom_files.make(pixels("p07", 512))
    )
    source = RsnaPneumoniaSource(str(tmp_path))
    with pytest.raises(BadInput, match="512 x 512 pixels and its boxes are for 1024") as error:
        load(source, "p07")
    assert error.value.reason == "other_size"
    with pytest.raises(BadInput) as error:
        load(source, "p01")
    assert error.value.reason == "missing_file"


@pytest.mark.parametrize(
    "name", ["stage_2_train_labels.csv", "stage_2_detailed_class_info.csv", "stage_2_train_images"]
)
def test_what_is_missing_is_named(tmp_path, name):
    write_lists(tmp_path)
    (tmp_path / "stage_2_train_images").mkdir()
    path = tmp_path / name
    path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(BadInput, match=f"{name}.*RSNA Pneumonia.*--raw-dir") as error:
        RsnaPneumoniaSource(str(tmp_path)).keys()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "row, classes, reason",
    [
        ("p07,,,,,0", CLASSES, "contradicting_rows"),
        ("p19,1,2,3,,1", CLASSES, "bad_number"),
        ("p19,1,2,3,x,1", CLASSES, "bad_number"),
        ("p20,,,,,2", CLASSES, "bad_label"),
        ("p20,,,,,-1", CLASSES, "bad_label"),
        ("p20,1,2,3,4,1", CLASSES, "contradicting_rows"),
        ("p20,,,,,0", CLASSES | {"p20": "Abnormal"}, "bad_class"),
        ("p20,,,,,0", CLASSES | {"p20": "Lung Opacity"}, "contradicting_rows"),
    ],
)
def test_rows_that_contradict_themselves(tmp_path, row, classes, reason):
    write_lists(tmp_path, [*(r for r in ROWS if not r.startswith("p19")), row], classes)
    (tmp_path / "stage_2_train_images").mkdir()
    with pytest.raises(BadInput) as error:
        RsnaPneumoniaSource(str(tmp_path)).keys()
    assert error.value.reason == reason and row[:3] in str(error.value)


def test_prepared(tree, tmp_path, capfd):
    options = ("--image-size", "64", "--protocol", "strict")
    manifest = command_line.prepare("rsna_pneumonia", tree, tmp_path / "data", *options)
    assert {s: d["examples"] for s, d in manifest["splits"].items()} == {
        "train": 12,
        "validation": 4,
        "test": 4,
    }
    assert manifest["shareable"] and not manifest["quarantined"]
    assert "train 12 (published: 16010)" in capfd.readouterr().err
    data = open_data(tmp_path / "data")
    records = {r["image_id"]: r for s in data.splits for r in read_records(data, s)}
    record = records["p07"]
    np.testing.assert_allclose(
        record["boxes"], np.array([[535, 626, 712, 866], [175, 825, 343, 934]]) / 16
    )
    mask = decode_png(record["mask"])
    assert mask.shape == (64, 64) and set(np.unique(mask)) == {0, 1 + PNEUMONIA}
    everything = b"".join(p.read_bytes() for p in (tmp_path / "data").rglob("*") if p.is_file())
    assert not [s for s in dicom_files.SECRETS if s.encode() in everything]


@pytest.mark.real
def test_rows_of_the_official_list(real_data, tmp_path):
    sample = real_data / "formats" / "rsna_stage2_labels_sample.csv"
    with sample.open(newline="") as file:
        rows = list(csv.DictReader(file))
    (tmp_path / "stage_2_train_labels.csv").write_bytes(sample.read_bytes())
    kind = {r["patientId"]: ("Normal", "Lung Opacity")[int(r["Target"])] for r in rows}
    lines = ["patientId,class", *(f"{p},{c}" for p, c in kind.items())]
    (tmp_path / "stage_2_detailed_class_info.csv").write_text("\n".join(lines))
    (tmp_path / "stage_2_train_images").mkdir()
    content = dicom_files.make(pixels("p00"))
    source = RsnaPneumoniaSource(str(tmp_path))
    assert [key.image_id for key in source.keys()] == list(kind)
    boxes = 0
    for key in source.keys()[:40]:
        (tmp_path / "stage_2_train_images" / f"{key.image_id}.dcm").write_bytes(content)
        study = source.load(key)
        boxes += len(study.boxes)
        assert study.mask.any() == (study.labels[PNEUMONIA] == 1) == (len(study.boxes) > 0)
    first = list(kind)[:40]
    assert boxes == sum(r["Target"] == "1" for r in rows if r["patientId"] in first) > 10
