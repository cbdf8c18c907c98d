"""The plans of benchmarks/pod_plans: the MIMIC-CXR config compiled for TPU slices.

    python benchmarks/plan_pods.py              # 1 to 3 minutes a plan; no TPU, but libtpu
    python benchmarks/plan_pods.py --check      # seconds a plan: which are no longer the code's?
    python benchmarks/plan_pods.py v5e_16x16    # these alone

Each is what `place plan` writes, its command first. Plans are made with --quick, and only where the
step that the code traces now is another one than the plan's, or its command.
"""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys

from place_jax.configs import mimic_cxr_vit_b16

FOLDER = pathlib.Path("benchmarks/pod_plans")
CONFIG = "mimic_cxr_vit_b16"
PLANS = {
    "v5e_16x16": "--topology v5e:16x16",
    "v5e_16x16_batch_16384": "--topology v5e:16x16 --config.data.batch_size=16384",
    "v5e_16x16_slices_2": "--topology v5e:16x16 --slices 2",
    "v5e_4x4_batch_4096": "--topology v5e:4x4 --config.data.batch_size=4096 "
    "--config.train.accumulation=4",
    "v5e_4x4_batch_4096_too_large": "--topology v5e:4x4 --config.data.batch_size=4096",
    "v4_2x2x4": "--topology v4:2x2x4",
    "v5p_2x2x4": "--topology v5p:2x2x4",
    "v6e_4x4": "--topology v6e:4x4",
    "tpu7x_2x2x2": "--topology tpu7x:2x2x2",
    "sweep_v5e_4x4": "--topology v5e:4x4 --sweep",
    "sweep_v5e_16x16": "--topology v5e:16x16 --sweep",
}
# The config's own presets: TPUs are named by kind and shape.
PRESETS = {
    f"preset_{name}": (f"{CONFIG}:{name}", name.replace("_", ":"))
    for name in mimic_cxr_vit_b16.HARDWARE
    if not name.startswith("gpu")
}
TOO_LARGE = 3  # the status of `place plan`


def command_of(name: str) -> str:
    """As it is typed, without where the JSON goes."""
    if name in PRESETS:
        config, topology = PRESETS[name]
        return f"place plan --config {config} --quick --topology {topology}"
    return f"place plan --config {CONFIG} --quick {PLANS[name]}"


def is_current(name: str) -> bool:
    """Whether the file is there, by this command, and the code traces the same steps."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return False
    found = json.loads(path.read_text())
    if sorted(found["command"].split()) != sorted(command_of(name).split()):
        return False
    return all(
        plan.get("step") == step_of(plan, found["command"]) for plan in found.get("plans", [found])
    )


def step_of(plan: dict, command: str) -> str:
    """The fingerprint of the step that the code traces for a plan's topology and changes."""
    from place_jax import configuration, pod_plan
    from place_jax.parallel.mesh import make_mesh
    from place_jax.parallel.topology import devices_of, parse_topology

    words = shlex.split(command)
    overrides = [word.removeprefix("--config.") for word in words if word.startswith("--config.")]
    config = configuration.load_config(words[words.index("--config") + 1], overrides)
    config.update_from_flattened_dict(plan["changes"])
    mesh = make_mesh(config.mesh, devices_of(parse_topology(plan["topology"], plan["slices"])))
    _, _, traced = pod_plan.trace_step(config, mesh, vocab_size=pod_plan.BERT_VOCABULARY)
    return pod_plan.fingerprint(traced)


def make(name: str) -> None:
    """Runs `place plan`; too large a step is an answer too.

    Raises:
      SystemExit: it failed.
    """
    place = pathlib.Path(sys.executable).with_name("place")
    words = shlex.split(command_of(name))[1:]
    done = subprocess.run([place, *words, "--out", str(FOLDER / f"{name}.json")])
    if done.returncode not in (0, TOO_LARGE):
        raise SystemExit(f"{name}: place plan ended with status {done.returncode}")


def main() -> None:
    """Makes or checks them; with --check the status is 1 where one is not current."""
    names = [*PLANS, *PRESETS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"all, or some of {', '.join(names)}")
    parser.add_argument("--check", action="store_true", help="makes none, says which are outdated")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: not among {', '.join(names)}")
    from place_jax.parallel.topology import prepare_environment

    prepare_environment()
    outdated = []
    for name in arguments.names or names:
        current = is_current(name)
        print(f"{name}: {'current' if current else 'outdated or absent'}", flush=True)
        if not current:
            outdated.append(name)
            if not arguments.check:
                make(name)
    raise SystemExit(1 if arguments.check and outdated else 0)


if __name__ == "__main__":
    main()
