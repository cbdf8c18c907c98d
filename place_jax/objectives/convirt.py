"""ConVIRT, a baseline: InfoNCE at a fixed temperature, weighed towards finding the report."""

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive, instance
from place_jax.outputs import Outputs


def convirt_loss(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """The loss of ConVIRT (Zhang et al., arXiv 2010.00747, eq. 2 to 4) over the global batch.

      L = lambda CE_i(u_i, w_j) + (1 - lambda) CE_j(w_j, u_i),   CE of <., .> / tau

    where the first term finds an image's report among all. The paper's lambda is 0.75 and its tau
    0.1. Fit for any batch.

    Args:
      outputs: image_embedding [B, E], report_embedding [B, E].
      batch: example_mask [B]; masked rows are neither rows nor columns.
      config: loss.convirt_temperature, loss.convirt_image_weight.
      step: unused.
    """
    del step
    settings = config.loss
    image = contrastive.at_least_float32(outputs.image_embedding)
    finds_report, finds_image = instance.contrast_embeddings(
        image,
        outputs.report_embedding,
        instance.own_identity(image),
        contrastive.example_mask(batch),
        1 / jnp.asarray(settings.convirt_temperature, image.dtype),
        config,
    )
    weight = settings.convirt_image_weight
    loss = weight * finds_report.loss + (1 - weight) * finds_image.loss
    return loss, {
        "loss": loss,
        "convirt/loss": loss,
        "convirt/loss_image_to_report": finds_report.loss,
        "convirt/loss_report_to_image": finds_image.loss,
        "convirt/top1": (finds_report.hit + finds_image.hit) / 2,
    }
