"""Zero-shot classification: images scored by prompts that say a finding is there or is not."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.records import CHEXPERT_LABELS, BadInput
from data_pipelines.tokenizer import Tokenizer
from place_jax.metrics.bootstrap import percentile_interval, resample
from place_jax.metrics.classification import auroc, known, macro, per_label
from place_jax.metrics.resampled import resampled_auroc
from place_jax.models.functional import Model
from place_jax.transfer.features import Features
from place_jax.transfer.names import snake_case
from place_jax.transfer.texts import encode_texts

Prompts = Mapping[str, Mapping[str, Sequence[str]]]
_SIDES = ("positive", "negative")


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
            if not texts or isinstance(texts, str):
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


def global_scores(image_embedding: np.ndarray, prompts: EncodedPrompts) -> np.ndarray:
    """Cosine to the mean positive prompt less cosine to the mean negative one.

    CheXzero (Tiu et al., Nature Biomedical Engineering 2022) takes the softmax of the pair, which
    ranks images in the same order at any temperature. Of several prompts the mean of their unit
    embeddings is taken, brought back to unit length.

    Args:
      image_embedding: [n, E] unit rows.
      prompts: of one label.

    Returns:
      [n] in -2..2.
    """
    return image_embedding @ (_unit_mean(prompts.positive) - _unit_mean(prompts.negative))


def observation_scores(v_por: np.ndarray, prompts: EncodedPrompts, *, tau_m: float) -> np.ndarray:
    """PCMA's match of the positive prompts less that of the negative ones, means over prompts.

    Ours: match(i, s) = tau_m logsumexp_q(<t_s, v_iq> / tau_m), t_s the prompt's T-POR.

    Args:
      v_por: [n, Q, E] unit rows.
      prompts: of one label, with observations.
      tau_m: config.loss.tau_m.

    Returns:
      [n].
    """
    positive, negative = (
        match(v_por, side, tau_m=tau_m).mean(axis=1)
        for side in (prompts.positive_observation, prompts.negative_observation)
    )
    return positive - negative


def match(v_por: np.ndarray, t_por: np.ndarray, *, tau_m: float) -> np.ndarray:
    """[n, Q, E] and [s, E] to PCMA's scores [n, s]."""
    cosine = np.einsum("nqe,se->nqs", v_por, t_por).astype(np.float64) / tau_m
    top = cosine.max(axis=1)
    return tau_m * (top + np.log(np.exp(cosine - top[:, None]).sum(axis=1)))


def evaluate_zero_shot(
    features: Features,
    prompts: Mapping[str, EncodedPrompts],
    *,
    split: str,
    tau_m: float = 0.1,
    bootstrap: int = 0,
    seed: int = 0,
) -> dict[str, float]:
    """AUROC per label and its mean over labels, by the global embedding and by V-PORs.

    A label of which the split knows one class only has no AUROC and is left out.

    Args:
      features: of the split; v_por may be absent.
      prompts: from `encode_prompts`.
      split: for the names.
      tau_m: of the match with V-PORs.
      bootstrap: replicates over patients for 95 % intervals; 0 for none.
      seed: of the bootstrap.

    Returns:
      `zero_shot/SPLIT/macro_auroc`, `zero_shot/SPLIT/auroc/LABEL`, the same ending in
      `_observation`, and intervals. Empty where no label can be scored.
    """
    column = {name: features.labels[:, i] for i, name in enumerate(features.label_names)}
    names = [name for name in prompts if name in column and _both_classes(column[name])]
    if not names:
        return {}
    labels = np.stack([column[name] for name in names], axis=1)
    weights = resample(features.patient_id, bootstrap, seed) if bootstrap else None
    scores = {"": np.stack([global_scores(features.image_embedding, prompts[n]) for n in names], 1)}
    if features.v_por is not None and prompts[names[0]].positive_observation is not None:
        scores["_observation"] = np.stack(
            [observation_scores(features.v_por, prompts[n], tau_m=tau_m) for n in names], axis=1
        )
    out = {}
    for suffix, columns in scores.items():
        keys = [f"zero_shot/{split}/auroc{suffix}/{snake_case(name)}" for name in names]
        values = per_label(auroc, labels, columns, keys)
        headline = f"zero_shot/{split}/macro_auroc{suffix}"
        out[headline] = macro(values)
        if weights is not None:
            replicates = [
                resampled_auroc(labels[:, i], columns[:, i], weights) for i in range(len(names))
            ]
            out |= _interval(headline, np.mean(replicates, axis=0))
        for i, key in enumerate(keys):
            out[key] = values[key]
            if weights is not None:
                out |= _interval(key, replicates[i])
    return out


def _interval(name: str, replicates: np.ndarray) -> dict[str, float]:
    low, high = percentile_interval(replicates)
    return {f"{name}_ci_low": low, f"{name}_ci_high": high}


def _both_classes(column: np.ndarray) -> bool:
    return len(np.unique(column[known(column)])) == 2


def _unit_mean(rows: np.ndarray) -> np.ndarray:
    mean = rows.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)
