"""The objectives on held-out pairs, beside what they are with another patient's image or report.

A loss that is as low with another patient's image has learned nothing of the image.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict, FrozenConfigDict

from data_pipelines.batches import PreparedData
from place_jax import objectives
from place_jax.models.functional import Model
from place_jax.objectives import controls, diagnostics
from place_jax.objectives.correlation import correlation_statistics, summarize_correlation
from place_jax.transfer.features import split_batches, to_numpy
from place_jax.transfer.gradient_balance import gradient_balance


def evaluate_controls(
    model: Model,
    params: dict,
    model_state: dict,
    data: PreparedData,
    split: str,
    *,
    config: ConfigDict,
    mesh: Mesh | None = None,
    max_examples: int = 0,
    on_batch: Callable[[], None] | None = None,
) -> dict[str, float]:
    """Losses and diagnostics over a split, with their controls.

    Contrastive losses, and margins over the controls, are means over whole batches of
    config.evaluation.batch_size; a last batch that is not full would be an easier contrast and is
    left out, unless it is the only one.

    Args:
      model: the model, and its parameters and state.
      params: see `model`.
      model_state: see `model`.
      data: a prepared folder.
      split: train, validation or test.
      config: the whole config.
      mesh: the mesh that `params` live on; None for one device.
      max_examples: the first so many of the split; 0 for all.
      on_batch: called before each batch; may raise to stop.

    Returns:
      `TASK/SPLIT/METRIC` for every metric that the objective logs (its own loss is
      `objective/SPLIT/loss`); with observations, `pathological/SPLIT/loss_rolled_images` and
      `.../loss_statement_frequency`; with CCE, `correlation/SPLIT/loss`, `.../r2_over_mean` and
      the same ending in `_rolled_reports` and, with the reports' tokens all zero, `_no_reports`;
      `pathological/SPLIT/loss_rolled_images_over_own` and
      `correlation/SPLIT/rise_rolled_reports`, by how much the loss is higher with another's image,
      and by what share with another's report, each with a 95 % interval over the batches; of the
      first batch `gradient/SPLIT/norm_TERM` and
      `.../cosine_TERM_TERM`.
    """
    frozen = FrozenConfigDict(config)
    means: list[dict[str, np.ndarray]] = []
    sums: dict[str, dict[str, np.ndarray]] = {}
    rises: list[float] = []
    stream = split_batches(
        data, split, config=config, mesh=mesh, max_examples=max_examples, on_batch=on_batch
    )
    for number, batch in enumerate(stream):
        measured = _measure(model, frozen, params, model_state, batch, np.int32(number))
        metrics, statistics = to_numpy(measured)
        if number == 0:
            key = jax.random.key(config.seed)
            pulls = gradient_balance(model, frozen, params, model_state, batch, key)
        present = to_numpy(batch["example_mask"]).astype(bool)
        if present.sum() < 2:
            statistics.pop("_rolled_reports", None)  # there is no other report
        counts = not means or present.all()
        if counts:
            means.append(metrics)
        for kind, values in statistics.items():
            total = sums.setdefault(kind, {})
            for name, value in values.items():
                total[name] = total.get(name, 0) + value.astype(np.float64)
        if counts and "_rolled_reports" in statistics and statistics[""]["loss"] > 0:
            # The same pairs are scored of both, so that sums compare as means do.
            other = statistics["_rolled_reports"]["loss"]
            rises.append(float(other / statistics[""]["loss"] - 1))
    out = {
        _with_split(name, split): float(np.mean([batch[name] for batch in means]))
        for name in (means[0] if means else ())
        if not name.startswith(("correlation/", "logit_scale/"))
    }
    if means:
        out |= {_with_split(name, split): float(x) for name, x in to_numpy(pulls).items()}
    if means and "pathological/loss_rolled_images" in means[0]:
        own, rolled = (
            np.array([batch[f"pathological/loss{kind}"] for batch in means], np.float64)
            for kind in ("", "_rolled_images")
        )
        out |= _over_batches(f"pathological/{split}/loss_rolled_images_over_own", rolled - own)
    if rises:
        out |= _over_batches(f"correlation/{split}/rise_rolled_reports", np.array(rises))
    for kind, total in sums.items():
        for name, value in summarize_correlation(total).items():
            out[_with_split(name, split) + kind] = value
    return out


def trains_observations(config: ConfigDict) -> bool:
    """Whether V-PORs and T-PORs are trained: without, their match is between random directions."""
    return config.objective == "place" and config.loss.lambda_p > 0


def trains_correlation(config: ConfigDict) -> bool:
    """Whether CCE is trained."""
    return config.objective == "place" and config.loss.lambda_c > 0


def _over_batches(name: str, values: np.ndarray) -> dict[str, float]:
    """The mean of one value a batch, with the 95 % interval of a normal mean from three on.

    Batches hold different patients, so that they are independent; one loss of a whole batch cannot
    be resampled by patient.
    """
    found = {name: float(values.mean())}
    if len(values) > 2:
        from scipy import stats  # slow to import, and the predictor imports this file

        half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
        found |= {f"{name}_ci_low": found[name] - half, f"{name}_ci_high": found[name] + half}
    return found


def _with_split(name: str, split: str) -> str:
    """`pathological/loss` to `pathological/test/loss`; `loss` to `objective/test/loss`."""
    task, slash, metric = name.partition("/")
    return f"{task}/{split}/{metric}" if slash else f"objective/{split}/{name}"


@functools.partial(jax.jit, static_argnames=("model", "config"))
def _measure(model: Model, config: FrozenConfigDict, params, model_state, batch, number):
    """One batch: metrics to be averaged, and sums of CCE with its own and with others' reports."""
    key = jax.random.fold_in(jax.random.key(config.seed), number)
    order = controls.interleaved(batch["example_mask"].astype(bool))
    batch = jax.tree.map(lambda value: value[order], batch)
    present = batch["example_mask"].astype(bool)
    outputs = model.apply(
        params, model_state, batch, key=key if trains_correlation(config) else None
    )
    _, metrics = objectives.get(config.objective)(outputs, batch, config)
    metrics |= diagnostics.watch(outputs, batch, config, metrics)
    statistics = {}
    if trains_observations(config):
        metrics |= controls.pathological_controls(outputs, batch, config)
    if trains_correlation(config):
        statistics[""] = correlation_statistics(outputs, batch, config)
        states, numbers = outputs.token_states, batch["sentence_of_token"]
        instead = {
            "_rolled_reports": (
                controls.roll_present(states, present),
                controls.roll_present(numbers, present),
            ),
            "_no_reports": (jnp.zeros_like(states), numbers),
        }
        for kind, report in instead.items():
            factors, hidden = model.predict_correlation(
                params, model_state, batch["image"], *report, key=key
            )
            other = dataclasses.replace(outputs, correlation_factors=factors, hidden_patches=hidden)
            statistics[kind] = correlation_statistics(other, batch, config)
    return jax.tree.map(jnp.asarray, metrics), statistics
