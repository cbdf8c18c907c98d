"""How many images a second training batches are made of, against a PyTorch DataLoader.

    python benchmarks/reading_throughput.py --torch-python ENVIRONMENT/bin/python

writes benchmarks/results/reading_throughput.json. ENVIRONMENT is another one, with torch, numpy and
opencv-python-headless: torch is no dependency of this project. Both sides read the same prepared
PhantomCXR, pad images to 256 pixels and crop 224 at random, 64 a batch, shuffled. On one side
`training_batches` with its texts, labels and fingerprints; on the other a DataLoader of images
alone, a PNG file each, with two workers that decode by cv2. They take turns, each in a process that
lives through all; the claims are 1.5 times the images a second, and memory that
stays the same.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

RESULT = pathlib.Path(__file__).parent / "results" / "reading_throughput.json"
SIZE, CROP, BATCH, WORKERS = 256, 224, 64, 2
_READ_AHEAD = 8  # batches; more than either side makes before it is asked


def prepare_images(folder: pathlib.Path, patients: int) -> None:
    """A prepared folder, and the images of its training records as files."""
    from data_pipelines.batches import open_data, read_records
    from data_pipelines.prepare import prepare
    from data_pipelines.sources.phantom import PhantomSource

    source = PhantomSource(config="default", patients=patients, size=SIZE)
    prepare(source, folder / "data", image_size=SIZE, workers=WORKERS)
    (folder / "png").mkdir()
    for i, record in enumerate(read_records(open_data(folder / "data"), "train", ("image",))):
        (folder / "png" / f"{i:06d}.png").write_bytes(record["image"])


def resident_mib() -> float:
    """Memory of this process and its children, each page counted where it is held."""
    total = 0
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue
        if os.getpid() in (int(fields["Pid"]), int(fields["PPid"])) and "RssAnon" in fields:
            total += int(fields["RssAnon"].split()[0])
    return total / 1024


def _serve(batches, steps: int) -> None:
    """For every line on stdin takes so many batches, and answers images, seconds and memory.

    Args:
      batches: gives an endless iterator of arrays.
      steps: batches that count; those before them were made while the other side had its turn.
    """
    for _ in sys.stdin:
        turn = batches()
        for _ in range(_READ_AHEAD):
            next(turn)
        start = time.perf_counter()
        images = sum(len(next(turn)) for _ in range(steps))
        seconds = time.perf_counter() - start
        print(json.dumps([images, seconds, resident_mib()]), flush=True)


def serve_place(folder: pathlib.Path, steps: int) -> None:
    from data_pipelines.batches import open_data, training_batches

    data = open_data(folder / "data")
    batches = training_batches(
        data, batch_size=BATCH, crop_size=CROP, max_tokens=128, max_sentences=16, seed=0
    )
    _serve(lambda: (batch["image"] for batch in batches), steps)


def serve_torch(folder: pathlib.Path, steps: int) -> None:
    import cv2
    import numpy as np
    import torch

    class Images(torch.utils.data.Dataset):
        def __init__(self):
            self.paths = sorted(map(str, (folder / "png").iterdir()))

        def __len__(self):
            return len(self.paths)

        def __getitem__(self, i):
            pixels = cv2.imread(self.paths[i], cv2.IMREAD_GRAYSCALE)
            top, left = ((SIZE - side) // 2 for side in pixels.shape)
            square = np.zeros((SIZE, SIZE), np.uint8)
            square[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
            y, x = torch.randint(SIZE - CROP + 1, (2,)).tolist()
            return torch.from_numpy(square[y : y + CROP, x : x + CROP, None].copy())

    images = Images()
    drawn = (steps + _READ_AHEAD + 2 * WORKERS) * BATCH
    loader = torch.utils.data.DataLoader(
        images,
        batch_size=BATCH,
        sampler=torch.utils.data.RandomSampler(images, replacement=True, num_samples=drawn),
        num_workers=WORKERS,
        persistent_workers=True,
        drop_last=True,
        worker_init_fn=lambda _: cv2.setNumThreads(1),
    )
    _serve(lambda: iter(loader), steps)


class _Side:
    """A process that takes its turn when asked."""

    def __init__(self, python: str, name: str, folder: pathlib.Path, steps: int):
        self.name, self.rates, self.memory = name, [], []
        self._process = subprocess.Popen(
            [python, __file__, "--serve", name, str(folder), str(steps)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def turn(self) -> None:
        self._process.stdin.write("turn\n")
        self._process.stdin.flush()
        images, seconds, memory = json.loads(self._process.stdout.readline())
        self.rates.append(images / seconds)
        self.memory.append(memory)
        print(f"{self.name}: {self.rates[-1]:.0f} images a second, {memory:.0f} MiB", flush=True)

    def close(self) -> dict:
        self._process.stdin.close()
        self._process.wait()
        return {
            "images_per_second": round(statistics.median(self.rates), 1),
            "of_each_turn": [round(rate, 1) for rate in self.rates],
            "memory_mib_after_each_turn": [round(memory) for memory in self.memory],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", help="an interpreter that has torch, numpy and cv2")
    parser.add_argument("--patients", type=int, default=3000)
    parser.add_argument("--turns", type=int, default=5, help="of each side; the median counts")
    parser.add_argument("--steps", type=int, default=120, help="batches of a turn")
    parser.add_argument("--folder", type=pathlib.Path, help="one that an earlier run kept")
    parser.add_argument("--out", type=pathlib.Path, default=RESULT)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        side, folder, steps = arguments.serve
        {"place": serve_place, "torch": serve_torch}[side](pathlib.Path(folder), int(steps))
        return
    probe = [arguments.torch_python or sys.executable, "-c", "import torch, cv2, numpy"]
    if subprocess.run(probe, capture_output=True).returncode:
        print("skipped: --torch-python names no interpreter that has torch, cv2 and numpy")
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or pathlib.Path(scratch)
        if not (folder / "data").exists():
            prepare_images(folder, arguments.patients)
        place, torch = (
            _Side(python, name, folder, arguments.steps)
            for python, name in ((sys.executable, "place"), (probe[0], "torch"))
        )
        for turn in range(arguments.turns):
            for side in (place, torch) if turn % 2 else (torch, place):
                side.turn()
        sides = {side.name: side.close() for side in (place, torch)}
    ratio = sides["place"]["images_per_second"] / sides["torch"]["images_per_second"]
    result = {
        "what": "images a second: training_batches, with texts, against a DataLoader of images",
        "pixels": SIZE,
        "crop": CROP,
        "batch": BATCH,
        "torch_workers": WORKERS,
        "batches_of_a_turn": arguments.steps,
        "cpu_count": os.cpu_count(),
        "load_average_at_the_end": [round(load, 1) for load in os.getloadavg()],
        "machine": platform.machine(),
        "python": platform.python_version(),
        **sides,
        "ratio": round(ratio, 2),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"place {ratio:.2f} times the images a second of torch's DataLoader; {arguments.out}")


if __name__ == "__main__":
    main()
