"""Grounding: does the map of a phrase show the region that the phrase speaks of?

Anatomy alone makes hits, so a score means something only above its controls: another patient's
image, another phrase on the same image, and the mean region of the training set: of all findings,
of this one, and of this one where the phrase says that it is.
"""

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from place_jax.metrics.bootstrap import resample, resampled_mean
from place_jax.metrics.grounding import contrast_to_noise, mean_iou, pointing_hit
from place_jax.metrics.scores import Scores
from place_jax.transfer.features import Features
from place_jax.transfer.geometry import Between, enlarge
from place_jax.transfer.maps import MapKind, Observed, matched_attention, patch_similarity
from place_jax.transfer.place_words import place_words
from place_jax.transfer.sentence_regions import LinkedSentence
from place_jax.transfer.texts import EncodedTexts

MapOf = Callable[[int, int], np.ndarray]  # (row of the images, row of the texts) -> [c, c]

_METRICS = {"pointing": pointing_hit, "iou": mean_iou, "cnr": contrast_to_noise}
_SUFFIX = {
    MapKind.ATTENTION: "",
    MapKind.SIMILARITY: "_similarity",
    MapKind.EVIDENCE: "_evidence",
}


@dataclasses.dataclass(frozen=True)
class Phrase:
    """A phrase about an image, with the region it speaks of.

    Attributes:
      row: of the images.
      text: row of the texts.
      mask: [c, c] bool, the region in the crop that the model saw.
      label: what kind of thing it is, such as a finding.
      said: where the phrase says that it is, of `place_words`.
    """

    row: int
    text: int
    mask: np.ndarray
    label: Hashable
    said: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class RegionPrior:
    """Where regions lie, whatever the image: how often each pixel of the crop is in one.

    Attributes:
      mean: [c, c] over all regions of the training set.
      by_label: the same of each label.
      by_phrase: the same of each label and of where it is said to be: what can be known of a phrase
        that is read without its image.
    """

    mean: np.ndarray
    by_label: Mapping[Hashable, np.ndarray]
    by_phrase: Mapping[tuple[Hashable, frozenset[str]], np.ndarray]


def make_prior(regions: Sequence[tuple[Hashable, str, np.ndarray]]) -> RegionPrior | None:
    """Of (label, text, mask [c, c]) of training phrases; None without any."""
    if not regions:
        return None
    labels = [label for label, _, _ in regions]
    masks = [mask for _, _, mask in regions]
    said = [(label, place_words(text)) for label, text, _ in regions]
    return RegionPrior(np.mean(masks, axis=0), _means(labels, masks), _means(said, masks))


def _means(keys: Sequence[Hashable], masks: Sequence[np.ndarray]) -> dict[Hashable, np.ndarray]:
    """The mean mask of each key."""
    sums: dict[Hashable, np.ndarray] = {}
    for key, mask in zip(keys, masks, strict=True):
        sums[key] = sums.get(key, 0) + mask.astype(np.float32)
    return {key: total / keys.count(key) for key, total in sums.items()}


def linked_phrases(linked: Sequence[LinkedSentence], crop: int) -> tuple[list[Phrase], list[str]]:
    """Phrases of a prepared split's linked sentences, and their distinct texts."""
    texts = {text: row for row, text in enumerate(dict.fromkeys(item.text for item in linked))}
    phrases = [
        Phrase(i.row, texts[i.text], i.mask(crop), i.label, place_words(i.text)) for i in linked
    ]
    return phrases, list(texts)


def make_maps(
    features: Features | Observed,
    texts: EncodedTexts,
    kinds: Sequence[MapKind],
    crop: int,
    evidence: Mapping[tuple[int, int], np.ndarray] | None = None,
) -> dict[MapKind, MapOf]:
    """Maps of each kind for any image and any text.

    Args:
      features: with v_por and v_por_attention for attention, patch_embedding for similarity.
      texts: each a phrase, of one sentence or several: attention is the mean over them.
      kinds: which to make.
      crop: side of a map, in pixels.
      evidence: of `gather_evidence`, for every pair that will be asked for; see `asked_pairs`.
    """

    def attention(image: int, text: int) -> np.ndarray:
        v_por, looked = features.v_por[image], features.v_por_attention[image]
        sentences = texts.t_por[text][texts.sentence_mask[text]]
        return np.mean([matched_attention(t, v_por, looked, crop) for t in sentences], axis=0)

    def similarity(image: int, text: int) -> np.ndarray:
        return patch_similarity(texts.report_embedding[text], features.patch_embedding[image], crop)

    makers = {
        MapKind.ATTENTION: attention,
        MapKind.SIMILARITY: similarity,
        MapKind.EVIDENCE: lambda image, text: enlarge(evidence[image, text], crop, Between.CUBIC),
    }
    return {kind: makers[kind] for kind in kinds}


