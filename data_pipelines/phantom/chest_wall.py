"""Layers of findings at the chest wall: thickened pleura and broken ribs."""

import cv2
import numpy as np

from data_pipelines.phantom.canvas import fade, spline, times
from data_pipelines.phantom.kinds import Zone
from data_pipelines.phantom.opacities import ZONE_CENTRE, Effect
from data_pipelines.phantom.skeleton import posterior_rib

RIBS = (3, 4, 5, 6, 7)  # whose backs lie over lung, where a break can be seen


def thickening(finding, canvas, anatomy, lungs, rng) -> Effect:
    """A rind inside the ribs: a cap on the apex, or a band with uneven inner border."""
    side = finding.sides[0]
    depth = 0.065 + 0.15 * finding.size
    if finding.zone is Zone.UPPER:
        u = np.linspace(-0.3, 1.12, 14)
        v = 0.055 + 0.75 * depth * (1 + 0.18 * np.sin(7 * u + rng.uniform(0, 6)))
        v += 0.10 * np.maximum(0, u - 0.55)  # farther down along the wall
        inner = anatomy.place(side, u, v)
        out = side.sign * anatomy.half_width
        outer = np.array(
            [(out, inner[-1, 1]), (out, anatomy.apex - 0.05), (0, anatomy.apex - 0.05)]
        )
    else:
        reach = 0.13 + 0.11 * finding.size
        centre = ZONE_CENTRE[finding.zone] + rng.uniform(-0.05, 0.02)
        t = np.linspace(-1.0, 1.0, 16)
        waves = 1 + 0.20 * np.sin(5 * t + rng.uniform(0, 6))
        inner = anatomy.place(side, 1.01 - depth * waves * (1 - t**4), centre + reach * t)
        outer = anatomy.place(side, 1.2, centre + reach * np.array([1.0, 0.0, -1.0]))
    band = np.concatenate([spline(inner, 3, closed=False), outer])
    rind = canvas.blur(canvas.fill(band), 0.0025)
    region = times(rind, lungs[side])
    return Effect([region], water=fade(rind, 0.70), added=(region.astype(np.int32) * 130) >> 8)


def fracture(finding, canvas, anatomy, lungs, rng) -> Effect:
    """Neighbouring ribs broken near the side wall; the outer piece has slipped downwards."""
    side = finding.sides[0]
    count = min(finding.number, len(RIBS))
    first = int(rng.integers(len(RIBS) - count + 1))
    where = rng.uniform(0.46, 0.64)
    slip = 0.012 + 0.013 * finding.size
    regions, added = [], np.zeros((canvas.size, canvas.size), np.int32)
    for rib in RIBS[first : first + count]:
        middle, half = posterior_rib(anatomy, side, rib)
        at = where + rng.uniform(-0.02, 0.02)
        s = np.interp(np.linspace(at - 0.02, at + 0.20, 8), np.linspace(0, 1, len(middle)),
                      np.arange(len(middle)))  # fmt: skip
        low = np.minimum(s.astype(int), len(middle) - 2)
        piece = middle[low] + (s - low)[:, None] * (middle[low + 1] - middle[low])
        away = np.linspace(1.0, 0.15, 8)[:, None] * (-0.3 * side.sign * slip, slip)
        width = 2 * float(half.mean())
        before = canvas.blur(canvas.stroke([piece], width), 0.001)
        after = canvas.blur(canvas.stroke([piece + away], width), 0.001)
        end = piece[0] + away[0] + np.array([(0, -0.5), (0, 0.5)]) * width
        edge = canvas.blur(canvas.stroke([end], 0.006), 0.001)
        added += (after.astype(np.int32) * 330 - before.astype(np.int32) * 300) >> 8
        added += (edge.astype(np.int32) * 300) >> 8
        # Where the piece covers its old place, nothing is seen.
        regions.append(np.maximum(cv2.absdiff(after, before), edge))
    return Effect(regions, added=added)
