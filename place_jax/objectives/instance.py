"""ITA, instance-level alignment: symmetric InfoNCE between images and reports as wholes."""

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive
from place_jax.outputs import Outputs


def instance_loss(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """Contrasts images and reports over the global batch; equal reports are each other's positives.

    For image i and report j, z_ij = s <u_i, w_j>, and with P_i the reports equal to that of i,

      L = 1/2 [mean_i -1/|P_i| sum_{j in P_i} log softmax_j(z_i.)_j + the same on z^T]

    (van den Oord et al., arXiv 1807.03748; SupCon's "out" form, arXiv 2004.11362). Equal reports
    as positives is ours, because 23 % of the reports of Open-i equal another: as negatives they
    would punish the right answer.

    Args:
      outputs: image_embedding [B, E], report_embedding [B, E], logit_scales["instance"].
      batch: report_statement [B, 2], example_mask [B]; masked rows are neither rows nor columns.
      config: unused.
      step: unused.
    """
    del config, step
    image = contrastive.at_least_float32(outputs.image_embedding)
    report = contrastive.at_least_float32(outputs.report_embedding)
    logits = outputs.logit_scales["instance"] * jnp.matmul(
        image, report.T, precision=contrastive.HIGHEST
    )
    statement = batch["report_statement"]
    positives = jnp.all(statement[:, None] == statement[None, :], axis=-1)
    present = contrastive.example_mask(batch)
    terms = symmetric_terms(logits, positives, present)
    return terms.loss, {
        "instance/loss": terms.loss,
        "instance/floor": terms.floor,
        "instance/top1": terms.hit,
    }


def symmetric_terms(logits: Array, positives: Array, present: Array) -> contrastive.AnchorTerms:
    """Both directions of a square contrast, [B, B], averaged over the rows that are present [B]."""
    rows = contrastive.anchor_terms(logits, positives, present)
    columns = contrastive.anchor_terms(logits.T, positives.T, present)
    return contrastive.both_ways(
        contrastive.mean_terms(rows, present), contrastive.mean_terms(columns, present)
    )
