"""Sex and age come from a table of the user's, by whichever identifier it has."""

import types

import numpy as np
import pytest

from data_pipelines.records import BadInput
from data_pipelines.sources.pseudonyms import pseudonym, read_salt
from place_jax.transfer import subgroup_table, subgroups

COUNT = 12
IMAGES = [f"0000{k // 2}_0{k:02d}" for k in range(COUNT)]  # two images of each of six patients
DATA = types.SimpleNamespace(dir="data", label_names=("Edema",))


@pytest.fixture
def find(monkeypatch, tmp_path):
    """Groups by a table's text; patients are hashed as of a prepared folder if asked."""
    salt = read_salt(tmp_path / ".place_salt")

    def find(text: str, *names: str, hashed: bool = False):
        def read_records(data, split, fields, limit):
            patients = [image.partition("_")[0] for image in IMAGES]
            if hashed:
                patients = [pseudonym(salt, "patient", patient) for patient in patients]
            return [
                {"image_id": image, "study_id": image, "patient_id": patient, "view": "PA"}
                for image, patient in zip(IMAGES, patients, strict=True)
            ][:limit]

        monkeypatch.setattr(subgroup_table.batches, "read_records", read_records)
        path = tmp_path / "table.csv"
        path.write_text(text)
        found = subgroups.find_groups(
            DATA,
            "test",
            subgroups=subgroups.Subgroups(names, path),
            index=np.arange(COUNT),
            labels=np.zeros((COUNT, 1), np.int8),
        )
        return {name: np.flatnonzero(inside).tolist() for name, inside in found.items()}

    return find


@pytest.mark.parametrize("hashed", [False, True])
def test_a_patients_row_speaks_of_all_of_its_images(find, hashed):
    table = "row,Patient ID,Sex\n1,00000,M\n2,00001,F\n3,00009,F\n"
    assert find(table, "sex", hashed=hashed) == {"sex_f": [2, 3], "sex_m": [0, 1]}


def test_images_are_named_by_their_files_and_ages_are_ranges(find):
    ages = [17, 39, 40, 59, 60, 79, 80, 101, "", 41, 42, 43]
    rows = [f"x/{image}.png,{age},AP" for image, age in zip(IMAGES, ages, strict=True)]
    assert find("\n".join(["path,Age,projection", *rows]), "age", "projection", "view") == {
        "age_under_40": [0, 1],
        "age_40_to_60": [2, 3, 9, 10, 11],
        "age_60_to_80": [4, 5],
        "age_80_and_over": [6, 7],
        "projection_ap": list(range(COUNT)),
        "view_pa": list(range(COUNT)),
    }


def test_few_numbers_stand_for_themselves_and_many_are_cut_in_thirds(find):
    rows = [f"{image}.png,{k % 2},{k}" for k, image in enumerate(IMAGES)]
    found = find("\n".join(["Image Index,smoker,weight", *rows]), "smoker", "weight")
    assert found["smoker_1"] == list(range(1, COUNT, 2)) and len(found) == 5
    assert sorted(map(len, found.values())) == [4, 4, 4, 6, 6]


def test_a_patients_rows_that_differ_say_nothing(find):
    table = "patient,projection\n00000,AP\n00000,PA\n00001,AP\n00001,AP\n"
    assert find(table, "projection") == {"projection_ap": [2, 3]}


def test_identifiers_are_known_in_the_forms_that_data_sets_write(tmp_path):
    salt = read_salt(tmp_path / ".place_salt")
    forms = subgroup_table._forms(tmp_path / "table.csv")
    for cell, form in (
        ("train/patient00001/study2/view1_frontal.jpg", "patient00001-study2-view1_frontal"),
        ("10000032", "p10000032"),
        ("a.png", pseudonym(salt, "image", "7 a.png")),  # of the CSV that was prepared
    ):
        assert form in forms(cell, 7)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (("<65", ">=65"), ("under_65", "over_65")),
        (("1.0", "-1.0"), ("1_0", "minus_1_0")),
        (("HIV+", "HIV-"), ("hiv_plus", "hiv")),
        (("m", "M"), ("m", "m")),
    ],
)
def test_values_that_differ_in_a_sign_are_different_groups(find, cells, words):
    rows = [f"{image}.png,{cells[k % 2]}" for k, image in enumerate(IMAGES)]
    found = find("\n".join(["path,Stage", *rows]), "stage")
    assert set(found) == {f"stage_{word}" for word in words}


def test_of_age_is_a_column_with_that_word_alone(find):
    rows = [f"{image}.png,{k},{k}" for k, image in enumerate(IMAGES)]
    found = find("\n".join(["path,PatientAge,OriginalImage", *rows]), "patientage", "originalimage")
    assert [name for name in found if "patientage" in name] == ["patientage_under_40"]
    assert len(found) == 4


@pytest.mark.parametrize(
    ("table", "name", "says"),
    [
        ("id,sex\n00000,F.\n00001,F-\n", "sex", "would both be called 'f'"),
        ("id,sex\n00000,M\n", "age", "'age' is neither view nor device, and no column of"),
        ("id,sex\nelse,M\n", "sex", "names none of the 12 examples"),
        ("id,sex\n", "sex", "has no rows"),
    ],
)
def test_a_table_that_does_not_fit_is_one_line(find, table, name, says):
    with pytest.raises(BadInput) as error:
        find(table, name)
    assert says in str(error.value) and "\n" not in str(error.value)
