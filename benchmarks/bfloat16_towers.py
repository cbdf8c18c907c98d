"""Do the towers' products in bfloat16 change the loss? 50 steps of the demo, beside float32.

    python benchmarks/bfloat16_towers.py --data runs/demo/data

Both runs start from the same parameters and read the same batches. Writes
benchmarks/results/bfloat16_towers.json. The claim: no loss of the 50 differs by more than 1 %.
"""

import argparse
import json
import pathlib

import jax

RESULT = pathlib.Path(__file__).parent / "results" / "bfloat16_towers.json"


def losses(dtype: str, arguments: argparse.Namespace) -> list[float]:
    """The loss of each step, with the towers' products in `dtype`."""
    from data_pipelines import batches
    from place_jax import configuration, objectives
    from place_jax.models.functional import Model
    from place_jax.parallel.mesh import make_mesh
    from place_jax.training.feed import Feed
    from place_jax.training.optimizer import make_optimizer
    from place_jax.training.starting import first_state
    from place_jax.training.step import abstract_state, compile_step, make_train_step

    settings = [f"data.dir={arguments.data}", f"model.dtype={dtype}"]
    config = configuration.load_config("phantom_demo", settings)
    data, mesh = batches.open_data(config.data.dir), make_mesh(config.mesh)
    reading = {
        name: config.data[name]
        for name in ("batch_size", "crop_size", "max_tokens", "max_sentences")
    }
    rows = batches.training_batches(
        data, seed=config.seed, start_step=0, host=0, num_hosts=1, **reading
    )
    feed = Feed(rows, mesh)
    model = Model.from_config(
        config.model, image_size=config.data.crop_size, vocab_size=data.tokenizer.size
    )
    tx = make_optimizer(config)
    step = make_train_step(model, tx, objectives.get(config.objective), config)
    state = first_state(model, tx, config, mesh, feed.peek())
    step = compile_step(step, abstract_state(model, tx, config, mesh), mesh)
    found = []
    for number in range(arguments.steps):
        state, metrics = step(state, feed.next()[0])
        found.append(float(metrics["loss"]))
        if number % 10 == 9:
            print(f"{dtype}: step {number + 1}, loss {found[-1]:.4f}", flush=True)
    return found


def main() -> None:
    """Both runs, and how far apart they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the demo's prepared folder")
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    single, half = (losses(dtype, arguments) for dtype in ("float32", "bfloat16"))
    apart = [abs(b / a - 1) for a, b in zip(single, half, strict=True)]
    from place_jax.training.checkpoints import code_revision

    result = {
        "what": "loss of each step of configs/phantom_demo.py, same start and batches",
        "code": code_revision(),
        "device": jax.devices()[0].device_kind,
        "largest_relative_difference": max(apart),
        "mean_relative_difference": sum(apart) / len(apart),
        "float32": single,
        "bfloat16": half,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(f"largest relative difference {max(apart):.4f} over {len(apart)} steps")


if __name__ == "__main__":
    main()
