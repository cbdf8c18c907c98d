"""Evidence: the place without which the text is matched worst."""

import jax
import numpy as np
import pytest
import tiny_run

from place_jax import Predictor
from place_jax.transfer import evidence
from place_jax.transfer.texts import encode_texts


def test_views_show_every_patch_as_often_as_they_hide_it():
    for side in (3, 7, 14):
        views = evidence.draw_views(side)
        assert views.shape == (evidence.VIEWS, side**2)
        np.testing.assert_array_equal(views.mean(axis=0), 0.5)
        np.testing.assert_array_equal(views[::2], ~views[1::2])
        assert views.sum(axis=1).min() >= side**2 // 3
    np.testing.assert_array_equal(evidence.draw_views.__wrapped__(7), evidence.draw_views(7))


@pytest.mark.parametrize("place", [0, 24, 40])
def test_the_patch_that_speaks_for_the_text_is_found(place):
    views = evidence.draw_views(7)
    noise = np.random.default_rng(0).normal(0, 0.1, len(views))
    found = evidence.evidence(views[:, place] + noise, views)
    assert found.argmax() == place and found[place] == pytest.approx(1, abs=0.05)


def test_a_match_that_needs_no_patch_has_no_evidence():
    assert np.abs(evidence.evidence(np.full(512, 0.7), evidence.draw_views(7))).max() < 1e-6


def test_evidence_is_of_the_asked_pairs_whatever_the_batch(phantom_dir):
    predictor = Predictor.from_checkpoint(tiny_run.untrained_run(phantom_dir))
    weights = predictor.model, predictor.params, predictor.model_state
    crop = predictor.crop_size
    images = np.random.default_rng(0).integers(0, 255, (3, crop, crop, 1)).astype(np.uint8)
    sentences = [["pleural effusion"], ["edema", "no effusion"], ["cardiomegaly"]]
    texts = encode_texts(*weights, sentences, predictor.tokenizer, config=predictor.config)
    asked = [(0, 0), (2, 1)]
    together = evidence.gather_evidence(
        weights, [(images, np.ones(3, bool))], asked, texts, predictor.config
    )
    assert set(together) == set(asked)
    last = images[[2, 0, 0]], np.array([True, False, False])
    padded = [(images[[0, 0, 1]], np.array([True, False, True])), last]
    apart = evidence.gather_evidence(weights, padded, asked, texts, predictor.config)
    for pair in asked:
        assert together[pair].shape == ((crop // predictor.config.model.image.patch_size) ** 2,)
        np.testing.assert_allclose(apart[pair], together[pair], atol=1e-5)
    # Of two sentences it is the mean.
    alone = [
        evidence.gather_evidence(
            weights,
            [(images, np.ones(3, bool))],
            [(2, 0)],
            encode_texts(*weights, [[text]], predictor.tokenizer, config=predictor.config),
            predictor.config,
        )[2, 0]
        for text in sentences[1]
    ]
    np.testing.assert_allclose(np.mean(alone, axis=0), together[2, 1], atol=1e-5)


def test_all_patches_visible_is_the_extractor_as_trained(phantom_dir):
    model, params, state = tiny_run.untrained_model(phantom_dir)
    crop = model.image_size
    image = np.random.default_rng(0).integers(0, 255, (2, crop, crop, 1)).astype(np.uint8)
    outputs = jax.jit(model.encode_images)(params, state, image)
    patches = outputs.patch_tokens.shape[1]
    views = np.stack([np.ones(patches, bool), np.arange(patches) == 0])
    seen = np.asarray(jax.jit(model.observe_views)(params, state, image, views))
    assert seen.shape == (2, 2, *outputs.v_por.shape[1:])
    np.testing.assert_allclose(seen[:, 0], outputs.v_por, atol=1e-5)
    assert np.abs(seen[:, 1] - seen[:, 0]).max() > 1e-3
