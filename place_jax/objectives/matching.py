"""How well an image's V-PORs show a sentence: the matching rules of PCMA, in bounded memory.

Under each rule a sentence takes a share of every query; a score is the cosine of what it takes,
but for the soft maximum, whose score is the log-sum-exp that has those shares as its gradient.
"""

import enum

import jax
import jax.numpy as jnp
import optax
from jax import Array

from place_jax.objectives import contrastive
from place_jax.parallel import collectives


class Match(enum.Enum):
    """How a sentence finds its V-POR among an image's [ours: the paper's rule is not known]."""

    SOFTMAX = "softmax"  # a soft maximum over the queries: all of them learn
    MAX = "max"  # the best query alone
    ONE_TO_ONE = "one_to_one"  # sentences of a report share out the queries, as DETR's objects do


def first_mentions(statement: Array, mask: Array) -> Array:
    """[K, S, 2], [K, S] -> [K, S] the first place in its report where each statement is made."""
    same = jnp.all(statement[:, :, None] == statement[:, None, :], axis=-1) & mask[:, None, :]
    return jnp.where(mask, jnp.argmax(same, axis=-1), jnp.arange(mask.shape[1]))


def with_null(v_por: Array, null: Array | None, match: Match, sentences: int) -> Array:
    """Adds the null V-POR [E] to those of every image [B, Q, E].

    Any number of sentences may speak of nothing visible: one-to-one, it is there once for each.
    """
    if null is None:
        return v_por
    times = sentences if match is Match.ONE_TO_ONE else 1
    null = jnp.broadcast_to(null.astype(v_por.dtype), (v_por.shape[0], times, null.shape[-1]))
    return jnp.concatenate([v_por, null], axis=1)


def assign(cosine: Array, mention: Array, mask: Array) -> Array:
    """Shares out queries to the sentences of one report so that the sum of cosines is largest.

    Equal statements count as one and get the same query. Absent sentences cost the same wherever
    they go, and so take nothing from the others. No gradient passes.

    Args:
      cosine: [S, Q], S at most Q: beyond, optax.assignment leaves sentences out without a word.
      mention: [S] from `first_mentions`.
      mask: [S] bool, the sentences that take part.

    Returns:
      [S] the query of each.
    """
    sentences, queries = cosine.shape
    if sentences > queries:
        raise ValueError(
            f"match=one_to_one of {sentences} sentences over {queries} queries: set "
            f"data.max_sentences={queries} or model.observation.num_queries={sentences}"
        )
    taking = mask & (mention == jnp.arange(sentences))
    cost = jnp.where(taking[:, None], -jax.lax.stop_gradient(cosine), 0)
    sentence, query = optax.assignment.hungarian_algorithm(cost)  # in no order of sentences
    return jnp.zeros_like(mention).at[sentence].set(query.astype(mention.dtype))[mention]


def shares(cosine: Array, mention: Array, mask: Array, *, match: Match, tau_m: float) -> Array:
    """How much of each query every sentence takes, [..., Q, S]; columns sum to 1.

    Args:
      cosine: [..., Q, S] of the queries of one image and the sentences of one report.
      mention: [..., S] from `first_mentions`.
      mask: [..., S] bool.
      match: the rule.
      tau_m: temperature over the queries, of the soft maximum alone.
    """
    if match is Match.SOFTMAX:
        return jax.nn.softmax(cosine / tau_m, axis=-2)
    if match is Match.MAX:
        best = jnp.argmax(cosine, axis=-2)
    else:
        best = _assign_all(jnp.swapaxes(cosine, -1, -2), mention, mask)
    taken = jax.nn.one_hot(best, cosine.shape[-2], dtype=cosine.dtype)
    return jax.lax.stop_gradient(jnp.swapaxes(taken, -1, -2))


def _assign_all(cosine: Array, mention: Array, mask: Array) -> Array:
    """`assign` over all leading axes: [..., S, Q] -> [..., S]."""
    lead, (sentences, queries) = cosine.shape[:-2], cosine.shape[-2:]
    mention, mask = (jnp.broadcast_to(x, (*lead, sentences)) for x in (mention, mask))
    flat = jax.vmap(assign)(
        cosine.reshape(-1, sentences, queries),
        mention.reshape(-1, sentences),
        mask.reshape(-1, sentences),
    )
    return flat.reshape(*lead, sentences)


def match_scores(
    v_por: Array,
    t_por: Array,
    mention: Array,
    mask: Array,
    *,
    match: Match,
    tau_m: float,
    block: int,
) -> Array:
    """Scores every image against every sentence of every report.

      softmax     tau_m logsumexp_q(<t_s, v_iq> / tau_m), to the maximum as tau_m goes to 0
      max         max_q <t_s, v_iq>
      one_to_one  <t_s, v_i,a(s)>, a the best assignment of the sentences of s's report

    Reports are scored a block at a time and recomputed in the backward pass, so that B x Q x T is
    never in memory.

    Args:
      v_por: [B, Q, E], the null V-POR among them where there is one.
      t_por: [K, S, E].
      mention: [K, S] from `first_mentions`.
      mask: [K, S] bool.
      match: the rule.
      tau_m: temperature over the queries, above 0.
      block: reports at once.

    Returns:
      [B, K * S], in at least float32.
    """
    v_por, t_por = contrastive.at_least_float32(v_por), contrastive.at_least_float32(t_por)

    def score(part: tuple) -> Array:
        t_por, mention, mask = part
        cosine = jnp.einsum("bqe,kse->bkqs", v_por, t_por, precision=contrastive.HIGHEST)
        if match is Match.SOFTMAX:
            scores = tau_m * jax.nn.logsumexp(cosine / tau_m, axis=2)
        elif match is Match.MAX:
            scores = jnp.max(cosine, axis=2)
        else:
            taken = _assign_all(jnp.swapaxes(cosine, 2, 3), mention, mask)
            scores = jnp.take_along_axis(cosine, taken[:, :, None], axis=2)[:, :, 0]
        return scores.reshape(len(scores), -1)  # stacked so, a TPU fills no axis up

    scores = collectives.map_blocks(score, (t_por, mention, mask), block)  # [blocks, B, block * S]
    scores = jnp.moveaxis(scores, 0, 1).reshape(v_por.shape[0], -1)
    return scores[:, : mask.size]
