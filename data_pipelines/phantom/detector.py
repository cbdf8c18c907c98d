"""From attenuation to grey pixels: scatter, noise, grid, window, edges, border and markers."""

import math

import cv2
import numpy as np

from data_pipelines.phantom.canvas import Canvas
from data_pipelines.phantom.exposure import E_FOLD, Exposure


def grain(exposure: Exposure, size: int) -> np.ndarray:
    """Noise [size, size] int32 in attenuation; the sum of four bytes is near enough to a normal."""
    rng = np.random.default_rng(exposure.noise_seed)
    count = size * size
    noise = np.frombuffer(rng.bytes(4 * count), np.uint8).reshape(4, size, size)
    total = noise.sum(axis=0, dtype=np.int32) - 510  # standard deviation 147.8
    # Averaging over larger pixels makes a small image's noise weaker, though less than physics
    # would have it: real small images are sharpened.
    level = exposure.grain * (size / 256) ** 0.5
    return (total * round(256 * level / 147.8)) >> 8


def veil(exposure: Exposure, canvas: Canvas, healthy: np.ndarray) -> np.ndarray:
    """Scattered rays as an attenuation [h, w] int32: few arrive where it is large.

    They come from all of the body about a place. `healthy` [h, w] is that body's attenuation
    without its findings, so that no finding changes the picture anywhere but in its own place.
    """
    step = max(1, canvas.size // 64)
    small = np.clip(healthy[::step, ::step] >> 4, 0, 255).astype(np.uint8)
    wide = cv2.GaussianBlur(small, (0, 0), 0.07 * small.shape[0])
    reach = canvas.enlarge(wide).astype(np.int32) << 4
    return reach - round(E_FOLD * math.log(exposure.scatter))


def _scattered(attenuation: np.ndarray, veil: np.ndarray) -> np.ndarray:
    """Attenuation as it is read where scattered rays are added to the direct ones."""
    d = np.arange(-4096, 4097)
    taken = np.rint(E_FOLD * np.log1p(np.exp(d / E_FOLD))).astype(np.int32)
    return attenuation - taken[np.clip(attenuation - veil, -4096, 4096) + 4096]


def _quantum(exposure: Exposure, attenuation: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Noise [h, w] that grows where fewer rays arrive, by the root of their number."""
    levels = np.arange(4096)
    growth = np.clip(np.exp((levels - 1100) / (2 * E_FOLD)), 0.4, 2.6)
    gain = np.rint(256 * (1 + exposure.quantum * (growth - 1))).astype(np.int32)
    return (noise * gain[np.clip(attenuation, 0, 4095)]) >> 8


def _edges(exposure: Exposure, pixels: np.ndarray) -> np.ndarray:
    """What the scanner does to edges: enhances or blurs them."""
    size = pixels.shape[0]
    if exposure.sharpen < 0:
        return cv2.GaussianBlur(pixels, (0, 0), max(0.3, -exposure.sharpen * size / 1000))
    soft = cv2.GaussianBlur(pixels, (0, 0), max(0.5, 0.003 * size)).astype(np.int32)
    sharp = pixels + (((pixels - soft) * round(256 * exposure.sharpen)) >> 8)
    return np.clip(sharp, 0, 255).astype(np.uint8)


def develop(
    exposure: Exposure, attenuation: np.ndarray, scattered: np.ndarray | None = None
) -> np.ndarray:
    """Attenuation [h, w] int32 -> grey levels [h, w] uint8, with border and marker.

    Args:
      scattered: what `veil` gives, or None without scatter.
    """
    size = attenuation.shape[0]
    ramp = (np.arange(size) * 2 - size) * 128 // size
    x, y = exposure.tilt
    total = attenuation + ((ramp * x)[None, :] >> 8) + ((ramp * y)[:, None] >> 8)
    noise = grain(exposure, size)
    total += _quantum(exposure, attenuation, noise) if exposure.quantum else noise
    if scattered is not None:
        total = _scattered(total, scattered)
    if exposure.grid_lines:
        lines = np.rint(exposure.grid_lines * np.sin(2 * np.pi * 92 * np.arange(size) / size))
        total += lines.astype(np.int32)
    levels = np.arange(4096, dtype=np.float64)
    curve = 1 / (1 + np.exp(-(levels - exposure.centre) / exposure.width))
    floor = 1 / (1 + np.exp(exposure.centre / exposure.width))
    curve = (curve - floor) / (1 - floor)
    if exposure.gamma != 1:
        curve = curve**exposure.gamma
    table = np.rint(exposure.black + (exposure.white - exposure.black) * curve).astype(np.uint8)
    pixels = table[np.clip(total, 0, 4095)]
    if exposure.sharpen:
        pixels = _edges(exposure, pixels)
    if exposure.marker:
        pixels = np.maximum(pixels, _stamp(exposure, size))
    left, top, right, bottom = (round(b * size) for b in exposure.border)
    pixels[:top], pixels[size - bottom :] = 0, 0
    pixels[:, :left], pixels[:, size - right :] = 0, 0
    return pixels


# Strokes of the letters, (x, y) in letter heights. OpenCV's own letters change with its version.
_LETTERS = {
    "A": (((0.0, 1.0), (0.3, 0.0), (0.6, 1.0)), ((0.1, 0.65), (0.5, 0.65))),
    "C": (((0.58, 0.15), (0.4, 0.0), (0.15, 0.05), (0.0, 0.5), (0.15, 0.95), (0.4, 1.0),
           (0.58, 0.85)),),
    "E": (((0.55, 0.0), (0.0, 0.0), (0.0, 1.0), (0.55, 1.0)), ((0.0, 0.5), (0.45, 0.5))),
    "L": (((0.0, 0.0), (0.0, 1.0), (0.55, 1.0)),),
    "P": (((0.0, 1.0), (0.0, 0.0), (0.4, 0.0), (0.58, 0.12), (0.58, 0.4), (0.4, 0.52),
           (0.0, 0.52)),),
    "R": (
        ((0.0, 1.0), (0.0, 0.0), (0.4, 0.0), (0.58, 0.12), (0.58, 0.4), (0.4, 0.52), (0.0, 0.52)),
        ((0.3, 0.52), (0.6, 1.0)),
    ),
    "T": (((0.0, 0.0), (0.6, 0.0)), ((0.3, 0.0), (0.3, 1.0))),
}  # fmt: skip


def _stamp(exposure: Exposure, size: int) -> np.ndarray:
    """Coverage of marker and note, which lie on the plate and do not turn with the patient."""
    height = exposure.marker_size
    corner = np.asarray(exposure.marker_at) - (0.5, height)
    strokes = [corner + height * np.array(line) for line in _LETTERS[exposure.marker]]
    layer = Canvas(size).stroke(strokes, 0.007 * height / 0.045)
    small = 0.6 * height
    start = corner + (min(0.0, 0.42 - corner[0] - len(exposure.note) * 0.8 * small), 1.5 * height)
    for index, letter in enumerate(exposure.note):
        at = start + (0.8 * small * index, 0.0)
        strokes = [at + small * np.array(line) for line in _LETTERS[letter]]
        layer = Canvas(size).stroke(strokes, 0.12 * small, layer)
    return layer
