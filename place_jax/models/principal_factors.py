"""Rows whose products are nearest to a given matrix off its diagonal: principal factors."""

import jax
import jax.numpy as jnp
from jax import Array

_ROUNDS = 30


def principal_factors(matrix: Array, count: int, *, longest: float) -> Array:
    """Factors z [N, count] with z z^T near a symmetric matrix [N, N], its diagonal left open.

    The iterated principal factor method of factor analysis: the diagonal that z z^T has takes the
    matrix's place there, and the largest eigenvectors are taken again.

    Args:
      matrix: [N, N]; its diagonal is not read.
      count: of factors, at most N.
      longest: that a row may be.
    """
    count = min(count, len(matrix))
    own = jnp.eye(len(matrix), dtype=bool)

    def rows(diagonal: Array) -> Array:
        values, vectors = jnp.linalg.eigh(jnp.where(own, jnp.diag(diagonal), matrix))
        z = vectors[:, -count:] * jnp.sqrt(jnp.maximum(values[-count:], 0))
        length = jnp.linalg.norm(z, axis=1, keepdims=True)
        return jnp.where(length > longest, z * longest / length, z)

    def again(_, diagonal: Array) -> Array:
        return jnp.sum(jnp.square(rows(diagonal)), axis=1)

    least = jnp.full(len(matrix), 0.5, matrix.dtype)
    return rows(jax.lax.fori_loop(0, _ROUNDS, again, least))
