"""Bytes between devices, read off compiled HLO: groups however they are spelt, loops unrolled."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from configs.base import get_config
from place_jax.parallel.collective_bytes import traffic_of
from place_jax.parallel.mesh import make_mesh
from place_jax.parallel.topology import devices_of, parse_topology, prepare_environment


@pytest.fixture(scope="module")
def mesh():
    """data 2, fsdp 4."""
    config = get_config().mesh
    config.update(data=2, fsdp=4)
    return make_mesh(config, jax.devices()[:8])


def compiled(f, mesh, *shapes, spec=PartitionSpec(("data", "fsdp"))):
    spread = jax.shard_map(f, mesh=mesh, in_specs=spec, out_specs=spec)
    arguments = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]
    return jax.jit(spread).lower(*arguments).compile().as_text()


def test_a_collective_in_a_loop_counts_as_often_as_it_runs(mesh):
    def f(x):
        def body(carry, _):
            return carry + jax.lax.psum(carry * carry, "fsdp"), None

        return jax.lax.scan(body, jax.lax.psum(x, "fsdp"), None, length=5)[0]

    spec = PartitionSpec(("data", "fsdp")), PartitionSpec("data")
    spread = jax.shard_map(f, mesh=mesh, in_specs=spec[0], out_specs=spec[1])
    hlo = jax.jit(spread).lower(jax.ShapeDtypeStruct((8, 100), np.float32)).compile().as_text()
    (traffic,) = traffic_of(hlo, mesh)
    assert (traffic.kind, traffic.axes, traffic.count) == ("all-reduce", ("fsdp",), 6)
    assert traffic.bytes_per_device == 6 * 2 * 400 * 3 // 4  # [1, 100] float32, a ring of 4


def test_gathers_say_their_axes_and_largest_first(mesh):
    def f(x):
        whole = jax.lax.all_gather(x, ("data", "fsdp"), tiled=True)
        some = jax.lax.all_gather(jnp.sin(x), "data", tiled=True)
        return x * jnp.sum(whole) + jnp.max(some)

    found = traffic_of(compiled(f, mesh, (16, 4)), mesh)
    gathers = [(t.axes, t.bytes_per_device) for t in found if t.kind == "all-gather"]
    assert gathers == [(("data", "fsdp"), 256 * 7 // 8), (("data",), 64 // 2)]


@pytest.mark.parametrize(
    ("groups", "axes"),
    [
        ("replica_groups={{0,1,2,3},{4,5,6,7}}", ("fsdp",)),
        ("replica_groups=[2,4]<=[8]", ("fsdp",)),
        ("replica_groups=[4,2]<=[2,4]T(1,0)", ("data",)),
        ("replica_groups=[1,8]<=[8]", ("data", "fsdp")),
        (
            "replica_groups=mesh['axis_0'=4,'axis_1'=2], device_ids=([2,4]T(1,0)) {'axis_0'}",
            ("fsdp",),
        ),
        ("replica_groups=mesh['a'=2,'b'=4] {'a'}", ("data",)),
    ],
)
def test_every_spelling_of_groups(groups, axes, mesh):
    hlo = (
        "ENTRY %main (p: f32[8]) -> f32[8] {\n"
        f"  %x = f32[8]{{0}} all-reduce(%p), channel_id=1, {groups}, to_apply=%add\n"
        "}\n"
    )
    (traffic,) = traffic_of(hlo, mesh)
    assert traffic.axes == axes


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
def test_what_crosses_slices_is_told_from_what_stays_within():
    prepare_environment()
    mesh = make_mesh(get_config().mesh, devices_of(parse_topology("v5e:2x2", 2)))

    def shape(rows, spec):
        sharding = NamedSharding(mesh, PartitionSpec(spec))
        return jax.ShapeDtypeStruct((rows, 1024), np.float32, sharding=sharding)

    gradient = jax.jit(jax.grad(lambda w, x: ((x @ w) ** 2).sum()))
    hlo = gradient.lower(shape(1024, None), shape(80, "data")).compile().as_text()
    crossing = [t for t in traffic_of(hlo, mesh) if t.crosses_slices]
    # Reduced over the four chips of its slice first: a quarter of the gradient is left for each.
    assert [(t.axes, t.bytes_per_device) for t in crossing] == [(("data",), 1024 * 1024)]
    assert any(not t.crosses_slices for t in traffic_of(hlo, mesh))
