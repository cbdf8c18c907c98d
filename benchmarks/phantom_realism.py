"""How far PhantomCXR's pictures are from radiographs: grey levels and power spectra.

    python benchmarks/phantom_realism.py --images FOLDER [--sheet SHEET.png]

reads every PNG or JPEG below FOLDER (frontal radiographs that you have; images.csv beside them may
name a `source` and a `view` of each) and writes benchmarks/results/phantom_realism.json. The sheet
holds the radiographs beside phantoms, for your own eyes: it is not for passing on.

Grey levels: the Wasserstein distance between all pixels of two sets, in grey levels of 255, each
image first stretched from its 1st to its 99th percentile or as it is. Spectrum: the mean difference
of log power over spatial frequencies, in decibels, each image first set to mean 0 and variance 1,
under a Hann window. Two hospitals' radiographs differ too: that distance stands beside as the one
to be measured by.
"""

import argparse
import csv
import json
import pathlib

import cv2
import numpy as np

from data_pipelines.sources.phantom import PhantomSource

RESULT = pathlib.Path(__file__).parent / "results" / "phantom_realism.json"
SIDE = 256


def squared(pixels: np.ndarray) -> np.ndarray:
    """The middle square of an image without its black border, [SIDE, SIDE] uint8."""
    lit = pixels > 12
    rows, columns = (np.flatnonzero(lit.mean(axis) > 0.2) for axis in (1, 0))
    if len(rows) > 32 and len(columns) > 32:
        pixels = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = min(pixels.shape)
    top, left = ((length - side) // 2 for length in pixels.shape)
    square = pixels[top : top + side, left : left + side]
    way = cv2.INTER_AREA if side >= SIDE else cv2.INTER_LINEAR
    return cv2.resize(square, (SIDE, SIDE), interpolation=way)


def stretched(images: np.ndarray) -> np.ndarray:
    """Each image [n, SIDE, SIDE] from its 1st to its 99th percentile, 0..255."""
    low, high = np.percentile(images, (1, 99), axis=(1, 2), keepdims=True)
    return np.clip((images - low) / np.maximum(high - low, 1) * 255, 0, 255)


def grey_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Wasserstein distance between the pixels of two sets, in grey levels."""
    shares = [np.histogram(s, 256, (0, 256))[0] / s.size for s in (a, b)]
    return float(np.abs(np.cumsum(shares[0] - shares[1])).sum())


def spectrum(images: np.ndarray) -> np.ndarray:
    """Mean log power by spatial frequency, in decibels, [SIDE // 2 - 1]."""
    window = np.hanning(SIDE)[:, None] * np.hanning(SIDE)
    y, x = np.indices((SIDE, SIDE)) - SIDE // 2
    ring = np.rint(np.hypot(x, y)).astype(int)
    curves = []
    for image in images.astype(np.float64):
        image = (image - image.mean()) / (image.std() + 1e-6)
        power = np.abs(np.fft.fftshift(np.fft.fft2(image * window))) ** 2
        mean = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
        curves.append(10 * np.log10(mean[1 : SIDE // 2] + 1e-9))
    return np.mean(curves, axis=0)


def distances(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """All distances between two sets of images [n, SIDE, SIDE]."""
    difference = spectrum(a) - spectrum(b)
    return {
        "grey": round(grey_distance(a, b), 1),
        "grey_stretched": round(grey_distance(stretched(a), stretched(b)), 1),
        "spectrum_db": round(float(np.abs(difference).mean()), 2),
        "spectrum_db_low": round(float(np.abs(difference[:16]).mean()), 2),
        "spectrum_db_high": round(float(np.abs(difference[64:]).mean()), 2),
    }


def radiographs(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Source -> its images; all under "" where no list tells them apart."""
    named = {}
    for table in folder.glob("*.csv"):
        with table.open(newline="") as file:
            for row in csv.DictReader(file):
                if "image" in row and "source" in row:
                    named[pathlib.Path(row["image"]).name] = row["source"]
    sets: dict[str, list[np.ndarray]] = {}
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    for path in files:
        if named and path.name not in named:
            continue
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if pixels is not None and min(pixels.shape) >= SIDE // 2:
            sets.setdefault(named.get(path.name, ""), []).append(squared(pixels))
    if not sets:
        raise SystemExit(f"{folder} holds no PNG or JPEG of {SIDE // 2} pixels or more a side")
    return {source: np.stack(images) for source, images in sets.items()}


def phantoms(config: str, count: int, shift: str = "none") -> np.ndarray:
    """Frontal phantoms [count, SIDE, SIDE]; of a shifted source, those of the test split."""
    source = PhantomSource(config=config, patients=20 * count, size=512, seed=11, shift=shift)
    images = []
    for key in source.keys():
        if shift != "none" and key.split != "test":
            continue
        study = source.load(key)
        if study.view in ("PA", "AP"):
            images.append(squared(study.pixels))
        if len(images) == count:
            break
    return np.stack(images)


def draw_sheet(real: np.ndarray, drawn: np.ndarray, path: pathlib.Path) -> None:
    """Rows of radiographs and rows of phantoms in turn."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(3):
        for images in (real, drawn):
            pick = rng.choice(len(images), 5, replace=False)
            rows.append(np.hstack([images[i] for i in pick]))
    cv2.imwrite(str(path), np.vstack(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=pathlib.Path, required=True, help="radiographs you have")
    parser.add_argument("--count", type=int, default=200, help="phantoms of each config")
    parser.add_argument("--sheet", type=pathlib.Path, help="PNG with both, for your own eyes")
    parser.add_argument("--out", type=pathlib.Path, default=RESULT)
    arguments = parser.parse_args()
    sets = radiographs(arguments.images)
    real = np.concatenate(list(sets.values()))
    rows = {}
    if len(sets) == 2:
        rows["one hospital's radiographs, another's"] = distances(*sets.values())
    halves = np.random.default_rng(0).permutation(len(real))
    rows["half of the radiographs, the other half"] = distances(
        real[halves[::2]], real[halves[1::2]]
    )
    noise = np.random.default_rng(0).integers(0, 256, (50, SIDE, SIDE))
    rows["white noise"] = distances(noise, real)
    for config in ("easy", "default", "hard"):
        drawn = phantoms(config, arguments.count)
        rows[config] = distances(drawn, real)
        if config == "default" and arguments.sheet:
            draw_sheet(real, drawn, arguments.sheet)
    elsewhere = phantoms("default", arguments.count // 2, "scanner")
    rows["default, shifted scanner"] = distances(elsewhere, real)
    for name, row in rows.items():
        print(f"{name:42s} " + "  ".join(f"{key} {value}" for key, value in row.items()))
    result = {"radiographs": len(real), "phantoms": arguments.count, "distances": rows}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
