"""Layers of the findings of lung and pleura: where they are and how they displace the air."""

import dataclasses

import numpy as np

from data_pipelines.phantom.anatomy import Side
from data_pipelines.phantom.canvas import fade, firm, spline, times
from data_pipelines.phantom.kinds import Zone

ZONE_CENTRE = {Zone.UPPER: 0.27, Zone.MID: 0.54, Zone.LOWER: 0.80}


@dataclasses.dataclass
class Effect:
    """What one finding does to the picture; all of it lies within `regions`.

    Attributes:
      regions: coverage of each place that gets a box of its own.
      water: coverage whose air is replaced by water.
      free_air: coverage without lung tissue or vessels.
      added: attenuation [h, w] int32 on top, such as metal.
    """

    regions: list[np.ndarray]
    water: np.ndarray | None = None
    free_air: np.ndarray | None = None
    added: np.ndarray | None = None


def join(layers: list[np.ndarray]) -> np.ndarray:
    """The coverage of one layer, or of two together."""
    return layers[0] if len(layers) == 1 else np.maximum(layers[0], layers[1])


def blob(rng: np.random.Generator, centre: np.ndarray, radii: tuple, rough: float) -> np.ndarray:
    """An ellipse with an uneven border, [n, 2]."""
    t = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    r = 1 + rough * rng.uniform(-1, 1, 10)
    return spline(centre + np.stack([radii[0] * r * np.cos(t), radii[1] * r * np.sin(t)], 1), 4)


def beside_heart(u: float, side: Side, v: float) -> float:
    """Moves a place on the left, low down, out of the heart's shadow, where none could see it."""
    return 0.5 * u + 0.45 if side is Side.LEFT and v > 0.45 else u


def edema(finding, canvas, anatomy, lungs, rng) -> Effect:
    """Haze around both hila with thickened markings and short septal lines at the bases."""
    regions, water = [], []
    spread = 0.75 + 0.45 * finding.size
    for side in finding.sides:
        centre = anatomy.place(side, 0.22, 0.60)[0]
        radii = (0.155 * spread, 0.24 * spread)
        wing = firm(canvas.soft_fill(0.035, blob(rng, centre, radii, 0.10)), 30)
        count = round(26 + 40 * finding.size)
        at = centre + rng.normal(0, 0.45, (count, 2)) * radii
        turn = rng.uniform(0, np.pi, count)
        half = rng.uniform(0.012, 0.026, count) * np.stack([np.cos(turn), np.sin(turn)])
        half = half.T
        reticles = np.stack([at - half, at + 0.3 * half[:, ::-1], at + half], axis=1)
        inner = anatomy.place(side, 0.95, np.linspace(0.78, 0.95, 6))
        septa = np.stack([inner, inner - (0.022 * side.sign, -0.003)], axis=1)
        lines = [*reticles, *septa]
        marks = canvas.blur(canvas.stroke(lines, 0.0045), 0.0018)
        region = times(wing, lungs[side])
        haze = fade(110 + (canvas.texture(rng, (5, 11)) >> 1), 0.18 + 0.62 * finding.size)
        water.append(times(np.maximum(haze, fade(marks, 0.55)), wing))
        regions.append(region)
    return Effect(regions, water=join(water))


def consolidation(finding, canvas, anatomy, lungs, rng) -> Effect:
    """A cloud that fills part of one lung zone, with air in its bronchi."""
    side = finding.sides[0]
    v = ZONE_CENTRE[finding.zone] + rng.uniform(-0.04, 0.04)
    centre = anatomy.place(side, beside_heart(rng.uniform(0.42, 0.60), side, v), v)[0]
    r = 0.052 + 0.068 * finding.size
    blobs = [blob(rng, centre, (1.1 * r, r), 0.22)]
    for _ in range(3):
        offset = rng.normal(0, 0.5, 2) * r
        blobs.append(blob(rng, centre + offset, (0.7 * r, 0.6 * r), 0.25))
    cloud = firm(canvas.soft_fill(0.016, *blobs), 20)
    dense = np.maximum(canvas.texture(rng, (7, 15)), 128)
    dense = np.minimum(255, dense.astype(np.int32) + 70).astype(np.uint8)
    water = fade(times(cloud, dense), 0.70 + 0.24 * finding.size)
    root = 0.6 * centre + 0.4 * np.array([side.sign * 0.09, anatomy.hilum + 0.03])
    bronchi = [
        spline(np.stack([root, 0.5 * (root + centre) + bend, centre + 2.4 * bend]), 5, closed=False)
        for bend in rng.normal(0, 0.30 * r, (4, 2))
    ]
    air = fade(canvas.blur(canvas.stroke(bronchi, 0.0045), 0.002), 0.35)
    return Effect([times(cloud, lungs[side])], water=times(water, 255 - air))


