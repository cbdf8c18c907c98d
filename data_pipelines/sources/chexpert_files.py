"""The files of CheXpert: where its lists and images lie, and what a row of a list says."""

import dataclasses
import os
import re
from collections.abc import Sequence

import numpy as np
from etils import epath

from data_pipelines.records import CHEXPERT_LABELS, BadInput
from data_pipelines.sources import lists

_RELEASE = "CheXpert-v1.0 or CheXpert-v1.0-small of Stanford AIMI"
_TEST_RELEASE = "the CheXpert test set that Stanford AIMI released with CheXlocalize"
# The full release is four archives, of which the first has the lists and the validation images.
_BATCHES = (
    "CheXpert-v1.0 batch 1 (validate & csv)",
    *(f"CheXpert-v1.0 batch {i} (train {i - 1})" for i in (2, 3, 4)),
)
_FOLDERS = ("", "CheXpert-v1.0", "CheXpert-v1.0-small", "CheXpert", *_BATCHES)
_LISTS = {
    "train": (("train.csv",), _RELEASE),
    "valid": (("valid.csv",), _RELEASE),
    "test": (("test.csv", "test_labels.csv"), _TEST_RELEASE),
}
_PATH = re.compile(r"(?:.*/)?(train|valid|test)/((patient\d+)/(study\d+)/(view\d+_(\w+))\.\w+)")


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a list, in its order."""

    paths: list[tuple[str, str]]  # (train, valid or test; path below that)
    patients: list[str]
    studies: list[str]
    images: list[str]
    views: list[str]
    frontal: np.ndarray  # [n] bool
    labels: np.ndarray  # [n, 14] int8

    def __add__(self, other: "Rows") -> "Rows":
        joined = {}
        for field in dataclasses.fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            is_list = isinstance(ours, list)
            joined[field.name] = ours + theirs if is_list else np.concatenate([ours, theirs])
        return Rows(**joined)


def read_rows(raw_dir: str, part: str) -> Rows:
    """Reads the list of train, valid or test; that of test does not say views.

    Raises:
      BadInput: missing_list, bad_path, bad_label, or what `lists.read_table` raises.
    """
    files, release = _LISTS[part]
    names = [os.path.join(folder, file) for folder in _FOLDERS for file in files]
    csv = lists.find(raw_dir, names, release)
    table = lists.read_table(csv, ("Path", *CHEXPERT_LABELS), ("Frontal/Lateral", "AP/PA"))
    rows = Rows([], [], [], [], [], np.zeros(len(table), bool), None)
    labels = np.zeros((len(table), len(CHEXPERT_LABELS)), np.int8)
    for i, values in enumerate(table):
        where = f"{csv} row {i + 1}"
        found = _PATH.fullmatch(values["Path"])
        if found is None or found.group(1) != part:
            raise BadInput(
                "bad_path",
                f"{where}: Path is {values['Path']!r}, and {part}/patient00001/study1/"
                "view1_frontal.jpg is its form: is it the official list?",
            )
        path, patient, study, view, side = found.groups()[1:]
        frontal = (values["Frontal/Lateral"] or side).lower() == "frontal"
        rows.paths.append((part, path))
        rows.patients.append(patient)
        rows.studies.append(f"{patient}-{study}")
        rows.images.append(f"{patient}-{study}-{view}")
        rows.views.append(values["AP/PA"] if frontal else "LATERAL")
        rows.frontal[i] = frontal
        labels[i] = lists.parse_labels(values, CHEXPERT_LABELS, where)
    return dataclasses.replace(rows, labels=labels)


def image_folders(raw_dir: str, part: str) -> list[epath.Path]:
    """The folders there are that hold patients of this part.

    Raises:
      BadInput: missing_images.
    """
    bare = _BATCHES[1:] if part == "train" else ()  # these hold no folder of their part
    names = (*(os.path.join(folder, part) for folder in _FOLDERS), *bare)
    found = [path for path in (epath.Path(raw_dir) / name for name in names) if path.exists()]
    if not found:
        raise BadInput(
            "missing_images",
            f"{raw_dir!r} holds no folder {part} of images: it comes with {_LISTS[part][1]}; give "
            "--raw-dir the folder that holds it",
        )
    return found


def locate(folders: Sequence[epath.Path], path: str) -> epath.Path:
    """The image, in the folder that has it: only the full release has several."""
    for folder in folders[:-1]:
        if (folder / path).exists():
            return folder / path
    return folders[-1] / path
