"""Marks as their owners write them -> boxes and masks: run lengths, rectangles, ellipses, polygons.

Coordinates are edges of pixels, origin top left: pixel (x, y) covers x..x+1, y..y+1, and belongs to
a shape that holds its centre. So a rectangle is the same pixels whichever way it is written.
"""

import dataclasses
import enum
import re
from collections.abc import Sequence

import numpy as np

from data_pipelines.records import BadInput

NO_MASK = "-1"  # what SIIM-ACR writes for an image with no pneumothorax
_RUN = re.compile(r"[0-9]{1,9}")
_COORDINATE = re.compile(r"-?[0-9]{1,7}(\.[0-9]{1,17})?")


class ShapeKind(enum.Enum):
    """Kinds of Object-CXR, by the number that a shape begins with."""

    RECTANGLE = "0"
    ELLIPSE = "1"
    POLYGON = "2"


@dataclasses.dataclass(frozen=True)
class Shape:
    """A closed shape.

    Attributes:
      points: (x, y) of two opposite corners of the rectangle, or of the one around the ellipse, or
        of the corners of the polygon in turn.
    """

    kind: ShapeKind
    points: tuple[tuple[float, float], ...]


def decode_relative_rle(text: str, height: int, width: int) -> np.ndarray:
    """SIIM-ACR's run lengths -> [height, width] uint8 of 0 and 1.

    Pairs of (pixels skipped since the end of the last run, length of this one), counted from 0 down
    the columns. Both stages of the challenge write so; "-1" is an empty mask, and stray spaces are
    ignored.

    Raises:
      BadInput: bad_run_lengths, before anything larger than the text is allocated.
    """
    if text.strip() == NO_MASK:
        return np.zeros((height, width), np.uint8)
    words = text.split()
    if not words or len(words) % 2 or not all(map(_RUN.fullmatch, words)):
        raise BadInput(
            "bad_run_lengths",
            f"run lengths of {len(words)} numbers that are not pairs of an offset and a length: "
            "copy the list again from its source, or leave the image out",
        )
    numbers = [int(word) for word in words]
    if sum(numbers) > height * width or not all(numbers[1::2]):
        raise BadInput(
            "bad_run_lengths",
            f"run lengths that reach pixel {sum(numbers)} of an image of {width} x {height} = "
            f"{width * height}, or are empty: see that list and image belong together",
        )
    flat = np.zeros(width * height, np.uint8)
    end = 0
    for skipped, length in zip(numbers[::2], numbers[1::2], strict=True):
        start = end + skipped
        end = start + length
        flat[start:end] = 1
    return np.ascontiguousarray(flat.reshape(width, height).T)


