"""Drawing on small 8-bit layers in unit coordinates, the same bytes on every machine.

Layers are uint8 coverage (0..255) and all filters work on integers: OpenCV's float filters round
differently with the processor's vector width, which flips a pixel now and then after rounding.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of OpenCV's polygon coordinates


@dataclasses.dataclass(frozen=True)
class Canvas:
    """A square layer of `size` pixels onto which unit coordinates are posed.

    Attributes:
      size: side in pixels.
      angle: rotation of the patient in radians, positive turns the head to the image's right.
      scale: magnification about the centre.
      shift: (x, y) in unit coordinates.
    """

    size: int
    angle: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def coarse(self) -> "Canvas":
        """The same pose at a quarter of the resolution, for layers that are blurred anyway."""
        return dataclasses.replace(self, size=max(16, self.size // 4))

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Unit coordinates [..., 2] -> pixel coordinates; a pixel's centre is a whole number.

        x is measured from the patient's midline: 0 is the middle of the image.
        """
        x, y = points[..., 0] * self.scale, (points[..., 1] - 0.5) * self.scale
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        posed = np.empty(points.shape)
        posed[..., 0] = (cos * x - sin * y + (0.5 + self.shift[0])) * self.size - 0.5
        posed[..., 1] = (sin * x + cos * y + (0.5 + self.shift[1])) * self.size - 0.5
        return posed

    def _fixed(self, shapes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Shapes of [n, 2] in OpenCV's fixed point, all posed at once."""
        posed = self.pixels(np.concatenate(shapes)) * (1 << _SHIFT)
        fixed = np.rint(posed).astype(np.int32)
        ends = list(itertools.accumulate(len(shape) for shape in shapes))
        return [fixed[end - len(shape) : end] for shape, end in zip(shapes, ends, strict=True)]

    def empty(self) -> np.ndarray:
        return np.zeros((self.size, self.size), np.uint8)

    def fill(self, *polygons: np.ndarray) -> np.ndarray:
        """Coverage of closed polygons, each [n, 2]; where two overlap the later covers."""
        layer = self.empty()
        for polygon in self._fixed(polygons):
            cv2.fillPoly(layer, [polygon], 255, cv2.LINE_AA, _SHIFT)
        return layer

    def stroke(
        self, lines: Sequence[np.ndarray], width: float, layer: np.ndarray | None = None
    ) -> np.ndarray:
        """Coverage of open lines, each [n, 2], `width` in unit coordinates.

        Lines thinner than a pixel are drawn one pixel wide and fainter.
        """
        layer = self.empty() if layer is None else layer
        wanted = width * self.scale * self.size
        thickness = max(1, round(wanted))
        value = min(255, max(40, round(255 * wanted / thickness)))
        cv2.polylines(layer, self._fixed(lines), False, value, thickness, cv2.LINE_AA, _SHIFT)
        return layer

    def blur(self, layer: np.ndarray, sigma: float) -> np.ndarray:
        """Gaussian blur, sigma in unit coordinates; less than a third of a pixel is left alone."""
        pixels = sigma * self.scale * self.size
        return layer if pixels < 0.34 else cv2.GaussianBlur(layer, (0, 0), pixels)

    def enlarge(self, layer: np.ndarray) -> np.ndarray:
        """A coarse layer at this canvas's size."""
        size = (self.size, self.size)
        return cv2.resize(layer, size, interpolation=cv2.INTER_LINEAR_EXACT)

    def soft_fill(self, sigma: float, *polygons: np.ndarray) -> np.ndarray:
        """`fill` with a wide blur (sigma at least about 0.02), made at a quarter of the size."""
        coarse = self.coarse()
        return self.enlarge(coarse.blur(coarse.fill(*polygons), sigma))

    def texture(self, rng: np.random.Generator, cells: tuple[int, ...]) -> np.ndarray:
        """Smooth noise around 128: a sum of octaves, each a grid of `cells` x `cells` values."""
        total = np.zeros((self.size, self.size), np.int32)
        for count in cells:
            grid = np.frombuffer(rng.bytes(count * count), np.uint8).reshape(count, count)
            total += self.enlarge(grid) if count < self.size else _shrink(grid, self.size)
        return (total // len(cells)).astype(np.uint8)


def _shrink(grid: np.ndarray, size: int) -> np.ndarray:
    index = np.arange(size) * grid.shape[0] // size
    return grid[index][:, index]


def times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Product of two coverages, 255 being one."""
    return cv2.multiply(a, b, scale=1 / 255)


def fade(layer: np.ndarray, factor: float) -> np.ndarray:
    """A coverage times a number in 0..1."""
    return ((layer.astype(np.int32) * round(256 * factor)) >> 8).astype(np.uint8)


def firm(layer: np.ndarray, floor: int) -> np.ndarray:
    """A soft coverage without its faint tail: `floor` and below become 0, full stays full."""
    table = np.rint(np.maximum(np.arange(256) - floor, 0) * 255 / (255 - floor)).astype(np.uint8)
    return table[layer]


def spline(points: np.ndarray, steps: int = 6, closed: bool = True) -> np.ndarray:
    """Catmull-Rom curve [m, 2] through the points [n, 2]."""
    points = np.asarray(points, np.float64)
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        first, last = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
        padded = np.concatenate([first[None], points, last[None]])
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    curve = 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])
