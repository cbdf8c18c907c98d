"""Zero-shot classification: images scored by prompts that say a finding is there or is not."""

import dataclasses
import enum
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.records import CHEXPERT_LABELS, BadInput
from data_pipelines.tokenizer import Tokenizer
from place_jax.metrics.bootstrap import resample
from place_jax.metrics.classification import auroc, known, macro, per_label
from place_jax.metrics.resampled import resampled_auroc
from place_jax.metrics.scores import Ranking, Scores, Table
from place_jax.models.functional import Model
from place_jax.transfer.features import Features
from place_jax.transfer.matches import match
from place_jax.transfer.names import snake_case
from place_jax.transfer.texts import encode_texts

Prompts = Mapping[str, Mapping[str, Sequence[str]]]
_SIDES = ("positive", "negative")


class Combine(enum.Enum):
    """What several prompts of one side are together."""

    MEAN = "mean"  # the mean of their unit embeddings, brought back to unit length
    MAX = "max"  # the best of their cosines, as GLoRIA and PRIOR take it


@dataclasses.dataclass(frozen=True)
class EncodedPrompts:
    """Embeddings of one label's prompts: P positive ones and M negative ones.

    Attributes:
      positive: [P, E] as reports of one sentence.
      negative: [M, E] likewise.
      positive_observation: [P, E] as T-PORs; None for a model without observations.
      negative_observation: [M, E] likewise.
    """

    positive: np.ndarray
    negative: np.ndarray
    positive_observation: np.ndarray | None = None
    negative_observation: np.ndarray | None = None


def check_prompts(prompts: Prompts, label_names: Sequence[str] | None = CHEXPERT_LABELS) -> None:
    """Raises BadInput for prompts that cannot be used on data of these labels; None for any."""
    if not isinstance(prompts, Mapping) or not prompts:
        raise BadInput("no_prompts", "prompts are empty: give {label: {positive: [...], ...}}")
    for label, sides in prompts.items():
        if label_names is not None and label not in label_names:
            raise BadInput(
                "unknown_label",
                f"prompts have label {label!r}: use one of {', '.join(label_names)}",
            )
        for side in _SIDES:
            texts = sides.get(side) if isinstance(sides, Mapping) else None
            if not texts or isinstance(texts, str) or not all(isinstance(t, str) for t in texts):
                raise BadInput(
                    "no_prompts",
                    f"prompts of {label!r} have no {side} list: give at least one sentence there",
                )


def encode_prompts(
    model: Model,
    params: dict,
    model_state: dict,
    prompts: Prompts,
    tokenizer: Tokenizer,
    *,
    config: ConfigDict,
) -> dict[str, EncodedPrompts]:
    """Embeds prompts, each as a report of one sentence.

    Args:
      model: the model, and its parameters and state.
      params: see `model`.
      model_state: see `model`.
      prompts: {label: {"positive": [...], "negative": [...]}}.
      tokenizer: of the vocabulary that the model was trained with.
      config: data.max_tokens, data.max_sentences.

    Raises:
      BadInput: for a label that is not known, an empty list, a prompt of unknown words only.
    """
    check_prompts(prompts, None)
    places = [(label, side) for label in prompts for side in _SIDES for _ in prompts[label][side]]
    texts = [[text] for label in prompts for side in _SIDES for text in prompts[label][side]]
    encoded = encode_texts(model, params, model_state, texts, tokenizer, config=config)
    sentence = None if encoded.t_por is None else encoded.t_por[:, 0]
    out = {}
    for label in prompts:
        positive, negative = (
            np.array([place == (label, side) for place in places]) for side in _SIDES
        )
        out[label] = EncodedPrompts(
            encoded.report_embedding[positive],
            encoded.report_embedding[negative],
            None if sentence is None else sentence[positive],
            None if sentence is None else sentence[negative],
        )
    return out


def global_scores(
    image_embedding: np.ndarray, prompts: EncodedPrompts, combine: Combine = Combine.MEAN
) -> np.ndarray:
    """Cosine to the positive prompts less cosine to the negative ones.

    CheXzero (Tiu et al., Nature Biomedical Engineering 2022) takes the softmax of the pair, which
    ranks images in the same order at any temperature.

    Args:
      image_embedding: [n, E] unit rows.
      prompts: of one label.
      combine: of several prompts of a side.

    Returns:
      [n] in -2..2.
    """
    return side_scores(image_embedding, prompts.positive, combine) - side_scores(
        image_embedding, prompts.negative, combine
    )


def side_scores(image_embedding: np.ndarray, texts: np.ndarray, combine: Combine) -> np.ndarray:
    """[n] cosine of images [n, E] to several texts [P, E] of one meaning."""
    if combine is Combine.MAX:
        return (image_embedding @ texts.T).max(axis=1)
    return image_embedding @ _unit_mean(texts)


