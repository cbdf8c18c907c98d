"""PCMA once more, each of its switches, in float64 NumPy loops written from the formulas."""

import collections
import itertools
import math

import numpy as np
from reference_objectives import _log_sum_exp


def _assigned(cosine):
    """[S, Q] -> the query of each sentence, by trying all."""
    ways = itertools.permutations(range(cosine.shape[1]), cosine.shape[0])
    return max(ways, key=lambda way: sum(cosine[s, q] for s, q in enumerate(way)))


def _report_shares(vectors, t_por, names, match, tau_m):
    """Shares [Q, S] that the sentences of one report take of one image's vectors [Q, E]."""
    cosine = np.float64(t_por) @ np.float64(vectors).T
    if match == "softmax":
        share = np.exp((cosine - cosine.max(axis=1, keepdims=True)) / tau_m)
        return (share / share.sum(axis=1, keepdims=True)).T
    if match == "max":
        best = cosine.argmax(axis=1)
    else:
        first = {name: names.index(name) for name in names}
        places = sorted(set(first.values()))
        way = dict(zip(places, _assigned(cosine[places]), strict=True))
        best = np.array([way[first[name]] for name in names])
    return np.eye(len(vectors))[best].T


def sentence_list(statement, sentence_mask, example_mask):
    """[(report, place, statement)] of the sentences that are there."""
    return [
        (i, j, tuple(statement[i, j]))
        for i in range(len(statement))
        for j in range(statement.shape[1])
        if example_mask[i] and sentence_mask[i, j]
    ]


def pathological(
    v_por,
    t_por,
    statement,
    sentence_mask,
    example_mask,
    tau_m,
    scale,
    *,
    match="softmax",
    scope="batch",
    positives="statement",
    weights="inverse_frequency",
    null=None,
    said=None,
):
    """(loss, floor, top-1) by going through the sentences that exist, one by one.

    `said` has (statement, sentence_mask) of whole reports, where only some sentences take part.
    """
    sentences = sentence_list(statement, sentence_mask, example_mask)
    images = sorted({i for i, _, _ in sentences})
    if not images:
        return 0.0, 0.0, 0.0
    count = collections.Counter(name for _, _, name in sentences)
    inverse = weights == "inverse_frequency"
    weight = [1 / count[name] if inverse else 1.0 for _, _, name in sentences]
    of_report = {i: [(j, name) for k, j, name in sentences if k == i] for i in images}

    def vectors(i, number):
        if null is None:
            return np.float64(v_por[i])
        times = number if match == "one_to_one" else 1
        return np.concatenate([np.float64(v_por[i]), np.repeat(np.float64(null)[None], times, 0)])

    def taken(i, k):
        """Report k's sentences of image i: the vectors, and shares."""
        places = [j for j, _ in of_report[k]]
        names = [name for _, name in of_report[k]]
        v = vectors(i, len(places))
        return v, _report_shares(v, np.float64(t_por[k])[places], names, match, tau_m)

    if scope == "report":
        return _within(of_report, sentences, weight, taken, t_por, scale, positives, inverse)

    table = np.zeros((len(images), len(sentences)))
    column = {(k, j): s for s, (k, j, _) in enumerate(sentences)}
    for row, i in enumerate(images):
        for k in images:
            v, share = taken(i, k)
            for place, (j, _) in enumerate(of_report[k]):
                cosine = v @ np.float64(t_por[k, j])
                if match == "softmax":
                    score = tau_m * _log_sum_exp(list(cosine / tau_m))
                else:
                    score = float(cosine @ share[:, place])
                table[row, column[k, j]] = scale * score

    made = collections.defaultdict(set)
    for i, _, name in sentence_list(*(said or (statement, sentence_mask)), example_mask):
        made[i].add(name)

    def true_of(i, k, name):
        return i == k if positives == "own" else name in made[i]

    sentence_loss, sentence_floor, top1 = 0.0, 0.0, 0.0
    for s, (k, _, name) in enumerate(sentences):
        right = [table[r, s] for r, i in enumerate(images) if true_of(i, k, name)]
        wrong = [table[r, s] for r, i in enumerate(images) if not true_of(i, k, name)]
        share = weight[s] / sum(weight)
        sentence_loss += share * (_log_sum_exp(right + wrong) - np.mean(right))
        sentence_floor += share * math.log(len(right))
        top1 += share * (max(right) > max(wrong, default=-math.inf) + 1e-12)

    image_loss, image_floor = 0.0, 0.0
    for row, i in enumerate(images):
        log_total = _log_sum_exp([table[row, s] + math.log(w) for s, w in enumerate(weight)])
        own = [s for s, (k, _, name) in enumerate(sentences) if true_of(i, k, name)]
        total = sum(weight[s] for s in own)
        mean = sum(weight[s] * table[row, s] for s in own) / total
        image_loss += (log_total - mean) / len(images)
        image_floor += math.log(total) / len(images)
    return (sentence_loss + image_loss) / 2, (sentence_floor + image_floor) / 2, top1


def _within(of_report, sentences, weight, taken, t_por, scale, positives, inverse):
    loss, floor, hits = 0.0, 0.0, 0.0
    for i, places in of_report.items():
        v, share = taken(i, i)
        context = share.T @ v
        context /= np.linalg.norm(context, axis=1, keepdims=True)
        logits = scale * np.float64(t_por[i])[[j for j, _ in places]] @ context.T
        names = [name for _, name in places]
        candidate = [1 / names.count(name) if inverse else 1.0 for name in names]
        for s, (j, name) in enumerate(places):
            anchor = weight[sentences.index((i, j, name))] / sum(weight)
            same = [z for z, n in enumerate(names) if (z == s if positives == "own" else n == name)]
            for way, row in enumerate((logits[s], logits[:, s])):
                log_total = _log_sum_exp(
                    [x + math.log(w) for x, w in zip(row, candidate, strict=True)]
                )
                total = sum(candidate[z] for z in same)
                loss += anchor * (log_total - sum(candidate[z] * row[z] for z in same) / total) / 2
                floor += anchor * math.log(total) / 2
                if way == 0:
                    others = [row[z] for z in range(len(names)) if z not in same]
                    hits += anchor * (
                        max(row[z] for z in same) > max(others, default=-math.inf) + 1e-12
                    )
    return loss, floor, hits
