"""CheXpert from its official layouts: lists, views, the 5x200 list, splits by both protocols."""

import hashlib
import pickle

import command_line
import numpy as np
import pytest
from chexpert_tree import COLUMNS, many_rows, row, write_csv, write_jpeg

from data_pipelines.batches import open_data, read_records
from data_pipelines.prepare import prepare
from data_pipelines.records import CHEXPERT_LABELS, BadInput, Label
from data_pipelines.sources import five_by_200
from data_pipelines.sources.chexpert import ChexpertSource
from data_pipelines.sources.subsets import mgca_compat_positions
from place_jax import cli

BUSY = {"Edema": "1.0", "Support_Devices": "1.0"}  # never on the 5x200 list


def short_hash(ids) -> str:
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """14,000 rows of training, and no image: keys want none."""
    root = tmp_path_factory.mktemp("big") / "CheXpert-v1.0-small"
    write_csv(root / "train.csv", many_rows(14_000))
    valid = [row(f"valid/patient{64541 + i}/study1/view1_frontal.jpg", **BUSY) for i in range(9)]
    write_csv(root / "valid.csv", [*valid, row("valid/patient64541/study1/view2_lateral.jpg")])
    for part in ("train", "valid"):
        (root / part).mkdir()
    return root


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """24 training images of 12 patients, 3 of validation, in the small release's layout."""
    root = tmp_path_factory.mktemp("small")
    paths = [
        f"train/patient{p:05d}/study{s}/view1_frontal.jpg" for p in range(1, 13) for s in (1, 2)
    ]
    labels = [BUSY | {"Cardiomegaly": "-1.0", "Fracture": "0.0"} for _ in paths]
    labels[0] = {"Edema": "1.0", "No_Finding": "1.0"}  # alone: on the 5x200 list
    rows = [row(path, "AP", **label) for path, label in zip(paths, labels, strict=True)]
    rows.append(row("train/patient00003/study1/view2_lateral.jpg", **BUSY))
    tests = [
        row("valid/patient64541/study1/view1_frontal.jpg", Pneumonia="1.0", Edema="0.0"),
        row("valid/patient64541/study1/view2_lateral.jpg", Pneumonia="1.0"),
        row("valid/patient64542/study1/view1_frontal.jpg", **BUSY),
    ]
    home = root / "CheXpert-v1.0-small"
    write_csv(home / "train.csv", rows)
    write_csv(home / "valid.csv", tests)
    for i, values in enumerate((*rows, *tests)):
        write_jpeg(root / values["Path"], i)
    return root


def split(keys, name):
    return [key for key in keys if key.split == name]


def test_the_5x200_list_is_that_of_the_reference_code(big):
    source = ChexpertSource(str(big), test_set="5x200")
    keys = source.keys()
    listed = split(keys, "test")
    # Of MGCA's preprocess/chexpert.py under pandas 3.1, run on the same list.
    assert short_hash(key.image_id for key in listed) == "7b72fa528632097d"
    assert len(listed) == 1000 == source.published_counts["test"]
    patients = {key.patient_id for key in listed}
    assert not patients & {key.patient_id for key in keys if key.split != "test"}


def test_rows_of_the_5x200_list_have_one_positive_and_nothing_uncertain():
    labels = np.full((6, 14), Label.MISSING, np.int8)
    number = {name: i for i, name in enumerate(CHEXPERT_LABELS)}
    labels[:, number["Edema"]] = Label.POSITIVE
    labels[1, number["Fracture"]] = Label.UNCERTAIN
    labels[2, number["Support Devices"]] = Label.POSITIVE
    labels[3, number["No Finding"]] = Label.POSITIVE  # the rule does not look at it
    labels[4, number["Atelectasis"]] = Label.NEGATIVE
    frontal = np.array([True, True, True, True, True, False])
    assert sorted(five_by_200.positions_of_5x200(labels, frontal)) == [0, 3, 4]


def test_mgca_compat_draws_what_the_reference_code_draws(big):
    keys = ChexpertSource(str(big), protocol="mgca_compat").keys()
    train, validation = split(keys, "train"), split(keys, "validation")
    assert short_hash(key.image_id for key in train) == "1997112c3ba2f4f0"
    drawn = [key.image_id.removesuffix("@validation") for key in validation]
    assert short_hash(drawn) == "678ecc093d41467e"
    both = {key.image_id for key in train} & set(drawn)
    assert len(both) == 893, "of 998: the reference code's mistake, kept"
    one_percent = [train[i].image_id for i in mgca_compat_positions(len(train), 0.01)]
    assert short_hash(one_percent) == "b151184f90e0d2fb"


