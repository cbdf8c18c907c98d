"""What `place evaluate` does: a checkpoint scored on one task, beside its controls or another."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

import jax
from ml_collections import ConfigDict

from data_pipelines.batches import PreparedData
from data_pipelines.records import BadInput
from place_jax.metrics.classification import known
from place_jax.metrics.scores import Scores
from place_jax.parallel.mesh import make_mesh, replicated
from place_jax.predictor import Predictor
from place_jax.transfer.class_retrieval import evaluate_class_retrieval
from place_jax.transfer.comparison import compare, over_untrained
from place_jax.transfer.controls import trains_observations
from place_jax.transfer.evaluation import evaluate
from place_jax.transfer.features import Features, extract_features
from place_jax.transfer.fine_tune import evaluate_fine_tuned
from place_jax.transfer.image_features import extract_image_features
from place_jax.transfer.linear import FRACTIONS, check_runs, evaluate_linear
from place_jax.transfer.maps import MapKind
from place_jax.transfer.phrase_grounding import evaluate_phrases
from place_jax.transfer.protocols.class_lists import classes_named
from place_jax.transfer.protocols.descriptions import describe
from place_jax.transfer.protocols.fine_tune import FineTuneRecipe
from place_jax.transfer.retrieval import evaluate_retrieval
from place_jax.transfer.sample_sizes import sample_sizes
from place_jax.transfer.subgroups import Subgroups, find_groups
from place_jax.transfer.zero_shot import check_prompts
from place_jax.transfer.zero_shot_task import ZeroShotOptions, run_zero_shot

TASKS = ("linear", "fine-tune", "zero-shot", "retrieval", "grounding", "controls")
_LABELLED = ("linear", "fine-tune")  # what is trained on labels

_NEEDS = {
    "zero-shot": "no label has both classes there, so that no AUROC can be taken",
    "retrieval": "fewer than two distinct reports",
    "grounding": "no sentence is linked to a box: give --phrases with regions instead",
    "controls": "no metric",
}


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked of a checkpoint.

    Attributes:
      task: of TASKS.
      data_dir: a folder that `place prepare` wrote; empty where `phrases` are given.
      split: train, validation or test; what is trained on labels is always scored on test.
      prompts: of zero-shot; None for the data's own, or else templates.
      protocol: of linear and fine-tune: strict or mgca_compat.
      fractions: of linear and fine-tune: of the training examples.
      seeds: of linear and fine-tune: runs for each fraction.
      recipe: of fine-tune.
      subgroups: of linear and zero-shot: parts of the split to score by themselves too.
      zero_shot: of zero-shot, what else is asked; its classes are retrieval's too.
      pool: of retrieval: distinct reports to choose from, 0 for all; None for the checkpoint's.
      resamplings: of retrieval by class: lists drawn.
      maps: of grounding.
      phrases: of grounding: a CSV of phrases with regions, in the place of `data_dir`.
      images: where the paths of `phrases` start from; None for its folder.
      training_phrases: another such CSV, for the mean region.
    """

    task: str
    data_dir: str | os.PathLike = ""
    split: str = "test"
    prompts: Mapping | None = None
    protocol: str = "strict"
    fractions: Sequence[float] = FRACTIONS
    seeds: int = 5
    recipe: FineTuneRecipe = FineTuneRecipe()
    subgroups: Subgroups = Subgroups()
    zero_shot: ZeroShotOptions = ZeroShotOptions()
    pool: int | None = None
    resamplings: int = 5
    maps: Sequence[MapKind] = tuple(MapKind)
    phrases: str | os.PathLike | None = None
    images: str | os.PathLike | None = None
    training_phrases: str | os.PathLike | None = None

    def __post_init__(self):
        if self.task not in TASKS:
            raise ValueError(f"task {self.task!r} is not known: use one of {', '.join(TASKS)}")
        check_runs(self.protocol, self.fractions, self.seeds)
        if self.pool is not None and (self.pool < 0 or self.pool == 1):
            raise ValueError(f"pool={self.pool}: use 2 distinct reports or more, or 0 for all")
        if not (self.data_dir or self.phrases):
            raise ValueError(f"{self.task} needs data: give --data, a prepared folder")


def evaluate_checkpoint(
    request: Request,
    checkpoint: str | os.PathLike,
    *,
    against: str | os.PathLike | None = None,
) -> tuple[str, Scores]:
    """Scores a checkpoint on one task.

    Args:
      request: what is asked.
      checkpoint: a workdir or a `checkpoints/STEP` folder.
      against: another one, to be compared with on the same patients, by the seed and the
        `evaluation` of the first one's config.

    Returns:
      The protocol in words; and scores by name, with `against` also the paired differences under
      `against/`: NAME, its interval and NAME_p.

    Raises:
      BadInput: where the data do not fit the checkpoint, or have not what the task needs.
    """
    predictor = Predictor.from_checkpoint(checkpoint)
    config, scores = predictor.config, _scores(request, predictor)
    del predictor  # its parameters, before there are others
    if against is not None:
        other = Predictor.from_checkpoint(against)
        # The same draws of both, whatever each was trained with.
        other.config.seed = config.seed
        other.config.evaluation.update(config.evaluation)
        scores |= compare(
            scores,
            _scores(request, other),
            rename=lambda name: f"against/{name}",
            keep=lambda name: not name.startswith("untrained/") and "_over_" not in name,
        )
    return describe(request), scores


