"""Changes that make a step fit, in the order of their cost, and those that cannot are not compiled.

The compiler's part is in test_pod_plan.py; here plans are made up, so that no libtpu is needed.
"""

import pytest

from place_jax import configuration, pod_plan_search
from place_jax.parallel.hardware import GIB
from place_jax.parallel.topology import parse_topology
from place_jax.pod_plan import Plan
from place_jax.training.flops import Flops

TOPOLOGY = parse_topology("v5e:4x4")
STATE = {"parameters": 1 * GIB, "optimizer": 2 * GIB}


def config_of(*overrides):
    return configuration.load_config("mimic_cxr_vit_b16", overrides)


def plan_of(changes, *, activations, seconds=1.0):
    """A plan as the compiler would find it, were activations all that remat and parts change."""
    remat = changes.get("model.remat", "dots")
    shares = {"none": 4, "dots": 1, "full": 0.4}
    fsdp = changes.get("mesh.fsdp", 1)
    rest = activations * shares[remat] / changes.get("train.accumulation", 1) * GIB
    memory = {kind: size // fsdp for kind, size in STATE.items()}
    memory["the rest"] = int(memory["parameters"] + rest)
    fits = sum(memory.values()) < 16 * GIB
    slower = 1.3 if remat == "full" else 1.0
    work = {"compute": seconds * slower, "hbm": 0.0, "ici": 0.01 / fsdp, "dcn": 0.0}
    return Plan(
        topology=TOPOLOGY,
        mesh={"replica": 1, "data": 16 // fsdp, "fsdp": fsdp, "tensor": 1},
        changes=dict(changes),
        step="",
        fits=fits,
        memory=memory,
        limit_bytes=16 * GIB,
        parameters=1,
        step_flops=Flops(1, 1),
        model_flops=Flops(1, 1),
        collectives=[] if fits else None,
        seconds=work if fits else None,
        contrast={},
        compile_seconds=0.0,
    )


@pytest.fixture
def compiled(monkeypatch):
    """Stands for the compiler, given GiB of activations; notes what it is asked for."""

    class Compiler:
        activations = 20.0
        asked: list = []

        def __call__(self, config, topology, *, vocab_size, changes):
            self.asked.append(dict(changes))
            return plan_of(changes, activations=self.activations)

    compiler = Compiler()
    compiler.asked = []
    monkeypatch.setattr(pod_plan_search, "make_plan", compiler)
    return compiler


def search(compiled, activations, say=lambda words: None):
    compiled.activations = activations
    too_large = plan_of({}, activations=activations)
    assert not too_large.fits
    return pod_plan_search.smallest_change(config_of(), TOPOLOGY, too_large=too_large, say=say)


def test_more_recomputing_is_the_first_that_is_tried(compiled):
    assert search(compiled, 20).changes == {"model.remat": "full"}
    assert compiled.asked == [{"model.remat": "full"}]


def test_what_cannot_fit_is_passed_over_and_said(compiled):
    said = []
    plan = search(compiled, 100, said.append)
    # 100 GiB: in 2 or 4 parts, or with the state over the chips, there are 25 GiB or more.
    assert plan.changes == {"model.remat": "full", "train.accumulation": 4}
    assert compiled.asked == [{"model.remat": "full"}, plan.changes]
    assert "train.accumulation=2: passed over, takes 54.00 of 16.00 GiB at the least" in said
    assert said[-1].startswith("model.remat=full, train.accumulation=4: fits, 14.00 of")


def test_nothing_fits_where_not_even_all_of_it_does(compiled):
    assert search(compiled, 10_000) is None


def test_changes_are_tried_from_the_least_costly_on():
    tried = pod_plan_search.changes_to_try(config_of("model.remat=none"), TOPOLOGY, fsdp=1)
    assert tried[:3] == [
        {"model.remat": "dots"},
        {"model.remat": "full"},
        {"train.accumulation": 2},
    ]
    assert {"mesh.fsdp": 16, "mesh.data": -1} in tried
    assert len(tried[-1]) == 4
    spread = pod_plan_search.changes_to_try(config_of(), TOPOLOGY, fsdp=16)
    assert not any("mesh.fsdp" in changes for changes in spread)


def test_a_sweep_stops_at_the_least_recomputing_that_fits_and_the_fastest_is_first(compiled):
    compiled.activations = 10
    plans = pod_plan_search.sweep(config_of(), TOPOLOGY)
    assert [(p.changes["model.remat"], p.mesh["fsdp"], p.fits) for p in plans] == [
        ("dots", 16, True),
        ("dots", 1, True),
        ("none", 1, False),
        ("none", 16, False),
    ]
