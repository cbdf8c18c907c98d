"""Images a second of embedding a folder, beside the same ViT in PyTorch on the same cores.

    python -m venv TORCH && TORCH/bin/pip install torch==2.13.0 numpy opencv-python-headless
    python benchmarks/embed_throughput.py --torch-python TORCH/bin/python

writes benchmarks/results/embed_throughput.json. PyTorch is no dependency: it runs in a process of
its own, with the same weights, through its DataLoader with two workers. Rounds alternate, so that
what else the machine does falls on both; embeddings must agree. The parts (reading alone, the
network alone) say where a difference comes from.
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

import numpy as np

RESULT = pathlib.Path(__file__).parent / "results" / "embed_throughput.json"
STORED, CROP, PATCH = 256, 224, 16
SIZES = {  # width, depth, heads, of ViT-Ti and ViT-S (arXiv 2010.11929 and 2012.12877)
    "ti": (192, 12, 3),
    "s": (384, 12, 6),
}
_BATCH, _JOINT, _DRAWN = 32, 128, 6


def write_folder(folder: pathlib.Path, count: int) -> list[str]:
    """JPEGs of phantoms, 1024 pixels a side: a few drawings, each written again and again."""
    import cv2

    from data_pipelines.sources.phantom import PhantomSource

    source = PhantomSource(config="easy", patients=_DRAWN, size=1024)
    drawn = [source.load(key).pixels for key in source.keys()[:_DRAWN]]
    paths = []
    for number in range(count):
        path = folder / f"{number:05d}.jpg"
        cv2.imwrite(str(path), drawn[number % len(drawn)], [cv2.IMWRITE_JPEG_QUALITY, 92])
        paths.append(str(path))
    return paths


def make_predictor(size: str, threads: int):
    """A Predictor of an untrained ViT, and its image parameters as flat arrays for PyTorch."""
    import jax

    from place_jax.configs import base
    from place_jax.models.functional import Model
    from place_jax.predictor import Predictor

    width, depth, heads = SIZES[size]
    config = base.get_config()
    config.data.crop_size = CROP
    config.model.joint_dim = _JOINT
    image = {"width": width, "depth": depth, "heads": heads, "mlp_dim": 4 * width}
    config.model.image.update(image)
    for tower in ("text", "observation", "correlation"):
        config.model[tower].update({"width": 64, "depth": 1, "heads": 2, "mlp_dim": 64})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "lung"]
    model = Model.from_config(config.model, image_size=CROP, vocab_size=len(vocabulary))
    params, state = jax.jit(model.init)(jax.random.key(0))
    metadata = {
        "vocabulary": vocabulary,
        "preprocessing": {"image_size": STORED, "crop_size": CROP},
    }
    flat = {}
    for tower in ("image", "image_projection"):
        for path, leaf in jax.tree_util.tree_leaves_with_path(params[tower]):
            flat["/".join([tower, *(str(p.key) for p in path)])] = np.asarray(leaf)
    return Predictor(model, params, state, config, metadata), flat


class TorchSide:
    """The PyTorch process: told a task by a line, answers with a line of JSON."""

    def __init__(self, python: str, work: pathlib.Path, threads: int):
        quiet = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [python, __file__, "--torch-side", str(work), "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **quiet},
        )

    def ask(self, task: str) -> dict:
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the PyTorch process ended at {task!r}")
        return json.loads(line)


def torch_side(work: pathlib.Path, threads: int) -> None:
    """Runs in PyTorch's environment: no JAX, nothing of this project."""
    import cv2
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    weights = {k: torch.from_numpy(v) for k, v in np.load(work / "weights.npz").items()}
    setup = json.loads((work / "setup.json").read_text())
    paths, heads = setup["paths"], setup["heads"]

    def read(path: str) -> torch.Tensor:
        pixels = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        scale = STORED / max(pixels.shape)
        size = tuple(round(side * scale) for side in pixels.shape[::-1])
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        top, left = ((STORED - side) // 2 for side in pixels.shape)
        square = np.zeros((STORED, STORED), np.uint8)
        square[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        first = (STORED - CROP) // 2
        return torch.from_numpy(square[first : first + CROP, first : first + CROP].copy())

    class Images(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, number: int) -> torch.Tensor:
            return read(paths[number])

    def linear(x, name, layer=None):
        kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
        if layer is not None:
            kernel, bias = kernel[layer], bias[layer]
        return x @ kernel + bias

    def norm(x, name, layer=None):
        scale, bias = weights[f"{name}/scale"], weights[f"{name}/bias"]
        if layer is not None:
            scale, bias = scale[layer], bias[layer]
        return F.layer_norm(x, x.shape[-1:], scale, bias, 1e-12)

    def encode(batch: torch.Tensor) -> torch.Tensor:
        x = (batch.float() / 255 - 0.5) / 0.5
        side = CROP // PATCH
        x = x.reshape(-1, side, PATCH, side, PATCH).transpose(2, 3)
        x = linear(x.reshape(-1, side * side, PATCH * PATCH), "image/stem/embed")
        x = x + weights["image/position"].reshape(side * side, -1)
        x = torch.cat([weights["image/class_token"].expand(len(x), 1, -1), x], 1)
        blocks = "image/blocks"
        for layer in range(len(weights[f"{blocks}/mlp_norm/scale"])):
            y = norm(x, f"{blocks}/attention_norm", layer)
            query, key, value = (
                linear(y, f"{blocks}/attention/{n}", layer)
                .unflatten(-1, (heads, -1))
                .transpose(1, 2)
                for n in ("query", "key", "value")
            )
            y = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
            x = x + linear(y, f"{blocks}/attention/out", layer)
            y = norm(x, f"{blocks}/mlp_norm", layer)
            y = F.gelu(linear(y, f"{blocks}/mlp/up", layer))
            x = x + linear(y, f"{blocks}/mlp/down", layer)
        pooled = norm(x, "image/norm")[:, 1:].mean(1)
        pooled = (pooled - weights["image_projection/shift"]) * weights["image_projection/scale"]
        return F.normalize(linear(pooled, "image_projection/linear"), dim=-1)

    ready = torch.stack([read(path) for path in paths[:_BATCH]])
    with torch.inference_mode():
        encode(ready)
        for line in sys.stdin:
            task = line.strip()
            start = time.perf_counter()
            if task == "folder":
                loader = torch.utils.data.DataLoader(
                    Images(), batch_size=_BATCH, num_workers=2, multiprocessing_context="fork"
                )
                found = torch.cat([encode(batch) for batch in loader])
                seconds = time.perf_counter() - start
                np.save(work / "torch.npy", found.numpy())
            elif task == "network":
                for _ in range(2):
                    encode(ready)
                seconds = (time.perf_counter() - start) / (2 * _BATCH) * len(paths)
            else:
                for path in paths:
                    read(path)
                seconds = time.perf_counter() - start
            print(json.dumps({"seconds": seconds, "version": torch.__version__}), flush=True)


def measure(size: str, count: int, rounds: int, threads: int, torch_python: str) -> dict:
    """Alternating rounds of both, in images a second."""
    import jax

    from place_jax import predictor as module

    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        (work / "images").mkdir()
        paths = write_folder(work / "images", count)
        predictor, flat = make_predictor(size, threads)
        np.savez(work / "weights.npz", **flat)
        setup = {"paths": paths, "heads": SIZES[size][2]}
        (work / "setup.json").write_text(json.dumps(setup))
        other = TorchSide(torch_python, work, threads)
        weights = predictor.model, predictor.params, predictor.model_state
        ready = np.stack([predictor.prepared_pixels(p) for p in paths[:_BATCH]])[..., None]
        jax.block_until_ready(module._embed_images(*weights, ready))

        def folder() -> np.ndarray:
            return predictor.embed_images(paths, batch_size=_BATCH)

        def network() -> None:
            for _ in range(2):
                jax.block_until_ready(module._embed_images(*weights, ready))

        def reading() -> None:
            for path in paths:
                predictor.prepared_pixels(path)

        ours: dict[str, list[float]] = {"folder": [], "network": [], "reading": []}
        theirs: dict[str, list[float]] = {"folder": [], "network": [], "reading": []}
        images = {"folder": count, "network": 2 * _BATCH, "reading": count}
        for number in range(rounds):
            for task, run in (("folder", folder), ("network", network), ("reading", reading)):
                start = time.perf_counter()
                found = run()
                ours[task].append(images[task] / (time.perf_counter() - start))
                answer = other.ask(task)
                theirs[task].append(count / answer["seconds"])
                if task == "folder":
                    # Two decoders may round a grey level apart.
                    cosine = float((found * np.load(work / "torch.npy")).sum(1).min())
                    if cosine < 0.999:
                        raise SystemExit(f"the two networks differ: cosine {cosine:.4f}")
            print(
                f"round {number + 1} of {rounds}: place_jax {ours['folder'][-1]:.1f}, PyTorch "
                f"{theirs['folder'][-1]:.1f} images a second",
                flush=True,
            )
        other.process.stdin.close()
        other.process.wait()
    medians = {
        side: {task: round(statistics.median(values), 2) for task, values in found.items()}
        for side, found in (("place_jax", ours), ("pytorch", theirs))
    }
    ratios = [a / b for a, b in zip(ours["folder"], theirs["folder"], strict=True)]
    return {
        "what": "images a second, medians over alternating rounds; a folder of 1024-pixel JPEGs",
        "model": f"ViT-{size.capitalize()}/{PATCH} at {CROP}, float32, batch {_BATCH}",
        "images": count,
        "rounds": rounds,
        "threads": threads,
        "lowest_cosine": round(cosine, 6),
        **medians,
        "folder_ratio": round(statistics.median(ratios), 3),
        "folder_ratio_each_round": [round(ratio, 3) for ratio in ratios],
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
        "load_average_at_end": round(os.getloadavg()[0], 1),
        "jax": jax.__version__,
        "torch": answer["version"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", help="an interpreter that has torch and cv2")
    parser.add_argument("--size", choices=SIZES, default="ti")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=pathlib.Path, default=RESULT)
    parser.add_argument("--torch-side", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.torch_side:
        torch_side(arguments.torch_side, arguments.threads)
        return
    if not arguments.torch_python:
        parser.error("--torch-python: give an interpreter that has torch and cv2")
    result = measure(
        arguments.size,
        arguments.images,
        arguments.rounds,
        arguments.threads,
        arguments.torch_python,
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"place_jax embeds {result['folder_ratio']:.2f} times as many; wrote {arguments.out}")


if __name__ == "__main__":
    main()
