"""CLIP, the baseline: symmetric InfoNCE in which only the diagonal is positive."""

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive, instance
from place_jax.outputs import Outputs


def clip_loss(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """The loss of CLIP (Radford et al., arXiv 2103.00020, figure 3) over the global batch.

    Args:
      outputs: image_embedding [B, E], report_embedding [B, E], logit_scales["instance"].
      batch: example_mask [B]; masked rows are neither rows nor columns.
      config: unused.
      step: unused.
    """
    del config, step
    image = contrastive.at_least_float32(outputs.image_embedding)
    report = contrastive.at_least_float32(outputs.report_embedding)
    scale = outputs.logit_scales["instance"]
    logits = scale * jnp.matmul(image, report.T, precision=contrastive.HIGHEST)
    positives = jnp.eye(logits.shape[0], dtype=bool)
    terms = instance.symmetric_terms(logits, positives, contrastive.example_mask(batch))
    return terms.loss, {
        "loss": terms.loss,
        "clip/loss": terms.loss,
        "clip/top1": terms.hit,
        "logit_scale/instance": scale,
    }
