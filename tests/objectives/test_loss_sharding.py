"""The losses over 2 and 8 devices equal those over one, in value and gradient."""

import jax
import numpy as np
import objective_cases as cases
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from place_jax.objectives import get
from place_jax.objectives.correlation import correlation_loss

BATCH = cases.batch((2, 4, 3, 1, 0, 4, 2, 1) * 2, masked=(5, 15))


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("place", 3),
        ("place", 16),
        ("features", 16),
        ("clip", 16),
        ("siglip", 16),
        ("convirt", 16),
        ("gloria", 16),
        ("mgca", 16),
    ],
)
def test_two_and_eight_devices_equal_one(name, block):
    config = cases.config(memory_bytes=cases.memory_bytes(16, block=block))
    if name == "features":  # less their mean over the batch, and so over devices
        config.model.correlation.update(target="ema_features", statistic="covariance")
    outputs = cases.outputs(16)
    arrays, join = cases.split(outputs)
    masks = {"hidden_patches": outputs.hidden_patches, "word_mask": outputs.word_mask}

    def loss_of(arrays, masks, batch):
        whole = cases.dataclasses.replace(join(arrays), **masks)
        if name == "features":
            return correlation_loss(whole, batch, config)
        return get(name)(whole, batch, config)

    step = jax.jit(jax.value_and_grad(loss_of, has_aux=True))

    def spread(x, devices):
        mesh = Mesh(np.array(jax.devices()[:devices]), ("data",), axis_types=(AxisType.Auto,))
        split = np.ndim(x) and len(x) == 16  # prototypes and scales are whole everywhere
        spec = PartitionSpec("data") if split else PartitionSpec()
        return jax.device_put(x, NamedSharding(mesh, spec))

    def same(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)

    with jax.enable_x64(True):
        one = step(arrays, masks, BATCH)
        for devices in (2, 8) if name in ("gloria", "mgca", "features") else (8,):
            parts = jax.tree.map(lambda x, n=devices: spread(x, n), (arrays, masks, BATCH))
            several = step(*parts)
            assert len(several[1]["v_por"].sharding.device_set) == devices
            jax.tree.map(same, one, several)
