"""Every row of the batch contrasted with every column, both ways, over devices and in blocks.

A device holds its own rows and gathers the columns, which are the narrower side. It scores them all
at once ("gathered"), or a block at a time with each block computed again in the backward pass
("chunked"), so that scores never outgrow a budget. Either way the negatives are the whole batch's,
and a column's sums over rows are joined over devices, so that no score is computed twice.
"""

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive
from place_jax.parallel import collectives
from place_jax.parallel.collectives import Axes

_LOWEST = -1e30  # below any logit, and finite: of two of them the difference is 0
# Arrays of the scores' size that are alive at once in the contrast and its gradient, and of the
# size of what each score is reduced from.
TABLE_COPIES, DEPTH_COPIES = 12, 4


class Contrast(enum.Enum):
    """How a device scores its rows against the whole batch's columns."""

    AUTO = "auto"  # gathered until that passes the budget, then chunked
    GATHERED = "gathered"  # all at once
    CHUNKED = "chunked"  # in blocks that fit the budget, computed again in the backward pass


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ContrastSums:
    """Of A anchors over some of their candidates, to be merged with those over the others.

    Attributes:
      top: [A] the largest logit, without gradient.
      total: [A] sum of w exp(z - top).
      positive_weight: [A] sum of w over positives.
      positive_logits: [A] sum of w z over positives.
      best_positive, best_negative: [A] without gradient, -inf where there is none.
    """

    top: Array
    total: Array
    positive_weight: Array
    positive_logits: Array
    best_positive: Array
    best_negative: Array


def contrast_sums(logits: Array, positives: Array, candidate_weight: Array) -> ContrastSums:
    """The sums of logits [A, C] that `anchor_terms` of contrastive.py is made of.

    Args:
      logits: [A, C].
      positives: [A, C] bool.
      candidate_weight: [C], 0 for a candidate that is absent.
    """
    weight = candidate_weight.astype(logits.dtype)
    present = weight > 0
    positives = positives & present
    fixed = jax.lax.stop_gradient(logits)
    top = jnp.max(jnp.where(present, fixed, _LOWEST), axis=-1)
    logits = jnp.where(present, logits, 0)
    exponent = jnp.where(present, logits - top[:, None], 0)
    return ContrastSums(
        top=top,
        total=jnp.sum(weight * jnp.exp(exponent), axis=-1),
        positive_weight=jnp.sum(jnp.where(positives, weight, 0), axis=-1),
        positive_logits=jnp.sum(jnp.where(positives, weight * logits, 0), axis=-1),
        best_positive=jnp.max(jnp.where(positives, fixed, -jnp.inf), axis=-1),
        best_negative=jnp.max(jnp.where(present & ~positives, fixed, -jnp.inf), axis=-1),
    )


def _merge(sums: ContrastSums, largest: Callable, add: Callable) -> ContrastSums:
    top = largest(sums.top)
    return ContrastSums(
        top=top,
        total=add(sums.total * jnp.exp(sums.top - top)),
        positive_weight=add(sums.positive_weight),
        positive_logits=add(sums.positive_logits),
        best_positive=largest(sums.best_positive),
        best_negative=largest(sums.best_negative),
    )


def _merge_blocks(sums: ContrastSums) -> ContrastSums:
    """Of [blocks, A]."""
    return _merge(sums, lambda x: jnp.max(x, axis=0), lambda x: jnp.sum(x, axis=0))


def _merge_devices(sums: ContrastSums, axes: Axes) -> ContrastSums:
    return _merge(
        sums, lambda x: collectives.largest(x, axes), lambda x: collectives.total(x, axes)
    )


def _terms(sums: ContrastSums) -> contrastive.AnchorTerms:
    has_positive = sums.positive_weight > 0
    weight = jnp.where(has_positive, sums.positive_weight, 1)
    log_total = sums.top + jnp.log(jnp.where(has_positive, sums.total, 1))
    rounding = contrastive.rounding(sums.top)
    hit = has_positive & (sums.best_positive > sums.best_negative + rounding)
    return contrastive.AnchorTerms(
        loss=jnp.where(has_positive, log_total - sums.positive_logits / weight, 0),
        floor=jnp.log(weight),
        hit=hit.astype(sums.total.dtype),
    )


def contrast_both_ways(
    score: Callable[[Any], tuple[Array, Array]],
    columns: Any,
    row_weight: Array,
    column_weight: Array,
    *,
    axes: Axes,
    block: int,
) -> tuple[contrastive.AnchorTerms, contrastive.AnchorTerms]:
    """Contrasts columns for each row, and rows for each column. Call it inside `spread`.

    Args:
      score: from K columns to their logits and which are positive, both [A, K * S], of this
        device's A rows.
      columns: arrays [C / devices, ...], this device's.
      row_weight: [A]; 0 where a row is absent.
      column_weight: [C / devices] or [C / devices, S], where a column is S of them, such as the
        sentences of a report; 0 where one is absent.
      axes: that `spread` gave.
      block: columns to score at once.

    Returns:
      Weighted means over all rows, and over all columns; scalars.
    """
    columns, column_weight = collectives.gather((columns, column_weight), axes)

    def sums_of(part) -> tuple[ContrastSums, ContrastSums]:
        some, weight = part[0], part[1].reshape(-1)
        logits, positives = score(some)
        return (
            contrast_sums(logits, positives, weight),
            contrast_sums(logits.T, positives.T, row_weight),
        )

    of_rows, of_columns = collectives.map_blocks(sums_of, (columns, column_weight), block)
    rows = _terms(_merge_blocks(of_rows))
    weight = column_weight.reshape(-1)
    of_columns = jax.tree.map(lambda x: x.reshape(-1)[: weight.size], of_columns)
    over_rows = contrastive.mean_terms(_terms(_merge_devices(of_columns, axes)), weight)
    return mean_rows(rows, row_weight, axes), collectives.same(over_rows, axes)


def mean_rows(values: Any, weight: Array, axes: Axes) -> Any:
    """The weighted mean over all devices' rows, of arrays [A]; 0 where nothing weighs anything."""
    weight = weight.astype(jax.tree.leaves(values)[0].dtype)
    weights = collectives.total(jnp.sum(weight), axes)
    sums = jax.tree.map(lambda x: jnp.sum(x * weight), values)
    weights = jnp.where(weights > 0, weights, 1)
    return jax.tree.map(lambda x: x / weights, collectives.total(sums, axes))


def columns_at_once(
    rows: int, columns: int, dtype: jnp.dtype, config: ConfigDict, *, depth: int = 0
) -> int:
    """How many columns a device scores at once, by config.loss.contrast and loss.memory_bytes.

    Args:
      rows: on this device.
      columns: in the whole batch.
      dtype: of the scores.
      config: the whole config.
      depth: numbers behind each score, such as the queries that it is reduced over; these are
        held to the budget however the scores are taken.

    Returns:
      All of them where they fit the budget, or else as many as do, 1 at least.
    """
    contrast = Contrast(config.loss.contrast)
    if contrast is Contrast.GATHERED and not depth:
        return columns
    fits = config.loss.memory_bytes // bytes_at_once(rows, 1, dtype, depth=depth)
    if contrast is Contrast.CHUNKED:
        fits = min(fits, -(-columns // 2))
    return max(1, min(columns, fits))


def bytes_at_once(rows: int, columns: int, dtype: jnp.dtype, *, depth: int = 0) -> int:
    """What scoring so many columns at once takes, with its gradient; as of `columns_at_once`."""
    return rows * columns * (TABLE_COPIES + DEPTH_COPIES * depth) * jnp.dtype(dtype).itemsize
