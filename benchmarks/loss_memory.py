"""Memory of the contrastive losses on one chip, as the pod grows and the batch with it.

    python benchmarks/loss_memory.py            # minutes; no TPU, but libtpu (the tpu extra)
    python benchmarks/loss_memory.py --only place,chunked,16x16         # seconds

Compiles value and gradient of PCMA with ITA (objective place without CCE) and of CLIP, for v5e
slices of 16, 64 and 256 chips at 64 pairs a chip, gathered and chunked, and writes
benchmarks/results/loss_memory.json: bytes of temporaries a chip by the TPU's compiler, and how many
bytes one copy of the gathered columns has, which every form needs. Temporaries over chips are
fitted by constant + copies x columns: a form that keeps no scores has a constant that no chip count
moves. A row whose loss is traced as before is not measured again.
"""

import argparse
import dataclasses
import itertools
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from place_jax.parallel.topology import devices_of, hushed, parse_topology, prepare_environment

LOSSES, FORMS, SLICES = ("place", "clip"), ("chunked", "gathered"), ("4x4", "8x8", "16x16")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of what a chip holds.

    Attributes:
      pairs: a chip.
      sentences: a report.
      queries: an image.
      width: of the joint space.
      memory_bytes: loss.memory_bytes, which the chunked form keeps to.
    """

    pairs: int = 64
    sentences: int = 10
    queries: int = 32
    width: int = 128
    memory_bytes: int = 64 * 2**20


def measure(
    objective: str, contrast: str, devices: list, sizes: Sizes, *, known: Sequence[dict] = ()
) -> dict:
    """Compiles value and gradient of one loss for these devices, unless a known row is of it."""
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    from place_jax import objectives, pod_plan
    from place_jax.configs import base
    from place_jax.outputs import Outputs
    from place_jax.parallel.collectives import on_mesh
    from place_jax.parallel.mesh import BATCH_AXES, make_mesh

    config = base.get_config()
    config.objective = objective
    config.loss.update(lambda_c=0.0, contrast=contrast, memory_bytes=sizes.memory_bytes)
    mesh = make_mesh(config.mesh, devices)
    batch = sizes.pairs * mesh.size
    rows, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((BATCH_AXES,), ()))

    def array(*shape, dtype=np.float32):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=rows if shape else whole)

    floats = {
        "image_embedding": array(batch, sizes.width),
        "report_embedding": array(batch, sizes.width),
        "v_por": array(batch, sizes.queries, sizes.width),
        "t_por": array(batch, sizes.sentences, sizes.width),
    }
    scales = {name: array() for name in ("instance", "pathological")}
    fields = {
        "statement": array(batch, sizes.sentences, 2, dtype=np.uint32),
        "sentence_mask": array(batch, sizes.sentences, dtype=np.bool_),
        "report_statement": array(batch, 2, dtype=np.uint32),
        "example_mask": array(batch, dtype=np.bool_),
    }

    def loss_of(floats, scales, fields):
        outputs = Outputs(**floats, logit_scales=scales)
        return objectives.get(objective)(outputs, fields, config)[0]

    step = jax.jit(on_mesh(jax.value_and_grad(loss_of, argnums=(0, 1)), mesh))
    traced = step.trace(floats, scales, fields)
    fingerprint = pod_plan.fingerprint(traced)
    for row in known:
        if row["traced"] == fingerprint:
            return row
    with hushed():
        compiled = traced.lower().compile()
    columns = sizes.width * (sizes.sentences + 1 if objective == "place" else 1)
    return {
        "objective": objective,
        "contrast": contrast,
        "chips": mesh.size,
        "batch": batch,
        "traced": fingerprint,
        "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
        "gathered_column_bytes": batch * columns * 4,
    }


def copies_of_columns(fewer: dict, more: dict) -> float:
    """How many copies of the gathered columns the temporaries grow by, from fewer chips to more."""
    growth = more["temporary_bytes"] - fewer["temporary_bytes"]
    return growth / (more["gathered_column_bytes"] - fewer["gathered_column_bytes"])


def fitted(rows: list[dict]) -> list[dict]:
    """The constant + copies x columns of each loss and form, by its two largest slices."""
    found = []
    for objective, contrast in dict.fromkeys((r["objective"], r["contrast"]) for r in rows):
        those = [r for r in rows if (r["objective"], r["contrast"]) == (objective, contrast)]
        if len(those) < 2:
            continue
        copies = copies_of_columns(*those[-2:])
        found.append(
            {
                "objective": objective,
                "contrast": contrast,
                "copies_of_columns": round(copies, 3),
                "beyond_columns_bytes": {
                    r["chips"]: round(r["temporary_bytes"] - copies * r["gathered_column_bytes"])
                    for r in those
                },
            }
        )
    return found


def main() -> None:
    """Measures all, and writes after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="benchmarks/results/loss_memory.json")
    parser.add_argument("--only", help="OBJECTIVE,CONTRAST,SLICE; the other rows stay as they are")
    arguments = parser.parse_args()
    prepare_environment()
    import jax

    jax.config.update("jax_optimization_level", "O0")
    out = pathlib.Path(arguments.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(out.read_text())["measured"] if out.exists() else []
    rows = {",".join((r["objective"], r["contrast"], r["slice"])): r for r in known}
    every = [",".join(case) for case in itertools.product(LOSSES, FORMS, SLICES)]
    for case in [arguments.only] if arguments.only else every:
        objective, contrast, shape = case.split(",")
        devices = devices_of(parse_topology(f"v5e:{shape}"))
        row = measure(objective, contrast, devices, Sizes(), known=list(rows.values()))
        rows[case] = {"slice": shape} | row
        ordered = [rows[other] for other in every if other in rows]
        found = {
            "made_by": "python benchmarks/loss_memory.py",
            "per_chip": dataclasses.asdict(Sizes()),
            "measured": ordered,
            "fitted": fitted(ordered),
        }
        out.write_text(json.dumps(found, indent=2) + "\n")
        print(
            f"{objective:<6} {contrast:<9} {row['chips']:>4} chips: "
            f"{row['temporary_bytes'] / 2**20:9.1f} MiB; a copy of the columns is "
            f"{row['gathered_column_bytes'] / 2**20:.1f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