def read_prompts(path: str | os.PathLike) -> dict:
    """Reads zero-shot prompts from a JSON file."""
    try:
        prompts = json.loads(pathlib.Path(path).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput("bad_prompts", f"{path} is not JSON: {error}") from error
    check_prompts(prompts, None)
    return prompts


def _scores(request: Request, predictor: Predictor) -> Scores:
    config = predictor.config
    if request.phrases:
        csv, images, training = (
            None if path is None else pathlib.Path(path)
            for path in (request.phrases, request.images, request.training_phrases)
        )
        return evaluate_phrases(
            predictor,
            csv,
            images=images,
            training=training,
            split=request.split,
            maps=request.maps,
            bootstrap=config.evaluation.bootstrap,
            seed=config.seed,
        )
    data = predictor.open_data(request.data_dir)
    mesh = None
    weights = (predictor.params, predictor.model_state)
    if jax.device_count() > 1:
        mesh = make_mesh(ConfigDict({"replica": 1, "data": -1, "fsdp": 1, "tensor": 1}))
        weights = jax.device_put(weights, replicated(mesh))
    if request.task in _LABELLED:
        _check_splits(data, request.task)
    if request.task == "linear":
        return _linear(request, predictor, weights, data, mesh)
    if request.task == "fine-tune":
        return evaluate_fine_tuned(
            predictor.model,
            *weights,
            data,
            config,
            mesh=mesh,
            recipe=request.recipe,
            protocol=request.protocol,
            fractions=request.fractions,
            seeds=request.seeds,
            bootstrap=config.evaluation.bootstrap,
            seed=config.seed,
        )
    if request.task in ("grounding", "controls"):
        model, task = predictor.model, (request.task,)
        scores = evaluate(
            model, *weights, data, request.split, config, mesh=mesh, tasks=task, maps=request.maps
        )
    else:
        scores = _embedded(request, predictor, weights, data, mesh)
    if not scores:
        raise BadInput(
            "nothing_to_score", f"{data.dir} split {request.split}: {_NEEDS[request.task]}"
        )
    return scores


def _embedded(request: Request, predictor: Predictor, weights, data: PreparedData, mesh) -> Scores:
    """Zero-shot and retrieval, which start from embeddings."""
    config, split = predictor.config, request.split

    def extract(part: str, observations: Sequence[str] = ()) -> Features:
        return extract_features(
            predictor.model,
            *weights,
            data,
            part,
            config=config,
            mesh=mesh,
            max_examples=config.evaluation.max_examples,
            observations=observations,
        )

    scoring = {"split": split, "bootstrap": config.evaluation.bootstrap, "seed": config.seed}
    if request.task == "retrieval":
        features = extract(split)
        pool = config.evaluation.retrieval_pool if request.pool is None else request.pool
        scores = evaluate_retrieval(features, pool=pool, **scoring)
        if scores:
            scores |= sample_sizes(features.patient_id).prefixed(f"retrieval/{split}")
        if scores and request.zero_shot.classes:
            classes = classes_named(request.zero_shot.classes, data.label_names)
            scores |= evaluate_class_retrieval(
                features, classes, resamplings=request.resamplings, **scoring
            )
        return scores
    features = extract(split, ("v_por",) if trains_observations(config) else ())
    if not known(features.labels).any():
        return Scores()
    validation = None
    if split == "test" and data.splits.get("validation"):
        validation = extract("validation")
    scores = run_zero_shot(
        (predictor.model, *weights),
        features,
        data,
        config,
        prompts=request.prompts,
        options=dataclasses.replace(request.zero_shot, subgroups=request.subgroups),
        validation=validation,
        **scoring,
    )
    if scores:
        sizes = sample_sizes(features.patient_id, features.labels, features.label_names)
        scores |= sizes.prefixed(f"zero_shot/{split}")
    return scores


def _check_splits(data: PreparedData, task: str) -> None:
    missing = [split for split in ("train", "validation", "test") if not data.splits.get(split)]
    if missing:
        raise BadInput(
            "no_such_split",
            f"{data.dir} has no examples in {' and '.join(missing)}: {task} trains on train, "
            "chooses on validation and is scored on test",
        )


def _linear(request: Request, predictor: Predictor, weights, data: PreparedData, mesh) -> Scores:
    """Probes on the checkpoint's encoder and on the same one before training."""
    config, model = predictor.config, predictor.model
    sharding = None if mesh is None else replicated(mesh)
    initial = jax.jit(model.init, out_shardings=sharding)(jax.random.key(config.seed))
    features = {
        split: extract_image_features(
            model,
            (weights, initial),
            data,
            split,
            config=config,
            mesh=mesh,
            max_examples=config.evaluation.max_examples,
        )
        for split in ("train", "validation", "test")
    }
    test = features["test"][0]
    groups = find_groups(
        data, "test", subgroups=request.subgroups, index=test.index, labels=test.labels
    )
    trained, untrained = (
        evaluate_linear(
            {split: found[which] for split, found in features.items()},
            data_name=data.name,
            protocol=request.protocol,
            fractions=request.fractions,
            seeds=request.seeds,
            bootstrap=config.evaluation.bootstrap,
            seed=config.seed,
            groups=groups,
        )
        for which in (0, 1)
    )
    trained |= over_untrained(trained, untrained)
    trained |= sample_sizes(test.patient_id, test.labels, test.label_names).prefixed("linear/test")
    return trained
