"""From pixels of a stored image to pixels of the crop that the model saw, and back."""

import enum

import cv2
import numpy as np


def crop_origin(shape: tuple[int, int], image_size: int, crop: int) -> tuple[int, int]:
    """The pixel of the stored image at the centre crop's first one; negative where that is padding.

    The image, of long side `image_size`, is centred in a square of that side, and the crop in it.

    Returns:
      (top, left).
    """
    height, width = shape
    first = (image_size - crop) // 2
    return first - (image_size - height) // 2, first - (image_size - width) // 2


def uncrop(
    crop: np.ndarray, stored: tuple[int, int], image_size: int, *, outside: float = 0
) -> np.ndarray:
    """Puts a map of the crop [c, c] back in the stored image's frame, [h, w]."""
    side = crop.shape[0]
    top, left = crop_origin(stored, image_size, side)
    out = np.full(stored, outside, crop.dtype)
    rows = slice(max(top, 0), min(top + side, stored[0]))
    columns = slice(max(left, 0), min(left + side, stored[1]))
    out[rows, columns] = crop[
        rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    return out


class Between(enum.Enum):
    """How a map goes on between the centres of patches."""

    LINEAR = cv2.INTER_LINEAR  # its maximum is always at the centre of a patch
    CUBIC = cv2.INTER_CUBIC  # its maximum may lie between; leaves the range of the patches a little


def enlarge(values: np.ndarray, side: int, between: Between = Between.LINEAR) -> np.ndarray:
    """Values [N] of the patches of a square grid as a map [side, side] of pixels, float32."""
    grid = round(len(values) ** 0.5)
    return cv2.resize(
        values.reshape(grid, grid).astype(np.float32),
        (side, side),
        interpolation=between.value,
    )
