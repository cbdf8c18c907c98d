"""What `place ground` draws: image, map, contour, phrase, scale."""

import io
import textwrap

import cv2
import numpy as np
from matplotlib.figure import Figure

_LONG_SIDE = 1024  # pixels of each panel at most: more would show nothing that the map has
_DPI = 100
_NOTICE = "research software, not a medical device"
_SAID = {
    "attention": "attention of the matching V-PORs, of its maximum",
    "evidence": "evidence: match of the V-PORs with a place less without it",
    "similarity": "share of the cosine of image and text, mean = cosine",
}


def draw_grounding(
    pixels: np.ndarray, found: np.ndarray, text: str, *, kind: str, highest: float = 0.15
) -> bytes:
    """Draws a map over its image.

    Args:
      pixels: [h, w] uint8.
      found: [h, w] float, of `Predictor.ground`.
      text: the phrase.
      kind: of MapKind, for the scale's label.
      highest: a line is drawn around this share of the pixels, where the map is highest.

    Returns:
      A PNG.
    """
    scale = min(1.0, _LONG_SIDE / max(pixels.shape))
    size = tuple(max(1, round(side * scale)) for side in pixels.shape[::-1])
    if scale < 1:
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        found = cv2.resize(found, size, interpolation=cv2.INTER_AREA)
    low, high = float(found.min()), float(found.max())
    height = 4.4
    width = height * size[0] / size[1]
    figure = Figure(figsize=(2 * width + 1.5, height + 1.0), dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
        axes.set_axis_off()
    # Evidence below zero speaks against the text: it is not drawn.
    floor = max(low, 0.0) if kind == "evidence" else low
    spread = np.clip((found - floor) / max(high - floor, 1e-12), 0, 1)
    level = float(np.quantile(found, 1 - highest))
    drawn = right.imshow(
        found, cmap="inferno", vmin=low, vmax=high, alpha=0.7 * spread**1.5, interpolation="none"
    )
    if high > low:
        right.contour(found, levels=[level], colors="white", linewidths=1.4)
    y, x = np.unravel_index(int(found.argmax()), found.shape)
    right.plot(x, y, "+", color="black", markersize=13, markeredgewidth=4)
    right.plot(x, y, "+", color="white", markersize=11, markeredgewidth=1.8)
    # The overlay's transparency would wash out the scale.
    scale_of = figure.colorbar(drawn, ax=right, fraction=0.05, pad=0.02, alpha=1)
    scale_of.set_label(_SAID.get(kind, kind), fontsize=8)
    scale_of.ax.tick_params(labelsize=8)
    scale_of.ax.axhline(level, color="white", linewidth=1.4)
    wrapped = "\n".join(textwrap.wrap(text, 90)[:4])
    figure.suptitle(f"“{wrapped}”", fontsize=11)
    said = f"line: the highest {highest:.0%} of the map; cross: its maximum; {_NOTICE}"
    figure.supxlabel(said, fontsize=7, color="#5b626c")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
