"""`train_and_evaluate(config, workdir)`: one straight line from prepared data to a scored model."""

import contextlib
import dataclasses
import os
import pathlib
import time
from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from place_jax import configuration
from place_jax.models.functional import count_params
from place_jax.parallel.mesh import make_mesh
from place_jax.parallel.processes import from_first, meet
from place_jax.training import checkpoints, preflight
from place_jax.training.assembly import assemble
from place_jax.training.bad_steps import BadSteps
from place_jax.training.feed import Feed
from place_jax.training.flops import flops_per_pair
from place_jax.training.full_disk import explain_full_disk
from place_jax.training.held_out import (
    HeldOut,
    evaluated_params,
    read_result,
    write_result,
)
from place_jax.training.metric_writers import TRAIN, MetricWriter
from place_jax.training.preemption import Preemption, Stopped, StopRequested
from place_jax.training.profiling import Profile, keep_compilations
from place_jax.training.progress import Progress, say
from place_jax.training.resuming import resume
from place_jax.training.starting import first_state
from place_jax.training.state import TrainState
from place_jax.training.step import Step
from place_jax.training.watchdog import Watchdog
from place_jax.training.workdir import as_path, write_whole


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What training ends with.

    Attributes:
      step: steps taken.
      metrics: the held-out scores, as in result.json.
      checkpoint: the last checkpoint's folder.
    """

    step: int
    metrics: dict[str, float]
    checkpoint: pathlib.Path


def train_and_evaluate(
    config: ConfigDict, workdir: str | os.PathLike, *, devices: int | None = None
) -> TrainResult:
    """Pre-trains, evaluates on the test split, and writes report.html.

    Where the workdir holds a checkpoint, training goes on from it: the same numbers as if it had
    never stopped. Where it holds a finished run of the same config, nothing is done again.
    `place_jax.training.starting` says what else a run starts from. With several hosts each calls
    it, after `place_jax.parallel.processes.connect`.

    Args:
      config: from `place_jax.configuration.load_config`, or made in Python from configs/base.py.
      workdir: a folder, made where it is not there; with several hosts, one that all of them see.
      devices: how many there must be; None takes what there is.

    Raises:
      ConfigError, BadInput, ValueError: for input that cannot be used, before anything is written.
      Stopped: after SIGTERM or Ctrl-C, when the state is saved. It is a KeyboardInterrupt.
      NotFinite: train.max_bad_steps steps were not finite.
      DiskFull: there is no room to save; it is an OSError.
    """
    from data_pipelines import batches

    configuration.validate(config)
    config = config.copy_and_resolve_references()
    workdir = as_path(workdir)
    if not config.data.dir:
        raise configuration.ConfigError(
            "data.dir is empty: name a folder that `place prepare` wrote, --config.data.dir=DATA"
        )
    data = batches.open_data(config.data.dir)
    if not data.manifest["has_reports"]:
        raise configuration.ConfigError(
            f"data.dir={config.data.dir} holds {data.name}, images without reports: pre-train on "
            "pairs, and evaluate on it"
        )
    if devices is not None or jax.process_count() > 1:
        preflight.check(config, workdir, data, devices=devices)
    if own := _own_vocabulary(workdir):
        data = batches.open_data(config.data.dir, vocab_hash=own)
    if config.model.text.vocab_size and config.model.text.vocab_size < data.tokenizer.size:
        raise configuration.ConfigError(
            f"model.text.vocab_size={config.model.text.vocab_size} is less than the "
            f"{data.tokenizer.size} word pieces of the data's vocabulary: use that or more, or 0"
        )
    if config.model.image.weights or config.model.text.weights:
        from place_jax.weights.pretrained import check_pretrained

        check_pretrained(config)
    keep_compilations(config.train.compilation_cache)
    mesh = make_mesh(config.mesh)
    run = assemble(config, mesh, vocab_size=data.tokenizer.size)
    model, tx, abstract = run.model, run.tx, run.abstract

    def feed_from(start_step: int) -> Feed:
        rows = batches.training_batches(
            data,
            batch_size=config.data.batch_size,
            crop_size=config.data.crop_size,
            max_tokens=config.data.max_tokens,
            max_sentences=config.data.max_sentences,
            seed=config.seed,
            start_step=start_step,
            host=jax.process_index(),
            num_hosts=jax.process_count(),
            shuffle_pairs=config.data.shuffle_pairs,
            sections=config.data.sections,
            sentences=config.data.sentences,
        )
        return Feed(rows, mesh)

    start_step, state = resume(workdir, abstract, config, data)
    if start_step:
        say(f"goes on from step {start_step} in {workdir}")
    if start_step >= config.train.steps:
        if finished := from_first(_finished(workdir, config, start_step)):
            say(f"{workdir} holds a finished run of this config: nothing to do")
            return TrainResult(start_step, finished, as_path(checkpoints.find(workdir)))
    feed = feed_from(start_step)
    feed.peek()  # what is wrong with the data shows here, before anything is written
    if not start_step:
        state = first_state(model, tx, config, mesh, feed.peek())
    say(
        f"{config.objective}, {count_params(state.params) / 1e6:.1f} million parameters, "
        f"{jax.device_count()} device(s) of kind {jax.devices()[0].device_kind}, {data.name} with "
        f"{data.splits['train']} training images"
    )

    main_process = jax.process_index() == 0
    folder = checkpoints.folder_of(workdir)
    with contextlib.ExitStack() as stack:
        stack.enter_context(explain_full_disk(folder))
        checkpointer = checkpoints.Checkpointer(workdir, keep=config.train.keep_checkpoints)
        stack.enter_context(contextlib.closing(checkpointer))
        if main_process:
            write_whole(workdir / "config.json", configuration.to_json(config))
        writer = MetricWriter(workdir, start_step=start_step, enabled=main_process)
        stack.enter_context(contextlib.closing(writer))
        preemption = stack.enter_context(Preemption())
        watchdog = Watchdog(config.train.hang_seconds)

        def poll() -> None:
            watchdog.alive("evaluation")
            preemption.poll()

        held_out = HeldOut(model, data, config, mesh, poll=poll)
        progress = Progress(
            start_step,
            config.train.steps,
            config.data.batch_size,
            flops_per_pair=flops_per_pair(config, data.tokenizer.size),
        )

        def save(state: TrainState) -> None:
            with progress.timed("checkpoint"):
                writer.flush()
                checkpointer.save(state, checkpoints.describe(config, data, step=int(state.step)))

        try:
            if start_step < config.train.steps:
                steps = _Run(config, preemption, watchdog, writer, held_out, progress, save)
                with watchdog:
                    state = steps.train(start_step, state, run.step, feed)
            at = int(state.step)
            checkpointer.wait()
            params, model_state = evaluated_params(state), state.model_state
            del state  # the optimizer's part is not needed any more, and may be large
            first = first_state(model, tx, config, mesh, feed_from(0).peek())
            initial = first.params, first.model_state
            del first
            scores = held_out.test((params, model_state), initial)
            writer.write(at, scores)
            scores |= {TRAIN + name: value for name, value in progress.overall().items()}
            metrics = write_result(workdir, at, scores)
        except StopRequested:
            raise Stopped(_where(checkpointer.saved)) from None
    return TrainResult(at, metrics, as_path(checkpoints.find(workdir)))


def _own_vocabulary(workdir: pathlib.Path) -> str:
    """The hash of what a run that goes on was trained with; the folder may have got another."""
    from data_pipelines.tokenizer import Tokenizer

    words = checkpoints.saved_vocabulary(workdir) if jax.process_index() == 0 else []
    return from_first(Tokenizer(words).hash if words else "")


def _where(saved: int | None) -> str:
    if saved is None:
        return "stopped before the first step, nothing to save: the same command starts"
    return f"stopped at step {saved}, which is saved: the same command goes on"


def _finished(workdir: pathlib.Path, config: ConfigDict, step: int) -> dict | None:
    """What result.json holds, where this very config came to its end there."""
    same = workdir / "config.json"
    if not same.exists() or same.read_text() != configuration.to_json(config):
        return None
    result = read_result(workdir)
    return result if result.get("step") == step else None


@dataclasses.dataclass(frozen=True)
class _Run:
    """What the steps need beside the state."""

    config: ConfigDict
    preemption: Preemption
    watchdog: Watchdog
    writer: MetricWriter
    held_out: HeldOut
    progress: Progress
    save: Callable[[TrainState], None]

    def train(self, at: int, state: TrainState, step: Step, feed: Feed) -> TrainState:
        """Steps from `at` to train.steps.

        The host waits for the device at logs, saves and evaluations, and nowhere else. A state is
        saved before the batch after it is taken.

        Raises:
          StopRequested: the state is saved.
        """
        settings = self.config.train
        bad_steps = BadSteps(int(state.bad_steps), settings.max_bad_steps)
        profile = Profile(self.writer.workdir, settings)
        with self.progress.paused("compile"), self.watchdog.paused():
            step = self._compile(step, state, feed)
        self.preemption.poll()  # a stop that was asked for while it compiled: there is nothing new
        while at < settings.steps:
            if at and at % settings.eval_every == 0:
                with self.progress.paused():
                    self._validate(at, state)
            self.watchdog.alive(f"step {at + 1}")
            profile.at(at)
            batch, index = feed.next()
            state, metrics = step(state, batch)
            at += 1
            bad_steps.remember(at, index, metrics["bad_steps"])
            stop = self.preemption.requested()
            if at % settings.log_every == 0 or at == settings.steps or stop:
                self._log(at, metrics, bad_steps, feed)
            if at % settings.checkpoint_every == 0 or at == settings.steps or stop:
                self.save(state)
            if stop:
                raise StopRequested
            if at < settings.steps:
                feed.load_ahead()
        profile.at(at)
        return state

    def _compile(self, step: Step, state: TrainState, feed: Feed) -> Step:
        """Compiled before the first step, and only then: another shape is an error afterwards."""
        say("compiles the step")
        start = time.perf_counter()
        feed.load_ahead()
        batch, _ = feed.ahead
        compiled = step.lower(state, batch).compile()
        say(f"compiled in {time.perf_counter() - start:.0f} s")
        meet("compiled")
        feed.reset()
        return compiled

    def _validate(self, at: int, state: TrainState) -> None:
        try:
            scores = self.held_out.validate((evaluated_params(state), state.model_state), at)
        except StopRequested:
            self.save(state)
            raise
        if scores:
            self.writer.write(at, scores)

    def _log(self, at: int, metrics: dict, bad_steps: BadSteps, feed: Feed) -> None:
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        speed = self.progress.measure(at, feed.waited)
        feed.reset()
        self.writer.write(at, {TRAIN + name: v for name, v in (values | speed).items()})
        say(self.progress.line(at, values, speed))
        if said := bad_steps.check():
            say(said)
