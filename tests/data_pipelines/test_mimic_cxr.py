"""MIMIC-CXR from its official layouts: lists, images, reports, views, protocols, MIMIC-5x200."""

import pickle
import random
import zipfile

import command_line
import mimic_tree
import numpy as np
import pytest
from mimic_tree import IMAGES, Image, name

from data_pipelines.batches import open_data, read_records
from data_pipelines.records import CHEXPERT_LABELS, BadInput, Label
from data_pipelines.sources.mimic_cxr import MimicCxrSource
from data_pipelines.sources.mimic_files import ReportFiles
from place_jax import cli


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mimic")
    mimic_tree.write_jpg_release(folder)
    return folder


def splits(source) -> dict[str, list[int]]:
    """Split -> the numbers of its images."""
    numbers = {name(i): i for i in range(1, 2000)}
    found = {}
    for key in source.keys():
        found.setdefault(key.split, []).append(numbers[key.image_id])
    return found


def load(source, number):
    return source.load(next(key for key in source.keys() if key.image_id == name(number)))


def test_official_splits_stay_apart_and_what_is_left_out_is_counted(tree):
    source = MimicCxrSource(str(tree))
    assert splits(source) == {"train": [1, 3, 4], "validation": [9], "test": [10, 11]}
    assert source.left_out == {
        "no_findings_or_impression": 1,
        "no_view": 1,
        "other_view": 2,
        "short_report": 1,
    }
    key = source.keys()[0]
    assert (key.study_id, key.patient_id) == ("s50000001", "p10000001")
    assert source.keys() == source.keys() and source.version == MimicCxrSource(str(tree)).version


def test_mgca_compat_merges_validation_and_test_and_wants_headings(tree):
    source = MimicCxrSource(str(tree), protocol="mgca_compat")
    assert splits(source) == {"train": [1, 3], "validation": [9, 10, 11]}
    assert source.left_out["no_findings_or_impression"] == 2
    assert "validate and test together" in source.split_rule


@pytest.mark.parametrize("views, train", [("lateral", [2, 8]), ("all", [1, 2, 3, 4, 7, 8])])
def test_views(tree, views, train):
    assert splits(MimicCxrSource(str(tree), views=views))["train"] == train


def test_an_image_its_report_and_its_labels(tree):
    source = pickle.loads(pickle.dumps(MimicCxrSource(str(tree))))
    study = load(source, 1)
    assert study.findings == "The heart is 12.5 cm wide, seen by Dr. ___. No effusion."
    assert study.impression.startswith("1. No pneumonia.") and study.view == "PA"
    assert study.pixels.shape == (40, 48)
    labels = dict(zip(CHEXPERT_LABELS, study.labels, strict=True))
    assert labels["Edema"] == Label.POSITIVE and labels["Pneumonia"] == Label.NEGATIVE
    assert labels["Fracture"] == Label.MISSING
    wet = load(source, 3)
    assert (wet.findings, wet.impression) == ("Lungs are clear.", "")
    assert wet.labels[CHEXPERT_LABELS.index("Pneumothorax")] == Label.UNCERTAIN
    assert load(source, 4).findings == "The lungs are clear. No edema."
    assert load(source, 9).impression == "Small left effusion."


def test_layouts_give_the_same_studies(tree, tmp_path):
    """Lists unpacked, folders as `wget -r` leaves them, reports unpacked, images as DICOM."""
    theirs = MimicCxrSource(str(tree))
    home = tmp_path / "physionet.org" / "files"
    mimic_tree.write_lists(home / "mimic-cxr-jpg" / "2.1.0", packed=False)
    mimic_tree.write_images(home / "mimic-cxr-jpg" / "2.1.0")
    mimic_tree.write_images(home / "mimic-cxr" / "2.1.0", kind="dicom")
    mimic_tree.write_reports(home / "mimic-cxr" / "2.1.0" / "mimic-cxr-reports")
    for images in ("jpg", "dicom"):
        ours = MimicCxrSource(str(tmp_path), images=images)
        assert ours.keys() == theirs.keys() and ours.left_out == theirs.left_out
        for key in ours.keys():
            mine, yours = ours.load(key), theirs.load(key)
            assert (mine.findings, mine.impression) == (yours.findings, yours.impression)
            assert np.corrcoef(np.ravel(mine.pixels), np.ravel(yours.pixels))[0, 1] > 0.99
    mimic_tree.write_archive(tmp_path / "mimic-cxr-reports.zip", root="mimic-cxr-reports/")
    assert MimicCxrSource(str(tmp_path)).keys() == theirs.keys()


