"""Finding, checking and writing configs: `NAME|PATH[:arg]` plus `key=value` overrides.

`configs/base.py` holds every key. An unknown key or a value of another type is an error.
"""

import ast
import difflib
import importlib.resources
import importlib.util
import json
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

_CHOICES = {
    "objective": ("place", "clip", "siglip", "convirt", "gloria", "mgca"),
    "data.sections": ("both", "findings", "impression"),
    "data.sentences": ("sampled", "first"),
    "model.dtype": ("float32", "bfloat16", "float64"),
    "model.param_dtype": ("float32", "float64"),
    "loss.contrast": ("auto", "gathered", "chunked"),
    "model.gradient_sum": ("compute", "param"),
    "model.remat": ("none", "dots", "full"),
    "model.logits": ("scale", "scale_and_bias"),
    "model.local": ("none", "projections", "prototypes"),
    "model.image.stem": ("patch", "conv"),
    "model.text.context": ("sentence", "report"),
    "model.observation.query_init": ("orthogonal", "normal"),
    "model.observation.competition": ("none", "slots"),
    "model.observation.reads": ("encoder", "stem"),
    "model.observation.null": ("none", "learned"),
    "loss.match": ("softmax", "max", "one_to_one"),
    "loss.scope": ("batch", "report"),
    "loss.positives": ("statement", "own"),
    "loss.sentence_weights": ("inverse_frequency", "uniform"),
    "loss.equal_reports": ("positives", "negatives"),
    "loss.instance_scale": ("learned", "fixed"),
    "model.correlation.hide_layout": ("scattered", "block", "side"),
    "model.correlation.hide_at": ("input", "stem", "blocks"),
    "model.correlation.condition": ("report", "none"),
    "model.correlation.target": ("pixels", "ema_features"),
    "model.correlation.centre": ("patch", "image"),
    "model.correlation.form": ("low_rank_plus_diagonal", "low_rank", "free"),
    "model.correlation.start": ("zero", "mean"),
    "model.correlation.statistic": ("correlation", "covariance"),
    "loss.correlation_pairs": ("hidden", "both_hidden", "all"),
    "loss.protocol": ("strict", "mgca_compat"),
}

# (range in words, the same as a test, keys): of every number but mesh's, which the mesh checks.
_RANGES = (
    (
        "at least 1",
        lambda value: value >= 1,
        (
            "data.batch_size",
            "data.crop_size",
            "data.max_sentences",
            "evaluation.batch_size",
            "evaluation.retrieval_pool",
            "loss.memory_bytes",
            "model.joint_dim",
            "model.num_prototypes",
            "model.correlation.rank",
            "model.image.patch_size",
            "model.observation.num_queries",
            "model.text.max_positions",
            *(
                f"model.{tower}.{key}"
                for tower in ("image", "text", "observation", "correlation")
                for key in ("width", "depth", "heads", "mlp_dim")
            ),
            "train.accumulation",
            "train.checkpoint_every",
            "train.eval_every",
            "train.keep_checkpoints",
            "train.log_every",
            "train.max_bad_steps",
            "train.steps",
        ),
    ),
    (
        "at least 3, for a piece of a sentence between [CLS] and [SEP]",
        lambda value: value >= 3,
        ("data.max_tokens",),
    ),
    (
        "0 or more",
        lambda value: 0 <= value < math.inf,
        (
            "seed",
            "evaluation.bootstrap",
            "evaluation.max_examples",
            "loss.attention_diversity",
            "loss.lambda_c",
            "loss.lambda_p",
            "loss.lambda_p_warmup_steps",
            "loss.prototype_freeze_steps",
            "loss.query_diversity",
            "model.observation.separation",
            "model.text.vocab_size",
            "optimizer.warmup_steps",
            "optimizer.weight_decay",
            "train.profile_from",
            "train.profile_steps",
        ),
    ),
    ("0 (never) or more", lambda value: 0 <= value < math.inf, ("train.hang_seconds",)),
    (
        "above 0",
        lambda value: 0 < value < math.inf,
        (
            "loss.convirt_temperature",
            "loss.tau_m",
            "model.observation.sharpness",
            "optimizer.clip_norm",
            "optimizer.learning_rate",
        ),
    ),
    (
        "0 to 1",
        lambda value: 0 <= value <= 1,
        ("loss.convirt_image_weight", "model.correlation.mask_ratio", "optimizer.end_fraction"),
    ),
    (
        "0 or more and below 1",
        lambda value: 0 <= value < 1,
        ("optimizer.b1", "optimizer.b2", "train.ema_decay"),
    ),
)

