"""PLACE: L = L_ITA + lambda_p L_PCMA + lambda_c L_CCE, and what is logged beside it."""

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive, diagnostics
from place_jax.objectives.correlation import correlation_loss
from place_jax.objectives.instance import instance_loss
from place_jax.objectives.pathological import pathological_loss
from place_jax.outputs import Outputs


def place_loss(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """The loss of PLACE (arXiv 2506.10573); the forms of its three terms are ours.

    A term of weight 0 is not computed, nor is CCE where the model did not run its decoder.

    Args:
      outputs: of the whole model.
      batch: as `data_pipelines.records.batch_fields` says.
      config: loss.lambda_p, lambda_p_warmup_steps, lambda_c, query_diversity,
        attention_diversity, and what the terms read.
      step: of training, for the warm-up of lambda_p; None for its full weight.
    """
    weights = config.loss
    present = contrastive.example_mask(batch)
    loss, metrics = instance_loss(outputs, batch, config)
    if weights.lambda_p > 0:
        pathological, terms = pathological_loss(outputs, batch, config, step)
        loss += pathological_weight(config, step) * pathological
        metrics |= terms
    if weights.lambda_c > 0 and outputs.correlation_factors is not None:
        correlation, terms = correlation_loss(outputs, batch, config)
        loss += weights.lambda_c * correlation
        metrics |= terms
    # Where nothing trains them, the extractor does not run for what is logged of it alone.
    observed = max(weights.lambda_p, weights.query_diversity, weights.attention_diversity) > 0
    if observed:
        metrics |= diagnostics.observation_diagnostics(outputs.v_por, present)
        if weights.query_diversity > 0:
            likeness = diagnostics.squared_query_cosine(outputs.v_por, present)
            loss += weights.query_diversity * likeness
            metrics["v_por/squared_cosine_between_queries"] = likeness
    if observed and outputs.v_por_attention is not None:
        overlap = diagnostics.attention_overlap(outputs.v_por_attention, present)
        metrics["v_por/attention_overlap"] = overlap
        if weights.attention_diversity > 0:
            loss += weights.attention_diversity * overlap
    for name in ("instance", "pathological"):
        metrics[f"logit_scale/{name}"] = outputs.logit_scales[name]
    return loss, {"loss": loss} | metrics


def pathological_weight(config: ConfigDict, step: Array | None) -> Array | float:
    """lambda_p at a step: it grows linearly over lambda_p_warmup_steps, the first of them above 0.

    Ours, because PCMA begun before ITA has left its plateau collapses the queries.
    """
    steps = config.loss.lambda_p_warmup_steps
    if step is None or steps <= 0:
        return config.loss.lambda_p
    return config.loss.lambda_p * jnp.minimum(1.0, (step + 1.0) / steps)
