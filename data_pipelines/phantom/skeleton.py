"""The bones of the chest: spine, ribs, clavicles, scapulae, upper arms."""

import numpy as np

from data_pipelines.phantom import girdle
from data_pipelines.phantom.anatomy import Anatomy, Detail, Side
from data_pipelines.phantom.canvas import Canvas, spline
from data_pipelines.phantom.thorax import SIDES, weighted


def skeleton(canvas: Canvas, anatomy: Anatomy, air: np.ndarray) -> np.ndarray:
    """Attenuation [h, w] int32 of all bones.

    Ribs show less over what has no air [h, w]: there, scattered rays take their contrast.
    """
    if anatomy.detail is Detail.LIFELIKE:
        bone = _rib_layer(canvas, anatomy, (270, 205, 200)) * (
            52 + (air >> 1) + (air >> 2).astype(np.int32)
        )
        return (bone >> 8) + girdle.spine(canvas, anatomy) + girdle.shoulders(canvas, anatomy)
    bone = _rib_layer(canvas, anatomy, (215, 120, 120))
    bone = (bone * (96 + (air >> 1) + (air >> 3).astype(np.int32))) >> 8
    return bone + _spine(canvas) + _girdle(canvas, anatomy)


def _rib_layer(canvas: Canvas, anatomy: Anatomy, weights: tuple[int, int, int]) -> np.ndarray:
    posterior, anterior, edges = _ribs(anatomy)
    bone = weighted(weights[0], canvas.blur(canvas.fill(*posterior), 0.0025))
    bone += weighted(weights[1], canvas.blur(canvas.fill(*anterior), 0.004))
    return bone + weighted(weights[2], canvas.blur(canvas.stroke(edges, 0.0035), 0.0012))


def posterior_rib(anatomy: Anatomy, side: Side, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Middle line [n, 2] and half widths [n] of a rib's back part, from the spine outwards."""
    a = np.linspace(0.0, 1.0, 16)
    root = anatomy.apex - 0.012 + index * anatomy.rib_spacing
    drop = anatomy.rib_slope * (0.035 + 0.020 * min(index, 6) + 0.012 * max(0, index - 6))
    y = root - 0.030 * np.sin(np.pi * np.minimum(1.0, 1.5 * a)) + drop * a**2.1
    reach = float(anatomy.lateral(y[-1])) + 0.012
    x = 0.03 + (reach - 0.03) * np.sin(0.5 * np.pi * a) ** 0.92
    return np.stack([side.sign * x, y], axis=1), 0.0105 + 0.002 * np.sin(np.pi * a)


def anterior_rib(anatomy: Anatomy, side: Side, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of its front part, from the side wall inwards."""
    a = np.linspace(0.0, 1.0, 16)
    back, _ = posterior_rib(anatomy, side, index)
    reach = float(anatomy.lateral(back[-1, 1])) + 0.012
    y = back[-1, 1] + anatomy.rib_slope * (0.07 + 0.02 * index) * np.sin(0.5 * np.pi * a)
    x = reach - (reach - 0.42 * anatomy.half_width) * (1 - np.cos(0.5 * np.pi * a)) ** 0.9
    return np.stack([side.sign * x, y], axis=1), 0.011 + 0.004 * a


def _ribs(anatomy: Anatomy) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Polygons of posterior and anterior ribs, and the bright edges of the posterior."""
    posterior, anterior, edges = [], [], []
    for index in range(12):
        for side in SIDES:
            upper, lower = _borders(*posterior_rib(anatomy, side, index))
            posterior.append(np.concatenate([upper, lower[::-1]]))
            edges += [upper, lower]
            if index <= 8:
                upper, lower = _borders(*anterior_rib(anatomy, side, index))
                anterior.append(np.concatenate([upper, lower[::-1]]))
    return posterior, anterior, edges


def _borders(middle: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    down = np.stack([np.zeros_like(half), half], axis=1)
    return middle - down, middle + down


def _spine(canvas: Canvas) -> np.ndarray:
    """Vertebral bodies with their discs, pedicles and spinous processes."""
    column = np.array([(-0.033, -0.2), (0.033, -0.2), (0.038, 1.3), (-0.038, 1.3)])
    bone = weighted(150, canvas.blur(canvas.fill(column), 0.010))
    bodies, processes, pedicles = [], [], []
    for y in np.arange(-0.02, 1.1, 0.064):
        box = np.array([(-0.036, y), (0.036, y), (0.033, y + 0.024), (0.036, y + 0.05)])
        bodies.append(np.concatenate([box, [(-0.036, y + 0.05), (-0.033, y + 0.024)]]))
        processes.append(np.array([(0.0, y + 0.03), (0.0, y + 0.055)]))
        pedicles += [np.array([(s * 0.021, y + 0.012), (s * 0.021, y + 0.026)]) for s in (-1, 1)]
    bone += weighted(90, canvas.blur(canvas.fill(*bodies), 0.003))
    bone += weighted(110, canvas.blur(canvas.stroke(processes, 0.011), 0.002))
    return bone + weighted(80, canvas.blur(canvas.stroke(pedicles, 0.009), 0.002))


def _girdle(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Clavicles, scapulae and the heads of the upper arms."""
    y = anatomy.apex + 0.05
    outer = 0.04 + anatomy.shoulder
    w = anatomy.half_width
    clavicle = np.array([(0.035, y + 0.03), (0.10, y + 0.025), (0.19, y - 0.005), (0.27, y - 0.02)])
    clavicle = np.concatenate([clavicle, [(0.36, outer), (0.405, outer + 0.005)]])
    line = spline(clavicle, 5, closed=False)
    scapula = np.array([(w - 0.02, y + 0.05), (w - 0.045, y + 0.16), (w - 0.02, y + 0.27)])
    scapula = np.concatenate([scapula, [(w + 0.015, y + 0.30), (w + 0.05, y + 0.16)]])
    scapula = spline(np.concatenate([scapula, [(w + 0.06, y + 0.05)]]), 4)
    t = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    head = np.stack([0.455 + 0.038 * np.cos(t), outer + 0.075 + 0.042 * np.sin(t)], axis=1)
    shaft = np.array([(0.43, outer + 0.09), (0.485, outer + 0.07), (0.60, 0.55), (0.565, 0.56)])
    both = [shape * (s, 1) for shape in (head, shaft) for s in (-1, 1)]
    shoulder_blades = [scapula, scapula * (-1, 1)]
    lines = [line, line * (-1, 1)]
    rims = [line + (0, 0.0095), line - (0, 0.0095)]
    rims += [rim * (-1, 1) for rim in rims]
    bone = weighted(270, canvas.blur(canvas.stroke(lines, 0.022), 0.003))
    bone += weighted(130, canvas.blur(canvas.stroke(rims, 0.004), 0.0012))
    bone += weighted(120, canvas.blur(canvas.fill(*shoulder_blades), 0.004))
    rim = [scapula[:14], scapula[:14] * (-1, 1)]
    bone += weighted(110, canvas.blur(canvas.stroke(rim, 0.005), 0.002))
    return bone + weighted(300, canvas.blur(canvas.fill(*both), 0.004))
