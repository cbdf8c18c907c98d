"""Cheap signs of what a loss hides, logged at every step.

A low loss has been seen to mean nothing: with V-PORs equal for all images (cosine 0.9996), and with
queries that all looked at one patch. Most of these cost one sum, not a matrix of pairs.
"""

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive
from place_jax.outputs import Outputs

# Uniformity is the one that takes pairs: of so many rows, so that no batch is too large for it.
UNIFORMITY_ROWS = 512


def watch(outputs: Outputs, batch: dict, config: ConfigDict, metrics: dict) -> dict[str, Array]:
    """What is logged of every objective beside its own metrics, without gradients.

    Args:
      outputs: of the whole model.
      batch: as `data_pipelines.records.batch_fields` says.
      config: the whole config.
      metrics: of the objective.

    Returns:
      `embedding/alignment`, `embedding/uniformity_images` and `.../uniformity_reports`; for every
      TASK/floor of `metrics` TASK/gap, how far the loss is above it; where V-PORs are trained
      `v_por/effective_rank` and `v_por/queries_in_use`.
    """
    outputs, metrics = jax.lax.stop_gradient((outputs, metrics))
    present = contrastive.example_mask(batch)
    image = contrastive.at_least_float32(outputs.image_embedding)
    report = contrastive.at_least_float32(outputs.report_embedding)
    found = {
        "embedding/alignment": alignment(image, report, present),
        "embedding/uniformity_images": uniformity(image, present),
        "embedding/uniformity_reports": uniformity(report, present),
    }
    for name in metrics:
        if name.endswith("/floor"):
            task = name.removesuffix("/floor")
            found[f"{task}/gap"] = metrics[f"{task}/loss"] - metrics[name]
    if config.objective == "place" and config.loss.lambda_p > 0:
        found["v_por/effective_rank"] = effective_rank(outputs.v_por, present)
        stated = batch["sentence_mask"].astype(bool) & present[:, None]
        found["v_por/queries_in_use"] = queries_in_use(outputs.v_por, outputs.t_por, stated)
    return found


def alignment(image: Array, report: Array, present: Array) -> Array:
    """Mean |u_i - w_i|^2 of a pair, 0 to 4 (Wang and Isola, arXiv 2005.10242); 2 by chance."""
    return contrastive.weighted_mean(jnp.sum(jnp.square(image - report), axis=-1), present)


def uniformity(rows: Array, present: Array) -> Array:
    """log of the mean of exp(-2 |u_i - u_j|^2) over pairs of different rows (the same paper).

    0 where all are one point, -4 where they are spread evenly over a sphere of many dimensions.
    """
    rows, present = rows[:UNIFORMITY_ROWS], present[:UNIFORMITY_ROWS]
    cosine = jnp.matmul(rows, rows.T, precision=contrastive.HIGHEST)
    pairs = present[:, None] & present[None, :] & ~jnp.eye(len(rows), dtype=bool)
    mean = contrastive.weighted_mean(jnp.exp(4 * cosine - 4), pairs)
    return jnp.log(jnp.where(jnp.any(pairs), mean, 1))


def effective_rank(v_por: Array, present: Array) -> Array:
    """In how many directions V-PORs vary, 1 to E: (tr C)^2 / tr C^2 of their covariance C.

    The participation ratio of the eigenvalues, which needs none of them; 0 where all are equal.
    """
    rows = contrastive.at_least_float32(v_por)
    weight = present.astype(rows.dtype)[:, None, None]
    number = jnp.maximum(jnp.sum(weight) * rows.shape[1], 1)
    centred = (rows - jnp.sum(rows * weight, axis=(0, 1)) / number) * weight
    covariance = jnp.einsum("bqe,bqf->ef", centred, centred, precision=contrastive.HIGHEST)
    spread, square = jnp.trace(covariance), jnp.sum(jnp.square(covariance))
    varies = spread > 1e-6 * number  # rounding alone makes about 1e-14 of unit rows
    return jnp.where(varies, jnp.square(spread) / jnp.where(varies, square, 1), 0)


