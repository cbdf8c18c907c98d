"""How a study was taken: the patient's pose, the window, noise, collimation and side marker."""

import dataclasses

import numpy as np

from data_pipelines.phantom.canvas import Canvas


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

    def canvas(self, size: int) -> Canvas:
        return Canvas(size, self.angle, self.scale, self.shift)


def sample_exposure(seed: int, patient: int, study: int, view: str) -> Exposure:
    """The technique of one study; a portable (AP) one is less centred and has more noise."""
    rng = np.random.default_rng([seed, patient, study, 103])
    portable = view == "AP"
    loose = 1.6 if portable else 1.0
    marker = ("", "L", "R")[int(rng.choice(3, p=(0.25, 0.5, 0.25)))]
    x = rng.uniform(0.83, 0.89) if marker == "L" else rng.uniform(0.07, 0.12)
    borders = rng.uniform(0.01, 0.07, 4) * (rng.random(4) < (0.35 if portable else 0.15))
    return Exposure(
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


def grain(exposure: Exposure, size: int) -> np.ndarray:
    """Noise [size, size] int32 in attenuation; the sum of four bytes is near enough to a normal."""
    rng = np.random.default_rng(exposure.noise_seed)
    count = size * size
    noise = np.frombuffer(rng.bytes(4 * count), np.uint8).reshape(4, size, size)
    total = noise.sum(axis=0, dtype=np.int32) - 510  # standard deviation 147.8
    # Averaging over larger pixels makes a small image's noise weaker, though less than physics
    # would have it: real small images are sharpened.
    level = exposure.grain * (size / 256) ** 0.5
    return (total * round(256 * level / 147.8)) >> 8


def develop(exposure: Exposure, attenuation: np.ndarray) -> np.ndarray:
    """Attenuation [h, w] int32 -> grey levels [h, w] uint8, with border and marker."""
    size = attenuation.shape[0]
    ramp = (np.arange(size) * 2 - size) * 128 // size
    x, y = exposure.tilt
    total = attenuation + ((ramp * x)[None, :] >> 8) + ((ramp * y)[:, None] >> 8)
    total += grain(exposure, size)
    levels = np.arange(4096, dtype=np.float64)
    curve = 1 / (1 + np.exp(-(levels - exposure.centre) / exposure.width))
    floor = 1 / (1 + np.exp(exposure.centre / exposure.width))
    curve = (curve - floor) / (1 - floor)
    table = np.rint(exposure.black + (exposure.white - exposure.black) * curve).astype(np.uint8)
    pixels = table[np.clip(total, 0, 4095)]
    if exposure.marker:
        pixels = np.maximum(pixels, _stamp(exposure, size))
    left, top, right, bottom = (round(b * size) for b in exposure.border)
    pixels[:top], pixels[size - bottom :] = 0, 0
    pixels[:, :left], pixels[:, size - right :] = 0, 0
    return pixels


# Strokes of the letters, (x, y) in letter heights. OpenCV's own letters change with its version.
_LETTERS = {
    "L": (((0.0, 0.0), (0.0, 1.0), (0.55, 1.0)),),
    "R": (
        ((0.0, 1.0), (0.0, 0.0), (0.4, 0.0), (0.58, 0.12), (0.58, 0.4), (0.4, 0.52), (0.0, 0.52)),
        ((0.3, 0.52), (0.6, 1.0)),
    ),
}


def _stamp(exposure: Exposure, size: int) -> np.ndarray:
    """Coverage of the side marker, which lies on the plate and does not turn with the patient."""
    corner = np.asarray(exposure.marker_at) - (0.5, 0.045)
    strokes = [corner + 0.045 * np.array(line) for line in _LETTERS[exposure.marker]]
    return Canvas(size).stroke(strokes, 0.007)
