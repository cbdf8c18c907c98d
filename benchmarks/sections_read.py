"""Runs trained on some sections of the reports, tested on each of them.

    python benchmarks/sections_read.py --data runs/demo/data --run \
        "both=runs/switches/default_seed0" "impression alone=runs/switches/impression_alone_seed0"

A row of switches_ablation.py is tested on the sections that it was trained on, so that its
retrieval, its pointing and CCE's rise are of other sentences than the default's. Here every run is
tested on both sections, on findings alone and on impressions alone. Each run is added to
benchmarks/results/sections_read.json and .md, under its name; intervals are 95 %.
"""

import argparse
import pathlib

import ablation_table
import run_table

RESULT = pathlib.Path(__file__).parent / "results" / "sections_read.json"
SCORES = {
    "retrieval/test/recall_at_10": "recall@10",
    "grounding/test/pointing": "pointing",
    "grounding/test/pointing_similarity": "by patch similarity",
    "correlation/test/rise_rolled_reports": "CCE's rise",
}
SECTIONS = ("both", "findings", "impression")
COLUMNS = {
    f"{sections}/{score}": f"{heading}, {sections}"
    for score, heading in SCORES.items()
    for sections in SECTIONS
}


def scores_by_sections(run: str, data_dir: str) -> dict:
    """The scores that COLUMNS names."""
    from data_pipelines.batches import open_data
    from place_jax.predictor import Predictor
    from place_jax.transfer.evaluation import evaluate

    predictor = Predictor.from_checkpoint(run)
    weights = predictor.model, predictor.params, predictor.model_state
    data, kept = open_data(data_dir), {}
    for sections in SECTIONS:
        config = predictor.config.copy_and_resolve_references()
        config.data.sections = sections
        tasks = ("retrieval", "grounding", "controls")
        found = evaluate(*weights, data, "test", config, tasks=tasks)
        scores = ablation_table.scores_of(found, SCORES)
        kept |= {f"{sections}/{name}": float(value) for name, value in scores.items()}
    return kept


def main() -> None:
    """Tests the runs that are named and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the demo's prepared folder")
    parser.add_argument("--run", nargs="+", required=True, metavar="NAME=DIR")
    arguments = parser.parse_args()
    run_table.add_runs(
        arguments.run, RESULT, COLUMNS, lambda run: scores_by_sections(run, arguments.data)
    )


if __name__ == "__main__":
    main()
