"""A training step on one GPU: place_jax against the same model and losses in PyTorch.

    python benchmarks/gpu_step.py                 # needs an accelerator, jax with it, and torch

ViT-B/16 and BERT-base with all objectives, bfloat16 towers, drawn pairs. PyTorch runs with
torch.compile, its fused attention and fused AdamW (benchmarks/torch_place.py); both in one run on
one card, each in a process of its own, so that neither holds the other's memory. Imports no
TensorFlow. Writes benchmarks/results/gpu_step.json: seconds a step, pairs/s, MFU against the peak
of place_jax.parallel.hardware, and the compiler's memory beside the measured. Target: 1.2 times
PyTorch. Where there is no result file, it has not been measured.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

VOCABULARY = 28996


def config_of(arguments):
    """mimic_cxr_vit_b16 at the asked batch, or its smoke config for a try without a GPU."""
    from place_jax import configuration

    settings = [f"data.batch_size={arguments.batch}", "model.dtype=bfloat16"]
    return configuration.load_config(arguments.config, settings + arguments.set)


def time_steps(step, ready, steps: int) -> list[float]:
    """Seconds of each of so many steps, after some to warm up."""
    for _ in range(3):
        ready(step())
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        ready(step())
        seconds.append(time.perf_counter() - start)
    return seconds


def run_jax(arguments) -> dict:
    """place_jax's step, as train compiles it."""
    import jax
    from step_overhead import draw_rows

    from place_jax.parallel.hardware import peak_flops_of
    from place_jax.parallel.mesh import make_mesh
    from place_jax.training.assembly import abstract_batch, assemble
    from place_jax.training.feed import to_devices
    from place_jax.training.flops import model_flops
    from place_jax.training.step import init_state

    config = config_of(arguments)
    config.mesh.data = 1
    mesh = make_mesh(config.mesh, jax.devices()[:1])
    run = assemble(config, mesh, vocab_size=VOCABULARY)
    state = init_state(run.model, run.tx, config, jax.random.key(0), mesh)
    batch = to_devices(draw_rows(config, 0), mesh)
    start = time.perf_counter()
    compiled = run.step.lower(state, batch).compile()
    compile_seconds = time.perf_counter() - start
    stats = compiled.memory_analysis()
    planned = stats.argument_size_in_bytes + stats.temp_size_in_bytes
    planned += stats.output_size_in_bytes - stats.alias_size_in_bytes

    def step():
        nonlocal state
        state, metrics = compiled(state, batch)
        return metrics["loss"]

    seconds = time_steps(step, jax.block_until_ready, arguments.steps)
    if arguments.profile:
        with jax.profiler.trace(arguments.profile):
            for _ in range(3):
                jax.block_until_ready(step())
    device = jax.devices()[0]
    measured = (device.memory_stats() or {}).get("peak_bytes_in_use")
    flops = model_flops(config, VOCABULARY, abstract_batch(config, mesh)).total
    median, peak = statistics.median(seconds), peak_flops_of(device.device_kind)
    return {
        "device": device.device_kind,
        "compile_seconds": compile_seconds,
        "seconds_a_step": median,
        "pairs_per_second": arguments.batch / median,
        "model_flops": flops,
        "mfu": flops / median / peak if peak else None,
        "planned_bytes": planned,
        "peak_bytes": measured,
        "tensorflow_imported": "tensorflow" in sys.modules,
    }


def run_torch(arguments) -> dict:
    """The same in PyTorch."""
    import numpy as np
    import torch
    from step_overhead import draw_rows
    from torch_place import Place

    config = config_of(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = True
    model = Place(config, VOCABULARY).to(device)
    settings = config.optimizer
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=(settings.b1, settings.b2),
        weight_decay=settings.weight_decay,
        fused=device == "cuda",
    )
    rows = draw_rows(config, 0)
    batch = {
        name: torch.from_numpy(x.astype(np.int64) if x.dtype == np.uint32 else x).to(device)
        for name, x in rows.items()
    }
    batch["tokens"] = batch["tokens"].long()
    forward = torch.compile(model) if device == "cuda" else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = forward(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        return loss

    def ready(loss) -> None:
        loss.item()

    seconds = time_steps(step, ready, arguments.steps)
    median = statistics.median(seconds)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "version": torch.__version__,
        "seconds_a_step": median,
        "pairs_per_second": arguments.batch / median,
        "peak_bytes": peak,
    }


def main() -> None:
    """Runs each side in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="mimic_cxr_vit_b16")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--profile", help="a folder for a trace of three steps of place_jax")
    parser.add_argument("--out", default="benchmarks/results/gpu_step.json")
    parser.add_argument("--side", choices=("jax", "torch"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        found = run_jax(arguments) if arguments.side == "jax" else run_torch(arguments)
        print(json.dumps(found))
        return
    found = {"made_by": "python benchmarks/gpu_step.py " + " ".join(sys.argv[1:])}
    found |= {"batch": arguments.batch, "steps": arguments.steps}
    for side in ("jax", "torch"):
        command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[side] = json.loads(done.stdout.splitlines()[-1])
    jax_speed, torch_speed = (found[side]["pairs_per_second"] for side in ("jax", "torch"))
    found["times_pytorch"] = jax_speed / torch_speed
    pathlib.Path(arguments.out).write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
