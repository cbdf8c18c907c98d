"""`place plan`: it compiles what train runs, says what it needs, and what would make it fit.

Needs libtpu, which compiles for TPUs that are not there.
"""

import importlib.util
import json

import jax
import pytest

from place_jax import cli, configuration
from place_jax.parallel.topology import parse_topology, prepare_environment

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
    settings = ["data.batch_size=64", "model.text.vocab_size=600", *overrides]
    return configuration.load_config("mimic_cxr_vit_b16:smoke", settings)


def plan_of(topology: str, *overrides):
    from place_jax import pod_plan

    return pod_plan.make_plan(config_of(*overrides), parse_topology(topology))


@pytest.fixture(scope="module")
def plan():
    return plan_of("v5e:2x4", "mesh.fsdp=2")


def test_it_is_the_step_that_train_runs(plan, phantom_dir, tmp_path, monkeypatch):
    from place_jax import pod_plan
    from place_jax.training import loop
    from place_jax.training.step import abstract_state

    class Seen(Exception):
        pass

    def see(self, at, state, step, feed):
        feed.load_ahead()
        raise Seen(pod_plan.fingerprint(step.trace(state, feed.ahead[0])))

    def no_arrays(model, tx, config, mesh, rows):
        return abstract_state(model, tx, config, mesh)

    monkeypatch.setattr(loop, "first_state", no_arrays)
    monkeypatch.setattr(loop._Run, "train", see)
    with pytest.raises(Seen) as caught:
        loop.train_and_evaluate(config_of("mesh.fsdp=2", f"data.dir={phantom_dir}"), tmp_path)
    assert str(caught.value) == plan.step


def test_what_a_plan_says(plan):
    from place_jax import pod_plan_words

    config = config_of()
    assert plan.fits and plan.mesh == {"replica": 1, "data": 4, "fsdp": 2, "tensor": 1}
    assert plan.per_chip_bytes < 15 * 2**30 < plan.limit_bytes < 16 * 2**30
    half = 4 * plan.parameters / 2
    assert half <= plan.memory["parameters"] <= 1.1 * half
    assert plan.memory["optimizer"] >= 1.9 * plan.memory["parameters"]
    moved = {axis for traffic in plan.collectives for axis in traffic.axes}
    assert moved == {"data", "fsdp"}
    found = json.loads(json.dumps(pod_plan_words.to_json(plan, config)))
    for key in ("fits", "per_chip_bytes", "limit_bytes", "flops", "collectives"):
        assert key in found
    assert found["step_seconds_estimate"] > 0 and found["estimate"] == "estimate, no overlap"
    words = pod_plan_words.in_words(plan, config)
    for word in ("8 chips", "GiB", "estimate, no overlap", "bound by", "chip-hours"):
        assert word in words
    # 64 pairs x 8 rows x 4 sentences x 12 copies of float32: what PCMA's scores may take at once.
    assert plan.contrast["gathered_from_memory_bytes"] == 64 * 8 * 4 * 12 * 4
    assert "switches to chunked where loss.memory_bytes is below 0.1 MiB" in words


def test_a_torus_of_three_axes_compiles_too():
    plan = plan_of("v4:2x2x4")
    assert plan.fits and plan.topology.chips == 16 and plan.mesh["data"] == 16
    assert 30 * 2**30 < plan.limit_bytes < 32 * 2**30
    gradients = [t for t in plan.collectives if t.kind == "all-reduce" and t.axes == ("data",)]
    # A ring sends each of n bytes 2 (n - 1) / n times.
    assert sum(t.bytes_per_device for t in gradients) > 4 * plan.parameters


@pytest.mark.parametrize(("topology", "devices"), [("v5e:1x1", 1), ("v6e:1x1", 1)])
def test_a_single_chip_as_in_a_notebook_is_a_topology_too(topology, devices):
    from place_jax.parallel.topology import devices_of

    assert len(devices_of(parse_topology(topology))) == devices


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", ["data.batch_size=1024", "data.max_sentences=48", "model.observation.num_queries=64"]
)
def test_pairs_queries_and_sentences_move_the_memory(change, plan):
    more = plan_of("v5e:2x4", "mesh.fsdp=2", change)
    assert more.memory["temporaries"] > 1.02 * plan.memory["temporaries"]


@pytest.mark.slow
def test_what_fits_is_below_the_limit_and_what_does_not_is_above_it():
    """Without recomputing, where temporaries that are never there together pass the limit."""
    from place_jax import pod_plan

    def full_size(pairs):
        settings = ["model.remat=none", f"data.batch_size={pairs}"]
        config = configuration.load_config("mimic_cxr_vit_b16", settings)
        return pod_plan.make_plan(config, parse_topology("v5e:4x4"))

    fits, too_large = full_size(576), full_size(704)
    assert fits.fits and 0.8 * fits.limit_bytes < fits.per_chip_bytes < fits.limit_bytes
    assert not too_large.fits and too_large.per_chip_bytes > too_large.limit_bytes
    grown = too_large.per_chip_bytes - fits.per_chip_bytes
    activations = fits.memory["temporaries"] - fits.memory["parameters"]
    assert grown == pytest.approx(activations * (704 / 576 - 1), rel=0.25)


@pytest.mark.slow
def test_too_many_pairs_are_an_answer():
    from place_jax import pod_plan_words

    too_many = ("objective=clip", f"data.batch_size={2**22}")
    plan = plan_of("v5e:2x2", *too_many)
    assert not plan.fits and plan.per_chip_bytes > plan.limit_bytes
    config = config_of(*too_many)
    assert pod_plan_words.to_json(plan, config)["step_seconds_estimate"] is None
    assert "does NOT fit" in pod_plan_words.in_words(plan, config)


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
