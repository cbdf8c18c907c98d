"""MIMIC-CXR's lists: which images there are, of whom, in which split, from where, with what labels.

The lists come with MIMIC-CXR-JPG, also for those who read the DICOM files.
"""

import dataclasses
import hashlib
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from etils import epath

from data_pipelines.records import CHEXPERT_LABELS, BadInput
from data_pipelines.sources import lists
from data_pipelines.sources.mimic_files import find_list

SPLITS = ("train", "validate", "test")
_NUMBER = re.compile(r"\d{8}")
_IMAGE = re.compile(r"[0-9a-f-]{8,64}")


class Row(NamedTuple):
    """An image of the official split."""

    image: str
    study: str  # s50414267
    patient: str  # p10000032
    split: str


@dataclasses.dataclass(frozen=True)
class OfficialSplit:
    """Every image, in the order of the split's list, and a digest of the list."""

    rows: list[Row]
    digest: str


@dataclasses.dataclass(frozen=True)
class Descriptions:
    """What is said of images and studies.

    Attributes:
      views: ViewPosition of an image, in capitals; "" where the list leaves it out.
      labels: [14] of a study, by CHEXPERT_LABELS.
      digest: of all of it.
    """

    views: Mapping[str, str]
    labels: Mapping[str, np.ndarray]
    digest: str


def is_named(image: str, study: str, patient: str) -> bool:
    """Whether these are named as MIMIC-CXR's are: they make up a path, so that nothing else will
    do. Study and patient are the bare numbers.
    """
    return bool(_NUMBER.fullmatch(study) and _NUMBER.fullmatch(patient) and _IMAGE.fullmatch(image))


def read_split(raw_dir: os.PathLike | str) -> OfficialSplit:
    """Reads the official split.

    Raises:
      BadInput: missing_list, bad_id, bad_split, or what `lists.read_table` raises.
    """
    path = find_list(raw_dir, "mimic-cxr-2.0.0-split.csv")
    digest = hashlib.blake2b(digest_size=4)
    rows = []
    for row in lists.iterate_table(path, ("dicom_id", "study_id", "subject_id", "split")):
        image, study, patient = row["dicom_id"], row["study_id"], row["subject_id"]
        if not is_named(image, study, patient):
            raise BadInput(
                "bad_id",
                f"{path.name}: image {image!r} of study {study!r} and subject {patient!r} is not "
                "named as MIMIC-CXR's are, by 8 digits: download the list again",
            )
        if row["split"] not in SPLITS:
            raise BadInput(
                "bad_split", f"{path.name}: split {row['split']!r} is none of {', '.join(SPLITS)}"
            )
        rows.append(Row(image, f"s{study}", f"p{patient}", row["split"]))
        digest.update(f"{image} {study} {patient} {row['split']}\n".encode())
    return OfficialSplit(rows, digest.hexdigest())


def read_descriptions(raw_dir: os.PathLike | str, labels: str) -> Descriptions:
    """Reads the metadata, and the labels of `labels`: chexpert or negbio.

    Raises:
      BadInput: missing_list, bad_label, or what `lists.read_table` raises.
    """
    digest = hashlib.blake2b(digest_size=4)
    return Descriptions(
        views=_read_views(find_list(raw_dir, "mimic-cxr-2.0.0-metadata.csv"), digest),
        labels=_read_labels(find_list(raw_dir, f"mimic-cxr-2.0.0-{labels}.csv"), digest),
        digest=digest.hexdigest(),
    )


def _read_views(path: epath.Path, digest) -> dict[str, str]:
    views = {}
    for row in lists.iterate_table(path, ("dicom_id", "ViewPosition")):
        views[row["dicom_id"]] = row["ViewPosition"].upper()
        digest.update(f"{row['dicom_id']} {row['ViewPosition']}\n".encode())
    return views


def _read_labels(path: epath.Path, digest) -> dict[str, np.ndarray]:
    of_study = {}
    for row in lists.iterate_table(path, ("study_id", *CHEXPERT_LABELS)):
        where = f"{path.name}, study {row['study_id']}"
        values = np.array(lists.parse_labels(row, CHEXPERT_LABELS, where), np.int8)
        of_study[f"s{row['study_id']}"] = values
        digest.update(f"{row['study_id']}".encode() + values.tobytes())
    return of_study
