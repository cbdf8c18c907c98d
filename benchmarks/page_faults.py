"""What glibc's settings do to training on CPU: huge pages, and memory that is kept.

    python benchmarks/page_faults.py --data runs/demo/data
    taskset -c 0 python benchmarks/page_faults.py --data runs/demo/data

XLA takes and gives back large buffers at every step, and each of their pages is faulted in anew. A
huge page is one fault instead of 512; memory that is not given back to the system is not faulted in
again, but all threads share its one heap. Trains the demo's config for 80 steps under each setting,
turn by turn, each in a process of its own. Adds what it found on so many cores to
benchmarks/results/page_faults.json: pairs a second of the last 20 steps, the system's seconds of
the whole run, page faults, and the most memory it held.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from ablation_table import FASTER

RESULT = pathlib.Path(__file__).parent / "results" / "page_faults.json"
HUGE = FASTER["GLIBC_TUNABLES"]
KEPT = (  # in one heap, of which nothing is given back
    "glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=68719476736"
    ":glibc.malloc.trim_threshold=68719476736"
)
SETTING = {"plain": "", "huge_pages": HUGE, "huge_pages_kept": f"{HUGE}:{KEPT}"}
SHORT = {
    "train.steps": 80,
    "train.eval_every": 80,
    "train.checkpoint_every": 80,
    "train.log_every": 20,
    "optimizer.warmup_steps": 10,
    "evaluation.max_examples": 256,
}


def once(data: str, setting: str, compilations: str) -> dict[str, float]:
    """Trains once in another process, which finds in a folder what others compiled."""
    with tempfile.TemporaryDirectory() as workdir:
        settings = SHORT | {"data.dir": data, "train.compilation_cache": compilations}
        options = [f"--config.{key}={value}" for key, value in settings.items()]
        command = ["-m", "place_jax.cli", "train", "--config", "phantom_demo"]
        process = subprocess.Popen(
            [sys.executable, *command, "--workdir", workdir, *options],
            env={**os.environ, "GLIBC_TUNABLES": setting, "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"{' '.join(process.args)} ended with {status}")
        lines = pathlib.Path(workdir, "metrics.jsonl").read_text().splitlines()
    rates = [row.get("train/pairs_per_second") for row in map(json.loads, lines)]
    return {
        "pairs_per_second": [rate for rate in rates if rate][-1],
        "system_seconds": used.ru_stime,
        "minor_faults": used.ru_minflt,
        "peak_bytes": used.ru_maxrss * 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the demo's prepared folder")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    runs = {name: [] for name in SETTING}
    with tempfile.TemporaryDirectory() as compilations:
        once(arguments.data, HUGE, compilations)  # compiles for those that count
        for _ in range(arguments.repeats):
            for name, setting in SETTING.items():
                runs[name].append(once(arguments.data, setting, compilations))
                print(name, runs[name][-1], flush=True)
    median = {
        name: {key: statistics.median(run[key] for run in own) for key in own[0]}
        for name, own in runs.items()
    }
    over_plain = {
        name: {key: value / median["plain"][key] for key, value in own.items()}
        for name, own in median.items()
        if name != "plain"
    }
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    result[f"cores={len(os.sched_getaffinity(0))}"] = {"over_plain": over_plain, "runs": runs}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(over_plain, indent=1))


if __name__ == "__main__":
    main()
