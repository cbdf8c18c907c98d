"""Every task of `place evaluate` on the demo's checkpoint, each beside its controls.

    ./launch/demo.sh runs/demo
    python benchmarks/demo_evaluation.py --checkpoint runs/demo/run --data runs/demo/data

writes benchmarks/results/demo_evaluation.json, and with --pictures FOLDER the curves.
"""

import argparse
import json
import math
import os
import pathlib
import time

RESULT = pathlib.Path(__file__).parent / "results" / "demo_evaluation.json"


def requests(data: str) -> dict:
    """What is asked, by name."""
    from place_jax.transfer.checkpoint_scores import Request
    from place_jax.transfer.subgroups import Subgroups
    from place_jax.transfer.zero_shot_task import ZeroShotOptions

    classes = ZeroShotOptions(classes=("5x200",), transductive=True, sensitivity=True)
    return {
        "linear": Request("linear", data, subgroups=Subgroups(("view", "device"))),
        "zero-shot": Request("zero-shot", data, zero_shot=classes),
        "retrieval": Request("retrieval", data, zero_shot=classes),
        "retrieval of all pairs": Request("retrieval", data, pool=0),
        "grounding": Request("grounding", data),
        "fine-tune": Request("fine-tune", data, seeds=1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--only", nargs="+", help="some of the tasks; the others stay as they are")
    parser.add_argument("--pictures", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=RESULT)
    arguments = parser.parse_args()

    from place_jax.evaluation_pictures import write_pictures
    from place_jax.training.checkpoints import find, read_metadata
    from place_jax.transfer.checkpoint_scores import evaluate_checkpoint

    result = json.loads(arguments.out.read_text()) if arguments.only else {}
    metadata = read_metadata(find(arguments.checkpoint))
    result["checkpoint"] = {
        "objective": metadata["config"]["objective"],
        "steps": metadata["data_position"]["step"],
        "code_revision": metadata["code_revision"],
    }
    for name, request in requests(arguments.data).items():
        if arguments.only and name not in arguments.only:
            continue
        start = time.perf_counter()
        protocol, scores = evaluate_checkpoint(request, arguments.checkpoint)
        result[name] = {
            "protocol": protocol,
            "seconds": round(time.perf_counter() - start, 1),
            "load_average": round(os.getloadavg()[0], 1),
            "scores": {n: round(v, 4) if math.isfinite(v) else None for n, v in scores.items()},
        }
        print(f"{name}: {result[name]['seconds']} s", flush=True)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
        if arguments.pictures:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            write_pictures(scores.details, arguments.pictures / name.replace(" ", "_"))


if __name__ == "__main__":
    main()
