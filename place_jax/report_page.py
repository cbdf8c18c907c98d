"""`report.html`: what a run did, learned and did not, on one page that opens with no network."""

import dataclasses
import json
import logging
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from ml_collections import ConfigDict

from data_pipelines.records import SPLITS
from place_jax import __version__, configuration, figures, report_words
from place_jax.report_examples import Examples, find_examples
from place_jax.report_words import Scores
from place_jax.training.workdir import as_path, write_whole

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Run:
    """What a workdir says of itself.

    Attributes:
      config: the resolved config.
      metrics: the lines of metrics.jsonl.
      scores: the numbers of result.json, by name.
    """

    config: ConfigDict
    metrics: list[dict[str, Any]]
    scores: Scores


def write_report(workdir: str | os.PathLike, *, examples: bool = True) -> pathlib.Path:
    """Writes WORKDIR/report.html from the run's files, its last checkpoint and its data.

    Parts that are not there are left out, with a sentence that says why. Images and texts of data
    that may not be shared are left out unless config.evaluation.include_examples.

    Args:
      workdir: of a run.
      examples: False leaves out what needs the checkpoint and the data.

    Returns:
      The page.
    """
    workdir = as_path(workdir)
    run = read_run(workdir)
    manifest, found = _examples(workdir, run) if examples else ({}, Examples())
    page = render(run, manifest, found)
    path = workdir / "report.html"
    write_whole(path, page)
    return path


def read_run(workdir: pathlib.Path) -> Run:
    """Reads config.json, metrics.jsonl and result.json; the last two may be missing."""
    path = workdir / "config.json"
    if not path.is_file():
        raise ValueError(f"{workdir} has no config.json: give the workdir of a run")
    config = configuration.from_json(path.read_text())
    metrics, result = [], {}
    if (workdir / "metrics.jsonl").is_file():
        metrics = [row for row in map(_row, (workdir / "metrics.jsonl").open()) if row]
    if (workdir / "result.json").is_file():
        result = json.loads((workdir / "result.json").read_text())
    scores = {name: float(value) for name, value in result.items() if _is_number(value)}
    return Run(config, metrics, scores)