def prompt_sensitivity(
    features: Features, prompts: Mapping[str, EncodedPrompts], texts: Prompts, *, split: str
) -> Scores:
    """What each pair of one positive and one negative prompt scores by itself.

    Args:
      features: of the split.
      prompts: of its labels.
      texts: what they say.
      split: for the names.

    Returns:
      `zero_shot/SPLIT/sensitivity/LABEL_lowest`, `_median` and `_highest` AUROC over the pairs, and
      the table of all pairs as a detail.
    """
    out, rows = Scores(), []
    for label, encoded in scorable(features, prompts).items():
        column = features.labels[:, features.label_names.index(label)]
        positive, negative = (
            features.image_embedding @ side.T for side in (encoded.positive, encoded.negative)
        )
        found = []
        for i, j in itertools.product(range(positive.shape[1]), range(negative.shape[1])):
            value = auroc(column, positive[:, i] - negative[:, j])
            found.append(value)
            said = {side: texts[label][side][k] for side, k in zip(_SIDES, (i, j), strict=True)}
            rows.append({"label": label, **said, "auroc": value})
        name = f"zero_shot/{split}/sensitivity/{snake_case(label)}"
        for ending, value in (
            ("lowest", min(found)),
            ("median", float(np.median(found))),
            ("highest", max(found)),
        ):
            out.add(f"{name}_{ending}", value)
    if rows:
        out.details[f"zero_shot/{split}/sensitivity"] = Table(rows)
    return out


def scorable(
    features: Features, prompts: Mapping[str, EncodedPrompts]
) -> dict[str, EncodedPrompts]:
    """The prompts of labels of which the features know both classes."""
    column = {name: features.labels[:, i] for i, name in enumerate(features.label_names)}
    return {
        name: encoded
        for name, encoded in prompts.items()
        if name in column and _both_classes(column[name])
    }


def observation_scores(v_por: np.ndarray, prompts: EncodedPrompts, *, tau_m: float) -> np.ndarray:
    """PCMA's match of the positive prompts less that of the negative ones, means over prompts.

    Ours: match(i, s) = tau_m logsumexp_q(<t_s, v_iq> / tau_m), t_s the prompt's T-POR.

    Args:
      v_por: [n, Q, E] unit rows.
      prompts: of one label, with observations.
      tau_m: of the match; 0 for the best query.

    Returns:
      [n].
    """
    positive, negative = (
        match(v_por, side, tau_m=tau_m).mean(axis=1)
        for side in (prompts.positive_observation, prompts.negative_observation)
    )
    return positive - negative


def evaluate_zero_shot(
    features: Features,
    prompts: Mapping[str, EncodedPrompts],
    *,
    split: str,
    tau_m: float = 0.1,
    combine: Combine = Combine.MEAN,
    bootstrap: int = 0,
    seed: int = 0,
) -> Scores:
    """AUROC per label and its mean over labels, by the global embedding and by V-PORs.

    A label of which the split knows one class only has no AUROC and is left out.

    Args:
      features: of the split; v_por may be absent.
      prompts: from `encode_prompts`.
      split: for the names.
      tau_m: of the match with V-PORs; 0 for the best query.
      combine: of several prompts of a side, for the global embedding.
      bootstrap: replicates over patients for 95 % intervals; 0 for none.
      seed: of the bootstrap.

    Returns:
      `zero_shot/SPLIT/macro_auroc`, `zero_shot/SPLIT/auroc/LABEL`, the same ending in
      `_observation`, and intervals. Empty where no label can be scored.
    """
    names = list(scorable(features, prompts))
    if not names:
        return Scores()
    labels = features.labels[:, [features.label_names.index(name) for name in names]]
    weights = resample(features.patient_id, bootstrap, seed) if bootstrap else None
    embedding = features.image_embedding
    scores = {"": np.stack([global_scores(embedding, prompts[n], combine) for n in names], axis=1)}
    if features.v_por is not None and prompts[names[0]].positive_observation is not None:
        scores["_observation"] = np.stack(
            [observation_scores(features.v_por, prompts[n], tau_m=tau_m) for n in names], axis=1
        )
    out = Scores()
    for suffix, columns in scores.items():
        keys = [f"zero_shot/{split}/auroc{suffix}/{snake_case(name)}" for name in names]
        values = per_label(auroc, labels, columns, keys)
        replicates = [None] * len(names)
        if weights is not None:
            replicates = [
                resampled_auroc(labels[:, i], columns[:, i], weights) for i in range(len(names))
            ]
        mean = None if weights is None else np.mean(replicates, axis=0)
        out.add(f"zero_shot/{split}/macro_auroc{suffix}", macro(values), mean)
        for i, (key, drawn) in enumerate(zip(keys, replicates, strict=True)):
            out.add(key, values[key], drawn)
            out.details[key] = Ranking(labels[:, i], columns[:, i])
    return out


def _both_classes(column: np.ndarray) -> bool:
    return len(np.unique(column[known(column)])) == 2


def _unit_mean(rows: np.ndarray) -> np.ndarray:
    mean = rows.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)
