"""Grounding on a CSV of phrases with boxes or masks, such as MS-CXR's. Imports no TensorFlow."""

import pathlib
from collections.abc import Sequence

import numpy as np

from data_pipelines.records import BadInput
from data_pipelines.reports import split_sentences
from place_jax.metrics.scores import Scores
from place_jax.predictor import Predictor
from place_jax.transfer.controls import trains_observations
from place_jax.transfer.evidence import gather_evidence
from place_jax.transfer.grounding import (
    Phrase,
    asked_pairs,
    evaluate_grounding,
    make_maps,
    make_prior,
)
from place_jax.transfer.maps import MapKind
from place_jax.transfer.phrases import PhraseRegion, read_phrases, region_mask
from place_jax.transfer.place_words import place_words
from place_jax.transfer.texts import encode_texts

_BATCH = 8  # images whose views are held at once


def evaluate_phrases(
    predictor: Predictor,
    csv: pathlib.Path,
    *,
    images: pathlib.Path | None = None,
    training: pathlib.Path | None = None,
    split: str = "test",
    maps: Sequence[MapKind] = tuple(MapKind),
    bootstrap: int = 1000,
    seed: int = 0,
) -> Scores:
    """Scores a checkpoint on phrases whose regions are known.

    Args:
      predictor: of the checkpoint.
      csv: see `phrases.read_phrases`.
      images: the folder that image paths start from; None for the CSV's.
      training: another such CSV, whose mean region is the control; None leaves that control out.
      split: of the CSV's rows, where it has a column for it; and for the names.
      maps: which; of a checkpoint without observations similarity alone.
      bootstrap: replicates over patients for 95 % intervals; 0 for none.
      seed: of the bootstrap.

    Returns:
      As `grounding.evaluate_grounding`, and `grounding/SPLIT/left_out`: phrases whose region lies
      outside of the crop that the model sees.

    Raises:
      BadInput: what the file or its images lack, or no region lies within the crop.
    """
    regions = read_phrases(csv, images=images, split=split)
    paths = list(dict.fromkeys(region.image for region in regions))
    shapes, observed = _observe(predictor, paths)
    row = {path: k for k, path in enumerate(paths)}
    texts = list(dict.fromkeys(region.text for region in regions))
    phrases, patients = [], [""] * len(paths)
    for region in regions:
        image = row[region.image]
        patients[image] = region.patient
        mask = region_mask(region, shapes[image], predictor.image_size, predictor.crop_size)
        if mask.any() and not mask.all():
            said = place_words(region.text)
            phrases.append(Phrase(image, texts.index(region.text), mask, region.label, said))
    if not phrases:
        raise BadInput(
            "nothing_to_score",
            f"{csv}: none of {len(regions)} regions lies in the crop that the model sees",
        )
    encoded = encode_texts(
        predictor.model,
        predictor.params,
        predictor.model_state,
        [split_sentences(text) or [text] for text in texts],
        predictor.tokenizer,
        config=predictor.config,
    )
    kinds = list(maps) if trains_observations(predictor.config) else [MapKind.SIMILARITY]
    evidence = None
    if MapKind.EVIDENCE in kinds:
        weights = predictor.model, predictor.params, predictor.model_state
        pairs = asked_pairs(phrases, patients)
        batches = _batches(predictor, paths)
        evidence = gather_evidence(weights, batches, pairs, encoded, predictor.config)
    prior = None
    if training is not None:
        prior = make_prior(_training_regions(predictor, training, images))
    out = evaluate_grounding(
        phrases,
        make_maps(observed, encoded, kinds, predictor.crop_size, evidence),
        patient_id=patients,
        prior=prior,
        split=split,
        bootstrap=bootstrap,
        seed=seed,
    )
    out.add(f"grounding/{split}/left_out", len(regions) - len(phrases))
    return out


def _observe(predictor: Predictor, paths: list[pathlib.Path]):
    """The images' shapes, and what maps are made of."""
    shapes: list[tuple[int, int]] = []

    def stored():
        for path in paths:
            try:
                pixels = predictor.pixels(path)
            except BadInput as error:
                raise BadInput(error.reason, f"{path}: {error}") from None
            shapes.append(pixels.shape)
            yield pixels

    return shapes, predictor.observe(stored())


def _batches(predictor: Predictor, paths: Sequence[pathlib.Path]):
    """Prepared pixels [b, c, c, 1] of the images, and which rows are images."""
    for first in range(0, len(paths), _BATCH):
        rows = [predictor.prepared_pixels(path) for path in paths[first : first + _BATCH]]
        batch = np.zeros((_BATCH, predictor.crop_size, predictor.crop_size, 1), np.uint8)
        batch[: len(rows), :, :, 0] = rows
        yield batch, np.arange(_BATCH) < len(rows)


def _training_regions(predictor: Predictor, csv: pathlib.Path, images: pathlib.Path | None):
    """(label, text, mask) of another CSV's regions. Of an image its shape alone is needed."""
    shapes: dict[pathlib.Path, tuple[int, int]] = {}

    def shape_of(region: PhraseRegion) -> tuple[int, int]:
        if region.image not in shapes:
            shapes[region.image] = predictor.pixels(region.image).shape
        return shapes[region.image]

    regions = read_phrases(csv, images=images, split="train")
    sizes = (predictor.image_size, predictor.crop_size)
    masks = [
        (region.label, region.text, region_mask(region, shape_of(region), *sizes))
        for region in regions
    ]
    return [found for found in masks if np.any(found[2])]
