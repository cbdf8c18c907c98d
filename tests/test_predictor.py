import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tiny_run
from ml_collections import ConfigDict

from data_pipelines.batches import evaluation_batches, open_data, read_records
from data_pipelines.image import decode_png
from data_pipelines.records import BadInput
from place_jax import Predictor, objectives
from place_jax.transfer.features import extract_features
from place_jax.transfer.maps import MapKind


@pytest.fixture(scope="module")
def predictor(phantom_dir):
    return Predictor.from_checkpoint(tiny_run.untrained_run(phantom_dir))


@pytest.fixture(scope="module")
def records(phantom_dir):
    return read_records(open_data(phantom_dir), "test", limit=5)


def test_prepared_and_direct_pixels_are_the_same(predictor, records, phantom_dir):
    config = predictor.config
    batch = next(
        iter(
            evaluation_batches(
                open_data(phantom_dir),
                "test",
                batch_size=5,
                crop_size=config.data.crop_size,
                max_tokens=config.data.max_tokens,
                max_sentences=config.data.max_sentences,
            )
        )
    )
    direct = [predictor.prepared_pixels(record["image"]) for record in records]
    np.testing.assert_array_equal(np.stack(direct), batch["image"][..., 0])


def test_prepared_and_direct_embeddings_are_the_same(predictor, records, phantom_dir):
    weights = (predictor.model, predictor.params, predictor.model_state)
    prepared = extract_features(
        *weights, open_data(phantom_dir), "test", config=predictor.config, max_examples=5
    )
    direct = predictor.embed_images([record["image"] for record in records])
    np.testing.assert_allclose(direct, prepared.image_embedding, atol=1e-6)
    texts = [" ".join(record["sentences"]) for record in records]
    np.testing.assert_allclose(predictor.embed_texts(texts), prepared.report_embedding, atol=1e-5)


