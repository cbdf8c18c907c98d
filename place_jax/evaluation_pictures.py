"""Curves and confusion tables of `place evaluate`, as SVG and PNG beside its JSON."""

import io
import pathlib
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from place_jax.metrics.classification import auroc, average_precision, known
from place_jax.metrics.scores import Confusion, Ranking

FORMATS = ("svg", "png")
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "svg.hashsalt": "place",
}
_PER_ROW = 4  # confusion tables


def write_pictures(details: Mapping[str, object], stem: pathlib.Path) -> list[pathlib.Path]:
    """Draws what there is: STEM_curves and STEM_confusion, each as SVG and PNG.

    Args:
      details: of Scores.
      stem: path without its ending.

    Returns:
      What was written.
    """
    rankings = {n: d for n, d in details.items() if isinstance(d, Ranking)}
    confusions = {n: d for n, d in details.items() if isinstance(d, Confusion)}
    written = []
    with matplotlib.rc_context(_STYLE):
        for name, figure in (
            ("curves", curves(rankings) if rankings else None),
            ("confusion", confusion_tables(confusions) if confusions else None),
        ):
            for kind in FORMATS if figure is not None else ():
                path = stem.with_name(f"{stem.name}_{name}.{kind}")
                buffer = io.BytesIO()
                nameless = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
                figure.savefig(buffer, format=kind, dpi=120, metadata=nameless)
                path.write_bytes(buffer.getvalue())
                written.append(path)
    return written


def curves(rankings: Mapping[str, Ranking]) -> Figure:
    """ROC and precision-recall curves, a row for each group of names before the last slash."""
    groups: dict[str, dict[str, Ranking]] = {}
    for name, ranking in rankings.items():
        group, _, label = name.rpartition("/")
        groups.setdefault(group, {})[label] = ranking
    figure = Figure(figsize=(9.4, 3.9 * len(groups)), layout="constrained")
    panels = figure.subplots(len(groups), 2, squeeze=False)
    for row, (group, members) in zip(panels, groups.items(), strict=True):
        _draw_group(row, group, members)
    return figure


def _draw_group(row: Sequence, group: str, members: Mapping[str, Ranking]) -> None:
    left, right = row
    colours = matplotlib.colormaps["tab20" if len(members) > 10 else "tab10"]
    for number, (label, ranking) in enumerate(members.items()):
        keep = known(ranking.labels)
        labels, scores = ranking.labels[keep], ranking.scores[keep]
        said, colour = label.replace("_", " "), colours(number)
        false, true, _ = roc_curve(labels, scores)
        area = auroc(labels, scores)
        left.plot(false, true, color=colour, linewidth=1.4, label=f"{said} {area:.3f}")
        precision, recall, _ = precision_recall_curve(labels, scores)
        area = average_precision(labels, scores)
        right.step(
            recall, precision, where="post", color=colour, linewidth=1.4, label=f"{said} {area:.3f}"
        )
        # What a random order reaches differs from label to label.
        share = float((labels == 1).mean())
        right.axhline(share, color=colour, linewidth=0.7, linestyle=":")
    left.plot([0, 1], [0, 1], color="#8a8f98", linewidth=0.8, linestyle=":")
    left.set_title(f"{group}: ROC, area", loc="left")
    left.set_xlabel("false positive rate")
    left.set_ylabel("true positive rate")
    right.set_title("precision-recall, average precision (dotted: a random order)", loc="left")
    right.set_xlabel("recall")
    right.set_ylabel("precision")
    for axes in row:
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.legend(facecolor="white", edgecolor="none", framealpha=0.85, fontsize=7, loc="best")


def confusion_tables(confusions: Mapping[str, Confusion]) -> Figure:
    """Counts by true and called class, coloured by the share of the true class."""
    widest = max(len(c.classes) for c in confusions.values())
    columns = min(len(confusions), _PER_ROW if widest <= 3 else 2)
    rows = -(-len(confusions) // columns)
    side = 1.1 + 0.55 * widest
    figure = Figure(figsize=(columns * (side + 0.9), rows * (side + 0.5)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(confusions) :]:
        axes.set_axis_off()
    for axes, (name, confusion) in zip(panels, confusions.items(), strict=False):
        counts = np.asarray(confusion.counts)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (true, called), count in np.ndenumerate(counts):
            colour = "white" if share[true, called] > 0.55 else "#22272e"
            axes.text(called, true, str(count), ha="center", va="center", color=colour)
        ticks = range(len(confusion.classes))
        axes.set_xticks(ticks, confusion.classes, rotation=40, ha="right", fontsize=7)
        axes.set_yticks(ticks, confusion.classes, fontsize=7)
        axes.set_xlabel("called", fontsize=7)
        axes.set_ylabel("true", fontsize=7)
        axes.set_title(name.rpartition("/")[2].replace("_", " "), fontsize=8)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure
