"""Loss and gradient of the whole batch, with the model run on a part of it at a time.

Contrast needs the whole batch: the mean of the parts' losses would be another loss, with fewer
negatives. So there are two passes (after GradCache, arXiv 2101.06983): the first runs each part
forward and keeps what the objective reads, embeddings and observations but no activations; then
the objective and its gradient are taken over the whole batch; the second runs each part again,
with the same keys, and pulls that gradient back through the model.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.interpreters import partial_eval

from place_jax.models.parts import PartKey
from place_jax.outputs import Outputs
from place_jax.parallel.collectives import constrain_rows

LossAndMetrics = tuple[Array, dict[str, Array]]


def value_and_gradient(
    apply: Callable[[Any, Mapping[str, Array], Any], Outputs],
    loss_of: Callable[[Outputs], LossAndMetrics],
    params: Any,
    batch: Mapping[str, Array],
    key: Array | None,
    *,
    parts: int,
) -> tuple[LossAndMetrics, Any]:
    """The objective's value, metrics and gradient.

    Args:
      apply: (params, rows of the batch, key) -> Outputs. It handles each row by itself, which batch
        norm would not.
      loss_of: Outputs of the whole batch -> (loss, metrics).
      params: to differentiate by.
      batch: arrays [B, ...].
      key: of whatever `apply` draws for each row, or None.
      parts: how many; they divide B. 1 is the plain gradient.
    """
    if parts == 1:
        return jax.value_and_grad(lambda p: loss_of(apply(p, batch, key)), has_aux=True)(params)
    rows = jax.tree.map(lambda x: _split(x, parts), dict(batch))
    numbers = jnp.arange(parts, dtype=jnp.int32)

    def run(params, part) -> list[Array]:
        some, number = part
        part_key = None if key is None else PartKey(key, number, parts)
        return jax.tree.leaves(apply(params, some, part_key))

    whole = jax.eval_shape(lambda p: apply(p, batch, key), params)
    leaves, structure = jax.tree.flatten(whole)
    one = jax.eval_shape(run, params, jax.tree.map(lambda x: x[0], (rows, numbers)))
    has_rows = [a.shape != b.shape for a, b in zip(leaves, one, strict=True)]
    read = _read(lambda some: loss_of(jax.tree.unflatten(structure, some)), leaves)
    smooth = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]
    kept = [i for i in range(len(leaves)) if read[i]]
    traced, fixed = [i for i in kept if smooth[i]], [i for i in kept if not smooth[i]]

    def forward(params, part) -> tuple[list[Array], list[Array]]:
        found = run(params, part)
        return [found[i] for i in traced], [found[i] for i in fixed]

    found = jax.lax.map(lambda part: forward(params, part), (rows, numbers))
    outputs, constants = (
        [_join(x) if has_rows[i] else x[0] for i, x in zip(which, values, strict=True)]
        for which, values in zip((traced, fixed), found, strict=True)
    )

    def loss_of_outputs(outputs) -> LossAndMetrics:
        every = [jnp.zeros(leaf.shape, leaf.dtype) for leaf in leaves]
        for i, x in zip(traced + fixed, outputs + constants, strict=True):
            every[i] = x
        return loss_of(jax.tree.unflatten(structure, every))

    value, gradient = jax.value_and_grad(loss_of_outputs, has_aux=True)(outputs)
    # What has no rows, such as a logit scale, comes out of every part: each takes its share.
    shares = [
        _split(g, parts) if has_rows[i] else jnp.broadcast_to(g / parts, (parts, *g.shape))
        for i, g in zip(traced, gradient, strict=True)
    ]

    def add(total, part):
        *part, share = part
        _, pull, _ = jax.vjp(lambda p: forward(p, part), params, has_aux=True)
        return jax.tree.map(jnp.add, total, pull(share)[0]), None

    total, _ = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), (rows, numbers, shares))
    return value, total


def _read(f: Callable[[list[Array]], Any], shapes: list) -> list[bool]:
    """Which of its arguments f makes use of."""
    closed = jax.make_jaxpr(f)(shapes)
    _, used = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return used


def _split(x: Array, parts: int) -> Array:
    """[B, ...] -> [parts, B / parts, ...], row i in part i modulo parts: none leaves its device."""
    x = x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)
    return constrain_rows(x, leading=(None,))


def _join(x: Array) -> Array:
    """The inverse of `_split`."""
    return constrain_rows(x.swapaxes(0, 1).reshape(-1, *x.shape[2:]))