def test_path_bytes_and_array_are_one_image(predictor, records, tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(records[0]["image"])
    pixels = decode_png(records[0]["image"])
    embeddings = predictor.embed_images([path, str(path), records[0]["image"], pixels])
    for embedding in embeddings[1:]:
        np.testing.assert_array_equal(embedding, embeddings[0])
    # Alone it is in a batch of one, whose sums are rounded elsewhere.
    np.testing.assert_allclose(predictor.embed_images(pixels), embeddings[:1], atol=1e-6)


def test_images_of_any_size_and_number_compile_once(predictor):
    from place_jax import predictor as module

    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (20 + 13 * i, 90 - 11 * i)).astype(np.uint8) for i in range(5)]
    together = predictor.embed_images(images, batch_size=4)
    one = predictor.embed_images(images[0], batch_size=4)
    compiled = module._embed_images._cache_size()
    rest = [predictor.embed_images(i, batch_size=4) for i in images[1:]]
    predictor.embed_images(images[:3], batch_size=4)  # rounded up to a batch of four
    assert module._embed_images._cache_size() == compiled
    one_by_one = np.concatenate([one, *rest])
    np.testing.assert_allclose(together, one_by_one, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_zero_shot_takes_any_number_of_images_and_prompts(predictor, records):
    images = [record["image"] for record in records[:3]]
    scores = predictor.zero_shot(images, ["pleural effusion", "no pleural effusion"])
    assert scores.shape == (3, 2)
    assert predictor.zero_shot(images[0], "pleural effusion").shape == (1, 1)
    np.testing.assert_allclose(
        scores[0, 1], predictor.zero_shot(images[0], "no pleural effusion")[0, 0], atol=1e-6
    )


def test_map_is_at_the_images_own_resolution(predictor, records):
    pixels = cv2.resize(decode_png(records[0]["image"]), (150, 210))
    for kind in MapKind:
        found = predictor.ground(pixels, "Large left pleural effusion.", kind=kind)
        assert found.shape == (210, 150) and found.dtype == np.float32
        assert np.isfinite(found).all() and found.min() < found.max()
        # The crop of 48 of 64 pixels leaves the upper and lower eighth unseen.
        assert (found[:20] == found.min()).all() and (found[-20:] == found.min()).all()
        if kind is MapKind.ATTENTION:
            assert found.min() == 0 and 0.9 < found.max() <= 1


def test_a_similarity_map_is_shared_out_cosine(predictor, records):
    pixels = predictor.prepared_pixels(records[0]["image"])
    text = "Large left pleural effusion."
    weights = predictor.params, predictor.model_state
    tokens = predictor.model.encode_images(*weights, pixels[None, :, :, None]).patch_tokens
    patches = predictor.model.patch_embeddings(*weights, tokens)
    cosine = predictor.zero_shot(records[0]["image"], text)[0, 0]
    shares = np.asarray(patches)[0] @ predictor.embed_texts(text)[0]
    assert shares.mean() == pytest.approx(cosine, abs=1e-5)
    found = predictor.ground(records[0]["image"], text, kind="similarity")
    assert shares.min() - 1e-5 <= found.min() and found.max() <= shares.max() + 1e-5


def test_a_model_without_trained_observations_has_similarity_maps_alone(phantom_dir, records):
    other = Predictor.from_checkpoint(tiny_run.untrained_run(phantom_dir, "clip"))
    with pytest.raises(ValueError, match="objective=clip"):
        other.ground(records[0]["image"], "effusion")
    assert np.isfinite(other.ground(records[0]["image"], "effusion", kind="similarity")).all()
    with pytest.raises(ValueError, match="use one of attention, similarity, evidence"):
        other.ground(records[0]["image"], "effusion", kind="saliency")


def test_pairs_add_up_and_their_temperature_is_the_trained_one(predictor, records):
    images = predictor.embed_images([record["image"] for record in records[:3]])
    texts = ["pleural effusion", "no pleural effusion"]
    found = predictor.pair_probability(images, texts, texts[::-1])
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert predictor.temperature == pytest.approx(0.07)
    flat = predictor.pair_probability(images, texts, texts[::-1], temperature=1e3)
    np.testing.assert_allclose(flat, 0.5, atol=1e-3)


@pytest.mark.parametrize(
    ("objective", "temperature"),
    [("clip", 0.07), ("siglip", 0.1), ("convirt", 0.3), ("gloria", 0.1), ("mgca", 0.07)],
)
def test_the_temperature_is_the_objectives_own(objective, temperature):
    config = ConfigDict({"objective": objective, "loss": {"convirt_temperature": 0.3}})
    params = {"logit_scale": {"instance": -np.log(0.07), "siglip": -np.log(0.1)}}
    assert objectives.temperature(config, params) == pytest.approx(temperature)


def test_bad_images_are_left_out_by_position(predictor, records):
    told = []
    images = [records[0]["image"], b"", records[1]["image"], b"not an image"]
    found = predictor.embed_images(
        images, batch_size=2, on_bad=lambda position, error: told.append((position, error.reason))
    )
    assert told == [(1, "empty_file"), (3, "not_an_image")]
    np.testing.assert_allclose(found, predictor.embed_images(images[::2]), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda p: p.embed_texts("xqzj"), "no word of the checkpoint's vocabulary"),
        (lambda p: p.embed_texts(""), "has no word"),
        (lambda p: p.embed_texts([]), "no text was given"),
        (lambda p: p.embed_images([]), "no image that can be read"),
        (lambda p: p.embed_images(np.zeros((4, 4), np.float32)), "float32"),
        (lambda p: p.embed_images([np.zeros((4, 4, 3), np.uint8)]), "[h, w] uint8"),
        (lambda p: p.embed_images(b"not an image"), "neither DICOM, PNG nor JPEG"),
        (lambda p: p.embed_images([b""]), "image 0, counted from 0: "),
        (lambda p: p.embed_images([__file__]), f"{__file__}: the file is neither"),
        (lambda p: p.pixels("no.png"), "there is no image file no.png"),
        (lambda p: p.pixels(pathlib.Path(__file__)), f"{__file__}: the file is neither"),
        (lambda p: p.embed_images([b""], batch_size=0), "batch_size=0"),
    ],
)
def test_what_cannot_be_used_is_one_line(predictor, call, says):
    with pytest.raises(BadInput) as error:
        call(predictor)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_no_checkpoint_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="no finished checkpoint"):
        Predictor.from_checkpoint(tmp_path)


def test_says_it_is_for_research(predictor):
    assert "research" in repr(predictor)
    assert "not a medical device" in Predictor.__doc__.lower()


def test_needs_neither_tensorflow_nor_what_scores_and_draws(phantom_dir):
    run = tiny_run.untrained_run(phantom_dir)
    program = (
        "import sys\n"
        "import numpy as np\n"
        "from place_jax import Predictor\n"
        f"predictor = Predictor.from_checkpoint({str(run)!r})\n"
        "image = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)\n"
        "predictor.ground(image, 'pleural effusion')\n"
        "heavy = {'tensorflow', 'sklearn', 'scipy.stats', 'matplotlib'} & set(sys.modules)\n"
        "print(predictor.zero_shot(image, 'pleural effusion').shape, heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "(1, 1) set()"
