"""What objectives that compare words and patches read of a model, against NumPy written again."""

import functools
import math

import jax
import numpy as np
import pytest
from drawn_pairs import VOCABULARY

from place_jax.models.functional import Model

# [CLS], sentences with a [SEP] each, padding: of two, of one that fills the row, of none.
SENTENCE_OF_TOKEN = np.array(
    [
        [0, 1, 1, 1, 2, 2, 2, 2, 0, 0],
        [0, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
    np.int32,
)
WORDS = [
    [0, 1, 1, 0, 1, 1, 1, 0, 0, 0],
    [0, 1, 1, 1, 1, 1, 1, 1, 1, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
]


TOKENS = np.random.default_rng(1).integers(4, VOCABULARY, SENTENCE_OF_TOKEN.shape)
IMAGES = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def make(tiny_config):
    """Makes a model with two blocks a tower and a class token, or with other options."""

    def function(**overrides):
        options = dict(image__stem="patch", image__depth=2, local="prototypes", num_prototypes=6)
        config = tiny_config(**(options | overrides))
        return Model.from_config(config, image_size=32, vocab_size=VOCABULARY)

    return function


def draw(model):
    """Parameters, biases and all, by which attention is far from even."""
    rng = np.random.default_rng(0)
    shapes, _ = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda x: np.float32(0.7 * rng.standard_normal(x.shape)), shapes)


@pytest.fixture(scope="module")
def params(make):
    return draw(make())


def read_texts(model, params):
    encode = jax.jit(functools.partial(model.encode_texts, num_sentences=2))
    return encode(params, {}, np.int32(TOKENS), SENTENCE_OF_TOKEN)


def read_images(model, params):
    return jax.jit(model.encode_images)(params, {}, IMAGES)


@pytest.fixture(scope="module")
def texts(make, params):
    return read_texts(make(), params)


@pytest.fixture(scope="module")
def images(make, params):
    return read_images(make(), params)


def norm(p, x):
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return centred / deviation * p["scale"] + p["bias"]


def linear(p, x):
    return x @ p["kernel"] + p["bias"]


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def attend(p, x, may_look, heads=2):
    """One example [L, D] -> [L, D], and the mean over heads of the weights [L, L]."""
    query, key, value = (linear(p[name], x) for name in ("query", "key", "value"))
    size = x.shape[-1] // heads
    mixed, weights = [], []
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        scores = np.exp(query[:, part] @ key[:, part].T / math.sqrt(size)) * may_look
        weights.append(scores / scores.sum(1, keepdims=True))
        mixed.append(weights[-1] @ value[:, part])
    return linear(p["out"], np.concatenate(mixed, -1)), np.mean(weights, 0)


def mlp(p, x):
    return linear(p["down"], gelu(linear(p["up"], x)))


def float64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def read_report(p, tokens, sentence_of_token, context):
    """BERT of one report: states [L, D], and the last block's attention of [CLS] [L]."""
    length = len(tokens)
    positions, may_look = np.arange(length), np.eye(length, dtype=bool)
    present = np.array([i == 0 or s > 0 for i, s in enumerate(sentence_of_token)])
    for i, own in enumerate(sentence_of_token):
        if context == "report":
            may_look[i] = present
        elif i == 0:
            may_look[i] |= present
        elif own > 0:
            may_look[i] |= sentence_of_token == own
            positions[i] = 1 + i - np.flatnonzero(sentence_of_token == own)[0]
    x = p["word_embedding"]["embedding"][tokens] + p["position_embedding"]["embedding"][positions]
    x = norm(p["embedding_norm"], x + p["type_embedding"]["embedding"][0])
    for layer in range(2):
        block = jax.tree.map(lambda leaf, layer=layer: leaf[layer], p["blocks"])
        seen, weights = attend(block["attention"], x, may_look)
        x = norm(block["attention_norm"], x + seen)
        x = norm(block["mlp_norm"], x + mlp(block["mlp"], x))
    return x, weights[0]


def read_image(p, image):
    """ViT of one image: patch tokens [N, D], and the last block's attention of the class token."""
    pixels = (np.float64(image[..., 0]) / 255 - 0.5) / 0.5
    patches = [pixels[y : y + 8, x : x + 8].ravel() for y in (0, 8, 16, 24) for x in (0, 8, 16, 24)]
    x = linear(p["stem"]["embed"], np.stack(patches)) + p["position"].reshape(16, -1)
    x = np.concatenate([p["class_token"][None], x])
    for layer in range(2):
        block = jax.tree.map(lambda leaf, layer=layer: leaf[layer], p["blocks"])
        seen, weights = attend(block["attention"], norm(block["attention_norm"], x), 1.0)
        x = x + seen
        x = x + mlp(block["mlp"], norm(block["mlp_norm"], x))
    return norm(p["norm"], x)[1:], weights[0, 1:]


def test_words_are_neither_the_report_token_nor_a_sep_nor_padding(texts):
    np.testing.assert_array_equal(texts.word_mask, np.array(WORDS, bool))


@pytest.mark.parametrize("context", ["sentence", "report"])
def test_word_attention_is_that_of_the_report_token_in_the_last_block(context, make, params, texts):
    outputs = read_texts(make(text__context="report"), params) if context == "report" else texts
    p = float64(params)
    for i, sentence_of_token in enumerate(SENTENCE_OF_TOKEN):
        states, attention = read_report(p["text"], TOKENS[i], sentence_of_token, context)
        np.testing.assert_allclose(outputs.word_attention[i], attention, atol=1e-5)
        present = (sentence_of_token > 0) | (np.arange(10) == 0)
        np.testing.assert_array_equal(outputs.word_attention[i] > 0, present)
        words = linear(p["word_projection"], states)
        np.testing.assert_allclose(outputs.word_embedding[i][present], words[present], atol=1e-4)
    assert np.ptp(outputs.word_attention[1]) > 0.03, "an even attention would prove little"


def test_patch_attention_is_that_of_the_class_token_in_the_last_block(params, images):
    p = float64(params)
    for i, image in enumerate(IMAGES):
        tokens, attention = read_image(p["image"], image)
        np.testing.assert_allclose(images.patch_attention[i], attention, atol=1e-5)
        patches = linear(p["patch_projection"], tokens)
        np.testing.assert_allclose(images.patch_embedding[i], patches, atol=1e-4)
    assert images.patch_attention.shape == (2, 16), "the class token's own share is left out"
    assert np.ptp(images.patch_attention) > 0.03


def test_without_a_class_token_every_patch_is_attended_to_alike(make):
    model = make(image__stem="conv")
    params = draw(model)
    found = read_images(model, params)
    np.testing.assert_allclose(found.patch_attention, 1 / 16, rtol=1e-6)
    patches = linear(float64(params["patch_projection"]), float64(found.patch_tokens))
    np.testing.assert_allclose(found.patch_embedding, patches, atol=1e-4)


def test_watching_changes_no_token(make, params, texts, images):
    local = ("prototypes", "patch_projection", "word_projection")
    without = {name: value for name, value in params.items() if name not in local}
    plain_texts, plain_images = (
        read(make(local="none"), without) for read in (read_texts, read_images)
    )
    np.testing.assert_allclose(texts.token_states, plain_texts.token_states, atol=1e-5)
    np.testing.assert_allclose(images.patch_tokens, plain_images.patch_tokens, atol=1e-5)
    assert plain_texts.word_mask is plain_texts.word_embedding is None
    assert plain_images.patch_attention is plain_images.patch_embedding is None


def test_prototypes_are_handed_out_at_unit_length(make, params, pairs):
    stored = np.float64(params["prototypes"]) * [[0.01], [0.1], [1], [10], [100], [1000]]
    apply = jax.jit(lambda p: make().apply(p, {}, pairs).prototypes)
    unit = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    found = apply(params | {"prototypes": np.float32(stored)})
    np.testing.assert_allclose(found, unit, rtol=1e-5, atol=1e-7)
    without = {name: value for name, value in params.items() if name != "prototypes"}
    assert jax.eval_shape(make(local="projections").apply, without, {}, pairs).prototypes is None
