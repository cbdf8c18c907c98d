"""One-to-one matching against SciPy, sentences drawn where there are too many, and the memory."""

import jax
import numpy as np
import objective_cases as cases
import pytest
from scipy.optimize import linear_sum_assignment

from place_jax.objectives import matching, pathological, statements


@pytest.mark.parametrize(("sentences", "queries"), [(4, 4), (3, 7), (1, 3), (8, 32)])
def test_assignments_are_the_best_there_are(sentences, queries):
    rng = np.random.default_rng(sentences)
    cosine = rng.uniform(-1, 1, (64, sentences, queries))
    mask = rng.random((64, sentences)) < 0.7
    place = np.broadcast_to(np.arange(sentences), mask.shape)
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(jax.vmap(matching.assign))(cosine, place, mask))
    for matrix, taking, query in zip(cosine, mask, found, strict=True):
        row, column = linear_sum_assignment(-matrix[taking])
        best = matrix[taking][row, column].sum()
        own = query[taking]
        np.testing.assert_allclose(matrix[taking, own].sum(), best, rtol=1e-12)
        assert len(set(own)) == taking.sum(), "no query is taken twice"


def test_equal_statements_take_one_query_together():
    statement = np.array([[[1, 1], [2, 1], [1, 1], [1, 2]]], np.uint32)
    mention = matching.first_mentions(statement, np.ones((1, 4), bool))[0]
    assert mention.tolist() == [0, 1, 0, 3]
    query = matching.assign(cases.unit(np.random.default_rng(0), 4, 3 + 1), mention, mention > -1)
    assert query[0] == query[2] and len({int(q) for q in query}) == 3


def test_more_sentences_than_queries_are_refused_and_not_dropped_in_silence():
    with pytest.raises(ValueError, match="40 sentences over 32 queries.*max_sentences=32"):
        matching.assign(np.zeros((40, 32)), np.arange(40), np.ones(40, bool))


def test_too_many_sentences_are_drawn_anew_at_every_step():
    """Seven sentences, one of them said twice, for three queries."""
    batch = cases.batch((7, 2), max_sentences=7)
    batch["statement"][:, :, 1] = 0
    batch["statement"][:, :, 0] = [[0, 1, 2, 3, 4, 5, 0], [0, 1, 2, 3, 4, 5, 6]]
    outputs = cases.outputs(2, max_sentences=7)
    config = cases.config(match="one_to_one")
    drawn = set()
    for step in range(12):
        taking = pathological.taking_part(outputs, batch, config, step)
        said = taking.statement[0, :, 0].tolist()
        assert taking.mask.sum(axis=1).tolist() == [3, 2] and len(set(said)) == 3
        drawn.update(said)
    assert drawn == set(range(6))
    first = pathological.taking_part(outputs, batch, config)
    assert first.statement[0, :, 0].tolist() == [0, 1, 2]
    unlimited = pathological.taking_part(outputs, batch, cases.config(match="max"))
    assert unlimited.mask.sum() == 9


def test_a_report_still_makes_a_statement_that_was_not_drawn():
    batch = cases.batch((3, 1), max_sentences=3)
    batch["statement"][:, :, 0], batch["statement"][:, :, 1] = [[7, 8, 9], [9, 0, 0]], 0
    taking = statements.sample_sentences(
        statements.all_sentences(cases.outputs(2, max_sentences=3).t_por, batch), 2, None
    )
    targets = statements.statement_targets(batch, taking, dtype=np.float32)
    assert targets.positives.tolist() == [[True, True, True, False], [False, False, True, False]]


def test_memory_does_not_hold_every_query_against_every_sentence():
    examples, sentences, queries = 32, 16, 32
    batch = cases.batch([sentences] * examples, max_sentences=sentences)
    outputs = cases.outputs(
        examples, max_sentences=sentences, queries=queries, width=8, dtype=np.float32
    )
    arrays, join = cases.split(outputs)
    every_score = 4 * examples * queries * examples * sentences
    config = cases.config(memory_bytes=every_score // 2)

    def loss_of(arrays):
        return pathological.pathological_loss(join(arrays), batch, config)[0]

    compiled = jax.jit(jax.grad(loss_of)).lower(arrays).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < every_score / 2
