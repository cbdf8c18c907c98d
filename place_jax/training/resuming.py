"""Going on from the newest checkpoint that is whole: a damaged one is said, and put aside."""

import os

import jax
from etils import epath
from ml_collections import ConfigDict

from data_pipelines.records import BadInput
from place_jax.parallel.processes import from_first, gather
from place_jax.training import checkpoints
from place_jax.training.progress import say
from place_jax.training.state import TrainState
from place_jax.training.workdir import as_path

ASIDE = "damaged"  # folder of a workdir


def resume(
    workdir: str | os.PathLike, abstract: TrainState, config: ConfigDict, data
) -> tuple[int, TrainState | None]:
    """The step and state to go on from, the same on every host; 0 and None for a new run.

    Args:
      workdir: of the run.
      abstract: with a sharding at every leaf.
      config: of the run that goes on.
      data: PreparedData likewise.

    Raises:
      BadInput: the checkpoints are of another model, recipe or data, or all of them are damaged.
    """
    steps = from_first(sorted(checkpoints.finished_steps(workdir), reverse=True))
    damaged: dict[int, str] = {}
    for step in steps:
        state, why = None, None
        try:
            state = checkpoints.restore(
                checkpoints.folder_of(workdir) / str(step), abstract, config, data
            )
        except checkpoints.Damaged as error:
            why = str(error)
        # Hosts read different parts of it, and all must go on from the same one.
        whys = [why for why in gather(why) if why]
        if not whys:
            _put_aside(workdir, damaged)
            return step, state
        damaged[step] = whys[0]
    if damaged:
        raise BadInput(
            "damaged_checkpoints",
            f"{damaged[steps[0]]}; no other checkpoint of {workdir} can be read: copy one back, or "
            "choose another workdir",
        )
    return 0, None


def _put_aside(workdir: str | os.PathLike, damaged: dict[int, str]) -> None:
    """Moves them out of the way of the checkpoints that will be saved at their steps."""
    for step, why in damaged.items():
        aside = as_path(workdir) / ASIDE / str(step)
        say(f"{why}; it is put aside as {aside}, and the one before is taken")
        if jax.process_index() == 0:
            aside.parent.mkdir(exist_ok=True)
            if aside.exists():
                epath.Path(aside).rmtree()
            epath.Path(checkpoints.folder_of(workdir) / str(step)).rename(aside)
    gather(None)  # nobody goes on before they are moved
