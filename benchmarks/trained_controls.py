"""What trained runs score when the image, or the report, is another patient's; with intervals.

    python benchmarks/trained_controls.py --data runs/demo/data --run "the demo=runs/demo/run"

Of the test split: PCMA with each image rolled to another patient, less PCMA with its own; by what
share another's report raises CCE's loss; zero-shot AUROC and recall@10 with images shuffled among
patients, which have to be chance, 0.5 and 10 of the pool. Intervals are 95 %, of losses over
batches, of scores over patients. Each run is added to benchmarks/results/trained_controls.json and
.md, under its name.
"""

import argparse
import dataclasses
import pathlib

import ablation_table
import run_table

RESULT = pathlib.Path(__file__).parent / "results" / "trained_controls.json"
COLUMNS = {
    "pathological/test/loss": "PCMA loss",
    "pathological/test/loss_rolled_images_over_own": "another's image, less own",
    "pathological/test/loss_statement_frequency": "statement frequency alone",
    "correlation/test/loss": "CCE loss",
    "correlation/test/loss_rolled_reports": "under another's report",
    "correlation/test/loss_no_reports": "without a report",
    "correlation/test/rise_rolled_reports": "CCE's rise under another's report",
    "correlation/test/r2_over_mean": "CCE's R² over the mean matrix",
    "zero_shot/test/macro_auroc": "zero-shot AUROC",
    "shuffled/zero_shot/test/macro_auroc": "images shuffled",
    "shuffled/zero_shot/test/macro_auroc_observation": "by V-PORs, shuffled",
    "retrieval/test/recall_at_10": "recall@10",
    "shuffled/retrieval/test/recall_at_10": "images shuffled",
    "retrieval/test/pool_size": "pool",
}


def controls_of(run: str, data_dir: str) -> dict:
    """The scores that COLUMNS names."""
    import numpy as np

    from data_pipelines.batches import open_data
    from place_jax.predictor import Predictor
    from place_jax.transfer.checkpoint_scores import Request, evaluate_checkpoint
    from place_jax.transfer.controls import trains_observations
    from place_jax.transfer.features import extract_features
    from place_jax.transfer.retrieval import evaluate_retrieval
    from place_jax.transfer.zero_shot_task import run_zero_shot

    _, scores = evaluate_checkpoint(Request("controls", data_dir), run)
    predictor = Predictor.from_checkpoint(run)
    config, data = predictor.config, open_data(data_dir)
    weights = predictor.model, predictor.params, predictor.model_state
    observed = ("v_por",) if trains_observations(config) else ()
    own = extract_features(*weights, data, "test", config=config, observations=observed)
    other = np.roll(np.arange(len(own.index)), len(own.index) // 2)  # no patient is so far spread
    moved = {name: getattr(own, name)[other] for name in ("image_embedding", *observed)}
    scoring = {"split": "test", "bootstrap": config.evaluation.bootstrap, "seed": config.seed}
    for prefix, features in (("", own), ("shuffled/", dataclasses.replace(own, **moved))):
        found = run_zero_shot(weights, features, data, config, prompts=None, **scoring)
        pool = config.evaluation.retrieval_pool
        found |= evaluate_retrieval(features, pool=pool, **scoring)
        scores |= {prefix + name: value for name, value in found.items()}
    return {k: float(v) for k, v in ablation_table.scores_of(scores, COLUMNS).items()}


def main() -> None:
    """Measures the runs that are named and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the demo's prepared folder")
    parser.add_argument("--run", nargs="+", required=True, metavar="NAME=DIR")
    arguments = parser.parse_args()
    run_table.add_runs(arguments.run, RESULT, COLUMNS, lambda run: controls_of(run, arguments.data))


if __name__ == "__main__":
    main()
