"""Controls: what PCMA scores when the image can be of no help. For evaluation, not for training.

A trained loss means something only below these. Beside them, CCE with rolled reports is
`correlation_loss` on the factors that the model predicts from `roll_present` of the reports.
"""

import dataclasses

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive, pathological
from place_jax.objectives.statements import StatementTargets
from place_jax.outputs import Outputs


def roll_present(values: Array, present: Array) -> Array:
    """Gives each present row the values of the present row before it, the first those of the last.

    Args:
      values: [B, ...].
      present: [B] bool; absent rows keep values that mean nothing.
    """
    position = jnp.cumsum(present) - 1
    order = jnp.argsort(~present, stable=True)
    return values[order[(position - 1) % jnp.maximum(jnp.sum(present), 1)]]


def interleaved(present: Array) -> Array:
    """[B] an order of rows in which the present row before is half of them away.

    Images of one patient follow each other in a split, and `roll_present` is to give another's.

    Args:
      present: [B] bool; absent rows come last.
    """
    number, half = jnp.cumsum(present) - 1, (jnp.sum(present) + 1) // 2
    place = jnp.where(number < half, 2 * number, 2 * (number - half) + 1)
    return jnp.argsort(jnp.where(present, place, len(present)), stable=True)


def statement_frequency_loss(targets: StatementTargets) -> Array:
    """The least PCMA, scope = batch, of any scores that are the same for every image.

    Over images for each sentence it is log of their number n. Over sentences for each image, with
    weights w_s and p_s the mean over images of w_s 1[s true of i] / (their sum over s), it is
    sum_s p_s log(w_s / p_s), which no constant prediction beats (Gibbs): with inverse-frequency
    weights, the entropy of the statements' frequencies.
    """
    images, weight = targets.image_weight, targets.sentence_weight
    number = jnp.maximum(jnp.sum(images), 1)
    stated = targets.positives * images[:, None] * weight
    total = jnp.sum(stated, axis=1, keepdims=True)
    share = jnp.sum(stated / jnp.where(total > 0, total, 1), axis=0) / number
    ratio = jnp.where(share > 0, weight / jnp.where(share > 0, share, 1), 1)
    return (jnp.log(number) + jnp.sum(share * jnp.log(ratio))) / 2


def pathological_controls(outputs: Outputs, batch: dict, config: ConfigDict) -> dict[str, Array]:
    """PCMA with each image replaced by another patient's, and from statement frequency alone.

    Args:
      outputs, batch, config: as of `pathological_loss`.

    Returns:
      `pathological/loss_rolled_images`, `pathological/top1_rolled_images` and
      `pathological/loss_statement_frequency`: a model whose V-PORs tell of the image is well below
      the first and the last; one that is not has learned the statements and nothing of the images.
      Under scope = report no frequency is a bound, and the last is left out.
    """
    dtype = contrastive.at_least_float32(outputs.v_por).dtype
    sentences = pathological.taking_part(outputs, batch, config)
    targets = pathological.targets_of(batch, sentences, config, dtype)
    rolled = dataclasses.replace(
        outputs, v_por=roll_present(outputs.v_por, targets.image_weight > 0)
    )
    first, second = pathological.contrast(rolled, batch, config)
    found = {
        "pathological/loss_rolled_images": (first.loss + second.loss) / 2,
        "pathological/top1_rolled_images": first.hit,
    }
    if pathological.Scope(config.loss.scope) is pathological.Scope.BATCH:
        found["pathological/loss_statement_frequency"] = statement_frequency_loss(targets)
    return found
