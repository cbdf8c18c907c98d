"""Where CCE's error of a trained run comes from: a wrong mean, or what images have of their own.

    python benchmarks/correlation_error.py --data runs/demo/data --run "the demo=runs/demo/run"

With C the target of a pair of patches and P what is predicted, over test images

  mean (P - C)^2 = (mean P - mean C)^2 + var P + var C - 2 cov(P, C)

pair of positions by pair, then the mean over pairs by how often each is scored. R^2 over the mean
matrix is 1 less that over var C; the first term is what a prediction loses that gets not even the
mean right. Each run is added to benchmarks/results/correlation_error.json and .md, under its name.
"""

import argparse
import pathlib

import run_table

RESULT = pathlib.Path(__file__).parent / "results" / "correlation_error.json"
COLUMNS = {
    "r2": "R² over the mean matrix",
    "lost_to_mean": "lost to a wrong mean",
    "r2_with_right_mean": "R² with the mean set right",
    "spread": "spread of predictions over that of targets",
    "correlation": "correlation of both about their means",
    "mean_left_by_rank_8": "share of the mean matrix that rank 8 leaves",
    "mean_left_by_rank_16": "rank 16",
    "mean_left_by_rank_32": "rank 32",
}


def parts_of_error(run: str, data_dir: str, examples: int) -> dict:
    """The terms of a run's error on the first test images, over the variance of the target."""
    import jax
    import numpy as np

    from data_pipelines.batches import open_data
    from place_jax.models.principal_factors import principal_factors
    from place_jax.objectives.correlation import correlation_pairs
    from place_jax.predictor import Predictor
    from place_jax.transfer.features import split_batches

    predictor = Predictor.from_checkpoint(run)
    model, config = predictor.model, predictor.config

    @jax.jit
    def pairs_of(batch, key):
        outputs = model.apply(predictor.params, predictor.model_state, batch, key=key)
        return correlation_pairs(outputs, batch, config)

    batches = split_batches(open_data(data_dir), "test", config=config, max_examples=examples)
    found = [pairs_of(batch, jax.random.key(i)) for i, batch in enumerate(batches)]
    target, predicted, scored = (
        np.concatenate([np.asarray(getattr(part, name)) for part in found]).astype(np.float64)
        for name in ("target", "predicted", "scored")
    )
    count = scored.sum(0)

    def mean(values):
        return (values * scored).sum(0) / count.clip(min=1)

    def over_pairs(values):
        return float((values * count).sum() / count.sum())

    own_target, own_predicted = target - mean(target), predicted - mean(predicted)
    wrong_mean = over_pairs((mean(target) - mean(predicted)) ** 2)
    spread, other = over_pairs(mean(own_target**2)), over_pairs(mean(own_predicted**2))
    shared = over_pairs(mean(own_target * own_predicted))
    error = wrong_mean + other + spread - 2 * shared
    matrix = np.where(count > 0, mean(target), 0).astype(np.float32)
    own = np.eye(len(matrix), dtype=bool)

    def left(rank):
        rows = np.asarray(principal_factors(matrix, rank, longest=0.99))
        return float(
            np.square((rows @ rows.T - matrix)[~own]).sum() / np.square(matrix[~own]).sum()
        )

    return {
        "r2": 1 - error / spread,
        "lost_to_mean": wrong_mean / spread,
        "r2_with_right_mean": 1 - (error - wrong_mean) / spread,
        "spread": other / spread,
        "correlation": shared / (other * spread) ** 0.5,
        "variance_of_target": spread,
        **{f"mean_left_by_rank_{rank}": left(rank) for rank in (8, 16, 32)},
        "examples": len(target),
    }


def main() -> None:
    """Measures the runs that are named and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the demo's prepared folder")
    parser.add_argument("--run", nargs="+", required=True, metavar="NAME=DIR")
    parser.add_argument("--examples", type=int, default=256)
    arguments = parser.parse_args()
    run_table.add_runs(
        arguments.run,
        RESULT,
        COLUMNS,
        lambda run: parts_of_error(run, arguments.data, arguments.examples),
    )


if __name__ == "__main__":
    main()
