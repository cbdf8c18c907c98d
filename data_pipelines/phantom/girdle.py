"""Bones as a clinic's pictures show them: the spine and shoulder girdle of `Detail.LIFELIKE`."""

import numpy as np

from data_pipelines.phantom.anatomy import Anatomy
from data_pipelines.phantom.canvas import Canvas, spline
from data_pipelines.phantom.thorax import weighted


def spine(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Vertebrae with bright end plates, on a column that is never quite straight."""
    rng = np.random.default_rng([anatomy.detail_seed, 5])
    bow, sway = rng.uniform(-0.012, 0.012), rng.uniform(0.5, 1.4)
    x0 = -anatomy.twist

    def middle(y: float) -> float:
        return x0 + bow * np.sin(sway * np.pi * y)

    down = np.linspace(-0.25, 1.3, 24)
    column = np.array([(middle(y), y) for y in down])
    width = np.interp(down, (-0.1, 0.1, 1.2), (0.026, 0.033, 0.043))[:, None] * (1, 0)
    bone = weighted(
        80,
        canvas.blur(canvas.fill(np.concatenate([column - width, (column + width)[::-1]])), 0.008),
    )
    bodies, plates, dots = [], [], []
    y = -0.03
    while y < 1.1:
        height = np.interp(y, (0.0, 1.0), (0.040, 0.062))
        half, x = float(np.interp(y, (0.0, 1.0), (0.030, 0.043))), middle(y)
        waist = 0.9 * half
        top, low = y + 0.10 * height, y + 0.92 * height
        bodies.append(
            np.array(
                [
                    (x - half, top),
                    (x + half, top),
                    (x + waist, (top + low) / 2),
                    (x + half, low),
                    (x - half, low),
                    (x - waist, (top + low) / 2),
                ]
            )
        )
        plates += [np.array([(x - half, at), (x + half, at)]) for at in (top, low)]
        plates += [
            np.array([(x + s * half, top), (x + s * waist, (top + low) / 2), (x + s * half, low)])
            for s in (-1, 1)
        ]
        dots += [
            np.array([(x + s * 0.6 * half, top + 0.012), (x + s * 0.6 * half, top + 0.022)])
            for s in (-1, 1)
        ]
        dots.append(np.array([(x + 0.4 * anatomy.twist, low - 0.012), (x, low + 0.012)]))
        y += height + 0.004
    bone += weighted(60, canvas.blur(canvas.fill(*bodies), 0.003))
    bone += weighted(95, canvas.blur(canvas.stroke(plates, 0.005), 0.002))
    return bone + weighted(110, canvas.blur(canvas.stroke(dots, 0.009), 0.0025))


def shoulders(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """Clavicles, scapulae with their spines and sockets, heads of the upper arms."""
    y, w = anatomy.apex + 0.05, anatomy.half_width
    outer = 0.035 + anatomy.shoulder
    inner = w + 0.035 - anatomy.scapula  # the shoulder blade's edge, over the lung in AP views
    clavicle = np.array(
        [(0.032, y + 0.066), (0.06, y + 0.052), (0.12, y + 0.028), (0.20, y + 0.004)]
    )
    clavicle = np.concatenate(
        [clavicle, [(0.29, y - 0.02), (0.37, min(outer, y - 0.03)), (0.42, outer - 0.012)]]
    )
    line = spline(clavicle, 5, closed=False)
    blade = np.array(
        [(inner + 0.01, y + 0.035), (inner - 0.03, y + 0.13), (inner - 0.018, y + 0.24)]
    )
    blade = np.concatenate([blade, [(inner + 0.008, y + 0.30), (inner + 0.06, y + 0.20)]])
    blade = spline(np.concatenate([blade, [(0.44, outer + 0.10), (0.41, outer + 0.03)]]), 4)
    ridge = spline(np.array([(inner - 0.02, y + 0.105), (inner + 0.05, y + 0.06),
                             (0.445, outer + 0.008)]), 5, closed=False)  # fmt: skip
    t = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    centre = np.array([0.482, outer + 0.062])
    head = centre + np.stack([0.040 * np.cos(t), 0.043 * np.sin(t)], axis=1)
    shaft = np.array([(0.452, outer + 0.085), (0.522, outer + 0.06), (0.78, 0.50), (0.74, 0.54)])
    socket = np.stack([0.437 + 0.006 * np.cos(t), outer + 0.065 + 0.030 * np.sin(t)], axis=1)
    shift = np.array((anatomy.twist, 0.0))
    bone = np.zeros((canvas.size, canvas.size), np.int32)

    def both(*shapes: np.ndarray) -> list[np.ndarray]:
        return [shape * (s, 1) for shape in shapes for s in (-1, 1)]

    lines = [one + shift for one in both(line)]
    half = np.interp(np.linspace(0, 1, len(line)), (0, 0.15, 0.6, 1), (0.015, 0.010, 0.0085, 0.012))
    bars = both(
        np.concatenate([line - half[:, None] * (0, 1), (line + half[:, None] * (0, 1))[::-1]])
    )
    bone += weighted(230, canvas.blur(canvas.fill(*(bar + shift for bar in bars)), 0.003))
    rims = [one + d for one in lines for d in ((0, 0.0085), (0, -0.0085))]
    bone += weighted(150, canvas.blur(canvas.stroke(rims, 0.0042), 0.0014))
    bone += weighted(160, canvas.blur(canvas.fill(*both(blade)), 0.003))
    bone += weighted(150, canvas.blur(canvas.stroke(both(blade[:14], blade[22:]), 0.0065), 0.002))
    bone += weighted(150, canvas.blur(canvas.stroke(both(ridge), 0.011), 0.003))
    bone += weighted(300, canvas.blur(canvas.fill(*both(head), *both(shaft)), 0.004))
    rim = both(np.concatenate([head, head[:1]]), np.concatenate([socket, socket[:1]]))
    bone += weighted(130, canvas.blur(canvas.stroke(rim, 0.0055), 0.002))
    return bone
