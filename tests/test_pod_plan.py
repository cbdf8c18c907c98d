"""`place plan`: it compiles what train runs, says what it needs, and what would make it fit.

Needs libtpu, which compiles for TPUs that are not there.
"""

import importlib.util
import json
import re

import jax
import pytest

from place_jax import cli, configuration
from place_jax.parallel.topology import devices_of, parse_topology, prepare_environment

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="libtpu is not installed: pip install 'place_jax[tpu]'",
)
prepare_environment()


@pytest.fixture(scope="module", autouse=True)
def quick():
    """The compiler's optimisations off: 4 to 7 times faster, nearly the same memory."""
    before = jax.config.jax_optimization_level
    jax.config.update("jax_optimization_level", "O0")
    yield
    jax.config.update("jax_optimization_level", before)


def config_of(*overrides):
    return configuration.load_config("phantom_demo:smoke", ["objective=clip", *overrides])


@pytest.fixture(scope="module")
def topology():
    return parse_topology("v5e:2x2")


@pytest.fixture(scope="module")
def plan(topology):
    from place_jax import pod_plan

    return pod_plan.make_plan(config_of("data.batch_size=64"), topology)


def without_device_kind(jaxpr: str) -> str:
    """A jaxpr's text with the name of the hardware under its mesh left out."""
    return re.sub(r"device_kind=[^)]*\)", "", jaxpr)


@pytest.mark.slow
def test_it_is_the_step_that_train_runs(phantom_dir, tmp_path, monkeypatch):
    from place_jax import pod_plan
    from place_jax.parallel.mesh import make_mesh
    from place_jax.training import loop
    from place_jax.training.step import abstract_state

    class Seen(Exception):
        pass

    def see(self, at, state, step, feed):
        feed.load_ahead()
        raise Seen(str(step.trace(state, feed.ahead[0]).jaxpr))

    def no_arrays(model, tx, config, mesh, rows):
        return abstract_state(model, tx, config, mesh)

    monkeypatch.setattr(loop, "first_state", no_arrays)
    monkeypatch.setattr(loop._Run, "train", see)
    config = configuration.load_config("phantom_demo:smoke", [f"data.dir={phantom_dir}"])
    config.mesh.fsdp = 2
    with pytest.raises(Seen) as caught:
        loop.train_and_evaluate(config, tmp_path)
    mesh = make_mesh(config.mesh, devices_of(parse_topology("v5e:2x4")))
    _, _, traced = pod_plan.trace_step(config, mesh, vocab_size=600)
    ours, theirs = (without_device_kind(str(jaxpr)) for jaxpr in (traced.jaxpr, caught.value))
    assert ours == theirs


@pytest.mark.slow
def test_what_a_plan_says(plan):
    from place_jax import pod_plan_words

    config = config_of("data.batch_size=64")
    assert plan.fits and plan.mesh == {"replica": 1, "data": 4, "fsdp": 1, "tensor": 1}
    assert 15 * 2**30 < plan.limit_bytes < 16 * 2**30
    assert 4 * plan.parameters <= plan.memory["parameters"] <= 4.1 * plan.parameters
    assert plan.memory["optimizer"] >= 2 * plan.memory["parameters"]
    gradients = [t for t in plan.collectives if t.kind == "all-reduce" and t.axes == ("data",)]
    assert sum(t.bytes_per_device for t in gradients) > 4 * plan.parameters
    found = json.loads(json.dumps(pod_plan_words.to_json(plan, config)))
    for key in ("fits", "per_chip_bytes", "limit_bytes", "flops", "collectives"):
        assert key in found
    assert found["step_seconds_estimate"] > 0 and found["estimate"] == "estimate, no overlap"
    words = pod_plan_words.in_words(plan, config)
    for word in ("4 chips", "GiB", "estimate, no overlap", "bound by", "chip-hours", "contrast"):
        assert word in words


@pytest.mark.slow
def test_more_pairs_take_more_memory_and_too_many_are_an_answer(plan, topology):
    from place_jax import pod_plan, pod_plan_words

    more = pod_plan.make_plan(config_of("data.batch_size=4096"), topology)
    assert more.memory["temporaries"] > 4 * plan.memory["temporaries"]
    config = config_of(f"data.batch_size={2**22}")
    too_many = pod_plan.make_plan(config, topology)
    assert not too_many.fits and too_many.per_chip_bytes > too_many.limit_bytes
    assert pod_plan_words.to_json(too_many, config)["step_seconds_estimate"] is None
    assert "does NOT fit" in pod_plan_words.in_words(too_many, config)


def test_changes_are_tried_from_the_least_costly_on(topology):
    from place_jax import pod_plan

    tried = pod_plan.changes_to_try(config_of(), topology)
    assert tried[:3] == [
        {"model.remat": "dots"},
        {"model.remat": "full"},
        {"train.accumulation": 2},
    ]
    assert {"mesh.fsdp": 4, "mesh.data": 1} in tried
    assert len(tried[-1]) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--topology", "v5x:4x4"], ("v5x is not known", "v5e")),
        (["--topology", "v5e:3x5"], ("v5e:3x5 cannot be compiled for",)),
        (["--topology", "v5e:2x2", "--config.data.batch_size=6"], ("6", "multiple of 4")),
    ],
)
def test_what_cannot_be_planned_is_one_clear_line(arguments, words, capsys):
    assert cli.main(["plan", "--config", "phantom_demo:smoke", *arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith("place plan: ") and said.count("\n") == 1
    assert all(word in said for word in words)


@pytest.mark.slow
def test_the_smallest_change_that_fits_is_compiled(tmp_path, capsys):
    out = tmp_path / "plan.json"
    arguments = ["--topology", "v5e:4x4", "--config.data.batch_size=4096", "--quick"]
    status = cli.main(["plan", "--config", "mimic_cxr_vit_b16", *arguments, "--out", str(out)])
    assert status == 3
    found = json.loads(out.read_text())
    assert not found["fits"] and found["suggestion"]["fits"]
    assert "the smallest change that fits" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("change", ["data.max_sentences=20", "model.observation.num_queries=64"])
def test_queries_and_sentences_move_the_memory(change, topology):
    from place_jax import pod_plan

    config = ["data.batch_size=256", "objective=place", "loss.contrast=gathered"]
    less = pod_plan.make_plan(config_of(*config), topology)
    more = pod_plan.make_plan(config_of(*config, change), topology)
    assert more.per_chip_bytes > less.per_chip_bytes
