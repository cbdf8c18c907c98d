"""Draws every finding of PhantomCXR at every severity, beside sentences that tell of it.

    python benchmarks/phantom_pictures.py

writes docs/pictures/phantom_FINDING.jpg and phantom_sheet.jpg, and the last part of
docs/phantom.md, from its heading "Every finding at every severity" on.
"""

import itertools
import pathlib

import cv2
import numpy as np

from data_pipelines.phantom.anatomy import Anatomy, Detail, Side, sample_anatomy
from data_pipelines.phantom.exposure import Scanner, sample_exposure
from data_pipelines.phantom.findings import (
    COUNTED,
    DEVICES,
    LABEL_OF,
    Finding,
    Kind,
    Severity,
    Zone,
)
from data_pipelines.phantom.frames import TRAINING_STYLES, Style
from data_pipelines.phantom.lateral import render_lateral
from data_pipelines.phantom.renderer import Rendering, render
from data_pipelines.phantom.wording import SIDELESS, tell, usual
from data_pipelines.sources.phantom import PhantomSource

DOCS = pathlib.Path(__file__).parent.parent / "docs"
HEADING = "## Every finding at every severity"
_TILE = 190
_PATIENT = 4
_THIN = (*DEVICES, Kind.FRACTURE)  # an outline would cover them: they have their box
_LOW = (Kind.ATELECTASIS, Kind.PNEUMONIA)
_OUTLINE = (60, 190, 250)  # blue, green, red: what OpenCV writes


def example(kind: Kind, severity: Severity) -> Finding:
    """A finding in the middle of a severity's range."""
    sides = (Side.RIGHT,)
    if kind in SIDELESS:
        sides = ()
    elif kind is Kind.EDEMA:
        sides = (Side.RIGHT, Side.LEFT)
    elif kind is Kind.PACEMAKER:
        sides = (Side.LEFT,)
    zone = Zone.LOWER if kind in _LOW else Zone.MID
    number = 1 + severity if kind in COUNTED else 1
    return Finding(kind, sides, zone, (severity + 0.6) / 3, 8, number)


def tile(drawn: Rendering, caption: str, *, boxed: bool = False) -> np.ndarray:
    """A picture with the outlines of its masks, or with its boxes, and a caption."""
    picture = cv2.cvtColor(drawn.pixels, cv2.COLOR_GRAY2BGR)
    for left, top, right, bottom in drawn.boxes().astype(int) if boxed else ():
        cv2.rectangle(picture, (left - 2, top - 2), (right + 1, bottom + 1), _OUTLINE, 1)
    for mask in () if boxed else drawn.masks:
        outlines, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, outlines, -1, _OUTLINE, 1)
    bar = np.zeros((16, _TILE, 3), np.uint8)
    cv2.putText(bar, caption, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255,) * 3, 1, cv2.LINE_AA)
    return np.concatenate([picture, bar])


def strip(kind: Kind, anatomy: Anatomy) -> np.ndarray:
    """Healthy, the three severities, and the last of them from the side."""
    front = sample_exposure(9, _PATIENT, 0, "PA", Scanner.CLINIC)
    aside = sample_exposure(9, _PATIENT, 0, "LATERAL", Scanner.CLINIC)
    tiles = [tile(render(anatomy, (), front, _TILE), "synthetic: none")]
    for severity in Severity:
        drawn = render(anatomy, (example(kind, severity),), front, _TILE)
        tiles.append(tile(drawn, f"synthetic: {severity.name.lower()}", boxed=kind in _THIN))
    drawn = render_lateral(anatomy, (example(kind, Severity.SEVERE),), aside, _TILE)
    tiles.append(tile(drawn, "synthetic: severe, lateral", boxed=kind in _THIN))
    return np.concatenate(tiles, axis=1)


def sentences(kind: Kind, severity: Severity) -> list[str]:
    """What three authors of training and the held-out one say of it."""
    choose = usual(np.random.default_rng([list(Kind).index(kind), severity]))
    finding = example(kind, severity)
    authors = itertools.islice(TRAINING_STYLES, 3)
    return [tell(choose, style, finding, 0).text for style in (*authors, Style.OTHER)]


def sheet() -> np.ndarray:
    """Some images of each config as a source gives them: PA, AP and lateral."""
    rows = []
    for config in ("easy", "default", "hard"):
        source = PhantomSource(config=config, patients=30, size=_TILE, seed=3, views="all")
        tiles = []
        for key in source.keys()[:5]:
            study = source.load(key)
            drawn = Rendering(study.pixels, np.zeros((0, _TILE, _TILE), bool), np.zeros(0, int))
            tiles.append(tile(drawn, f"synthetic: {config}, {study.view}"))
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows)


def main() -> None:
    anatomy = sample_anatomy(9, _PATIENT, "PA", 0, Detail.LIFELIKE)
    pictures = DOCS / "pictures"
    lines = [
        HEADING,
        "",
        "From left to right: the patient without the finding, mild, moderate, severe, and severe",
        "from the side, with the outline of each mask (the box, where an outline would hide it).",
        "The sentences are what three authors of the training split and the held-out author may",
        "say of it. Drawn by `python benchmarks/phantom_pictures.py`; all pictures are synthetic.",
        "",
    ]
    for kind in Kind:
        name = f"phantom_{kind.value.replace(' ', '_')}.jpg"
        cv2.imwrite(str(pictures / name), strip(kind, anatomy), [cv2.IMWRITE_JPEG_QUALITY, 72])
        lines += [f"### {kind.value.capitalize()} (`{LABEL_OF[kind]}`)", ""]
        lines += [f"![{kind.value}, synthetic](pictures/{name})", ""]
        for severity in Severity:
            said = " · ".join(sentences(kind, severity))
            lines.append(f"- {severity.name.lower()}: {said}")
        lines.append("")
    cv2.imwrite(str(pictures / "phantom_sheet.jpg"), sheet(), [cv2.IMWRITE_JPEG_QUALITY, 72])
    page = DOCS / "phantom.md"
    above = page.read_text().split(HEADING)[0] if page.exists() else ""
    page.write_text(above + "\n".join(lines))
    size = sum(path.stat().st_size for path in pictures.glob("phantom_*.jpg"))
    print(f"wrote {page} and pictures of {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
