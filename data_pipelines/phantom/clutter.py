"""What lies on a picture and is no finding: leads and wires, and what mimics disease.

None of it has a label, a mask or a sentence. A nipple looks like a nodule, a fold of skin like a
pneumothorax, a braid like an opacity of the apex, a companion shadow like thickened pleura.
"""

import dataclasses
import enum
from collections.abc import Mapping

import numpy as np

from data_pipelines.phantom.anatomy import Anatomy, Side
from data_pipelines.phantom.canvas import Canvas, spline, times
from data_pipelines.phantom.thorax import SIDES, weighted


class Clutter(enum.Enum):
    """A thing without a label."""

    LEADS = "leads"
    NIPPLES = "nipples"
    SKIN_FOLD = "skin fold"
    COMPANION = "companion shadow"
    BRAID = "braid"
    BUTTONS = "buttons"


@dataclasses.dataclass(frozen=True)
class Piece:
    """One thing on one picture; `seed` is of its shape and place."""

    clutter: Clutter
    seed: int


_WITH_PORTABLE = 2.5  # times as many leads lie on who is too ill to stand


def sample_clutter(
    rates: Mapping[Clutter, float], seed: int, patient: int, study: int, view: str
) -> tuple[Piece, ...]:
    """What lies on a study's picture; independent of its findings."""
    rng = np.random.default_rng([seed, patient, study, 151 if view == "LATERAL" else 137])
    pieces = []
    for clutter in Clutter:
        chance, own = rng.random(), int(rng.integers(2**31))
        more = _WITH_PORTABLE if clutter is Clutter.LEADS and view == "AP" else 1.0
        if view == "LATERAL" and clutter is not Clutter.LEADS:
            continue
        if chance < min(0.9, rates.get(clutter, 0.0) * more):
            pieces.append(Piece(clutter, own))
    return tuple(pieces)


def clutter_layer(canvas: Canvas, anatomy: Anatomy, pieces: tuple[Piece, ...]) -> np.ndarray:
    """Attenuation [h, w] int32 of all pieces together."""
    draw = {
        Clutter.LEADS: _leads,
        Clutter.NIPPLES: _nipples,
        Clutter.SKIN_FOLD: _skin_fold,
        Clutter.COMPANION: _companion,
        Clutter.BRAID: _braid,
        Clutter.BUTTONS: _buttons,
    }
    total = np.zeros((canvas.size, canvas.size), np.int32)
    for piece in pieces:
        total += draw[piece.clutter](canvas, anatomy, np.random.default_rng(piece.seed))
    return total


def _disc(centre: np.ndarray, radius: float) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    return centre + radius * np.stack([np.cos(t), np.sin(t)], axis=1)


