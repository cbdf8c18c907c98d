"""How a study was taken: pose, window, scatter, noise, collimation and markers."""

import dataclasses
import enum
import math

import numpy as np

from data_pipelines.phantom.canvas import Canvas
from data_pipelines.phantom.clutter import Piece

E_FOLD = 600  # attenuation that lets one ray in 2.718 through
_REACH = 0.40  # of the largest lungs from the middle of the picture, to the side and upwards


@dataclasses.dataclass(frozen=True)
class Exposure:
    """One study's technique.

    Attributes:
      angle, scale, shift: pose of the patient, see Canvas.
      centre, width: attenuation shown as middle grey, and how much contrast there is about it.
      black, white: grey levels of the window's ends.
      tilt: change of attenuation from left to right and from top to bottom.
      grain: standard deviation of the noise, in attenuation.
      border: fraction of the side cut off black on each side (left, top, right, bottom).
      marker: "L", "R" or "" burnt in by the technologist, at its own side.
      marker_at: (x, y) in unit coordinates of the image.
      noise_seed: of the grain.
      marker_size: height of the letters, in unit coordinates.
      note: a word burnt in beside the marker, such as "AP".
      scatter: scattered rays over direct ones, behind an average chest. A grid lowers it.
      quantum: how much of the grain grows where few rays arrive, 0..1.
      grid_lines: amplitude of the grid's shadow, in attenuation.
      gamma: power of the grey curve.
      sharpen: of the scanner's edge enhancement, 0..2; below 0 it blurs, by so many thousandths
        of the side.
      clutter: what lies on the picture and is no finding.
    """

    angle: float
    scale: float
    shift: tuple[float, float]
    centre: float
    width: float
    black: int
    white: int
    tilt: tuple[int, int]
    grain: float
    border: tuple[float, float, float, float]
    marker: str
    marker_at: tuple[float, float]
    noise_seed: int
    marker_size: float = 0.045
    note: str = ""
    scatter: float = 0.0
    quantum: float = 0.0
    grid_lines: float = 0.0
    gamma: float = 1.0
    sharpen: float = 0.0
    clutter: tuple[Piece, ...] = ()

    def canvas(self, size: int) -> Canvas:
        return Canvas(size, self.angle, self.scale, self.shift)


class Scanner(enum.Enum):
    """Whose pictures these are.

    PLAIN has no scatter and even noise. CLINIC is one hospital's. ELSEWHERE is another's, for
    tests under a shift of domain: coarser detectors, stronger noise, other windows.
    """

    PLAIN = "plain"
    CLINIC = "clinic"
    ELSEWHERE = "elsewhere"


def sample_exposure(
    seed: int, patient: int, study: int, view: str, scanner: Scanner = Scanner.PLAIN
) -> Exposure:
    """The technique of one image; a portable (AP) one is less centred and has more noise."""
    own, more = (139, 149) if view == "LATERAL" else (103, 131)
    rng = np.random.default_rng([seed, patient, study, own])
    portable = view == "AP"
    loose = 1.6 if portable else 1.0
    marker = ("", "L", "R")[int(rng.choice(3, p=(0.25, 0.5, 0.25)))]
    x = rng.uniform(0.83, 0.89) if marker == "L" else rng.uniform(0.07, 0.12)
    borders = rng.uniform(0.01, 0.07, 4) * (rng.random(4) < (0.35 if portable else 0.15))
    plain = Exposure(
        angle=float(rng.normal(0, 0.022 * loose)),
        scale=float(rng.uniform(0.92, 1.13)),
        shift=(float(rng.normal(0, 0.017 * loose)), float(rng.normal(-0.005, 0.020 * loose))),
        centre=float(rng.uniform(1250, 1750)),
        width=float(rng.uniform(360, 640)),
        black=int(rng.integers(0, 30)),
        white=int(rng.integers(205, 256)),
        tilt=(int(rng.normal(0, 90)), int(rng.normal(0, 110))),
        grain=float(rng.uniform(14, 60) * (1.4 if portable else 1.0)),
        border=tuple(float(b) for b in borders),
        marker=marker,
        marker_at=(float(x), float(rng.uniform(0.07, 0.16))),
        noise_seed=int(rng.integers(2**31)),
    )
    if scanner is Scanner.PLAIN:
        return plain
    rng = np.random.default_rng([seed, patient, study, more])
    return (_clinic if scanner is Scanner.CLINIC else _elsewhere)(plain, view, rng)


_NOTES = {"AP": ("AP",), "PA": ("PA", "ERECT"), "LATERAL": ("LAT", "ERECT")}


def _clinic(plain: Exposure, view: str, rng: np.random.Generator) -> Exposure:
    """Portables are taken without a grid, and so with more scatter."""
    portable = view == "AP"
    scatter = float(rng.uniform(0.5, 1.1) if portable else rng.uniform(0.12, 0.45))
    noted, notes = rng.random() >= 0.6, _NOTES[view]
    note = notes[int(rng.integers(len(notes)))] if noted else ""
    picture = dataclasses.replace(
        plain,
        scatter=scatter,
        centre=float(rng.uniform(1340, 1900) - 0.85 * E_FOLD * math.log1p(scatter)),
        width=float(rng.uniform(360, 600) / (1 + 0.3 * scatter)),
        black=int(rng.integers(0, 35)),
        white=int(rng.integers(200, 256)),
        grain=float(rng.uniform(8, 26) * (1.4 if portable else 1.0)),
        quantum=float(rng.uniform(0.5, 1.0)),
        gamma=float(rng.uniform(0.8, 1.3)),
        sharpen=float(max(0.0, rng.uniform(-0.3, 1.8))),
        marker_size=float(rng.uniform(0.026, 0.05)),
        note=note,
    )
    return _posed(picture, 1.6 if portable else 1.0, rng)


def _posed(picture: Exposure, loose: float, rng: np.random.Generator) -> Exposure:
    """The patient anywhere that leaves all but a rim of the lungs in the picture.

    Where every body lies in the same place, a linear probe on a thumbnail finds most of what there
    is, and on radiographs it does not.
    """
    scale = float(np.clip(picture.scale * rng.uniform(0.94, 1.20), 0.85, 1.20))
    farthest = min(0.12, 0.53 - _REACH * scale)
    shift = np.array(picture.shift) + rng.normal(0, 0.042 * loose, 2)
    x, y = shift.clip(-farthest, farthest)
    angle = float(np.clip(picture.angle + rng.normal(0, 0.05 * loose), -0.16, 0.16))
    return dataclasses.replace(picture, scale=scale, shift=(float(x), float(y)), angle=angle)


def _elsewhere(plain: Exposure, view: str, rng: np.random.Generator) -> Exposure:
    """Another maker's detector: blurred, noisy, its grid seen, windows and gamma of its own."""
    near = _clinic(plain, view, rng)
    return dataclasses.replace(
        near,
        scatter=near.scatter * 1.6,
        centre=near.centre + float(rng.uniform(-420, -120)),
        width=near.width * float(rng.uniform(1.3, 1.9)),
        black=int(rng.integers(20, 70)),
        white=int(rng.integers(170, 225)),
        grain=near.grain * float(rng.uniform(2.2, 3.6)),
        grid_lines=float(rng.uniform(0, 60)),
        gamma=float(rng.uniform(1.3, 2.0)),
        sharpen=float(rng.uniform(-5.0, -2.0)),
        marker_size=float(rng.uniform(0.05, 0.07)),
    )
