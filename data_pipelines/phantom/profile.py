"""A phantom patient seen from the side: the curves of the lateral view and its healthy layers.

The patient looks to the image's left, as most departments hang it: x < 0 is the front. Heights are
those of the frontal view, so that a finding lies as high in one view as in the other.
"""

import dataclasses
import functools

import numpy as np

from data_pipelines.phantom.anatomy import Anatomy, Side
from data_pipelines.phantom.canvas import Canvas, fade, spline, times
from data_pipelines.phantom.lifelike import flesh
from data_pipelines.phantom.thorax import SIDES, weighted

_FRONT = ((-0.02, 0.0), (-0.10, 0.07), (-0.19, 0.25), (-0.245, 0.48), (-0.27, 0.74), (-0.28, 1.1))
_BACK = ((0.03, 0.0), (0.115, 0.07), (0.205, 0.25), (0.25, 0.48), (0.262, 0.74), (0.25, 1.3))


@dataclasses.dataclass(frozen=True)
class Profile:
    """Curves of one patient from the side, in unit coordinates from the middle of the chest."""

    anatomy: Anatomy

    @functools.cached_property
    def depth(self) -> float:
        """Chest depth, 1 being average; a barrel chest is deep."""
        own = np.random.default_rng([self.anatomy.detail_seed, 7]).uniform(0.88, 1.14)
        return float(own)

    def _height(self, y: np.ndarray | float) -> np.ndarray:
        top = self.anatomy.apex
        return (np.asarray(y) - top) / (self.anatomy.dome[Side.RIGHT] - top)

    def front(self, y: np.ndarray | float) -> np.ndarray:
        """x of the lung's front border at height y."""
        x, v = np.array(_FRONT).T
        return self.depth * np.interp(self._height(y), v, x)

    def back(self, y: np.ndarray | float) -> np.ndarray:
        """x of the lung's back border at height y."""
        x, v = np.array(_BACK).T
        return self.depth * np.interp(self._height(y), v, x)

    def place(self, u: np.ndarray | float, v: np.ndarray | float) -> np.ndarray:
        """Lung coordinates -> unit coordinates [n, 2]: u 0 front..1 back, v 0 apex..1 dome."""
        u, v = np.broadcast_arrays(np.atleast_1d(u), np.atleast_1d(v))
        y = self.anatomy.apex + v * (self.anatomy.dome[Side.RIGHT] - self.anatomy.apex)
        front, back = self.front(y), self.back(y)
        return np.stack([front + u * (back - front), y], axis=1)

    def diaphragm(self, side: Side) -> np.ndarray:
        """The dome from the sternum to the deep angle behind, [n, 2]."""
        q = np.linspace(0.0, 1.0, 16)
        top = self.anatomy.dome[side]
        y = top + np.where(q < 0.36, 0.45 * (0.36 - q) ** 2, 0.42 * np.abs(q - 0.36) ** 2.1)
        front, back = float(self.front(y[0])), float(self.back(y[-1]))
        return np.stack([front + q * (back - front), y], axis=1)

    def lung(self, side: Side) -> np.ndarray:
        """Closed outline of one lung, [n, 2]."""
        dome = self.diaphragm(side)
        down = self.anatomy.apex + (dome[0, 1] - self.anatomy.apex) * np.linspace(0, 1, 14) ** 1.5
        up = self.anatomy.apex + (dome[-1, 1] - self.anatomy.apex) * np.linspace(1, 0, 14) ** 1.5
        front = np.stack([self.front(down), down], axis=1)[:-1]
        return np.concatenate([front, dome, np.stack([self.back(up), up], axis=1)[1:]])

    def heart(self, enlargement: float) -> np.ndarray:
        """Closed outline of the heart on the front of the diaphragm, [n, 2]."""
        grow = 0.9 + 2.2 * enlargement
        t = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        bottom = self.anatomy.dome[Side.LEFT] + 0.02
        radii = np.array([0.128 * grow * self.depth, 0.142 * grow])
        ring = np.stack([np.cos(t), np.sin(t)], axis=1) * radii
        ring[:, 0] -= 0.28 * ring[:, 1]  # it leans forwards
        front = float(self.front(bottom - radii[1]))
        return spline(ring + (front + 0.96 * radii[0] + 0.03, bottom - radii[1]), 3)

    @functools.cached_property
    def spine(self) -> np.ndarray:
        """Middle line of the vertebral bodies, [n, 2]."""
        y = np.linspace(-0.1, 1.1, 20)
        return np.stack([self.back(y) - 0.075 * self.depth - 0.02 * np.cos(4 * (y - 0.35)), y], 1)


