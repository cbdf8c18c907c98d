"""MS-CXR: phrases of findings in MIMIC-CXR, with boxes that radiologists drew around what they say.

Boecking et al., ECCV 2022 (arXiv 2204.09817). It is the grounding test of the field: its images are
MIMIC-CXR's, so that a model to be tested on it is trained without its patients (`held_out` of
`mimic_cxr`).
"""

import dataclasses
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from etils import epath

from data_pipelines import annotations, reports
from data_pipelines.records import CHEXPERT_LABELS, SPLITS, BadInput, Key, Label, Study
from data_pipelines.sources import lists
from data_pipelines.sources.mimic_files import IMAGES, PARENTS, ImageFiles
from data_pipelines.sources.mimic_lists import is_named

TEST_SETS = ("all", "test")
_RELEASE = "MS-CXR of PhysioNet"
_FOLDERS = ("", *(f"{parent}ms-cxr/" for parent in PARENTS))
_VERSIONS = {"1.1.0": "1.1.0/", "1.0.0": "0.1/"}  # release 0.1 has the list of version 1.0.0
_COLUMNS = ("dicom_id", "category_name", "label_text", "path", "image_width", "image_height")
_BOX = ("x", "y", "w", "h")
_PATH = re.compile(r"(?:.*/)?p\d\d/p(\d{8})/s(\d{8})/([0-9a-f-]+)\.\w+")
_SPLITS = {"train": "train", "val": "validation", "validate": "validation", "test": "test"}
_CHECKED = 50  # images, of which one has to be there before all are looked for
_SIDES_DIFFER = 0.01  # of the ratio of sides, in a copy of another size


@dataclasses.dataclass(frozen=True)
class MsCxrSource:
    """1,162 pairs of an image and a phrase, of eight findings, each with one or several boxes.

    A record is an image: its report is its phrases, each a sentence linked to its boxes, and the
    findings of its phrases are positive. What else there is to see has no label.

    Attributes:
      raw_dir: holds MS_CXR_Local_Alignment_v1.1.0.csv or v1.0.0.csv, or ms-cxr does; and the images
        of MIMIC-CXR-JPG, or MIMIC-CXR's DICOM files.
      images: jpg or dicom.
      test_set: all: every image is in the test split, as papers on grounding have it; test: the
        owner's column split, of version 1.1.0, says.
    """

    raw_dir: str
    images: str = "jpg"
    test_set: str = "all"

    name = "ms_cxr"
    shareable = False  # PhysioNet's data use agreement forbids passing images and texts on
    has_reports = True
    label_names: ClassVar[Sequence[str]] = CHEXPERT_LABELS
    left_out: ClassVar[Mapping[str, int]] = {}
    published_counts: ClassVar[Mapping[str, int]] = {}

    def __post_init__(self):
        lists.check_choice("images", self.images, IMAGES)
        lists.check_choice("test_set", self.test_set, TEST_SETS)

    @property
    def version(self) -> str:
        """Changes with the content of the list."""
        return f"1-{self.images}-{self.test_set}-{_tables(self).digest}"

    @property
    def split_rule(self) -> str:
        """For the manifest."""
        return "all test" if self.test_set == "all" else "the owner's column split"

    def keys(self) -> Sequence[Key]:
        """One key an image, in the order in which the list first names it.

        Raises:
          BadInput: missing_list, missing_images, other_images, bad_path, bad_number, bad_box,
            bad_label, bad_split, contradicting_rows, or what `lists.read_table` raises.
        """
        return _tables.fresh(self).keys

    def load(self, key: Key) -> Study:
        """Reads one image with its phrases and boxes.

        Raises:
          BadInput: other_size, or what `image.read_image` raises.
        """
        tables = _tables(self)
        listed = tables.images[key.image_id]
        path = tables.files.path(key.patient_id, key.study_id, key.image_id)
        pixels = lists.read_listed_image(path)
        labels = np.full(len(CHEXPERT_LABELS), Label.MISSING, np.int8)
        labels[[mark.label for mark in listed.marks]] = Label.POSITIVE
        boxes = _scaled(np.array([mark.box for mark in listed.marks]), listed, pixels.shape)
        phrases = list(dict.fromkeys(mark.phrase for mark in listed.marks))
        return Study(
            pixels=pixels,
            findings="\n\n".join(phrases),  # an empty line ends a sentence
            impression="",
            labels=labels,
            boxes=annotations.clip_boxes(boxes, *pixels.shape),
            box_label=np.array([mark.label for mark in listed.marks], np.int32),
            sentence_box=_links(phrases, listed.marks),
        )

    def prompts(self) -> None:
        """None of its own."""
        return None


@dataclasses.dataclass(frozen=True)
class _Mark:
    """A row of the list: a box and the phrase that it belongs to."""

    phrase: str
    label: int
    box: tuple[float, float, float, float]  # x_min, y_min, x_max, y_max


