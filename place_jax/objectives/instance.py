"""ITA, instance-level alignment: symmetric InfoNCE between images and reports as wholes."""

import enum

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive, pairs
from place_jax.outputs import Outputs
from place_jax.parallel import collectives


class EqualReports(enum.Enum):
    """What a report that equals an image's own is to it."""

    POSITIVES = "positives"
    NEGATIVES = "negatives"


class Scale(enum.Enum):
    """Whether the logit scale, one over the temperature, is trained."""

    LEARNED = "learned"
    FIXED = "fixed"


def instance_loss(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """Contrasts images and reports over the global batch; equal reports are each other's positives.

    For image i and report j, z_ij = s <u_i, w_j>, and with P_i the reports equal to that of i,

      L = 1/2 [mean_i -1/|P_i| sum_{j in P_i} log softmax_j(z_i.)_j + the same on z^T]

    (van den Oord et al., arXiv 1807.03748; SupCon's "out" form, arXiv 2004.11362). Equal reports
    as positives is ours, because 23 % of the reports of Open-i equal another: as negatives they
    would punish the right answer. With equal_reports = negatives it is the loss of CLIP.

    Args:
      outputs: image_embedding [B, E], report_embedding [B, E], logit_scales["instance"].
      batch: report_statement [B, 2], example_mask [B]; masked rows are neither rows nor columns.
      config: loss.equal_reports; loss.instance_scale, fixed leaves the scale where it started;
        loss.contrast, loss.memory_bytes.
      step: unused.
    """
    del step
    scale = outputs.logit_scales["instance"]
    if Scale(config.loss.instance_scale) is Scale.FIXED:
        scale = jax.lax.stop_gradient(scale)
    identity = batch["report_statement"]
    if EqualReports(config.loss.equal_reports) is EqualReports.NEGATIVES:
        identity = own_identity(outputs.image_embedding)
    rows = outputs.image_embedding, outputs.report_embedding, identity
    rows_of, columns_of = contrast_embeddings(*rows, contrastive.example_mask(batch), scale, config)
    terms = contrastive.both_ways(rows_of, columns_of)
    return terms.loss, {
        "instance/loss": terms.loss,
        "instance/floor": terms.floor,
        "instance/top1": terms.hit,
    }


def contrast_embeddings(
    image: Array, report: Array, identity: Array, present: Array, scale: Array, config: ConfigDict
) -> tuple[contrastive.AnchorTerms, contrastive.AnchorTerms]:
    """Contrasts reports for each image, and images for each report, over the global batch.

    Args:
      image: [B, E] unit rows.
      report: [B, E] unit rows.
      identity: [B, K]; a pair is positive where all K numbers of its rows are equal.
      present: [B] bool; the others are neither rows nor columns.
      scale: of the cosines.
      config: loss.contrast, loss.memory_bytes.

    Returns:
      Means over images, and over reports.
    """

    def contrast(axes, rows, scale):
        image, report, identity, present = rows

        def score(columns):
            report, other = columns
            cosine = jnp.matmul(image, report.T, precision=contrastive.HIGHEST)
            positives = jnp.all(identity[:, None] == other[None, :], axis=-1)
            return scale * cosine, positives

        return pairs.contrast_both_ways(
            score,
            (report, identity),
            present,
            present,
            axes=axes,
            block=pairs.columns_at_once(len(image), whole_batch, image.dtype, config),
        )

    whole_batch = len(image)
    image, report = contrastive.at_least_float32(image), contrastive.at_least_float32(report)
    return collectives.spread(contrast, (image, report, identity, present), scale)


def own_identity(image: Array) -> Array:
    """[B, 1]: each row is positive with itself alone."""
    return jnp.arange(len(image), dtype=jnp.int32)[:, None]
