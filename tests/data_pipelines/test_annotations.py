"""Masks and boxes from run lengths and shapes: by hand, by slow references, and from damage."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.annotations import (
    ShapeKind,
    boxes_to_mask,
    clip_boxes,
    decode_relative_rle,
    encode_relative_rle,
    read_shapes,
    shape_to_box,
    shapes_to_mask,
)
from data_pipelines.records import BadInput

sizes = st.integers(1, 12)


@st.composite
def masks(draw):
    height, width = draw(sizes), draw(sizes)
    bits = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    return np.array(bits, np.uint8).reshape(height, width)


def slow_decode(text: str, height: int, width: int) -> np.ndarray:
    """One pixel at a time, down the columns."""
    mask = np.zeros((height, width), np.uint8)
    position = 0
    for i, number in enumerate(int(word) for word in text.split()):
        for _ in range(number):
            if i % 2:
                mask[position % height, position // height] = 1
            position += 1
    return mask


def winding_number(points, x: float, y: float) -> int:
    """How often the outline goes around (x, y), by the crossings of a ray to the left."""
    number = 0
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        if (y1 <= y) != (y2 <= y) and x1 + (y - y1) * (x2 - x1) / (y2 - y1) <= x:
            number += 1 if y2 > y1 else -1
    return number


def slow_inside(shape, x: float, y: float) -> bool:
    x1, y1, x2, y2 = shape_to_box(shape)
    if shape.kind is ShapeKind.POLYGON:
        return winding_number(shape.points, x, y) != 0
    if shape.kind is ShapeKind.ELLIPSE:
        across, down = (2 * x - x1 - x2) / (x2 - x1), (2 * y - y1 - y2) / (y2 - y1)
        return across**2 + down**2 < 1
    return x1 <= x < x2 and y1 <= y < y2


def test_run_lengths_by_hand():
    # 4 high: skip 1 of the first column, mark 2; skip its last and one of the next, mark 2.
    expected = np.array([[0, 0, 0], [1, 1, 0], [1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(decode_relative_rle("1 2 2 2", 4, 3), expected)
    np.testing.assert_array_equal(decode_relative_rle(" 1  2 2 2\n", 4, 3), expected)
    assert decode_relative_rle("0 12", 4, 3).all()
    for nothing in ("-1", " -1", "-1 "):
        assert not decode_relative_rle(nothing, 4, 3).any()
    assert encode_relative_rle(expected) == "1 2 2 2"
    assert encode_relative_rle(np.zeros((4, 3))) == "-1"


@given(masks())
def test_run_lengths_come_back_as_they_were(mask):
    text = encode_relative_rle(mask)
    decoded = decode_relative_rle(text, *mask.shape)
    np.testing.assert_array_equal(decoded, mask)
    assert decoded.dtype == np.uint8 and decoded.flags.c_contiguous
    if text != "-1":
        np.testing.assert_array_equal(decoded, slow_decode(text, *mask.shape))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "5",
        "1 2 3",
        "1 -2",
        "-1 2",
        "1 0",
        "1.0 2",
        "a b",
        "0 13",
        "5 4 4 1",
        "999999999 1",
        "1 " + "9" * 5000,
        "١ ٢",  # digits, but not of a file
    ],
)
def test_run_lengths_that_cannot_be_a_mask_of_the_image(text):
    with pytest.raises(BadInput) as error:
        decode_relative_rle(text, 4, 3)
    assert error.value.reason == "bad_run_lengths" and len(str(error.value)) < 300


@given(st.text(alphabet="0123456789 -.\tx", max_size=40), sizes, sizes)
def test_any_text_is_a_mask_or_refused(text, height, width):
    try:
        mask = decode_relative_rle(text, height, width)
    except BadInput as error:
        assert error.reason == "bad_run_lengths"
        return
    assert mask.shape == (height, width)
    if text.strip() != "-1":
        assert mask.sum() == sum(int(word) for word in text.split()[1::2])


def test_boxes_by_hand():
    mask = boxes_to_mask(np.array([[1, 0, 3, 2], [2, 1, 9, 9]]), 3, 4)
    np.testing.assert_array_equal(mask, [[0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]])
    assert not boxes_to_mask(np.zeros((0, 4)), 3, 4).any()
    np.testing.assert_array_equal(
        clip_boxes(np.array([[-5, 1, 2.5, 99]]), 3, 4), np.array([[0, 1, 2.5, 3]], np.float32)
    )


@pytest.mark.parametrize(
    "box",
    [
        (2, 1, 2, 3),
        (3, 1, 2, 2),
        (4, 0, 9, 2),
        (-3, 0, 0, 2),
        (float("nan"), 0, 2, 2),
        (0, 0, 2, float("nan")),
        (float("inf"), 0, float("inf"), 2),
    ],
)
def test_boxes_of_nothing(box):
    for use in (clip_boxes, boxes_to_mask):
        with pytest.raises(BadInput, match="of 4 x 3 pixels") as error:
            use(np.array([[0, 0, 1, 1], box]), 3, 4)
        assert error.value.reason == "bad_box"


def test_shapes_by_hand():
    rectangle, ellipse, polygon = read_shapes("0 1 2 3 6;1 0 0 4 4; 2 0 0 6 0 0 6;")
    assert [s.kind for s in (rectangle, ellipse, polygon)] == list(ShapeKind)
    assert shape_to_box(rectangle) == (1, 2, 3, 6) and shape_to_box(polygon) == (0, 0, 6, 6)
    expected = np.zeros((6, 6), np.uint8)
    expected[2:6, 1:3] = 1
    np.testing.assert_array_equal(shapes_to_mask([rectangle], 6, 6), expected)
    disc = [[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]
    np.testing.assert_array_equal(shapes_to_mask([ellipse], 4, 4), disc)
    triangle = np.tri(6, dtype=np.uint8)[::-1]
    triangle[np.arange(6), 5 - np.arange(6)] = 0  # centres on the slanted edge
    np.testing.assert_array_equal(shapes_to_mask([polygon], 6, 6), triangle)
    both = shapes_to_mask([rectangle, ellipse, polygon], 6, 6)
    np.testing.assert_array_equal(both[:, 5], triangle[:, 5] | expected[:, 5])
    assert read_shapes("") == () == read_shapes(" ; ")


def test_corners_may_come_in_any_order():
    first, second = read_shapes("0 3 6 1 2;0 1 2 3 6")
    assert shape_to_box(first) == shape_to_box(second)


def test_where_a_hand_crossed_its_own_line_no_hole_is_left():
    (loop,) = read_shapes("2 0 0 6 0 6 6 0 6 0 0 4 0 4 4 0 4")  # around, and a part of it again
    assert shapes_to_mask([loop], 6, 6).all()


coordinates = st.integers(-20, 30).map(lambda n: n / 2)


@st.composite
def shapes(draw):
    kind = draw(st.sampled_from(ShapeKind))
    number = draw(st.integers(3, 7)) if kind is ShapeKind.POLYGON else 2
    points = draw(st.lists(st.tuples(coordinates, coordinates), min_size=number, max_size=number))
    return kind.value + " " + " ".join(f"{x:g} {y:g}" for x, y in points)


@given(shapes(), sizes, sizes)
def test_a_mask_holds_the_pixels_whose_centre_a_shape_holds(text, height, width):
    (shape,) = read_shapes(text)
    try:
        mask = shapes_to_mask([shape], height, width)
    except BadInput as error:
        assert error.reason == "bad_box"
        x1, y1, x2, y2 = shape_to_box(shape)
        assert x1 == x2 or y1 == y2 or x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height
        return
    expected = [[slow_inside(shape, x + 0.5, y + 0.5) for x in range(width)] for y in range(height)]
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    "text",
    [
        "3 1 1 2 2",
        "0",
        "0 1 1 2",
        "0 1 1 2 2 3 3",
        "1 1 1 2 2 3",
        "2 1 1 2 2",
        "2 1 1 2 2 3",
        "0 1 1 2 nan",
        "0 1 1 2 1e9",
        "0 1 1 2 99999999",
        "rectangle 1 1 2 2",
        "0 1 1 2 2;;5",
    ],
)
def test_shapes_that_are_none(text):
    with pytest.raises(BadInput, match="polygon") as error:
        read_shapes(text)
    assert error.value.reason == "bad_shape"


@given(st.text(alphabet="0123456789 -.;", max_size=40))
def test_any_text_is_shapes_or_refused(text):
    try:
        found = read_shapes(text)
        mask = shapes_to_mask(found, 9, 7)
    except BadInput as error:
        assert error.reason in ("bad_shape", "bad_box")
        return
    assert mask.shape == (9, 7) and mask.max(initial=0) <= 1


def test_official_run_lengths(real_data):
    """Read rightly, air lies in either lung alike and mostly at their tops, in one piece or few."""
    import cv2

    with (real_data / "formats" / "siim_rle_sample.csv").open(newline="") as file:
        texts = [row["EncodedPixels"] for row in csv.DictReader(file)]
    marked = [text for text in texts if text != "-1"]
    assert len(marked) == 264
    where, pieces = np.zeros((1024, 1024)), []
    for text in marked:
        mask = decode_relative_rle(text, 1024, 1024)
        assert encode_relative_rle(mask) == text
        pieces.append(cv2.connectedComponents(mask)[0] - 1)
        where += mask
    assert np.median(pieces) == 1 and max(pieces) < 10
    (top, bottom), (right, left) = (
        [half.sum() for half in np.split(where, 2, axis)] for axis in (0, 1)
    )
    assert top > 1.5 * bottom and 0.8 < left / right < 1.25
