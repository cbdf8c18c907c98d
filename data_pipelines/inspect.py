"""What a prepared folder holds, for a person: counts in words, and a contact sheet to look at."""

import os
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from etils import epath

from data_pipelines import manifest as folder_layout
from data_pipelines.batches import PreparedData, open_data, read_records
from data_pipelines.image import decode_png
from data_pipelines.records import Label

_PANELS = (3, 4)  # rows, columns
_TEXT_WIDTH = 54  # characters
_TEXT_LINES = 9
# Kept fields of a panel; a mask is not drawn, so it is not read.
_FIELDS = ("image", "view", "sentences", "labels", "boxes", "box_label")


def inspect(
    folder: os.PathLike | str,
    out: os.PathLike | str | None = None,
    include_examples: bool = False,
) -> str:
    """Describes a prepared folder, and draws some of its images with their reports.

    Args:
      folder: a finished prepared folder.
      out: file of the contact sheet; None puts contact_sheet.png into the folder.
      include_examples: draws it also where the data is marked not shareable.

    Returns:
      The description, a few lines of text.

    Raises:
      BadInput: if the folder is not a finished one.
    """
    data = open_data(folder)
    lines = _describe(data)
    if data.shareable or include_examples:
        path = Path(out) if out is not None else Path(data.dir) / "contact_sheet.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        _draw_sheet(data, path)
        lines.append(f"contact sheet: {path}")
    else:
        lines.append(
            "contact sheet: none, since this data is marked not shareable; say "
            "--include-examples to draw it for your own eyes"
        )
    return "\n".join(lines)


def is_synthetic(name: str) -> bool:
    """Whether images of this source were rendered and show no patient."""
    return name.startswith("phantom")


def _describe(data: PreparedData) -> list[str]:
    manifest = data.manifest
    kind = "synthetic phantoms, no real patient" if is_synthetic(data.name) else "radiographs"
    lines = [
        f"{data.dir}: {manifest['source']} {manifest['version']} ({kind})",
        f"images: long side {data.image_size} pixels, 8-bit grey; "
        f"{'may' if data.shareable else 'may not'} be shown to others",
        f"split rule: {manifest['split_rule']}",
    ]
    for split in data.splits:
        counts = manifest["splits"][split]
        lines.append(
            f"{split}: {counts['examples']} images of {counts['studies']} studies and "
            f"{counts['patients']} patients, {counts['sentences']} sentences, in "
            f"{counts['shards']} shards of {counts['bytes'] / 1e6:.1f} MB together"
        )
        lines.append(f"  labels: {_describe_labels(data, split)}")
    left_out = manifest["quarantined"]
    reasons = ", ".join(f"{reason} {count}" for reason, count in left_out.items())
    lines.append(
        f"left out: {sum(left_out.values())} images" + (f" ({reasons})" if reasons else "")
    )
    lines.append(
        f"vocabulary: {manifest['vocab_size']} pieces, {data.vocab_hash}; prompts for zero-shot: "
        + (f"{len(data.prompts)} labels" if data.prompts else "none")
    )
    lines.append(f"data: {data.manifest_hash}, written by place_jax {manifest['code_version']}")
    return lines


def _describe_labels(data: PreparedData, split: str) -> str:
    if not data.splits[split]:
        return "none"
    labels = folder_layout.read_arrays(folder_layout.split_index_path(epath.Path(data.dir), split))[
        "labels"
    ]
    positives = Counter(
        {
            name: int((labels[:, i] == Label.POSITIVE).sum())
            for i, name in enumerate(data.label_names)
        }
    )
    found = [f"{name} {count}" for name, count in positives.most_common() if count]
    return ", ".join(found) or "none given"


def _draw_sheet(data: PreparedData, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rows, columns = _PANELS
    split = next(split for split, count in data.splits.items() if count)
    records = read_records(data, split, _FIELDS, limit=rows * columns)
    figure = Figure(figsize=(4 * columns, 6 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(rect=(0.01, 0.01, 0.98, 0.98))
    title = f"{data.manifest['source']} {data.manifest['version']}, {split} split"
    if is_synthetic(data.name):
        title += ": SYNTHETIC, rendered phantoms, no real patient"
    figure.suptitle(title, fontsize=16)
    panels = figure.subplots(2 * rows, columns, height_ratios=(4, 2) * rows, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for i, record in enumerate(records):
        row, column = divmod(i, columns)
        picture, text = panels[2 * row, column], panels[2 * row + 1, column]
        picture.imshow(decode_png(record["image"]), cmap="gray", vmin=0, vmax=255)
        for box, label in zip(record["boxes"], record["box_label"], strict=True):
            corner, size = box[:2] - 0.5, box[2:] - box[:2]
            picture.add_patch(Rectangle(corner, *size, fill=False, edgecolor="orange"))
            picture.text(
                *corner,
                data.label_names[label],
                fontsize=8,
                color="orange",
                va="bottom",
                clip_on=True,
                bbox={"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 1},
            )
        picture.set_title(_caption(record, data.label_names), fontsize=9)
        text.text(0, 1, _wrap(record["sentences"]), transform=text.transAxes, fontsize=9, va="top")
    figure.savefig(path, dpi=80)


def _caption(record: dict, label_names: Sequence[str]) -> str:
    positive = np.flatnonzero(record["labels"] == Label.POSITIVE)
    names = ", ".join(label_names[i] for i in positive)
    return textwrap.shorten(": ".join(filter(None, [record["view"], names])), 60)


def _wrap(sentences: list[str]) -> str:
    # A dollar sign would start a formula.
    lines = textwrap.wrap(" ".join(sentences).replace("$", r"\$"), _TEXT_WIDTH)
    if len(lines) > _TEXT_LINES:
        lines = [*lines[: _TEXT_LINES - 1], "..."]
    return "\n".join(lines)
