"""Floating-point operations of a step, counted on its jaxpr: products of matrices, convolutions.

XLA's cost analysis counts a loop's body once, and a stack of layers is a loop. What is counted here
is every product as often as it runs, over all devices; additions and elementwise work, about a
hundredth of it, are left out, as is the custom for MFU.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax import lax
from jax.interpreters import partial_eval
from ml_collections import ConfigDict

from data_pipelines.records import batch_fields
from place_jax import objectives
from place_jax.models.functional import Model
from place_jax.parallel.hardware import peak_flops_of
from place_jax.training.accumulation import value_and_gradient
from place_jax.training.feed import FIELDS

# A float32 product at the highest precision is six bfloat16 passes on a TPU's matrix unit.
_HIGHEST_PASSES = 6


@dataclasses.dataclass(frozen=True)
class Flops:
    """Over all devices.

    Attributes:
      total: floating-point operations.
      passes: the same, float32 products at highest precision counted as the bfloat16 passes they
        take.
    """

    total: float = 0.0
    passes: float = 0.0

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(self.total + other.total, self.passes + other.passes)

    def __mul__(self, times: int) -> "Flops":
        return Flops(self.total * times, self.passes * times)


def count(jaxpr) -> Flops:
    """Of a jaxpr, with what none of its results needs left out; a `while` counts once."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    jaxpr, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return _count(jaxpr)


def count_of(f: Callable, *args) -> Flops:
    """Of f(*args), of arrays or ShapeDtypeStructs."""
    return count(jax.make_jaxpr(f)(*args))


def model_flops(config: ConfigDict, vocab_size: int, batch: dict[str, Any]) -> Flops:
    """Of the loss and its gradient over one batch, nothing computed twice: what MFU counts.

    Args:
      config: the whole config.
      vocab_size: of the model.
      batch: arrays or shapes.
    """
    model_config = config.model.copy_and_resolve_references()
    model_config.remat = "none"
    model = Model.from_config(model_config, image_size=config.data.crop_size, vocab_size=vocab_size)
    objective = objectives.get(config.objective)
    draws = config.objective == "place" and config.loss.lambda_c > 0

    def both(params, model_state, batch):
        return value_and_gradient(
            lambda p, rows, key: model.apply(p, model_state, rows, key=key),
            lambda outputs: objective(outputs, batch, config),
            params,
            batch,
            jax.random.key(0) if draws else None,
            parts=1,
        )

    return count_of(both, *jax.eval_shape(model.init, jax.random.key(0)), dict(batch))


def flops_per_pair(config: ConfigDict, vocab_size: int) -> float:
    """Operations of one training pair, for MFU; 0 where the devices' peak is not known."""
    if peak_flops_of(jax.devices()[0].device_kind) is None:
        return 0.0
    fields = batch_fields(
        config.data.batch_size,
        config.data.crop_size,
        config.data.max_tokens,
        config.data.max_sentences,
    )
    batch = {name: jax.ShapeDtypeStruct(*fields[name]) for name in FIELDS}
    vocab_size = config.model.text.vocab_size or vocab_size
    return model_flops(config, vocab_size, batch).total / config.data.batch_size


def _count(jaxpr) -> Flops:
    found = Flops()
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        if name == "dot_general":
            found += _priced(eqn, _dot(eqn))
        elif name == "conv_general_dilated":
            found += _priced(eqn, _convolution(eqn))
        elif name == "cond":
            branches = [_count(branch.jaxpr) for branch in eqn.params["branches"]]
            found += max(branches, key=lambda flops: flops.total)
        else:
            times = 1
            if name == "scan":
                times = eqn.params["length"]
            elif name == "shard_map":  # its shapes are one device's
                times = eqn.params["mesh"].size
            for inner in _inner(eqn.params):
                found += _count(inner) * times
    return found


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                yield item


def _dot(eqn) -> float:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    left = eqn.invars[0].aval.shape
    return 2.0 * math.prod(eqn.outvars[0].aval.shape) * math.prod(left[i] for i in contracted)


def _convolution(eqn) -> float:
    kernel = eqn.invars[1].aval.shape
    out_features = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
    return 2.0 * math.prod(eqn.outvars[0].aval.shape) * math.prod(kernel) / out_features


def _priced(eqn, flops: float) -> Flops:
    precision = eqn.params["precision"]
    highest = precision is not None and lax.Precision.HIGHEST in tuple(precision)
    wide = eqn.invars[0].aval.dtype.itemsize >= 4
    return Flops(flops, flops * (_HIGHEST_PASSES if highest and wide else 1))
