"""How hard each term of a loss pulls at the image encoder, and whether they pull the same way."""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import FrozenConfigDict

from place_jax import objectives
from place_jax.models.functional import Model

_PLACE_TERMS = ("instance", "pathological", "correlation")


@functools.partial(jax.jit, static_argnames=("model", "config"))
def gradient_balance(
    model: Model, config: FrozenConfigDict, params, model_state, batch, key: Array
) -> dict[str, Array]:
    """Gradients of each weighed term by the image encoder's parameters, on one batch.

    Apart from the training step, which they would slow: one forward pass, and one backward pass a
    term, one after another.

    Args:
      model: without its parameters.
      config: the whole config.
      params: of the model.
      model_state: of the model.
      batch: as in training; of its rows the first data.batch_size / train.accumulation at most, as
        many as a training step differentiates at once.
      key: draws the patches that CCE hides.

    Returns:
      `gradient/norm_TERM`, and `gradient/cosine_TERM_TERM` of every two. Terms are those of
      `weighed_terms`.
    """

    rows = objectives.fitting_batch_size(
        config, config.data.batch_size // config.train.accumulation
    )
    batch = jax.tree.map(lambda value: value[:rows], batch)

    def terms_of(image_params):
        whole = params | {"image": image_params}
        hides = config.objective == "place" and config.loss.lambda_c > 0
        outputs = model.apply(whole, model_state, batch, key=key if hides else None)
        _, metrics = objectives.get(config.objective)(outputs, batch, config)
        return weighed_terms(metrics, config)

    terms, pull_back = jax.vjp(terms_of, params["image"])
    # A tree's keys come back sorted: PLACE's terms are named in the order of its formula.
    rank = {name: k for k, name in enumerate(_PLACE_TERMS)}
    names = sorted(terms, key=lambda name: rank.get(name, len(rank)))
    one_hot = jnp.eye(len(names), dtype=terms[names[0]].dtype)
    gradients = jax.lax.map(
        lambda chosen: pull_back(chosen)[0], dict(zip(names, one_hot, strict=True))
    )
    gram = sum(
        jnp.einsum("kn,ln->kl", flat, flat, precision=jax.lax.Precision.HIGHEST)
        for flat in (leaf.reshape(len(names), -1) for leaf in jax.tree.leaves(gradients))
    )
    norms = jnp.sqrt(jnp.diagonal(gram))
    found = {f"gradient/norm_{name}": norms[k] for k, name in enumerate(names)}
    for (k, one), (m, other) in itertools.combinations(enumerate(names), 2):
        product = norms[k] * norms[m]
        cosine = gram[k, m] / jnp.where(product > 0, product, 1)
        found[f"gradient/cosine_{one}_{other}"] = cosine
    return found


def weighed_terms(metrics: dict[str, Array], config: FrozenConfigDict) -> dict[str, Array]:
    """The terms that a loss is the sum of, by name, each with its weight.

    PLACE's are instance, pathological and correlation, without the penalties of its diversity
    switches and at full weight during a warm-up; GLoRIA's and MGCA's the parts that they log
    as NAME/loss_PART; of the others it is the loss as a whole.
    """
    weights = {"pathological": config.loss.lambda_p, "correlation": config.loss.lambda_c}
    if config.objective == "place":
        return {
            task: weights.get(task, 1.0) * metrics[f"{task}/loss"]
            for task in _PLACE_TERMS
            if f"{task}/loss" in metrics
        }
    if config.objective in ("gloria", "mgca"):
        prefix = f"{config.objective}/loss_"
        return {n.removeprefix(prefix): v for n, v in metrics.items() if n.startswith(prefix)}
    return {config.objective: metrics["loss"]}
