"""DICOM files -> 8-bit grey pixels. Nothing else of a header leaves this file, errors included."""

import contextlib
import enum
import io
import logging
import pathlib
import warnings
import zlib
from collections.abc import Iterator

import numpy as np

from data_pipelines.codestreams import SYNTAXES, decode_codestream
from data_pipelines.outages import is_outage
from data_pipelines.records import BadInput

# 100 million pixels is four times the largest detector on the market.
MAX_PIXELS = 100_000_000
MAX_INFLATED_BYTES = 1 << 30
_DEFLATED = "1.2.840.10008.1.2.1.99"
_RLE = "1.2.840.10008.1.2.5"
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
    with _refusals():
        dataset = _parse(file)
        stored = _stored_pixels(dataset, max_pixels)
        if stored.ndim == 3:
            grey = stored[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
            return np.clip(np.rint(grey * (255 / _highest(dataset, stored))), 0, 255).astype(
                np.uint8
            )
        level = _levels(dataset, stored, window)
        if not np.isfinite(level).all():
            raise ValueError("a rescale slope or window that is no number")
        if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
            level = 1 - level
        padding = _padding(dataset, stored)
        if padding is not None:
            level = np.where(padding, 0, level)
        return np.rint(level * 255).astype(np.uint8)


def read_stored_pixels(file: bytes | pathlib.Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The first frame's values as they are stored, [h, w] or [h, w, 3], with no LUT applied."""
    with _refusals():
        return _stored_pixels(_parse(file), max_pixels)


def read_shape(file: bytes | pathlib.Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(rows, columns) by the header, nothing decoded. Raises BadInput as `read_dicom` does."""
    with _refusals():
        return _checked_shape(_parse(file), max_pixels)


def read_content(file: str | pathlib.Path) -> bytes:
    """Reads a file.

    Raises:
      BadInput: missing_file or unreadable_file.
      OSError: the disk or the network that it is on does not answer, which is not the file's fault.
    """
    try:
        return pathlib.Path(file).read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise BadInput("missing_file", f"there is no image file {file}") from None
    except OSError as error:
        if is_outage(error):
            raise
        raise BadInput(
            "unreadable_file",
            f"the image file {file} cannot be read ({type(error).__name__}): see to its "
            "permissions, or copy it again",
        ) from error


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Turns whatever pydicom raises into BadInput, and keeps it from speaking of header values.

    It converts a value only when that is asked for, so that any access may raise any error.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(
            "damaged_dicom",
            f"the DICOM file cannot be parsed ({type(error).__name__}): copy it again from its "
            "source, or leave it out",
        ) from None


def _parse(file: bytes | pathlib.Path):
    """Parses a file. Its pixel data is not decoded."""
    import pydicom

    data = file if isinstance(file, bytes) else read_content(file)
    if not looks_like_dicom(data):
        raise BadInput("not_an_image", "no DICOM file: it has neither preamble nor first element")
    _check_inflated_size(data)
    return pydicom.dcmread(io.BytesIO(data), force=True)


def _check_inflated_size(data: bytes) -> None:
    """A deflated file of a few bytes may hold gigabytes: it is measured before it is read."""
    from pydicom.filereader import read_dataset, read_preamble

    # As pydicom does it, so that both find the same start whatever a header says of lengths.
    file = io.BytesIO(data)
    read_preamble(file, force=True)
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") != _DEFLATED:
        return
    inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    # A thousandfold at most: 4 MiB at a time.
    while (chunk := file.read(1 << 12)) and not inflater.eof:
        size += len(inflater.decompress(chunk))
        if size > MAX_INFLATED_BYTES:
            raise BadInput(
                "too_large",
                f"the DICOM file inflates to over {MAX_INFLATED_BYTES >> 20} MiB: leave it out",
            )


def _checked_shape(dataset, max_pixels: int) -> tuple[int, int]:
    if "PixelData" not in dataset or "BitsAllocated" not in dataset:
        raise BadInput("no_pixels", "the DICOM file holds no image: leave it out")
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if not 0 < rows * columns <= max_pixels:
        raise BadInput(
            "too_large" if rows * columns else "no_pixels",
            f"the DICOM file is {columns} x {rows} pixels: between 1 and {max_pixels} are read",
        )
    return rows, columns


def _stored_pixels(dataset, max_pixels: int) -> np.ndarray:
    rows, columns = _checked_shape(dataset, max_pixels)
    samples, bits = int(dataset.get("SamplesPerPixel") or 1), int(dataset.BitsAllocated)
    if samples not in (1, 3) or bits > 32:
        raise BadInput(
            "undecodable_pixels",
            f"the DICOM file has {samples} samples of {bits} bits a pixel: 1 or 3 of up to 32 are "
            "read; convert it with the vendor's tools, or leave it out",
        )
    if "file_meta" not in dataset.__dict__ or "TransferSyntaxUID" not in dataset.file_meta:
        from pydicom.dataset import FileMetaDataset

        if not hasattr(dataset, "file_meta"):
            dataset.file_meta = FileMetaDataset()
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = _IMPLICIT_LITTLE if implicit else _EXPLICIT_LITTLE
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        logging.warning("a DICOM file of %d frames: the first is taken", frames)
    try:
        return _decode(dataset, (rows, columns, samples), frames)
    except BadInput:
        raise
    except Exception as error:
        if "less than expected" in str(error):
            raise BadInput(
                "truncated_pixels",
                "the DICOM file ends before its pixels do: copy it again from its source",
            ) from None
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        if not syntax.startswith(_IMPLICIT_LITTLE):  # damaged headers may hold anything here
            syntax = "unknown"
        raise BadInput(
            "undecodable_pixels",
            f"the pixels of the DICOM file (transfer syntax {syntax}) cannot be decoded "
            f"({type(error).__name__}): convert it with the vendor's tools, or leave it out",
        ) from None


def _decode(dataset, shape: tuple[int, int, int], frames: int) -> np.ndarray:
    """The first frame, palettes applied. Raises whatever a decoder does."""
    from pydicom.encaps import get_frame
    from pydicom.pixels import apply_color_lut, pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    if syntax in SYNTAXES:
        stream = get_frame(dataset.PixelData, 0, number_of_frames=frames)
        pixels = decode_codestream(stream, syntax=syntax, shape=shape, photometric=photometric)
        pixels = _with_sign(pixels, dataset)
    else:
        # Plugins of other packages, which may be installed and may abort, are not asked.
        plugin = "pydicom" if syntax == _RLE else ""
        pixels = pixel_array(dataset, index=0, decoding_plugin=plugin)
    return apply_color_lut(pixels, dataset) if photometric == "PALETTE COLOR" else pixels


def _with_sign(pixels: np.ndarray, dataset) -> np.ndarray:
    """Most codestreams know no sign, and some encoders forget it: the DICOM header decides."""
    signed = bool(dataset.get("PixelRepresentation"))
    if signed == (pixels.dtype.kind == "i"):
        return pixels
    shift = 32 - int(dataset.BitsStored)
    widened = pixels.astype(np.int32) << shift
    if signed:
        return (widened >> shift).astype(np.int16)
    return (widened.view(np.uint32) >> shift).astype(np.uint16)


def _highest(dataset, stored: np.ndarray) -> float:
    """Full brightness of a colour image."""
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":  # the bits are its indices'
        return float(np.iinfo(stored.dtype).max)
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

    for name in ("RescaleSlope", "RescaleIntercept"):  # emptied by whoever took names out
        if name in dataset and dataset[name].is_empty:
            del dataset[name]
    values = apply_modality_lut(stored, dataset)
    if window is Window.HEADER and dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        mapped = apply_voi_lut(np.rint(values).astype(np.int32), dataset, index=0)
        return np.clip(mapped / float(2**bits - 1), 0, 1).astype(np.float32)
    values = values.astype(np.float32)
    centred = _first(dataset.get("WindowCenter")) is not None
    if window is Window.HEADER and centred and (_first(dataset.get("WindowWidth")) or 0) > 0:
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
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -60, 60)))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1)
    if width <= 1:  # black up to a value, white above it
        return (values > center - 0.5).astype(np.float32)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
