"""Configs: found by name and by path, overridden, checked; the shipped ones are held by golden
files of what they resolve to.
"""

import json
import math
import pathlib
import re

import pytest

from place_jax import configuration
from place_jax.configs import base, mimic_cxr_vit_b16
from place_jax.parallel.topology import parse_topology

GOLDEN = pathlib.Path(__file__).parent / "golden"
SHIPPED = [f"{name}{arg}" for name in configuration.shipped_configs() for arg in ("", ":smoke")]


@pytest.mark.smoke
@pytest.mark.parametrize("spec", SHIPPED)
def test_shipped_config_resolves_to_its_golden_file(spec):
    """To accept a change: `python tests/test_configuration.py`, and read the difference."""
    path = GOLDEN / f"{spec.replace(':', '_')}.json"
    assert configuration.to_json(configuration.load_config(spec)) == path.read_text()


def test_the_plain_demo_has_the_queries_of_the_base_and_cce_of_texture():
    base, demo, plain = (
        dict(configuration.flatten(configuration.load_config(spec)))
        for spec in ("mimic_cxr_vit_b16", "phantom_demo", "phantom_demo:plain")
    )
    differing = {key for key in demo if demo[key] != plain[key]}
    assert differing == {
        *(f"model.observation.{key}" for key in ("reads", "sharpness", "separation")),
        *(f"model.correlation.{key}" for key in ("centre", "hide_layout", "mask_ratio")),
    }
    for key in differing:
        of_base = plain if "observation" in key else demo
        assert of_base[key] == base[key], key


@pytest.mark.parametrize("hardware", mimic_cxr_vit_b16.HARDWARE)
def test_hardware_changes_how_the_step_is_laid_out_and_nothing_that_is_learned(hardware):
    plain, preset = (
        dict(configuration.flatten(configuration.load_config(f"mimic_cxr_vit_b16{arg}")))
        for arg in ("", f":{hardware}")
    )
    differing = {key for key in plain if plain[key] != preset[key]}
    layout = {"model.remat", "train.accumulation", "mesh.data", "mesh.fsdp"}
    assert differing == set(mimic_cxr_vit_b16.HARDWARE[hardware]) <= layout
    devices = 1
    if not hardware.startswith("gpu"):
        topology = parse_topology(hardware.replace("_", ":"))
        devices = topology.chips * topology.chip.devices
    assert plain["data.batch_size"] % (devices * preset["train.accumulation"]) == 0


def test_hardware_that_has_no_preset_names_those_there_are():
    with pytest.raises(configuration.ConfigError, match="v9_4x4 is not known.*v5e_2x2, "):
        configuration.load_config("mimic_cxr_vit_b16:v9_4x4")


def test_json_round_trip():
    config = configuration.load_config("phantom_demo")
    again = configuration.from_json(configuration.to_json(config))
    configuration.validate(again)
    assert dict(configuration.flatten(again)) == dict(configuration.flatten(config))


def test_a_config_of_an_earlier_version_has_what_came_later_at_its_neutral_value():
    earlier = json.loads(configuration.to_json(configuration.load_config("phantom_demo")))
    del earlier["model"]["observation"]["reads"], earlier["train"]["accumulation"]
    config = configuration.from_json(json.dumps(earlier))
    configuration.validate(config)
    assert config.model.observation.reads == "encoder" and config.train.accumulation == 1
    assert config.model.observation.num_queries == earlier["model"]["observation"]["num_queries"]


def test_a_path_is_tried_before_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("configs").mkdir()
    pathlib.Path("configs/phantom_demo.py").write_text(
        "from place_jax.configs import base\n"
        "def get_config(arg=''):\n"
        "    config = base.get_config()\n"
        "    config.seed = 77\n"
        "    return config\n"
    )
    assert configuration.load_config("configs/phantom_demo.py").seed == 77
    assert configuration.load_config("phantom_demo").seed == 0


def test_overrides_take_the_type_of_the_key():
    config = configuration.load_config(
        "phantom_demo", ["optimizer.learning_rate=1", "data.dir=123", "train.steps=7"]
    )
    assert config.optimizer.learning_rate == 1.0
    assert isinstance(config.optimizer.learning_rate, float)
    assert config.data.dir == "123"
    assert config.train.steps == 7


