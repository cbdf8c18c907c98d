"""Grounding: does the V-POR that a sentence matched look where the sentence points?

The pointing game (Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016) with no
tolerance: a hit is an attention map whose maximum lies in a region that the sentence speaks of.
Anatomy alone makes hits, so the rate means something only above its controls.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from data_pipelines import batches
from data_pipelines.image import decode_png
from place_jax.metrics.bootstrap import percentile_interval, resample, resampled_mean
from place_jax.transfer.features import Features
from place_jax.transfer.geometry import crop_origin, enlarge


@dataclasses.dataclass(frozen=True)
class LinkedSentence:
    """A sentence of a report with the regions it speaks of.

    Attributes:
      row: of the features.
      position: s of `t_por`.
      sentence: its place among the record's sentences.
      boxes: [k, 4] float (x_min, y_min, x_max, y_max) in pixels of the crop, clipped to it.
      label: index of the first box's label.
    """

    row: int
    position: int
    sentence: int
    boxes: np.ndarray
    label: int

    def mask(self, crop: int) -> np.ndarray:
        """[crop, crop] bool: pixels whose centre is in any of the boxes."""
        centre = np.arange(crop) + 0.5
        inside = np.zeros((crop, crop), bool)
        for x_min, y_min, x_max, y_max in self.boxes:
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
    fields = ("image", "statement", "sentence_box", "boxes", "box_label")
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
            inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
            if position is None or not inside.any():
                continue
            label = int(np.asarray(record["box_label"])[which[inside]][0])
            linked.append(LinkedSentence(row, position, int(sentence), boxes[inside], label))
    return linked


def _position(features: Features, row: int, statement: int) -> int | None:
    """Where the model's input holds a statement; sentences that did not fit are in no position."""
    unsigned = statement % 2**64
    halves = np.array([unsigned >> 32, unsigned & 0xFFFFFFFF], np.uint32)
    same = (features.statement[row] == halves).all(axis=-1) & features.sentence_mask[row]
    return int(np.flatnonzero(same)[0]) if same.any() else None


def matched_attention(
    t_por: np.ndarray, v_por: np.ndarray, attention: np.ndarray, crop: int
) -> np.ndarray:
    """The attention of the V-POR that a sentence matches best, enlarged to the crop.

    Args:
      t_por: [E] the sentence.
      v_por: [Q, E] of the image.
      attention: [Q, N] likewise; N patches of a square grid.
      crop: side of the map, in pixels.

    Returns:
      [crop, crop] float32, bilinear between the centres of patches.
    """
    return enlarge(attention[int(np.argmax(v_por @ t_por))], crop)


def evaluate_grounding(
    features: Features,
    linked: Sequence[LinkedSentence],
    *,
    crop: int,
    split: str,
    bootstrap: int = 0,
    seed: int = 0,
) -> dict[str, float]:
    """The rate of hits, beside what needs no image, or another's.

    Args:
      features: with v_por, v_por_attention and t_por.
      linked: from `link_sentences`.
      crop: side of the crop, in pixels.
      split: for the names.
      bootstrap: replicates over patients for 95 % intervals; 0 for none.
      seed: of the bootstrap.

    Returns:
      `grounding/SPLIT/pointing`; `..._rolled_image`, the same sentences with another patient's
      image; `..._mean_box` and `..._mean_box_of_label`, the point that most regions of the split,
      or of the finding, have in common; `..._uniform`, a point anywhere;
      `..._over_rolled_image`, the paired difference; `grounding/SPLIT/sentences`. Empty where no
      sentence is linked.
    """
    if not linked:
        return {}
    others = other_patient_rows(features.patient_id)
    inside = [item.mask(crop) for item in linked]
    hits = {
        "pointing": _hits(features, linked, inside, crop, np.arange(len(features.index))),
        "pointing_rolled_image": _hits(features, linked, inside, crop, others),
        "pointing_mean_box": _prior_hits(linked, inside, lambda item: 0),
        "pointing_mean_box_of_label": _prior_hits(linked, inside, lambda item: item.label),
        "pointing_uniform": np.array([mask.mean() for mask in inside]),
    }
    hits["pointing_over_rolled_image"] = hits["pointing"] - hits["pointing_rolled_image"]
    out = {f"grounding/{split}/sentences": float(len(linked))}
    patients = [features.patient_id[item.row] for item in linked]
    weights = resample(patients, bootstrap, seed) if bootstrap else None
    for name, values in hits.items():
        key = f"grounding/{split}/{name}"
        out[key] = float(values.mean())
        if weights is not None:
            low, high = percentile_interval(resampled_mean(values, weights))
            out |= {f"{key}_ci_low": low, f"{key}_ci_high": high}
    return out


def other_patient_rows(patient_id: Sequence[str]) -> np.ndarray:
    """[n] for each row one of another patient, half of the split away; itself if there is none."""
    n = len(patient_id)
    rows = np.arange(n)
    for row in range(n):
        for step in range(n):
            other = (row + n // 2 + step) % n
            if patient_id[other] != patient_id[row]:
                rows[row] = other
                break
    return rows


def _hits(features, linked, inside, crop: int, image_row: np.ndarray) -> np.ndarray:
    """[k] 1.0 where the attention's maximum lies in a box; `image_row` says whose image."""
    hits = []
    for item, mask in zip(linked, inside, strict=True):
        image = image_row[item.row]
        attention = matched_attention(
            features.t_por[item.row, item.position],
            features.v_por[image],
            features.v_por_attention[image],
            crop,
        )
        hits.append(mask.flat[int(attention.argmax())])
    return np.array(hits, float)


def _prior_hits(linked, inside, group) -> np.ndarray:
    """[k] 1.0 where the point most often inside a box of the same group is inside this one."""
    totals: dict[int, np.ndarray] = {}
    for item, mask in zip(linked, inside, strict=True):
        totals[group(item)] = totals.get(group(item), 0) + mask.astype(np.int32)
    point = {key: int(total.argmax()) for key, total in totals.items()}
    return np.array(
        [mask.flat[point[group(item)]] for item, mask in zip(linked, inside, strict=True)], float
    )
