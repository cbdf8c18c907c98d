"""Damaged and hostile input for every parser of files that come from elsewhere.

As a program it runs one target over many cases in a process whose memory is limited and that a
case ends which takes too long:

    python fuzzing.py TARGET FIRST COUNT

A parser may read a case or refuse it by BadInput (`decode_record`: ValueError). Anything else, a
crash of a decoder, a hang, or more memory than the limit, ends the program with an error.
"""

import gzip
import io
import pathlib
import random
import resource
import signal
import sys
import warnings
from collections.abc import Callable

import cv2
import dicom_files
import numpy as np
from test_dicom_refusals import samples

from data_pipelines import annotations, manifest, mimic_reports, openi_reports, reports
from data_pipelines.dicom import read_dicom, read_shape
from data_pipelines.image import read_image
from data_pipelines.record_codec import decode_record, encode_record
from data_pipelines.records import RECORD_FIELDS, BadInput
from data_pipelines.sources import lists

SECONDS = 20  # of one case
MEMORY = 1 << 30  # beyond what the imports took
MAX_PIXELS = 4_000_000
REPORT = """WET READ: ___ 5:00 PM  No pneumothorax.
FINAL REPORT
INDICATION: ___F with cough, 3.5 cm mass // eval
FINDINGS: 1. The heart is normal, approx. 2.5 cm.  2) No effusion.
IMPRESSION: Dr. ___ was told at 3 p.m. e.g. of it."""
MIMIC = f"""                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 {REPORT}

 ADDENDUM  1. Compared with ___, unchanged."""
OPENI = b"""<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR7" /><MedlineCitation><Article>
<Abstract><AbstractText Label="FINDINGS">Heart &amp; lungs <b>clear</b>, XXXX.</AbstractText>
<AbstractText Label="IMPRESSION">Normal.</AbstractText></Abstract></Article></MedlineCitation>
<MeSH><major>normal</major></MeSH><parentImage id="CXR7_IM-2263-1001"><figureId>F1</figureId>
</parentImage></eCitation>"""


def flipped(content: bytes, generator: random.Random) -> bytes:
    """With a few bytes changed, cut out, doubled or written over with what parsers trip on."""
    damaged = bytearray(content)
    for _ in range(generator.choice([1, 1, 2, 4, 16])):
        at = generator.randrange(len(damaged)) if damaged else 0
        kind = generator.randrange(6)
        if kind <= 2 and damaged:
            damaged[at] = generator.randrange(256)
        elif kind == 3:
            damaged[at : at + 4] = generator.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
        elif kind == 4:
            del damaged[at : at + generator.randrange(1, 40)]
        else:
            damaged[at:at] = damaged[at : at + generator.randrange(1, 40)]
    if generator.randrange(8) == 0:
        del damaged[generator.randrange(len(damaged) + 1) :]
    return bytes(damaged)