def _leads(canvas: Canvas, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Electrodes, each with a wire that leaves the picture."""
    count = int(rng.integers(2, 5))
    wires, pads, snaps = [], [], []
    for index in range(count):
        s = (-1, 1)[index % 2]
        at = np.array([s * rng.uniform(0.12, 0.36), (0.2, 0.24, 0.66, 0.7)[index]])
        at = at + rng.uniform(-0.05, 0.05, 2)
        end = np.array([rng.uniform(0.25, 0.7) * (s if rng.random() < 0.7 else -s), 1.3])
        if rng.random() < 0.3:
            end = np.array([0.75 * s, rng.uniform(0.0, 0.5)])
        between = 0.5 * (at + end) + rng.uniform(-0.13, 0.13, 2)
        wires.append(spline(np.stack([at, 0.7 * at + 0.3 * between, between, end]), 8, False))
        pads.append(_disc(at, 0.016))
        snaps.append(_disc(at, 0.0065))
    lines = canvas.blur(canvas.stroke(wires, 0.0045), 0.0008)
    pad = canvas.blur(canvas.fill(*pads), 0.001)
    return weighted(330, lines) + weighted(90, pad) + weighted(620, canvas.fill(*snaps))


def _nipples(canvas: Canvas, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Small round densities over the lower lungs, often of one side only."""
    sides = SIDES if rng.random() < 0.5 else (SIDES[int(rng.integers(2))],)
    radius = rng.uniform(0.010, 0.015)
    spots = [
        _disc(
            np.array([side.sign * anatomy.half_width * 0.63, anatomy.dome[Side.RIGHT] - 0.085])
            + rng.uniform(-0.02, 0.02, 2),
            radius,
        )
        for side in sides
    ]
    return weighted(230, canvas.blur(canvas.fill(*spots), 0.0022))


def _skin_fold(canvas: Canvas, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """A band that ends in a sharp edge along the lung's outer part; vessels go on beyond it."""
    side = SIDES[int(rng.integers(2))]
    v = np.linspace(rng.uniform(-0.05, 0.1), rng.uniform(0.6, 0.95), 8)
    u = rng.uniform(0.62, 0.8) + rng.uniform(-0.1, 0.25) * (v - 0.4) + 0.03 * np.sin(5 * v)
    edge = spline(anatomy.place(side, u, v), 4, False)
    inner = edge - (side.sign * 0.06, 0.0)
    band = np.concatenate([edge, inner[::-1]])
    near = np.concatenate([edge + (side.sign * 0.03, 0.0), (edge - (side.sign * 0.018, 0))[::-1]])
    return weighted(300, times(canvas.fill(band), canvas.soft_fill(0.02, near)))


def _companion(canvas: Canvas, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Soft stripes along the collar bones, and along the inside of the upper ribs."""
    y = anatomy.apex + 0.05 - rng.uniform(0.022, 0.03)
    line = np.array([(0.10, y + 0.018), (0.20, y - 0.01), (0.29, y - 0.02), (0.36, y - 0.005)])
    stripes = [spline(line * (s, 1), 4, False) for s in (-1, 1)]
    layer = canvas.stroke(stripes, 0.014)
    for side in SIDES:
        rim = anatomy.place(side, 0.965, np.linspace(0.03, rng.uniform(0.2, 0.4), 7))
        layer = canvas.stroke([rim], 0.009, layer)
    return weighted(130, canvas.blur(layer, 0.002))


def _braid(canvas: Canvas, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Strands of hair that fall over one side of the neck and the lung's apex."""
    s = SIDES[int(rng.integers(2))].sign
    x, end = s * rng.uniform(0.09, 0.17), rng.uniform(0.22, 0.36)
    t = np.linspace(0, 1, 9)
    total = np.zeros((canvas.size, canvas.size), np.int32)
    for _ in range(3):
        strands = []
        for _ in range(4):
            wave = 0.010 * np.sin(rng.uniform(12, 20) * t + rng.uniform(0, 6))
            drift = x + s * rng.uniform(-0.01, 0.03) * t + rng.uniform(-0.016, 0.016)
            strands.append(spline(np.stack([drift + wave, -0.1 + (end + 0.1) * t], 1), 4, False))
        total += weighted(75, canvas.blur(canvas.stroke(strands, 0.007), 0.0015))
    return total


def _buttons(canvas: Canvas, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """A row of buttons, two holes in each, or snaps without."""
    count, x = int(rng.integers(2, 5)), rng.uniform(-0.22, 0.22)
    y = rng.uniform(0.18, 0.3) + np.arange(count) * rng.uniform(0.10, 0.16)
    radius = rng.uniform(0.011, 0.016)
    centres = [np.array([x + rng.uniform(-0.012, 0.012), at]) for at in y]
    layer = canvas.fill(*(_disc(c, radius) for c in centres))
    if rng.random() < 0.6:
        holes = [_disc(c + (d, 0), 0.2 * radius) for c in centres for d in (-0.004, 0.004)]
        layer = layer - np.minimum(layer, canvas.fill(*holes))
    return weighted(int(rng.integers(160, 420)), canvas.blur(layer, 0.001))
