"""Phrases with regions from a CSV: MS-CXR's file as it is, or one's own with boxes or masks."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from data_pipelines import image as image_files
from data_pipelines.records import BadInput
from place_jax.image_lists import read_rows
from place_jax.transfer.geometry import crop_origin
from place_jax.transfer.sentence_regions import boxes_mask

# MS-CXR's name first (physionet.org/content/ms-cxr), then what others call it.
_IMAGE = ("path", "image", "filename")
_TEXT = ("label_text", "phrase", "text")
_LABEL = ("category_name", "label", "category", "cls")
_PATIENT = ("subject_id", "patient", "patient_id")
_MIMIC_FOLDER = re.compile(r"(?:^|/)p\d{2}/(p\d{8})/")  # files/p10/p10000032/s50414267/...
_BOX = ("x", "y", "w", "h")
_SIZE = ("image_width", "image_height")
_SPLITS = {"val": "validation", "valid": "validation"}


@dataclasses.dataclass(frozen=True)
class PhraseRegion:
    """A phrase about an image and the region it speaks of, as a file says it.

    Attributes:
      image: path.
      text: the phrase.
      label: its kind; the phrase itself where the file has no kinds.
      patient: whose it is: as the file says, or as MIMIC-CXR's folders do; else the image's path.
      boxes: [k, 4] (x_min, y_min, x_max, y_max) in pixels of an image of `size`.
      size: (width, height) that boxes are counted in; None for the image's own.
      masks: paths of images that are not 0 in the region.
    """

    image: pathlib.Path
    text: str
    label: str
    patient: str
    boxes: np.ndarray
    size: tuple[float, float] | None
    masks: tuple[pathlib.Path, ...]


def read_phrases(
    path: pathlib.Path, *, images: pathlib.Path | None = None, split: str | None = None
) -> list[PhraseRegion]:
    """Reads a CSV; rows of one image and phrase are one region.

    Args:
      path: with columns for image, phrase, and x, y, w, h or mask; also label and patient, and
        image_width and image_height where boxes are of another size.
      images: the folder that image paths start from; None for the CSV's. Masks are beside the CSV.
      split: rows of which `split` column alone, where there is one.

    Raises:
      BadInput: missing_file, bad_csv, missing_column, bad_box, no_phrase.
    """
    rows = read_rows(path)
    names = {
        "image": _column(path, rows, _IMAGE),
        "text": _column(path, rows, _TEXT),
        "label": _column(path, rows, _LABEL, optional=True),
        "patient": _column(path, rows, _PATIENT, optional=True),
    }
    if "mask" not in rows[0]:
        for name in _BOX:
            _column(path, rows, (name,))
    merged: dict[tuple[str, str], list[tuple[int, Mapping[str, str]]]] = {}
    for line, row in enumerate(rows, start=2):
        said = row.get("split", "").strip().lower()
        if split and said and _SPLITS.get(said, said) != split:
            continue
        merged.setdefault((row[names["image"]], row[names["text"]]), []).append((line, row))
    if not merged:
        raise BadInput("no_phrase", f"{path} has no rows of split {split}: choose another --split")
    found = []
    for (image, text), lines in merged.items():
        first = lines[0][1]
        if not text.strip():
            raise BadInput("no_phrase", f"{path} line {lines[0][0]} has no phrase")
        found.append(
            PhraseRegion(
                image=(images or path.parent) / image,
                text=text.strip(),
                label=(first[names["label"]] if names["label"] else text).strip(),
                patient=(names["patient"] and first[names["patient"]].strip()) or _owner(image),
                boxes=_boxes(path, [x for x in lines if not x[1].get("mask", "").strip()]),
                size=_size(path, *lines[0]),
                masks=tuple(
                    path.parent / row["mask"].strip()
                    for _, row in lines
                    if row.get("mask", "").strip()
                ),
            )
        )
    return found


def region_mask(region: PhraseRegion, shape: tuple[int, int], image_size: int, crop: int):
    """[crop, crop] bool: the region in the crop that the model sees of an image [h, w].

    Raises:
      BadInput: a mask that cannot be read.
    """
    height, width = shape
    scale = image_files.fit_geometry(shape, image_size)
    stored = tuple(max(1, round(side * scale)) for side in shape)
    top, left = crop_origin(stored, image_size, crop)
    mask = np.zeros((crop, crop), bool)
    if len(region.boxes):
        across, down = (1.0, 1.0)
        if region.size is not None:
            across, down = width / region.size[0], height / region.size[1]
        boxes = region.boxes * (across, down, across, down) * scale
        mask |= boxes_mask(boxes - (left, top, left, top), crop)
    for path in region.masks:
        whole = (image_files.read_image(path) > 0).astype(np.uint8) * 255
        fitted = image_files.fit_long_side(whole, image_size)
        mask |= image_files.pad_and_crop(fitted, crop) > 127
    return mask


def _owner(image: str) -> str:
    found = _MIMIC_FOLDER.search(image)
    return found.group(1) if found else image


def _column(path, rows, names: Sequence[str], optional: bool = False) -> str | None:
    found = [name for name in names if name in rows[0]]
    if not found and not optional:
        raise BadInput(
            "missing_column",
            f"{path} has no column {' or '.join(names)}: it has {', '.join(rows[0])}",
        )
    return found[0] if found else None


def _boxes(path, lines) -> np.ndarray:
    boxes = []
    for line, row in lines:
        try:
            x, y, w, h = (float(row[name]) for name in _BOX)
        except (KeyError, ValueError):
            raise BadInput(
                "bad_box", f"{path} line {line} has neither a mask nor numbers in x, y, w, h"
            ) from None
        if not (w > 0 and h > 0):
            raise BadInput("bad_box", f"{path} line {line}: w={w:g}, h={h:g} must be above 0")
        boxes.append((x, y, x + w, y + h))
    return np.array(boxes, float).reshape(-1, 4)


def _size(path, line: int, row: Mapping[str, str]) -> tuple[float, float] | None:
    if not all(row.get(name, "").strip() for name in _SIZE):
        return None
    try:
        width, height = (float(row[name]) for name in _SIZE)
    except ValueError:
        raise BadInput(
            "bad_box", f"{path} line {line}: {' and '.join(_SIZE)} are no numbers"
        ) from None
    return width, height
