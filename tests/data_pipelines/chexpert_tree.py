"""Small trees in the layouts that CheXpert is distributed in."""

import csv
import pathlib

import cv2
import numpy as np

from data_pipelines.records import CHEXPERT_LABELS

COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS)


def row(path: str, view: str = "PA", **labels: str) -> dict[str, str]:
    """A row of train.csv. Labels by name, with _ for a space; the others are blank."""
    side = "Lateral" if "lateral" in path else "Frontal"
    named = {name.replace("_", " "): value for name, value in labels.items()}
    return dict.fromkeys(COLUMNS, "") | {
        "Path": f"CheXpert-v1.0-small/{path}",
        "Sex": "Female",
        "Age": "61",
        "Frontal/Lateral": side,
        "AP/PA": "" if side == "Lateral" else view,
        **named,
    }


def many_rows(count: int) -> list[dict[str, str]]:
    """Rows of random labels, three images to a patient, every fifth lateral."""
    rng = np.random.default_rng(11)
    values = rng.choice(["", "1.0", "0.0", "-1.0"], (count, 14), p=(0.9, 0.06, 0.03, 0.01))
    rows = []
    for i in range(count):
        side = "lateral" if i % 5 == 4 else "frontal"
        path = f"train/patient{i // 3 + 1:05d}/study{i % 3 // 2 + 1}/view{i % 3 + 1}_{side}.jpg"
        labels = dict(zip(CHEXPERT_LABELS, values[i], strict=True))
        rows.append(row(path) | labels)
    return rows


def write_csv(path: pathlib.Path, rows, columns=COLUMNS) -> None:
    """A list as the owner writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def write_jpeg(path: pathlib.Path, seed: int, shape=(40, 48)) -> np.ndarray:
    """A smooth random image; returns its pixels as they decode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6), np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC))
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
