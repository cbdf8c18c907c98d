"""Zero-shot on a prepared split: whose prompts, which parts and classes, what calibration."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from data_pipelines import batches
from place_jax import objectives
from place_jax.metrics.scores import Scores
from place_jax.models.functional import Model
from place_jax.transfer.calibration import score_calibration
from place_jax.transfer.class_zero_shot import Normalisation, evaluate_classes
from place_jax.transfer.features import Features
from place_jax.transfer.protocols.class_lists import classes_named
from place_jax.transfer.protocols.prompt_templates import template_prompts
from place_jax.transfer.subgroups import Subgroups, find_groups
from place_jax.transfer.zero_shot import (
    Combine,
    EncodedPrompts,
    Prompts,
    check_prompts,
    encode_prompts,
    evaluate_zero_shot,
    global_scores,
    prompt_sensitivity,
    scorable,
)


@dataclasses.dataclass(frozen=True)
class ZeroShotOptions:
    """What is asked of zero-shot beyond AUROC by label.

    Attributes:
      combine: of several prompts of one meaning.
      classes: 5x200, 8x200 or names of labels, to choose one of; none without.
      transductive: class scores that were normalised over the test images are given too.
      sensitivity: what each pair of prompts scores by itself.
      subgroups: parts of the split to score by themselves too.
    """

    combine: Combine = Combine.MEAN
    classes: Sequence[str] = ()
    transductive: bool = False
    sensitivity: bool = False
    subgroups: Subgroups = Subgroups()


def run_zero_shot(
    weights: tuple[Model, dict, dict],
    features: Features,
    data: batches.PreparedData,
    config: ConfigDict,
    *,
    split: str,
    prompts: Prompts | None = None,
    options: ZeroShotOptions | None = None,
    validation: Features | None = None,
    bootstrap: int = 0,
    seed: int = 0,
) -> Scores:
    """Scores a split's features by prompts.

    Args:
      weights: the model, its parameters and its state.
      features: of the split.
      data: a prepared folder.
      config: the whole config.
      split: for the names.
      prompts: None for the data's own, or else CheXzero's templates.
      options: what else is asked.
      validation: features that a temperature is fitted on; None for no calibration.
      bootstrap: replicates over patients for 95 % intervals; 0 for none.
      seed: of the bootstrap.
    """
    options = options or ZeroShotOptions()
    prompts = prompts or data.prompts or template_prompts(data.label_names)
    check_prompts(prompts, data.label_names)
    classes: Sequence[str] = ()
    asked = dict(prompts)
    if options.classes:
        classes = classes_named(options.classes, data.label_names)
        asked = template_prompts(classes, every=True) | asked
    encoded = encode_prompts(*weights, asked, data.tokenizer, config=config)
    of_labels = {label: encoded[label] for label in prompts}
    scoring = {"bootstrap": bootstrap, "seed": seed}
    # Of one sentence, the other matching rules are the best query.
    tau_m = config.loss.tau_m if config.loss.match == "softmax" else 0.0
    naming = scoring | {"tau_m": tau_m, "combine": options.combine}
    out = evaluate_zero_shot(features, of_labels, split=split, **naming)
    groups = find_groups(
        data, split, subgroups=options.subgroups, index=features.index, labels=features.labels
    )
    for name, inside in groups.items():
        part = features.take(inside)
        found = evaluate_zero_shot(part, of_labels, split=f"{split}/{name}", **naming)
        found.details.clear()
        out |= found
        out.add(f"zero_shot/{split}/{name}/examples", len(part.index))
    if classes:
        wanted = [Normalisation.NONE] + [Normalisation.TRANSDUCTIVE] * options.transductive
        for normalisation in wanted:
            out |= evaluate_classes(
                features,
                encoded,
                classes,
                split=split,
                combine=options.combine,
                normalisation=normalisation,
                **scoring,
            )
    if options.sensitivity:
        out |= prompt_sensitivity(features, of_labels, prompts, split=split)
    if validation is not None:
        temperature = objectives.temperature(config, weights[1])
        out |= _calibration(temperature, features, validation, of_labels, options.combine, split)
    return out


def _calibration(
    temperature: float,
    features: Features,
    validation: Features,
    prompts: Mapping[str, EncodedPrompts],
    combine: Combine,
    split: str,
) -> Scores:
    """One temperature for the pairs of all labels, fitted on validation."""
    names = list(scorable(features, scorable(validation, prompts)))
    if not names:
        return Scores()

    def pairs(part: Features) -> tuple[np.ndarray, np.ndarray]:
        labels = part.labels[:, [part.label_names.index(name) for name in names]]
        embedding = part.image_embedding
        logits = [global_scores(embedding, prompts[name], combine) for name in names]
        return labels, np.stack(logits, axis=1)

    found = score_calibration(pairs(validation), pairs(features), temperature=temperature)
    return found.prefixed(f"zero_shot/{split}")
