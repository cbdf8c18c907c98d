"""What every module here is made of: numeric precision, linear maps, norms, positions."""

import dataclasses
import enum
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from place_jax.models.wide_gradient import WideGradientLinear

# Of Hugging Face's BERT and ViT, whose weights must give the same numbers here.
LAYER_NORM_EPSILON = 1e-12


class Remat(enum.Enum):
    """What the backward pass of a block finds saved, and what it computes again."""

    NONE = "none"  # everything is saved
    DOTS = "dots"  # the linear maps' results are saved, attention and pointwise work is redone
    FULL = "full"  # only the block's input is saved


class GradientSum(enum.Enum):
    """In what a kernel's gradient is summed over rows, and over devices."""

    COMPUTE = "compute"  # the dtype of the products: half the bytes between devices in bfloat16
    PARAM = "param"  # the parameters' dtype


Option = TypeVar("Option", bound=enum.Enum)


def option(options: type[Option], key: str, value: str) -> Option:
    """The member of an enum that a config's string names.

    Raises:
      ValueError: there is none of that name.
    """
    names = [member.value for member in options]
    if value not in names:
        raise ValueError(f"model.{key}={value!r} is not known: use {' or '.join(names)}")
    return options(value)


@dataclasses.dataclass(frozen=True)
class Numerics:
    """Of the towers' products (`dtype`), of the parameters, what the backward pass keeps, and in
    what kernels' gradients are summed.
    """

    dtype: str = "float32"
    param_dtype: str = "float32"
    remat: Remat = Remat.NONE
    gradients: GradientSum = GradientSum.COMPUTE

    def __post_init__(self):
        for name in ("dtype", "param_dtype"):
            value = getattr(self, name)
            if value not in ("float32", "bfloat16", "float64"):
                raise ValueError(f"model.{name}={value!r}: use float32, bfloat16 or float64")
            if value == "float64" and not jax.config.jax_enable_x64:
                raise ValueError(
                    f"model.{name}='float64' needs jax_enable_x64: set JAX_ENABLE_X64=1"
                )


def linear(
    inputs: int, outputs: int, numerics: Numerics, *, rngs: nnx.Rngs, gain: float = 1.0
) -> nnx.Linear:
    """A linear map with a kernel [inputs, outputs] of variance gain^2 / inputs and a zero bias."""
    wide = numerics.gradients is GradientSum.PARAM and numerics.dtype != numerics.param_dtype
    return (WideGradientLinear if wide else nnx.Linear)(
        inputs,
        outputs,
        dtype=numerics.dtype,
        param_dtype=numerics.param_dtype,
        kernel_init=nnx.initializers.variance_scaling(gain**2, "fan_in", "truncated_normal"),
        rngs=rngs,
    )


def layer_norm(
    width: int, numerics: Numerics, *, rngs: nnx.Rngs, epsilon: float = LAYER_NORM_EPSILON
) -> nnx.LayerNorm:
    """A layer norm whose statistics are taken in at least float32."""
    return nnx.LayerNorm(
        width,
        epsilon=epsilon,
        dtype=numerics.dtype,
        param_dtype=numerics.param_dtype,
        use_fast_variance=False,  # E[x^2] - E[x]^2 loses the digits that parity tests look at
        rngs=rngs,
    )


def at_least_float32(x: Array) -> Array:
    """Casts to float32, or leaves float64 as it is."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def unit_norm(x: Array, epsilon: float = 1e-12) -> Array:
    """Scales the last axis to unit length, in at least float32; finite gradient at zero."""
    x = at_least_float32(x)
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + epsilon)


def position_grid(grid: tuple[int, int], width: int, dtype: str) -> Array:
    """Positions [h, w, D] to start learning from: 2-D sines and cosines.

    Source: MoCo v3 (arXiv 2104.02057) and MAE (arXiv 2111.06377), which keep them fixed; here they
    are trained from there [ours: a run of minutes has no time to learn positions from noise].

    Raises:
      ValueError: the width does not split into four.
    """
    if width % 4:
        raise ValueError(
            f"width={width} does not split into 2-D sines and cosines: use a multiple of 4"
        )
    frequency = 1.0 / 10_000 ** (jnp.arange(width // 4) / (width // 4))
    row = jnp.arange(grid[0])[:, None, None] * frequency
    column = jnp.arange(grid[1])[None, :, None] * frequency
    row, column = jnp.broadcast_arrays(row, column)
    waves = [jnp.sin(column), jnp.cos(column), jnp.sin(row), jnp.cos(row)]
    return jnp.concatenate(waves, axis=-1).astype(dtype)


def resize_positions(position: Array, grid: tuple[int, int]) -> Array:
    """Positions [h, w, D] for another grid, bicubic; the same array where the grid fits."""
    if position.shape[:2] == grid:
        return position
    return jax.image.resize(position, (*grid, position.shape[-1]), method="cubic", antialias=False)
