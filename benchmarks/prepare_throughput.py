"""How many radiographs a second `place prepare` makes shards of, against a plain script.

    python benchmarks/prepare_throughput.py

writes benchmarks/results/prepare_throughput.json (about ten minutes and 4 GB of disk). Seconds of
the cores are counted beside those of the clock, which other work on the machine stretches.

2,000 JPEGs of 2,500 x 2,000 pixels become records whose long side is 256. The plain script is what
one writes first: a multiprocessing pool in which cv2 reads, shrinks by area and encodes, and a
parent that writes TFRecords. Both are whole commands, started anew each time, turn by turn in one
run; the claim is 1.5 times the images a second, and memory that does not grow with their number.
"""

import argparse
import csv
import json
import multiprocessing
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

RESULT = pathlib.Path(__file__).parent / "results" / "prepare_throughput.json"
HEIGHT, WIDTH, SIZE, WORKERS, QUALITY = 2500, 2000, 256, 2, 95


def draw_images(folder: pathlib.Path, count: int) -> None:
    """Writes so many different JPEGs, phantoms with a detector's noise, and the CSV; those that are
    there already stay.
    """
    import cv2
    import numpy as np

    from data_pipelines.sources.phantom import PhantomSource

    source = PhantomSource(config="default", patients=60, size=512)
    phantoms = [source.load(key).pixels for key in source.keys()[:60]]
    margin = 200
    noise = np.random.default_rng(0).normal(0, 3, (HEIGHT + margin, WIDTH + margin))
    noise = noise.astype(np.int16)
    with open(folder / "pairs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "text"])
        for i in range(count):
            writer.writerow([f"{i}.jpg", f"FINDINGS: The heart is normal. Small nodule {i}."])
            if (folder / f"{i}.jpg").exists():
                continue
            drawn = cv2.resize(phantoms[i % 60], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
            y, x = (i * 37) % margin, (i * 53) % margin
            noisy = drawn + noise[y : y + HEIGHT, x : x + WIDTH]
            pixels = np.clip(noisy, 0, 255).astype(np.uint8)
            encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
            (folder / "partial").write_bytes(encoded.tobytes())
            (folder / "partial").rename(folder / f"{i}.jpg")


def _shrink(path: str) -> bytes:
    import cv2

    pixels = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    scale = SIZE / max(pixels.shape)
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return cv2.imencode(".png", cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))[1].tobytes()


def plain_script(raw: pathlib.Path, out: pathlib.Path, count: int) -> None:
    """The other side: images and texts into 64 TFRecord files."""
    with open(raw / "pairs.csv", newline="") as file:
        rows = list(csv.DictReader(file))[:count]
    out.mkdir()
    with multiprocessing.Pool(WORKERS) as pool:
        images = pool.imap(_shrink, [str(raw / row["path"]) for row in rows], chunksize=16)
        import tensorflow as tf  # while the pool is at work

        writers = [tf.io.TFRecordWriter(str(out / f"{i:05d}.tfrecord")) for i in range(64)]
        for i, (row, image) in enumerate(zip(rows, images, strict=True)):
            values = {"image": image, "id": row["path"].encode(), "text": row["text"].encode()}
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for name, value in values.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writers[i % 64].write(example.SerializeToString())
        for writer in writers:
            writer.close()


def timed(command: list[str]) -> tuple[float, float, float]:
    """Seconds of a command, those of all cores together, and the MiB of its largest process."""
    measured = (
        "import resource, subprocess, sys, time\n"
        "start = time.perf_counter()\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL,"
        " stderr=subprocess.DEVNULL)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)"
    )
    output = subprocess.run(
        [sys.executable, "-c", measured, *command], check=True, capture_output=True, text=True
    ).stdout
    seconds, core_seconds, peak = map(float, output.split())
    return seconds, core_seconds, peak


def sides(raw: pathlib.Path, out: pathlib.Path, count: int) -> dict[str, list[str]]:
    """The command of each side."""
    place = [sys.executable, "-m", "place_jax.cli", "prepare", "folder"]
    place += ["--csv", str(raw / "pairs.csv"), "--image-column", "path", "--report-column", "text"]
    place += ["--image-size", str(SIZE), "--workers", str(WORKERS), "--limit", str(count)]
    plain = [sys.executable, __file__, "--plain", str(raw), str(out / "plain"), str(count)]
    return {"place": [*place, "--out-dir", str(out / "place")], "plain": plain}


def measure(raw: pathlib.Path, scratch: pathlib.Path, count: int, rounds: int) -> dict:
    """Each side in turn, `rounds` times, over the first `count` images."""
    rows: dict[str, list] = {"place": [], "plain": []}
    for turn in range(rounds):
        for side in ("place", "plain") if turn % 2 else ("plain", "place"):
            with tempfile.TemporaryDirectory(dir=scratch) as out:
                measured = timed(sides(raw, pathlib.Path(out), count)[side])
            rows[side].append(measured)
            print(
                "{}, {} images: {:.1f} s, {:.1f} of a core, {:.0f} MiB".format(
                    side, count, *measured
                ),
                flush=True,
            )
    return {side: _summary(count, *zip(*measured, strict=True)) for side, measured in rows.items()}


def _summary(count: int, seconds, core_seconds, peaks) -> dict:
    return {
        "seconds": [round(value, 2) for value in seconds],
        "core_seconds": [round(value, 2) for value in core_seconds],
        "images_per_second": round(count / statistics.median(seconds), 2),
        "images_per_core_second": round(count / statistics.median(core_seconds), 2),
        "largest_process_mib": round(max(peaks)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3, help="of each side; the median counts")
    parser.add_argument("--raw", type=pathlib.Path, help="keeps the images there for another time")
    parser.add_argument("--draw-only", action="store_true", help="draws them and stops")
    parser.add_argument("--out", type=pathlib.Path, default=RESULT)
    parser.add_argument("--plain", nargs=3, metavar=("RAW", "OUT", "COUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        raw, out, count = arguments.plain
        plain_script(pathlib.Path(raw), pathlib.Path(out), int(count))
        return
    few = max(arguments.images // 4, 1)
    with tempfile.TemporaryDirectory(dir=arguments.raw and arguments.raw.parent) as scratch:
        raw = arguments.raw or pathlib.Path(scratch) / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        draw_images(raw, arguments.images)
        if arguments.draw_only:
            return
        some = measure(raw, pathlib.Path(scratch), few, 1)
        every = measure(raw, pathlib.Path(scratch), arguments.images, arguments.rounds)
    ratio, core_ratio = (
        every["place"][name] / every["plain"][name]
        for name in ("images_per_second", "images_per_core_second")
    )
    result = {
        "what": "whole commands: JPEG files to records of 256 pixels, images a second",
        "images": arguments.images,
        "pixels": [WIDTH, HEIGHT],
        "jpeg_quality": QUALITY,
        "workers": WORKERS,
        "cpu_count": os.cpu_count(),
        "load_average_at_the_end": [round(load, 1) for load in os.getloadavg()],
        "machine": platform.machine(),
        "python": platform.python_version(),
        **every,
        "ratio": round(ratio, 2),
        "ratio_per_core_second": round(core_ratio, 2),
        "memory": {
            "images": [few, arguments.images],
            "largest_process_mib": [
                some["place"]["largest_process_mib"],
                every["place"]["largest_process_mib"],
            ],
        },
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"place {ratio:.2f} times the images a second of the plain script; {arguments.out}")


if __name__ == "__main__":
    main()
