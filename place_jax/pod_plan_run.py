"""What `place plan` does, from its arguments to the screen and a file."""

import json
import os
import pathlib
import shlex
from collections.abc import Sequence

from place_jax import configuration
from place_jax.parallel.topology import Topology, parse_topology, prepare_environment


def run(
    config_name: str,
    overrides: Sequence[str],
    topology_name: str,
    *,
    slices: int = 1,
    quick: bool = False,
    sweeps: bool = False,
    out: str | None = None,
) -> int:
    """Plans, prints and writes. Returns 0 where a plan fits, 3 where none does.

    Args:
      config_name: as of `place train --config`.
      overrides: `key=value` each.
      topology_name: such as v5e:16x16.
      slices: joined over the data-centre network.
      quick: compile without optimisations.
      sweeps: over remat, parts and fsdp.
      out: a JSON file, or None.
    """
    topology = parse_topology(topology_name, slices)
    config = configuration.load_config(config_name, overrides)
    prepare_environment()
    import jax

    from place_jax import pod_plan, pod_plan_search, pod_plan_words

    if quick:
        jax.config.update("jax_optimization_level", "O0")
    vocab_size = _vocabulary_of(config.data.dir) or pod_plan.BERT_VOCABULARY
    command = _command(config_name, overrides, topology, quick, sweeps)
    tried: list[str] = []

    def say(words: str) -> None:
        tried.append(words)
        print(words, flush=True)

    if sweeps:
        plans = pod_plan_search.sweep(config, topology, vocab_size=vocab_size, say=say)
        table = pod_plan_words.as_table(plans, config)
        print(table)
        found = {"command": command, "tried": tried, "table": table.splitlines()}
        found["plans"] = [pod_plan_words.to_json(plan, config) for plan in plans]
        _write(out, found)
        return 0 if any(plan.fits for plan in plans) else 3
    plan = pod_plan.make_plan(config, topology, vocab_size=vocab_size)
    print(pod_plan_words.in_words(plan, config), flush=True)
    found = pod_plan_words.to_json(plan, config, command=command)
    if not plan.fits:
        print("looks for the smallest change that fits, each compiled as by --quick:", flush=True)
        jax.config.update("jax_optimization_level", "O0")
        other = pod_plan_search.smallest_change(
            config, topology, too_large=plan, vocab_size=vocab_size, say=say
        )
        found["tried"] = tried
        if other is None:
            print("none fits: take more chips, or a smaller data.batch_size")
        else:
            words = " ".join(f"--config.{key}={value}" for key, value in other.changes.items())
            print(f"the smallest change that fits: {words}")
            found["suggestion"] = pod_plan_words.to_json(other, config)
    _write(out, found)
    return 0 if plan.fits else 3


def _vocabulary_of(folder: str) -> int | None:
    """The size of a prepared folder's vocabulary, where there is one."""
    if not folder or not os.path.isdir(folder):
        return None
    from data_pipelines.batches import open_data

    return open_data(folder).tokenizer.size


def _command(
    config_name: str, overrides: Sequence[str], topology: Topology, quick: bool, sweeps: bool
) -> str:
    words = ["place", "plan", "--config", config_name, "--topology", topology.name]
    words += ["--slices", str(topology.slices)] if topology.slices > 1 else []
    words += ["--quick"] if quick else []
    words += ["--sweep"] if sweeps else []
    return shlex.join(words + [f"--config.{item}" for item in overrides])


def _write(out: str | None, found: dict) -> None:
    if out is None:
        return
    path = pathlib.Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    aside.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    aside.replace(path)
