"""Soft tissue, gas and vessels as a clinic's pictures show them: the layers of `Detail.LIFELIKE`.

The plain layers of thorax.py are easier to learn from and stay as they are; these add what made
the plain ones easy to tell from a radiograph: a round body, gas below the diaphragm, muscles and
vessels that thin out.
"""

import numpy as np

from data_pipelines.phantom.anatomy import Anatomy, Side
from data_pipelines.phantom.canvas import Canvas, fade, spline, times
from data_pipelines.phantom.thorax import SIDES, breasts, mirrored, weighted


def body(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Attenuation [h, w] int32 of the body as if it had no lungs, arms held away from the chest."""
    edge, neck, slope = anatomy.half_width + anatomy.wall, anatomy.neck, anatomy.shoulder
    trunk = mirrored(
        [(neck * 0.92, -0.3), (neck, -0.01), (neck * 1.4, 0.045), (0.25, 0.055 + slope * 0.45)]
        + [(0.40, 0.06 + slope * 0.85), (0.50, 0.10 + slope), (edge + 0.06, 0.24 + slope)]
        + [(edge + 0.02, 0.47), (edge, 0.60), (edge + 0.006, 0.8), (edge + 0.03, 1.4)]
    )
    arm = np.array([(0.42, 0.05 + slope), (0.55, 0.08 + slope), (0.72, 0.18 + slope), (0.95, 0.45)])
    arm = np.concatenate([arm, [(0.86, 0.62), (0.62, 0.36 + slope), (0.47, 0.25 + slope)]])
    outlines = [spline(trunk, 4), spline(arm, 4), spline(arm * (-1, 1), 4)]
    sharp = canvas.blur(canvas.fill(*outlines), 0.003)
    tissue = weighted(620, sharp) + weighted(560, times(sharp, canvas.soft_fill(0.03, *outlines)))
    tissue += weighted(820, times(sharp, canvas.soft_fill(0.085, spline(trunk, 4))))
    dome = {side: anatomy.diaphragm(side) for side in SIDES}
    abdomen = np.concatenate([dome[Side.RIGHT], dome[Side.LEFT][::-1]])
    abdomen = np.concatenate([abdomen, [(0.7, 0.9), (0.7, 1.4), (-0.7, 1.4), (-0.7, 0.9)]])
    tissue += weighted(300, times(canvas.soft_fill(0.035, abdomen), sharp))
    tissue += _muscles(canvas, anatomy)
    if anatomy.breast:
        tissue += weighted(300, breasts(canvas, anatomy))
    tissue += flesh(canvas, anatomy, sharp)
    return (tissue * round(256 * anatomy.thickness)) >> 8


def flesh(canvas: Canvas, anatomy: Anatomy, outline: np.ndarray) -> np.ndarray:
    """Unevenness [h, w] int32 of fat and muscle, where the body's coverage is."""
    rng = np.random.default_rng([anatomy.detail_seed, 10])
    uneven = canvas.texture(rng, (19, 43, 89, 173)).astype(np.int32) - 128
    return (uneven * outline) >> 8


def _muscles(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """The pectoral fold across the upper lungs and the strip of muscle beside the neck."""
    edge, top = anatomy.half_width + anatomy.wall, anatomy.apex + 0.08
    fold = np.array([(0.13, top + 0.05), (0.34, top), (edge + 0.02, 0.34), (0.36, 0.46)])
    fold = spline(np.concatenate([fold, [(0.22, 0.40)]]), 4)
    strap = np.array([(0.0, -0.2), (0.075, -0.2), (0.10, anatomy.apex - 0.01), (0.13, top - 0.02)])
    strap = np.concatenate([strap, [(0.03, top + 0.02)]])
    both = [fold, fold * (-1, 1)]
    straps = [strap, strap * (-1, 1)]
    return weighted(120, canvas.soft_fill(0.022, *both)) + weighted(
        110, canvas.soft_fill(0.02, *straps)
    )


def core(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Attenuation [h, w] int32 of what lies behind the breastbone, densest along the midline.

    The healthy heart's share is in it; an enlarged one adds its own by displacing air.
    """
    x = -anatomy.twist
    column = np.array([(-0.045, 0.2), (0.045, 0.2), (0.075, 0.5), (0.10, 1.3), (-0.10, 1.3)])
    column = np.concatenate([column, [(-0.075, 0.5)]]) + (x, 0.0)
    layer = weighted(190, canvas.soft_fill(0.035, column))
    return layer + weighted(110, canvas.soft_fill(0.04, anatomy.heart()))


def gas(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Attenuation [h, w] int32 that air in stomach and bowel takes away."""
    rng = np.random.default_rng([anatomy.detail_seed, 3])
    width, top = anatomy.bubble, anatomy.dome[Side.LEFT]
    total = np.zeros((canvas.size, canvas.size), np.int32)
    if width:
        t = np.linspace(0, 2 * np.pi, 9, endpoint=False)
        rough = 1 + rng.uniform(-0.16, 0.16, 9)
        shape = np.stack([width * 1.15 * np.cos(t), 0.62 * width * np.sin(t)], 1) * rough[:, None]
        at = np.array([rng.uniform(0.13, 0.20), top + 0.045 + 0.45 * width])
        bubble = canvas.blur(canvas.fill(spline(at + shape, 4)), 0.007)
        folds = at + np.stack([rng.uniform(-1, 1, (4, 3)) * width, rng.uniform(-0.4, 0.6, (4, 3))
                               * width], 2)  # fmt: skip
        wrinkles = canvas.blur(
            canvas.stroke([spline(f, 4, closed=False) for f in folds], 0.005), 0.002
        )
        total += weighted(380, bubble) - weighted(70, times(wrinkles, bubble))
    if rng.random() < 0.35:
        count = int(rng.integers(2, 5))
        x = 0.30 - np.cumsum(rng.uniform(0.035, 0.07, count))
        y = top + 0.12 + 0.05 * np.abs(np.arange(count) - 1) * rng.uniform(0.4, 1.1)
        t = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        loops = [
            spline(np.stack([a + r * np.cos(t), b + 0.85 * r * np.sin(t)], 1), 3)
            for a, b, r in zip(x, y, rng.uniform(0.018, 0.045, count), strict=True)
        ]
        total += weighted(230, canvas.blur(canvas.fill(*loops), 0.009))
    return total


def vessels(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Coverage of the pulmonary vessels: short branches, many at the hilum, most going down."""
    rng = np.random.default_rng([anatomy.detail_seed, 4])
    stems = np.array([-1.15, -0.75, -0.35, 0.1, 0.5, 0.85, 1.1, 1.35])
    sign = np.repeat([-1.0, 1.0], len(stems))
    heading = np.tile(stems, 2) + rng.uniform(-0.2, 0.2, len(sign))
    reach = 0.058 + 0.02 * np.sin(heading) + rng.uniform(-0.015, 0.015, len(sign))
    lift = np.where(sign < 0, 0.02, -0.005)
    start = np.stack([sign * 0.088, anatomy.hilum + 0.01 + lift + 0.03 * np.sin(heading)], axis=1)
    layer = canvas.empty()
    for width in (0.0135, 0.0080, 0.0048, 0.0028, 0.0014):
        count = len(heading)
        bend = rng.uniform(-0.35, 0.35, count)
        angle = heading[:, None] + bend[:, None] * np.linspace(0, 1, 3)
        step = np.stack([sign[:, None] * np.cos(angle), np.sin(angle)], axis=2)
        path = np.cumsum(step * (reach / 3)[:, None, None], axis=1) + start[:, None]
        layer = canvas.stroke(list(np.concatenate([start[:, None], path], axis=1)), width, layer)
        # Two branches from the end of each, and every second gives one more from its middle.
        spread = rng.uniform(0.2, 0.55, count)
        heading = np.concatenate(
            [angle[:, -1] + spread, angle[:, -1] - spread, angle[::2, 1] + 0.7]
        )
        start = np.concatenate([path[:, 2], path[:, 2], path[::2, 1]])
        reach = np.concatenate([reach, reach, reach[::2]])
        reach = reach * rng.uniform(0.68, 0.98, len(reach))
        sign = np.concatenate([sign, sign, sign[::2]])
    h = anatomy.hilum
    right = spline(np.array([(-0.075, h - 0.03), (-0.098, h + 0.02), (-0.112, h + 0.11)]), 5, False)
    left = spline(np.array([(0.07, h - 0.005), (0.10, h - 0.02), (0.118, h + 0.075)]), 5, False)
    trunks = canvas.blur(canvas.stroke([right, left], 0.030), 0.006)
    haze = canvas.soft_fill(0.03, np.concatenate([right - (0.03, 0), right[::-1] + (0.04, 0)]),
                            np.concatenate([left - (0.04, 0), left[::-1] + (0.03, 0)]))  # fmt: skip
    near = np.maximum(trunks, fade(haze, 0.8))
    return np.maximum(fade(canvas.blur(layer, 0.0022), 0.56), near)
