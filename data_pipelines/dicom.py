"""DICOM files -> 8-bit grey pixels. Nothing else of a header leaves this file, errors included."""

import enum
import io
import logging
import pathlib
import struct
import warnings
import zlib

import numpy as np

from data_pipelines.records import BadInput

# 100 million pixels is four times the largest detector on the market.
MAX_PIXELS = 100_000_000
MAX_INFLATED_BYTES = 1 << 30
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_IMPLICIT_LITTLE = "1.2.840.10008.1.2"
_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"


class Window(enum.Enum):
    """How stored values become grey levels."""

    HEADER = "header"  # the file's VOI LUT or window, or else PERCENTILE
    PERCENTILE = "percentile"  # 0.5 to 99.5 % of what is not padding
    FULL = "full"  # smallest to largest value


def looks_like_dicom(data: bytes) -> bool:
    """By the preamble, or by a first element of group 0002 or 0008 where there is none."""
    return data[128:132] == b"DICM" or data[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08")


def read_dicom(
    file: bytes | pathlib.Path, *, window: Window = Window.HEADER, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Reads an image as a viewer would show it: [h, w] uint8, bone white.

    Modality LUT or rescale, then the VOI LUT or window; MONOCHROME1 is inverted, colour becomes
    grey, padding becomes black. Of several frames the first is taken, with a warning.

    Args:
      file: path or content.
      window: how values become grey levels.
      max_pixels: refused above, before anything is allocated.

    Raises:
      BadInput: not_an_image, damaged_dicom, no_pixels, too_large, truncated_pixels or
        undecodable_pixels.
    """
    dataset = _parse(file)
    stored = _stored_pixels(dataset, max_pixels)
    if stored.ndim == 3:
        grey = stored[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        return np.clip(np.rint(grey * (255 / _highest(dataset, stored))), 0, 255).astype(np.uint8)
    level = _levels(dataset, stored, window)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        level = 1 - level
    padding = _padding(dataset, stored)
    if padding is not None:
        level = np.where(padding, 0, level)
    return np.rint(level * 255).astype(np.uint8)


def read_stored_pixels(file: bytes | pathlib.Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The first frame's values as they are stored, [h, w] or [h, w, 3], with no LUT applied."""
    return _stored_pixels(_parse(file), max_pixels)


def _parse(file: bytes | pathlib.Path):
    """Parses a file. Its pixel data is not decoded."""
    import pydicom

    logging.getLogger("pydicom").setLevel(logging.ERROR)  # it would speak of every file at length
    data = file if isinstance(file, bytes) else pathlib.Path(file).read_bytes()
    if not looks_like_dicom(data):
        raise BadInput("not_an_image", "no DICOM file: it has neither preamble nor first element")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check_inflated_size(data)
            return pydicom.dcmread(io.BytesIO(data), force=True)
    except BadInput:
        raise
    except Exception as error:  # pydicom raises many kinds
        raise BadInput(
            "damaged_dicom",
            f"the DICOM file cannot be parsed ({type(error).__name__}): copy it again from its "
            "source, or leave it out",
        ) from None


def _check_inflated_size(data: bytes) -> None:
    """A deflated file of a few bytes may hold gigabytes: it is measured before it is read."""
    if data[128:132] != b"DICM" or _DEFLATED not in data[132:1024]:
        return
    # The first element, (0002,0000), says how long the rest of the meta header is.
    (length,) = struct.unpack("<I", data[140:144])
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    pending, size = data[144 + length :], 0
    while pending and not inflater.eof:
        size += len(inflater.decompress(pending, 1 << 20))
        pending = inflater.unconsumed_tail
        if size > MAX_INFLATED_BYTES:
            raise BadInput(
                "too_large",
                f"the DICOM file inflates to over {MAX_INFLATED_BYTES >> 20} MiB: leave it out",
            )


def _stored_pixels(dataset, max_pixels: int) -> np.ndarray:
    from pydicom.pixels import pixel_array

    if "PixelData" not in dataset or "BitsAllocated" not in dataset:
        raise BadInput("no_pixels", "the DICOM file holds no image: leave it out")
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if not 0 < rows * columns <= max_pixels:
        raise BadInput(
            "too_large" if rows * columns else "no_pixels",
            f"the DICOM file is {columns} x {rows} pixels: between 1 and {max_pixels} are read",
        )
    if "file_meta" not in dataset.__dict__ or "TransferSyntaxUID" not in dataset.file_meta:
        from pydicom.dataset import FileMetaDataset

        if not hasattr(dataset, "file_meta"):
            dataset.file_meta = FileMetaDataset()
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = _IMPLICIT_LITTLE if implicit else _EXPLICIT_LITTLE
    if frames > 1:
        logging.warning("a DICOM file of %d frames: the first is taken", frames)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = pixel_array(dataset, index=0)
            if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
                from pydicom.pixels import apply_color_lut

                pixels = apply_color_lut(pixels, dataset)
    except Exception as error:
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if "less than expected" in str(error):
            raise BadInput(
                "truncated_pixels",
                "the DICOM file ends before its pixels do: copy it again from its source",
            ) from None
        raise BadInput(
            "undecodable_pixels",
            f"the pixels of the DICOM file (transfer syntax {syntax}) cannot be decoded "
            f"({type(error).__name__}): convert it with the vendor's tools, or leave it out",
        ) from None
    return pixels


def _highest(dataset, stored: np.ndarray) -> float:
    bits = int(dataset.get("BitsStored") or stored.dtype.itemsize * 8)
    return float(max(2**bits - 1, 1))


def _padding(dataset, stored: np.ndarray) -> np.ndarray | None:
    """[h, w] bool of the pixels outside of the exposed field, or None."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit", value)
    low, high = sorted((int(value), int(limit)))
    mask = (stored >= low) & (stored <= high)
    # A padding value that is all there is, or nothing, marks no field.
    return mask if mask.any() and not mask.all() else None


def _levels(dataset, stored: np.ndarray, window: Window) -> np.ndarray:
    """Grey levels 0..1, float32, before MONOCHROME1 is inverted."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    values = apply_modality_lut(stored, dataset)
    if window is Window.HEADER and dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        mapped = apply_voi_lut(values.astype(stored.dtype), dataset, index=0)
        return np.clip(mapped / float(2**bits - 1), 0, 1).astype(np.float32)
    values = values.astype(np.float32)
    if window is Window.HEADER and _first(dataset.get("WindowWidth")) is not None:
        return _windowed(dataset, values)
    padding = _padding(dataset, stored)
    field = values if padding is None else values[~padding]
    if window is Window.FULL:
        low, high = field.min(), field.max()
    else:
        low, high = np.percentile(field, [0.5, 99.5])
    if high <= low:  # one colour but for a speck
        low, high = field.min(), field.max()
    return np.clip((values - low) / max(high - low, 1e-6), 0, 1)


def _first(value) -> float | None:
    """The first of a header's values, which may be several, one or none."""
    if value is None or value == "":
        return None
    return float(value if isinstance(value, str | int | float) else value[0])


def _windowed(dataset, values: np.ndarray) -> np.ndarray:
    """The first window of the header (DICOM PS3.3, C.11.2.1.2 and .3)."""
    center, width = _first(dataset.get("WindowCenter")), _first(dataset.WindowWidth)
    function = dataset.get("VOILUTFunction", "LINEAR")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / max(width, 1e-6), -60, 60)))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / max(width, 1e-6) + 0.5, 0, 1)
    return np.clip((values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5, 0, 1)