def body(canvas: Canvas, profile: Profile) -> np.ndarray:
    """Attenuation [h, w] int32 of the trunk, as if it had no lungs; the arms are raised."""
    anatomy, wall = profile.anatomy, 0.5 * profile.anatomy.wall
    y = np.linspace(anatomy.apex + 0.02, 1.35, 16)
    bust = 0.7 * anatomy.breast * np.exp(-(((y - anatomy.dome[Side.RIGHT] + 0.10) / 0.11) ** 2))
    front = np.stack([profile.front(y) - 0.035 - wall - bust, y], axis=1)
    back = np.stack([profile.back(y) + 0.055 + wall, y], axis=1)
    neck = np.array([(-0.05, -0.3), (-0.06, anatomy.apex - 0.06)])
    nape = np.array([(0.19, anatomy.apex - 0.03), (0.12, -0.3)])
    outline = spline(np.concatenate([neck, front, back[::-1], nape]), 3)
    arm = np.array([(-0.12, -0.2), (-0.06, 0.10), (0.02, 0.22), (0.13, 0.20), (0.20, 0.0)])
    arm = spline(np.concatenate([arm, [(0.22, -0.2)]]), 4)
    sharp = canvas.blur(canvas.fill(outline, arm), 0.003)
    tissue = weighted(700, sharp) + weighted(760, times(sharp, canvas.soft_fill(0.04, outline)))
    tissue += weighted(820, times(sharp, canvas.soft_fill(0.085, outline)))
    tissue += weighted(330, canvas.blur(canvas.fill(arm), 0.01))
    abdomen = np.concatenate([profile.diaphragm(Side.RIGHT), [(0.5, 1.3), (-0.5, 1.3)]])
    tissue += weighted(280, times(canvas.soft_fill(0.03, abdomen), sharp))
    tissue += flesh(canvas, anatomy, sharp)
    return (tissue * round(256 * anatomy.thickness)) >> 8


def lungs(canvas: Canvas, profile: Profile) -> dict[Side, np.ndarray]:
    """Side -> coverage of the lung; the two lie over each other."""
    return {side: canvas.blur(canvas.fill(profile.lung(side)), 0.003) for side in SIDES}


def great_vessels(canvas: Canvas, profile: Profile, widening: float) -> np.ndarray:
    """Coverage of the aortic arch and what lies before the windpipe; only that widens."""
    layer = canvas.stroke([_arch(profile)], 0.05)
    return canvas.blur(np.maximum(layer, canvas.fill(mediastinum(profile, widening))), 0.008)


def _arch(profile: Profile) -> np.ndarray:
    h = profile.anatomy.hilum
    way = [(-0.07, h + 0.02), (-0.05, h - 0.085), (0.03, h - 0.115), (0.10, h - 0.05)]
    return spline(np.array([*way, (0.135, h + 0.10), (0.15, 0.85)]) * (profile.depth, 1), 5, False)


def mediastinum(profile: Profile, widening: float) -> np.ndarray:
    """Closed outline of the upper mediastinum; widened, it fills the space behind the sternum."""
    h, d = profile.anatomy.hilum, profile.depth
    ahead = -0.075 - 0.075 * widening
    upper = [(-0.04, -0.1), (-0.045 - 0.02 * widening, profile.anatomy.apex + 0.06)]
    upper += [
        (ahead, 0.5 * (profile.anatomy.apex + h) + 0.02),
        (ahead, h - 0.03),
        (-0.07, h + 0.08),
    ]
    return spline(np.array([*upper, (0.02, h + 0.06), (0.03, h - 0.1), (0.02, -0.1)]) * (d, 1), 4)


def mediastinum_band(canvas: Canvas, profile: Profile, widening: float) -> np.ndarray:
    """Coverage of the widened upper mediastinum below the neck, where its border has moved."""
    outline = mediastinum(profile, widening)
    return canvas.blur(canvas.fill(outline[outline[:, 1] > 0.02]), 0.006)


def heart(canvas: Canvas, profile: Profile, enlargement: float) -> np.ndarray:
    """Coverage of the heart, whose border is nowhere sharp from the side."""
    return canvas.blur(canvas.fill(profile.heart(enlargement)), 0.012)


def airway(canvas: Canvas, profile: Profile) -> np.ndarray:
    """Coverage of the windpipe, and of the left main bronchus seen end on."""
    h, d = profile.anatomy.hilum, profile.depth
    tube = np.array([(-0.01, -0.1), (0.012, 0.12), (0.04, h - 0.03)]) * (d, 1)
    layer = canvas.stroke([spline(tube, 6, False)], 0.034)
    t = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    ring = np.array([0.045 * d, h + 0.035]) + 0.014 * np.stack([np.cos(t), np.sin(t)], 1)
    return canvas.blur(np.maximum(layer, canvas.fill(ring)), 0.004)