def encode_relative_rle(mask: np.ndarray) -> str:
    """The inverse of decode_relative_rle; of [height, width] whatever is not 0 is the mask."""
    flat = np.concatenate([[0], np.asarray(mask).T.ravel() != 0, [0]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(flat))  # start, end, start, end, ...
    if not len(edges):
        return NO_MASK
    return " ".join(map(str, np.diff(edges, prepend=0).tolist()))


def clip_boxes(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """[n, 4] (x_min, y_min, x_max, y_max), cut to the image.

    Raises:
      BadInput: bad_box for one that is no number, has no area, or lies wholly outside.
    """
    return _cut(boxes, height, width).astype(np.float32)


def _cut(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    clipped = np.clip(boxes, 0, [width, height, width, height])
    for box, (x_min, y_min, x_max, y_max) in zip(boxes.tolist(), clipped.tolist(), strict=True):
        if not (x_min < x_max and y_min < y_max):  # NaN is neither
            corners = ", ".join(f"{number:g}" for number in box)
            raise BadInput(
                "bad_box",
                f"box ({corners}) covers nothing of an image of {width} x {height} pixels: see "
                "that list and image belong together",
            )
    return clipped


def boxes_to_mask(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """[n, 4] (x_min, y_min, x_max, y_max) -> [height, width] uint8, 1 within any of them.

    Raises:
      BadInput: bad_box.
    """
    mask = np.zeros((height, width), np.uint8)
    for x_min, y_min, x_max, y_max in _cut(boxes, height, width):
        mask[_within(y_min, y_max), _within(x_min, x_max)] = 1
    return mask


def read_shapes(text: str) -> tuple[Shape, ...]:
    """Object-CXR's `KIND x1 y1 x2 y2 ...;KIND x1 y1 ...` -> its shapes; none for an empty text.

    Raises:
      BadInput: bad_shape.
    """
    return tuple(_read_shape(part) for part in text.split(";") if part.strip())


def shape_to_box(shape: Shape) -> tuple[float, float, float, float]:
    """The smallest (x_min, y_min, x_max, y_max) around a shape."""
    x, y = zip(*shape.points, strict=True)
    return min(x), min(y), max(x), max(y)


def shapes_to_mask(shapes: Sequence[Shape], height: int, width: int) -> np.ndarray:
    """[height, width] uint8, 1 within any of the shapes; what lies outside the image is cut off.

    Raises:
      BadInput: bad_box.
    """
    boxes = _cut(np.array([shape_to_box(shape) for shape in shapes]), height, width)
    mask = np.zeros((height, width), np.uint8)
    for shape, (x_min, y_min, x_max, y_max) in zip(shapes, boxes, strict=True):
        rows, columns = _within(y_min, y_max), _within(x_min, x_max)
        if shape.kind is ShapeKind.RECTANGLE:
            mask[rows, columns] = 1
        elif shape.kind is ShapeKind.ELLIPSE:
            mask[rows, columns] |= _ellipse(shape, rows, columns)
        else:
            mask[rows, columns] |= _polygon(shape, rows, columns)
    return mask


def _within(low: float, high: float) -> slice:
    """The pixels whose centre is in low..high."""
    return slice(int(np.ceil(low - 0.5)), int(np.ceil(high - 0.5)))


def _read_shape(text: str) -> Shape:
    kind, *words = text.split()
    kinds = {kind.value: kind for kind in ShapeKind}
    well_formed = (
        kind in kinds
        and len(words) % 2 == 0
        and (len(words) >= 6 if kind == ShapeKind.POLYGON.value else len(words) == 4)
        and all(map(_COORDINATE.fullmatch, words))
    )
    if not well_formed:
        raise BadInput(
            "bad_shape",
            f"shape {text.strip()[:60]!r} is none of: 0 (rectangle) x1 y1 x2 y2, 1 (ellipse) x1 y1 "
            "x2 y2, 2 (polygon) x1 y1 x2 y2 x3 y3 ...: copy the list again from its source",
        )
    numbers = [float(word) for word in words]
    return Shape(kinds[kind], tuple(zip(numbers[::2], numbers[1::2], strict=True)))


def _ellipse(shape: Shape, rows: slice, columns: slice) -> np.ndarray:
    """Of the pixels of a window, those within: [rows, columns] bool."""
    x_min, y_min, x_max, y_max = shape_to_box(shape)
    x = (np.arange(columns.start, columns.stop) + 0.5) * 2 - (x_min + x_max)
    y = (np.arange(rows.start, rows.stop) + 0.5) * 2 - (y_min + y_max)
    return (y[:, None] / (y_max - y_min)) ** 2 + (x / (x_max - x_min)) ** 2 < 1


def _polygon(shape: Shape, rows: slice, columns: slice) -> np.ndarray:
    """Of the pixels of a window, those that the outline goes around: [rows, columns] bool.

    Where a hand crossed its own line the loop counts too: the rule is the winding number.
    """
    points = np.array(shape.points)
    turns = np.zeros((rows.stop - rows.start, columns.stop - columns.start + 1), np.int32)
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        direction = 1 if y1 < y2 else -1
        crossed = _within(max(min(y1, y2), rows.start), min(max(y1, y2), rows.stop))
        row = np.arange(crossed.start, crossed.stop)
        x = x1 + (row + 0.5 - y1) * ((x2 - x1) / (y2 - y1))
        column = np.clip(np.ceil(x - 0.5), columns.start, columns.stop).astype(np.int64)
        turns[row - rows.start, column - columns.start] += direction
    return np.cumsum(turns[:, :-1], axis=1) != 0