def images() -> list[bytes]:
    """A PNG and a JPEG of each kind of samples."""
    pixels = dicom_files.picture(8)
    colour = np.repeat(pixels[..., None], 3, 2)
    wide = dicom_files.picture(16)
    encoded = [
        cv2.imencode(kind, image, flags)[1].tobytes()
        for kind, image, flags in (
            (".png", pixels, []),
            (".png", wide, []),
            (".png", colour, []),
            (".jpg", pixels, []),
            (".jpg", colour, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        )
    ]
    return encoded


def record() -> bytes:
    """A stored record with a value in every field."""
    values = {}
    for name, (shape, dtype) in RECORD_FIELDS.items():
        if dtype in ("str", "bytes"):
            values[name] = ["one", "two"] if shape else "text"
        else:
            values[name] = np.ones([2 if size is None else size for size in shape], dtype)
    return encode_record(values)


def read_table(content: bytes, folder: pathlib.Path) -> None:
    (folder / "list.csv").write_bytes(content)
    for _ in lists.read_table(folder / "list.csv", ("name", "label"), ()):
        pass


def read_packed_table(content: bytes, folder: pathlib.Path) -> None:
    (folder / "list.csv.gz").write_bytes(content)
    for _ in lists.read_table(folder / "list.csv.gz", ("name", "label"), ()):
        pass


def read_arrays(content: bytes, folder: pathlib.Path) -> None:
    (folder / "index.npz").write_bytes(content)
    manifest.read_arrays(folder / "index.npz")


def read_report(content: bytes, folder: pathlib.Path) -> None:
    text = content.decode("utf-8", "replace")
    for section in reports.split_sections(text).values():
        for sentence in reports.split_sentences(section):
            reports.fingerprint(reports.normalise_statement(sentence))


def read_mimic_report(content: bytes, folder: pathlib.Path) -> None:
    report = mimic_reports.parse_report(content.decode("utf-8", "replace"))
    mimic_reports.count_mgca_tokens(report.findings, report.impression)


def read_runs(content: bytes, folder: pathlib.Path) -> None:
    mask = annotations.decode_relative_rle(content.decode("latin-1"), 64, 48)
    assert mask.shape == (64, 48) and mask.max() <= 1


def read_shapes(content: bytes, folder: pathlib.Path) -> None:
    shapes = annotations.read_shapes(content.decode("latin-1"))
    mask = annotations.shapes_to_mask(shapes, 64, 48) if shapes else np.zeros((64, 48))
    assert mask.shape == (64, 48)


def read_file(content: bytes, folder: pathlib.Path) -> None:
    grey = read_image(content, max_pixels=MAX_PIXELS)
    assert grey.ndim == 2 and grey.dtype == np.uint8 and 0 < grey.size <= MAX_PIXELS


def read_dicom_file(content: bytes, folder: pathlib.Path) -> None:
    try:
        shape = read_shape(content, max_pixels=MAX_PIXELS)
    except BadInput:
        shape = None
    grey = read_dicom(content, max_pixels=MAX_PIXELS)
    assert grey.dtype == np.uint8 and grey.shape == shape


def npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, start=np.arange(50), name=np.array(["a", "b"]))
    return file.getvalue()


# Target -> (whole inputs, parser of (content, a folder to write to)).
TARGETS: dict[str, tuple[Callable[[], list[bytes]], Callable[[bytes, pathlib.Path], None]]] = {
    "dicom": (lambda: list(samples().values()), read_dicom_file),
    "image": (images, read_file),
    "record": (lambda: [record()], lambda content, _: decode_record(content)),
    "index": (lambda: [npz()], read_arrays),
    "list": (lambda: [b'name,label\na,1\n"b, c",0\n' * 3, b"name,label\n\xef\xbb,1"], read_table),
    "packed_list": (lambda: [gzip.compress(b"name,label\na,1\nb,0\n" * 50)], read_packed_table),
    "report": (lambda: [REPORT.encode()], read_report),
    "mimic_report": (lambda: [MIMIC.encode()], read_mimic_report),
    "openi_xml": (lambda: [OPENI], lambda content, _: openi_reports.parse_report(content)),
    "run_lengths": (lambda: [b"5 10 54 9 100 1 0 64", b"-1", b" 3 4 "], read_runs),
    "shapes": (
        lambda: [b"0 1 2 30 40;1 5 5 9 20", b"2 1 1 30 2 20 40 1 30;0 2 2 9 9"],
        read_shapes,
    ),
}
DOCUMENTED = {"record": (ValueError,)}


def run(target: str, first: int, count: int, folder: pathlib.Path) -> tuple[int, int]:
    """Tries so many cases of a target. Returns how many were read and how many refused."""
    make, parse = TARGETS[target]
    contents = make()
    read = refused = 0
    for case in range(first, first + count):
        generator = random.Random(f"{target} {case}")
        content = flipped(generator.choice(contents), generator)
        signal.alarm(SECONDS)  # not handled: it ends the process, within a decoder too
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                parse(content, folder)
            read += 1
        except DOCUMENTED.get(target, (BadInput,)):
            refused += 1
        except BaseException as error:
            raise AssertionError(f"case {case} of {target}: {type(error).__name__}") from error
        finally:
            signal.alarm(0)
    return read, refused


def limit_memory() -> None:
    """Lets this process take MEMORY more than it has."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


if __name__ == "__main__":
    import tempfile

    name, start, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    targets = list(TARGETS) if name == "all" else [name]
    with tempfile.TemporaryDirectory() as scratch:
        for target in targets:  # what is imported late is imported, and does not count
            run(target, 0, 3, pathlib.Path(scratch))
        limit_memory()
        for target in targets:
            print(target, *run(target, start, number, pathlib.Path(scratch)), flush=True)
