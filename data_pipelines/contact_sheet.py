"""A picture to look at: some images of a prepared folder, their marks drawn in, their reports."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from data_pipelines import manifest as folder_layout
from data_pipelines.batches import PreparedData
from data_pipelines.image import decode_png
from data_pipelines.record_codec import decode_record
from data_pipelines.record_reader import RecordReader
from data_pipelines.records import BadInput, Label

_PANELS = (3, 4)  # rows, columns
_TEXT_WIDTH = 54  # characters
_TEXT_LINES = 9
_FIELDS = ("image", "view", "sentences", "labels", "boxes", "box_label", "mask")
_NOTHING_FOUND = ("No Finding", "Normal")  # positive, and still nothing to see
# Bright on grey, and told apart by most eyes; the labels of a sheet take them in turn.
_COLORS = ("#ffb000", "#40c4ff", "#ff5c8a", "#76ff03", "#e040fb", "#ffff4d", "#1de9b6", "#ff7043")
_MASK_OPACITY = 0.25
_LEGEND_COLUMNS = 7


def is_synthetic(name: str) -> bool:
    """Whether images of this source were rendered and show no patient."""
    return name.startswith("phantom")


def draw_contact_sheet(data: PreparedData, path: Path) -> None:
    """Draws twelve images of the first split that has any, at least half of them with a finding.

    Raises:
      BadInput: for records that cannot be read.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows, columns = _PANELS
    split = next(split for split, count in data.splits.items() if count)
    records = _read(data, split, rows * columns)
    text_height = 2 if any(record["sentences"] for record in records) else 0
    heights = (4, text_height) if text_height else (4,)
    marked = sorted({label for record in records for label in _marked(record)})
    colors = {label: _COLORS[i % len(_COLORS)] for i, label in enumerate(marked)}
    figure = Figure(figsize=(4 * columns, sum(heights) * rows + 1), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(rect=(0.01, 0.03, 0.98, 0.96))
    title = f"{data.manifest['source']} {data.manifest['version']}, {split} split"
    if is_synthetic(data.name):
        title += ": SYNTHETIC, rendered phantoms, no real patient"
    figure.suptitle(title, fontsize=16)
    panels = figure.subplots(len(heights) * rows, columns, height_ratios=heights * rows)
    for axes in panels.flat:
        axes.set_axis_off()
    for i, record in enumerate(records):
        row, column = divmod(i, columns)
        _draw_image(panels[len(heights) * row, column], record, data.label_names, colors)
        if text_height:
            text = panels[len(heights) * row + 1, column]
            words = _wrap(record["sentences"])
            text.text(0, 1, words, transform=text.transAxes, fontsize=9, va="top")
    if colors:
        patches = [Patch(color=c, label=data.label_names[label]) for label, c in colors.items()]
        figure.legend(handles=patches, loc="lower center", ncols=_LEGEND_COLUMNS, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def _read(data: PreparedData, split: str, number: int) -> list[dict[str, Any]]:
    folder = epath.Path(data.dir)
    index = folder_layout.read_arrays(folder_layout.split_index_path(folder, split))
    chosen = _choose(index["labels"], data.label_names, number)
    try:
        serialized = RecordReader(folder, data.name, split, index).read(chosen)
        return [decode_record(record, _FIELDS) for record in serialized]
    except ValueError as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            "damaged_record",
            f"a record of split {split!r} in {data.dir!r} cannot be read ({error}): copy the "
            "folder again",
        ) from None


def _choose(labels: np.ndarray, label_names: Sequence[str], number: int) -> list[int]:
    """Positions of the first examples, but at least half with a finding where there are as many:
    of data in which one image in five has one, the first twelve would show little.
    """
    named = [i for i, name in enumerate(label_names) if name not in _NOTHING_FOUND]
    found = (labels[:, named] == Label.POSITIVE).any(axis=1)
    positive, negative = np.flatnonzero(found), np.flatnonzero(~found)
    wanted = max(number // 2, int(found[:number].sum()), number - len(negative))
    positive = positive[:wanted]
    return sorted([*positive.tolist(), *negative[: number - len(positive)].tolist()])


def _marked(record: Mapping[str, Any]) -> set[int]:
    """The labels that a record's boxes and mask show."""
    labels = set(record["box_label"].tolist())
    if record["mask"]:
        labels |= {int(value) - 1 for value in np.unique(decode_png(record["mask"])) if value}
    return labels


def _draw_image(
    axes, record: Mapping[str, Any], label_names: Sequence[str], colors: Mapping[int, str]
) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    axes.imshow(decode_png(record["image"]), cmap="gray", vmin=0, vmax=255)
    if record["mask"]:
        classes = decode_png(record["mask"])
        tint = np.zeros((*classes.shape, 4), np.float32)
        for value in np.unique(classes[classes > 0]).tolist():
            area = classes == value
            tint[area] = (*to_rgb(colors[value - 1]), _MASK_OPACITY)
            tint[area & ~_inside(area), 3] = 1
        axes.imshow(tint, interpolation="nearest")
    for box, label in zip(record["boxes"], record["box_label"].tolist(), strict=True):
        corner, size = box[:2] - 0.5, box[2:] - box[:2]
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colors[label]))
        axes.text(
            *corner,
            label_names[label],
            fontsize=8,
            color=colors[label],
            va="bottom",
            clip_on=True,
            bbox={"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 1},
        )
    axes.set_title(_caption(record, label_names), fontsize=9)


def _inside(area: np.ndarray) -> np.ndarray:
    """[h, w] bool: pixels of the area whose four neighbours are in it too."""
    padded = np.pad(area, 1)
    return padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & area


def _caption(record: Mapping[str, Any], label_names: Sequence[str]) -> str:
    positive = np.flatnonzero(record["labels"] == Label.POSITIVE)
    names = ", ".join(label_names[i] for i in positive)
    if not names and (record["labels"] == Label.NEGATIVE).any():
        names = "no label positive"
    return textwrap.shorten(": ".join(filter(None, [record["view"], names])), 60)


def _wrap(sentences: Sequence[str]) -> str:
    # A dollar sign would start a formula.
    lines = textwrap.wrap(" ".join(sentences).replace("$", r"\$"), _TEXT_WIDTH)
    if len(lines) > _TEXT_LINES:
        lines = [*lines[: _TEXT_LINES - 1], "..."]
    return "\n".join(lines)