def test_strict_keeps_patients_apart_and_fills_validation_exactly(big):
    source = ChexpertSource(str(big))
    keys = source.keys()
    patients = [{key.patient_id for key in split(keys, s)} for s in ("train", "validation", "test")]
    assert sum(map(len, patients)) == len(set.union(*patients))
    unlisted = 14_000 * 4 // 5 - 1000
    assert len(split(keys, "validation")) == unlisted // 10
    assert len(split(keys, "train")) == unlisted - unlisted // 10
    assert len(split(keys, "test")) == 9
    assert source.left_out == {"other_view": 2801, "listed_5x200": 1000}
    assert [k.image_id for k in source.keys()] == [k.image_id for k in keys]


@pytest.mark.parametrize("protocol", ["strict", "mgca_compat"])
@pytest.mark.parametrize("views", ["frontal", "lateral", "all"])
def test_every_row_is_a_key_or_counted(big, protocol, views):
    source = ChexpertSource(str(big), protocol=protocol, views=views)
    images = {key.image_id.removesuffix("@validation") for key in source.keys()}
    assert len(images) + sum(source.left_out.values()) == 14_000 + 10
    seen = {"frontal": 11_209, "lateral": 2801, "all": 14_010}[views]
    assert source.left_out.get("other_view", 0) == 14_010 - seen


def test_counts_of_the_release():
    assert ChexpertSource("x").published_counts == {
        "train": 185_027,
        "validation": 5000,
        "test": 202,
    }
    assert ChexpertSource("x", views="all").published_counts["train"] == 223_414 - 6000


def test_an_image_with_its_labels_and_view(small):
    source = pickle.loads(pickle.dumps(ChexpertSource(str(small))))
    keys = {key.image_id: key for key in source.keys()}
    key = keys["patient64541-study1-view1_frontal"]
    assert (key.study_id, key.patient_id, key.split) == (
        "patient64541-study1",
        "patient64541",
        "test",
    )
    study = source.load(key)
    labels = dict(zip(CHEXPERT_LABELS, study.labels, strict=True))
    assert {name: value for name, value in labels.items() if value != Label.MISSING} == {
        "Pneumonia": Label.POSITIVE,
        "Edema": Label.NEGATIVE,
    }
    assert study.view == "PA" and study.findings == study.impression == ""
    labels = source.load(keys["patient00002-study1-view1_frontal"]).labels
    assert labels[CHEXPERT_LABELS.index("Cardiomegaly")] == Label.UNCERTAIN
    lateral = ChexpertSource(str(small), views="lateral")
    assert {lateral.load(key).view for key in lateral.keys()} == {"LATERAL"}


def test_the_source_does_not_carry_its_lists(big):
    source = ChexpertSource(str(big))
    source.keys()
    assert len(pickle.dumps(source)) < 1000


def test_prepared(small, tmp_path, capsys):
    manifest = prepare(ChexpertSource(str(small)), tmp_path / "data", image_size=32, workers=1)
    assert {s: d["examples"] for s, d in manifest["splits"].items()} == {
        "train": 21,
        "validation": 2,
        "test": 2,
    }
    assert manifest["left_out"] == {"other_view": 2, "listed_5x200": 1}
    assert manifest["shareable"] is False and not manifest["has_reports"]
    data = open_data(tmp_path / "data")
    records = {r["image_id"]: r for s in data.splits for r in read_records(data, s)}
    assert "patient00001-study1-view1_frontal" not in records
    assert records["patient64542-study1-view1_frontal"]["labels"].max() == 1
    said = capsys.readouterr().err
    assert "train 21 (published: 185027)" in said and "listed_5x200 1" in said
    assert "patient" not in said


def test_the_full_release_is_read_as_its_archives_unpack(small, tmp_path):
    home = small / "CheXpert-v1.0-small"
    first = tmp_path / "CheXpert-v1.0 batch 1 (validate & csv)"
    first.mkdir()
    for name in ("train.csv", "valid.csv"):
        (first / name).write_text((home / name).read_text().replace("-small/", "/"))
    (first / "valid").symlink_to(home / "valid")
    for number, patients in ((2, range(1, 5)), (3, range(5, 9)), (4, range(9, 13))):
        batch = tmp_path / f"CheXpert-v1.0 batch {number} (train {number - 1})"
        batch.mkdir()
        for patient in patients:
            name = f"patient{patient:05d}"
            (batch / name).symlink_to(home / "train" / name)
    ours, theirs = ChexpertSource(str(tmp_path)), ChexpertSource(str(small))
    assert ours.keys() == theirs.keys() and ours.version == theirs.version
    for key in ours.keys():
        np.testing.assert_array_equal(ours.load(key).pixels, theirs.load(key).pixels)


def test_the_official_test_set_has_its_own_list(small, tmp_path):
    """test_labels.csv says neither sex nor views, and its paths start at test/."""
    (tmp_path / "train.csv").symlink_to(small / "CheXpert-v1.0-small" / "train.csv")
    (tmp_path / "train").symlink_to(small / "CheXpert-v1.0-small" / "train")
    rows = [
        row(f"test/patient64741/study1/view{i}_{s}.jpg", Edema="1.0")
        for i, s in ((1, "frontal"), (2, "lateral"))
    ]
    for i, values in enumerate(rows):
        values["Path"] = values["Path"].split("/", 1)[1]
        write_jpeg(tmp_path / "CheXpert" / values["Path"], i)
    columns = [name for name in COLUMNS if name not in ("Sex", "Age", "Frontal/Lateral", "AP/PA")]
    write_csv(tmp_path / "CheXpert" / "test_labels.csv", rows, columns)
    source = ChexpertSource(str(tmp_path), test_set="test")
    (key,) = split(source.keys(), "test")
    assert key.image_id == "patient64741-study1-view1_frontal"
    assert source.load(key).pixels.shape == (40, 48)
    with pytest.raises(BadInput, match="valid.csv.*comes with CheXpert-v1.0"):
        ChexpertSource(str(tmp_path)).keys()


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(BadInput) as error:
        ChexpertSource(str(tmp_path)).keys()
    message = str(error.value)
    assert error.value.reason == "missing_list" and "\n" not in message
    assert "train.csv" in message and "Stanford AIMI" in message and str(tmp_path) in message
    write_csv(tmp_path / "train.csv", many_rows(30))
    with pytest.raises(BadInput, match="no folder train of images.*--raw-dir"):
        ChexpertSource(str(tmp_path)).keys()


@pytest.mark.parametrize(
    "change, reason, says",
    [
        ({"Path": "x/train/patient1.jpg"}, "bad_path", "row 2.*official list"),
        ({"Path": "valid/patient00001/study1/view1_frontal.jpg"}, "bad_path", "row 2"),
        ({"Edema": "maybe"}, "bad_label", "row 2, Edema: label 'maybe'"),
    ],
)
def test_a_row_that_is_not_the_owners_is_named(tmp_path, change, reason, says):
    rows = many_rows(4)
    rows[1] |= change
    write_csv(tmp_path / "train.csv", rows)
    with pytest.raises(BadInput, match=says) as error:
        ChexpertSource(str(tmp_path)).keys()
    assert error.value.reason == reason


def test_a_patient_of_train_and_valid_is_an_error(small, tmp_path):
    home = small / "CheXpert-v1.0-small"
    write_csv(tmp_path / "train.csv", many_rows(60))
    write_csv(tmp_path / "valid.csv", [row("valid/patient00001/study9/view1_frontal.jpg")])
    for part in ("train", "valid"):
        (tmp_path / part).symlink_to(home / part)
    with pytest.raises(BadInput, match="patient patient00001 is in both"):
        prepare(ChexpertSource(str(tmp_path)), tmp_path / "out", image_size=32, workers=1)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"protocol": "loose"}, "strict, mgca_compat"),
        ({"views": "oblique"}, "frontal, lateral, all"),
        ({"test_set": "dev"}, "valid, test, 5x200"),
    ],
)
def test_options_say_what_there_is_to_choose(options, says):
    with pytest.raises(BadInput, match=says):
        ChexpertSource("x", **options)


def test_from_the_command_line(small, tmp_path, capsys):
    out = tmp_path / "data"
    options = ("--image-size", "32", "--views", "all", "--test-set", "5x200")
    command_line.prepare("chexpert", small, out, *options)
    assert open_data(out).splits["test"] == 1
    options = ("--raw-dir", str(small), "--out-dir", str(out), "--seed", "3")
    assert cli.main(["prepare", "chexpert", *options]) == 1
    assert "chexpert takes no --seed" in capsys.readouterr().err
