"""PCMA, pathological-level alignment: images contrasted by the statements their reports make.

Images are contrasted, and not the parts of one image with the sentences of its own report: an
image-side vector that attends with the sentence it must match copies the sentence, and its loss is
as low with another patient's image. That form is here too, `scope = report`, as a baseline.
"""

import enum

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive
from place_jax.objectives.matching import Match, shares, with_null
from place_jax.objectives.statement_contrast import contrast_statements
from place_jax.objectives.statements import (
    Positives,
    Sentences,
    SentenceWeights,
    StatementTargets,
    all_sentences,
    sample_sentences,
    statement_targets,
)
from place_jax.outputs import Outputs

Contrasts = tuple[contrastive.AnchorTerms, contrastive.AnchorTerms]
_SAMPLING = 71  # folded into the run's seed: sentences are drawn by no one else's numbers


class Scope(enum.Enum):
    """What a sentence is contrasted with."""

    BATCH = "batch"  # all images of the batch, and an image with all of its sentences
    REPORT = "report"  # its own report's other sentences, as in PRIOR's and MGCA's local terms


def taking_part(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> Sentences:
    """The sentences that PCMA contrasts. One-to-one, they are at most as many as the queries.

    Args:
      outputs: v_por [B, Q, E], t_por [B, S, E].
      batch: statement [B, S, 2], sentence_mask [B, S], example_mask [B].
      config: seed, loss.match.
      step: draws them anew at every step; None takes the first ones.
    """
    sentences = all_sentences(outputs.t_por, batch)
    if Match(config.loss.match) is not Match.ONE_TO_ONE:
        return sentences
    key = None
    if step is not None:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), _SAMPLING), step)
    return sample_sentences(sentences, outputs.v_por.shape[1], key)


def targets_of(
    batch: dict, sentences: Sentences, config: ConfigDict, dtype: jnp.dtype
) -> StatementTargets:
    """The targets that config.loss.positives and .sentence_weights ask for."""
    return statement_targets(
        batch,
        sentences,
        dtype=dtype,
        positives=Positives(config.loss.positives),
        weights=SentenceWeights(config.loss.sentence_weights),
    )


def own_shares(outputs: Outputs, sentences: Sentences, config: ConfigDict) -> tuple[Array, Array]:
    """How much of its own image's V-PORs each sentence takes.

    Returns:
      [B, Q, S] the shares and [B, Q, E] the V-PORs, the null V-POR last in both where there is one.
    """
    match = Match(config.loss.match)
    v_por = contrastive.at_least_float32(outputs.v_por)
    v_por = with_null(v_por, outputs.null_v_por, match, sentences.mask.shape[1])
    t_por = contrastive.at_least_float32(sentences.t_por)
    cosine = jnp.einsum("bqe,bse->bqs", v_por, t_por, precision=contrastive.HIGHEST)
    taken = shares(cosine, sentences.mention, sentences.mask, match=match, tau_m=config.loss.tau_m)
    return taken, v_por


def contrast_within_reports(
    outputs: Outputs, batch: dict, sentences: Sentences, config: ConfigDict
) -> Contrasts:
    """The peers' form, a baseline: each sentence finds what it took from its image.

    With a_qs the share of query q that sentence s takes, c_s = unit(sum_q a_qs v_q) and
    z_ss' = logit_scale <t_s, c_s'> over the sentences of one report, the two InfoNCE of z, in
    which equal statements are one. It leaks: c_s is made with the very sentence that must find it,
    so that V-PORs which do not depend on the image reach its floor.

    Returns:
      As `contrast_statements`: contexts for each sentence, and sentences for each context.
    """
    taken, v_por = own_shares(outputs, sentences, config)
    context = jnp.einsum("bqs,bqe->bse", taken, v_por, precision=contrastive.HIGHEST)
    norm = jnp.sum(jnp.square(context), axis=-1, keepdims=True)
    context = context * jax.lax.rsqrt(norm + 1e-12)
    t_por = contrastive.at_least_float32(sentences.t_por)
    logits = outputs.logit_scales["pathological"] * jnp.einsum(
        "bse,bze->bsz", t_por, context, precision=contrastive.HIGHEST
    )
    same = sentences.mention[:, :, None] == sentences.mention[:, None, :]
    same &= sentences.mask[:, :, None] & sentences.mask[:, None, :]
    weight = sentences.mask.astype(logits.dtype)
    if SentenceWeights(config.loss.sentence_weights) is SentenceWeights.INVERSE_FREQUENCY:
        weight /= jnp.maximum(jnp.sum(same, axis=-1), 1)
    if Positives(config.loss.positives) is Positives.OWN:
        same &= jnp.eye(same.shape[1], dtype=bool)
    anchors = targets_of(batch, sentences, config, logits.dtype).sentence_weight
    anchors = anchors.reshape(weight.shape)
    terms = jax.vmap(contrastive.anchor_terms)
    return (
        contrastive.mean_terms(terms(logits, same, weight), anchors),
        contrastive.mean_terms(terms(jnp.swapaxes(logits, 1, 2), same, weight), anchors),
    )


def contrast(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> Contrasts:
    """The two contrasts of config.loss.scope; the arguments are those of `pathological_loss`."""
    sentences = taking_part(outputs, batch, config, step)
    if Scope(config.loss.scope) is Scope.REPORT:
        return contrast_within_reports(outputs, batch, sentences, config)
    return contrast_statements(outputs, batch, sentences, config)


def pathological_loss(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """Mean of the two contrasts; its floor is logged beside it, and whether the top image is right.

    Args:
      outputs: v_por [B, Q, E], t_por [B, S, E], null_v_por [E] or None,
        logit_scales["pathological"].
      batch: statement [B, S, 2], sentence_mask [B, S], example_mask [B].
      config: seed, and loss.match, tau_m, scope, positives, sentence_weights, contrast,
        memory_bytes.
      step: of training, to draw sentences by where match = one_to_one has too many.
    """
    first, second = contrast(outputs, batch, config, step)
    terms = contrastive.both_ways(first, second)
    metrics = {
        "pathological/loss": terms.loss,
        "pathological/floor": terms.floor,
        "pathological/top1": first.hit,
    }
    if outputs.null_v_por is not None:
        sentences = taking_part(outputs, batch, config, step)
        taken, _ = own_shares(outputs, sentences, config)
        null = jnp.sum(taken[:, outputs.v_por.shape[1] :], axis=1)
        metrics["pathological/null_mass"] = contrastive.weighted_mean(null, sentences.mask)
    return terms.loss, metrics
