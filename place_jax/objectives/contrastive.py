"""What the contrastive objectives share: the log-probability of positives among weighed candidates.

Every product and sum here is in at least float32, and products take the highest precision: the
default is bfloat16 passes on TPU and TF32 on GPU, which costs a temperature of 0.01 its meaning.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

HIGHEST = jax.lax.Precision.HIGHEST


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AnchorTerms:
    """One value per anchor, A of them; 0 where an anchor has no positive.

    Attributes:
      loss: [A] minus the mean log-probability of the anchor's positives.
      floor: [A] the least that loss can be: positives all probable, and equally so.
      hit: [A] 1 where the best positive is strictly above every negative, so that a tie misses.
    """

    loss: Array
    floor: Array
    hit: Array


def at_least_float32(x: Array) -> Array:
    """Casts up to float32; float64 stays float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def unit(x: Array) -> Array:
    """Scales the last axis to unit length; zero stays zero, and its gradient, large, is finite."""
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))


def cosine(a: Array, b: Array) -> Array:
    """Cosine over the last axis of two arrays that broadcast."""
    return jnp.sum(unit(a) * unit(b), axis=-1)


def check_batch(objective: str, size: int, largest: int, key: str = "batch_size") -> None:
    """Raises ValueError where a batch is larger than an objective is fit for."""
    if size > largest:
        raise ValueError(
            f"{key}={size} is over {largest}, the largest that objective={objective} is fit "
            "for: lower it, or choose another objective"
        )


def anchor_terms(logits: Array, positives: Array, candidate_weight: Array) -> AnchorTerms:
    """Contrasts each anchor's positives with all candidates.

    With candidates c of weight w_c, positives P_a and logits z_ac,

      loss_a = log sum_c w_c exp(z_ac) - (sum_{c in P_a} w_c z_ac) / (sum_{c in P_a} w_c),

    the "out" form of SupCon (Khosla et al., arXiv 2004.11362, eq. 2) where all weights are 1.
    k candidates of weight 1/k with one and the same logit count as a single one, in both terms.
    Its floor is log sum_{c in P_a} w_c.

    Args:
      logits: [A, C].
      positives: [A, C] bool.
      candidate_weight: [C], 0 for a candidate that is absent.
    """
    logits = at_least_float32(logits)
    weight = candidate_weight.astype(logits.dtype)
    present = weight > 0
    positives = positives & present
    top = jnp.max(jnp.where(present, logits, -jnp.inf), axis=-1, keepdims=True)
    top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0))
    logits = jnp.where(present, logits - top, 0)
    total = jnp.sum(weight * jnp.exp(logits), axis=-1)
    positive_weight = jnp.sum(jnp.where(positives, weight, 0), axis=-1)
    has_positive = positive_weight > 0
    safe_weight = jnp.where(has_positive, positive_weight, 1)
    mean_positive = jnp.sum(jnp.where(positives, weight * logits, 0), axis=-1) / safe_weight
    log_total = jnp.log(jnp.where(has_positive, total, 1))
    best_positive = jnp.max(jnp.where(positives, logits, -jnp.inf), axis=-1)
    best_negative = jnp.max(jnp.where(present & ~positives, logits, -jnp.inf), axis=-1)
    return AnchorTerms(
        loss=jnp.where(has_positive, log_total - mean_positive, 0),
        floor=jnp.log(safe_weight),
        hit=(has_positive & (best_positive > best_negative + rounding(top[..., 0]))).astype(
            logits.dtype
        ),
    )


def rounding(top: Array) -> Array:
    """By how much two equal scores may differ, near `top`, for being summed in another order."""
    return 32 * jnp.finfo(top.dtype).eps * (1 + jnp.abs(top))


def weighted_mean(values: Array, weight: Array) -> Array:
    """Global sum over global weight; 0 where nothing weighs anything."""
    weight = weight.astype(values.dtype)
    total = jnp.sum(weight)
    return jnp.sum(values * weight) / jnp.where(total > 0, total, 1)


def mean_terms(terms: AnchorTerms, anchor_weight: Array) -> AnchorTerms:
    """Averages each term over the anchors by weight; returns scalars."""
    return jax.tree.map(lambda value: weighted_mean(value, anchor_weight), terms)


def both_ways(one: AnchorTerms, other: AnchorTerms) -> AnchorTerms:
    """The mean of two directions."""
    return jax.tree.map(lambda a, b: (a + b) / 2, one, other)


def symmetric_terms(logits: Array, positives: Array, present: Array) -> AnchorTerms:
    """Both directions of a square contrast, [B, B], averaged over the rows that are present [B]."""
    rows = anchor_terms(logits, positives, present)
    columns = anchor_terms(logits.T, positives.T, present)
    return both_ways(mean_terms(rows, present), mean_terms(columns, present))


def example_mask(batch: dict) -> Array:
    """[B] bool: the rows that are examples, and not padding of the last batch."""
    return batch["example_mask"].astype(bool)
