"""Controls: what PCMA scores when the image can be of no help. For evaluation, not for training.

A trained loss means something only below these. Beside them, CCE with rolled reports is
`correlation_loss` on the factors that the model predicts from `roll_present` of the reports.
"""

import dataclasses

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive, pathological
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


def statement_frequency_loss(targets: pathological.StatementTargets) -> Array:
    """The least PCMA of any scores that are the same for every image.

    Over images for each sentence it is log of their number n; over sentences for each image the
    entropy of the statements' frequencies q_u = 1/n sum_i 1[i states u] / (statements of i), which
    no constant prediction beats (Gibbs).
    """
    images = targets.image_weight
    number = jnp.maximum(jnp.sum(images), 1)
    stated = targets.positives * images[:, None]
    statements = jnp.sum(stated * targets.sentence_weight, axis=1, keepdims=True)
    frequency = jnp.sum(stated / jnp.where(statements > 0, statements, 1), axis=0) / number
    log_frequency = jnp.log(jnp.where(frequency > 0, frequency, 1))
    entropy = -jnp.sum(targets.sentence_weight * frequency * log_frequency)
    return (jnp.log(number) + entropy) / 2


def pathological_controls(outputs: Outputs, batch: dict, config: ConfigDict) -> dict[str, Array]:
    """PCMA with each image replaced by another patient's, and from statement frequency alone.

    Args:
      outputs, batch, config: as of `pathological_loss`.

    Returns:
      `pathological/loss_rolled_images`, `pathological/top1_rolled_images` and
      `pathological/loss_statement_frequency`: a model whose V-PORs tell of the image is well below
      the first and the last; one that is not has learned the statements and nothing of the images.
    """
    dtype = contrastive.at_least_float32(outputs.v_por).dtype
    targets = pathological.statement_targets(batch, dtype)
    rolled = dataclasses.replace(
        outputs, v_por=roll_present(outputs.v_por, targets.image_weight > 0)
    )
    over_images, over_sentences = pathological.contrast_statements(
        pathological.sentence_scores(rolled, config), targets, outputs.logit_scales["pathological"]
    )
    return {
        "pathological/loss_rolled_images": (over_images.loss + over_sentences.loss) / 2,
        "pathological/top1_rolled_images": over_images.hit,
        "pathological/loss_statement_frequency": statement_frequency_loss(targets),
    }
