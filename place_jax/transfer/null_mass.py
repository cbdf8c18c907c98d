"""How much of the null V-POR sentences about nothing visible take, beside all others."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from ml_collections import ConfigDict, FrozenConfigDict

from data_pipelines import batches
from data_pipelines.phantom.phrases import ABOUT_NOTHING
from data_pipelines.phantom.wording import sentence
from data_pipelines.reports import fingerprint, normalise_statement
from data_pipelines.token_sidecar import halves
from place_jax.models.functional import Model
from place_jax.objectives import pathological
from place_jax.outputs import Outputs
from place_jax.transfer.features import split_batches, to_numpy


def evaluate_null_mass(
    model: Model,
    params: dict,
    model_state: dict,
    data: batches.PreparedData,
    split: str,
    *,
    config: ConfigDict,
    mesh: Mesh | None = None,
    max_examples: int = 0,
    on_batch: Callable[[], None] | None = None,
) -> dict[str, float]:
    """The mean share of the null V-POR that a sentence takes on its own image.

    What a sentence is about is known of PhantomCXR's easy reports alone.

    Args:
      model, params, model_state, data, split, config, mesh, max_examples, on_batch: as of
        `extract_features`.

    Returns:
      `pathological/SPLIT/null_mass_about_nothing` and `.../null_mass_of_others`; empty for a model
      without a null V-POR, and where no sentence is known to be about nothing.
    """
    if config.model.observation.null == "none" or not data.name.startswith("phantom"):
        return {}
    texts = [sentence(text).text for text in ABOUT_NOTHING]
    idle = halves(np.array([fingerprint(normalise_statement(text)) for text in texts]))
    sums = np.zeros((2, 2))
    for batch in split_batches(
        data, split, config=config, mesh=mesh, max_examples=max_examples, on_batch=on_batch
    ):
        found = _measure(model, FrozenConfigDict(config), params, model_state, batch, idle)
        sums += to_numpy({"sums": found})["sums"]
    if not sums[:, 1].all():
        return {}
    about_nothing, others = (float(mass / count) for mass, count in sums)
    base = f"pathological/{split}/null_mass"
    return {f"{base}_about_nothing": about_nothing, f"{base}_of_others": others}


@functools.partial(jax.jit, static_argnames=("model", "config"))
def _measure(model: Model, config: FrozenConfigDict, params, model_state, batch, idle) -> Array:
    outputs = model.apply(params, model_state, batch)
    return null_mass_sums(outputs, batch, config, idle)


def null_mass_sums(outputs: Outputs, batch: dict, config: ConfigDict, idle: Array) -> Array:
    """[2, 2]: of sentences about nothing, and of the others, the sum of null mass and their number.

    Args:
      outputs: v_por [B, Q, E], null_v_por [E], t_por [B, S, E].
      batch: statement, sentence_mask, example_mask.
      config: seed, loss.match, loss.tau_m.
      idle: [D, 2] statements about nothing.
    """
    sentences = pathological.taking_part(outputs, batch, config)
    taken, _ = pathological.own_shares(outputs, sentences, config)
    mass = jnp.sum(taken[:, outputs.v_por.shape[1] :], axis=1)
    about_nothing = jnp.any(
        jnp.all(sentences.statement[:, :, None] == idle[None, None], axis=-1), axis=-1
    )
    rows = []
    for which in (about_nothing, ~about_nothing):
        counted = which & sentences.mask
        rows.append(jnp.stack([jnp.sum(mass * counted), jnp.sum(counted)]))
    return jnp.stack(rows)
