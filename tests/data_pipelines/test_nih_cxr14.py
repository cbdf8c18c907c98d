"""NIH ChestX-ray14 from its official files: lists with stray commas, labels, boxes, splits."""

import csv
import pickle
import shutil

import command_line
import numpy as np
import pytest
from chexpert_tree import write_jpeg

from data_pipelines.batches import open_data, read_records
from data_pipelines.inspect import inspect
from data_pipelines.prepare import prepare
from data_pipelines.records import BadInput
from data_pipelines.sources.nih_cxr14 import NihCxr14Source

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
FINDINGS = ["No Finding", "Effusion|Mass", "Infiltration", "Pleural_Thickening|Hernia|Edema"]
BOXES = """Image Index,Finding Label,Bbox [x,y,w,h],,,
00000017_000.png,Infiltrate,256.5,512,128,64
00000017_000.png,Mass,960, 0 ,128,64.25,,,
"""


@pytest.fixture
def root(tmp_path):
    """40 images of 20 patients, of which four are on the test list, in two of the archives."""
    names = [f"{patient:08d}_{number:03d}.png" for patient in range(1, 21) for number in (0, 1)]
    lines = [
        f"{name},{FINDINGS[i % 4]},0,{name[:8].lstrip('0')},058Y,M,{('PA', 'AP')[i % 2]},"
        "2682,2749,0.143,0.143,"
        for i, name in enumerate(names)
    ]
    root = tmp_path / "nih"
    for i, name in enumerate(names):
        write_jpeg(root / f"images_{1 + i // 30:03d}" / "images" / name, i, (64, 64))
    (root / "Data_Entry_2017.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    (root / "train_val_list.txt").write_text("\n".join(names[:32]) + "\n\n")
    (root / "test_list.txt").write_text("\r\n".join(names[32:]))
    (root / "BBox_List_2017.csv").write_text(BOXES)
    return root


def labels_of(source, study):
    pairs = zip(source.label_names, study.labels.tolist(), strict=True)
    return {name for name, value in pairs if value == 1}


def test_splits_follow_the_official_lists_and_keep_patients_whole(root):
    source = NihCxr14Source(str(root))
    keys = source.keys()
    ids = {s: [k.image_id for k in keys if k.split == s] for s in ("train", "validation", "test")}
    assert ids["test"] == [f"{patient:08d}_{n:03d}" for patient in range(17, 21) for n in (0, 1)]
    assert (len(ids["train"]), len(ids["validation"])) == (28, 4)
    patients = [{image[:8] for image in ids[s]} for s in ids]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 20
    assert source.left_out == {}
    assert sum(source.published_counts.values()) == 112_120


def test_labels_views_and_boxes_of_an_image(root):
    source = pickle.loads(pickle.dumps(NihCxr14Source(str(root))))
    keys = {key.image_id: key for key in source.keys()}
    study = source.load(keys["00000001_001"])
    assert labels_of(source, study) == {"Pleural Effusion", "Mass"} and study.view == "AP"
    assert set(study.labels.tolist()) == {0, 1}, "what is not mentioned is absent"
    assert labels_of(source, source.load(keys["00000001_000"])) == set()
    assert labels_of(source, source.load(keys["00000002_001"])) == {
        "Pleural Thickening",
        "Hernia",
        "Edema",
    }
    study = source.load(keys["00000017_000"])
    # The picture has 64 pixels a side and boxes count in 1024; what sticks out is cut off.
    exact = np.array([[256.5, 512, 384.5, 576], [960, 0, 1024, 64.25]]) / 16
    np.testing.assert_allclose(study.boxes, exact, rtol=1e-6)
    assert [source.label_names[i] for i in study.box_label] == ["Infiltration", "Mass"]
    assert source.load(keys["00000017_001"]).boxes.shape == (0, 4)


def test_prepared(root, tmp_path):
    manifest = command_line.prepare("nih_cxr14", root, tmp_path / "data", "--image-size", "32")
    assert {s: d["examples"] for s, d in manifest["splits"].items()} == {
        "train": 28,
        "validation": 4,
        "test": 8,
    }
    data = open_data(tmp_path / "data")
    assert data.label_names == NihCxr14Source.label_names
    boxed = next(r for r in read_records(data, "test") if len(r["boxes"]))
    np.testing.assert_allclose(boxed["boxes"][0], np.array([256.5, 512, 384.5, 576]) / 32)
    text = inspect(tmp_path / "data", tmp_path / "sheet.png")
    assert "Mass 2" in text and "Hernia 2" in text and (tmp_path / "sheet.png").exists()


def test_images_of_unpacked_archives_in_one_folder(root):
    for archive in ("images_001", "images_002"):
        shutil.copytree(root / archive / "images", root / "images", dirs_exist_ok=True)
        shutil.rmtree(root / archive)
    source = NihCxr14Source(str(root))
    assert source.load(source.keys()[-1]).pixels.shape == (64, 64)


def test_an_image_that_is_not_there_is_left_out_by_name(root, tmp_path):
    (root / "images_001" / "images" / "00000003_000.png").unlink()
    manifest = prepare(
        NihCxr14Source(str(root)),
        tmp_path / "data",
        image_size=32,
        workers=1,
        max_bad_fraction=0.05,
    )
    assert manifest["quarantined"] == {"missing_file": 1}
    assert "00000003_000" in (tmp_path / "data" / "quarantine.jsonl").read_text()


def test_what_one_list_has_and_another_has_not_is_counted(root):
    with (root / "test_list.txt").open("a") as file:
        file.write("\n00000099_000.png\n")
    entries = root / "Data_Entry_2017.csv"
    entries.write_text(entries.read_text() + "00000098_000.png,Mass,0,98,058Y,M,PA,1,1,1,1,\n")
    boxes = root / "BBox_List_2017.csv"
    boxes.write_text(boxes.read_text() + "00000098_000.png,Mass,1,1,1,1,,,\n")
    source = NihCxr14Source(str(root))
    assert len(source.keys()) == 40
    assert source.left_out == {"in_no_split_list": 1, "without_labels": 1, "box_of_no_image": 1}


def test_the_newer_entries_are_taken_and_change_the_version(root):
    before = NihCxr14Source(str(root)).version
    old = (root / "Data_Entry_2017.csv").read_text()
    (root / "Data_Entry_2017_v2020.csv").write_text(old.replace("Effusion|Mass", "Effusion"))
    source = NihCxr14Source(str(root))
    keys = source.keys()
    assert labels_of(source, source.load(keys[1])) == {"Pleural Effusion"}
    assert source.version != before


@pytest.mark.parametrize(
    "file", ["Data_Entry_2017.csv", "train_val_list.txt", "test_list.txt", "images_001"]
)
def test_what_is_missing_is_named(root, file):
    if file == "images_001":
        shutil.rmtree(root / "images_001"), shutil.rmtree(root / "images_002")
    else:
        (root / file).unlink()
    with pytest.raises(BadInput) as error:
        NihCxr14Source(str(root)).keys()
    message = str(error.value)
    assert file in message and "ChestX-ray14" in message and "\n" not in message


def test_boxes_are_an_extra(root):
    (root / "BBox_List_2017.csv").unlink()
    source = NihCxr14Source(str(root))
    assert all(source.load(key).boxes.size == 0 for key in source.keys()[-8:])


@pytest.mark.parametrize(
    "file, before, after, reason, says",
    [
        ("Data_Entry_2017.csv", "Effusion|Mass", "Effusion|Lump", "bad_label", "row 2.*'Lump'"),
        ("Data_Entry_2017.csv", "No Finding", "", "bad_label", "row 1.*''"),
        (
            "Data_Entry_2017.csv",
            "00000001_000.png",
            "one.png",
            "bad_image_name",
            "row 1.*'one.png'",
        ),
        ("Data_Entry_2017.csv", "Finding Labels", "Findings", "missing_column", "Findings"),
        ("test_list.txt", "00000017_000.png", "00000001_000.png", "image_in_two_lists", "line 1"),
        ("BBox_List_2017.csv", "512", "nan", "bad_number", "row 1.*''"),
        ("BBox_List_2017.csv", "128,64\n", "128,0\n", "bad_box", "row 1.*128 x 0"),
        ("BBox_List_2017.csv", ",Infiltrate", ",Lump", "bad_label", "row 1.*'Lump'"),
        ("BBox_List_2017.csv", ",128,64.25,,,", "", "short_row", "line 3.*cut short"),
    ],
)
def test_a_list_that_is_damaged_says_where(root, file, before, after, reason, says):
    text = (root / file).read_text()
    assert before in text
    (root / file).write_text(text.replace(before, after, 1))
    with pytest.raises(BadInput, match=says) as error:
        NihCxr14Source(str(root)).keys()
    assert error.value.reason == reason and "\n" not in str(error.value)


def test_a_patient_of_both_lists_is_an_error(root, tmp_path):
    for file, drop in (("train_val_list.txt", "00000001_001.png\n"), ("test_list.txt", "")):
        path = root / file
        path.write_text(path.read_text().replace(drop, ""))
    with (root / "test_list.txt").open("a") as file:
        file.write("\n00000001_001.png\n")
    with pytest.raises(BadInput, match="patient 00000001 is in both"):
        prepare(NihCxr14Source(str(root)), tmp_path / "out", image_size=32, workers=1)


@pytest.mark.real
@pytest.mark.real
def test_the_owner_s_boxes_and_some_of_its_images(real_data, tmp_path):
    with (real_data / "nih64.csv").open() as file:
        rows = list(csv.DictReader(file))
    root = tmp_path / "nih"
    (root / "images").mkdir(parents=True)
    for row in rows:
        shutil.copy(real_data / row["image"], root / "images" / row["orig"])
    with (root / "Data_Entry_2017_v2020.csv").open("w") as file:
        print("Image Index,Finding Labels,View Position", file=file)
        for row in rows:
            print(f"{row['orig']},{row['labels']},{row['view']}", file=file)
    patients = sorted({row["orig"][:8] for row in rows})
    tested = set(patients[::5])
    for file, part in (("train_val_list.txt", False), ("test_list.txt", True)):
        names = [row["orig"] for row in rows if (row["orig"][:8] in tested) == part]
        (root / file).write_text("\n".join(names) + "\n")
    shutil.copy(real_data / "formats" / "nih_BBox_List_2017.csv", root / "BBox_List_2017.csv")
    source = NihCxr14Source(str(root))
    keys = source.keys()
    boxed = len(keys) + source.left_out["box_of_no_image"]
    assert len(keys) == len(rows) and boxed >= 880, "880 images have boxes"
    manifest = prepare(source, tmp_path / "data", image_size=64, workers=1)
    assert sum(d["examples"] for d in manifest["splits"].values()) == len(rows)
    assert manifest["quarantined"] == {}
    expected = sum("Effusion" in row["labels"].split("|") for row in rows)
    data = open_data(tmp_path / "data")
    column = data.label_names.index("Pleural Effusion")
    found = sum(
        r["labels"][column] for s in data.splits for r in read_records(data, s, ("labels",))
    )
    assert found == expected > 0
