"""What the report page says: scores beside chance, and controls in plain words."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from data_pipelines.records import SPLITS

Scores = Mapping[str, float]

# A loss this much lower than its control counts as lower: batches of one split differ by less.
_MARGIN = 0.01
# Another report has to raise CCE's loss by this much: less, and the conditioning is dead.
_ALIVE = 0.02
_COLLAPSED = 0.95  # mean cosine above which vectors count as one and the same
_TERMS = {"instance": "ITA", "pathological": "PCMA", "correlation": "CCE"}


@dataclasses.dataclass(frozen=True)
class ScoreRow:
    """A line of the table of scores, all as text; empty where there is nothing to say."""

    task: str
    name: str
    value: str
    interval: str
    chance: str
    untrained: str


@dataclasses.dataclass(frozen=True)
class Control:
    """A control in words.

    Attributes:
      title: what is asked.
      rows: (what was measured, number as text).
      verdict: the answer.
      passed: whether the answer is yes, which is what one hopes for.
    """

    title: str
    rows: tuple[tuple[str, str], ...]
    verdict: str
    passed: bool


def describe_data(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Name, counts and whether the data are synthetic."""
    name = str(manifest.get("name") or manifest.get("source") or "")
    splits = manifest.get("splits", {})
    return {
        "name": name,
        "synthetic": name.startswith("phantom"),
        "counts": ", ".join(
            f"{splits[split]['examples']:,} {split}" for split in SPLITS if split in splits
        ),
        "split_rule": str(manifest.get("split_rule", "")),
        "quarantined": sum(dict(manifest.get("quarantined") or {}).values()),
    }


