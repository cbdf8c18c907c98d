"""PCMA's contrast over devices: a device scores its images against the batch's sentences."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive, pairs
from place_jax.outputs import Outputs
from place_jax.parallel import collectives


def contrast_spread(
    match: Callable[..., Array], outputs: Outputs, batch: dict, config: ConfigDict
) -> tuple[contrastive.AnchorTerms, contrastive.AnchorTerms]:
    """What `pathological.contrast_statements` says, with no matrix of scores over the budget.

    The sentences are gathered, Q / S times narrower than the V-PORs; sums over images are joined
    over devices.

    Args:
      match: from v_por [b, Q, E], t_por [c, E] and sentence_block to scores [b, c].
      outputs: v_por [B, Q, E], t_por [B, S, E], logit_scales["pathological"].
      batch: statement [B, S, 2], sentence_mask [B, S], example_mask [B].
      config: loss.contrast, loss.memory_bytes.

    Returns:
      Two sets of scalars, over images for each sentence and over sentences for each image.
    """
    mask = batch["sentence_mask"].astype(bool) & contrastive.example_mask(batch)[:, None]
    reports, sentences = mask.shape

    def contrast(axes, rows, scale):
        v_por, t_por, statement, mask = rows
        images, queries = v_por.shape[:2]
        numbers = images * sentences, reports, v_por.dtype, config
        # Where scores fit whole, their reduction over queries still goes a block at a time.
        at_once = pairs.columns_at_once(*numbers)
        reduced = pairs.columns_at_once(*numbers, depth=queries)
        block = at_once if at_once >= reports else reduced
        count = _count_equal(statement, mask, axes, block)
        weight = jnp.where(mask, 1 / count.astype(v_por.dtype), 0)

        def score(columns):
            t_por, other = columns
            t_por = t_por.reshape(-1, t_por.shape[-1])
            scores = match(v_por, t_por, sentence_block=reduced * sentences)
            return scale * scores, _states(statement, mask, other.reshape(-1, 2))

        return pairs.contrast_both_ways(
            score,
            (t_por, statement),
            jnp.any(mask, axis=1).astype(v_por.dtype),
            weight,
            axes=axes,
            block=block,
        )

    rows = (
        contrastive.at_least_float32(outputs.v_por),
        contrastive.at_least_float32(outputs.t_por),
        batch["statement"],
        mask,
    )
    over_sentences, over_images = collectives.spread(
        contrast, rows, outputs.logit_scales["pathological"]
    )
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


def _states(statement: Array, mask: Array, other: Array) -> Array:
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
