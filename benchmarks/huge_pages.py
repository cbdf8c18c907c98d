"""What glibc's huge pages, which launch/environment.sh asks for, do to training on CPU.

    python benchmarks/huge_pages.py --data runs/demo/data

XLA takes and gives back large buffers at every step, and each of their pages is faulted in anew; a
huge page is one fault instead of 512. Trains the demo's config for 80 steps with and without, turn
by turn, each in a process of its own, and writes benchmarks/results/huge_pages.json: pairs a second
of the last 20 steps, and the seconds that the system took of the whole run.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

RESULT = pathlib.Path(__file__).parent / "results" / "huge_pages.json"
SETTING = {"plain": "", "huge_pages": "glibc.malloc.hugetlb=1"}
SHORT = {
    "train.steps": 80,
    "train.eval_every": 80,
    "train.checkpoint_every": 80,
    "train.log_every": 20,
    "optimizer.warmup_steps": 10,
    "evaluation.max_examples": 256,
}


def once(data: str, setting: str) -> dict[str, float]:
    """Trains once in another process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as workdir:
        options = [f"--config.{key}={value}" for key, value in SHORT.items()]
        command = ["-m", "place_jax.cli", "train", "--config", "phantom_demo"]
        subprocess.run(
            [sys.executable, *command, "--workdir", workdir, f"--config.data.dir={data}", *options],
            env={**os.environ, "GLIBC_TUNABLES": setting, "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        lines = pathlib.Path(workdir, "metrics.jsonl").read_text().splitlines()
    rates = [row.get("train/pairs_per_second") for row in map(json.loads, lines)]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "pairs_per_second": [rate for rate in rates if rate][-1],
        "system_seconds": after.ru_stime - before.ru_stime,
        "minor_faults": after.ru_minflt - before.ru_minflt,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the demo's prepared folder")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    runs = {name: [] for name in SETTING}
    for _ in range(arguments.repeats):
        for name, setting in SETTING.items():
            runs[name].append(once(arguments.data, setting))
            print(name, runs[name][-1], flush=True)
    median = {
        name: {key: statistics.median(run[key] for run in own) for key in own[0]}
        for name, own in runs.items()
    }
    ratio = {key: median["huge_pages"][key] / median["plain"][key] for key in median["plain"]}
    result = {"runs": runs, "huge_pages_over_plain": ratio}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(ratio), f"wrote {RESULT}")


if __name__ == "__main__":
    main()
