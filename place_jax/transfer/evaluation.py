"""Every task that a split allows, for a model in the loop or for a checkpoint."""

import json
import os
import pathlib
from collections.abc import Callable, Sequence

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_pipelines import batches
from data_pipelines.records import BadInput
from place_jax.metrics.classification import known
from place_jax.models.functional import Model
from place_jax.transfer.controls import evaluate_controls, trains_observations
from place_jax.transfer.features import extract_features
from place_jax.transfer.grounding import evaluate_grounding, find_links, has_links
from place_jax.transfer.protocols.prompt_templates import template_prompts
from place_jax.transfer.retrieval import evaluate_retrieval
from place_jax.transfer.zero_shot import check_prompts, encode_prompts, evaluate_zero_shot

TASKS = ("zero-shot", "retrieval", "grounding", "controls")

_NEEDS = {
    "zero-shot": "no label has both classes there, so that no AUROC can be taken",
    "retrieval": "fewer than two distinct reports",
    "grounding": "no sentence is linked to a box, or the model's observations were not trained",
    "controls": "no metric",
}


def evaluate(
    model: Model,
    params: dict,
    model_state: dict,
    data: batches.PreparedData,
    split: str,
    config: ConfigDict,
    *,
    mesh: Mesh | None = None,
    tasks: Sequence[str] = TASKS,
    prompts: dict | None = None,
    bootstrap: int | None = None,
    on_batch: Callable[[], None] | None = None,
) -> dict[str, float]:
    """Scores a model on every task of `tasks` that the data allow; the others are left out.

    Zero-shot needs labels and prompts, grounding needs sentences linked to boxes and a model whose
    observations were trained.

    Args:
      model: the model, and its parameters and state.
      params: see `model`.
      model_state: see `model`.
      data: a prepared folder.
      split: train, validation or test.
      config: the whole config; evaluation.max_examples bounds the examples read.
      mesh: the mesh that `params` live on; None for one device.
      tasks: of TASKS.
      prompts: zero-shot prompts; None for the data's own, or else CheXzero's templates.
      bootstrap: replicates over patients for 95 % intervals, 0 for none; None for
        config.evaluation.bootstrap.
      on_batch: called before each batch; may raise to stop.

    Returns:
      Scores by TASK/SPLIT/METRIC.
    """
    for task in tasks:
        if task not in TASKS:
            raise ValueError(f"task {task!r} is not known: use one of {', '.join(TASKS)}")
    if split not in data.splits or not data.splits[split]:
        raise BadInput("empty_split", f"{data.dir} has no examples in split {split}")
    bootstrap = config.evaluation.bootstrap if bootstrap is None else bootstrap
    limit = config.evaluation.max_examples
    reading = {"config": config, "mesh": mesh, "max_examples": limit, "on_batch": on_batch}
    scoring = {"split": split, "bootstrap": bootstrap, "seed": config.seed}
    weights = (model, params, model_state)
    observed = trains_observations(config)
    ground = "grounding" in tasks and observed and has_links(data, split, limit)
    out = {}
    if ground or "zero-shot" in tasks or "retrieval" in tasks:
        wanted = ("v_por", "v_por_attention", "t_por") if ground else ("v_por",) if observed else ()
        features = extract_features(*weights, data, split, observations=wanted, **reading)
    if "zero-shot" in tasks and known(features.labels).any():
        prompts = prompts or data.prompts or template_prompts(data.label_names)
        check_prompts(prompts, data.label_names)
        encoded = encode_prompts(*weights, prompts, data.tokenizer, config=config)
        out |= evaluate_zero_shot(features, encoded, tau_m=config.loss.tau_m, **scoring)
    if "retrieval" in tasks:
        out |= evaluate_retrieval(features, pool=config.evaluation.retrieval_pool, **scoring)
    if ground:
        crop = config.data.crop_size
        linked = find_links(features, data, split, crop)
        out |= evaluate_grounding(features, linked, crop=crop, **scoring)
    if "controls" in tasks:
        out |= evaluate_controls(*weights, data, split, **reading)
    return out


def evaluate_untrained(
    model: Model,
    data: batches.PreparedData,
    split: str,
    config: ConfigDict,
    *,
    initial: tuple[dict, dict] | None = None,
    mesh: Mesh | None = None,
    tasks: Sequence[str] = ("zero-shot", "retrieval", "grounding"),
    on_batch: Callable[[], None] | None = None,
) -> dict[str, float]:
    """The scores of `evaluate` before any training, named `untrained/...`.

    What an encoder of this shape reaches with no training is the zero of every other score.

    Args:
      model, data, split, config, mesh, tasks, on_batch: as of `evaluate`.
      initial: params and model_state that training starts from; None draws them from config.seed.
    """
    if initial is None:
        sharding = None
        if mesh is not None:
            from place_jax.parallel.mesh import replicated

            sharding = replicated(mesh)
        initial = jax.jit(model.init, out_shardings=sharding)(jax.random.key(config.seed))
    scores = evaluate(
        model, *initial, data, split, config, mesh=mesh, tasks=tasks, on_batch=on_batch
    )
    return {f"untrained/{name}": value for name, value in scores.items()}


def evaluate_checkpoint(
    task: str,
    checkpoint: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    split: str = "test",
    prompts: str | os.PathLike | dict | None = None,
) -> dict[str, float]:
    """Scores a checkpoint on one task.

    Args:
      task: of TASKS.
      checkpoint: a workdir or a `checkpoints/STEP` folder.
      data_dir: a folder that `place prepare` wrote.
      split: train, validation or test.
      prompts: {label: {"positive": [...], "negative": [...]}}, or a JSON file of that; None for
        the data's own.

    Raises:
      BadInput: where the data do not fit the checkpoint, or have not what the task needs.
    """
    from place_jax.predictor import Predictor

    if isinstance(prompts, str | os.PathLike):
        prompts = read_prompts(prompts)
    predictor = Predictor.from_checkpoint(checkpoint)
    data = predictor.open_data(data_dir)
    weights = (predictor.model, predictor.params, predictor.model_state)
    scores = evaluate(*weights, data, split, predictor.config, tasks=(task,), prompts=prompts)
    if not scores:
        raise BadInput("nothing_to_score", f"{data.dir} split {split}: {_NEEDS[task]}")
    return scores


def read_prompts(path: str | os.PathLike) -> dict:
    """Reads zero-shot prompts from a JSON file."""
    try:
        prompts = json.loads(pathlib.Path(path).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput("bad_prompts", f"{path} is not JSON: {error}") from error
    check_prompts(prompts, None)
    return prompts
