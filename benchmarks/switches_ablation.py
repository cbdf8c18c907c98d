"""Every switch of the method, one at a time from the demo's config, under one recipe.

    python benchmarks/switches_ablation.py --data runs/demo/data --out runs/switches
    python benchmarks/switches_ablation.py ... --seeds 0 --rows "default" "match max"
    python benchmarks/switches_ablation.py ... --finished runs/demo/run

500 steps take 4 to 5 minutes of two cores, all rows at three seeds most of a night, so that the
table grows over several sittings: what benchmarks/results/switches_ablation.json holds is not
trained again, and the last column says with which code each row was. The first table has each
row's differences from the default under the same seeds, bold where they are larger than those
between the default's own seeds; a row of one seed that is not bold says nothing.
Two calls may run beside each other on rows of their own. With --finished a run made elsewhere is
read where its config is that of a row. Writes also switches_ablation.md.
"""

import argparse
import pathlib

import ablation_table

# As configs/base.py has them; both together are phantom_demo:plain.
_BASE_QUERIES = [
    "model.observation.reads=encoder",
    "model.observation.sharpness=1.0",
    "model.observation.separation=0.0",
]
_TEXTURE_CCE = [
    "model.correlation.centre=patch",
    "model.correlation.hide_layout=scattered",
    "model.correlation.mask_ratio=0.5",
]
ROWS = {
    "default": [],
    # PCMA: the loss
    "lambda_p 0": ["loss.lambda_p=0.0"],
    "lambda_p ramped over 150 steps": ["loss.lambda_p_warmup_steps=150"],
    "match max": ["loss.match=max"],
    "match one to one": ["loss.match=one_to_one"],
    "scope report": ["loss.scope=report"],
    "positives own": ["loss.positives=own"],
    "sentence weights uniform": ["loss.sentence_weights=uniform"],
    "tau_m 0.02": ["loss.tau_m=0.02"],
    "tau_m 0.5": ["loss.tau_m=0.5"],
    "query diversity 1": ["loss.query_diversity=1.0"],
    "attention diversity 1": ["loss.attention_diversity=1.0"],
    # PCMA: the extractor
    "null V-POR": ["model.observation.null=learned"],
    "8 queries": ["model.observation.num_queries=8"],
    "32 queries": ["model.observation.num_queries=32"],
    "extractor of 2 layers": ["model.observation.depth=2"],
    "queries N(0, 0.02)": ["model.observation.query_init=normal"],
    "slot competition": ["model.observation.competition=slots"],
    "reads encoder": ["model.observation.reads=encoder"],
    "sharpness 1": ["model.observation.sharpness=1.0"],
    "separation 0": ["model.observation.separation=0.0"],
    "queries of the base": _BASE_QUERIES,
    # ITA
    "equal reports negatives": ["loss.equal_reports=negatives"],
    "scale of ITA fixed": ["loss.instance_scale=fixed"],
    # text
    "context report": ["model.text.context=report"],
    "findings alone": ["data.sections=findings"],
    "impression alone": ["data.sections=impression"],
    "first sentences": ["data.sentences=first"],
    # CCE
    "lambda_c 0": ["loss.lambda_c=0.0"],
    "lambda_c 10": ["loss.lambda_c=10.0"],
    "mask ratio 0.25": ["model.correlation.mask_ratio=0.25"],
    "mask ratio 0.5": ["model.correlation.mask_ratio=0.5"],
    "hidden scattered": ["model.correlation.hide_layout=scattered"],
    "hidden on one side": ["model.correlation.hide_layout=side"],
    "hidden at the stem": ["model.correlation.hide_at=stem"],
    "hidden after the blocks": ["model.correlation.hide_at=blocks"],
    "pairs of two hidden patches": ["loss.correlation_pairs=both_hidden"],
    "all pairs": ["loss.correlation_pairs=all"],
    "rank 8": ["model.correlation.rank=8"],
    "CCE without reports": ["model.correlation.condition=none"],
    "centred over the patch": ["model.correlation.centre=patch"],
    "from the mean matrix": ["model.correlation.start=mean"],
    "CCE of texture": _TEXTURE_CCE,
    "covariance": [
        "model.correlation.statistic=covariance",
        "model.correlation.form=free",
    ],
    "unit rows": ["model.correlation.form=low_rank"],
    "target of EMA features": ["model.correlation.target=ema_features", "train.ema_decay=0.99"],
    # the whole
    "queries of the base, CCE of texture": [*_BASE_QUERIES, *_TEXTURE_CCE],
    "mask ratio 0.5, tau_m 0.5": ["model.correlation.mask_ratio=0.5", "loss.tau_m=0.5"],
    "shuffled pairs": ["data.shuffle_pairs=True"],
    "not calibrated": ["train.calibrate=False", "model.observation.separation=0.0"],
    "clip": ["objective=clip"],
    "convirt": ["objective=convirt"],
    "siglip": ["objective=siglip", "model.logits=scale_and_bias"],
    "gloria": ["objective=gloria", "model.local=projections"],
    "gloria as coded": [
        "objective=gloria",
        "model.local=projections",
        "loss.protocol=mgca_compat",
    ],
    "mgca": ["objective=mgca", "model.local=prototypes"],
    "mgca as coded": ["objective=mgca", "model.local=prototypes", "loss.protocol=mgca_compat"],
}
COLUMNS = {
    "zero_shot/test/macro_auroc": "zero-shot macro AUROC",
    "zero_shot/test/macro_auroc_observation": "by V-PORs",
    "retrieval/test/recall_at_1": "recall@1",
    "retrieval/test/recall_at_10": "recall@10",
    "grounding/test/pointing": "pointing",
    "grounding/test/pointing_over_rolled_image": "over another's image",
    "grounding/test/pointing_similarity": "by patch similarity",
    "v_por/test/cosine_between_queries": "V-POR cosine, queries",
    "v_por/test/queries_in_use": "queries in use",
    "pathological/test/null_mass_about_nothing": "null mass, idle sentences",
    "pathological/test/null_mass_of_others": "null mass, others",
    "pathological/test/loss": "PCMA loss",
    "pathological/test/loss_rolled_images": "rolled images",
    "pathological/test/loss_rolled_images_over_own": "rolled images over own",
    "pathological/test/loss_statement_frequency": "statement frequency",
    "correlation/test/loss": "CCE loss",
    "correlation/test/loss_rolled_reports": "rolled reports",
    "correlation/test/rise_rolled_reports": "rise",
    "correlation/test/r2_over_mean": "CCE R² over the mean matrix",
}
COMPARED = (
    "zero_shot/test/macro_auroc",
    "zero_shot/test/macro_auroc_observation",
    "retrieval/test/recall_at_10",
    "grounding/test/pointing",
    "grounding/test/pointing_over_rolled_image",
    "grounding/test/pointing_similarity",
    "v_por/test/cosine_between_queries",
    "v_por/test/queries_in_use",
    "correlation/test/rise_rolled_reports",
    "correlation/test/r2_over_mean",
)


def main() -> None:
    """Runs the rows and writes the table."""
    ablation_table.run_faster(__file__)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the demo's prepared folder")
    parser.add_argument("--out", required=True, help="a folder for the runs")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument(
        "--rows", nargs="*", choices=ROWS, metavar="ROW", help="some; all by default"
    )
    parser.add_argument("--finished", nargs="*", default=[], help="workdirs of other finished runs")
    arguments = parser.parse_args()
    print(
        ablation_table.run_rows(
            {name: ROWS[name] for name in arguments.rows or ROWS},
            seeds=arguments.seeds,
            data=arguments.data,
            out=pathlib.Path(arguments.out),
            table=pathlib.Path(__file__).parent / "results" / "switches_ablation",
            columns=COLUMNS,
            order=list(ROWS),
            compared=COMPARED,
            finished=arguments.finished,
        )
    )


if __name__ == "__main__":
    main()
