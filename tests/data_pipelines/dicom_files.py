"""DICOM files made for tests: every one carries the same invented identifiers."""

import io
import warnings

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

IDENTIFIERS = {
    "PatientName": "Quetzal^Zebulon",
    "PatientID": "MRN7741XQ",
    "PatientBirthDate": "19430917",
    "StudyDate": "20170411",
    "AccessionNumber": "ACC90210Q",
    "ReferringPhysicianName": "Oxbow^Thaddea",
    "InstitutionName": "Saint Quillon",
}
SECRETS = [part for value in IDENTIFIERS.values() for part in value.split("^")]

_J2K = {"codecformat": "j2k", "level": 0, "reversible": True}
# Name -> (transfer syntax UID, encoder of [h, w] with a depth in bits; None for no codestream).
LOSSLESS = {
    "implicit": (ImplicitVRLittleEndian, None),
    "explicit": (ExplicitVRLittleEndian, None),
    "big_endian": (ExplicitVRBigEndian, None),
    "deflated": (DeflatedExplicitVRLittleEndian, None),
    "rle": (RLELossless, None),
    "jpeg_lossless": (
        UID("1.2.840.10008.1.2.4.57"),
        lambda x, bits: imagecodecs.jpeg8_encode(x, lossless=True, predictor=6, bitspersample=bits),
    ),
    "jpeg_lossless_sv1": (
        UID("1.2.840.10008.1.2.4.70"),
        lambda x, bits: imagecodecs.ljpeg_encode(x, bitspersample=bits),
    ),
    "jpeg_ls": (UID("1.2.840.10008.1.2.4.80"), lambda x, bits: imagecodecs.jpegls_encode(x)),
    "jpeg_2000": (
        UID("1.2.840.10008.1.2.4.90"),
        lambda x, bits: imagecodecs.jpeg2k_encode(x, bitspersample=bits, **_J2K),
    ),
    "htj2k": (UID("1.2.840.10008.1.2.4.201"), lambda x, bits: imagecodecs.htj2k_encode(x)),
}
JPEG_BASELINE = UID("1.2.840.10008.1.2.4.50")
JPEG_EXTENDED = UID("1.2.840.10008.1.2.4.51")


def picture(bits: int = 12, shape: tuple[int, int] = (24, 40), *, signed: bool = False):
    """A smooth [h, w] from the smallest to the largest value of so many bits, noise on it."""
    ramp = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) / (sum(shape) - 2)
    noise = np.random.default_rng(bits).uniform(0, 0.02, shape)
    values = np.rint(np.clip(ramp + noise - 0.01, 0, 1) * (2**bits - 1))
    values.flat[0], values.flat[-1] = 0, 2**bits - 1
    values -= 2 ** (bits - 1) if signed else 0
    return values.astype({True: "i", False: "u"}[signed] + ("1" if bits <= 8 else "2"))


def dataset(pixels: np.ndarray, bits: int | None = None, **elements) -> Dataset:
    """A data set with the pixels in the native form; further elements by their keyword."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.4"
    made.Modality = "DX"
    for keyword, value in IDENTIFIERS.items():
        setattr(made, keyword, value)
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel = pixels.shape[2] if pixels.ndim == 3 else 1
    made.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.BitsAllocated = 8 * pixels.dtype.itemsize
    made.BitsStored = bits or made.BitsAllocated
    made.HighBit = made.BitsStored - 1
    if pixels.ndim == 3:
        made.PlanarConfiguration = 0
    made.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def write(
    made: Dataset, syntax: UID = ExplicitVRLittleEndian, stream: bytes | None = None
) -> bytes:
    """The data set as a file. `stream` replaces the pixels by a compressed frame."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    if stream is not None:
        made.PixelData = encapsulate([stream])
    made["PixelData"].VR = "OW" if made.BitsAllocated > 8 else "OB"
    if syntax.is_encapsulated:
        made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def write_bare(made: Dataset, *, implicit: bool) -> bytes:
    """The data set with neither preamble nor meta header."""
    file = io.BytesIO()
    made.save_as(file, implicit_vr=implicit, little_endian=True)
    return file.getvalue()


def make(pixels: np.ndarray, kind: str = "explicit", bits: int | None = None, **elements) -> bytes:
    """A file of `pixels` in one of LOSSLESS."""
    syntax, encode = LOSSLESS[kind]
    made = dataset(pixels, bits)
    if syntax == ExplicitVRBigEndian:
        made.PixelData = pixels.byteswap().tobytes()
    if syntax == RLELossless:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.file_meta = FileMetaDataset()
            made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            made.compress(RLELossless, encoding_plugin="pydicom")
    stream, depth = None, made.BitsStored
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    if encode is not None:
        raw = pixels.astype(np.int64) & ((1 << depth) - 1)  # codestreams but JPEG 2000's: no sign
        stream = encode(raw.astype(pixels.dtype.str.replace("i", "u")), depth)
    return write(made, syntax, stream)
