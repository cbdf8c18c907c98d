"""Seconds until a checkpoint answers, each time in a process of its own, on the CPU.

    ./launch/demo.sh runs/demo
    python benchmarks/predictor_load.py --checkpoint runs/demo/run

writes benchmarks/results/predictor_load.json: importing, loading (`Predictor.from_checkpoint`), and
the first image, which compiles; the later ones do not. Medians over rounds, and the slowest load.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

RESULT = pathlib.Path(__file__).parent / "results" / "predictor_load.json"
LIMIT = 3.0  # seconds for the demo's model
_CLOCKS = ("seconds", "cpu_seconds")  # the second of all threads, whatever else the machine does
_PROGRAM = """
import json, sys, time
def now(): return time.perf_counter(), time.process_time()
start = now()
import numpy as np
from place_jax import Predictor
imported = now()
predictor = Predictor.from_checkpoint(sys.argv[1])
loaded = now()
image = np.arange(128 * 128, dtype=np.uint8).reshape(128, 128)
predictor.embed_images(image)
first = now()
predictor.embed_images(image)
second = now()
import jax
moments = (start, imported, loaded, first, second)
names = ("import", "load", "first_image", "second_image")
def parts(clock):
    read = [moment[clock] for moment in moments]
    return {name: b - a for name, a, b in zip(names, read, read[1:])}
heavy = [name for name in ("tensorflow", "matplotlib", "sklearn") if name in sys.modules]
print(json.dumps({"seconds": parts(0), "cpu_seconds": parts(1), "heavy": heavy,
    "parameters": sum(leaf.size for leaf in jax.tree.leaves(predictor.params)),
    "jax": jax.__version__}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=pathlib.Path, default=RESULT)
    arguments = parser.parse_args()
    rounds = []
    for _ in range(arguments.rounds):
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, arguments.checkpoint],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        rounds.append(json.loads(done.stdout))
        for clock in _CLOCKS:
            said = {name: round(value, 2) for name, value in rounds[-1][clock].items()}
            print(clock, said, flush=True)
    loads = [found["seconds"]["load"] for found in rounds]
    result = {
        "what": "seconds in a fresh process, medians over rounds; cpu_seconds are of its threads",
        "rounds": len(rounds),
        "limit_of_load": LIMIT,
        "within_limit": max(loads) < LIMIT,
        "slowest_load": round(max(loads), 3),
        **{
            clock: {
                name: round(statistics.median(found[clock][name] for found in rounds), 3)
                for name in rounds[0][clock]
            }
            for clock in _CLOCKS
        },
        "parameters": rounds[0]["parameters"],
        "imported_beside_jax": rounds[0]["heavy"],
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
        "load_average_at_end": round(os.getloadavg()[0], 1),
        "jax": rounds[0]["jax"],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(
        f"loads in {result['seconds']['load']} s, slowest {result['slowest_load']}: {arguments.out}"
    )


if __name__ == "__main__":
    main()
