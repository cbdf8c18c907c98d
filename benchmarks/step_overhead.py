"""What the framework costs: place_jax's step and loop against a plain JAX loop of the same model.

    python benchmarks/step_overhead.py            # the demo config, on whatever devices there are

The plain loop is what one would write by hand in a notebook: parameters, jax.value_and_grad, optax,
one jit. Both run the same model and losses on the same drawn pairs, a few steps at a time in turns,
so that a busy machine is busy for both. Writes benchmarks/results/step_overhead.json: the median
over the turns of the ratio of their times, and of the CPU seconds that they took, which a busy
machine changes less. The claim: at most 1.03.
"""

import argparse
import itertools
import json
import os
import pathlib
import platform
import statistics
import sys
import time

if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the claim is of a CPU

import jax
import numpy as np
import optax

from data_pipelines.records import batch_fields
from place_jax import configuration, objectives
from place_jax.models.functional import Model
from place_jax.parallel.mesh import make_mesh
from place_jax.training.assembly import assemble
from place_jax.training.bad_steps import BadSteps
from place_jax.training.feed import FIELDS, Feed
from place_jax.training.optimizer import decay_mask, learning_rate
from place_jax.training.step import init_state

VOCABULARY = 1000
BATCHES = 4


def draw_rows(config, number: int) -> dict[str, np.ndarray]:
    """A batch of drawn pairs: full reports of sentences of equal length."""
    data = config.data
    rng = np.random.default_rng(number)
    fields = batch_fields(data.batch_size, data.crop_size, data.max_tokens, data.max_sentences)
    rows = {name: np.zeros(*fields[name]) for name in (*FIELDS, "index")}
    rows["image"] = rng.integers(0, 256, rows["image"].shape, dtype=np.uint8)
    rows["tokens"] = rng.integers(4, VOCABULARY, rows["tokens"].shape, dtype=np.int32)
    each = (data.max_tokens - 1) // data.max_sentences
    sentence = np.repeat(np.arange(1, data.max_sentences + 1), each)
    rows["sentence_of_token"][:, 1 : 1 + len(sentence)] = sentence
    rows["statement"] = rng.integers(0, 40, rows["statement"].shape).astype(np.uint32)
    rows["report_statement"] = rng.integers(0, 999, rows["report_statement"].shape, np.uint32)
    rows["sentence_mask"][:], rows["example_mask"][:] = True, True
    return rows


def plain_loop(config, batches):
    """Yields after each step of a loop written by hand."""
    model = Model.from_config(config.model, image_size=config.data.crop_size, vocab_size=VOCABULARY)
    objective = objectives.get(config.objective)
    tx = optax.chain(
        optax.clip_by_global_norm(config.optimizer.clip_norm),
        optax.adamw(
            learning_rate(config),
            b1=config.optimizer.b1,
            b2=config.optimizer.b2,
            weight_decay=config.optimizer.weight_decay,
            mask=decay_mask,
        ),
    )
    params, model_state = jax.jit(model.init)(jax.random.key(0))
    opt_state = jax.jit(tx.init)(params)

    def step(params, opt_state, key, batch):
        def loss_of(params):
            outputs = model.apply(params, model_state, batch, key=key)
            return objective(outputs, batch, config)[0]

        loss, gradients = jax.value_and_grad(loss_of)(params)
        updates, opt_state = tx.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    step = jax.jit(step, donate_argnums=(0, 1))
    for number, rows in enumerate(batches):
        batch = {name: rows[name] for name in FIELDS}
        key = jax.random.fold_in(jax.random.key(1), number)
        params, opt_state, loss = step(params, opt_state, key, batch)
        yield loss


def framework_loop(config, batches):
    """Yields after each step as `train` takes it."""
    mesh = make_mesh(config.mesh)
    run = assemble(config, mesh, vocab_size=VOCABULARY)
    state = init_state(run.model, run.tx, config, jax.random.key(0), mesh)
    feed = Feed(batches, mesh)
    bad_steps = BadSteps(0, config.train.max_bad_steps)
    feed.load_ahead()
    step = run.step.lower(state, feed.ahead[0]).compile()
    for number in itertools.count(1):
        batch, index = feed.next()
        state, metrics = step(state, batch)
        bad_steps.remember(number, index, metrics["bad_steps"])
        feed.load_ahead()
        if number % config.train.log_every == 0:
            jax.device_get(metrics)
            bad_steps.check()
        yield metrics["loss"]


def main() -> None:
    """Runs both in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="phantom_demo")
    parser.add_argument("--turns", type=int, default=24)
    parser.add_argument("--steps", type=int, default=2, help="in a turn")
    parser.add_argument("--out", default="benchmarks/results/step_overhead.json")
    arguments = parser.parse_args()
    config = configuration.load_config(arguments.config)
    drawn = [draw_rows(config, number) for number in range(BATCHES)]
    loops = {
        "plain": plain_loop(config, itertools.cycle(drawn)),
        "framework": framework_loop(config, itertools.cycle(drawn)),
    }
    for loop in loops.values():
        for _ in range(2):
            jax.block_until_ready(next(loop))
    seconds, cpu_seconds = ({name: [] for name in loops} for _ in range(2))
    for turn in range(arguments.turns):
        # Whoever goes first goes second the next time.
        for name in sorted(loops, reverse=bool(turn % 2)):
            start, cpu_start = time.perf_counter(), time.process_time()
            for _ in range(arguments.steps):
                loss = next(loops[name])
            jax.block_until_ready(loss)
            seconds[name].append((time.perf_counter() - start) / arguments.steps)
            cpu_seconds[name].append((time.process_time() - cpu_start) / arguments.steps)
    ratios, cpu_ratios = (
        sorted(f / p for f, p in zip(taken["framework"], taken["plain"], strict=True))
        for taken in (seconds, cpu_seconds)
    )
    found = {
        "made_by": "python benchmarks/step_overhead.py " + " ".join(sys.argv[1:]),
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "turns": arguments.turns,
        "steps_in_a_turn": arguments.steps,
        "median_seconds_a_step": {k: statistics.median(v) for k, v in seconds.items()},
        "ratio_median": statistics.median(ratios),
        "ratio_quartiles": statistics.quantiles(ratios, n=4),
        "median_cpu_seconds_a_step": {k: statistics.median(v) for k, v in cpu_seconds.items()},
        "cpu_ratio_median": statistics.median(cpu_ratios),
        "cpu_ratio_quartiles": statistics.quantiles(cpu_ratios, n=4),
        "load_average": os.getloadavg()[0],
    }
    out = pathlib.Path(arguments.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
