"""RSNA Pneumonia Detection Challenge (2018), stage 2: boxes around opacities like pneumonia."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from etils import epath

from data_pipelines import annotations
from data_pipelines.records import BadInput, Key, Label, Study
from data_pipelines.sources import lists
from data_pipelines.sources.protocols import MGCA_COMPAT, check_protocol, train_test_positions

_RELEASE = "the RSNA Pneumonia Detection Challenge, stage 2 (rsna.org or Kaggle), unpacked"
_SIDE = 1024  # pixels of every image, which the boxes are in
_SEED = 0
_LABELS = ("Pneumonia", "Lung Opacity", "No Finding")
_PNEUMONIA = _LABELS.index("Pneumonia")
_CLASSES = ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")


@dataclasses.dataclass(frozen=True)
class RsnaPneumoniaSource:
    """26,684 frontal radiographs of NIH, each a patient of its own to this challenge.

    Pneumonia is the challenge's target, with a box around each opacity and a mask of the boxes.
    No Finding and Lung Opacity are its radiologists' class; of a radiograph neither normal nor
    suspicious, Lung Opacity is not known, since theirs means one like pneumonia.

    Attributes:
      raw_dir: holds stage_2_train_labels.csv, stage_2_detailed_class_info.csv and
        stage_2_train_images.
      protocol: strict, or mgca_compat for the very patients of MGCA's splits.
    """

    raw_dir: str
    protocol: str = "strict"

    name = "rsna_pneumonia"
    # RSNA lets anyone use and pass on the data who names it, NIH and the annotators.
    shareable = True
    has_reports = False
    label_names = _LABELS
    # Of MGCA (arXiv 2210.06044) and those that compare by it.
    published_counts: ClassVar[Mapping[str, int]] = {
        "train": 16010,
        "validation": 5337,
        "test": 5337,
    }
    left_out: ClassVar[Mapping[str, int]] = {}

    def __post_init__(self):
        check_protocol(self.protocol)

    @property
    def version(self) -> str:
        """Changes with the content of the lists."""
        return f"stage_2-{self.protocol}-{_lists(self).digest}"

    @property
    def split_rule(self) -> str:
        """For the manifest."""
        if self.protocol == MGCA_COMPAT:
            return (
                "patients in the order of their ids through scikit-learn's train_test_split twice,"
                " random_state 0: 60 % train, then 20 % test and 20 % validation"
            )
        return f"patients in the order of a hash of (seed {_SEED}, id): 60, 20 and 20 %"

    def keys(self) -> Sequence[Key]:
        """One key a patient, in the order of the list.

        Raises:
          BadInput: missing_list, bad_label, bad_number, bad_class, contradicting_rows, or what
            `lists.read_table` raises.
        """
        return _lists.fresh(self).keys

    def load(self, key: Key) -> Study:
        """Reads one image and its boxes.

        Raises:
          BadInput: other_size, bad_box, or what `image.read_image` raises.
        """
        table = _lists(self)
        pixels = lists.read_listed_image(table.images / f"{key.image_id}.dcm")
        if pixels.shape != (_SIDE, _SIDE):
            raise BadInput(
                "other_size",
                f"the image is {pixels.shape[1]} x {pixels.shape[0]} pixels and its boxes are for "
                f"{_SIDE} x {_SIDE}: take the challenge's own DICOM files",
            )
        boxes = annotations.clip_boxes(table.boxes[key.image_id], *pixels.shape)
        mask = annotations.boxes_to_mask(boxes, *pixels.shape)
        return Study(
            pixels=pixels,
            findings="",
            impression="",
            labels=_labels(table.kind[key.image_id]),
            boxes=boxes,
            box_label=np.full(len(boxes), _PNEUMONIA, np.int32),
            mask=mask * np.uint8(1 + _PNEUMONIA),
        )

    def prompts(self) -> None:
        """None of its own."""
        return None


@dataclasses.dataclass(frozen=True)
class _Lists:
    keys: tuple[Key, ...]
    boxes: Mapping[str, np.ndarray]  # of every patient; [0, 4] without pneumonia
    kind: Mapping[str, str]  # one of _CLASSES
    images: epath.Path
    digest: str


@lists.PerProcess
def _lists(source: RsnaPneumoniaSource) -> _Lists:
    labels = lists.find(source.raw_dir, ["stage_2_train_labels.csv"], _RELEASE)
    classes = lists.find(source.raw_dir, ["stage_2_detailed_class_info.csv"], _RELEASE)
    images = lists.find(source.raw_dir, ["stage_2_train_images"], _RELEASE)
    box_rows = lists.read_table(labels, ("patientId", "x", "y", "width", "height", "Target"))
    class_rows = lists.read_table(classes, ("patientId", "class"))
    boxes = _read_boxes(box_rows, labels.name)
    kind = _read_classes(class_rows, classes.name)
    for patient, found in boxes.items():
        if (kind.get(patient) == "Lung Opacity") != bool(len(found)):
            raise BadInput(
                "contradicting_rows",
                f"patient {patient} has {len(found)} boxes in {labels.name} and class "
                f"{kind.get(patient)!r} in {classes.name}: take both from the same release",
            )
    splits = _splits(list(boxes), source.protocol)
    return _Lists(
        keys=tuple(Key(patient, patient, patient, splits[patient]) for patient in boxes),
        boxes=boxes,
        kind=kind,
        images=images,
        digest=hashlib.blake2b(repr((box_rows, class_rows)).encode(), digest_size=6).hexdigest(),
    )


def _read_boxes(rows: Sequence[Mapping[str, str]], name: str) -> dict[str, np.ndarray]:
    """Patient -> [n, 4] (x_min, y_min, x_max, y_max), in the order of the list."""
    boxes: dict[str, list[tuple[float, ...]]] = {}
    targets: dict[str, Label] = {}
    for row in rows:
        patient, where = row["patientId"], f"{name}, patient {row['patientId']}"
        target = lists.parse_label(row["Target"], where)
        if target not in (Label.NEGATIVE, Label.POSITIVE):
            raise BadInput("bad_label", f"{where}: Target {row['Target']!r} is neither 0 nor 1")
        if targets.setdefault(patient, target) != target:
            raise BadInput("contradicting_rows", f"{where}: Target is 0 in a row and 1 in another")
        found = boxes.setdefault(patient, [])
        if target == Label.POSITIVE:
            x, y, width, height = (
                lists.parse_number(row[column], where) for column in ("x", "y", "width", "height")
            )
            found.append((x, y, x + width, y + height))
    return {patient: np.array(found, np.float32).reshape(-1, 4) for patient, found in boxes.items()}


def _read_classes(rows: Sequence[Mapping[str, str]], name: str) -> dict[str, str]:
    kind = {}
    for row in rows:  # a patient has a row for each of its boxes
        if row["class"] not in _CLASSES:
            raise BadInput(
                "bad_class",
                f"{name}, patient {row['patientId']}: class {row['class']!r} is none of "
                f"{', '.join(_CLASSES)}",
            )
        kind[row["patientId"]] = row["class"]
    return kind


def _splits(patients: Sequence[str], protocol: str) -> dict[str, str]:
    fifth = round(0.2 * len(patients))
    if protocol != MGCA_COMPAT:
        return lists.draw_splits(patients, {"validation": fifth, "test": fifth}, seed=_SEED)
    ordered = np.array(sorted(patients))  # pandas' groupby sorts
    train, rest = train_test_positions(len(ordered), 2 * fifth)
    test, validation = train_test_positions(len(rest), 0.5)
    parts = {"train": train, "validation": rest[validation], "test": rest[test]}
    return {patient: split for split, part in parts.items() for patient in ordered[part].tolist()}


def _labels(kind: str) -> np.ndarray:
    opacity = {"Lung Opacity": Label.POSITIVE, "Normal": Label.NEGATIVE}
    labels = {
        "Pneumonia": kind == "Lung Opacity",
        "Lung Opacity": opacity.get(kind, Label.MISSING),
        "No Finding": kind == "Normal",
    }
    return np.array([labels[name] for name in _LABELS], np.int8)
