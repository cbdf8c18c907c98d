import subprocess
import sys

import cv2
import numpy as np
import pytest
import tiny_run

from data_pipelines.batches import evaluation_batches, open_data, read_records
from data_pipelines.image import decode_png
from data_pipelines.records import BadInput
from place_jax import Predictor
from place_jax.transfer.features import extract_features


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
    np.testing.assert_array_equal(predictor.embed_images(pixels), embeddings[:1])


def test_images_of_any_size_and_number_compile_once(predictor):
    from place_jax import predictor as module

    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (20 + 13 * i, 90 - 11 * i)).astype(np.uint8) for i in range(5)]
    together = predictor.embed_images(images, batch_size=4)
    compiled = module._encode_images._cache_size()
    one_by_one = np.concatenate([predictor.embed_images(i, batch_size=4) for i in images])
    assert module._encode_images._cache_size() == compiled
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
    found = predictor.ground(pixels, "Large left pleural effusion.")
    assert found.shape == (210, 150) and found.dtype == np.float32
    assert np.isfinite(found).all() and found.min() >= 0
    assert 0.9 < found.max() <= 1
    # The crop of 48 of 64 pixels leaves the upper and lower eighth unseen.
    assert (found[:20] == 0).all() and (found[-20:] == 0).all()


def test_a_model_without_trained_observations_cannot_ground(phantom_dir, records):
    run = tiny_run.untrained_run(phantom_dir, "clip")
    with pytest.raises(ValueError, match="objective=clip"):
        Predictor.from_checkpoint(run).ground(records[0]["image"], "effusion")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda p: p.embed_texts("xqzj"), "no word of the checkpoint's vocabulary"),
        (lambda p: p.embed_texts(""), "has no word"),
        (lambda p: p.embed_texts([]), "no text was given"),
        (lambda p: p.embed_images([]), "no image was given"),
        (lambda p: p.embed_images(np.zeros((4, 4), np.float32)), "float32"),
        (lambda p: p.embed_images([np.zeros((4, 4, 3), np.uint8)]), "[h, w] uint8"),
        (lambda p: p.embed_images(b"not an image"), ""),
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


def test_needs_no_tensorflow(phantom_dir):
    run = tiny_run.untrained_run(phantom_dir)
    program = (
        "import sys\n"
        "import numpy as np\n"
        "from place_jax import Predictor\n"
        f"predictor = Predictor.from_checkpoint({str(run)!r})\n"
        "image = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)\n"
        "predictor.ground(image, 'pleural effusion')\n"
        "print(predictor.zero_shot(image, 'pleural effusion').shape, 'tensorflow' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "(1, 1) False"