def evaluate_grounding(
    phrases: Sequence[Phrase],
    maps: Mapping[MapKind, MapOf],
    *,
    patient_id: Sequence[str],
    prior: RegionPrior | None,
    split: str,
    bootstrap: int = 0,
    seed: int = 0,
) -> Scores:
    """Pointing game, overlap and contrast of each kind of map, beside its controls.

    Args:
      phrases: with regions inside the crop.
      maps: by kind.
      patient_id: of each row of the images.
      prior: of the training set; None leaves its controls out.
      split: for the names.
      bootstrap: replicates over patients for 95 % intervals; 0 for none.
      seed: of the bootstrap.

    Returns:
      `grounding/SPLIT/pointing`, `.../iou` and `.../cnr`; the same ending in `_rolled_image`
      (another patient's image), `_other_phrase` (the same image, a phrase of another finding),
      `_mean_box`, `_mean_box_of_label` and `_mean_box_of_phrase` (the training set's mean region in
      the place of the map: of all, of this finding, and of it where the phrase says that it is);
      `pointing_uniform`, a point anywhere; and of `pointing`
      the paired differences, as `pointing_over_rolled_image`. Similarity maps' names have
      `_similarity` after the metric. `grounding/SPLIT/sentences` and `.../patients` say how many
      there are. Empty where there is no phrase.
    """
    if not phrases:
        return Scores()
    base = f"grounding/{split}"
    patients = [patient_id[phrase.row] for phrase in phrases]
    counts = {"sentences": len(phrases), "patients": len(set(patients))}
    out = Scores({f"{base}/{name}": float(count) for name, count in counts.items()})
    weights = resample(patients, bootstrap, seed) if bootstrap else None

    def add(name: str, values: np.ndarray) -> None:
        if np.isnan(values).all():
            return
        replicates = None if weights is None else resampled_mean(values, weights)
        out.add(f"{base}/{name}", np.nanmean(values), replicates)

    of_prior = prior_controls(phrases, prior)
    for name, values in of_prior.items():
        add(name, values)
    add("pointing_uniform", np.array([phrase.mask.mean() for phrase in phrases]))
    asked = control_pairs(phrases, patient_id)
    for kind, map_of in maps.items():
        suffix = _SUFFIX[kind]
        measured = {
            name: _measure(phrases, [map_of(*pair) for pair in pairs])
            for name, pairs in asked.items()
        }
        own = measured.pop("own")
        for metric, values in own.items():
            add(f"{metric}{suffix}", values)
            for control, theirs in measured.items():
                add(f"{metric}{suffix}_{control}", theirs[metric])
        over = {name: theirs["pointing"] for name, theirs in measured.items()}
        over |= {
            name.removeprefix("pointing_"): values
            for name, values in of_prior.items()
            if name.startswith("pointing_")
        }
        for control, theirs in over.items():
            add(f"pointing{suffix}_over_{control}", own["pointing"] - theirs)
    return out


def asked_pairs(phrases: Sequence[Phrase], patient_id: Sequence[str]) -> set[tuple[int, int]]:
    """(row of the images, row of the texts) of every map that `evaluate_grounding` asks for."""
    return {pair for pairs in control_pairs(phrases, patient_id).values() for pair in pairs}


def control_pairs(
    phrases: Sequence[Phrase], patient_id: Sequence[str]
) -> dict[str, list[tuple[int, int]]]:
    """Of each phrase its own pair, and those of its two controls."""
    other_image = other_patient_rows(patient_id)
    others = zip(phrases, other_phrase_texts(phrases), strict=True)
    return {
        "own": [(phrase.row, phrase.text) for phrase in phrases],
        "rolled_image": [(int(other_image[phrase.row]), phrase.text) for phrase in phrases],
        "other_phrase": [(phrase.row, text) for phrase, text in others],
    }


def other_patient_rows(patient_id: Sequence[str]) -> np.ndarray:
    """[n] for each row one of another patient, half of the split away; itself if there is none."""
    n = len(patient_id)
    rows = np.arange(n)
    for row in range(n):
        for step in range(n):
            other = (row + n // 2 + step) % n
            if patient_id[other] != patient_id[row]:
                rows[row] = other
                break
    return rows


def other_phrase_texts(phrases: Sequence[Phrase]) -> list[int]:
    """For each phrase the text of one of another label, half of the list away.

    Where all have one label, of another text; its own where there is no other.
    """
    labels = {phrase.label for phrase in phrases}
    n, out = len(phrases), []
    for i, phrase in enumerate(phrases):
        chosen = phrase.text
        for step in range(n):
            other = phrases[(i + n // 2 + step) % n]
            if other.text != phrase.text and (len(labels) == 1 or other.label != phrase.label):
                chosen = other.text
                break
        out.append(chosen)
    return out


def _measure(phrases: Sequence[Phrase], found: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Every metric [k] of maps against the phrases' regions."""
    return {
        name: np.array([metric(f, p.mask) for f, p in zip(found, phrases, strict=True)])
        for name, metric in _METRICS.items()
    }


def prior_controls(phrases: Sequence[Phrase], prior: RegionPrior | None) -> dict[str, np.ndarray]:
    """[k] of each metric of each mean region against the phrases' own; none without a prior."""
    if prior is None:
        return {}
    out = {}
    of_label = [prior.by_label.get(p.label, prior.mean) for p in phrases]
    of_phrase = [
        prior.by_phrase.get((p.label, p.said), known)
        for p, known in zip(phrases, of_label, strict=True)
    ]
    for ending, found in (
        ("mean_box", [prior.mean for _ in phrases]),
        ("mean_box_of_label", of_label),
        ("mean_box_of_phrase", of_phrase),
    ):
        for metric, values in _measure(phrases, found).items():
            out[f"{metric}_{ending}"] = values
    return out
