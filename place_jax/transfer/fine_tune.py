"""Fine-tuned classification: the image encoder and a linear head, trained on labels together.

The head starts as the linear probe of the same examples (Kumar et al., arXiv 2202.10054): from
nothing, its first gradients would undo what pre-training learned.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_pipelines import batches
from data_pipelines.sources.protocols import STRICT
from place_jax.metrics.bootstrap import resample
from place_jax.metrics.scores import Scores
from place_jax.models.functional import Model
from place_jax.parallel.mesh import fill_devices
from place_jax.training.optimizer import decay_mask
from place_jax.transfer.features import split_batches, to_numpy
from place_jax.transfer.image_features import extract_image_features
from place_jax.transfer.layer_decay import layer_scales
from place_jax.transfer.linear import choose_subset, score_logits, scored_classes
from place_jax.transfer.names import percent
from place_jax.transfer.probe import Examples, macro_auroc, train_probes
from place_jax.transfer.protocols import linear_probe
from place_jax.transfer.protocols.fine_tune import FineTuneRecipe
from place_jax.transfer.sample_sizes import sample_sizes

_SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class _Task:
    """What every run of one evaluation shares.

    Attributes:
      labels: split -> [n, C] of `records.Label`, of the scored classes.
      features: of train and validation, by the encoder before fine-tuning: what probes read.
      limit: examples of a split that are read; 0 for all.
    """

    model: Model
    data: batches.PreparedData
    config: ConfigDict
    mesh: Mesh | None
    recipe: FineTuneRecipe
    labels: dict[str, np.ndarray]
    features: dict[str, np.ndarray]
    limit: int


def evaluate_fine_tuned(
    model: Model,
    params: dict,
    model_state: dict,
    data: batches.PreparedData,
    config: ConfigDict,
    *,
    mesh: Mesh | None = None,
    recipe: FineTuneRecipe | None = None,
    protocol: str = "strict",
    fractions: Sequence[float] = (0.01, 0.1, 1.0),
    seeds: int = 1,
    bootstrap: int = 1000,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Scores:
    """Trains on each fraction of the training labels and scores the test split.

    Args:
      model: the model, and its parameters and state.
      params: see `model`; left as they are.
      model_state: see `model`.
      data: a prepared folder with train, validation and test.
      config: the whole config.
      mesh: the mesh that `params` live on; None for one device.
      recipe: how it is trained; None for the default.
      protocol: what labels count as, see `protocols.linear_probe`.
      fractions: of the training examples.
      seeds: runs for each fraction, which differ in subset and order.
      bootstrap: replicates over the test split's patients for 95 % intervals; 0 for none.
      seed: of the first run, and of the bootstrap.
      say: told of progress.

    Returns:
      `fine_tune/test/100_percent/macro_auroc` and the like, as of `linear.evaluate_linear`.
    """
    recipe = recipe or FineTuneRecipe()
    limit = config.evaluation.max_examples
    records = {
        split: batches.read_records(data, split, fields=("labels", "patient_id"), limit=limit)
        for split in _SPLITS
    }
    read = {"test": linear_probe.scored_labels}
    labels = {
        split: read.get(split, linear_probe.training_labels)(
            np.stack([record["labels"] for record in found]), data.label_names, data.name, protocol
        )
        for split, found in records.items()
    }
    patients = {split: [r["patient_id"] for r in found] for split, found in records.items()}
    classes = scored_classes(labels, data.label_names, data.name)
    columns = [data.label_names.index(name) for name in classes]
    sizes = sample_sizes(patients["test"], labels["test"], data.label_names)
    labels = {split: found[:, columns] for split, found in labels.items()}
    reading = {"config": config, "mesh": mesh, "max_examples": limit}
    features = {
        split: extract_image_features(model, ((params, model_state),), data, split, **reading)
        for split in ("train", "validation")
    }
    features = {split: found[0].features for split, found in features.items()}
    task = _Task(model, data, config, mesh, recipe, labels, features, limit)
    weights = resample(patients["test"], bootstrap, seed) if bootstrap else None
    out = sizes.prefixed("fine_tune/test")
    for fraction in fractions:
        runs, sizes = [], []
        for k in range(seeds):
            positions = choose_subset(patients["train"], fraction, protocol, seed + k)
            say(f"fine-tunes on {len(positions)} examples ({fraction:.0%}), seed {seed + k}")
            runs.append(_train(task, params, model_state, positions, seed + k, say))
            sizes.append(len(positions))
        held_out, test = (np.stack(logits) for logits in zip(*runs, strict=True))
        scores = score_logits(
            (labels["validation"], held_out), (labels["test"], test), classes, weights
        )
        scores.add("train_examples", float(np.mean(sizes)))
        if fraction != max(fractions):
            scores.details.clear()
        out |= scores.prefixed(f"fine_tune/test/{percent(fraction)}")
    return out


def _train(task: _Task, params, model_state, positions: np.ndarray, seed: int, say):
    """One run: logits of the validation and the test split at the round that validation chose."""
    recipe = task.recipe
    batch_size = fill_devices(task.recipe.batch_size, task.mesh)
    steps = max(recipe.epochs * -(-len(positions) // batch_size), recipe.min_steps)
    trained = {"image": params["image"], "head": _probed_head(task, positions, seed)}
    tx, step = _make_step(task.model, recipe)
    state = jax.jit(tx.init)(trained)
    scales = layer_scales(trained, recipe.layer_decay)
    rate = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, max(1, round(recipe.warmup * steps)), steps
    )
    held_out = _logits(task, trained, params, model_state, "validation")
    best, chosen = _selection(held_out, task.labels["validation"]), (held_out, trained, 0)
    rounds = set(np.linspace(0, steps, min(recipe.rounds, steps) + 1).round().astype(int)[1:])
    stream = _labelled(task, positions, batch_size, seed)
    for number, (images, targets, known) in enumerate(itertools.islice(stream, steps), start=1):
        trained, state = step(
            trained, state, scales, params, model_state, images, targets, known, rate(number - 1)
        )
        if number not in rounds:
            continue
        held_out = _logits(task, trained, params, model_state, "validation")
        score = _selection(held_out, task.labels["validation"])
        if score > best:
            best, chosen = score, (held_out, trained, number)
    held_out, trained, number = chosen
    say(f"  step {number} of {steps} is best on validation: macro AUROC {best:.3f}")
    return held_out, _logits(task, trained, params, model_state, "test")


def _probed_head(task: _Task, positions: np.ndarray, seed: int) -> dict[str, Array]:
    """The linear probe of the same examples: kernel [D, C] and bias [C]."""
    train, validation = (
        Examples(task.features[split], task.labels[split]) for split in ("train", "validation")
    )
    recipe = linear_probe.recipe(STRICT)
    (probes,) = train_probes(train, validation, [[positions]], recipe, seed=seed)
    return {
        "kernel": jnp.asarray(probes.weight[0], jnp.float32),
        "bias": jnp.asarray(probes.bias[0], jnp.float32),
    }


def _selection(logits: np.ndarray, labels: np.ndarray) -> float:
    known = (labels == 0) | (labels == 1)
    return float(macro_auroc(jnp.asarray(logits), jnp.asarray(labels == 1, float), known))


def _labelled(task: _Task, positions: np.ndarray, batch_size: int, seed: int):
    """Images, targets and what is known of them, on the mesh."""
    sharding = None
    if task.mesh is not None:
        from place_jax.parallel.mesh import batch_sharding

        sharding = batch_sharding(task.mesh)
    stream = batches.labelled_batches(
        task.data,
        "train",
        positions,
        batch_size=batch_size,
        crop_size=task.config.data.crop_size,
        seed=seed,
        host=jax.process_index() if task.mesh is not None else 0,
        num_hosts=jax.process_count() if task.mesh is not None else 1,
    )
    for batch in stream:
        labels = task.labels["train"][np.maximum(batch["index"], 0)]
        known = ((labels == 0) | (labels == 1)) & batch["example_mask"].astype(bool)[:, None]
        rows = batch["image"], (labels == 1).astype(np.float32), known.astype(np.float32)
        if sharding is not None:
            rows = tuple(jax.make_array_from_process_local_data(sharding, row) for row in rows)
        yield rows


def _logits(task: _Task, trained, params, model_state, split: str) -> np.ndarray:
    """[n, C] of a split, in its order."""
    found, present = [], []
    stream = split_batches(
        task.data, split, config=task.config, mesh=task.mesh, max_examples=task.limit
    )
    for batch in stream:
        logits = _classify(task.model, trained, params, model_state, batch["image"])
        found.append(to_numpy(logits))
        present.append(to_numpy(batch["example_mask"]))
    return np.concatenate(found)[np.concatenate(present).astype(bool)].astype(np.float64)


@functools.partial(jax.jit, static_argnames="model")
def _classify(model: Model, trained, params, model_state, images) -> Array:
    """[B, C]. The encoder's parameters are taken from `trained`, the rest is not used."""
    outputs = model.encode_images(params | {"image": trained["image"]}, model_state, images)
    pooled = jnp.mean(outputs.patch_tokens.astype(jnp.float32), axis=1)
    return pooled @ trained["head"]["kernel"] + trained["head"]["bias"]


@functools.lru_cache(maxsize=4)
def _make_step(model: Model, recipe: FineTuneRecipe):
    """The optimizer without its learning rate, and a step under jit, made once for a recipe."""
    tx = optax.chain(
        optax.clip_by_global_norm(recipe.clip_norm),
        optax.scale_by_adam(),
        optax.add_decayed_weights(recipe.weight_decay, decay_mask),
    )

    @jax.jit
    def step(trained, state, scales, params, model_state, images, targets, known, rate):
        def loss_of(trained):
            logits = _classify(model, trained, params, model_state, images)
            each = optax.sigmoid_binary_cross_entropy(logits, targets)
            return jnp.sum(each * known) / jnp.maximum(jnp.sum(known), 1)

        gradient = jax.grad(loss_of)(trained)
        updates, state = tx.update(gradient, state, trained)
        moved = jax.tree.map(lambda p, u, s: p - rate * s * u, trained, updates, scales)
        return moved, state

    return tx, step
