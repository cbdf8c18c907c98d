"""Layers of pacemakers, central lines and tracheal tubes."""

import numpy as np

from data_pipelines.phantom.canvas import spline
from data_pipelines.phantom.opacities import Effect


def _effect(solid: np.ndarray, weight: int, wires: np.ndarray, wire_weight: int) -> Effect:
    added = (solid.astype(np.int32) * weight + wires.astype(np.int32) * wire_weight) >> 8
    return Effect([np.maximum(solid, wires)], added=added)


def pacemaker(finding, canvas, anatomy, rng) -> Effect:
    """A generator under the clavicle with leads to the right atrium and ventricle."""
    s = finding.sides[0].sign
    y = anatomy.apex + 0.125 + rng.uniform(-0.01, 0.02)
    centre = np.array([s * (anatomy.half_width * rng.uniform(0.66, 0.80)), y])
    grow = 0.8 + 0.3 * finding.size
    box = np.array([(-0.043, -0.030), (0.0, -0.038), (0.043, -0.030), (0.047, 0.010)])
    box = np.concatenate([box, [(0.03, 0.038), (-0.03, 0.038), (-0.047, 0.010)]]) * grow
    turn = s * rng.uniform(-0.5, 0.3)
    cos, sin = np.cos(turn), np.sin(turn)
    box = box @ np.array([(cos, sin), (-sin, cos)])
    can = canvas.fill(spline(box + centre, 4))
    header = canvas.fill(box[:3] * (0.7, 0.5) + centre)
    bottom = anatomy.dome[finding.sides[0]]
    way = [centre + (-s * 0.02, -0.035), (s * 0.15, anatomy.apex + 0.055)]
    way += [(s * 0.06, anatomy.apex + 0.10), (-0.048, 0.31), (-0.055, 0.45)]
    atrium = [(-0.085, 0.53), (-0.095, 0.57), (-0.075, 0.55)]
    ventricle = [(-0.05, bottom - 0.09), (0.02, bottom - 0.03), (0.12, bottom - 0.035)]
    leads = [spline(np.array(way + ventricle), 6, closed=False)]
    if rng.random() < 0.7:
        leads.append(spline(np.array(way + atrium) + (0.004, 0.004), 6, closed=False))
    wires = canvas.stroke(leads, 0.0042)
    for lead in leads:
        wires = canvas.stroke([lead[-3:]], 0.008, wires)
    return _effect(np.maximum(can, header // 2), 1500, wires, 900)


def central_line(finding, canvas, anatomy, rng) -> Effect:
    """A catheter from the neck or below the clavicle to the superior vena cava."""
    s, apex = finding.sides[0].sign, anatomy.apex
    tip = (-0.05, 0.36 + 0.06 * rng.random())
    if rng.random() < 0.5:
        way = [(s * 0.10, -0.06), (s * 0.085, apex - 0.02), (s * 0.06, apex + 0.08)]
    else:
        way = [(s * 0.30, apex + 0.13), (s * 0.20, apex + 0.06), (s * 0.08, apex + 0.09)]
    way += [(-0.045, 0.30)] if s < 0 else [(0.0, apex + 0.14), (-0.04, 0.29)]
    wires = canvas.stroke([spline(np.array([*way, tip]), 6, closed=False)], 0.0048)
    return _effect(canvas.empty(), 0, wires, 900)


def tube(finding, canvas, anatomy, rng) -> Effect:
    """An endotracheal tube that ends above the carina."""
    end = anatomy.hilum - 0.055 - rng.uniform(0.04, 0.10)
    middle = np.array([(0.004, -0.2), (0.0, 0.05), (-0.003, end)])
    line = spline(middle, 8, closed=False)
    wall = canvas.stroke([line - (0.011, 0), line + (0.011, 0), line[-2:]], 0.005)
    marker = canvas.stroke([line + (0.006, 0)], 0.003)
    body = canvas.stroke([line], 0.020)
    added = (body.astype(np.int32) * 400 + np.maximum(wall, marker).astype(np.int32) * 1300) >> 8
    return Effect([np.maximum(body, wall)], added=added)
