"""A hash of what an image looks like."""

import cv2
import numpy as np

_SIDE, _LOW = 64, 16
# Shuffled: neighbouring frequencies are alike in all radiographs, and would make equal bands of
# bits, by which near hashes are found.
_ORDER = np.random.RandomState(0).permutation(_LOW * _LOW)


def image_hash(pixels: np.ndarray) -> np.ndarray:
    """[4] uint64, 256 bits that are nearly the same for images that look the same.

    The signs of an image's 16 x 16 lowest frequencies about their median (pHash; Zauner, 2010),
    whatever its size, brightness, contrast and encoding. [h, w] uint8.
    """
    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:_LOW, :_LOW].ravel()
    return np.packbits((low > np.median(low))[_ORDER]).view(np.uint64)
