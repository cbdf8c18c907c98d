"""Do the towers' products in bfloat16 change the loss? 50 steps of the demo, beside float32.

    python benchmarks/bfloat16_towers.py --data runs/demo/data

Every run reads the same batches. Of bfloat16 there are the losses of a run of its own, and those at
the parameters that the float32 run has at each step. The first also have what any small difference
grows to in so many steps: hence a control, float32 from a start that was rounded to bfloat16 once.
Writes benchmarks/results/bfloat16_towers.json. The claim: at the same parameters no loss of the 50
differs by more than 1 %.
"""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp

RESULT = pathlib.Path(__file__).parent / "results" / "bfloat16_towers.json"


class Towers:
    """The demo's training step with the towers' products in `dtype`, and its first state."""

    def __init__(self, dtype: str, data_dir: str):
        from data_pipelines import batches
        from place_jax import configuration, objectives
        from place_jax.models.functional import Model
        from place_jax.parallel.mesh import make_mesh
        from place_jax.training.feed import Feed
        from place_jax.training.optimizer import make_optimizer
        from place_jax.training.starting import first_state
        from place_jax.training.step import abstract_state, compile_step, make_train_step

        settings = [f"data.dir={data_dir}", f"model.dtype={dtype}"]
        config = configuration.load_config("phantom_demo", settings)
        data, mesh = batches.open_data(config.data.dir), make_mesh(config.mesh)
        reading = {
            name: config.data[name]
            for name in ("batch_size", "crop_size", "max_tokens", "max_sentences")
        }
        rows = batches.training_batches(
            data, seed=config.seed, start_step=0, host=0, num_hosts=1, **reading
        )
        self.feed = Feed(rows, mesh)
        model = Model.from_config(
            config.model, image_size=config.data.crop_size, vocab_size=data.tokenizer.size
        )
        tx = make_optimizer(config)
        step = make_train_step(model, tx, objectives.get(config.objective), config)
        self.state = first_state(model, tx, config, mesh, self.feed.peek())
        self.step = compile_step(step, abstract_state(model, tx, config, mesh), mesh)

    def loss_at(self, state, batch) -> float:
        """The loss of a step from a state, which stays as it is."""
        return float(self.step(jax.tree.map(jnp.copy, state), batch)[1]["loss"])


def trajectory(towers: Towers, state, batches: list, beside: Towers | None = None) -> tuple:
    """The losses of a run, and those of `beside` at each of its states."""
    found, others = [], []
    for batch in batches:
        if beside:
            others.append(beside.loss_at(state, batch))
        state, metrics = towers.step(state, batch)
        found.append(float(metrics["loss"]))
    return found, others


def rounded(state):
    """A copy of the state with parameters that bfloat16 can hold."""
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(x.dtype), state.params)
    return dataclasses.replace(jax.tree.map(jnp.copy, state), params=params)


def apart(values: Sequence[float], single: Sequence[float]) -> dict[str, float]:
    """Relative differences of a run's losses from those of float32, step by step and as a whole."""
    steps = [abs(a / b - 1) for a, b in zip(values, single, strict=True)]
    return {
        "largest": max(steps),
        "mean": sum(steps) / len(steps),
        "steps_beyond_1_percent": sum(step > 0.01 for step in steps),
        "of_the_mean_loss": abs(sum(values) / sum(single) - 1),
    }


def main() -> None:
    """All runs, and how far apart they are."""
    from place_jax.training.checkpoints import code_revision

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the demo's prepared folder")
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    single, half = (Towers(dtype, arguments.data) for dtype in ("float32", "bfloat16"))
    batches = [single.feed.next()[0] for _ in range(arguments.steps)]
    control, _ = trajectory(single, rounded(single.state), batches)
    of_half, _ = trajectory(half, half.state, batches)
    of_single, at_the_same = trajectory(single, single.state, batches, half)
    losses = {
        "float32": of_single,
        "bfloat16 at the same parameters": at_the_same,
        "bfloat16": of_half,
        "float32 from a rounded start": control,
    }
    result = {
        "what": "loss of each step of configs/phantom_demo.py, of the same batches",
        "code": code_revision(),
        "device": jax.devices()[0].device_kind,
        "beside_float32": {
            name: apart(values, of_single) for name, values in losses.items() if name != "float32"
        },
        "losses": losses,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["beside_float32"], indent=1))


if __name__ == "__main__":
    main()
