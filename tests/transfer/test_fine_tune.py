"""Fine-tuning: what moves and how far, and a run from labels to a score."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_run

from data_pipelines.batches import labelled_batches, open_data, read_records
from place_jax.transfer import fine_tune
from place_jax.transfer.layer_decay import layer_scales
from place_jax.transfer.protocols.fine_tune import FineTuneRecipe

QUICK = FineTuneRecipe(epochs=1, min_steps=4, rounds=2, batch_size=16, learning_rate=1e-2)


def test_learning_rates_fall_towards_the_input():
    image = {
        "blocks": {"mlp": {"kernel": jnp.zeros((3, 4, 4)), "bias": jnp.zeros((3, 4))}},
        "norm": {"scale": jnp.zeros(4)},
        "stem": {"kernel": jnp.zeros((4, 4))},
        "position": jnp.zeros((2, 2, 4)),
    }
    scales = layer_scales({"image": image, "head": {"kernel": jnp.zeros((4, 2))}}, 0.5)
    assert scales["head"]["kernel"] == 1 and scales["image"]["norm"]["scale"] == 1
    blocks = scales["image"]["blocks"]["mlp"]
    np.testing.assert_allclose(np.ravel(blocks["kernel"]), [1 / 8, 1 / 4, 1 / 2])
    assert blocks["kernel"].shape == (3, 1, 1) and blocks["bias"].shape == (3, 1)
    assert scales["image"]["stem"]["kernel"] == scales["image"]["position"] == 1 / 16


def test_an_epoch_of_labelled_batches_holds_each_example_once(phantom_dir):
    data = open_data(phantom_dir)
    positions = np.array([3, 50, 7, 8, 90])
    stream = labelled_batches(data, "train", positions, batch_size=4, crop_size=48, seed=0)
    batches = [next(stream) for _ in range(4)]
    records = read_records(data, "train", fields=("labels",))
    for epoch in (batches[:2], batches[2:]):
        index = np.concatenate([batch["index"] for batch in epoch])
        mask = np.concatenate([batch["example_mask"] for batch in epoch])
        assert sorted(index[mask]) == sorted(positions) and (index[~mask] == -1).all()
    first = batches[0]
    assert first["image"].shape == (4, 48, 48, 1)
    for row in range(4):
        np.testing.assert_array_equal(first["labels"][row], records[first["index"][row]]["labels"])
    hosts = [
        next(
            labelled_batches(
                data, "train", positions, batch_size=4, crop_size=48, seed=0, host=h, num_hosts=2
            )
        )
        for h in (0, 1)
    ]
    both = np.concatenate([half["image"] for half in hosts])
    np.testing.assert_array_equal(both, first["image"])


@pytest.fixture(scope="module")
def tiny(phantom_dir):
    config = tiny_run.tiny_config(phantom_dir)
    return tiny_run.untrained_model(phantom_dir), open_data(phantom_dir), config


def test_a_run_is_scored_and_leaves_the_checkpoint_as_it_was(tiny):
    (model, params, model_state), data, config = tiny
    before = jax.tree.map(np.array, params)
    said = []
    out = fine_tune.evaluate_fine_tuned(
        model,
        params,
        model_state,
        data,
        config,
        recipe=QUICK,
        fractions=(0.5, 1.0),
        bootstrap=20,
        say=said.append,
    )
    for part in ("50_percent", "100_percent"):
        name = f"fine_tune/test/{part}/macro_auroc"
        assert 0 <= out[f"{name}_ci_low"] <= out[f"{name}_ci_high"] <= 1
    assert any("best on validation" in line for line in said)
    assert f"fine_tune/test/100_percent/auroc/{'cardiomegaly'}" in out.details
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.array, params))


def test_devices_share_the_batch_and_change_nothing(tiny):
    from place_jax.parallel.mesh import make_mesh, replicated

    (model, params, model_state), data, config = tiny
    mesh = make_mesh(config.mesh)
    found = []
    for where, weights in (
        (None, (params, model_state)),
        (mesh, jax.device_put((params, model_state), replicated(mesh))),
    ):
        found.append(
            fine_tune.evaluate_fine_tuned(
                model,
                *weights,
                data,
                config,
                mesh=where,
                recipe=dataclasses.replace(QUICK, learning_rate=1e-3),
                fractions=(0.5,),
                bootstrap=0,
                say=lambda line: None,
            )
        )
    for name, value in found[0].items():
        if "auroc" in name:  # of 31 images; calls at a threshold may flip on a rounding
            assert found[1][name] == pytest.approx(value, abs=0.05), name


@pytest.mark.parametrize("bad", [{"layer_decay": 1.5}, {"learning_rate": 0}, {"epochs": 0}])
def test_a_recipe_out_of_range_is_one_line(bad):
    with pytest.raises(ValueError, match="must be above 0 and at most"):
        FineTuneRecipe(**bad)
