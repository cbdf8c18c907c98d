"""Seconds of one linear probe, and of five seeds at three fractions, beside extracting features.

    python benchmarks/probe_cost.py --checkpoint runs/demo/run --data runs/demo/data

writes benchmarks/results/probe_cost.json. Of each the first call, with its compilation, and the
fastest of the later ones.
"""

import argparse
import json
import os
import pathlib
import time

RESULT = pathlib.Path(__file__).parent / "results" / "probe_cost.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path, default=RESULT)
    arguments = parser.parse_args()

    import jax

    from place_jax.predictor import Predictor
    from place_jax.transfer.image_features import extract_image_features
    from place_jax.transfer.linear import FRACTIONS, choose_subset
    from place_jax.transfer.probe import Examples, train_probes
    from place_jax.transfer.protocols import linear_probe

    predictor = Predictor.from_checkpoint(arguments.checkpoint)
    data, config = predictor.open_data(arguments.data), predictor.config
    weights = ((predictor.params, predictor.model_state),)

    def extract(split: str):
        return extract_image_features(predictor.model, weights, data, split, config=config)[0]

    start = time.perf_counter()
    splits = {split: extract(split) for split in ("train", "validation", "test")}
    result = {
        "what": "seconds; features of all three splits are extracted once for any number of probes",
        "examples": {split: len(found.index) for split, found in splits.items()},
        "width": splits["train"].features.shape[1],
        "extraction": round(time.perf_counter() - start, 2),
    }
    train, validation = (
        Examples(splits[split].features, splits[split].labels) for split in ("train", "validation")
    )
    patients, recipe = splits["train"].patient_id, linear_probe.recipe("strict", data.name)
    for name, fractions, seeds in (("one probe", (1.0,), 1), ("fifteen probes", FRACTIONS, 5)):
        subsets = [
            [choose_subset(patients, fraction, "strict", seed) for seed in range(seeds)]
            for fraction in fractions
        ]
        seconds = []
        for _ in range(arguments.rounds + 1):
            start = time.perf_counter()
            train_probes(train, validation, subsets, recipe)
            seconds.append(time.perf_counter() - start)
        result[name] = {
            "first": round(seconds[0], 2),
            "later": round(min(seconds[1:]), 2),
        }
        print(f"{name}: {result[name]}", flush=True)
    result |= {
        "cpu_count": os.cpu_count(),
        "load_average_at_end": round(os.getloadavg()[0], 1),
        "jax": jax.__version__,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written: {arguments.out}")


if __name__ == "__main__":
    main()
