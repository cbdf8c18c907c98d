"""Cheap signs of collapse, logged at every step: how alike V-PORs and their attention maps are.

A low loss has been seen to mean nothing: with V-PORs equal for all images (cosine 0.9996), and with
queries that all looked at one patch. Each of these means costs one sum, not a matrix of pairs.
"""

import jax.numpy as jnp
from jax import Array

from place_jax.objectives import contrastive


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
