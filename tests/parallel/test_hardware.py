"""The table of peaks, and topologies by name."""

import pytest

from place_jax.configuration import ConfigError
from place_jax.parallel.hardware import CHIPS, chip_of, peak_flops_of
from place_jax.parallel.topology import parse_topology


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("TPU v5 lite", "v5e"),
        ("TPU v5", "v5p"),
        ("TPU v5p", "v5p"),
        ("TPU v6 lite", "v6e"),
        ("TPU v4", "v4"),
        ("TPU7x", "tpu7x"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
    ],
)
def test_what_jax_calls_a_device_finds_its_chip(kind, name):
    assert chip_of(kind) is CHIPS[name]
    assert peak_flops_of(kind) == CHIPS[name].peak_flops / CHIPS[name].devices


def test_a_device_that_is_not_in_the_table_has_no_peak():
    assert chip_of("cpu") is None and peak_flops_of("TPU v51") is None


def test_a_topology_by_name():
    topology = parse_topology("v5e:16x16", slices=2)
    assert (topology.chips, topology.name) == (512, "v5e:16x16")
    # A ring over both axes of the torus, both ways; a 4x4 slice of v5e does not close to rings.
    assert topology.ici_bandwidth == 4 * CHIPS["v5e"].link_bandwidth
    assert parse_topology("v5e:4x4").ici_bandwidth == 2 * CHIPS["v5e"].link_bandwidth


@pytest.mark.parametrize(
    ("name", "slices", "words"),
    [
        ("v5x:4x4", 1, ("v5x is not known", "v5e")),
        ("v5e", 1, ("'v5e' is not KIND:SHAPE", "v5e:16x16")),
        ("v5e:2x2x2", 1, ("3 axes", "v5e has 2")),
        ("v4:4x4", 1, ("2 axes", "v4 has 3")),
        ("v5e:0x4", 1, ("1 chip or more",)),
        ("v5e:4x4", 0, ("--slices=0",)),
        ("h100:8", 1, ("h100 is not known",)),
    ],
)
def test_an_unknown_topology_is_one_clear_line(name, slices, words):
    with pytest.raises(ConfigError) as caught:
        parse_topology(name, slices)
    message = str(caught.value)
    assert all(word in message for word in words) and "\n" not in message
