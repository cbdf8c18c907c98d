"""The record and the batch: their names, shapes and dtypes. The one contract between the kitchen
that prepares data and the rooms that train on it. Imports no TensorFlow and no JAX.
"""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from data_pipelines.image import ImageFile

# The 14 observations of the CheXpert labeller (Irvin et al., arXiv 1901.07031), in its order.
CHEXPERT_LABELS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
SPLITS = ("train", "validation", "test")


class Label(enum.IntEnum):
    """What a record says of one observation."""

    POSITIVE = 1
    NEGATIVE = 0
    UNCERTAIN = -1
    MISSING = -2


class BadInput(ValueError):  # noqa: N818 (it names what the user gave, not a fault of ours)
    """An input that cannot be used. The message says the value, the limit and the fix.

    Attributes:
      reason: a short stable identifier, such as `truncated_pixels`, that quarantine counts by.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason

    def __reduce__(self):
        return type(self), (self.reason, str(self))


@dataclasses.dataclass(frozen=True)
class Key:
    """Names one image of a source, before anything heavy is read.

    Attributes:
      line: of the user's own list, by which an image that cannot be used is found there; its path
        may hold an identifier and is not repeated. None where there is no such list.
    """

    image_id: str
    study_id: str
    patient_id: str
    split: str
    line: int | None = None


@dataclasses.dataclass(frozen=True)
class Study:
    """One image with its report, as a source loads it, before resizing and sentence splitting.

    Attributes:
      pixels: [h, w] uint8 grey, at the source's own resolution; or the `image.ImageFile` that it
        is decoded from when its size in the record is known.
      boxes: [n, 4] float32, (x_min, y_min, x_max, y_max) in pixels of `pixels`, top left origin.
      box_label: [n] index into the source's `label_names`.
      mask: [h, w] uint8 of class ids, 0 background, 1 + index into `label_names`; or None.
      labels: [K] int8 of Label, in the order of the source's `label_names`.
      sentence_box: [k, 2] (sentence, box): sentence i of the report, findings before impression,
        speaks of box j. Known for PhantomCXR alone.
    """

    pixels: "np.ndarray | ImageFile"
    findings: str
    impression: str
    view: str = ""
    labels: np.ndarray = dataclasses.field(
        default_factory=lambda: np.full(len(CHEXPERT_LABELS), Label.MISSING, np.int8)
    )
    boxes: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 4), np.float32))
    box_label: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int32))
    mask: np.ndarray | None = None
    sentence_box: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 2), np.int32))


class Source(Protocol):
    """A data set in its owner's own files. Picklable, so that Beam can send it to workers."""

    name: str
    version: str
    shareable: bool  # False keeps images and texts off pages and logs unless asked for
    split_rule: str  # one sentence, with the seed, for the manifest
    has_reports: bool  # False: images with labels, boxes or masks, whose text may be empty
    published_counts: Mapping[str, int]  # images of a split as its owner states them; may be empty
    left_out: Mapping[str, int]  # reason -> images that `keys` passes over; known after `keys`
    # Names of labels, boxes and mask classes; known after `keys`. A source without it has
    # CHEXPERT_LABELS. What is the same observation has the same name in every source.
    label_names: Sequence[str]

    def keys(self) -> Sequence[Key]:
        """Every image of the data set. Cheap: reads lists, never pixels."""

    def load(self, key: Key) -> Study:
        """Reads one image and its report. Raises BadInput where it cannot be used."""

    def prompts(self) -> Mapping[str, Mapping[str, Sequence[str]]] | None:
        """Zero-shot prompts, {label: {"positive": [...], "negative": [...]}}, or None.

        A source may also have `card()`, the text of its data card in Markdown.
        """


def label_names(source: Source) -> tuple[str, ...]:
    """The names of a source's K labels."""
    return tuple(getattr(source, "label_names", CHEXPERT_LABELS))


# Field -> (shape with None for "any number", dtype) of one stored record, after preparation.
# `image`: PNG bytes, 8-bit grey, aspect kept, long side `image_size`. `boxes` are in its pixels.
# `statement`: fingerprint of each normalised sentence, as a signed 64-bit number.
# `report_statement`: the same of the report as a whole.
# `labels`: as many as the manifest has `label_names`, which `box_label` and `mask` count in too.
RECORD_FIELDS: Mapping[str, tuple[tuple[int | None, ...], str]] = {
    "image": ((), "bytes"),
    "image_id": ((), "str"),
    "study_id": ((), "str"),
    "patient_id": ((), "str"),
    "source": ((), "str"),
    "view": ((), "str"),
    "findings": ((), "str"),
    "impression": ((), "str"),
    "sentences": ((None,), "str"),
    "section": ((None,), "str"),
    "statement": ((None,), "int64"),
    "report_statement": ((), "int64"),
    "labels": ((None,), "int8"),
    "boxes": ((None, 4), "float32"),
    "box_label": ((None,), "int32"),
    "mask": ((), "bytes"),
    "sentence_box": ((None, 2), "int32"),
}


def batch_fields(
    batch: int, crop: int, tokens: int, sentences: int, labels: int = len(CHEXPERT_LABELS)
) -> dict[str, tuple[tuple[int, ...], type]]:
    """Field -> (shape, dtype) of a batch of B images, L tokens, S sentences and K labels.

    tokens: position 0 is always the report token ([CLS]); then, sentence by sentence, its word
      pieces and a [SEP].
    sentence_of_token: 1..S for a sentence's tokens; 0 for padding and for the report token.
    statement, report_statement: 64-bit fingerprints as (high, low) halves, since JAX has no int64.
    index: position of the example in its split; -1 for a padded row, whose example_mask is 0.
    """
    return {
        "image": ((batch, crop, crop, 1), np.uint8),
        "tokens": ((batch, tokens), np.int32),
        "sentence_of_token": ((batch, tokens), np.int32),
        "statement": ((batch, sentences, 2), np.uint32),
        "sentence_mask": ((batch, sentences), np.bool_),
        "report_statement": ((batch, 2), np.uint32),
        "labels": ((batch, labels), np.int8),
        "example_mask": ((batch,), np.bool_),
        "index": ((batch,), np.int32),
    }
