"""PCMA, pathological-level alignment: images contrasted by the statements their reports make.

Images are contrasted, and not the parts of one image with the sentences of its own report: an
image-side vector that attends with the sentence it must match copies the sentence, and its loss is
as low with another patient's image.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive, statement_contrast
from place_jax.outputs import Outputs


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StatementTargets:
    """Which report makes which statement. T = B * S sentences, report after report.

    Attributes:
      positives: [B, T] bool, the report of image i makes the statement of sentence s.
      sentence_weight: [T] one over the number of sentences that make the same statement, so that
        all weights sum to the number of distinct statements; 0 for an absent sentence.
      image_weight: [B] 1; 0 for a masked example and for a report without sentences, of which
        nothing is known: it is no negative either.
    """

    positives: Array
    sentence_weight: Array
    image_weight: Array


def statement_targets(batch: dict, dtype: jnp.dtype) -> StatementTargets:
    """Compares every sentence with every report, by the fingerprints of their statements."""
    mask = batch["sentence_mask"].astype(bool) & contrastive.example_mask(batch)[:, None]
    statement = batch["statement"]
    high, low = statement[..., 0].reshape(-1), statement[..., 1].reshape(-1)
    # One sentence position at a time: B x S x T comparisons fuse into B x T counts.
    times = jnp.zeros((mask.shape[0], mask.size), jnp.int32)
    for position in range(mask.shape[1]):
        same = (statement[:, position, 0, None] == high) & (statement[:, position, 1, None] == low)
        times += (same & mask[:, position, None]).astype(jnp.int32)
    present = mask.reshape(-1)
    count = jnp.where(present, jnp.sum(times, axis=0), 1).astype(dtype)
    return StatementTargets(
        positives=(times > 0) & present,
        sentence_weight=jnp.where(present, 1 / count, 0),
        image_weight=jnp.any(mask, axis=1).astype(dtype),
    )


def match_scores(v_por: Array, t_por: Array, *, tau_m: float, sentence_block: int) -> Array:
    """How well each image shows each sentence: tau_m logsumexp_q(<t_s, v_iq> / tau_m).

    A soft maximum over the queries, the maximum as tau_m goes to 0. Sentences are scored a block
    at a time and recomputed in the backward pass, so that B x Q x T is never in memory.

    Args:
      v_por: [B, Q, E].
      t_por: [T, E].
      tau_m: temperature over the queries, above 0.
      sentence_block: sentences scored at once.

    Returns:
      [B, T], in at least float32.
    """
    v_por, t_por = contrastive.at_least_float32(v_por), contrastive.at_least_float32(t_por)
    sentences, width = t_por.shape
    block = min(sentence_block, sentences)
    blocks = -(-sentences // block)
    score = functools.partial(_block_scores, v_por, tau_m=tau_m)
    if blocks == 1:
        return score(t_por)
    padded = jnp.pad(t_por, ((0, blocks * block - sentences), (0, 0)))
    score = jax.checkpoint(score, prevent_cse=False)
    _, scores = jax.lax.scan(
        lambda carry, part: (carry, score(part)), None, padded.reshape(blocks, block, width)
    )
    return jnp.moveaxis(scores, 0, 1).reshape(v_por.shape[0], -1)[:, :sentences]


def _block_scores(v_por: Array, t_por: Array, *, tau_m: float) -> Array:
    """[B, Q, E], [T, E] -> [B, T]."""
    cosine = jnp.einsum("bqe,te->bqt", v_por, t_por, precision=contrastive.HIGHEST)
    return tau_m * jax.nn.logsumexp(cosine / tau_m, axis=1)


def sentence_scores(outputs: Outputs, config: ConfigDict) -> Array:
    """Scores every image against every sentence of the batch, [B, B * S]."""
    return match_scores(
        outputs.v_por,
        outputs.t_por.reshape(-1, outputs.t_por.shape[-1]),
        tau_m=config.loss.tau_m,
        sentence_block=config.loss.sentence_block,
    )


def contrast_statements(
    scores: Array, targets: StatementTargets, logit_scale: Array
) -> tuple[contrastive.AnchorTerms, contrastive.AnchorTerms]:
    """Contrasts images for each sentence, and sentences for each image.

    With z_is = logit_scale * score(i, s) and w_s the weight of sentence s,

      l_s = log sum_i exp(z_is) - mean_{i whose report states s} z_is
      l_i = log sum_s w_s exp(z_is) - (sum_{s stated by i} w_s z_is) / (sum_{s stated by i} w_s)

    averaged over sentences with weight w_s and over images that have any sentence. Sentences that
    state the same and score the same thus act as one: "no pleural effusion", made by half of the
    reports, is one candidate among the statements and one term of the mean.

    Args:
      scores: [B, T].
      targets: of the same B and T.
      logit_scale: scalar.

    Returns:
      Two sets of scalars, over images for each sentence and over sentences for each image.
    """
    logits = logit_scale * scores
    over_images = contrastive.anchor_terms(logits.T, targets.positives.T, targets.image_weight)
    over_sentences = contrastive.anchor_terms(logits, targets.positives, targets.sentence_weight)
    return (
        contrastive.mean_terms(over_images, targets.sentence_weight),
        contrastive.mean_terms(over_sentences, targets.image_weight),
    )


def pathological_loss(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """Mean of the two contrasts; its floor is logged beside it, and whether the top image is right.

    Args:
      outputs: v_por [B, Q, E], t_por [B, S, E], logit_scales["pathological"].
      batch: statement [B, S, 2], sentence_mask [B, S], example_mask [B].
      config: loss.tau_m, loss.sentence_block, loss.contrast, loss.memory_bytes.
      step: unused.
    """
    del step
    over_images, over_sentences = statement_contrast.contrast_spread(
        functools.partial(match_scores, tau_m=config.loss.tau_m), outputs, batch, config
    )
    terms = contrastive.both_ways(over_images, over_sentences)
    return terms.loss, {
        "pathological/loss": terms.loss,
        "pathological/floor": terms.floor,
        "pathological/top1": over_images.hit,
    }
