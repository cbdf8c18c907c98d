"""Which sentences take part in PCMA, and which report makes which statement."""

import dataclasses
import enum

import jax
import jax.numpy as jnp
from jax import Array

from place_jax.objectives import contrastive
from place_jax.objectives.matching import first_mentions


class Positives(enum.Enum):
    """Which images a sentence is true of."""

    STATEMENT = "statement"  # those whose report makes the same statement
    OWN = "own"  # the one whose report it is from: others that say the same are negatives


class SentenceWeights(enum.Enum):
    """What a sentence counts."""

    INVERSE_FREQUENCY = "inverse_frequency"  # a statement counts once, however often it is made
    UNIFORM = "uniform"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sentences:
    """The sentences of a batch that take part, S of each report.

    Attributes:
      t_por: [B, S, E].
      statement: [B, S, 2] uint32.
      mask: [B, S] bool.
      mention: [B, S] the first place in the report where each statement is made.
    """

    t_por: Array
    statement: Array
    mask: Array
    mention: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StatementTargets:
    """Which report makes which statement. T = B * S sentences, report after report.

    Attributes:
      positives: [B, T] bool, sentence s is true of image i.
      sentence_weight: [T] one over the number of sentences that make the same statement, so that
        all weights sum to the number of distinct statements, or 1; 0 for an absent sentence.
      image_weight: [B] 1; 0 for a masked example and for a report without sentences, of which
        nothing is known: it is no negative either.
    """

    positives: Array
    sentence_weight: Array
    image_weight: Array


def present_sentences(batch: dict) -> Array:
    """[B, S] bool: sentences of examples that are no padding."""
    return batch["sentence_mask"].astype(bool) & contrastive.example_mask(batch)[:, None]


def all_sentences(t_por: Array, batch: dict) -> Sentences:
    """Every sentence that is there."""
    mask = present_sentences(batch)
    return Sentences(t_por, batch["statement"], mask, first_mentions(batch["statement"], mask))


def sample_sentences(sentences: Sentences, limit: int, key: Array | None) -> Sentences:
    """At most `limit` sentences of each report, no statement twice where one must be left out.

    Args:
      sentences: S of each report; left as they are where S is within the limit.
      limit: most that may take part.
      key: draws them; None takes the first.
    """
    number = sentences.mask.shape[1]
    if number <= limit:
        return sentences
    order = jnp.broadcast_to(jnp.arange(number) / number, sentences.mask.shape)
    if key is not None:
        order = jax.random.uniform(key, sentences.mask.shape)
    repeated = sentences.mention != jnp.arange(number)
    order = order + repeated + 2 * ~sentences.mask
    place = jnp.sort(jnp.argsort(order, axis=1)[:, :limit], axis=1)

    def taken(x):
        return jnp.take_along_axis(x, place.reshape(*place.shape, *(1,) * (x.ndim - 2)), axis=1)

    statement, mask = taken(sentences.statement), taken(sentences.mask)
    return Sentences(taken(sentences.t_por), statement, mask, first_mentions(statement, mask))


def statement_targets(
    batch: dict,
    sentences: Sentences,
    *,
    dtype: jnp.dtype,
    positives: Positives = Positives.STATEMENT,
    weights: SentenceWeights = SentenceWeights.INVERSE_FREQUENCY,
) -> StatementTargets:
    """Compares every sentence that takes part with every report, by the statements' fingerprints.

    A report makes a statement also where its own sentence was not drawn: it is no negative.

    Args:
      batch: statement [B, S, 2], sentence_mask [B, S], example_mask [B].
      sentences: those that take part, from `all_sentences` or `sample_sentences`.
      dtype: of the weights.
      positives: which images a sentence is true of.
      weights: what a sentence counts.
    """
    everything, part = present_sentences(batch), sentences.mask
    said = _times(batch["statement"], everything, sentences.statement) > 0
    count = jnp.sum(_times(sentences.statement, part, sentences.statement), axis=0)
    if positives is Positives.OWN:
        report = jnp.repeat(jnp.arange(part.shape[0]), part.shape[1])
        said = report == jnp.arange(part.shape[0])[:, None]
    present = part.reshape(-1)
    weight = jnp.ones(present.shape, dtype)
    if weights is SentenceWeights.INVERSE_FREQUENCY:
        weight = 1 / jnp.where(present, count, 1).astype(dtype)
    return StatementTargets(
        positives=said & present,
        sentence_weight=jnp.where(present, weight, 0),
        image_weight=jnp.any(part, axis=1).astype(dtype),
    )


def _times(statement: Array, mask: Array, asked: Array) -> Array:
    """[B, T] how often report i makes the statement of sentence s of `asked` [K, S, 2].

    One sentence position at a time: B x S x T comparisons fuse into B x T counts.
    """
    high, low = asked[..., 0].reshape(-1), asked[..., 1].reshape(-1)
    times = jnp.zeros((mask.shape[0], high.size), jnp.int32)
    for position in range(mask.shape[1]):
        same = (statement[:, position, 0, None] == high) & (statement[:, position, 1, None] == low)
        times += (same & mask[:, position, None]).astype(jnp.int32)
    return times