def summarize(
    config: ConfigDict, metrics: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """(what, text) of the run; what is not known is left out."""
    image, text = config.model.image, config.model.text
    trained = [row for row in metrics if "train/pairs_per_second" in row]
    steps = np.array([row["step"] for row in trained])
    speed = np.array([row["train/pairs_per_second"] for row in trained])
    taken = np.diff(steps, prepend=0) * config.data.batch_size
    seconds = float((taken / speed).sum()) if trained else math.nan
    memory = max((row.get("train/host_memory_gib", math.nan) for row in trained), default=math.nan)
    kind = jax.devices()[0].device_kind
    rows = [
        ("Objective", config.objective),
        ("Data", str(manifest.get("name", "")) or config.data.dir),
        (
            "Steps",
            f"{steps.max():,} of {config.train.steps:,}, {config.data.batch_size} pairs each"
            if trained
            else "",
        ),
        (
            "Image encoder",
            f"{config.data.crop_size} pixels, patches of {image.patch_size}, {image.stem} stem, "
            f"{image.depth} layers of {image.width}",
        ),
        ("Text encoder", f"{text.depth} layers of {text.width}, {text.context} context"),
        ("V-POR queries", str(config.model.observation.num_queries)),
        ("Training time, net of evaluation", _duration(seconds)),
        ("Pairs a second", _number(float(taken.sum()) / seconds if seconds else None, 1)),
        ("Most memory on the host", f"{memory:.1f} GiB" if math.isfinite(memory) else ""),
        (
            "This page was made on",
            f"{os.cpu_count()} CPU cores" if kind == "cpu" else f"{jax.device_count()} x {kind}",
        ),
        ("Seed", str(config.seed)),
    ]
    if config.data.shuffle_pairs:
        rows.append(("A control run", "each image was paired with another patient's report"))
    return [(what, value) for what, value in rows if value]


def split_of(scores: Scores) -> str:
    """The split that the final scores are of: test, where the data have one."""
    named = {parts[1] for parts in (name.split("/") for name in scores) if len(parts) > 2}
    return next((split for split in reversed(SPLITS) if split in named), SPLITS[-1])


def score_table(scores: Scores, split: str) -> list[ScoreRow]:
    """The headline scores of a split, with their intervals, chance, and no training."""
    pool = scores.get(f"retrieval/{split}/pool_size", math.nan)
    specs = [
        ("Zero-shot", "macro AUROC", f"zero_shot/{split}/macro_auroc", 0.5, 3),
        (
            "Zero-shot",
            "macro AUROC, by V-PORs",
            f"zero_shot/{split}/macro_auroc_observation",
            0.5,
            3,
        ),
    ]
    for direction, prefix in (("image to report", ""), ("report to image", "text_to_image_")):
        for k in (1, 5, 10):
            name = f"retrieval/{split}/{prefix}recall_at_{k}"
            specs.append((f"Retrieval, {direction}", f"recall at {k}", name, k / pool, 3))
        name = f"retrieval/{split}/{prefix}median_rank"
        specs.append((f"Retrieval, {direction}", "median rank", name, (pool + 1) / 2, 1))
    uniform = scores.get(f"grounding/{split}/pointing_uniform", math.nan)
    specs.append(("Grounding", "pointing in the region", f"grounding/{split}/pointing", uniform, 3))
    rows, last = [], ""
    for task, words, name, chance, digits in specs:
        if name not in scores:
            continue
        rows.append(
            ScoreRow(
                task if task != last else "",
                words,
                _number(scores[name], digits),
                _interval(scores, name, digits),
                _number(chance, digits),
                _number(scores.get(f"untrained/{name}"), digits),
            )
        )
        last = task
    return rows


def controls(scores: Scores, split: str) -> list[Control]:
    """What the objectives score when the image, or the report, is another patient's."""
    found = [
        _images_matter(scores, split),
        _reports_matter(scores, split),
        _alike(scores, split),
        _pulls(scores, split),
    ]
    return [control for control in found if control is not None]


def conditioning(scores: Scores, split: str) -> str | None:
    """One line on whether CCE uses the report, for the log; None where CCE was not trained."""
    base = f"correlation/{split}/loss"
    if f"{base}_rolled_reports" not in scores:
        return None
    rise = scores[f"{base}_rolled_reports"] / scores[base] - 1
    if rise >= _ALIVE:
        return f"CCE's conditioning is alive: another report raises its loss by {rise:.1%}"
    return (
        f"CCE's conditioning is dead: another report changes its loss by {rise:+.2%}, and alive "
        f"begins at {_ALIVE:.0%}; docs/method.md says which settings make it alive"
    )


def grounding(scores: Scores, split: str) -> Control | None:
    """The pointing game beside its controls."""
    base = f"grounding/{split}/pointing"
    names = (
        ("its own image", base),
        ("another patient's image", f"{base}_rolled_image"),
        ("no image: the point most regions share", f"{base}_mean_box"),
        ("no image: the point most regions of the same finding share", f"{base}_mean_box_of_label"),
        ("a random point", f"{base}_uniform"),
        ("the untrained model", f"untrained/{base}"),
    )
    if base not in scores:
        return None
    rows = tuple(
        (words, f"{_number(scores[name], 3)} {_interval(scores, name, 3)}".strip())
        for words, name in names
        if name in scores
    )
    rows = (
        ("sentences with a region", _number(scores.get(f"grounding/{split}/sentences"), 0)),
        *rows,
    )
    gain = f"{base}_over_rolled_image"
    low = scores.get(f"{gain}_ci_low", scores.get(gain, math.nan))
    if not low > 0:
        return Control(
            "Does a V-POR look where its sentence points?",
            rows,
            "With its own image the attention points no better than with another patient's, beyond "
            "what could be luck. The maps below are no evidence of what is in an image.",
            False,
        )
    prior = max(scores.get(f"{base}_mean_box", 0.0), scores.get(f"{base}_mean_box_of_label", 0.0))
    verdict = "With its own image the attention points better than with another patient's. "
    if scores[base] > prior:
        return Control(
            "Does a V-POR look where its sentence points?",
            rows,
            verdict + "It also points better than anatomy alone does.",
            True,
        )
    return Control(
        "Does a V-POR look where its sentence points?",
        rows,
        verdict + "But a fixed point, chosen from the regions themselves, hits as often or more: "
        "a map is a hint and no localisation.",
        False,
    )


def _images_matter(scores: Scores, split: str) -> Control | None:
    base = f"pathological/{split}/loss"
    if f"{base}_rolled_images" not in scores:
        return None
    own, rolled = scores[base], scores[f"{base}_rolled_images"]
    # Of loss.scope=report there is none: within a report no image is needed at all.
    frequency = scores.get(f"{base}_statement_frequency")
    without = rolled if frequency is None else min(rolled, frequency)
    passed = own < (1 - _MARGIN) * without
    rows = (
        ("with each report's own image", _number(own, 3)),
        ("with another patient's image", _number(rolled, 3)),
        ("the best that no image at all allows", _number(frequency, 3)),
        ("the least possible", _number(scores.get(f"pathological/{split}/floor"), 3)),
    )
    verdict = (
        "The loss is lower with the right image than any predictor that does not look: the V-PORs "
        "tell of the image."
        if passed
        else "The loss is no lower than without the image: the V-PORs have learned which "
        "statements are common, and nothing of the images."
    )
    return Control("Do the V-PORs (PCMA) depend on the image?", rows, verdict, passed)


def _reports_matter(scores: Scores, split: str) -> Control | None:
    base = f"correlation/{split}/loss"
    if f"{base}_rolled_reports" not in scores:
        return None
    own, rolled = scores[base], scores[f"{base}_rolled_reports"]
    passed = rolled >= (1 + _ALIVE) * own
    rows = tuple(
        (words, _number(scores[name], digits))
        for words, name, digits in (
            ("with its own report", base, 4),
            ("with another patient's report", f"{base}_rolled_reports", 4),
            ("without a report", f"{base}_no_reports", 4),
            ("R\u00b2 over the mean matrix", f"correlation/{split}/r2_over_mean", 3),
        )
        if name in scores
    )
    verdict = (
        f"Another report raises the loss by {100 * (rolled / own - 1):.1f} %: the prediction uses "
        "the report."
        if passed
        else f"Another report changes the loss by {100 * (rolled / own - 1):+.2f} %: the "
        "prediction does not use the report. This term trains the image encoder alone."
    )
    return Control("Does CCE depend on the report?", rows, verdict, passed)


def _alike(scores: Scores, split: str) -> Control | None:
    images = scores.get(f"v_por/{split}/cosine_between_images")
    queries = scores.get(f"v_por/{split}/cosine_between_queries")
    if images is None or queries is None or f"pathological/{split}/loss" not in scores:
        return None
    worst = max(images, queries)
    verdict = (
        f"Above {_COLLAPSED} they are one and the same vector: collapsed."
        if worst > _COLLAPSED
        else f"Both are below {_COLLAPSED}: images have V-PORs of their own, and queries differ."
    )
    rows = (
        ("mean cosine of one query's V-PORs between images", _number(images, 3)),
        ("mean cosine between the queries of one image", _number(queries, 3)),
    )
    return Control(
        "Do the V-PORs differ, between images and between queries?",
        rows,
        verdict,
        worst <= _COLLAPSED,
    )


def _pulls(scores: Scores, split: str) -> Control | None:
    """Gradients of the loss's terms by the image encoder."""
    norm, cosine = f"gradient/{split}/norm_", f"gradient/{split}/cosine_"
    norms = {n.removeprefix(norm): v for n, v in scores.items() if n.startswith(norm)}
    cosines = {n.removeprefix(cosine): v for n, v in scores.items() if n.startswith(cosine)}
    if len(norms) < 2:
        return None
    rows = [(f"{_TERMS.get(n, n)}: norm of its gradient", f"{v:.3g}") for n, v in norms.items()]
    for pair, value in cosines.items():
        one, other = pair.split("_")
        words = f"{_TERMS.get(one, one)} and {_TERMS.get(other, other)}: cosine"
        rows.append((words, f"{value:+.2f}"))
    strongest = max(norms, key=norms.get)
    share = norms[strongest] / sum(norms.values())
    against = [pair for pair, value in cosines.items() if value < -0.1]
    passed = not against
    verdict = f"{_TERMS.get(strongest, strongest)} has {share:.0%} of the sum of the norms. "
    verdict += (
        "Some terms pull against each other."
        if against
        else "No two terms pull against each other."
    )
    return Control(
        "Do the terms of the loss agree on the image encoder?", tuple(rows), verdict, passed
    )


def _number(value: float | None, digits: int) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _interval(scores: Scores, name: str, digits: int) -> str:
    low, high = scores.get(f"{name}_ci_low"), scores.get(f"{name}_ci_high")
    text = _number(low, digits), _number(high, digits)
    return f"({text[0]} to {text[1]})" if all(text) else ""


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