@dataclasses.dataclass(frozen=True)
class _Image:
    width: float  # which the boxes are in
    height: float
    marks: list[_Mark]


@dataclasses.dataclass(frozen=True)
class _Tables:
    keys: list[Key]
    images: Mapping[str, _Image]
    files: ImageFiles
    digest: str


@lists.PerProcess
def _tables(source: MsCxrSource) -> _Tables:
    path = _find_list(source.raw_dir)
    needed = (*_COLUMNS, *_BOX, *(("split",) if source.test_set == "test" else ()))
    keys: dict[str, Key] = {}
    images: dict[str, _Image] = {}
    rows = lists.read_table(path, needed)
    for number, row in enumerate(rows, 1):
        where = f"{path.name} row {number}"
        key = _key(row, where, source.test_set)
        if keys.setdefault(key.image_id, key) != key:
            raise BadInput(
                "contradicting_rows", f"{where}: the image has another path or split before"
            )
        size = [lists.parse_number(row[name], where) for name in ("image_width", "image_height")]
        if min(size) <= 0:
            raise BadInput("bad_number", f"{where}: an image of {size[0]:g} x {size[1]:g} pixels")
        images.setdefault(key.image_id, _Image(*size, [])).marks.append(_mark(row, where))
    files = ImageFiles(source.raw_dir, source.images)
    some = list(keys.values())[:_CHECKED]
    files.check([(key.patient_id, key.study_id, key.image_id) for key in some])
    return _Tables(
        keys=list(keys.values()),
        images=images,
        files=files,
        digest=hashlib.blake2b(repr(rows).encode(), digest_size=6).hexdigest(),
    )


def _find_list(raw_dir: os.PathLike | str) -> epath.Path:
    names = [
        f"{folder}{release}MS_CXR_Local_Alignment_v{version}.csv"
        for version, home in _VERSIONS.items()
        for folder in _FOLDERS
        for release in ("", home)
    ]
    found = lists.find_optional(raw_dir, names)
    if found is None:
        raise BadInput(
            "missing_list",
            f"{os.fspath(raw_dir)!r} holds no {names[0]}, nor does ms-cxr in it: it comes with "
            f"{_RELEASE}; put it there, beside the images of MIMIC-CXR",
        )
    return found


def _key(row: Mapping[str, str], where: str, test_set: str) -> Key:
    found = _PATH.fullmatch(row["path"])
    named = found and is_named(row["dicom_id"], found.group(2), found.group(1))
    if not named or found.group(3) != row["dicom_id"]:
        raise BadInput(
            "bad_path",
            f"{where}: path {row['path']!r} is not files/p10/p10000032/s50414267/DICOM_ID.jpg of "
            f"its dicom_id {row['dicom_id']!r}: is it the official list?",
        )
    split = "test"
    if test_set == "test":
        split = _SPLITS.get(row["split"])
        if split not in SPLITS:
            raise BadInput(
                "bad_split", f"{where}: split {row['split']!r} is none of {', '.join(_SPLITS)}"
            )
    return Key(row["dicom_id"], f"s{found.group(2)}", f"p{found.group(1)}", split)


def _mark(row: Mapping[str, str], where: str) -> _Mark:
    if row["category_name"] not in CHEXPERT_LABELS:
        raise BadInput(
            "bad_label",
            f"{where}: category_name {row['category_name']!r} is none of CheXpert's observations",
        )
    x, y, width, height = (lists.parse_number(row[name], where) for name in _BOX)
    if not (width > 0 and height > 0):
        raise BadInput("bad_box", f"{where}: a box of {width:g} x {height:g} pixels is none")
    label = CHEXPERT_LABELS.index(row["category_name"])
    return _Mark(" ".join(row["label_text"].split()), label, (x, y, x + width, y + height))


def _scaled(boxes: np.ndarray, listed: _Image, shape: tuple[int, int]) -> np.ndarray:
    """[n, 4] in pixels of the image that is there: smaller in copies that some people keep."""
    down, across = shape[0] / listed.height, shape[1] / listed.width
    if abs(down / across - 1) > _SIDES_DIFFER:
        raise BadInput(
            "other_size",
            f"the image is {shape[1]} x {shape[0]} pixels and its boxes are for "
            f"{listed.width:g} x {listed.height:g}: take the owner's image",
        )
    return boxes * np.array([across, down, across, down])


def _links(phrases: Sequence[str], marks: Sequence[_Mark]) -> np.ndarray:
    """[k, 2] (sentence, box). A phrase of several sentences has all of them linked to its boxes."""
    links, first = [], 0
    for phrase in phrases:
        count = len(reports.split_sentences(phrase))
        boxes = [i for i, mark in enumerate(marks) if mark.phrase == phrase]
        links += [(first + s, box) for s in range(count) for box in boxes]
        first += count
    return np.array(links, np.int32).reshape(-1, 2)
