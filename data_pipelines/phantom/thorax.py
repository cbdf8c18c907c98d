"""The layers of a healthy chest. Attenuations are in steps of a 12-bit detector, air being 0."""

import numpy as np

from data_pipelines.phantom.anatomy import Anatomy, Side
from data_pipelines.phantom.canvas import Canvas, spline, times

SIDES = (Side.RIGHT, Side.LEFT)


def mirrored(half: list[tuple[float, float]]) -> np.ndarray:
    """A closed outline from its half on the image's right, top to bottom."""
    right = np.asarray(half)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def weighted(weight: int, layer: np.ndarray) -> np.ndarray:
    """Attenuation [h, w] int32 of a coverage."""
    return (layer.astype(np.int32) * weight) >> 8


def soft_tissue(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Attenuation [h, w] int32 of the body as if it had no lungs: trunk, neck, arms, breasts."""
    edge, neck, slope = anatomy.half_width + anatomy.wall, anatomy.neck, anatomy.shoulder
    trunk = mirrored(
        [(neck * 0.95, -0.3), (neck, -0.01), (neck * 1.5, 0.045), (0.27, 0.05 + slope * 0.45)]
        + [(0.42, 0.06 + slope), (0.455, 0.16 + slope), (edge + 0.005, 0.36), (edge, 0.55)]
        + [(edge + 0.012, 0.8), (edge + 0.02, 1.4)]
    )
    arm = np.array([(0.37, 0.06 + slope), (0.48, 0.09 + slope), (0.58, 0.22 + slope), (0.64, 0.6)])
    arm = np.concatenate([arm, [(0.70, 1.3), (0.56, 1.3), (0.505, 0.62), (0.455, 0.25 + slope)]])
    outlines = [spline(trunk, 4), spline(arm, 4), spline(arm * (-1, 1), 4)]
    sharp = canvas.blur(canvas.fill(*outlines), 0.004)
    round_off = canvas.soft_fill(0.035, *outlines)
    tissue = weighted(780, sharp) + weighted(1180, times(sharp, round_off))
    dome = {side: anatomy.diaphragm(side) for side in SIDES}
    abdomen = np.concatenate([dome[Side.RIGHT], dome[Side.LEFT][::-1]])
    abdomen = np.concatenate([abdomen, [(0.7, 0.9), (0.7, 1.4), (-0.7, 1.4), (-0.7, 0.9)]])
    tissue += weighted(360, times(canvas.soft_fill(0.03, abdomen), sharp))
    if anatomy.breast:
        tissue += weighted(400, breasts(canvas, anatomy))
    return (tissue * round(256 * anatomy.thickness)) >> 8


def breasts(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Coverage of the breasts, dense at their lower border."""
    r, x = anatomy.breast, anatomy.half_width * 0.70
    y = anatomy.dome[Side.RIGHT] - 0.72 * r
    t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    cup = np.stack([x + 1.15 * r * np.cos(t), y + r * np.sin(t)], axis=1)
    cup[:, 1] -= 0.55 * r * (cup[:, 1] < y) * ((y - cup[:, 1]) / r)
    both = [cup, cup * (-1, 1)]
    return times(canvas.blur(canvas.fill(*both), 0.006), canvas.soft_fill(0.05, *both))


def lungs(canvas: Canvas, anatomy: Anatomy) -> dict[Side, np.ndarray]:
    """Side -> coverage of the lung field, behind heart and mediastinum too."""
    return {side: canvas.blur(canvas.fill(anatomy.lung(side)), 0.003) for side in SIDES}


def mediastinum(canvas: Canvas, anatomy: Anatomy, widening: float = 0.0) -> np.ndarray:
    """Coverage of the great vessels, without the heart; `widening` is a fraction of their width."""
    return canvas.blur(canvas.fill(_great_vessels(anatomy, widening)), 0.005)


def mediastinum_band(canvas: Canvas, anatomy: Anatomy, widening: float) -> np.ndarray:
    """Coverage of that part of the widened great vessels that is wider than in health."""
    outline = _great_vessels(anatomy, widening)
    return canvas.fill(outline[(outline[:, 1] > _WIDENED[0]) & (outline[:, 1] < _WIDENED[-1])])


_WIDENED = (0.06, 0.19, 0.33, 0.50)  # heights: most at the aortic arch, none at neck and hila


def _great_vessels(anatomy: Anatomy, widening: float) -> np.ndarray:
    """Closed outline [n, 2] of aorta, caval vein and what lies between."""
    h, k = anatomy.hilum, anatomy.tortuosity
    left = [(0.05, -0.05), (0.045, 0.12), (0.052, 0.2), (0.074 + k, 0.27), (0.082 + k, 0.31)]
    left += [(0.073, 0.355), (0.083, h - 0.02), (0.09, h + 0.05), (0.06, h + 0.2), (0.03, 0.76)]
    right = [(-0.03, 0.76), (-0.05, h + 0.2), (-0.066, h + 0.05), (-0.066, h), (-0.062, 0.32)]
    right += [(-0.06, 0.2), (-0.05, 0.12), (-0.05, -0.05)]
    outline = spline(np.array(left + right), 5)
    outline[:, 0] *= 1 + widening * np.interp(outline[:, 1], _WIDENED, (0, 1, 1, 0))
    return outline


def airway(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Coverage of the trachea and main bronchi."""
    carina = anatomy.hilum - 0.055
    tube = np.array([(0.0, -0.1), (0.002, 0.1), (-0.004, 0.24), (-0.004, carina)])
    layer = canvas.stroke([spline(tube, 5, closed=False)], 0.034)
    fork = [
        np.array([(-0.004, carina - 0.005), (-0.035, carina + 0.045), (-0.07, carina + 0.075)]),
        np.array([(-0.004, carina - 0.005), (0.04, carina + 0.055), (0.085, carina + 0.08)]),
    ]
    layer = canvas.stroke([spline(line, 4, closed=False) for line in fork], 0.021, layer)
    return canvas.blur(layer, 0.005)


def gastric_bubble(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Coverage of the air in the stomach, flat at its fluid level."""
    width, y = anatomy.bubble, anatomy.dome[Side.LEFT] + 0.03
    t = np.linspace(np.pi, 2 * np.pi, 14)
    shape = np.stack([0.17 + width * np.cos(t), y + 0.05 + 0.62 * width * np.sin(t)], axis=1)
    return canvas.blur(canvas.fill(shape), 0.005)


def vessels(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Coverage of the pulmonary vessels: trees that thin out from each hilum."""
    rng = np.random.default_rng([anatomy.detail_seed, 1])
    sign = np.repeat([-1.0, 1.0], 9)
    heading = np.tile(np.linspace(-1.25, 1.45, 9), 2) + rng.uniform(-0.16, 0.16, 18)
    reach = 0.15 + 0.05 * np.cos(heading) + rng.uniform(-0.04, 0.04, 18)
    start = np.stack([sign * 0.085, np.full(18, anatomy.hilum + 0.02)], axis=1)
    layer = canvas.empty()
    for width in (0.0078, 0.005, 0.0032):
        count = len(heading)
        bend = rng.uniform(-0.45, 0.45, count)
        angle = heading[:, None] + bend[:, None] * np.linspace(0, 1, 4)
        step = np.stack([sign[:, None] * np.cos(angle), np.sin(angle)], axis=2)
        path = np.cumsum(step * (reach / 4)[:, None, None], axis=1) + start[:, None]
        layer = canvas.stroke(list(np.concatenate([start[:, None], path], axis=1)), width, layer)
        # Each branch gives three: at its middle to one side, farther to the other, and at its end.
        turn = np.stack([rng.uniform(0.3, 0.75, count), -rng.uniform(0.3, 0.75, count), bend])
        heading = (angle[:, -1] + turn).ravel()
        start = np.concatenate([path[:, 1], path[:, 2], path[:, 3]])
        reach = np.tile(reach, 3) * rng.uniform(0.45, 0.62, 3 * count)
        sign = np.tile(sign, 3)
    knots = [
        spline(np.array([(s * 0.06, h - 0.04), (s * 0.10, h - 0.015), (s * 0.112, h + 0.04)]
                        + [(s * 0.105, h + 0.10), (s * 0.075, h + 0.10)]), 4)
        for s, h in ((-1, anatomy.hilum + 0.01), (1, anatomy.hilum - 0.015))
    ]  # fmt: skip
    hila = canvas.blur(canvas.fill(*knots), 0.014)
    return np.maximum(canvas.blur(layer, 0.0022), hila)
