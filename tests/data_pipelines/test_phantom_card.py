"""A prepared phantom says in its card that it is synthetic, and its bytes are anybody's."""

import hashlib

import pytest

from data_pipelines import prepare as prepare_module
from data_pipelines.phantom import VERSION
from data_pipelines.phantom.findings import DIFFICULTY
from data_pipelines.phantom.measured import MEASURED
from data_pipelines.prepare import prepare
from data_pipelines.sources.phantom import PhantomSource


def test_a_prepared_folder_holds_the_card(phantom_dir):
    card = (phantom_dir / "CARD.md").read_text()
    assert "SYNTHETIC" in card and "not" in card and VERSION in card
    assert "clinical use" in card and "Split by patient" in card


@pytest.mark.parametrize("config", DIFFICULTY)
@pytest.mark.parametrize("shift", ["none", "scanner", "author", "labels"])
def test_a_card_says_what_was_drawn(config, shift):
    card = PhantomSource(config=config, size=192, seed=5, shift=shift).card()
    assert f"`{config}`" in card and "192 pixels" in card and "seed 5" in card and shift in card
    for name in ("macro_auroc", "linear_probe_16x16_auroc"):
        if name in MEASURED.get(config, {}):
            assert f"{MEASURED[config][name]:.3f}" in card


def test_a_folder_has_the_same_bytes_whatever_the_number_of_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare_module, "_MIN_PER_WORKER", 1)
    source = PhantomSource(config="default", patients=30, size=64, views="all")
    digests = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        prepare(source, folder, image_size=64, vocab_size=300, shards=3, workers=workers)
        files = sorted(folder.glob("*.tfrecord-*"))
        digests.append([(f.name, hashlib.sha256(f.read_bytes()).hexdigest()) for f in files])
    assert digests[0] == digests[1] and len(digests[0]) >= 3