def busy(i: int, **labels: str) -> Image:
    """A frontal training image, two of a patient; what labels it has beside Support Devices."""
    named = {key.replace("_", " "): value for key, value in labels.items()}
    return Image(name(i), 50000000 + i, 10000000 + i // 2, labels=named)


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    """220 edemas alone, 30 atelectases alone, others; two images of one study are alone."""
    folder = tmp_path_factory.mktemp("five")
    images = [busy(i, Edema="1.0", No_Finding="1.0") for i in range(100, 320)]
    images += [busy(i, Atelectasis="1.0", Fracture="0.0") for i in range(320, 350)]
    images += [busy(i, Cardiomegaly="1.0", Fracture="-1.0") for i in range(350, 360)]
    images += [busy(360, Consolidation="1.0"), busy(361, Consolidation="1.0")._replace(view="LL")]
    images.append(images[-2]._replace(image=name(400)))
    images.append(busy(362)._replace(patient=images[-1].patient))
    images += [busy(i, Edema="1.0")._replace(split="test") for i in range(500, 504)]
    images.append(busy(510)._replace(split="validate"))
    mimic_tree.write_jpg_release(folder, images)
    return folder


def test_mimic_5x200_is_the_rule_on_one_image_a_study(five):
    source = MimicCxrSource(str(five), test_set="5x200")
    found = splits(source)
    edemas = [i for i in found["test"] if i < 320]
    assert len(edemas) == 200 and set(found["test"]) - set(edemas) == {*range(320, 350), 360}
    assert found["test"] == splits(source)["test"] and source.published_counts == {"test": 1000}
    patients = {key.patient_id for key in source.keys() if key.split == "test"}
    assert not patients & {key.patient_id for key in source.keys() if key.split != "test"}
    assert source.left_out["official_test"] == 4 and found["validation"] == [510]
    assert {400, 361, 362}.isdisjoint(found["train"])
    every = sum(len(numbers) for numbers in found.values()) + sum(source.left_out.values())
    assert every == 220 + 30 + 10 + 4 + 4 + 1
    with pytest.raises(BadInput, match="frontal"):
        MimicCxrSource(str(five), test_set="5x200", views="lateral")


def test_patients_of_a_held_out_list_are_not_in_training(tree, tmp_path):
    held = tmp_path / "MS_CXR_Local_Alignment_v1.1.0.csv"
    held.write_text(f"dicom_id,x\n{name(2)},1\n{name(10)},1\n")
    source = MimicCxrSource(str(tree), held_out=str(held))
    assert splits(source) == {"train": [4], "validation": [9], "test": [10, 11]}
    assert source.left_out["held_out_patient"] == 2
    held.write_text("dicom_id\nabc\n")
    with pytest.raises(BadInput, match="names no image of MIMIC-CXR"):
        source.keys()


def test_what_is_missing_is_named_with_where_it_comes_from(tmp_path):
    def message() -> str:
        with pytest.raises(BadInput) as error:
            MimicCxrSource(str(tmp_path)).keys()
        assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
        return str(error.value)

    assert "mimic-cxr-2.0.0-split.csv" in message() and "MIMIC-CXR-JPG of PhysioNet" in message()
    mimic_tree.write_lists(tmp_path)
    assert "files/p10" in message()
    (tmp_path / "files" / "p10").mkdir(parents=True)
    assert "holds no .jpg file" in message() and "--images dicom" in message()
    mimic_tree.write_images(tmp_path)
    assert "mimic-cxr-reports.zip" in message() and "not with its JPG release" in message()
    mimic_tree.write_archive(tmp_path / "mimic-cxr-reports.zip")
    assert MimicCxrSource(str(tmp_path)).keys()


def test_a_group_that_was_not_downloaded_is_counted(tmp_path):
    """One may take one of the ten folders, some 50 GB, for a start."""
    mimic_tree.write_lists(tmp_path)
    mimic_tree.write_images(tmp_path, [row for row in IMAGES if row.patient < 11000000])
    mimic_tree.write_archive(tmp_path / "mimic-cxr-reports.zip")
    source = MimicCxrSource(str(tmp_path))
    assert splits(source) == {"train": [1, 3]} and source.left_out["not_downloaded"] == 6


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda data: data[: len(data) // 2], "damaged_list"),
        (lambda data: b"PK" + bytes(200), "damaged_list"),
        (lambda data: data[:60] + bytes([data[60] ^ 255]) + data[61:], None),
    ],
)
def test_a_damaged_archive_is_said(tree, tmp_path, damage, reason):
    mimic_tree.write_lists(tmp_path)
    mimic_tree.write_images(tmp_path)
    data = (tree / "mimic-cxr-reports.zip").read_bytes()
    path = tmp_path / "mimic-cxr-reports.zip"
    path.write_bytes(damage(data))
    source = MimicCxrSource(str(tmp_path))
    if reason:
        with pytest.raises(BadInput, match="download it again") as error:
            source.keys()
        assert error.value.reason == reason
        return
    # Damage within one report: its images are named, the others are there.
    faults = set()
    for key in source.keys():
        try:
            source.load(key)
        except BadInput as error:
            faults.add(error.reason)
    assert faults <= {"damaged_report"} and len(source.keys()) >= 5