# objective -> (what it needs of the model, why).
_NEEDS = {
    "siglip": ("model.logits", ("scale_and_bias",), "it learns a bias too"),
    "gloria": ("model.local", ("projections", "prototypes"), "it compares words and patches"),
    "mgca": ("model.local", ("prototypes",), "it compares words and patches, and prototypes"),
}


class ConfigError(ValueError):
    """A config that cannot be run. The message says the key, its value and the fix."""


def shipped_configs() -> list[str]:
    """Names of the configs that come with the package."""
    folder = importlib.resources.files("place_jax.configs")
    names = [f.name[:-3] for f in folder.iterdir() if f.name.endswith(".py")]
    return sorted(n for n in names if n not in ("__init__", "base"))


def _load_file(path: pathlib.Path, arg: str) -> ConfigDict:
    spec = importlib.util.spec_from_file_location(f"place_jax_config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ConfigError(f"{path} has no get_config(arg): a config file defines that function")
    return module.get_config(arg)


def load_config(spec: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """Loads a config, applies overrides and validates it.

    Args:
      spec: a path to a Python file, or else the name of a shipped config; `:arg` may follow and
        is handed to its get_config.
      overrides: `key.of.config=value` each; values are Python literals, or else strings.

    Raises:
      ConfigError: for a config that is not there, an unknown key or a value of another type.
    """
    name, _, arg = spec.partition(":")
    path = pathlib.Path(name)
    if not (path.is_file() and path.suffix == ".py"):
        if path.suffix == ".py" or path.parent != pathlib.Path("."):
            raise ConfigError(
                f"config {name} is not a file: name a file, or one of "
                f"{', '.join(shipped_configs())}"
            )
        if name not in shipped_configs():
            near = difflib.get_close_matches(name, shipped_configs(), 1)
            hint = f"did you mean {near[0]}?" if near else "name a file, or one of those"
            raise ConfigError(
                f"config {name!r} is neither a file nor shipped ({', '.join(shipped_configs())}): "
                f"{hint}"
            )
        path = pathlib.Path(str(importlib.resources.files("place_jax.configs") / f"{name}.py"))
    try:
        config = _load_file(path, arg)
    except (AttributeError, KeyError, ValueError) as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from error
    override(config, overrides)
    validate(config)
    return config


def flatten(config: Mapping[str, Any] | ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted key, value) of every leaf, in order."""
    for key, value in config.items():
        if isinstance(value, ConfigDict | Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _unknown_key(key: str, known: Sequence[str]) -> ConfigError:
    near = difflib.get_close_matches(key, known, 1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "configs/base.py lists every key"
    return ConfigError(f"unknown config key {key}: {hint}")


def _convert(key: str, value: Any, like: Any) -> Any:
    """Returns `value` as the type of `like`; an int may stand for a float, nothing else may."""
    if isinstance(like, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(like):
        raise ConfigError(
            f"config key {key}={value!r} is {type(value).__name__}: "
            f"give {type(like).__name__}, such as {like!r}"
        )
    return value


def override(config: ConfigDict, overrides: Sequence[str]) -> None:
    """Applies `key=value` settings in place."""
    known = [key for key, _ in flatten(config)]
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals:
            raise ConfigError(f"override {item!r} has no value: write {item}=VALUE")
        if key not in known:
            raise _unknown_key(key, known)
        like = config
        for part in key.split("."):
            like = like[part]
        if isinstance(like, str):
            value = text
        else:
            try:
                value = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                value = text
        config.update_from_flattened_dict({key: _convert(key, value, like)})


def validate(config: ConfigDict) -> None:
    """Checks keys, types and ranges against configs/base.py.

    Raises:
      ConfigError: at the first key that is unknown, missing, of another type or out of range.
    """
    from place_jax.configs import base

    reference = dict(flatten(base.get_config()))
    given = dict(flatten(config))
    for key, value in given.items():
        if key not in reference:
            raise _unknown_key(key, list(reference))
        _convert(key, value, reference[key])
    for key in reference:
        if key not in given:
            raise ConfigError(f"config key {key} is missing: start from configs/base.py")
    for key, choices in _CHOICES.items():
        if given[key] not in choices:
            raise ConfigError(f"config key {key}={given[key]!r}: one of {', '.join(choices)}")
    _check_ranges(given)


def _check_ranges(given: Mapping[str, Any]) -> None:
    for said, fits, keys in _RANGES:
        for key in keys:
            if not fits(given[key]):
                raise ConfigError(f"config key {key}={given[key]}: {said}")
    if given["objective"] in _NEEDS:
        key, fits, why = _NEEDS[given["objective"]]
        if given[key] not in fits:
            said = f"objective={given['objective']} with {key}={given[key]}"
            raise ConfigError(f"{said}: {why}, set {key}={fits[0]}")
    batch_size, parts = given["data.batch_size"], given["train.accumulation"]
    if batch_size % parts:
        raise ConfigError(
            f"data.batch_size={batch_size} does not split into train.accumulation={parts} parts: "
            f"use a multiple of {parts}"
        )
    crop, patch = given["data.crop_size"], given["model.image.patch_size"]
    if crop % patch:
        raise ConfigError(
            f"data.crop_size={crop} does not divide into patches of {patch}: "
            f"use {crop // patch * patch or patch} or {(crop // patch + 1) * patch}"
        )
    _check_correlation(given)
    separation = given["model.observation.separation"]
    if separation > 0 and given["objective"] == "place" and not given["train.calibrate"]:
        raise ConfigError(
            f"model.observation.separation={separation} with train.calibrate=False: it is the "
            "first batch that sets V-PORs apart, set train.calibrate=True or the separation to 0"
        )
    for tower in ("image", "text", "observation", "correlation"):
        width, heads = given[f"model.{tower}.width"], given[f"model.{tower}.heads"]
        if width % heads:
            raise ConfigError(f"model.{tower}.width={width} does not divide over {heads} heads")


def _check_correlation(given: Mapping[str, Any]) -> None:
    ratio = given["model.correlation.mask_ratio"]
    trained = given["objective"] == "place" and given["loss.lambda_c"] > 0
    patches = (given["data.crop_size"] // given["model.image.patch_size"]) ** 2
    if trained and patches < 2:
        raise ConfigError(
            f"data.crop_size={given['data.crop_size']} has {patches} patch, and loss.lambda_c="
            f"{given['loss.lambda_c']} scores pairs of patches: use a larger crop"
        )
    pairs = given["loss.correlation_pairs"]
    hidden, least = round(ratio * patches), {"all": 0, "hidden": 1, "both_hidden": 2}[pairs]
    if trained and hidden < least:
        raise ConfigError(
            f"model.correlation.mask_ratio={ratio} hides {hidden} of {patches} patches and "
            f"loss.correlation_pairs={pairs} then scores nothing: raise the ratio, or set all"
        )
    if trained and hidden == patches and given["model.correlation.condition"] == "none":
        raise ConfigError(
            f"model.correlation.mask_ratio={ratio} hides all of {patches} patches and "
            "model.correlation.condition=none the report: lower the ratio, or set "
            "model.correlation.condition=report"
        )
    statistic, form = given["model.correlation.statistic"], given["model.correlation.form"]
    if trained and statistic == "covariance" and form != "free":
        raise ConfigError(
            f"model.correlation.statistic=covariance with model.correlation.form={form}, whose "
            "values are at most 1: set model.correlation.form=free"
        )
    starts_at_mean = given["model.correlation.start"] == "mean"
    if trained and starts_at_mean and form == "low_rank":
        raise ConfigError(
            "model.correlation.start=mean with model.correlation.form=low_rank, whose unit rows "
            "make no mean matrix: set model.correlation.form=low_rank_plus_diagonal"
        )
    if trained and starts_at_mean and not given["train.calibrate"]:
        raise ConfigError(
            "model.correlation.start=mean with train.calibrate=False: it is the first batch that "
            "sets the mean, set train.calibrate=True"
        )
    features = given["model.correlation.target"] == "ema_features"
    if trained and features and not given["train.ema_decay"] > 0:
        raise ConfigError(
            f"model.correlation.target=ema_features with train.ema_decay={given['train.ema_decay']}"
            ": there is no moving average of the encoder, set a decay such as 0.99"
        )


def to_json(config: ConfigDict) -> str:
    """The config as indented JSON, keys in the order of configs/base.py."""
    return json.dumps(config.to_dict(), indent=2) + "\n"


def from_json(text: str) -> ConfigDict:
    """The inverse of to_json.

    A key that an earlier version did not have takes its value of configs/base.py, so that a
    checkpoint of that version opens.
    """
    from place_jax.configs import base

    config = json.loads(text)
    for key, value in flatten(base.get_config()):
        *sections, name = key.split(".")
        inner = config
        for section in sections:
            inner = inner.setdefault(section, {})
        inner.setdefault(name, value)
    return ConfigDict(config)