def queries_in_use(v_por: Array, t_por: Array, stated: Array) -> Array:
    """The share of queries that their own report's sentences match best, often enough.

    Enough is a quarter of what an even spread over the queries would be.

    Args:
      v_por: [B, Q, E].
      t_por: [B, S, E].
      stated: [B, S] bool, the sentences that count.
    """
    v_por, t_por = contrastive.at_least_float32(v_por), contrastive.at_least_float32(t_por)
    cosine = jnp.einsum("bse,bqe->bsq", t_por, v_por, precision=contrastive.HIGHEST)
    best = jax.nn.one_hot(jnp.argmax(cosine, axis=-1), v_por.shape[1], dtype=cosine.dtype)
    times = jnp.sum(best * stated[..., None], axis=(0, 1))
    enough = jnp.sum(times) / (4 * v_por.shape[1])
    return jnp.mean((times > 0) & (times >= enough), dtype=cosine.dtype)


def mean_cosine(vectors: Array, weight: Array, axis: int) -> Array:
    """Mean cosine of the pairs of different unit vectors along `axis`; 0 where there is no pair.

    With n vectors of sum s, the pairs' products sum to |s|^2 less the n squares.

    Args:
      vectors: [..., E] unit rows.
      weight: 0 or 1, of the shape of `vectors` less its last axis.
      axis: the axis of the pairs, counted from the front.
    """
    vectors = vectors * weight[..., None]
    total = jnp.sum(jnp.square(jnp.sum(vectors, axis=axis)), axis=-1)
    own = jnp.sum(jnp.square(vectors), axis=(axis, -1))
    number = jnp.sum(weight, axis=axis)
    return jnp.sum(total - own) / jnp.maximum(jnp.sum(number * (number - 1)), 1)


def observation_diagnostics(v_por: Array, present: Array) -> dict[str, Array]:
    """How alike the V-PORs [B, Q, E] are; near 1 between images, they do not depend on the image.

    Args:
      v_por: [B, Q, E] unit rows.
      present: [B] bool.
    """
    v_por = contrastive.at_least_float32(v_por)
    weight = jnp.broadcast_to(present[:, None], v_por.shape[:2]).astype(v_por.dtype)
    return {
        "v_por/cosine_between_images": mean_cosine(v_por, weight, axis=0),
        "v_por/cosine_between_queries": mean_cosine(v_por, weight, axis=1),
    }


def squared_query_cosine(v_por: Array, present: Array) -> Array:
    """Mean squared cosine between the V-PORs [B, Q, E] of two queries on one image, in [0, 1].

    Squared, so that as a term of a loss it asks for right angles and not for opposites.

    Args:
      v_por: [B, Q, E] unit rows.
      present: [B] bool.
    """
    v_por = contrastive.at_least_float32(v_por)
    queries = v_por.shape[1]
    cosine = jnp.einsum("bqe,bpe->bqp", v_por, v_por, precision=contrastive.HIGHEST)
    pairs = jnp.where(jnp.eye(queries, dtype=bool), 0, jnp.square(cosine))
    mean = jnp.sum(pairs, axis=(1, 2)) / max(queries * (queries - 1), 1)
    return contrastive.weighted_mean(mean, present)


def attention_overlap(attention: Array, present: Array) -> Array:
    """Mean cosine between the attention maps of two queries on one image, in [0, 1].

    Args:
      attention: [B, Q, N], rows sum to 1.
      present: [B] bool.
    """
    attention = contrastive.at_least_float32(attention)
    norm = jnp.sqrt(jnp.sum(jnp.square(attention), axis=-1, keepdims=True))
    weight = jnp.broadcast_to(present[:, None], attention.shape[:2]).astype(attention.dtype)
    return mean_cosine(attention / norm, weight, axis=1)