def test_no_changed_byte_of_the_archive_changes_a_report(tree, tmp_path):
    data = (tree / "mimic-cxr-reports.zip").read_bytes()
    names = [member.split("/")[2:] for member in mimic_tree.reports()]
    whole = ReportFiles(tree)
    for at in random.Random(0).sample(range(len(data)), 200):
        changed = data[:at] + bytes([data[at] ^ 85]) + data[at + 1 :]
        (tmp_path / "mimic-cxr-reports.zip").write_bytes(changed)
        try:
            files = ReportFiles(tmp_path)
        except BadInput:
            continue
        for patient, file in names:
            study = file.removesuffix(".txt")
            try:
                assert files.read(patient, study) == whole.read(patient, study)
            except BadInput as error:
                assert error.reason in ("damaged_report", "missing_report")


def test_reports_that_are_no_text(tmp_path):
    images = [row._replace(report=f"r{row.image}") for row in IMAGES]
    mimic_tree.write_lists(tmp_path, images)
    mimic_tree.write_images(tmp_path, images)
    texts = ["", "version https://git-lfs.github.com/spec/v1\n", "FINDINGS: " + "a b c " * 20_000]
    with zipfile.ZipFile(tmp_path / "mimic-cxr-reports.zip", "w") as archive:
        for i, member in enumerate(mimic_tree.reports(images)):
            if i != 5:
                archive.writestr(member, texts[i] if i < 3 else "FINDINGS: The lungs are clear.")
    source = MimicCxrSource(str(tmp_path), views="all")
    reasons = {}
    for key in source.keys():
        try:
            source.load(key)
        except BadInput as error:
            reasons.setdefault(error.reason, []).append(key.study_id)
    assert reasons == {
        "empty_file": ["s50000001"] * 2,
        "lfs_pointer": ["s50000002"],
        "long_report": ["s51000003"],
        "missing_report": ["s51000006"],
    }


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("10000001,train", "10000001,dev", "split 'dev' is none of"),
        ("50000001", "../../etc", "not named as MIMIC-CXR's are"),
        ("dicom_id,", "id,", "no column 'dicom_id'"),
    ],
)
def test_a_list_that_is_not_the_owners(tmp_path, old, new, says):
    mimic_tree.write_lists(tmp_path, packed=False)
    mimic_tree.write_images(tmp_path)
    path = tmp_path / "mimic-cxr-2.0.0-split.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BadInput, match=says):
        MimicCxrSource(str(tmp_path)).keys()


@pytest.mark.parametrize("option", ["images", "views", "labels", "protocol", "test_set"])
def test_options_say_what_there_is_to_choose(option):
    with pytest.raises(BadInput, match="'loose' is none of"):
        MimicCxrSource("x", **{option: "loose"})


def test_from_the_command_line(tree, tmp_path, capsys):
    out = tmp_path / "data"
    options = ("--image-size", "32", "--labels", "negbio", "--images", "jpg")
    command_line.prepare("mimic_cxr", tree, out, *options)
    said = capsys.readouterr().err
    assert "train 3, validation 1, test 2" in said and "short_report 1" in said
    assert not any(secret in said for secret in ("10000001", "50000001", name(1), "effusion"))
    assert cli.main(["inspect", str(out)]) == 0
    assert "marked not shareable" in capsys.readouterr().out
    record = {r["image_id"]: r for r in read_records(open_data(out), "train")}[name(1)]
    assert record["sentences"] == [
        "The heart is 12.5 cm wide, seen by Dr. ___.",
        "No effusion.",
        "No pneumonia.",
        "Mild edema.",
    ]
    assert record["section"] == ["findings", "findings", "impression", "impression"]
