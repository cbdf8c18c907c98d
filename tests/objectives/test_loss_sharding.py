"""The losses over 8 devices equal those over one, in value and gradient."""

import jax
import numpy as np
import objective_cases as cases
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from place_jax.objectives import get

BATCH = cases.batch((2, 4, 3, 1, 0, 4, 2, 1) * 2, masked=(5, 15))


@pytest.mark.parametrize(
    ("name", "block"), [("place", 3), ("place", 16), ("clip", 16), ("siglip", 16), ("convirt", 16)]
)
def test_eight_devices_equal_one(name, block):
    config = cases.config(memory_bytes=cases.memory_bytes(16, block=block))
    outputs = cases.outputs(16)
    arrays, join = cases.split(outputs)
    hidden = outputs.hidden_patches

    def loss_of(arrays, hidden, batch):
        whole = cases.dataclasses.replace(join(arrays), hidden_patches=hidden)
        return get(name)(whole, batch, config)

    step = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    mesh = Mesh(np.array(jax.devices()[:8]), ("data",), axis_types=(AxisType.Auto,))

    def place(x):
        spec = PartitionSpec("data") if np.ndim(x) else PartitionSpec()
        return jax.device_put(x, NamedSharding(mesh, spec))

    with jax.enable_x64(True):
        one = step(arrays, hidden, BATCH)
        eight = step(*jax.tree.map(place, (arrays, hidden, BATCH)))
    assert len(eight[1]["v_por"].sharding.device_set) == 8
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13), one, eight)
