import dataclasses

import numpy as np
import pytest

from place_jax.transfer.features import Features
from place_jax.transfer.retrieval import evaluate_retrieval, make_pool


@pytest.fixture
def perfect():
    """Twelve examples of ten distinct reports; images have their report's embedding."""
    reports = np.array([0, 1, 2, 2, 3, 4, 5, 6, 6, 7, 8, 9])
    return Features(
        image_embedding=np.eye(10)[reports],
        report_embedding=np.eye(10)[reports],
        labels=np.zeros((12, 14), np.int8),
        index=np.arange(12),
        report_statement=np.stack([reports, reports], axis=1).astype(np.uint32),
        statement=np.zeros((12, 1, 2), np.uint32),
        sentence_mask=np.ones((12, 1), bool),
        patient_id=tuple(f"p{i}" for i in range(12)),
    )


def test_equal_reports_are_one_candidate(perfect):
    out = evaluate_retrieval(perfect, split="test", pool=256, bootstrap=50)
    assert out["retrieval/test/pool_size"] == 10
    for direction in ("", "text_to_image_"):
        assert out[f"retrieval/test/{direction}recall_at_1"] == 1
        assert out[f"retrieval/test/{direction}median_rank"] == 1
    assert out["retrieval/test/recall_at_1_ci_low"] == 1


def test_pool_is_the_first_distinct_reports_in_order(perfect):
    np.testing.assert_array_equal(make_pool(perfect, 5).rows, [0, 1, 2, 4, 5])
    out = evaluate_retrieval(perfect, split="test", pool=5)
    assert out["retrieval/test/pool_size"] == 5
    assert "retrieval/test/recall_at_10" not in out


def test_embeddings_that_all_coincide_retrieve_nothing(perfect):
    collapsed = dataclasses.replace(perfect, image_embedding=np.ones((12, 10)))
    out = evaluate_retrieval(collapsed, split="test", pool=256)
    assert out["retrieval/test/recall_at_1"] == 0
    assert out["retrieval/test/recall_at_5"] == 0


def test_directions_are_told_apart(perfect):
    # Every image is nearest to report 0: from reports, each image but the first is found among
    # ties, from images only the first is right.
    image = np.eye(10)[perfect.report_statement[:, 0]] + 2 * np.eye(10)[0]
    out = evaluate_retrieval(
        dataclasses.replace(perfect, image_embedding=image), split="test", pool=256
    )
    assert out["retrieval/test/recall_at_1"] == pytest.approx(0.1)
    assert out["retrieval/test/text_to_image_recall_at_1"] == 1


def test_chance_is_chance(perfect):
    rng = np.random.default_rng(0)
    n = 400
    statement = np.arange(2 * n).reshape(n, 2).astype(np.uint32)
    random = dataclasses.replace(
        perfect,
        image_embedding=rng.normal(size=(n, 8)),
        report_embedding=rng.normal(size=(n, 8)),
        report_statement=statement,
        patient_id=tuple(map(str, range(n))),
    )
    out = evaluate_retrieval(random, split="test", pool=n)
    assert out["retrieval/test/recall_at_10"] < 0.07
    assert 150 < out["retrieval/test/median_rank"] < 250
