"""Remedies against query collapse, alone and together: what each does to V-PORs and to grounding.

    python benchmarks/query_collapse.py --data runs/demo/data --out runs/query_collapse
    python benchmarks/query_collapse.py --data runs/demo/data --out runs/query_collapse --demo

A short run (300 steps of 64 pairs, encoders of half the demo's width, no CCE) starts where the
queries collapse: they look everywhere alike, so that all V-PORs of an image are one. Each remedy is
a switch of the config. With --demo, rows named in DEMO_ROWS are run at the demo's own budget.
Finished runs are read, not repeated, and the table is written after each. Scores are those of the
test patients; "over another's image" is paired, with its 95 % interval over patients.
Writes benchmarks/results/query_collapse.json and .md, with --demo query_collapse_demo.*.
"""

import argparse
import pathlib

import ablation_table

SHORT = [
    "loss.lambda_c=0.0", "train.steps=300", "train.eval_every=300", "optimizer.warmup_steps=30",
    "model.image.width=64", "model.image.mlp_dim=256", "model.text.width=64",
    "model.text.mlp_dim=256", "model.text.depth=1", "model.observation.width=64",
]  # fmt: skip
NONE = [
    "model.observation.reads=encoder", "model.observation.sharpness=1.0",
    "model.observation.separation=0.0",
]  # fmt: skip
STEM, SHARP, APART = (
    "model.observation.reads=stem", "model.observation.sharpness=8.0",
    "model.observation.separation=1.0",
)  # fmt: skip
ROWS = {
    "none": NONE,
    "stem": [*NONE, STEM],
    "sharp": [*NONE, SHARP],
    "apart": [*NONE, APART],
    "stem, sharp": [*NONE, STEM, SHARP],
    "sharp, apart": [*NONE, SHARP, APART],
    "stem, sharp, apart": [*NONE, STEM, SHARP, APART],
    "slots": [*NONE, "model.observation.competition=slots"],
    "attention diversity 1": [*NONE, "loss.attention_diversity=1.0"],
    "query diversity 1": [*NONE, "loss.query_diversity=1.0"],
    "tau_m 0.02": [*NONE, "loss.tau_m=0.02"],
    "lambda_p ramped over 150 steps": [*NONE, "loss.lambda_p_warmup_steps=150"],
    "32 queries": [*NONE, "model.observation.num_queries=32"],
    "queries N(0, 0.02)": [*NONE, "model.observation.query_init=normal"],
    "one to one": [*NONE, "loss.match=one_to_one"],
}
DEMO_ROWS = ("none", "stem, sharp, apart")
COLUMNS = {
    "v_por/test/cosine_between_queries": "V-POR cosine, queries",
    "v_por/test/queries_in_use": "queries in use",
    "v_por/test/attention_overlap": "attention overlap",
    "v_por/test/cosine_between_images": "V-POR cosine, images",
    "grounding/test/pointing": "pointing",
    "grounding/test/pointing_over_rolled_image": "over another's image",
    "grounding/test/pointing_similarity": "pointing by patch similarity",
    "zero_shot/test/macro_auroc": "zero-shot macro AUROC",
    "zero_shot/test/macro_auroc_observation": "the same by V-PORs",
    "retrieval/test/recall_at_10": "recall@10",
    "pathological/test/loss": "PCMA loss",
    "pathological/test/loss_rolled_images": "rolled images",
}


def main() -> None:
    """Runs the rows and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the demo's prepared folder")
    parser.add_argument("--out", required=True, help="a folder for the runs")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--rows", nargs="*", help="some of the rows; all by default")
    parser.add_argument("--demo", action="store_true", help="at the demo's own budget")
    arguments = parser.parse_args()
    names = arguments.rows or (DEMO_ROWS if arguments.demo else ROWS)
    rows = {name: ROWS[name] + ([] if arguments.demo else SHORT) for name in names}
    results = pathlib.Path(__file__).parent / "results"
    print(
        ablation_table.run_rows(
            rows,
            seeds=arguments.seeds,
            data=arguments.data,
            out=pathlib.Path(arguments.out) / ("demo" if arguments.demo else "short"),
            table=results / ("query_collapse_demo" if arguments.demo else "query_collapse"),
            columns=COLUMNS,
            order=list(ROWS),
        )
    )


if __name__ == "__main__":
    main()
