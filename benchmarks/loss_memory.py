"""Memory of the contrastive losses on one chip, as the pod grows and the batch with it.

    python benchmarks/loss_memory.py            # a few minutes; no TPU, but libtpu (the tpu extra)

Compiles value and gradient of PCMA with ITA (objective place without CCE) and of CLIP, for v5e
slices of 16, 64 and 256 chips at 64 pairs a chip, gathered and chunked, and writes
benchmarks/results/loss_memory.json: bytes of temporaries a chip by the TPU's compiler, and how many
of them are gathered columns, which every form needs.
"""

import argparse
import json
import pathlib

from place_jax.parallel.topology import devices_of, hushed, parse_topology, prepare_environment

PER_CHIP, SENTENCES, QUERIES, WIDTH = 64, 10, 32, 128
SLICES = ("4x4", "8x8", "16x16")
CHUNKED_BYTES = 64 * 2**20  # loss.memory_bytes of the chunked form


def measure(objective: str, contrast: str, shape: str) -> dict:
    """Compiles one loss for one slice."""
    import jax
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    from place_jax import objectives
    from place_jax.configs import base
    from place_jax.outputs import Outputs
    from place_jax.parallel.collectives import on_mesh
    from place_jax.parallel.mesh import BATCH_AXES, make_mesh

    config = base.get_config()
    config.objective = objective
    config.loss.update(lambda_c=0.0, contrast=contrast, memory_bytes=CHUNKED_BYTES)
    mesh = make_mesh(config.mesh, devices_of(parse_topology(f"v5e:{shape}")))
    batch = PER_CHIP * mesh.size
    rows, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((BATCH_AXES,), ()))

    def array(*shape, dtype=np.float32):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=rows if shape else whole)

    floats = {
        "image_embedding": array(batch, WIDTH),
        "report_embedding": array(batch, WIDTH),
        "v_por": array(batch, QUERIES, WIDTH),
        "t_por": array(batch, SENTENCES, WIDTH),
    }
    scales = {name: array() for name in ("instance", "pathological")}
    fields = {
        "statement": array(batch, SENTENCES, 2, dtype=np.uint32),
        "sentence_mask": array(batch, SENTENCES, dtype=np.bool_),
        "report_statement": array(batch, 2, dtype=np.uint32),
        "example_mask": array(batch, dtype=np.bool_),
    }

    def loss_of(floats, scales, fields):
        outputs = Outputs(**floats, logit_scales=scales)
        return objectives.get(objective)(outputs, fields, config)[0]

    step = jax.jit(on_mesh(jax.value_and_grad(loss_of, argnums=(0, 1)), mesh))
    with hushed():
        compiled = step.lower(floats, scales, fields).compile()
    columns = WIDTH * (SENTENCES + 1 if objective == "place" else 1)
    return {
        "objective": objective,
        "contrast": contrast,
        "chips": mesh.size,
        "batch": batch,
        "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
        "gathered_column_bytes": batch * columns * 4,
    }


def main() -> None:
    """Measures all, and writes after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="benchmarks/results/loss_memory.json")
    arguments = parser.parse_args()
    prepare_environment()
    import jax

    jax.config.update("jax_optimization_level", "O0")
    found = {
        "made_by": "python benchmarks/loss_memory.py",
        "per_chip": {"pairs": PER_CHIP, "sentences": SENTENCES, "queries": QUERIES},
        "chunked_memory_bytes": CHUNKED_BYTES,
        "measured": [],
    }
    out = pathlib.Path(arguments.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    for objective in ("place", "clip"):
        for contrast in ("chunked", "gathered"):
            for shape in SLICES:
                row = measure(objective, contrast, shape)
                found["measured"].append(row)
                out.write_text(json.dumps(found, indent=2) + "\n")
                print(
                    f"{objective:<6} {contrast:<9} {row['chips']:>4} chips: "
                    f"{row['temporary_bytes'] / 2**20:9.1f} MiB, of which columns "
                    f"{row['gathered_column_bytes'] / 2**20:.1f} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
