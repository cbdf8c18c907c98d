"""Into the joint space: standardise, map, scale to unit length. And the learned logit scales."""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from place_jax.models.layers import Numerics, at_least_float32, linear, unit_norm

LOGIT_SCALE_INIT = 1 / 0.07  # of CLIP (arXiv 2103.00020, 2.5), as is the upper limit
LOGIT_SCALE_LIMITS = (1.0, 100.0)
SIGLIP_SCALE_INIT, SIGLIP_BIAS_INIT = 10.0, -10.0  # arXiv 2303.15343, 3.2


class Projection(nnx.Module):
    """(x - shift) * scale, a linear map to E, L2 norm; all in at least float32.

    Pooled features have a common part several times larger than the part that varies, behind which
    a contrastive loss waits at ln(batch): `calibrate` takes it away on the first batch [ours].
    With `positions`, each of that many rows (the queries of VPOE) has a shift of its own.
    """

    def __init__(
        self,
        width: int,
        joint_dim: int,
        numerics: Numerics,
        *,
        rngs: nnx.Rngs,
        positions: int | None = None,
    ):
        shape = (width,) if positions is None else (positions, width)
        self.shift = nnx.Param(jnp.zeros(shape, numerics.param_dtype))
        self.scale = nnx.Param(jnp.ones((width,), numerics.param_dtype))
        # At 1 / 50 of a tower's cost these products need no lower precision.
        wide = jnp.promote_types(numerics.dtype, jnp.float32).name
        self.linear = linear(width, joint_dim, dataclasses.replace(numerics, dtype=wide), rngs=rngs)
        self.linear.precision = jax.lax.Precision.HIGHEST

    def __call__(self, x: Array) -> Array:
        """Maps [..., D] to unit vectors [..., E]."""
        return unit_norm(self.affine(x))

    def affine(self, x: Array) -> Array:
        """Maps [..., D] to [..., E], not brought to unit length: of a mean it is the mean."""
        return self.linear((at_least_float32(x) - self.shift[...]) * self.scale[...])


def standardisation(x: Array, weight: Array, shift_shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The shift and scale that centre features and give each dimension unit variance.

    Args:
      x: [B, D] or [B, K, D].
      weight: [B] or [B, K], 0 for rows to leave out.
      shift_shape: (D,), or (K, D) to centre each of the K rows on its own mean.

    Returns:
      shift of `shift_shape`, scale [D]; 1 where a dimension does not vary.
    """
    x, weight = at_least_float32(x), at_least_float32(weight)[..., None]
    axes = tuple(range(x.ndim - len(shift_shape)))
    total = jnp.maximum(jnp.sum(weight, axis=axes), 1)
    shift = jnp.sum(x * weight, axis=axes) / total
    every = tuple(range(x.ndim - 1))
    square = jnp.sum(jnp.square(x - shift) * weight, axis=every)
    deviation = jnp.sqrt(square / jnp.maximum(jnp.sum(weight, axis=every), 1))
    # Rounding alone makes about 1e-7 of the shift: such a dimension is no signal to blow up.
    varies = deviation > 1e-5
    return shift, jnp.where(varies, 1 / jnp.where(varies, deviation, 1), 1)


def directions(rows: int, width: int) -> Array:
    """[rows, D] of length sqrt(D), as long as standardised features; orthogonal while rows <= D."""
    return jax.nn.initializers.orthogonal(width**0.5)(jax.random.key(0), (rows, width))


class LogitScales(nnx.Module):
    """One learned logit scale per contrastive objective, stored as its logarithm.

    `starts` has the scale that each begins at.
    """

    def __init__(self, starts: Mapping[str, float], numerics: Numerics):
        self.names = tuple(starts)
        for name, start in starts.items():
            value = jnp.full((), math.log(start), numerics.param_dtype)
            setattr(self, name, nnx.Param(value))

    def __call__(self) -> dict[str, Array]:
        """Name -> scalar within LOGIT_SCALE_LIMITS."""
        low, high = (math.log(limit) for limit in LOGIT_SCALE_LIMITS)
        return {
            name: jnp.exp(clamp(at_least_float32(getattr(self, name)[...]), low, high))
            for name in self.names
        }


class LogitBiases(nnx.Module):
    """One learned number per objective that adds one to its logits; `starts` is where it begins."""

    def __init__(self, starts: Mapping[str, float], numerics: Numerics):
        self.names = tuple(starts)
        for name, start in starts.items():
            setattr(self, name, nnx.Param(jnp.full((), start, numerics.param_dtype)))

    def __call__(self) -> dict[str, Array]:
        """Name -> scalar."""
        return {name: at_least_float32(getattr(self, name)[...]) for name in self.names}


@jax.custom_vjp
def clamp(x: Array, low: float, high: float) -> Array:
    """Clips x; outside, only a gradient that leads back inside passes.

    A plain clip has none there, so that a scale that once overstepped would stay for ever.
    """
    return jnp.clip(x, low, high)


def _clamp_forward(x: Array, low: float, high: float) -> tuple[Array, tuple[Array, Array]]:
    return clamp(x, low, high), (x > high, x < low)


def _clamp_backward(outside: tuple[Array, Array], gradient: Array):
    above, below = outside
    leads_out = (above & (gradient < 0)) | (below & (gradient > 0))  # descent goes against it
    return jnp.where(leads_out, 0, gradient), None, None


clamp.defvjp(_clamp_forward, _clamp_backward)
