"""From a config and a mesh to the step that `train` runs and `place plan` compiles."""

import dataclasses

import jax
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_pipelines.records import batch_fields
from place_jax import objectives
from place_jax.models.functional import Model
from place_jax.parallel.mesh import batch_sharding, check_batch_size, fill_devices
from place_jax.training.feed import FIELDS
from place_jax.training.optimizer import make_optimizer
from place_jax.training.state import TrainState
from place_jax.training.step import Step, abstract_state, compile_step, make_train_step


@dataclasses.dataclass(frozen=True)
class Assembly:
    """What a run is made of, with no array made.

    Attributes:
      mesh: where it runs.
      model: without its parameters.
      tx: the optimizer.
      abstract: the state's shapes, dtypes and shardings.
      step: jitted, not compiled yet.
    """

    mesh: Mesh
    model: Model
    tx: optax.GradientTransformation
    abstract: TrainState
    step: Step


def assemble(config: ConfigDict, mesh: Mesh, *, vocab_size: int) -> Assembly:
    """Makes the model, the optimizer and the step.

    Args:
      config: the whole config.
      mesh: from `make_mesh`.
      vocab_size: where config.model.text.vocab_size leaves it open.

    Raises:
      ValueError: a batch, of training or of evaluation in the loop, that does not divide over the
        mesh or that the objective does not take, or sizes that do not fit one another.
    """
    check_batch_size(
        config.data.batch_size, mesh, key="data.batch_size", parts=config.train.accumulation
    )
    objectives.check_batch_size(config, config.data.batch_size, key="data.batch_size")
    evaluated = fill_devices(config.evaluation.batch_size, mesh)
    key = "evaluation.batch_size"
    if evaluated != config.evaluation.batch_size:
        key += f" on {mesh.size} devices, of which it has to be a multiple,"
    objectives.check_batch_size(config, evaluated, key=key)
    model = Model.from_config(
        config.model,
        image_size=config.data.crop_size,
        vocab_size=config.model.text.vocab_size or vocab_size,
    )
    tx = make_optimizer(config)
    step = make_train_step(model, tx, objectives.get(config.objective), config)
    abstract = abstract_state(model, tx, config, mesh)
    return Assembly(mesh, model, tx, abstract, compile_step(step, abstract, mesh))


def abstract_batch(config: ConfigDict, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """What the feed hands to the step, with no array made."""
    data, sharding = config.data, batch_sharding(mesh)
    fields = batch_fields(data.batch_size, data.crop_size, data.max_tokens, data.max_sentences)
    return {name: jax.ShapeDtypeStruct(*fields[name], sharding=sharding) for name in FIELDS}
