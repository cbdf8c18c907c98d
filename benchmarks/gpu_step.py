"""A training step on one GPU: place_jax against the same model and losses in PyTorch.

    python benchmarks/gpu_step.py                 # needs an accelerator, jax with it, and torch
    python benchmarks/gpu_step.py --torch-python TORCH/bin/python     # torch elsewhere
    JAX_PLATFORMS=cpu python benchmarks/gpu_step.py --config mimic_cxr_vit_b16:smoke --batch 16 \
        --steps 3 --out /tmp/try.json             # a try of the whole without one

ViT-B/16 and BERT-base with all objectives, bfloat16 towers, drawn pairs, nothing computed twice.
PyTorch runs with torch.compile, its fused attention and fused AdamW (benchmarks/torch_place.py);
both in one run on one card, each in a process of its own, so that neither holds the other's memory.
First both take one batch in float32 with the same parameters and hidden patches: their losses must
agree, or nothing is written. Imports no TensorFlow. Writes benchmarks/results/gpu_step.json:
seconds a step, pairs/s, MFU against the peak of place_jax.parallel.hardware, and the compiler's
memory beside the measured. Target: 1.2 times PyTorch. Where there is no result file, it has not
been measured.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import types

import numpy as np

VOCABULARY = 28996
LOSSES = ("instance", "pathological", "correlation")
TOLERANCE = 1e-3  # between float32 losses: GPUs may take TF32 products


def config_of(arguments):
    """mimic_cxr_vit_b16 at the asked batch, or its smoke config for a try without a GPU."""
    from place_jax import configuration

    settings = [f"data.batch_size={arguments.batch}", "model.dtype=bfloat16", "model.remat=none"]
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
    """place_jax's step, as train compiles it; first it leaves what the other side starts from."""
    import jax
    from step_overhead import draw_rows

    from place_jax.parallel.hardware import peak_flops_of
    from place_jax.parallel.mesh import make_mesh
    from place_jax.training.assembly import abstract_batch, assemble
    from place_jax.training.feed import to_devices
    from place_jax.training.flops import model_flops
    from place_jax.training.step import init_state

    config = config_of(arguments)
    rows = draw_rows(config, 0)
    checked = write_start(config, rows, arguments.folder)
    config.mesh.data = 1
    mesh = make_mesh(config.mesh, jax.devices()[:1])
    run = assemble(config, mesh, vocab_size=VOCABULARY)
    state = init_state(run.model, run.tx, config, jax.random.key(0), mesh)
    batch = to_devices(rows, mesh)
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
    return checked | {
        "device": device.device_kind,
        "version": jax.__version__,
        "compile_seconds": compile_seconds,
        "seconds_a_step": median,
        "pairs_per_second": arguments.batch / median,
        "model_flops": flops,
        "mfu": flops / median / peak if peak else None,
        "planned_bytes": planned,
        "peak_bytes": measured,
        "tensorflow_imported": "tensorflow" in sys.modules,
    }


def write_start(config, rows: dict[str, np.ndarray], folder: pathlib.Path) -> dict:
    """Writes config, batch, parameters and visible patches; returns the losses of them in float32.

    The parameters are calibrated on the batch, so that no shift is zero.
    """
    import jax

    from place_jax import objectives
    from place_jax.models.functional import Model, count_params
    from place_jax.parallel.partition import path_string
    from place_jax.training.feed import FIELDS

    exact = config.model.copy_and_resolve_references()
    exact.dtype = "float32"
    model = Model.from_config(exact, image_size=config.data.crop_size, vocab_size=VOCABULARY)
    batch = {name: rows[name] for name in FIELDS}

    @jax.jit
    def start(key, batch):
        params, model_state = model.init(key)
        params = model.calibrate(params, model_state, batch)
        outputs = model.apply(params, model_state, batch, key=key)
        _, metrics = objectives.get("place")(outputs, batch, config)
        return params, outputs.hidden_patches, [metrics[f"{name}/loss"] for name in LOSSES]

    with jax.default_matmul_precision("highest"):
        params, hidden, losses = start(jax.random.key(0), batch)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    np.savez(folder / "params.npz", **{path_string(path): leaf for path, leaf in leaves})
    seen = hidden.shape[1] - int(hidden[0].sum())
    visible = np.argsort(np.asarray(hidden), axis=1, kind="stable")[:, :seen]
    np.savez(folder / "batch.npz", visible=visible, **batch)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    return {
        "parameters": count_params(params),
        "float32_losses": dict(zip(LOSSES, map(float, losses), strict=True)),
    }


