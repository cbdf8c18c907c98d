"""A bfloat16 product whose kernel gradient is summed in float32, within a device and over devices.

By default a kernel's gradient is a bfloat16 product, and the sum over devices takes that dtype:
a cast to float32 afterwards does not change what was added in which precision.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array, lax


class WideGradientLinear(nnx.Linear):
    """`nnx.Linear` whose kernel stays in its own dtype up to the product."""

    def __call__(self, inputs: Array) -> Array:
        """Maps [..., D_in] to [..., D_out] in self.dtype."""
        inputs = inputs.astype(self.dtype)
        y = product(inputs, self.kernel[...])
        return y + self.bias[...].astype(self.dtype)


@jax.custom_vjp
def product(x: Array, kernel: Array) -> Array:
    """x [..., D_in] times kernel [D_in, D_out], in x's dtype."""
    return jnp.matmul(x, kernel.astype(x.dtype))


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return product(x, kernel), (x, kernel)


def _backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = kept
    rows = tuple(range(x.ndim - 1))
    of_kernel = lax.dot_general(
        x, gradient, ((rows, rows), ((), ())), preferred_element_type=kernel.dtype
    )
    return jnp.matmul(gradient, kernel.astype(x.dtype).T), of_kernel


product.defvjp(_forward, _backward)
