"""PCMA's contrast over devices: a device scores its images against the batch's sentences."""

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive, pairs
from place_jax.objectives.matching import Match, match_scores, with_null
from place_jax.objectives.statements import (
    Positives,
    Sentences,
    SentenceWeights,
    present_sentences,
)
from place_jax.outputs import Outputs
from place_jax.parallel import collectives


def contrast_statements(
    outputs: Outputs, batch: dict, sentences: Sentences, config: ConfigDict
) -> tuple[contrastive.AnchorTerms, contrastive.AnchorTerms]:
    """Contrasts images for each sentence, and sentences for each image.

    With z_is = logit_scale * score(i, s) and w_s the weight of sentence s,

      l_s = log sum_i exp(z_is) - mean_{i of which s is true} z_is
      l_i = log sum_s w_s exp(z_is) - (sum_{s true of i} w_s z_is) / (sum_{s true of i} w_s)

    averaged over sentences with weight w_s and over images that have any sentence. Sentences that
    state the same and score the same thus act as one: "no pleural effusion", made by half of the
    reports, is one candidate among the statements and one term of the mean.

    No matrix of scores passes the budget. The sentences are gathered, Q / S times narrower than the
    V-PORs; sums over images are joined over devices.

    Args:
      outputs: v_por [B, Q, E], null_v_por [E] or None, logit_scales["pathological"].
      batch: statement [B, S, 2], sentence_mask [B, S], example_mask [B].
      sentences: that take part.
      config: loss.match, tau_m, positives, sentence_weights, contrast, memory_bytes.

    Returns:
      Two sets of scalars, over images for each sentence and over sentences for each image.
    """
    settings, rule = config.loss, Match(config.loss.match)
    own = Positives(settings.positives) is Positives.OWN
    inverse = SentenceWeights(settings.sentence_weights) is SentenceWeights.INVERSE_FREQUENCY
    reports, per_report = sentences.mask.shape

    def contrast(axes, rows, whole):
        v_por, number, taking, said, saying = rows
        scale, null = whole
        v_por = with_null(v_por, null, rule, per_report)
        images, queries = v_por.shape[:2]
        numbers = images * per_report, reports, v_por.dtype, config
        # Where scores fit whole, their reduction over queries still goes a block at a time.
        at_once = pairs.columns_at_once(*numbers)
        reduced = pairs.columns_at_once(*numbers, depth=queries)
        block = at_once if at_once >= reports else reduced
        weight = taking.mask.astype(v_por.dtype)
        if inverse:
            weight /= _count_equal(taking.statement, taking.mask, axes, block)

        def score(columns):
            other, of = columns
            scores = match_scores(
                v_por,
                other.t_por,
                other.mention,
                other.mask,
                match=rule,
                tau_m=settings.tau_m,
                block=reduced,
            )
            if own:
                return scale * scores, number[:, None] == jnp.repeat(of, per_report)
            return scale * scores, states(said, saying, other.statement.reshape(-1, 2))

        return pairs.contrast_both_ways(
            score,
            (taking, number),
            jnp.any(taking.mask, axis=1).astype(v_por.dtype),
            weight,
            axes=axes,
            block=block,
        )

    rows = (
        contrastive.at_least_float32(outputs.v_por),
        jnp.arange(reports),
        sentences,
        batch["statement"],
        present_sentences(batch),
    )
    whole = outputs.logit_scales["pathological"], outputs.null_v_por
    if rule is Match.ONE_TO_ONE:
        # The loops of an assignment do not pass shard_map's check; the partitioner spreads them.
        over_sentences, over_images = contrast((), rows, whole)
    else:
        over_sentences, over_images = collectives.spread(contrast, rows, whole)
    return over_images, over_sentences


def _count_equal(statement: Array, mask: Array, axes: collectives.Axes, block: int) -> Array:
    """[b, S] how many sentences of the whole batch state what each of this device's states, >= 1.

    Args:
      statement: [b, S, 2].
      mask: [b, S] bool.
      axes, block: as of `contrast_both_ways`.
    """
    own = statement.reshape(-1, 2)

    def count(part) -> Array:
        other, present = part[0].reshape(-1, 2), part[1].reshape(-1)
        same = jnp.all(own[:, None] == other[None, :], axis=-1) & present
        return jnp.sum(same, axis=1, dtype=jnp.int32)

    everyone = collectives.gather((statement, mask), axes)
    times = jnp.sum(collectives.map_blocks(count, everyone, block), axis=0)
    return jnp.where(mask, times.reshape(mask.shape), 1)


def states(statement: Array, mask: Array, other: Array) -> Array:
    """[b, c] whether report i makes the statement of sentence s.

    Args:
      statement: [b, S, 2], with mask [b, S].
      other: [c, 2].
    """
    found = jnp.zeros((len(statement), len(other)), bool)
    # One position at a time: b x S x c comparisons fuse into b x c.
    for position in range(mask.shape[1]):
        same = jnp.all(statement[:, position, None] == other[None, :], axis=-1)
        found |= same & mask[:, position, None]
    return found
