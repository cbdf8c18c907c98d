"""CLIP, the baseline: symmetric InfoNCE in which only the diagonal is positive."""

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
      config: loss.contrast, loss.memory_bytes.
      step: unused.
    """
    del step
    scale = outputs.logit_scales["instance"]
    of_images, of_reports = instance.contrast_embeddings(
        outputs.image_embedding,
        outputs.report_embedding,
        instance.own_identity(outputs.image_embedding),
        contrastive.example_mask(batch),
        scale,
        config,
    )
    terms = contrastive.both_ways(of_images, of_reports)
    return terms.loss, {
        "loss": terms.loss,
        "clip/loss": terms.loss,
        "clip/top1": terms.hit,
        "logit_scale/instance": scale,
    }
