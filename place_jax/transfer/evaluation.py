"""Every task that a split allows, for a model in the loop or for a checkpoint."""

from collections.abc import Callable, Mapping, Sequence

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_pipelines import batches
from data_pipelines.records import BadInput
from place_jax.metrics.classification import known
from place_jax.metrics.scores import Scores
from place_jax.models.functional import Model
from place_jax.transfer.controls import evaluate_controls, trains_observations
from place_jax.transfer.evidence import gather_evidence
from place_jax.transfer.features import extract_features, split_batches
from place_jax.transfer.grounding import (
    asked_pairs,
    evaluate_grounding,
    linked_phrases,
    make_maps,
    make_prior,
)
from place_jax.transfer.maps import MapKind
from place_jax.transfer.null_mass import evaluate_null_mass
from place_jax.transfer.retrieval import evaluate_retrieval
from place_jax.transfer.sentence_regions import find_links, has_links, training_regions
from place_jax.transfer.texts import encode_texts
from place_jax.transfer.zero_shot_task import run_zero_shot

TASKS = ("zero-shot", "retrieval", "grounding", "controls")
IN_LOOP = (MapKind.ATTENTION, MapKind.SIMILARITY)  # evidence takes many times as long


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
    prompts: Mapping | None = None,
    maps: Sequence[MapKind] = IN_LOOP,
    bootstrap: int | None = None,
    on_batch: Callable[[], None] | None = None,
) -> Scores:
    """Scores a model on every task of `tasks` that the data allow; the others are left out.

    Zero-shot needs labels and prompts, grounding needs sentences linked to boxes; where the model's
    observations were not trained, it is by similarity maps alone.

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
      maps: of grounding.
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
    ground = "grounding" in tasks and has_links(data, split, limit)
    out = Scores()
    if ground or "zero-shot" in tasks or "retrieval" in tasks:
        wanted = ("v_por",) if observed else ()
        if ground:
            wanted += ("patch_embedding", *(("v_por_attention",) if observed else ()))
        features = extract_features(*weights, data, split, observations=wanted, **reading)
    if "zero-shot" in tasks and known(features.labels).any():
        out |= run_zero_shot(weights, features, data, config, prompts=prompts, **scoring)
    if "retrieval" in tasks:
        out |= evaluate_retrieval(features, pool=config.evaluation.retrieval_pool, **scoring)
    if ground:
        crop = config.data.crop_size
        phrases, texts = linked_phrases(find_links(features, data, split, crop), crop)
        if phrases:
            kinds = list(maps) if observed else [MapKind.SIMILARITY]
            encoded = encode_texts(*weights, [[t] for t in texts], data.tokenizer, config=config)
            evidence = None
            if MapKind.EVIDENCE in kinds:
                stream = split_batches(data, split, **reading)
                images = ((batch["image"], batch["example_mask"]) for batch in stream)
                pairs = asked_pairs(phrases, features.patient_id)
                evidence = gather_evidence(weights, images, pairs, encoded, config)
            out |= evaluate_grounding(
                phrases,
                make_maps(features, encoded, kinds, crop, evidence),
                patient_id=features.patient_id,
                prior=make_prior(training_regions(data, crop)),
                **scoring,
            )
    if "controls" in tasks:
        out |= evaluate_controls(*weights, data, split, **reading)
        out |= evaluate_null_mass(*weights, data, split, **reading)
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