@pytest.mark.parametrize(
    ("spec", "overrides", "words"),
    [
        ("phantom_dem", [], ["phantom_dem", "did you mean phantom_demo"]),
        ("phantom_demo:tiny", [], ["phantom_demo:tiny", "smoke"]),
        ("nowhere/config.py", [], ["nowhere/config.py", "phantom_demo"]),
        ("phantom_demo", ["data.bach_size=3"], ["data.bach_size", "data.batch_size"]),
        ("phantom_demo", ["data.batch_size=x"], ["data.batch_size='x'", "int"]),
        ("phantom_demo", ["train.steps=0"], ["train.steps=0", "at least 1"]),
        ("phantom_demo", ["train.steps"], ["train.steps", "VALUE"]),
        ("phantom_demo", ["data.max_tokens=2"], ["max_tokens=2", "at least 3"]),
        ("phantom_demo", ["loss.lambda_p=-1"], ["loss.lambda_p=-1.0", "0 or more"]),
        ("phantom_demo", ["loss.convirt_image_weight=2"], ["image_weight=2.0", "0 to 1"]),
        ("phantom_demo", ["train.ema_decay=1"], ["train.ema_decay=1.0", "below 1"]),
        ("phantom_demo", ["model.text.heads=0"], ["model.text.heads=0", "at least 1"]),
        ("phantom_demo", ["data.crop_size=113"], ["113", "16", "112"]),
        ("phantom_demo", ["objective=simclr"], ["simclr", "clip"]),
        ("phantom_demo", ["objective=siglip"], ["siglip", "model.logits=scale_and_bias"]),
        ("phantom_demo", ["objective=gloria"], ["gloria", "set model.local=projections"]),
        (
            "phantom_demo",
            ["objective=mgca", "model.local=projections"],
            ["mgca", "set model.local=prototypes"],
        ),
        ("phantom_demo", ["model.correlation.mask_ratio=1.1"], ["mask_ratio=1.1", "0 to 1"]),
        ("phantom_demo", ["model.correlation.mask_ratio=0.0"], ["hides 0 of 49", "set all"]),
        (
            "phantom_demo",
            ["model.correlation.mask_ratio=0.02", "loss.correlation_pairs=both_hidden"],
            ["hides 1 of 49", "both_hidden then scores nothing"],
        ),
        (
            "phantom_demo",
            ["model.correlation.mask_ratio=1.0", "model.correlation.condition=none"],
            ["hides all of 49", "set model.correlation.condition=report"],
        ),
        ("phantom_demo", ["data.crop_size=16"], ["data.crop_size=16 has 1 patch", "larger crop"]),
        (
            "phantom_demo",
            ["train.calibrate=False"],
            ["observation.separation=1.0", "train.calibrate=False", "separation to 0"],
        ),
        (
            "phantom_demo",
            ["model.correlation.statistic=covariance"],
            ["statistic=covariance", "set model.correlation.form=free"],
        ),
        (
            "phantom_demo",
            ["model.correlation.start=mean", "model.correlation.form=low_rank"],
            ["start=mean", "form=low_rank", "set model.correlation.form=low_rank_plus_diagonal"],
        ),
        (
            "phantom_demo",
            ["model.correlation.start=mean", "train.calibrate=False"],
            ["start=mean", "calibrate=False", "set train.calibrate=True"],
        ),
        (
            "phantom_demo",
            ["model.correlation.target=ema_features"],
            ["ema_features", "train.ema_decay=0.0", "set a decay"],
        ),
    ],
)
def test_a_bad_config_is_one_clear_line(spec, overrides, words):
    with pytest.raises(configuration.ConfigError) as caught:
        configuration.load_config(spec, overrides)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_every_number_has_a_range_and_not_a_number_is_in_none():
    config = base.get_config()
    numbers = {
        key: value
        for key, value in configuration.flatten(config)
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    for key, value in numbers.items():
        if key.startswith("mesh."):  # which make_mesh checks, by the devices that are there
            continue
        for wrong in (-2, math.nan) if isinstance(value, float) else (-2,):
            changed = config.copy_and_resolve_references()
            changed.update_from_flattened_dict({key: type(value)(wrong)})
            with pytest.raises(configuration.ConfigError, match=f"{re.escape(key)}="):
                configuration.validate(changed)


def test_a_key_added_in_python_is_refused():
    config = configuration.load_config("phantom_demo")
    with config.unlocked():
        config.train.stpes = 3
    with pytest.raises(configuration.ConfigError, match="train.stpes.*train.steps"):
        configuration.validate(config)


if __name__ == "__main__":
    for shipped in SHIPPED:
        text = configuration.to_json(configuration.load_config(shipped))
        (GOLDEN / f"{shipped.replace(':', '_')}.json").write_text(text)
