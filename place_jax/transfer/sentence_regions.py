"""Which sentence of which report speaks of which region, in prepared data that knows it."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from data_pipelines import batches
from data_pipelines.image import decode_png
from place_jax.transfer.features import Features
from place_jax.transfer.geometry import crop_origin


@dataclasses.dataclass(frozen=True)
class LinkedSentence:
    """A sentence of a report with the regions it speaks of.

    Attributes:
      row: of the features.
      position: s of `t_por`.
      sentence: its place among the record's sentences.
      boxes: [k, 4] float (x_min, y_min, x_max, y_max) in pixels of the crop, clipped to it.
      label: index of the first box's label.
      text: the sentence itself.
    """

    row: int
    position: int
    sentence: int
    boxes: np.ndarray
    label: int
    text: str = ""

    def mask(self, crop: int) -> np.ndarray:
        """[crop, crop] bool: pixels whose centre is in any of the boxes."""
        return boxes_mask(self.boxes, crop)


def boxes_mask(boxes: np.ndarray, crop: int) -> np.ndarray:
    """[crop, crop] bool: pixels whose centre is in any of the boxes [k, 4] of the crop."""
    centre = np.arange(crop) + 0.5
    inside = np.zeros((crop, crop), bool)
    for x_min, y_min, x_max, y_max in boxes:
        column = (centre >= x_min) & (centre <= x_max)
        row = (centre >= y_min) & (centre <= y_max)
        inside |= row[:, None] & column[None, :]
    return inside


def has_links(data: batches.PreparedData, split: str, limit: int = 0) -> bool:
    """Whether any sentence of a split's first `limit` examples is linked to a box; 0 for all."""
    records = batches.read_records(data, split, fields=("sentence_box",), limit=limit)
    return any(len(record["sentence_box"]) for record in records)


def find_links(
    features: Features, data: batches.PreparedData, split: str, crop: int
) -> list[LinkedSentence]:
    """The linked sentences of the examples of `features`, read from the split's records."""
    fields = ("image", "sentences", "statement", "sentence_box", "boxes", "box_label")
    records = batches.read_records(data, split, fields=fields, limit=int(features.index.max()) + 1)
    records = [records[i] for i in features.index]
    origins = [
        crop_origin(decode_png(record["image"]).shape, data.image_size, crop) for record in records
    ]
    return link_sentences(features, records, origins, crop)


def link_sentences(
    features: Features, records: Sequence[Mapping], origins: Sequence[tuple[int, int]], crop: int
) -> list[LinkedSentence]:
    """Finds the sentences that speak of a region inside the crop and that the model read.

    Args:
      features: with t_por; n examples.
      records: n records with statement, sentence_box, boxes, box_label, in the same order.
      origins: n (top, left): the pixel of the stored image at the crop's first pixel.
      crop: side of the crop, in pixels.
    """
    linked = []
    for row, (record, (top, left)) in enumerate(zip(records, origins, strict=True)):
        pairs = np.asarray(record["sentence_box"], int).reshape(-1, 2)
        for sentence in np.unique(pairs[:, 0]):
            position = _position(features, row, int(record["statement"][sentence]))
            which = pairs[pairs[:, 0] == sentence, 1]
            boxes = np.asarray(record["boxes"], float)[which] - (left, top, left, top)
            boxes = np.clip(boxes, 0, crop)
            inside = np.array([boxes_mask(box[None], crop).any() for box in boxes])
            if position is None or not inside.any():
                continue
            label = int(np.asarray(record["box_label"])[which[inside]][0])
            text = str(record["sentences"][sentence]) if "sentences" in record else ""
            linked.append(LinkedSentence(row, position, int(sentence), boxes[inside], label, text))
    return linked


def _position(features: Features, row: int, statement: int) -> int | None:
    """Where the model's input holds a statement; sentences that did not fit are in no position."""
    unsigned = statement % 2**64
    halves = np.array([unsigned >> 32, unsigned & 0xFFFFFFFF], np.uint32)
    same = (features.statement[row] == halves).all(axis=-1) & features.sentence_mask[row]
    return int(np.flatnonzero(same)[0]) if same.any() else None


def training_regions(
    data: batches.PreparedData, crop: int, limit: int = 2000
) -> list[tuple[int, str, np.ndarray]]:
    """(label, text, mask [crop, crop]) of the regions that the first training sentences speak of.

    Args:
      data: a prepared folder; none where it has no training split.
      crop: side of the centre crop, in pixels.
      limit: examples read.
    """
    if not data.splits.get("train"):
        return []
    return _training_regions(data.dir, data.vocab_hash, crop, limit)


@functools.lru_cache(maxsize=2)
def _training_regions(folder: str, vocab_hash: str, crop: int, limit: int):
    """Kept, because evaluation in the loop asks for it again and again."""
    data = batches.open_data(folder, vocab_hash=vocab_hash)
    fields = ("image", "sentences", "sentence_box", "boxes", "box_label")
    found = []
    for record in batches.read_records(data, "train", fields=fields, limit=limit):
        pairs = np.asarray(record["sentence_box"], int).reshape(-1, 2)
        if not len(pairs):
            continue
        top, left = crop_origin(decode_png(record["image"]).shape, data.image_size, crop)
        for sentence in np.unique(pairs[:, 0]):
            which = pairs[pairs[:, 0] == sentence, 1]
            boxes = np.asarray(record["boxes"], float)[which] - (left, top, left, top)
            mask = boxes_mask(boxes, crop)
            if mask.any():
                label = int(np.asarray(record["box_label"])[which][0])
                found.append((label, str(record["sentences"][sentence]), mask))
    return found
