"""PCMA at 1,024 pairs, 32 queries and 8 sentences: memory against its budget, and time.

    JAX_PLATFORMS=cpu python benchmarks/pcma_memory.py

Value and gradient on one CPU device, for every loss.match, under several budgets of
loss.memory_bytes and unblocked (a budget that holds every score). Memory is what the compiled
program allocates beside its arguments and results; time is the least of several calls, taken in
turns so that other work on the machine falls on all alike, and not measured of one_to_one, whose
million assignments are no work for a CPU. Writes benchmarks/results/pcma_memory.json.
"""

import argparse
import json
import pathlib
import time

import jax
import numpy as np

RESULTS = pathlib.Path(__file__).parent / "results"
MATCHES = ("softmax", "max", "one_to_one")
BUDGETS = {"128 MiB": 2**27, "256 MiB": 2**28, "1 GiB": 2**30, "unblocked": 2**40}


def problem(pairs: int, queries: int, sentences: int, width: int):
    """Outputs and batch of random unit vectors, with statements that repeat as reports' do."""
    from place_jax.outputs import Outputs

    rng = np.random.default_rng(0)

    def unit(*shape):
        x = rng.standard_normal(shape, np.float32)
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    number = np.minimum(rng.zipf(1.3, (pairs, sentences)), 5000).astype(np.uint32)
    outputs = Outputs(
        v_por=unit(pairs, queries, width),
        t_por=unit(pairs, sentences, width),
        logit_scales={"pathological": np.float32(1 / 0.07)},
    )
    batch = {
        "statement": np.stack([number, number], axis=-1),
        "sentence_mask": np.arange(sentences) < rng.integers(1, sentences + 1, (pairs, 1)),
        "example_mask": np.ones(pairs, bool),
    }
    return outputs, batch


def take_times(compiled: dict, rows: dict[str, dict], values: tuple, repeats: int) -> None:
    """Adds loss, seconds and time_over_unblocked to each row."""
    for _ in range(repeats):
        for name, function in compiled.items():
            start = time.perf_counter()
            value, _ = jax.block_until_ready(function(*values))
            seconds = time.perf_counter() - start
            least = min(seconds, rows[name].get("seconds", seconds))
            rows[name] |= {"loss": float(value), "seconds": least}
            print(f"{name}: {seconds:.2f} s", flush=True)
    for row in rows.values():
        row["time_over_unblocked"] = row["seconds"] / rows["unblocked"]["seconds"]


def main() -> None:
    """Measures and writes the table."""
    from place_jax.configs import base
    from place_jax.objectives.pathological import pathological_loss
    from place_jax.training.checkpoints import code_revision

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1024)
    parser.add_argument("--queries", type=int, default=32)
    parser.add_argument("--sentences", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    outputs, batch = problem(arguments.pairs, arguments.queries, arguments.sentences, 128)
    found = {}
    for match in MATCHES:
        compiled, rows = {}, {}
        for name, budget in BUDGETS.items():
            config = base.get_config()
            config.loss.update(memory_bytes=budget, match=match)

            def loss_of(outputs, batch, config=config):
                return pathological_loss(outputs, batch, config)[0]

            compiled[name] = jax.jit(jax.value_and_grad(loss_of)).lower(outputs, batch).compile()
            memory = int(compiled[name].memory_analysis().temp_size_in_bytes)
            rows[name] = {"budget_bytes": budget, "peak_bytes": memory}
            print(f"{match}, {name}: {memory / 2**20:.0f} MiB", flush=True)
        if match != "one_to_one":
            take_times(compiled, rows, (outputs, batch), arguments.repeats)
        found[match] = rows
    sizes = {key: getattr(arguments, key) for key in ("pairs", "queries", "sentences")}
    RESULTS.mkdir(exist_ok=True)
    about = {"code": code_revision(), "device": jax.devices()[0].device_kind}
    text = json.dumps(sizes | about | {"matches": found}, indent=1)
    (RESULTS / "pcma_memory.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
