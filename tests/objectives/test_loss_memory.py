"""Memory of the losses on a device as devices are added, each with as many pairs: by the script
that measures it for TPUs, benchmarks/loss_memory.py, here on simulated devices.
"""

import importlib.util
import pathlib

import jax
import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "loss_memory.py"


@pytest.fixture(scope="module")
def loss_memory():
    spec = importlib.util.spec_from_file_location("loss_memory", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured(loss_memory, contrast, devices):
    sizes = loss_memory.Sizes(pairs=64, sentences=4, queries=8, width=16, memory_bytes=2**18)
    return loss_memory.measure("place", contrast, jax.devices()[:devices], sizes)


def test_gathered_grows_with_devices_and_chunked_with_the_gathered_columns_alone(loss_memory):
    few, many = (measured(loss_memory, "gathered", n) for n in (4, 8))
    # 256 and 512 pairs are contrasted with 64 on each device.
    assert few["temporary_bytes"] < many["temporary_bytes"] <= 2.02 * few["temporary_bytes"]
    fewer, more = (measured(loss_memory, "chunked", n) for n in (4, 8))
    # The columns and their gradient, both also cut into blocks. A further pair's scores would be
    # 64 x 4 numbers, 3.2 times its columns, in up to twelve tables.
    assert loss_memory.copies_of_columns(fewer, more) < 4.5
    assert more["temporary_bytes"] < 0.25 * many["temporary_bytes"]
