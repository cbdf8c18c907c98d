"""Small batches and outputs for the objectives' tests, ragged and repeated as reports are."""

import dataclasses

import numpy as np

from configs import base
from place_jax.objectives import pairs
from place_jax.outputs import Outputs

PATCH = 4


def config(**loss):
    """The neutral config at 4-pixel patches, with changed keys of `loss`."""
    result = base.get_config()
    result.model.image.patch_size = PATCH
    for key, value in loss.items():
        result.loss[key] = value
    return result


def memory_bytes(examples, *, block, max_sentences=4, queries=3, itemsize=8):
    """A budget by which PCMA on one device scores so many reports at once."""
    copies = pairs.TABLE_COPIES + pairs.DEPTH_COPIES * queries
    return block * copies * itemsize * examples * max_sentences


def unit(rng, *shape):
    values = rng.normal(size=shape)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def batch(
    sentences_per_report, *, max_sentences=4, statements=6, masked=(), patches_per_side=3, seed=0
):
    """Reports of so many sentences each, drawn from few statements, so that many repeat."""
    rng = np.random.default_rng(seed)
    examples = len(sentences_per_report)
    number = rng.integers(0, statements, (examples, max_sentences))
    # Fingerprints that share their high or their low half, so that both halves must be compared.
    statement = np.stack([number // 2, number % 2], axis=-1).astype(np.uint32)
    sentence_mask = np.arange(max_sentences) < np.array(sentences_per_report)[:, None]
    side = PATCH * patches_per_side
    image = rng.integers(0, 256, (examples, side, side, 1)).astype(np.uint8)
    image[:, :PATCH, :PATCH] = 77  # a flat patch in every image
    report = rng.integers(0, max(2, examples - 1), examples)
    return {
        "statement": statement,
        "sentence_mask": sentence_mask,
        "report_statement": np.stack([report // 2, report % 2], axis=-1).astype(np.uint32),
        "example_mask": ~np.isin(np.arange(examples), masked),
        "image": image,
    }


def outputs(
    examples,
    *,
    max_sentences=4,
    queries=3,
    width=4,
    patches=9,
    words=8,
    scale=5.0,
    seed=0,
    dtype=np.float64,
    null=False,
):
    rng = np.random.default_rng(seed + 1000)
    attention = rng.random((examples, queries, patches)) + 0.01
    fields = {
        "image_embedding": unit(rng, examples, width),
        "report_embedding": unit(rng, examples, width),
        "v_por": unit(rng, examples, queries, width),
        "v_por_attention": attention / attention.sum(-1, keepdims=True),
        "t_por": unit(rng, examples, max_sentences, width),
        "correlation_factors": unit(rng, examples, patches, 5),
        "target_tokens": rng.normal(size=(examples, patches, 6)),
        "patch_embedding": rng.normal(size=(examples, patches, width)),
        "patch_attention": rng.random((examples, patches)) + 0.01,
        "word_embedding": rng.normal(size=(examples, words, width)),
        "word_attention": rng.random((examples, words)) + 0.01,
        "prototypes": unit(rng, 5, width),
    }
    if null:
        fields["null_v_por"] = unit(rng, width)
    # Ragged: from all of a row's tokens but the first, down to none in the last report of several.
    lengths = np.maximum(words - 1 - 2 * np.arange(examples), 0)
    lengths[1:][-1:] = 0
    positions = np.arange(words)
    return Outputs(
        **{name: value.astype(dtype) for name, value in fields.items()},
        hidden_patches=rng.random((examples, patches)) < 0.5,
        word_mask=(positions > 0) & (positions <= lengths[:, None]),
        logit_scales={
            "instance": np.asarray(scale, dtype),
            "pathological": np.asarray(scale, dtype),
            "siglip": np.asarray(scale, dtype),
        },
        logit_biases={"siglip": np.asarray(-2.0, dtype)},
    )


FLOATS = (
    "image_embedding",
    "report_embedding",
    "v_por",
    "v_por_attention",
    "t_por",
    "correlation_factors",
    "target_tokens",
    "patch_embedding",
    "patch_attention",
    "word_embedding",
    "word_attention",
    "prototypes",
)


def split(all_outputs):
    """Outputs -> (the arrays that gradients are taken of, a function back to Outputs)."""
    names = FLOATS + (() if all_outputs.null_v_por is None else ("null_v_por",))
    arrays = {name: getattr(all_outputs, name) for name in names}
    arrays["scales"] = dict(all_outputs.logit_scales)
    arrays["biases"] = dict(all_outputs.logit_biases)

    def join(arrays):
        rest = {name: arrays[name] for name in names}
        return dataclasses.replace(
            all_outputs, logit_scales=arrays["scales"], logit_biases=arrays["biases"], **rest
        )

    return arrays, join


def take(tree_outputs, tree_batch, rows):
    """The same rows of outputs and batch."""
    fields = {
        field.name: getattr(tree_outputs, field.name)[rows]
        for field in dataclasses.fields(tree_outputs)
        if field.name not in ("logit_scales", "logit_biases", "null_v_por", "prototypes")
        and getattr(tree_outputs, field.name) is not None
    }
    return (
        dataclasses.replace(tree_outputs, **fields),
        {name: value[rows] for name, value in tree_batch.items()},
    )
