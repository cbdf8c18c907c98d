"""Stored values become the grey levels that DICOM PS3.3, C.11.1 and C.11.2 say, worked by hand."""

import numpy as np
import pytest
from dicom_files import dataset, make, write
from pydicom.dataset import Dataset

from data_pipelines.dicom import Window, read_dicom


def levels(values, *, window=Window.HEADER, dtype=np.int16, **elements) -> list[int]:
    """The grey levels of a row of values."""
    return read_dicom(make(np.array([values], dtype), **elements), window=window)[0].tolist()


def lut(first: int, bits: int, entries: list[int]) -> Dataset:
    table = Dataset()
    table.LUTDescriptor = [len(entries), first, bits]
    table.LUTData = entries
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    return table


# PS3.3, C.11.2.1.2.1, notes: c 2048, w 4096 is 0 up to 0 and the maximum above 4095;
# c 0, w 100 is 0 up to -50 and the maximum above 49; c 0, w 1 is 0 up to -0.5.
@pytest.mark.parametrize(
    ("function", "center", "width", "values", "expected"),
    [
        (None, 2048, 4096, [-5, 0, 1024, 2048, 4095, 5000], [0, 0, 64, 128, 255, 255]),
        ("LINEAR", 0, 100, [-51, -50, -25, 24, 49, 50], [0, 0, 64, 191, 255, 255]),
        ("LINEAR", 0, 1, [-2, -1, 0, 1], [0, 0, 255, 255]),
        ("LINEAR", 0.5, 1, [-1, 0, 1], [0, 0, 255]),
        ("LINEAR", 10, 4, [7, 8, 9, 10, 11, 12], [0, 0, 85, 170, 255, 255]),
        ("LINEAR_EXACT", 10, 4, [7, 8, 9, 10, 11, 12], [0, 0, 64, 128, 191, 255]),
        # 1 / (1 + e^-(x - 10)): 0.0474, 0.1192, 0.2689, 0.5, 0.7311, 0.8808
        ("SIGMOID", 10, 4, [7, 8, 9, 10, 11, 12], [12, 30, 69, 128, 186, 225]),
        ("SIGMOID", 10, 4, [-30000, 30000], [0, 255]),
    ],
)
def test_windows(function, center, width, values, expected):
    extra = {} if function is None else {"VOILUTFunction": function}
    assert levels(values, WindowCenter=center, WindowWidth=width, **extra) == expected


def test_of_several_windows_the_first():
    assert levels([8, 9, 11], WindowCenter=[10, 900], WindowWidth=[4, 2000]) == [0, 85, 255]


def test_monochrome1_is_inverted():
    window = {"WindowCenter": 10, "WindowWidth": 4, "PhotometricInterpretation": "MONOCHROME1"}
    assert levels([7, 9, 10, 12], **window) == [255, 170, 85, 0]


def test_rescale_comes_before_the_window():
    rescale = {"RescaleSlope": 2, "RescaleIntercept": -1024}
    # 2 x - 1024 = 8, 10, 12
    window = {"WindowCenter": 10, "WindowWidth": 4, "VOILUTFunction": "LINEAR_EXACT"}
    assert levels([516, 517, 518], **rescale, **window) == [0, 128, 255]


def test_modality_lut():
    table = lut(10, 16, [100, 200, 300, 400])
    window = {"WindowCenter": 250, "WindowWidth": 400, "VOILUTFunction": "LINEAR_EXACT"}
    found = levels([0, 10, 11, 12, 13, 99], ModalityLUTSequence=[table], dtype=np.uint16, **window)
    assert found == [32, 32, 96, 159, 223, 223]


def test_voi_lut_wins_over_a_window():
    window = {"WindowCenter": 10, "WindowWidth": 4}
    eight = [lut(2, 8, [3, 50, 200, 251])]
    assert levels([0, 2, 3, 4, 5, 9], VOILUTSequence=eight, **window) == [3, 3, 50, 200, 251, 251]
    ten = [lut(0, 10, [0, 341, 682, 1023])]
    assert levels([0, 1, 2, 3], VOILUTSequence=ten) == [0, 85, 170, 255]


def test_voi_lut_of_values_that_the_stored_type_cannot_hold():
    """Bytes rescaled beyond a byte."""
    table = lut(1000, 8, [10, 20, 30, 40])
    found = levels([0, 1, 2, 3], dtype=np.uint8, RescaleIntercept=1000, RescaleSlope=1,
                   VOILUTSequence=[table])  # fmt: skip
    assert found == [10, 20, 30, 40]


def test_without_a_window_the_range_of_the_values():
    values = np.arange(1000, dtype=np.uint16).reshape(20, 50)
    values[0, 0] = 60000  # a hot pixel
    grey = read_dicom(make(values))
    assert grey[0, 1] == 0 and grey[-1, -1] == 255
    # 0.5 to 99.5 % of 1000 values in a row: 500 lies in their middle.
    assert abs(int(grey.ravel()[500]) - 128) <= 1
    full = read_dicom(make(values), window=Window.FULL).ravel()
    assert full[0] == 255 and full[999] == round(255 * 998 / 59999)


def test_the_header_is_not_asked_where_percentiles_are_wanted():
    values = list(range(0, 1000, 100))
    narrow = {"WindowCenter": 500, "WindowWidth": 2}
    assert sorted(set(levels(values, **narrow))) == [0, 255]
    assert len(set(levels(values, window=Window.PERCENTILE, **narrow))) == 10


@pytest.mark.parametrize("width", [0, -5])
def test_a_window_of_no_width_is_none(width):
    values = list(range(0, 1000, 100))
    assert levels(values, WindowCenter=500, WindowWidth=width) == levels(values)


@pytest.mark.parametrize(
    "emptied",
    [
        {"WindowWidth": 2},
        {"WindowWidth": 2, "WindowCenter": None},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": None, "RescaleIntercept": 5},
    ],
)
def test_tags_that_were_emptied_are_as_if_they_were_not_there(emptied):
    values = list(range(1000))
    assert levels(values, **emptied) == levels(values)


def test_one_colour_is_no_error():
    assert len(set(levels([700] * 8))) == 1
    assert levels([700] * 999 + [900])[-1] == 255


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", list(Window))
def test_padding_is_black_and_counts_for_nothing(photometric, window):
    field = list(range(100, 300))
    elements = {"PhotometricInterpretation": photometric}
    without = levels(field, window=window, **elements)
    padded = levels(
        [-2000, *field, -1999], window=window, PixelPaddingValue=-2000,
        PixelPaddingRangeLimit=-1999, **elements,
    )  # fmt: skip
    assert padded == [0, *without, 0]


def test_all_padding_is_no_padding():
    values = np.full((4, 4), 7, np.uint16)
    assert read_dicom(make(values, PixelPaddingValue=7)).shape == (4, 4)


def test_rescale_before_the_values_of_padding_are_compared():
    """Padding is given in stored values, not in rescaled ones."""
    found = levels([-2000, 1000, 1100], PixelPaddingValue=-2000, RescaleIntercept=-1000,
                   RescaleSlope=1, WindowCenter=50, WindowWidth=101)  # fmt: skip
    assert found == [0, 1, 255]


def test_a_16_bit_value_above_its_stored_bits_saturates():
    values = np.array([[0, 4095, 5000]], np.uint16)
    made = dataset(values, 16, WindowCenter=2048, WindowWidth=4096)
    assert read_dicom(write(made))[0].tolist() == [0, 255, 255]
