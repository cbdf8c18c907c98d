import numpy as np
import pytest

from data_pipelines.image import pad_and_crop
from place_jax.transfer import geometry


@pytest.mark.parametrize("shape", [(64, 64), (64, 49), (51, 64), (64, 20), (17, 64)])
@pytest.mark.parametrize("crop", [64, 48, 47])
def test_origin_is_where_the_crop_was_taken(shape, crop):
    rows, columns = np.indices(shape)
    top, left = geometry.crop_origin(shape, 64, crop)
    for coordinate, first in ((rows, top), (columns, left)):
        cropped = pad_and_crop((coordinate + 1).astype(np.uint8), crop).astype(int)
        y, x = np.argwhere(cropped > 0)[0]
        assert cropped[y, x] - 1 == (y if coordinate is rows else x) + first


@pytest.mark.parametrize("shape", [(64, 64), (64, 49), (17, 64)])
def test_uncrop_undoes_the_crop(shape):
    pixels = np.random.default_rng(0).integers(1, 255, shape).astype(np.uint8)
    back = geometry.uncrop(pad_and_crop(pixels, 48), shape, 64)
    assert back.shape == shape
    seen = back > 0
    assert seen.mean() > 0.5
    np.testing.assert_array_equal(back[seen], pixels[seen])


def test_attention_stays_over_its_patch():
    attention = np.zeros(16)
    attention[6] = 1  # second row, third column
    enlarged = geometry.enlarge(attention, 64)
    y, x = np.unravel_index(enlarged.argmax(), enlarged.shape)
    assert 16 <= y < 32 and 32 <= x < 48
