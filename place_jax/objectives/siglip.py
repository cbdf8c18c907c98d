"""SigLIP, a baseline: every pair of the batch is a yes-or-no question of its own."""

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive
from place_jax.outputs import Outputs


def siglip_loss(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """The loss of SigLIP (Zhai et al., arXiv 2303.15343, equation 1) over the global batch.

      L = -mean_i sum_j log sigmoid(y_ij (s <u_i, w_j> + b)),   y_ij = 1 if i = j, else -1

    Fit for any batch: no anchor needs the others' sums.

    Args:
      outputs: image_embedding [B, E], report_embedding [B, E], logit_scales["siglip"] (10 at
        first), logit_biases["siglip"] (-10 at first, so that most pairs begin as negatives).
      batch: example_mask [B]; masked rows are neither rows nor columns.
      config: unused.
      step: unused.
    """
    del config, step
    image = contrastive.at_least_float32(outputs.image_embedding)
    report = contrastive.at_least_float32(outputs.report_embedding)
    scale, bias = outputs.logit_scales["siglip"], outputs.logit_biases["siglip"]
    logits = scale * jnp.matmul(image, report.T, precision=contrastive.HIGHEST) + bias
    present = contrastive.example_mask(batch)
    own = jnp.eye(logits.shape[0], dtype=bool)
    terms = -jax.nn.log_sigmoid(jnp.where(own, logits, -logits))
    loss = contrastive.weighted_mean(jnp.sum(jnp.where(present, terms, 0), axis=1), present)
    hits = jnp.diagonal(logits) > jnp.max(
        jnp.where(present & ~own, logits, -jnp.inf), axis=1, initial=-jnp.inf
    )
    return loss, {
        "loss": loss,
        "siglip/loss": loss,
        "siglip/top1": contrastive.weighted_mean(hits.astype(loss.dtype), present),
        "logit_scale/siglip": scale,
        "logit_bias/siglip": bias,
    }
