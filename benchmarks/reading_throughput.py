"""How many images a second training batches are made of, against a PyTorch DataLoader.

    python benchmarks/reading_throughput.py --torch-python ENVIRONMENT/bin/python

writes benchmarks/results/reading_throughput.json. ENVIRONMENT is another one, with torch, numpy and
opencv-python-headless: torch is no dependency of this project. Both sides read the same prepared
PhantomCXR, pad images to 256 pixels and crop 224 at random, 64 a batch, shuffled. On one side
`training_batches` with its texts, labels and fingerprints; on the other a DataLoader of images
alone, a PNG file each, with two workers that decode by cv2. Epoch by epoch they take turns, each in
a process that lives through all; the claims are 1.5 times the images a second, and memory that
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


def _serve(epoch) -> None:
    """Runs an epoch for every line on stdin, and answers images, seconds and memory."""
    for _ in sys.stdin:
        start = time.perf_counter()
        images = epoch()
        seconds = time.perf_counter() - start
        print(json.dumps([images, seconds, resident_mib()]), flush=True)


def serve_place(folder: pathlib.Path) -> None:
    from data_pipelines.batches import open_data, training_batches

    data = open_data(folder / "data")
    batches = training_batches(
        data, batch_size=BATCH, crop_size=CROP, max_tokens=128, max_sentences=16, seed=0
    )
    steps = data.splits["train"] // BATCH
    next(batches)

    def epoch() -> int:
        return sum(len(next(batches)["image"]) for _ in range(steps))

    _serve(epoch)


def serve_torch(folder: pathlib.Path) -> None:
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

    loader = torch.utils.data.DataLoader(
        Images(),
        batch_size=BATCH,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
        drop_last=True,
        worker_init_fn=lambda _: cv2.setNumThreads(1),
    )
    next(iter(loader))

    def epoch() -> int:
        return sum(len(batch) for batch in loader)

    _serve(epoch)


class _Side:
    """A process that runs an epoch when asked."""

    def __init__(self, python: str, name: str, folder: pathlib.Path):
        self.name, self.rates, self.memory = name, [], []
        self._process = subprocess.Popen(
            [python, __file__, "--serve", name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def epoch(self) -> None:
        self._process.stdin.write("epoch\n")
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
            "of_each_epoch": [round(rate, 1) for rate in self.rates],
            "memory_mib_after_each_epoch": [round(memory) for memory in self.memory],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", help="an interpreter that has torch, numpy and cv2")
    parser.add_argument("--patients", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, default=RESULT)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        side, folder = arguments.serve
        {"place": serve_place, "torch": serve_torch}[side](pathlib.Path(folder))
        return
    probe = [arguments.torch_python or sys.executable, "-c", "import torch, cv2, numpy"]
    if subprocess.run(probe, capture_output=True).returncode:
        print("skipped: --torch-python names no interpreter that has torch, cv2 and numpy")
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        prepare_images(folder, arguments.patients)
        place, torch = (
            _Side(python, name, folder)
            for python, name in ((sys.executable, "place"), (probe[0], "torch"))
        )
        for epoch in range(arguments.epochs):
            for side in (place, torch) if epoch % 2 else (torch, place):
                side.epoch()
        sides = {side.name: side.close() for side in (place, torch)}
    ratio = sides["place"]["images_per_second"] / sides["torch"]["images_per_second"]
    result = {
        "what": "images a second: training_batches, with texts, against a DataLoader of images",
        "pixels": SIZE,
        "crop": CROP,
        "batch": BATCH,
        "torch_workers": WORKERS,
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