def render(run: Run, manifest: Mapping[str, Any], examples: Examples) -> str:
    """The page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    panels, watched = learning_curves(run.metrics), diagnostic_curves(run.metrics)
    split = report_words.split_of(run.scores)
    findings = per_finding(run.scores, split)
    return environment.get_template("report_page.html.jinja").render(
        version=__version__,
        config=run.config,
        config_json=configuration.to_json(run.config),
        data=report_words.describe_data(manifest),
        summary=report_words.summarize(run.config, run.metrics, manifest),
        split=split,
        curves=figures.curves(panels) if panels else None,
        diagnostics=figures.curves(watched) if watched else None,
        scores=report_words.score_table(run.scores, split),
        findings=findings
        and figures.intervals(findings, chance=0.5, xlabel="zero-shot AUROC on held-out patients"),
        controls=report_words.controls(run.scores, split),
        grounding_words=report_words.grounding(run.scores, split),
        examples=examples,
    )


def learning_curves(metrics: Sequence[Mapping[str, Any]]) -> list[figures.Panel]:
    """Losses with their floors, and held-out scores, over steps; those that the run logged."""
    losses = (
        ("Total loss", "loss"),
        ("ITA: image to report, and back", "instance/loss"),
        ("PCMA: image to statement, and back", "pathological/loss"),
        ("CCE: correlations of patches", "correlation/loss"),
        ("CLIP: image to report, and back", "clip/loss"),
        ("SigLIP", "siglip/loss"),
        ("ConVIRT", "convirt/loss"),
        ("GLoRIA: wholes and words", "gloria/loss"),
        ("MGCA: wholes, tokens, prototypes", "mgca/loss"),
    )
    panels = []
    for title, name in losses:
        trained = figures.table_of(metrics, f"train/{name}")
        floor = figures.table_of(metrics, f"train/{name.removesuffix('loss')}floor")
        lines = [
            figures.Line("training loss", *trained),
            figures.Line("its floor", *floor, figures.REFERENCE, dashed=True),
        ]
        panels.append(figures.Panel(title, [line for line in lines if line.steps]))
    pool = figures.table_of(metrics, "retrieval/validation/pool_size")[1]
    held_out = (
        ("Zero-shot macro AUROC, validation", "zero_shot/validation/macro_auroc", 0.5),
        (
            "Retrieval recall at 1, validation",
            "retrieval/validation/recall_at_1",
            1 / pool[-1] if pool else None,
        ),
    )
    for title, name, chance in held_out:
        steps, values = figures.table_of(metrics, name)
        lines = [figures.Line("score", steps, values, marked=True)] if steps else []
        panels.append(figures.Panel(title, lines, chance))
    return [panel for panel in panels if panel.lines]


def diagnostic_curves(metrics: Sequence[Mapping[str, Any]]) -> list[figures.Panel]:
    """What a loss hides, over steps: of training, and of validation where points are marked."""
    train, validation = "train/", "validation/"
    specs = (
        (
            "Above the floor",
            {
                f"{train}instance/gap": "ITA",
                f"{train}pathological/gap": "PCMA",
            },
        ),
        (
            "Logit scales",
            {
                f"{train}logit_scale/instance": "ITA",
                f"{train}logit_scale/pathological": "PCMA",
                f"{train}logit_scale/siglip": "SigLIP",
            },
        ),
        ("Alignment: distance of a pair, squared", {f"{train}embedding/alignment": "pairs"}),
        (
            "Uniformity: -4 is evenly spread, 0 one point",
            {
                f"{train}embedding/uniformity_images": "images",
                f"{train}embedding/uniformity_reports": "reports",
            },
        ),
        (
            "Cosine of V-PORs",
            {
                f"{train}v_por/cosine_between_images": "between images",
                f"{train}v_por/cosine_between_queries": "between queries",
                f"{train}v_por/attention_overlap": "of attention maps",
            },
        ),
        ("Effective rank of V-PORs", {f"{train}v_por/effective_rank": "directions"}),
        ("Share of queries in use", {f"{train}v_por/queries_in_use": "queries"}),
        ("Mass on the null V-POR", {f"{train}pathological/null_mass": "sentences"}),
        (
            "Norm of the gradient on the image encoder",
            {
                f"gradient/{validation}norm_instance": "ITA",
                f"gradient/{validation}norm_pathological": "PCMA",
                f"gradient/{validation}norm_correlation": "CCE",
            },
        ),
        (
            "Cosine of two gradients",
            {
                f"gradient/{validation}cosine_instance_pathological": "ITA, PCMA",
                f"gradient/{validation}cosine_instance_correlation": "ITA, CCE",
                f"gradient/{validation}cosine_pathological_correlation": "PCMA, CCE",
            },
        ),
        (
            "PCMA: so much higher with another's image",
            {f"pathological/{validation}loss_rolled_images_over_own": "loss"},
        ),
        (
            "CCE: higher with another's report, by this share",
            {f"correlation/{validation}rise_rolled_reports": "loss"},
        ),
        (
            "CCE: R\u00b2 over the mean matrix",
            {
                f"correlation/{validation}r2_over_mean": "own report",
                f"correlation/{validation}r2_over_mean_rolled_reports": "another's report",
                f"correlation/{validation}r2_over_mean_no_reports": "no report",
            },
        ),
    )
    colours = (figures.TRAINED, figures.CONTROL, figures.REFERENCE)
    panels = []
    for title, names in specs:
        lines = [
            figures.Line(words, *figures.table_of(metrics, name), colour, marked=validation in name)
            for (name, words), colour in zip(names.items(), colours, strict=False)
        ]
        panels.append(figures.Panel(title, [line for line in lines if line.steps]))
    return [panel for panel in panels if panel.lines]


def per_finding(scores: Scores, split: str) -> list[figures.Bar]:
    """Zero-shot AUROC of every label, best first."""
    prefix = f"zero_shot/{split}/auroc/"
    bars = [
        figures.Bar(
            name.removeprefix(prefix).replace("_", " "),
            value,
            scores.get(f"{name}_ci_low"),
            scores.get(f"{name}_ci_high"),
            scores.get(f"untrained/{name}"),
        )
        for name, value in scores.items()
        if name.startswith(prefix) and not name.endswith(("_ci_low", "_ci_high"))
    ]
    return sorted((bar for bar in bars if math.isfinite(bar.value)), key=lambda bar: -bar.value)


def _examples(workdir: pathlib.Path, run: Run) -> tuple[dict, Examples]:
    """The data's manifest and the galleries; what fails is said on the page and not raised."""
    try:
        from data_pipelines.batches import open_data
        from place_jax.predictor import Predictor

        config = run.config
        data = open_data(config.data.dir)
        if not data.shareable and not config.evaluation.include_examples:
            return data.manifest, Examples(
                absent="The data are marked as not to be shared, so no image and no text of them "
                "is on this page. If your agreement allows a page that stays with you, set "
                "config.evaluation.include_examples=True."
            )
        splits = (report_words.split_of(run.scores), *reversed(SPLITS))
        split = next(split for split in splits if data.splits.get(split))
        predictor = Predictor.from_checkpoint(workdir)
        data = predictor.open_data(config.data.dir)
        return data.manifest, find_examples(predictor, data, split)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        _log.warning("report.html has no examples: %s", why)
        return {}, Examples(absent=f"There are no examples on this page: {why}")


def _row(line: str) -> dict[str, Any] | None:
    """A line of metrics.jsonl; None for one cut short by a kill."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) and "step" in row else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