def vessels(canvas: Canvas, profile: Profile) -> np.ndarray:
    """Coverage of both lungs' vessels, which fan out from one hilum."""
    rng = np.random.default_rng([profile.anatomy.detail_seed, 8])
    count = 22
    heading = np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.uniform(-0.15, 0.15, count)
    start = np.tile([0.03 * profile.depth, profile.anatomy.hilum + 0.03], (count, 1))
    reach = rng.uniform(0.05, 0.09, count)
    layer = canvas.empty()
    for width in (0.011, 0.006, 0.0034, 0.0018):
        bend = heading[:, None] + rng.uniform(-0.4, 0.4, len(heading))[:, None] * [0, 0.5, 1]
        step = np.stack([np.cos(bend), np.sin(bend)], axis=2) * (reach / 3)[:, None, None]
        path = start[:, None] + np.cumsum(step, axis=1)
        layer = canvas.stroke(list(np.concatenate([start[:, None], path], axis=1)), width, layer)
        spread = rng.uniform(0.2, 0.5, len(heading))
        heading = np.concatenate([bend[:, -1] + spread, bend[:, -1] - spread])
        start, reach = np.tile(path[:, -1], (2, 1)), np.tile(reach, 2) * 0.85
    core = spline(start[:1] * 0 + _ring(profile), 3)
    return np.maximum(fade(canvas.blur(layer, 0.0025), 0.4), canvas.soft_fill(0.025, core))


def _ring(profile: Profile) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    centre = np.array([0.03 * profile.depth, profile.anatomy.hilum + 0.04])
    return centre + np.stack([0.045 * np.cos(t), 0.055 * np.sin(t)], axis=1)


def rib(profile: Profile, index: int, near: bool) -> np.ndarray:
    """Middle line [n, 2] of a rib, from behind the spine forwards and down; both sides are seen."""
    anatomy = profile.anatomy
    a = np.linspace(0.0, 1.0, 14)
    y0 = anatomy.apex + 0.02 + index * anatomy.rib_spacing - (0.0 if near else 0.012)
    back = float(profile.back(y0)) + (0.028 if near else 0.016)
    drop = anatomy.rib_slope * (0.13 + 0.012 * index)
    y = y0 + drop * a**1.3
    front = profile.front(y[-1]) - 0.005
    return np.stack([back + (front - back) * a, y - 0.02 * np.sin(np.pi * a)], axis=1)


def bones(canvas: Canvas, profile: Profile, air: np.ndarray) -> np.ndarray:
    """Attenuation [h, w] int32 of ribs, spine, sternum and shoulder blades."""
    lines = [rib(profile, index, near) for index in range(9) for near in (True, False)]
    edges = [line + (0, d) for line in lines for d in (-0.008, 0.008)]
    ribs = weighted(100, canvas.blur(canvas.stroke(lines, 0.017), 0.003))
    ribs += weighted(80, canvas.blur(canvas.stroke(edges, 0.0035), 0.0015))
    bone = (ribs * (60 + (air >> 1) + (air >> 2).astype(np.int32))) >> 8
    middle, bodies, plates = profile.spine, [], []
    y = 0.0
    while y < 1.05:
        height = 0.040 + 0.018 * y
        x = float(np.interp(y + height / 2, middle[:, 1], middle[:, 0]))
        half = 0.029 + 0.010 * y
        corners = np.array([(x - half, y), (x + half, y), (x + half, y + height)])
        corners = np.concatenate([corners, [(x - half, y + height)]])
        bodies.append(corners)
        plates += [corners[:2], corners[2:], corners[[0, 3]]]
        y += height + 0.012
    column = np.concatenate([middle - (0.03, 0), (middle + (0.06, 0))[::-1]])
    bone += weighted(150, canvas.blur(canvas.fill(column), 0.01))
    bone += weighted(130, canvas.blur(canvas.fill(*bodies), 0.003))
    bone += weighted(110, canvas.blur(canvas.stroke(plates, 0.005), 0.002))
    y = np.linspace(profile.anatomy.apex + 0.07, profile.anatomy.dome[Side.RIGHT] - 0.08, 10)
    breastbone = np.stack([profile.front(y) - 0.016, y], axis=1)
    bone += weighted(260, canvas.blur(canvas.stroke([breastbone], 0.016), 0.0025))
    top = profile.anatomy.apex
    blades = [np.array([(0.13 + s, top + 0.02), (0.185 + s, top + 0.13), (0.215 + s, top + 0.27)])
              for s in (0.0, 0.022)]  # fmt: skip
    blades = [spline(blade * (profile.depth, 1), 4, False) for blade in blades]
    return bone + weighted(230, canvas.blur(canvas.stroke(blades, 0.008), 0.002))
