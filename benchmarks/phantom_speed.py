"""How many phantoms a second two processes draw, report and truth included.

    python benchmarks/phantom_speed.py

writes benchmarks/results/phantom_speed.json. The claim: 60 or more a second at 224 on two cores,
and 6 at 1024. `per_second` is by the clock, and lower where other work shares the cores;
`per_second_of_two_cores` follows from the processor's own time.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import platform
import time

RESULT = pathlib.Path(__file__).parent / "results" / "phantom_speed.json"
PROCESSES = 2


def _draw(job: tuple[str, int, int, int]) -> tuple[int, float]:
    """Loads every second study of a source; returns how many, and the processor's seconds."""
    import cv2

    from data_pipelines.sources.phantom import PhantomSource

    config, size, count, part = job
    cv2.setNumThreads(1)
    source = PhantomSource(config=config, patients=count, size=size)
    keys = source.keys()[part:count:PROCESSES]
    start = time.process_time()
    for key in keys:
        source.load(key)
    return len(keys), time.process_time() - start


def measure(config: str, size: int, count: int, pool) -> dict:
    """Phantoms a second of one config and size."""
    start = time.perf_counter()
    parts = pool.map(_draw, [(config, size, count, part) for part in range(PROCESSES)])
    seconds = time.perf_counter() - start
    drawn, cpu = sum(n for n, _ in parts), sum(s for _, s in parts)
    rate, cost = drawn / seconds, 1000 * cpu / drawn
    print(
        f"{config:8s} {size:5d} px: {rate:6.1f} phantoms a second, {cost:5.1f} ms each of a core,"
        f" {2000 / cost:.1f} a second of two cores",
        flush=True,
    )
    return {
        "config": config,
        "size": size,
        "phantoms": drawn,
        "per_second": round(rate, 1),
        "core_milliseconds": round(cost, 2),
        "per_second_of_two_cores": round(2000 / cost, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--count", type=int, default=400, help="phantoms of 128 pixels; fewer larger ones"
    )
    parser.add_argument("--out", type=pathlib.Path, default=RESULT)
    arguments = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.map(_draw, [("easy", 64, 4, part) for part in range(PROCESSES)])  # imports
        rows = [
            measure(config, size, max(4, arguments.count * 128**2 // size**2), pool)
            for config in ("easy", "default", "hard")
            for size in (128, 224, 1024)
        ]
    result = {
        "what": "studies drawn a second by PhantomSource.load, report and truth included",
        "processes": PROCESSES,
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
