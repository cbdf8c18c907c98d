"""Any DICOM, PNG or JPEG -> 8-bit grey pixels -> the size that training sees.

All resizing of place_jax happens here, so that an image is the same pixels whichever way it comes:
prepared into records, or given to a Predictor.
"""

import pathlib
import struct

import cv2
import numpy as np

from data_pipelines import dicom
from data_pipelines.dicom import Window
from data_pipelines.image_headers import Kind, kind_and_shape
from data_pipelines.records import BadInput

MAX_PIXELS = dicom.MAX_PIXELS
_IGNORE = cv2.IMREAD_IGNORE_ORIENTATION
# A JPEG is made of blocks of 8 x 8 frequencies: from the lowest of them its decoder gives half or a
# quarter of the size, in less time than the whole takes.
_REDUCED = {
    1: cv2.IMREAD_GRAYSCALE | _IGNORE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2 | _IGNORE,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4 | _IGNORE,
}
_PNG_HEADER = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_DIFFERENCES = 1  # a PNG's name for rows of differences: its filter "Sub"
_SPARE = 2  # how much finer than it will be stored a JPEG is decoded, at least


class ImageFile:
    """An image that was read and checked and is not decoded yet.

    Who wants it small says so when it is decoded: that saves much of a large JPEG's time. As an
    array it is what `read_image` gives.

    Args:
      data: the file's content.
      max_pixels: refused above.

    Raises:
      BadInput: as `read_image` says, for what can be known without decoding.
    """

    def __init__(self, data: bytes, *, max_pixels: int = MAX_PIXELS):
        self._data, self._max_pixels = data, max_pixels
        self._kind, self._shape = kind_and_shape(data, max_pixels)

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) at its own size, whatever it is decoded at."""
        if self._shape is None:
            self._shape = dicom.read_shape(self._data, max_pixels=self._max_pixels)
        return self._shape

    def decode(self, *, long_side: int | None = None, window: Window = Window.HEADER) -> np.ndarray:
        """[h, w] uint8 grey.

        Args:
          long_side: the caller will shrink it to this: a larger JPEG may come at half or a quarter
            of its size, still twice as large as that or more. None gives its own size.
          window: how the values of a DICOM file become grey levels.

        Raises:
          BadInput: as `read_image` says.
        """
        if self._kind is Kind.DICOM:
            pixels = dicom.read_dicom(self._data, window=window, max_pixels=self._max_pixels)
            self._shape = pixels.shape
            return pixels
        if self._kind is Kind.PNG:
            return _to_grey(_decode(self._data, cv2.IMREAD_UNCHANGED | _IGNORE))
        reduction = 1 if long_side is None else _reduction(self.shape, long_side)
        # Blocks at the edge may reach beyond the image by less than one pixel.
        height, width = (max(1, round(side / reduction)) for side in self.shape)
        return _decode(self._data, _REDUCED[reduction])[:height, :width]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.decode().astype(dtype or np.uint8, copy=False)


def open_image(image: str | pathlib.Path | bytes, *, max_pixels: int = MAX_PIXELS) -> ImageFile:
    """Reads a file or takes its content, and checks it without decoding. Raises BadInput."""
    data = image if isinstance(image, bytes) else dicom.read_content(image)
    return ImageFile(data, max_pixels=max_pixels)


def read_image(
    image: str | pathlib.Path | bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    window: Window = Window.HEADER,
) -> np.ndarray:
    """Reads a file as [h, w] uint8 grey. The kind is known by its content, not by its name.

    Colour becomes grey by luma and transparency is dropped; of a 16-bit PNG the upper 8 of the bits
    that its largest value needs are kept. EXIF rotation is not applied: radiographs come without,
    and a viewer's wish is not the detector's.

    Args:
      image: path or content.
      max_pixels: refused above, before anything is decoded.
      window: how the values of a DICOM file become grey levels.

    Raises:
      BadInput: missing_file, unreadable_file, empty_file, lfs_pointer, html_page, not_an_image,
        truncated_image, undecodable_image, too_large, or what `dicom.read_dicom` raises.
    """
    return open_image(image, max_pixels=max_pixels).decode(window=window)


def _decode(data: bytes, flags: int) -> np.ndarray:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise BadInput(
            "undecodable_image", "the image cannot be decoded: copy it again from its source"
        )
    return pixels


def _reduction(shape: tuple[int, int], long_side: int) -> int:
    """The largest that leaves the long side at least _SPARE times as long as wanted."""
    return max(r for r in _REDUCED if r == 1 or max(shape) >= _SPARE * r * long_side)


def _to_grey(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint16:
        shift = max(int(pixels.max()).bit_length(), 8) - 8
        pixels = (pixels >> shift).astype(np.uint8)
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] == 2:  # grey and transparency
        return np.ascontiguousarray(pixels[..., 0])
    return cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_BGR2GRAY)


def fit_geometry(shape: tuple[int, int], size: int) -> float:
    """The scale that brings the long side of [h, w] to `size`."""
    return size / max(shape)


def fit_long_side(
    image: np.ndarray | ImageFile, size: int, *, window: Window = Window.HEADER
) -> np.ndarray:
    """Resizes [h, w] so that its long side is `size` and its aspect is kept.

    A large JPEG file is decoded at a fraction of its size first: 0.2 grey levels, on average, from
    what averaging all of its pixels gives. `window` is that of a DICOM file.
    """
    if isinstance(image, ImageFile):
        pixels = image.decode(long_side=size, window=window)
    else:
        pixels = image
    shape = image.shape
    scale = fit_geometry(shape, size)
    if scale == 1:
        return pixels
    height, width = (max(1, round(side * scale)) for side in shape)
    # Area averaging does not alias when shrinking; when growing it would be blocky.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(pixels, (width, height), interpolation=method)


def pad_and_crop(
    pixels: np.ndarray, crop: int, offset: tuple[int, int] | None = None
) -> np.ndarray:
    """Pads [h, w] with black to a square, image in the middle, and crops [crop, crop] from it.

    The square's side is the long side of the image, or `crop` where that is larger. `offset` is
    the crop's (y, x) in the square; None takes its middle. What batches do in evaluation.
    """
    side = max(*pixels.shape, crop)
    top, left = ((side - length) // 2 for length in pixels.shape)
    square = np.zeros((side, side), np.uint8)
    square[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    y, x = ((side - crop) // 2,) * 2 if offset is None else offset
    return square[y : y + crop, x : x + crop]


def encode_png(pixels: np.ndarray) -> bytes:
    """[h, w] uint8 as PNG: lossless, so that every decoder gives the same pixels."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def decode_png(data: bytes) -> np.ndarray:
    """The inverse of encode_png: [h, w] uint8. Raises ValueError for what is damaged.

    Most of what a batch costs is spent here. Rows of the one kind that encode_png writes, each
    pixel as its difference from the one before, take the fastest inflater and adder at hand, which
    is half the time; other PNGs go to OpenCV.
    """
    import imagecodecs

    if len(data) < 33 or not data.startswith(_PNG_HEADER):
        raise ValueError("no PNG, or one cut short")
    width, height, *kind = struct.unpack(">IIBBBBB", data[16:29])
    at, packed = 33, []
    while data[at + 4 : at + 8] == b"IDAT":
        length = int.from_bytes(data[at : at + 4])
        packed.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    if kind == [8, 0, 0, 0, 0] and packed and data[at + 4 : at + 8] == b"IEND":
        try:
            inflated = imagecodecs.zlibng_decode(b"".join(packed), out=height * (width + 1))
        except imagecodecs.ZlibngError:
            raise ValueError("a damaged PNG") from None
        rows = np.frombuffer(inflated, np.uint8)
        if len(rows) == height * (width + 1):
            rows = rows.reshape(height, width + 1)
            if (rows[:, 0] == _DIFFERENCES).all():
                return imagecodecs.delta_decode(np.ascontiguousarray(rows[:, 1:]), axis=1)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise ValueError("a damaged PNG")
    return pixels
