"""How reports are read: a sentence on its own, the report as a whole."""

import functools

import jax
import numpy as np
import pytest

from place_jax.models.bert import sentence_means, sentence_positions
from place_jax.models.functional import Model

LENGTH = 18


def pack(*sentences):
    """[CLS] (2), then each sentence's tokens and [SEP] (3), padded with 0."""
    tokens, numbers = [2], [0]
    for number, sentence in enumerate(sentences, start=1):
        tokens += [*sentence, 3]
        numbers += [number] * (len(sentence) + 1)
    padding = [0] * (LENGTH - len(tokens))
    return np.array(tokens + padding, np.int32), np.array(numbers + padding, np.int32)


def batch(*reports):
    return tuple(np.stack(x) for x in zip(*(pack(*r) for r in reports), strict=True))


@pytest.fixture
def encode(tiny_model, compiled):
    _, params, state = tiny_model

    def function(*reports):
        reports += ([],) * (3 - len(reports))  # always three, so that it compiles once
        return compiled.encode_texts(params, state, *batch(*reports), num_sentences=3)

    return function


EFFUSION, HEART, BASE = [10, 11, 12], [20, 21], [30, 31, 32, 33]


def test_equal_sentences_are_equal_vectors_wherever_they_stand(encode):
    outputs = encode([EFFUSION, HEART], [BASE, HEART, EFFUSION], [EFFUSION])
    t_por = np.asarray(outputs.t_por)
    np.testing.assert_allclose(t_por[0, 0], t_por[1, 2], atol=1e-6)
    np.testing.assert_allclose(t_por[0, 0], t_por[2, 0], atol=1e-6)
    np.testing.assert_allclose(t_por[0, 1], t_por[1, 1], atol=1e-6)
    assert np.abs(t_por[0, 0] - t_por[0, 1]).max() > 0.05


def test_the_report_token_reads_every_sentence(encode):
    outputs = encode([EFFUSION, HEART], [EFFUSION, BASE], [EFFUSION])
    reports = np.asarray(outputs.report_embedding)
    assert np.abs(reports[0] - reports[1]).max() > 1e-3
    assert np.abs(reports[0] - reports[2]).max() > 1e-3


def test_word_order_within_a_sentence_matters(encode):
    outputs = encode([EFFUSION], [EFFUSION[::-1]])
    assert np.abs(outputs.t_por[0, 0] - outputs.t_por[1, 0]).max() > 1e-3


def test_report_context_carries_the_report_into_its_sentences(tiny_model, tiny_config):
    _, params, state = tiny_model
    model = Model.from_config(tiny_config(text__context="report"), image_size=32, vocab_size=50)
    encode = jax.jit(functools.partial(model.encode_texts, num_sentences=3))
    outputs = encode(params, state, *batch([EFFUSION, HEART], [EFFUSION, BASE]))
    assert np.abs(outputs.t_por[0, 0] - outputs.t_por[1, 0]).max() > 1e-4


def test_positions_restart_in_each_sentence():
    numbers = np.array([[0, 1, 1, 1, 2, 2, 3, 0, 0], [0, 1, 2, 2, 2, 2, 2, 2, 2]])
    positions = sentence_positions(numbers)
    np.testing.assert_array_equal(positions[0, :7], [0, 1, 2, 3, 1, 2, 1])
    np.testing.assert_array_equal(positions[1], [0, 1, 1, 2, 3, 4, 5, 6, 7])


def test_a_report_of_nothing_is_finite_where_it_takes_up_every_position(tiny_model, compiled):
    model, params, state = tiny_model
    nothing = np.zeros((1, model.config.text.max_positions), np.int32)
    found = compiled.encode_texts(params, state, nothing, nothing, num_sentences=3)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


def test_sentence_means_leave_out_the_report_token_and_padding():
    states = np.array([[[9.0], [1.0], [3.0], [5.0], [7.0]]], np.float32)
    means = sentence_means(states, np.array([[0, 1, 1, 2, 0]]), num_sentences=3)
    np.testing.assert_allclose(means[0, :, 0], [2, 5, 0])


def test_too_many_tokens_are_refused(tiny_model):
    model, params, state = tiny_model
    tokens = np.zeros((1, 33), np.int32)
    with pytest.raises(ValueError, match="33 tokens, .*max_positions=32: lower data.max_tokens"):
        jax.eval_shape(model.encode_texts, params, state, tokens, tokens)
