"""Partition rules: what grows with the model is spread, for every shipped config."""

import jax
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from place_jax import configuration
from place_jax.models.functional import Model
from place_jax.parallel.mesh import make_mesh
from place_jax.parallel.partition import Rule, param_shardings, path_string


@pytest.fixture(scope="module")
def mesh():
    """Eight devices: 2 data, 2 fsdp, 2 tensor."""
    config = configuration.load_config("phantom_demo").mesh
    config.update(fsdp=2, tensor=2)
    return make_mesh(config)


def shapes(**arrays):
    return {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in arrays.items()}


def specs(tree, mesh, **kwargs):
    found = jax.tree_util.tree_leaves_with_path(param_shardings(tree, mesh, **kwargs))
    return {path_string(path): sharding.spec for path, sharding in found}


@pytest.mark.parametrize("name", configuration.shipped_configs())
def test_shipped_configs_are_spread(name, mesh):
    config = configuration.load_config(name)
    model = Model.from_config(config.model, image_size=config.data.crop_size, vocab_size=28996)
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    found = specs(params, mesh)  # more than 2 % left whole would raise
    for tower in ("image", "text"):
        up, down = (f"{tower}/blocks/mlp/{which}/kernel" for which in ("up", "down"))
        assert found[up] == PartitionSpec(None, "fsdp", "tensor")
        assert found[down] == PartitionSpec(None, "tensor", "fsdp")
    assert found["logit_scale/instance"] == PartitionSpec()
    moments = specs(jax.eval_shape(optax.adam(1e-3).init, params), mesh)
    assert moments["0/mu/text/blocks/mlp/up/kernel"] == found["text/blocks/mlp/up/kernel"]


def test_stacked_layers_are_not_split(mesh):
    tree = {"blocks": shapes(query=(64, 3), other=(64, 6))}
    found = specs({"image": tree, "large": shapes(kernel=(640, 64))["kernel"]}, mesh)
    assert found["image/blocks/other"] == PartitionSpec(None, "fsdp")
    assert found["image/blocks/query"] == PartitionSpec(None, None)


def test_much_left_whole_is_an_error(mesh):
    tree = shapes(even=(100, 100), odd=(21, 21))
    with pytest.raises(ValueError, match=r"4\.2% .* mesh\.fsdp=2; the largest is odd.*") as caught:
        param_shardings(tree, mesh)
    assert "\n" not in str(caught.value)
    tree["odd"] = shapes(x=(11, 11))["x"]
    assert specs(tree, mesh)["odd"] == PartitionSpec(None, None)


def test_the_first_rule_that_matches_decides(mesh):
    rules = (("norm", Rule.REPLICATED), (".*", Rule.LARGEST_FSDP))
    tree = {"big": shapes(kernel=(400, 100)), "norm": shapes(scale=(100,))}
    found = specs(tree, mesh, rules=rules)
    assert found == {"big/kernel": PartitionSpec("fsdp", None), "norm/scale": PartitionSpec(None)}
