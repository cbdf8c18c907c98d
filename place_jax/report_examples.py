"""The report page's examples: reports retrieved for images, and where sentences looked."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_pipelines import batches
from data_pipelines.image import decode_png, pad_and_crop
from place_jax import figures
from place_jax.predictor import Predictor
from place_jax.transfer.controls import trains_observations
from place_jax.transfer.features import Features, extract_features
from place_jax.transfer.maps import matched_attention
from place_jax.transfer.retrieval import make_pool
from place_jax.transfer.sentence_regions import LinkedSentence, find_links, has_links

_SHOWN_WORDS = 60


@dataclasses.dataclass(frozen=True)
class RetrievedReport:
    """A report that was retrieved: its text, its cosine, and whether it is the image's own."""

    text: str
    similarity: float
    own: bool


@dataclasses.dataclass(frozen=True)
class RetrievalExample:
    """An image with its own report and those that were retrieved, best first.

    Attributes:
      picture: data URI.
      text: its own report.
      rank: where its own report came, from 1.
      retrieved: the first three.
    """

    picture: str
    text: str
    rank: int
    retrieved: tuple[RetrievedReport, ...]


@dataclasses.dataclass(frozen=True)
class GroundingExample:
    """A sentence with the region it speaks of, and the attention of the V-POR it matched.

    Attributes:
      sentence: text.
      label: the region's label.
      truth: data URI of the image with its boxes.
      attention: data URI of the same with the attention over it.
      hit: whether the maximum lies in a box.
    """

    sentence: str
    label: str
    truth: str
    attention: str
    hit: bool


@dataclasses.dataclass(frozen=True)
class Examples:
    """What the page shows of a split.

    Attributes:
      pool: how many reports were retrieved from.
      retrieval: of images.
      grounding: of sentences.
      absent: a sentence that says why there are none, or empty.
    """

    pool: int = 0
    retrieval: Sequence[RetrievalExample] = ()
    grounding: Sequence[GroundingExample] = ()
    absent: str = ""


def find_examples(predictor: Predictor, data: batches.PreparedData, split: str) -> Examples:
    """Encodes a split and picks examples from it."""
    config = predictor.config
    limit = config.evaluation.max_examples
    ground = trains_observations(config) and has_links(data, split, limit)
    features = extract_features(
        predictor.model,
        predictor.params,
        predictor.model_state,
        data,
        split,
        config=config,
        max_examples=limit,
        observations=("v_por", "v_por_attention", "t_por") if ground else (),
    )
    pool, retrieval = _retrieval_examples(features, predictor, data, split)
    grounding = _grounding_examples(features, predictor, data, split) if ground else ()
    return Examples(pool, retrieval, grounding)


def _retrieval_examples(
    features: Features, predictor: Predictor, data: batches.PreparedData, split: str, count: int = 6
) -> tuple[int, list[RetrievalExample]]:
    """Images evenly spaced over the retrieval pool, chosen before anything is scored.

    Returns:
      The size of the pool, and the examples.
    """
    pool = make_pool(features, predictor.config.evaluation.retrieval_pool)
    size = len(pool.rows)
    if size < 2:
        return size, []
    chosen = np.unique(np.linspace(0, size - 1, min(count, size)).astype(int))
    order = np.argsort(-pool.similarity[chosen], axis=1, kind="stable")
    needed = set(features.index[pool.rows[np.append(chosen, order[:, :3].ravel())]].tolist())
    records = _records(data, split, needed, ("image", "sentences"))
    examples = []
    for query, ranked in zip(chosen, order, strict=True):
        record = records[int(features.index[pool.rows[query]])]
        retrieved = tuple(
            RetrievedReport(
                _text(records[int(features.index[pool.rows[c]])]["sentences"]),
                float(pool.similarity[query, c]),
                bool(c == query),
            )
            for c in ranked[:3]
        )
        examples.append(
            RetrievalExample(
                picture=figures.picture(_crop(record, predictor)),
                text=_text(record["sentences"]),
                rank=int(np.flatnonzero(ranked == query)[0]) + 1,
                retrieved=retrieved,
            )
        )
    return size, examples


def _grounding_examples(
    features: Features, predictor: Predictor, data: batches.PreparedData, split: str, count: int = 8
) -> list[GroundingExample]:
    """Sentences of as many findings as there are, chosen before anything is scored."""
    linked = find_links(features, data, split, predictor.crop_size)
    chosen = _varied(linked, count)
    if not chosen:
        return []
    needed = {int(features.index[item.row]) for item in chosen}
    records = _records(data, split, needed, ("image", "sentences"))
    examples = []
    for item in chosen:
        record = records[int(features.index[item.row])]
        attention = matched_attention(
            features.t_por[item.row, item.position],
            features.v_por[item.row],
            features.v_por_attention[item.row],
            predictor.crop_size,
        )
        pixels = _crop(record, predictor)
        examples.append(
            GroundingExample(
                sentence=record["sentences"][item.sentence],
                label=data.label_names[item.label],
                truth=figures.boxed(pixels, item.boxes),
                attention=figures.attended(pixels, attention, item.boxes),
                hit=bool(item.mask(predictor.crop_size).flat[int(attention.argmax())]),
            )
        )
    return examples


def _varied(linked: Sequence[LinkedSentence], count: int) -> list[LinkedSentence]:
    """One sentence of each finding in turn, each of another image, spread over the split."""
    by_label: dict[int, list[LinkedSentence]] = {}
    for item in linked:
        by_label.setdefault(item.label, []).append(item)
    for label, items in by_label.items():
        rng = np.random.default_rng(label)
        by_label[label] = [items[i] for i in rng.permutation(len(items))]
    chosen, rows = [], set()
    while len(chosen) < count and any(by_label.values()):
        for label in sorted(by_label):
            items = by_label[label]
            while items and items[-1].row in rows:
                items.pop()
            if items and len(chosen) < count:
                chosen.append(items.pop())
                rows.add(chosen[-1].row)
    return chosen


def _records(data: batches.PreparedData, split: str, needed: set[int], fields) -> dict[int, dict]:
    records = batches.read_records(data, split, fields=fields, limit=max(needed) + 1)
    return {i: records[i] for i in needed}


def _crop(record: dict, predictor: Predictor) -> np.ndarray:
    return pad_and_crop(decode_png(record["image"]), predictor.crop_size)


def _text(sentences: Sequence[str]) -> str:
    words = " ".join(sentences).split()
    return " ".join(words[:_SHOWN_WORDS]) + (" ..." if len(words) > _SHOWN_WORDS else "")
