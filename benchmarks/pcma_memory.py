"""PCMA at 1,024 pairs, 32 queries and 8 sentences: memory against its budget, and time.

    JAX_PLATFORMS=cpu python benchmarks/pcma_memory.py

Value and gradient on one CPU device, under several budgets of loss.memory_bytes and unblocked
(contrast = gathered with a budget that holds every score). Memory is what the compiled program
allocates beside its arguments and results; time is the least of several calls, taken in turns so
that other work on the machine falls on all alike. Writes benchmarks/results/pcma_memory.json.
"""

import argparse
import json
import pathlib
import time

import jax
import numpy as np

RESULTS = pathlib.Path(__file__).parent / "results"
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


def main() -> None:
    """Measures and writes the table."""
    from place_jax.configs import base
    from place_jax.objectives.pathological import pathological_loss

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1024)
    parser.add_argument("--queries", type=int, default=32)
    parser.add_argument("--sentences", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    outputs, batch = problem(arguments.pairs, arguments.queries, arguments.sentences, 128)
    compiled, rows = {}, {}
    for name, budget in BUDGETS.items():
        config = base.get_config()
        config.loss.memory_bytes = budget

        def loss_of(outputs, batch, config=config):
            return pathological_loss(outputs, batch, config)[0]

        compiled[name] = jax.jit(jax.value_and_grad(loss_of)).lower(outputs, batch).compile()
        memory = compiled[name].memory_analysis().temp_size_in_bytes
        rows[name] = {"budget_bytes": budget, "peak_bytes": int(memory), "seconds": float("inf")}
        print(f"{name}: {memory / 2**20:.0f} MiB", flush=True)
    for _ in range(arguments.repeats):
        for name, function in compiled.items():
            start = time.perf_counter()
            value, _ = jax.block_until_ready(function(outputs, batch))
            seconds = time.perf_counter() - start
            rows[name] |= {"loss": float(value), "seconds": min(seconds, rows[name]["seconds"])}
            print(f"{name}: {seconds:.2f} s", flush=True)
    for row in rows.values():
        row["time_over_unblocked"] = row["seconds"] / rows["unblocked"]["seconds"]
    sizes = {key: getattr(arguments, key) for key in ("pairs", "queries", "sentences")}
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(sizes | {"device": jax.devices()[0].device_kind, "rows": rows}, indent=1)
    (RESULTS / "pcma_memory.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