def run_torch(arguments) -> dict:
    """The same in PyTorch, from what the other side left. Needs nothing but torch and NumPy."""
    import torch
    from torch_place import Place, load

    def named(values: dict) -> types.SimpleNamespace:
        return types.SimpleNamespace(
            **{k: named(v) if isinstance(v, dict) else v for k, v in values.items()}
        )

    config = named(json.loads((arguments.folder / "config.json").read_text()))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Place(config, VOCABULARY).to(device)
    with np.load(arguments.folder / "params.npz") as params:
        load(model, dict(params))
    with np.load(arguments.folder / "batch.npz") as rows:
        batch = {
            name: torch.from_numpy(x.astype(np.int64) if x.dtype in (np.uint32, np.int32) else x)
            for name, x in rows.items()
        }
    batch = {name: x.to(device) for name, x in batch.items()}
    visible = batch.pop("visible")
    with torch.no_grad():
        losses = {name: float(loss) for name, loss in model.losses(batch, visible).items()}
    torch.backends.cuda.matmul.allow_tf32 = True
    settings = config.optimizer
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=(settings.b1, settings.b2),
        weight_decay=settings.weight_decay,
        fused=device == "cuda",
    )
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

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = time_steps(step, ready, arguments.steps)
    median = statistics.median(seconds)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "float32_losses": losses,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "version": torch.__version__,
        "seconds_a_step": median,
        "pairs_per_second": arguments.batch / median,
        "peak_bytes": peak,
    }


def check(jax_side: dict, torch_side: dict) -> None:
    """Ends the program where the two are not the same model with the same losses."""
    if jax_side["parameters"] != torch_side["parameters"]:
        counts = jax_side["parameters"], torch_side["parameters"]
        raise SystemExit(f"{counts[0]} parameters here and {counts[1]} in PyTorch: not one model")
    for name in LOSSES:
        ours, theirs = (side["float32_losses"][name] for side in (jax_side, torch_side))
        if abs(ours - theirs) > TOLERANCE * abs(ours):
            raise SystemExit(f"{name} loss {ours} here and {theirs} in PyTorch: not one model")


def main() -> None:
    """Runs each side in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="mimic_cxr_vit_b16")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--profile", help="a folder for a trace of three steps of place_jax")
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--out", default="benchmarks/results/gpu_step.json")
    parser.add_argument("--side", choices=("jax", "torch"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        found = run_jax(arguments) if arguments.side == "jax" else run_torch(arguments)
        print(json.dumps(found))
        return
    found = {"made_by": "python benchmarks/gpu_step.py " + " ".join(sys.argv[1:])}
    found |= {"batch": arguments.batch, "steps": arguments.steps}
    with tempfile.TemporaryDirectory() as folder:
        for side, python in (("jax", sys.executable), ("torch", arguments.torch_python)):
            command = [python, __file__, *sys.argv[1:], "--side", side, "--folder", folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                raise SystemExit(f"the {side} side ended with {done.returncode}")
            found[side] = json.loads(done.stdout.splitlines()[-1])
    check(found["jax"], found["torch"])
    jax_speed, torch_speed = (found[side]["pairs_per_second"] for side in ("jax", "torch"))
    found["times_pytorch"] = jax_speed / torch_speed
    pathlib.Path(arguments.out).write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
