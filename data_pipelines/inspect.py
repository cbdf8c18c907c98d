"""What a prepared folder holds, for a person: counts in words, and a contact sheet to look at."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from etils import epath

from data_pipelines import manifest as folder_layout
from data_pipelines.batches import PreparedData, open_data
from data_pipelines.contact_sheet import draw_contact_sheet, is_synthetic
from data_pipelines.records import SPLITS, Label


def inspect(
    folder: os.PathLike | str,
    out: os.PathLike | str | None = None,
    include_examples: bool = False,
) -> str:
    """Describes a prepared folder, and draws some of its images with their marks and reports.

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
    if not any(data.splits.values()):
        lines.append("contact sheet: none, since there is no image")
    elif data.shareable or include_examples:
        path = Path(out) if out is not None else Path(data.dir) / "contact_sheet.png"
        draw_contact_sheet(data, path)
        lines.append(f"contact sheet: {path}")
    else:
        lines.append(
            "contact sheet: none, since this data is marked not shareable; say "
            "--include-examples to draw it for your own eyes"
        )
    return "\n".join(lines)


def _describe(data: PreparedData) -> list[str]:
    manifest = data.manifest
    kind = "synthetic phantoms, no real patient" if is_synthetic(data.name) else "radiographs"
    reports = "with reports" if manifest["has_reports"] else "without reports"
    lines = [
        f"{data.dir}: {manifest['source']} {manifest['version']} ({kind}, {reports})",
        f"images: long side {data.image_size} pixels, 8-bit grey; "
        f"{'may' if data.shareable else 'may not'} be shown to others",
        f"split rule: {manifest['split_rule']}",
    ]
    if manifest["limit"] is not None:
        lines.append(f"limit: {manifest['limit']} images of all splits together were taken")
    for split in SPLITS:
        if split in data.splits:
            lines += _describe_split(data, split)
        elif split in manifest["published_counts"]:
            published = manifest["published_counts"][split]
            lines.append(f"{split}: none (published: {published})")
    if manifest["left_out"]:
        lines.append(f"not taken: {_reasons(manifest['left_out'])}")
    unusable = manifest["quarantined"]
    lines.append(
        f"left out: {sum(unusable.values())} images"
        + (f" ({_reasons(unusable)}); quarantine.jsonl names them" if unusable else "")
    )
    repeated = data.manifest.get("duplicates")
    if repeated:
        fate = "left out" if manifest["duplicates_dropped"] else "kept"
        lines.append(
            f"the same to the eye in two splits: {_reasons(repeated)} ({fate}); duplicates.jsonl "
            "names them"
        )
    lines.append(
        f"vocabulary: {manifest['vocab_size']} pieces, {data.vocab_hash}; prompts for zero-shot: "
        + (f"{len(data.prompts)} labels" if data.prompts else "none")
    )
    lines.append(f"data: {data.manifest_hash}, written by place_jax {manifest['code_version']}")
    return lines


def _describe_split(data: PreparedData, split: str) -> list[str]:
    counts = data.manifest["splits"][split]
    published = data.manifest["published_counts"].get(split)
    sentences = f", {counts['sentences']} sentences" if data.manifest["has_reports"] else ""
    ids = data.manifest.get("split_ids", {}).get(split, "")
    return [
        f"{split}: {counts['examples']} images of {counts['studies']} studies and "
        f"{counts['patients']} patients{_beside(counts, published)}{sentences}, in "
        f"{counts['shards']} shards of {counts['bytes'] / 1e6:.1f} MB together",
        f"  labels: {_describe_labels(data, split)}",
        *([f"  identifiers: sha256 {ids[:16]}"] if ids else []),
    ]


def _beside(counts: Mapping[str, int], published: int | None) -> str:
    """How the number of images compares with what the source's owner or its papers state."""
    if published is None:
        return ""
    missing = published - counts["listed"]
    if missing == 0:
        return f" (published: {published}, all listed)"
    return f" (published: {published}, {abs(missing)} {'fewer' if missing > 0 else 'more'} listed)"


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in counts.items())


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
    return ", ".join(found) or "none positive"
