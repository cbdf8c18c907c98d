"""Phantoms as arrays, for the other phantom_*.py: drawn by several processes, kept in a folder."""

import dataclasses
import multiprocessing
import os
import pathlib

import numpy as np

from data_pipelines.phantom import VERSION
from data_pipelines.phantom.findings import DIFFICULTY, LABEL_OF
from data_pipelines.records import CHEXPERT_LABELS
from data_pipelines.sources.phantom import PhantomSource

CELL = 4  # pixels of a mask cell's side


@dataclasses.dataclass(frozen=True)
class Draws:
    """Images of one split.

    Attributes:
      pixels: [n, size, size] uint8. labels: [n, K] int8 of records.Label.
      masks: [n, size/CELL, size/CELL, K] uint8, coverage of each label's findings of 255.
      boxes: each image's (label, x_min, y_min, x_max, y_max), as lists in an object array [n].
      reports: [n] findings and impression.
    """

    pixels: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    boxes: np.ndarray
    reports: np.ndarray


def drawn_labels(config: str) -> list[str]:
    """The K labels of a config that it draws, in CheXpert's order."""
    drawn = {LABEL_OF[kind] for kind in DIFFICULTY[config].prevalence}
    return [label for label in CHEXPERT_LABELS if label in drawn]


def draw(config: str, split: str, count: int, size: int, folder: pathlib.Path, shift="none"):
    """The first `count` frontal images of a split. A folder that holds them, or more, is read."""
    prefix = f"{config}-{VERSION}-{split}-{shift}-{size}-"
    path = folder / f"{prefix}{count}.npz"
    for kept in folder.glob(f"{prefix}*.npz"):
        if kept.stem.removeprefix(prefix).isdigit() and int(kept.stem.split("-")[-1]) >= count:
            path = kept
    if not path.exists():
        share = {"train": 0.8, "validation": 0.08, "test": 0.12}[split]
        patients = 25 * (int(count / share / 1.2 / 25) + 2)
        source = PhantomSource(config=config, patients=patients, size=size, shift=shift)
        keys = [key for key in source.keys() if key.split == split][:count]
        jobs = [(source, keys[i : i + 50]) for i in range(0, len(keys), 50)]
        with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
            parts = []
            for part in pool.imap(_load, jobs):
                parts.append(part)
                print(f"\r{config} {split}: {50 * len(parts)} of {count} drawn", end="", flush=True)
        print()
        folder.mkdir(parents=True, exist_ok=True)
        fields = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        aside = path.with_suffix(".part.npz")
        np.savez_compressed(aside, **fields)
        aside.rename(path)
    with np.load(path, allow_pickle=True) as stored:
        return Draws(**{name: stored[name][:count] for name in stored.files})


def _load(job) -> dict[str, np.ndarray]:
    import cv2

    cv2.setNumThreads(1)
    source, keys = job
    chosen = [CHEXPERT_LABELS.index(name) for name in drawn_labels(source.config)]
    cells = source.size // CELL
    pixels, labels, masks, boxes, reports = [], [], [], [], []
    for key in keys:
        study = source.load(key)
        pixels.append(study.pixels)
        labels.append(study.labels[chosen])
        cut = study.mask.reshape(cells, CELL, cells, CELL, 1) == 1 + np.array(chosen)
        masks.append((cut.mean((1, 3)) * 255).astype(np.uint8))
        boxes.append(
            [
                (chosen.index(label), *box)
                for label, box in zip(study.box_label.tolist(), study.boxes.tolist(), strict=True)
            ]
        )
        reports.append(f"{study.findings} {study.impression}")
    ragged = np.empty(len(boxes), object)
    ragged[:] = boxes
    return {
        "pixels": np.stack(pixels),
        "labels": np.stack(labels),
        "masks": np.stack(masks),
        "boxes": ragged,
        "reports": np.array(reports),
    }
