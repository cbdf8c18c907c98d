"""Layers of hazy opacities and of pneumonia: airspace findings without a border of their own."""

import numpy as np

from data_pipelines.phantom.canvas import fade, firm, times
from data_pipelines.phantom.opacities import ZONE_CENTRE, Effect, beside_heart, blob, join


def opacity(finding, canvas, anatomy, lungs, rng) -> Effect:
    """Haze of ground glass in one zone: vessels are still seen through it."""
    side = finding.sides[0]
    v = ZONE_CENTRE[finding.zone] + rng.uniform(-0.04, 0.04)
    centre = anatomy.place(side, beside_heart(rng.uniform(0.45, 0.62), side, v), v)[0]
    r = 0.062 + 0.060 * finding.size
    blobs = [blob(rng, centre, (1.15 * r, r), 0.12)]
    blobs += [blob(rng, centre + rng.normal(0, 0.4, 2) * r, (0.8 * r, 0.7 * r), 0.15)]
    cloud = firm(canvas.soft_fill(0.026, *blobs), 26)
    veil = fade(150 + (canvas.texture(rng, (6, 13, 29)) >> 1), 0.34 + 0.24 * finding.size)
    return Effect([times(cloud, lungs[side])], water=times(cloud, veil))


def pneumonia(finding, canvas, anatomy, lungs, rng) -> Effect:
    """Patches of unequal size and density: in one zone, or strewn over both lungs."""
    regions, water = [], []
    for side in finding.sides:
        patches, weights = [], []
        for index in range(3 + finding.severity):
            if finding.zone is None:
                v = rng.uniform(0.30, 0.88)
            else:
                v = ZONE_CENTRE[finding.zone] + rng.uniform(-0.13, 0.09)
            u = beside_heart(rng.uniform(0.25, 0.85), side, v)
            r = (0.024 + 0.030 * finding.size) * rng.uniform(0.75, 1.25) * (1.3 if not index else 1)
            patches.append(blob(rng, anatomy.place(side, u, v)[0], (r, 0.9 * r), 0.35))
            weights.append(rng.uniform(0.70, 1.0))
        cloud, dense = canvas.empty(), canvas.empty()
        for patch, weight in zip(patches, weights, strict=True):
            soft = firm(canvas.soft_fill(0.012, patch), 22)
            cloud, dense = np.maximum(cloud, soft), np.maximum(dense, fade(soft, weight))
        acini = np.minimum(255, 120 + canvas.texture(rng, (27, 41)).astype(np.int32))
        water.append(fade(times(dense, acini.astype(np.uint8)), 0.72 + 0.22 * finding.size))
        regions.append(times(cloud, lungs[side]))
    return Effect(regions, water=join(water))