def atelectasis(finding, canvas, anatomy, lungs, rng) -> Effect:
    """Plate-like bands; when severe, a wedge of collapsed lung with them."""
    side = finding.sides[0]
    v = ZONE_CENTRE[finding.zone] + 0.06
    centre = anatomy.place(side, beside_heart(0.45, side, v), v)[0]
    bands = []
    for index in range(1 + finding.severity):
        half = (0.060 + 0.045 * finding.size) * rng.uniform(0.8, 1.1)
        tilt = side.sign * rng.uniform(-0.35, 0.25)
        at = centre + (rng.uniform(-0.02, 0.02), 0.030 * (index - finding.severity / 2))
        along = half * np.array([np.cos(tilt), np.sin(tilt)])
        thick = np.array([0.0, (0.006 + 0.006 * finding.size) * rng.uniform(0.7, 1.1)])
        lens = [at - along, at - 0.4 * along - thick, at + 0.4 * along - 0.8 * thick]
        lens += [at + along, at + 0.4 * along + 0.7 * thick, at - 0.4 * along + thick]
        bands.append(spline(np.stack(lens), 5))
    water = canvas.blur(canvas.fill(*bands), 0.0025)
    if finding.size > 0.6:
        corner = anatomy.place(side, 0.02, 0.98)[0]
        wedge = np.stack([corner, corner - (0, 0.15), corner + (side.sign * 0.14, 0.02)])
        water = np.maximum(water, fade(canvas.blur(canvas.fill(wedge), 0.008), 0.8))
    return Effect([times(water, lungs[side])], water=fade(water, 0.62 + 0.25 * finding.size))


def pneumothorax(finding, canvas, anatomy, lungs, rng) -> Effect:
    """Free air along the chest wall, widest at the apex, bounded by a thin pleural line."""
    side = finding.sides[0]
    reach = 0.52 + 0.48 * finding.size
    depth = 0.14 + 0.42 * finding.size
    cap = 0.09 + 0.09 * finding.size  # the apex is free of lung altogether
    t = np.linspace(0.0, 1.0, 14)
    u = 1 - depth * (1 - t**1.6) * (1 + 0.08 * np.sin(9 * t + rng.uniform(0, 6)))
    v = 1.4 * cap + (reach - 1.4 * cap) * t
    edge = anatomy.place(side, u, v)
    crown = anatomy.place(side, u[0] * np.array([-0.2, 0.25, 0.6, 0.88]),
                          cap * np.array([1.25, 1.02, 1.0, 1.12]))  # fmt: skip
    line = spline(np.concatenate([crown, edge]), 3, closed=False)
    wall = anatomy.place(side, 1.15, np.linspace(reach, -0.03, 12))
    outside = np.array([(0.0, anatomy.apex - 0.03)])
    region = times(canvas.fill(np.concatenate([line, wall, outside])), lungs[side])
    pleura = times(canvas.blur(canvas.stroke([line], 0.006), 0.001), lungs[side])
    region = np.maximum(region, pleura)
    return Effect([region], free_air=region, added=(pleura.astype(np.int32) * 480) >> 8)


def effusion(finding, canvas, anatomy, lungs, rng) -> Effect:
    """Fluid above the diaphragm whose upper border rises along the chest wall."""
    regions, fluids = [], []
    for side in finding.sides:
        size = finding.size if side is finding.sides[0] else finding.size * rng.uniform(0.6, 0.95)
        top = 1.06 - 0.56 * size - (0.02 if size > 0.15 else 0.0)
        u = np.linspace(-0.3, 1.25, 14)
        v = top - 0.02 + 0.16 * (1 - np.clip(u, 0, 1) ** 2.2) - 0.04 * np.clip(u, 0, 1)
        surface = anatomy.place(side, u, np.minimum(v, 1.4))
        surface[:, 0] = side.sign * np.maximum(0.01, side.sign * surface[:, 0])  # its own half
        floor = np.array([(side.sign * 0.6, 1.1), (side.sign * 0.0, 1.1)])
        fluid = canvas.blur(canvas.fill(np.concatenate([surface, floor])), 0.008)
        fluids.append(fluid)
        # The lung's thin tip in the angle counts as lung, faint as it is.
        regions.append(np.minimum(fluid, np.minimum(lungs[side], 63) * 4))
    return Effect(regions, water=fade(join(fluids), 0.97))


def lesion(finding, canvas, anatomy, lungs, rng) -> Effect:
    """Round nodules in one zone, or a mass when large."""
    side = finding.sides[0]
    regions, water = [], canvas.empty()
    taken: list[np.ndarray] = []
    for _ in range(finding.number):
        r = (0.014 + 0.048 * finding.size**1.3) * (1.0 if finding.number == 1 else 0.7)
        for _ in range(8):  # nodules side by side are counted, not merged
            v = ZONE_CENTRE[finding.zone] + rng.uniform(-0.06, 0.04) * (1 + (finding.number > 1))
            wide = (0.32, 0.72) if finding.number == 1 else (0.15, 0.90)
            centre = anatomy.place(side, beside_heart(rng.uniform(*wide), side, v), v)[0]
            if all(np.hypot(*(centre - other)) > 2.6 * r for other in taken):
                break
        taken.append(centre)
        shape = blob(rng, centre, (r, r * rng.uniform(0.85, 1.1)), 0.10)
        lump = canvas.blur(canvas.fill(shape), 0.003 + 0.06 * r)
        regions.append(times(lump, lungs[side]))
        water = np.maximum(water, fade(lump, 0.60 + 0.2 * finding.size))
    return Effect(regions, water=water)
