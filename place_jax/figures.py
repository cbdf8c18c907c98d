"""The report page's charts and pictures, as data URIs that need no other file."""

import base64
import dataclasses
import io
from collections.abc import Mapping, Sequence

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

TRAINED = "#1f6f8b"
REFERENCE = "#8a8f98"
CONTROL = "#c8553d"
_BOX = (64, 200, 255)
_TEXT = "#22272e"

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": "#c9ced6",
    "axes.labelcolor": _TEXT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "text.color": _TEXT,
    "xtick.color": "#5b626c",
    "ytick.color": "#5b626c",
    "grid.color": "#e8ebef",
    "svg.hashsalt": "place",
}


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a chart: `steps` [n] and `values` [n]."""

    label: str
    steps: Sequence[float]
    values: Sequence[float]
    color: str = TRAINED
    dashed: bool = False
    marked: bool = False


@dataclasses.dataclass(frozen=True)
class Panel:
    """One small chart of lines over training steps, with what chance gives, if that is known."""

    title: str
    lines: Sequence[Line]
    chance: float | None = None


@dataclasses.dataclass(frozen=True)
class Bar:
    """One row of `intervals`: a value, its interval, and what the untrained encoder reaches."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    untrained: float | None = None


def curves(panels: Sequence[Panel]) -> str:
    """Small charts side by side, three to a row. Returns an SVG data URI."""
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.6 * columns, 2.5 * rows), layout="constrained")
        for number, panel in enumerate(panels):
            axes = figure.add_subplot(rows, columns, number + 1)
            for line in panel.lines:
                axes.plot(
                    line.steps,
                    line.values,
                    color=line.color,
                    linestyle="--" if line.dashed else "-",
                    linewidth=1.1 if line.dashed else 1.7,
                    marker="o" if line.marked else None,
                    markersize=3.5,
                    label=line.label,
                )
            if panel.chance is not None:
                axes.axhline(panel.chance, color=REFERENCE, linewidth=1, linestyle=":")
                axes.annotate(
                    "chance",
                    (1, panel.chance),
                    xycoords=("axes fraction", "data"),
                    xytext=(-2, 2),
                    textcoords="offset points",
                    ha="right",
                    color=REFERENCE,
                    fontsize=8,
                )
            axes.set_title(panel.title)
            axes.set_xlabel("step", fontsize=8)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.grid(axis="y")
            axes.margins(y=0.12)
            if len(panel.lines) > 1:
                axes.legend(frameon=False, fontsize=8)
        return _svg(figure)


def intervals(bars: Sequence[Bar], *, chance: float, xlabel: str) -> str:
    """Values with their intervals, a row each, beside chance. Returns an SVG data URI."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 0.9 + 0.34 * len(bars)), layout="constrained")
        axes = figure.add_subplot()
        for row, bar in enumerate(reversed(bars)):
            if bar.low is not None and bar.high is not None:
                axes.plot([bar.low, bar.high], [row, row], color=TRAINED, linewidth=2.2, alpha=0.5)
            if bar.untrained is not None:
                axes.plot(
                    bar.untrained, row, "o", markersize=6, mfc="white", mec=REFERENCE, zorder=2
                )
            axes.plot(bar.value, row, "o", color=TRAINED, markersize=7, zorder=3)
            axes.annotate(
                f"{bar.value:.2f}",
                (1, row),
                xycoords=("axes fraction", "data"),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
            )
        axes.plot([], [], "o-", color=TRAINED, label="trained, 95 % interval")
        if any(bar.untrained is not None for bar in bars):
            axes.plot([], [], "o", mfc="white", mec=REFERENCE, label="untrained encoder")
        axes.axvline(chance, color=REFERENCE, linestyle=":", linewidth=1.2, label="chance")
        axes.set_yticks(range(len(bars)), [bar.label for bar in reversed(bars)])
        axes.set_ylim(-0.6, len(bars) - 0.4)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(xlabel)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8)
        return _svg(figure)


def picture(pixels: np.ndarray, *, side: int = 224) -> str:
    """A grey image [h, w] uint8, its long side brought to `side`. Returns a PNG data URI."""
    return _png(cv2.cvtColor(_resized(pixels, side), cv2.COLOR_GRAY2RGB))


def boxed(pixels: np.ndarray, boxes: np.ndarray, *, side: int = 280) -> str:
    """A grey image with boxes [k, 4] of its pixels drawn on it. Returns a PNG data URI."""
    shown = cv2.cvtColor(_resized(pixels, side), cv2.COLOR_GRAY2RGB)
    return _png(_draw(shown, boxes, side / max(pixels.shape)))


def attended(
    pixels: np.ndarray, attention: np.ndarray, boxes: np.ndarray, *, side: int = 280
) -> str:
    """The same with a map [h, w] in colour over it and a cross on its maximum.

    Where the map is low the image shows through; the colours span the map's own range.
    """
    shown = cv2.cvtColor(_resized(pixels, side), cv2.COLOR_GRAY2RGB).astype(np.float32)
    spread = attention - attention.min()
    spread = cv2.resize(spread / max(float(spread.max()), 1e-12), shown.shape[1::-1])
    colour = matplotlib.colormaps["inferno"](spread)[..., :3].astype(np.float32) * 255
    opacity = 0.65 * spread[..., None] ** 0.8
    shown = np.clip(shown * (1 - opacity) + colour * opacity, 0, 255).astype(np.uint8)
    scale = side / max(pixels.shape)
    shown = _draw(shown, boxes, scale)
    y, x = np.unravel_index(int(attention.argmax()), attention.shape)
    point = (round((x + 0.5) * scale), round((y + 0.5) * scale))
    cv2.drawMarker(shown, point, (0, 0, 0), cv2.MARKER_CROSS, 17, 4, cv2.LINE_AA)
    cv2.drawMarker(shown, point, (255, 255, 255), cv2.MARKER_CROSS, 15, 2, cv2.LINE_AA)
    return _png(shown)


def table_of(metrics: Sequence[Mapping[str, float]], name: str) -> tuple[list, list]:
    """Steps and values of the lines of metrics.jsonl that hold `name`, finite ones only."""
    found = ((m["step"], m.get(name)) for m in metrics)  # what was not finite is null there
    rows = [(step, value) for step, value in found if value is not None and np.isfinite(value)]
    return [step for step, _ in rows], [value for _, value in rows]


def _draw(shown: np.ndarray, boxes: np.ndarray, scale: float) -> np.ndarray:
    for x_min, y_min, x_max, y_max in np.asarray(boxes, float) * scale:
        corners = (round(x_min), round(y_min)), (round(x_max), round(y_max))
        cv2.rectangle(shown, *corners, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.rectangle(shown, *corners, _BOX, 2, cv2.LINE_AA)
    return shown


def _resized(pixels: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(pixels.shape)
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(pixels, size, interpolation=interpolation)


def _svg(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _data_uri("image/svg+xml", buffer.getvalue())


def _png(pixels: np.ndarray) -> str:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return _data_uri("image/png", encoded.tobytes())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
