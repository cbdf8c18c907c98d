"""What each finding does to the lateral picture, as high in the chest as in the frontal one.

How far to the front or the back it lies is drawn from the finding's own seed.
"""

import numpy as np

from data_pipelines.phantom.anatomy import Side
from data_pipelines.phantom.canvas import Canvas, fade, firm, spline, times
from data_pipelines.phantom.chest_wall import RIBS
from data_pipelines.phantom.kinds import Finding, Kind, Zone
from data_pipelines.phantom.opacities import ZONE_CENTRE, Effect, blob
from data_pipelines.phantom.profile import Profile, heart, mediastinum_band, rib


def effect_of(
    finding: Finding,
    canvas: Canvas,
    profile: Profile,
    lungs: dict[Side, np.ndarray],
    *,
    enlargement: float,
    widening: float,
) -> Effect:
    """The effect of one finding on the lateral picture."""
    if finding.kind is Kind.CARDIOMEGALY:
        return Effect([heart(canvas, profile, enlargement)])
    if finding.kind is Kind.WIDE_MEDIASTINUM:
        return Effect([mediastinum_band(canvas, profile, widening)])
    both = np.maximum(lungs[Side.RIGHT], lungs[Side.LEFT])
    draw = {
        Kind.EDEMA: _edema,
        Kind.CONSOLIDATION: _cloud,
        Kind.OPACITY: _cloud,
        Kind.PNEUMONIA: _patches,
        Kind.ATELECTASIS: _bands,
        Kind.PNEUMOTHORAX: _free_air,
        Kind.EFFUSION: _fluid,
        Kind.LESION: _lumps,
        Kind.THICKENING: _rind,
        Kind.FRACTURE: _breaks,
        Kind.PACEMAKER: _pacemaker,
        Kind.CENTRAL_LINE: _line,
        Kind.TUBE: _tube,
    }[finding.kind]
    return draw(finding, canvas, profile, both, np.random.default_rng(finding.seed))


def _edema(finding, canvas, profile, both, rng) -> Effect:
    centre, spread = profile.place(0.55, 0.55)[0], 0.75 + 0.45 * finding.size
    wing = blob(rng, centre, (0.17 * spread, 0.22 * spread), 0.1)
    cloud = firm(canvas.soft_fill(0.035, wing), 30)
    haze = fade(110 + (canvas.texture(rng, (5, 11)) >> 1), 0.25 + 0.6 * finding.size)
    return Effect([times(cloud, both)], water=times(haze, cloud))


def _cloud(finding, canvas, profile, both, rng) -> Effect:
    """A consolidation, dense, or a haze."""
    v = ZONE_CENTRE[finding.zone] + rng.uniform(-0.04, 0.04)
    centre = profile.place(rng.uniform(0.28, 0.8), v)[0]
    dense = finding.kind is Kind.CONSOLIDATION
    r = (0.052 + 0.068 * finding.size) if dense else (0.062 + 0.060 * finding.size)
    parts = [blob(rng, centre, (1.05 * r, r), 0.2)]
    parts.append(blob(rng, centre + rng.normal(0, 0.4, 2) * r, (0.7 * r, 0.7 * r), 0.2))
    cloud = firm(canvas.soft_fill(0.016 if dense else 0.026, *parts), 22)
    depth = (0.62 + 0.2 * finding.size) if dense else (0.38 + 0.2 * finding.size)
    return Effect([times(cloud, both)], water=fade(cloud, depth))


def _patches(finding, canvas, profile, both, rng) -> Effect:
    regions, water = [], canvas.empty()
    for _ in finding.sides:
        parts = []
        for _ in range(3 + finding.severity):
            v = rng.uniform(0.3, 0.88)
            if finding.zone is not None:
                v = ZONE_CENTRE[finding.zone] + rng.uniform(-0.13, 0.09)
            r = (0.026 + 0.030 * finding.size) * rng.uniform(0.75, 1.25)
            parts.append(blob(rng, profile.place(rng.uniform(0.25, 0.85), v)[0], (r, r), 0.3))
        cloud = canvas.empty()
        for part in parts:
            cloud = np.maximum(cloud, firm(canvas.soft_fill(0.014, part), 22))
        regions.append(times(cloud, both))
        water = np.maximum(water, fade(cloud, 0.5 + 0.25 * finding.size))
    return Effect(regions, water=water)


