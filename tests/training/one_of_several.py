"""One process of several, started by test_processes.py:   one_of_several.py TASK OUT DATA

TASK is one of the functions below. Process 0 writes what they find into OUT.
"""

import dataclasses
import json
import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import tiny_step  # noqa: E402
from tiny_run import tiny_config  # noqa: E402

from configs.base import get_config  # noqa: E402
from place_jax.parallel import processes  # noqa: E402
from place_jax.parallel.mesh import batch_sharding, make_mesh, replicated  # noqa: E402
from place_jax.parallel.partition import path_string  # noqa: E402
from place_jax.training import checkpoints, loop  # noqa: E402
from place_jax.training.bad_steps import BadSteps  # noqa: E402
from place_jax.training.feed import Feed  # noqa: E402
from place_jax.training.held_out import HeldOut  # noqa: E402
from place_jax.training.preemption import Preemption, Stopped  # noqa: E402
from place_jax.training.state import TrainState  # noqa: E402
from place_jax.training.step import init_state  # noqa: E402

STOP_AT = 4  # the batch before which process 1 is told to stop


def own_rows(number: int) -> dict[str, np.ndarray]:
    """This host's rows of a drawn batch."""
    rows = tiny_step.draw_rows(number)
    share = 16 // jax.process_count()
    first = jax.process_index() * share
    return {name: value[first : first + share] for name, value in rows.items()}


def whole(tree) -> dict[str, np.ndarray]:
    """Every array of a tree on this host, by path."""
    from place_jax.transfer.features import to_numpy

    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_string(path): to_numpy(leaf) for path, leaf in leaves}


def write_arrays(out: pathlib.Path, name: str, arrays: dict[str, np.ndarray]) -> None:
    if jax.process_index() == 0:
        np.savez(out / f"{name}.npz", **{k.replace("/", "|"): v for k, v in arrays.items()})


def write_json(out: pathlib.Path, name: str, value) -> None:
    (out / f"{name}_{jax.process_index()}.json").write_text(json.dumps(value))


def first_state(run: tiny_step.TinyRun):
    """TinyRun.init, without what one host alone may do."""
    return init_state(run.model, run.tx, run.config, jax.random.key(0), run.mesh)


def agree(out: pathlib.Path, data: str) -> None:
    """What all know of one another, and after how many questions each was told to stop."""
    known = {"heard": processes.gather(jax.process_index() + 10)}
    known["first"] = processes.from_first(jax.process_index() + 10)
    processes.meet("known")
    with Preemption() as preemption:
        asked = 1
        while not preemption.requested():
            processes.gather(None)  # in step with the others, as training is
            asked += 1
            if asked == STOP_AT and jax.process_index() == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            assert asked < 10_000, "nobody was told to stop"
    write_json(out, "agree", known | {"asked": asked})


def keep(out: pathlib.Path, data: str) -> None:
    """Saves a state whose rows lie on all devices of all processes."""
    mesh = make_mesh(get_config().mesh)

    def make() -> TrainState:
        rows = jnp.arange(48.0).reshape(16, 3)
        zero = jnp.zeros((), jnp.int32)
        return TrainState(zero + 5, {"rows": rows}, {}, {}, jax.random.key(3), zero)

    shardings = jax.tree.map(lambda leaf: replicated(mesh), jax.eval_shape(make))
    shardings = dataclasses.replace(shardings, params={"rows": batch_sharding(mesh)})
    checkpointer = checkpoints.Checkpointer(out / "kept")
    checkpointer.save(jax.jit(make, out_shardings=shardings)(), {"config": {}})
    checkpointer.close()


def step(out: pathlib.Path, data: str) -> None:
    """The gradients of a first step, on a mesh that is spread both ways."""
    config = tiny_step.make_config()
    run = tiny_step.TinyRun(config, devices=jax.device_count(), mesh_sizes=tiny_step.TWO_WAYS)
    processes.meet("compiled")
    state, _ = run.step(first_state(run), tiny_step.to_devices(own_rows(0), run.mesh))
    write_arrays(out, "gradient", whole(run.gradient(state)))


def twenty_steps(out: pathlib.Path, data: str) -> None:
    """The parameters after twenty steps, in float64."""
    with jax.enable_x64(True):
        run = tiny_step.TinyRun(tiny_step.make_config(tiny_step.DOUBLE), devices=jax.device_count())
        processes.meet("compiled")
        state = first_state(run)
        for number in range(20):
            state, _ = run.step(state, tiny_step.to_devices(own_rows(number), run.mesh))
        write_arrays(out, "params", whole(state.params))


def evaluate(out: pathlib.Path, data: str) -> None:
    """Scores of a split that does not divide over the hosts."""
    from place_jax.transfer import evaluation

    config = tiny_step.tiny_evaluation(data)
    mesh = make_mesh(config.mesh)
    model, params, state, opened = tiny_step.spread_model(config, mesh)
    scores = evaluation.evaluate(
        model, params, state, opened, "validation", config, mesh=mesh, bootstrap=0
    )
    write_json(out, "scores", scores)


def train(out: pathlib.Path, data: str) -> None:
    """Seven steps, of which process 1 is asked to stop in the fourth; what each host saw."""
    seen, take, remember = [], Feed.next, BadSteps.remember
    HeldOut.validate = lambda self, weights, step: self.poll() or {}
    HeldOut.test = lambda *args: {}

    def next_batch(self):
        seen.append(1)
        if len(seen) == STOP_AT and jax.process_index() == 1 and not os.path.exists(out / "told"):
            (out / "told").touch()
            os.kill(os.getpid(), signal.SIGTERM)
        return take(self)

    taken = []
    BadSteps.remember = lambda self, at, index, count: (
        taken.append((at, index.tolist())) or remember(self, at, index, count)
    )
    Feed.next = next_batch
    said = "came to its end"
    try:
        loop.train_and_evaluate(tiny_step.short_run(tiny_config(data)), out / "run", devices=8)
    except Stopped as stopped:
        said = str(stopped)
    write_json(out, "train", {"said": said, "taken": taken})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    processes.connect()
    folder = pathlib.Path(sys.argv[2])
    for task in sys.argv[1].split(","):
        globals()[task](folder, sys.argv[3])
