"""SigLIP, a baseline: every pair of the batch is a yes-or-no question of its own."""

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive, pairs
from place_jax.outputs import Outputs
from place_jax.parallel import collectives


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
      config: loss.contrast, loss.memory_bytes.
      step: unused.
    """
    del step
    scale, bias = outputs.logit_scales["siglip"], outputs.logit_biases["siglip"]
    image = contrastive.at_least_float32(outputs.image_embedding)
    report = contrastive.at_least_float32(outputs.report_embedding)

    def contrast(axes, rows, whole):
        scale, bias = whole
        image, report, number, present = rows

        def row_sums(columns):
            report, other, present = columns
            cosine = jnp.matmul(image, report.T, precision=contrastive.HIGHEST)
            logits = scale * cosine + bias
            # What a block is filled up with has the number 0, and is absent.
            own = (number[:, None] == other[None, :]) & present
            terms = -jax.nn.log_sigmoid(jnp.where(own, logits, -logits))
            fixed = jax.lax.stop_gradient(logits)
            best_negative = jnp.max(jnp.where(present & ~own, fixed, -jnp.inf), axis=1)
            own_logit = jnp.max(jnp.where(own, fixed, -jnp.inf), axis=1)
            return jnp.sum(jnp.where(present, terms, 0), axis=1), own_logit, best_negative

        columns = collectives.gather((report, number, present), axes)
        block = pairs.columns_at_once(len(image), len(columns[0]), image.dtype, config)
        terms, own_logit, best_negative = collectives.map_blocks(row_sums, columns, block)
        hits = jnp.max(own_logit, axis=0) > jnp.max(best_negative, axis=0)
        values = jnp.sum(terms, axis=0), hits.astype(terms.dtype)
        return pairs.mean_rows(values, present, axes)

    number = jnp.arange(len(image), dtype=jnp.int32)
    rows = image, report, number, contrastive.example_mask(batch)
    loss, top1 = collectives.spread(contrast, rows, (scale, bias))
    return loss, {
        "loss": loss,
        "siglip/loss": loss,
        "siglip/top1": top1,
        "logit_scale/siglip": scale,
        "logit_bias/siglip": bias,
    }