def _bands(finding, canvas, profile, both, rng) -> Effect:
    centre = profile.place(rng.uniform(0.35, 0.7), ZONE_CENTRE[finding.zone] + 0.06)[0]
    bands = []
    for index in range(1 + finding.severity):
        half = (0.06 + 0.045 * finding.size) * rng.uniform(0.8, 1.1)
        tilt = rng.uniform(-0.2, 0.5)
        at = centre + (rng.uniform(-0.02, 0.02), 0.03 * (index - finding.severity / 2))
        along = half * np.array([np.cos(tilt), np.sin(tilt)])
        bands.append(np.stack([at - along, at, at + along]))
    water = canvas.blur(canvas.stroke(bands, 0.014 + 0.010 * finding.size), 0.0025)
    return Effect([times(water, both)], water=fade(water, 0.7))


def _free_air(finding, canvas, profile, both, rng) -> Effect:
    """Air before and above the lung, with the pleura as a line."""
    depth, reach = 0.10 + 0.22 * finding.size, 0.5 + 0.4 * finding.size
    t = np.linspace(0.0, 1.0, 12)
    line = profile.place(depth * (1 - t**2), 0.10 + (reach - 0.10) * t)
    crown = profile.place(np.array([1.1, 0.8, 0.4]), 0.06 + 0.07 * finding.size)
    line = spline(np.concatenate([crown, line]), 3, False)
    outside = np.concatenate([profile.place(-0.4, np.linspace(reach, -0.1, 6)),
                              profile.place(1.3, -0.1)])  # fmt: skip
    pleura = times(canvas.blur(canvas.stroke([line], 0.006), 0.001), both)
    region = times(canvas.fill(np.concatenate([line, outside])), both)
    region = np.maximum(region, pleura)
    return Effect([region], free_air=region, added=(pleura.astype(np.int32) * 420) >> 8)


def _fluid(finding, canvas, profile, both, rng) -> Effect:
    """Fluid that fills the deep angle behind first; both sides' lie over each other."""
    regions, fluids = [], canvas.empty()
    for side in finding.sides:
        size = finding.size if side is finding.sides[0] else finding.size * rng.uniform(0.6, 0.95)
        u = np.linspace(-0.25, 1.25, 14)
        v = 1.16 - 0.56 * size + 0.10 * (1 - np.abs(2 * np.clip(u, 0, 1) - 0.9) ** 2.4)
        surface = profile.place(u, v)
        fluid = canvas.blur(
            canvas.fill(np.concatenate([surface, [(0.6, 1.2), (-0.6, 1.2)]])), 0.006
        )
        fluids = np.maximum(fluids, fluid)
        regions.append(np.minimum(fluid, np.minimum(both, 63) * 4))
    return Effect(regions, water=fade(fluids, 0.5 * len(finding.sides) - 0.04))


def _lumps(finding, canvas, profile, both, rng) -> Effect:
    regions, water = [], canvas.empty()
    several = finding.number > 1
    r = (0.014 + 0.048 * finding.size**1.3) * (0.7 if several else 1.0)
    taken: list[np.ndarray] = []
    for _ in range(finding.number):
        for _ in range(8):
            v = ZONE_CENTRE[finding.zone] + rng.uniform(-0.06, 0.04) * (1 + several)
            centre = profile.place(rng.uniform(0.2, 0.85), v)[0]
            if all(np.hypot(*(centre - other)) > 2.6 * r for other in taken):
                break
        taken.append(centre)
        lump = canvas.blur(canvas.fill(blob(rng, centre, (r, r), 0.1)), 0.003 + 0.06 * r)
        regions.append(times(lump, both))
        water = np.maximum(water, fade(lump, 0.5 + 0.2 * finding.size))
    return Effect(regions, water=water)


