"""Training linear probes on features that were extracted once: every fraction and seed in one jit.

A probe costs so little beside its encoder that all of them fit in one compiled program: for each
fraction a scan over rounds of steps, with the seeds side by side under vmap.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from place_jax.transfer.protocols.linear_probe import Loss, ProbeRecipe, Selection


@dataclasses.dataclass(frozen=True)
class Examples:
    """n examples: features [n, D], labels [n, C] of `records.Label`; -1 and -2 are left out."""

    features: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Probes:
    """K probes of one fraction, each at the round that validation chose.

    Attributes:
      weight: [K, D, C].
      bias: [K, C].
      curve: [K, rounds] what validation selected by, higher is better.
      chosen: [K] round, from 0.
    """

    weight: np.ndarray
    bias: np.ndarray
    curve: np.ndarray
    chosen: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """[K, n, C] float64 of features [n, D]."""
        products = np.einsum("nd,kdc->knc", features.astype(np.float64), self.weight)
        return products + self.bias[:, None]


def train_probes(
    train: Examples,
    validation: Examples,
    subsets: Sequence[Sequence[np.ndarray]],
    recipe: ProbeRecipe,
    *,
    seed: int = 0,
) -> list[Probes]:
    """Trains K probes on each of several fractions.

    Args:
      train: all training examples.
      validation: chooses each probe's round.
      subsets: for each fraction K arrays of positions in `train`, one a seed.
      recipe: of a protocol.
      seed: of the first of the K probes' order and start; the others follow.

    Returns:
      For each fraction its probes.
    """
    count = len(subsets[0])
    keys = jax.vmap(jax.random.key)(seed + np.arange(count))
    padded = tuple(_pad(positions) for positions in subsets)
    found = _train(
        recipe,
        tuple(_on_device(train)),
        tuple(_on_device(validation)),
        padded,
        keys,
    )
    return [Probes(*(np.asarray(part, np.float64) for part in probes)) for probes in found]


def _on_device(examples: Examples) -> tuple[Array, Array, Array]:
    """Features, targets 0 or 1, and which of them are known."""
    known = (examples.labels == 0) | (examples.labels == 1)
    return (
        jnp.asarray(examples.features, jnp.float32),
        jnp.asarray(examples.labels == 1, jnp.float32),
        jnp.asarray(known, jnp.float32),
    )


def _pad(positions: Sequence[np.ndarray]) -> tuple[Array, Array]:
    """[K, m] positions, filled up with 0, and which of them are meant: [K, m] bool."""
    size = max(map(len, positions))
    index = np.zeros((len(positions), size), np.int32)
    present = np.zeros((len(positions), size), bool)
    for row, chosen in enumerate(positions):
        index[row, : len(chosen)], present[row, : len(chosen)] = chosen, True
    return jnp.asarray(index), jnp.asarray(present)


@functools.partial(jax.jit, static_argnames="recipe")
def _train(recipe: ProbeRecipe, train, validation, subsets, keys):
    return [
        jax.vmap(functools.partial(_one, recipe, train, validation))(index, present, keys)
        for index, present in subsets
    ]


def _one(recipe: ProbeRecipe, train, validation, index: Array, present: Array, key: Array):
    """One probe on the rows `index` [m] of which `present`: weight, bias, curve, chosen round."""
    features, targets, known = (part[index] for part in train)
    shift, scale = _standardisation(features, present, recipe.standardise)
    features = (features - shift) * scale
    examples = (features, targets, known * present[:, None])
    held_out = ((validation[0] - shift) * scale, *validation[1:])
    tx = optax.adamw(recipe.learning_rate, weight_decay=recipe.weight_decay)
    start, stream = jax.random.split(key)
    probe = _start(recipe, start, features.shape[1], targets.shape[1])

    def step(carry, rows):
        probe, state = carry
        batch = tuple(jnp.take(part, rows, axis=0, mode="fill", fill_value=0) for part in examples)
        gradient = jax.grad(functools.partial(_loss, recipe))(probe, *batch)
        updates, new_state = tx.update(gradient, state, probe)
        new = (optax.apply_updates(probe, updates), new_state)
        # A batch of padding alone would still decay and coast.
        return jax.tree.map(lambda a, b: jnp.where(batch[2].any(), a, b), new, carry), None

    def round_(carry, number):
        trained, best = carry
        rows = _rows(recipe, present, jax.random.fold_in(stream, number))
        trained, _ = jax.lax.scan(step, trained, rows)
        score = _score(recipe, trained[0], *held_out)
        chosen = best["chosen"]
        open_ = (number - chosen <= recipe.patience) if recipe.patience else True
        better = (score > best["score"]) & open_
        new = {"score": score, "chosen": number, "probe": trained[0]}
        return (trained, jax.tree.map(lambda a, b: jnp.where(better, a, b), new, best)), score

    best = {"score": jnp.float32(-jnp.inf), "chosen": jnp.int32(0), "probe": probe}
    carry = ((probe, tx.init(probe)), best)
    (_, best), curve = jax.lax.scan(round_, carry, jnp.arange(recipe.rounds))
    weight = best["probe"]["weight"] * scale[:, None]
    return weight, best["probe"]["bias"] - _product(shift, weight), curve, best["chosen"]


def _start(recipe: ProbeRecipe, key: Array, width: int, classes: int) -> dict[str, Array]:
    if recipe.zero_init:
        return {"weight": jnp.zeros((width, classes)), "bias": jnp.zeros(classes)}
    limit = width**-0.5
    weight, bias = jax.random.split(key)
    return {
        "weight": jax.random.uniform(weight, (width, classes), minval=-limit, maxval=limit),
        "bias": jax.random.uniform(bias, (classes,), minval=-limit, maxval=limit),
    }


def _standardisation(features: Array, present: Array, wanted: bool) -> tuple[Array, Array]:
    """Shift and scale [D] of the rows that are present; 0 for a feature that does not vary."""
    if not wanted:
        return jnp.zeros(features.shape[1]), jnp.ones(features.shape[1])
    weight = present[:, None] / jnp.maximum(present.sum(), 1)
    mean = jnp.sum(features * weight, axis=0)
    deviation = jnp.sqrt(jnp.sum(jnp.square(features - mean) * weight, axis=0))
    # Rounding alone makes about 1e-7 of the mean: no signal to blow up.
    varies = deviation > 1e-5 * (1 + jnp.abs(mean))
    return mean, jnp.where(varies, 1 / jnp.where(varies, deviation, 1), 0)


def _rows(recipe: ProbeRecipe, present: Array, key: Array) -> Array:
    """[steps, batch] positions of one round: whole epochs, each in an order of its own.

    Absent rows come last in an epoch, and a position beyond the subset is padding.
    """
    size = present.shape[0]
    batch = recipe.batch_size or size
    steps = -(-size // batch)
    epochs = max(1, -(-recipe.min_steps // (recipe.rounds * steps)))
    drawn = jnp.where(present, jax.random.uniform(key, (epochs, size)), 2)
    order = jnp.argsort(drawn, axis=1)
    padding = jnp.full((epochs, steps * batch - size), size)
    return jnp.concatenate([order, padding], axis=1).reshape(epochs * steps, batch)


def _product(features: Array, weight: Array) -> Array:
    return jnp.matmul(features, weight, precision=jax.lax.Precision.HIGHEST)


def _loss(
    recipe: ProbeRecipe, probe: dict[str, Array], features: Array, targets: Array, known: Array
) -> Array:
    """Cross-entropy, mean over the labels that are known; of one of several, over the examples."""
    logits = _product(features, probe["weight"]) + probe["bias"]
    if recipe.loss is Loss.SOFTMAX:
        known = jnp.min(known, axis=1)
        each = optax.softmax_cross_entropy(logits, targets)
        return jnp.sum(each * known) / jnp.maximum(jnp.sum(known), 1)
    each = optax.sigmoid_binary_cross_entropy(logits, targets)
    return jnp.sum(each * known) / jnp.maximum(jnp.sum(known), 1)


def _score(recipe: ProbeRecipe, probe, features: Array, targets: Array, known: Array) -> Array:
    """What a round is chosen by; higher is better."""
    if recipe.selection is Selection.LOSS:
        return -_loss(recipe, probe, features, targets, known)
    logits = _product(features, probe["weight"]) + probe["bias"]
    return macro_auroc(logits, targets, known)


def macro_auroc(scores: Array, targets: Array, known: Array) -> Array:
    """Mean AUROC over the classes that have both kinds; ties count half. All are [n, C]."""
    value, defined = jax.vmap(_auroc, in_axes=1)(scores, targets, known)
    return jnp.sum(value * defined) / jnp.maximum(jnp.sum(defined), 1)


def _auroc(scores: Array, targets: Array, known: Array) -> tuple[Array, Array]:
    positive, negative = known * targets, known * (1 - targets)
    below = jnp.sort(jnp.where(negative > 0, scores, jnp.inf))
    lost = jnp.searchsorted(below, scores, side="left")
    tied = jnp.searchsorted(below, scores, side="right")
    pairs = jnp.sum(positive) * jnp.sum(negative)
    won = jnp.sum(positive * (lost + tied) / 2)
    return won / jnp.maximum(pairs, 1), pairs > 0
