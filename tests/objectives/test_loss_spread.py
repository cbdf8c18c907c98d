"""The losses in shard_map, gathered and chunked, equal those of one device, on any mesh."""

import jax
import numpy as np
import objective_cases as cases
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from configs.base import get_config
from place_jax.objectives import get, mgca, pairs
from place_jax.parallel.collectives import on_mesh
from place_jax.parallel.mesh import BATCH_AXES, make_mesh

BATCH = cases.batch((2, 4, 3, 1, 0, 4, 2, 1) * 2, masked=(5, 15))
MESHES = {
    "data 2": dict(data=2),
    "data 8": dict(data=8),
    "fsdp 8": dict(data=1, fsdp=8),
    "data 2 x fsdp 4": dict(data=2, fsdp=4),
    "data 2 x fsdp 2 x tensor 2": dict(data=2, fsdp=2, tensor=2),
    "replica 2 x data 2 x fsdp 2": dict(replica=2, data=2, fsdp=2),
}
SWITCHES = {
    "place": dict(),
    "max": dict(match="max"),
    "one_to_one": dict(match="one_to_one"),
    "null": dict(sentence_weights="uniform"),
    "more sentences than queries": dict(match="one_to_one"),
    "report": dict(scope="report"),
    "report, max": dict(scope="report", match="max", positives="own"),
    "report, one_to_one": dict(scope="report", match="one_to_one", sentence_weights="uniform"),
    "own": dict(positives="own", query_diversity=0.5, attention_diversity=0.5),
    "equal_reports": dict(equal_reports="negatives", instance_scale="fixed"),
    "CCE": dict(lambda_p=0.0, lambda_c=1.0),
    "CCE of features": dict(lambda_p=0.0, lambda_c=1.0, correlation_pairs="both_hidden"),
}
NULL = ("max", "one_to_one", "null")
# By loss.protocol=mgca_compat; MGCA's groups are of four pairs, which one device holds, or two.
AS_CODED = {"gloria as coded": "gloria", "mgca as coded": "mgca"}
CASES = [("place", mesh) for mesh in MESHES]
CASES += [(name, "data 2 x fsdp 4") for name in SWITCHES if name != "place"]
CASES += [(name, "data 2 x fsdp 4") for name in ("clip", "siglip", "convirt", "gloria", "mgca")]
CASES += [("gloria as coded", "data 2 x fsdp 4")]
CASES += [("mgca as coded", mesh) for mesh in ("data 2", "data 2 x fsdp 4")]


def value_and_gradient(name, contrast, mesh=None):
    config = cases.config(**{"contrast": contrast, "lambda_c": 0.0} | SWITCHES.get(name, {}))
    if name == "CCE of features":
        config.model.correlation.update(target="ema_features", statistic="covariance")
    objective = get("place" if name in SWITCHES else AS_CODED.get(name, name))
    if name in AS_CODED:
        config.loss.protocol = "mgca_compat"
    queries = 2 if name == "more sentences than queries" else 4
    outputs = cases.outputs(16, queries=queries, null=name in NULL)
    arrays, join = cases.split(outputs)

    def loss_of(arrays, batch):
        return objective(join(arrays), batch, config)

    step = jax.value_and_grad(loss_of, has_aux=True)
    place = jax.numpy.asarray
    if mesh is not None:
        step = on_mesh(step, mesh)

        def place(x):
            spec = PartitionSpec(BATCH_AXES) if np.shape(x)[:1] == (16,) else PartitionSpec()
            return jax.device_put(x, NamedSharding(mesh, spec))

    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(mgca, "COMPAT_GROUP", 4)
        return jax.jit(step)(*jax.tree.map(place, (arrays, BATCH)))


@pytest.fixture(scope="module")
def dense():
    """Value and gradient on one device, which other tests hold to the references."""
    return {name: value_and_gradient(name, "gathered") for name in dict(CASES)}


@pytest.mark.parametrize("contrast", ["gathered", "chunked"])
@pytest.mark.parametrize(("name", "mesh"), CASES)
def test_spread_equals_dense(name, mesh, contrast, dense):
    sizes = MESHES[mesh]
    config = get_config().mesh
    config.update(sizes)
    found = value_and_gradient(
        name, contrast, make_mesh(config, jax.devices()[: np.prod(list(sizes.values()))])
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), found, dense[name]
    )


@pytest.mark.parametrize("name", ["place", "siglip"])
def test_blocks_on_one_device_equal_the_whole(name, dense):
    found = value_and_gradient(name, "chunked")
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), found, dense[name]
    )


def test_the_budget_decides_between_gathered_and_chunked():
    config = cases.config(memory_bytes=12 * 4 * 64 * 1000)
    assert pairs.columns_at_once(64, 1000, np.float32, config) == 1000
    assert pairs.columns_at_once(64, 1001, np.float32, config) == 1000
    assert pairs.columns_at_once(64, 1000, np.float64, config) == 500
    assert pairs.columns_at_once(64, 1000, np.float32, config, depth=9) == 250
    config.loss.contrast = "gathered"
    assert pairs.columns_at_once(64, 10**9, np.float32, config) == 10**9
    assert pairs.columns_at_once(64, 1000, np.float32, config, depth=9) == 250