def _rind(finding, canvas, profile, both, rng) -> Effect:
    depth = 0.05 + 0.10 * finding.size
    if finding.zone is Zone.UPPER:
        cap = profile.place(np.linspace(-0.4, 1.4, 8), 0.08 + 0.8 * depth)
        band = np.concatenate([cap, profile.place(np.array([1.8, -0.8]), -0.2)])
    else:
        reach, t = 0.13 + 0.11 * finding.size, np.linspace(-1, 1, 14)
        v = ZONE_CENTRE[finding.zone] + reach * t
        inner = profile.place(1.01 - depth * (1 - t**4), v)
        band = np.concatenate([inner, profile.place(1.2, v[::-1])])
    rind = canvas.blur(canvas.fill(band), 0.0025)
    region = times(rind, both)
    return Effect([region], water=fade(rind, 0.6), added=(region.astype(np.int32) * 130) >> 8)


def _breaks(finding, canvas, profile, both, rng) -> Effect:
    count = min(finding.number, len(RIBS))
    first, where = int(rng.integers(len(RIBS) - count + 1)), rng.uniform(0.2, 0.4)
    slip = 0.012 + 0.013 * finding.size
    regions, added = [], np.zeros((canvas.size, canvas.size), np.int32)
    for index in RIBS[first : first + count]:
        line = spline(rib(profile, index, near=True), 5, False)
        start = round(where * len(line))
        piece = line[start : start + len(line) // 6]
        away = np.linspace(1.0, 0.15, len(piece))[:, None] * (0.2 * slip, slip)
        before = canvas.blur(canvas.stroke([piece], 0.017), 0.001)
        after = canvas.blur(canvas.stroke([piece + away], 0.017), 0.001)
        added += (after.astype(np.int32) * 330 - before.astype(np.int32) * 240) >> 8
        regions.append(np.maximum(before, after))
    return Effect(regions, added=added)


def _pacemaker(finding, canvas, profile, both, rng) -> Effect:
    """The generator seen edge on before the ribs, its leads bending down into the heart."""
    y = profile.anatomy.apex + 0.14
    x = float(profile.front(y)) - 0.030
    can = spline(np.array([(x - 0.008, y - 0.035), (x + 0.008, y - 0.035), (x - 0.006, y + 0.045),
                           (x - 0.022, y + 0.045)]), 4)  # fmt: skip
    ring = profile.heart(0.0)
    tip = ring.mean(0) + (-0.05, 0.07)
    middle = np.array(
        [(-0.01, profile.anatomy.hilum - 0.03), (-0.02, profile.anatomy.hilum + 0.06)]
    )
    way = np.array([(x + 0.01, y - 0.03), (-0.04, profile.anatomy.apex + 0.05), *middle, tip])
    wires = canvas.stroke([spline(way, 8, False)], 0.0042)
    solid = canvas.fill(can)
    added = (solid.astype(np.int32) * 1500 + wires.astype(np.int32) * 900) >> 8
    return Effect([np.maximum(solid, wires)], added=added)


def _line(finding, canvas, profile, both, rng) -> Effect:
    h = profile.anatomy.hilum
    way = np.array([(-0.01, -0.1), (-0.03, profile.anatomy.apex + 0.05), (-0.035, h - 0.08)])
    wires = canvas.stroke([spline(np.concatenate([way, [(-0.03, h)]]), 8, False)], 0.0048)
    return Effect([wires], added=(wires.astype(np.int32) * 700) >> 8)


def _tube(finding, canvas, profile, both, rng) -> Effect:
    h, d = profile.anatomy.hilum, profile.depth
    way = np.array([(-0.02, -0.2), (0.0, 0.0), (0.012 * d, 0.12), (0.026 * d, h - 0.12)])
    line = spline(way, 8, False)
    walls = canvas.stroke([line - (0.010, 0), line + (0.010, 0)], 0.005)
    inside = canvas.stroke([line], 0.02)
    added = (inside.astype(np.int32) * 280 + walls.astype(np.int32) * 640) >> 8
    return Effect([np.maximum(inside, walls)], added=added)
