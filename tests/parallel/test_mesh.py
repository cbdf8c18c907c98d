"""The mesh: sizes that fit, and one line for those that do not."""

import types

import jax
import numpy as np
import pytest

from configs.base import get_config
from place_jax.parallel.mesh import batch_sharding, check_batch_size, check_rows, make_mesh


def mesh_config(**sizes):
    config = get_config().mesh
    config.update(sizes)
    return config


def test_one_axis_takes_what_remains():
    mesh = make_mesh(mesh_config(fsdp=2, tensor=2))
    assert dict(mesh.shape) == {"replica": 1, "data": 2, "fsdp": 2, "tensor": 2}


def test_devices_may_be_named():
    assert make_mesh(mesh_config(), jax.devices()[:2]).size == 2


def test_each_device_holds_a_slice_of_the_batch_and_tensor_repeats_it():
    mesh = make_mesh(mesh_config(fsdp=2, tensor=2))
    rows = jax.device_put(np.arange(16), batch_sharding(mesh))
    slices = sorted({tuple(np.asarray(shard.data)) for shard in rows.addressable_shards})
    assert slices == [tuple(range(i, i + 4)) for i in range(0, 16, 4)]


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"fsdp": 3}, ("fsdp=3", "there are 8")),
        ({"data": 4}, ("data=4", "takes 4 devices", "there are 8")),
        ({"fsdp": -1}, ("at most one axis may be -1", "data and fsdp")),
        ({"fsdp": 0}, ("fsdp=0", "1 or more")),
    ],
)
def test_sizes_that_do_not_fit(sizes, words):
    with pytest.raises(ValueError) as caught:
        make_mesh(mesh_config(**sizes))
    message = str(caught.value)
    assert all(word in message for word in words) and "\n" not in message


def test_a_batch_that_does_not_divide():
    mesh = make_mesh(mesh_config(tensor=2))  # the batch is shared by 4 of the 8
    check_batch_size(12, mesh)
    with pytest.raises(ValueError) as caught:
        check_batch_size(500 + 2, mesh)
    assert str(caught.value) == (
        "batch_size=502 does not divide over 4 devices: use a multiple of 4"
    )


@pytest.mark.parametrize(
    ("shape", "fine"), [((2, 2, 1, 1), True), ((1, 2, 1, 2), True), ((1, 1, 1, 4), False)]
)
def test_processes_that_would_read_the_same_rows_are_refused(shape, fine):
    devices = [types.SimpleNamespace(process_index=k // 2) for k in range(4)]
    arranged = np.array(devices).reshape(shape)
    if fine:
        check_rows(arranged)
        return
    with pytest.raises(ValueError, match="mesh.tensor=4 .* several processes.* the 2 device"):
        check_rows(arranged)
