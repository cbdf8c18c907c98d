"""The demo under one recipe: PLACE, each term off, CLIP, and training on shuffled pairs.

    python benchmarks/demo_ablation.py --data runs/demo/data --out runs/ablation

Every row has the data, encoder, schedule and number of steps of configs/phantom_demo.py; rows of
the same seed share initial parameters. Scores are those of the held-out test patients. Runs that
were finished are read, not repeated. Writes benchmarks/results/demo_ablation.json and .md.
"""

import argparse
import json
import pathlib
import statistics

ROWS = {
    "place": [],
    "place, PCMA off": ["loss.lambda_p=0.0"],
    "place, CCE off": ["loss.lambda_c=0.0"],
    "clip": ["objective=clip"],
    "place, shuffled pairs": ["data.shuffle_pairs=True"],
}
COLUMNS = {
    "zero_shot/test/macro_auroc": "zero-shot macro AUROC",
    "retrieval/test/recall_at_1": "recall@1",
    "retrieval/test/recall_at_10": "recall@10",
    "grounding/test/pointing": "pointing",
    "grounding/test/pointing_rolled_image": "pointing, other image",
    "pathological/test/loss": "PCMA loss",
    "pathological/test/loss_rolled_images": "PCMA, rolled images",
    "pathological/test/loss_statement_frequency": "PCMA, statement frequency",
    "correlation/test/loss": "CCE loss",
    "correlation/test/loss_rolled_reports": "CCE, rolled reports",
    "v_por/test/cosine_between_images": "V-POR cosine, images",
    "v_por/test/cosine_between_queries": "V-POR cosine, queries",
}
RESULTS = pathlib.Path(__file__).parent / "results"


def run(name: str, overrides: list[str], seed: int, data: str, out: pathlib.Path) -> dict:
    """Trains one row, or reads what an earlier call trained, and returns its test scores."""
    from place_jax import configuration
    from place_jax.training.loop import train_and_evaluate

    workdir = out / f"{name.replace(', ', '_').replace(' ', '_')}_seed{seed}"
    result = workdir / "result.json"
    if not result.exists():
        settings = [f"data.dir={data}", f"seed={seed}", *overrides]
        train_and_evaluate(configuration.load_config("phantom_demo", settings), workdir)
    return json.loads(result.read_text())


def table(rows: dict[str, list[dict]]) -> str:
    """Markdown: one line a row, the mean over seeds, and the range where there are several."""
    lines = ["| row | seeds | " + " | ".join(COLUMNS.values()) + " |"]
    lines.append("|---" * (len(COLUMNS) + 2) + "|")
    for name, results in rows.items():
        cells = []
        for column in COLUMNS:
            values = [r[column] for r in results if isinstance(r.get(column), float)]
            if name == "untrained":
                values = [r["untrained/" + column] for r in results if "untrained/" + column in r]
            if not values:
                cells.append("")
            elif len(values) == 1:
                cells.append(f"{values[0]:.3f}")
            else:
                mean = statistics.mean(values)
                cells.append(f"{mean:.3f} ({min(values):.3f} to {max(values):.3f})")
        lines.append(f"| {name} | {len(results)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs all rows and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the demo's prepared folder")
    parser.add_argument("--out", required=True, help="a folder for the runs")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--shuffled-seeds", type=int, nargs="*", default=[0, 1, 2])
    arguments = parser.parse_args()
    rows = {}
    for name, overrides in ROWS.items():
        seeds = arguments.shuffled_seeds if "shuffled" in name else arguments.seeds
        rows[name] = [
            run(name, overrides, seed, arguments.data, pathlib.Path(arguments.out))
            for seed in seeds
        ]
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "demo_ablation.json").write_text(json.dumps(rows, indent=1) + "\n")
        text = table(rows | {"untrained": rows["place"]})
        (RESULTS / "demo_ablation.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
