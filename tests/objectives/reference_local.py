"""GLoRIA and MGCA once more, in float64 NumPy loops, and slow.

Written one pair and one word at a time: from the papers' formulas, and where `compat` from what
their code does (GLoRIA: loss/gloria_loss.py, models/text_model.py).
"""

import math

import numpy as np


def softmax(values):
    weights = np.exp(np.float64(values) - np.max(values))
    return weights / weights.sum()


def cross_entropy(logits):
    """Mean over rows of minus the log-probability of the row's own column."""
    return -np.mean([math.log(softmax(row)[i]) for i, row in enumerate(logits)])


def unit(vector):
    return vector / np.linalg.norm(vector)


def both(logits):
    return cross_entropy(logits) + cross_entropy(logits.T)


def their_tokens(word_mask):
    """Positions in the order in which the peers' code stacks a report up.

    It walks from [CLS] over the words to the [SEP], stops there and fills up with padding. Its text
    has that one [SEP]; here every sentence has its own, and theirs is the last.
    """
    stack = [0]
    for position in range(1, len(word_mask)):
        words_to_come = any(word_mask[position:])
        if words_to_come and not word_mask[position]:
            continue  # the [SEP] of a sentence that is not the last
        stack.append(position)
    return stack


def gloria(o, example_mask, compat):
    keep = np.flatnonzero(example_mask)
    image, report = np.float64(o["image_embedding"])[keep], np.float64(o["report_embedding"])[keep]
    loss = both(10 * image @ report.T)
    words = {}
    for j in keep:
        chosen = np.flatnonzero(o["word_mask"][j])
        if len(chosen):
            if compat:  # cap_len counts the words and one more; words_emb[:, :cap_len] has [CLS]
                chosen = their_tokens(o["word_mask"][j])[: len(chosen) + 1]
            words[j] = np.float64(o["word_embedding"][j][chosen])
    table = np.zeros((len(words), len(words)))
    for a, i in enumerate(words):
        patches = np.float64(o["patch_embedding"][i])
        for b, report_words in enumerate(words.values()):
            similarity = report_words @ patches.T  # [words, regions]
            if compat:
                similarity = np.stack([softmax(column) for column in similarity.T], axis=1)
            total = 0.0
            for word, row in zip(report_words, similarity, strict=True):
                context = softmax(4 * row) @ patches
                total += math.exp(5 * float(unit(context) @ unit(word)))
            table[a, b] = math.log(total) if compat else math.log(total) / 5
    return loss + (both(10 * table) if words else 0.0)


def clipped(attention, chosen):
    """Weights [n], 0 outside of `chosen`; the others clipped to 10 - 90 % and of sum 1."""
    weights = np.zeros(len(attention))
    low, high = np.quantile(attention[chosen], [0.1, 0.9])
    weights[chosen] = np.clip(attention[chosen], low, high)
    return weights / weights.sum()


def within(own, context, weights, candidates):
    """1/2 sum_m w_m [CE_row + CE_column]_m of the products over 0.1, among `candidates`."""
    table = own @ context.T / 0.1
    loss = 0.0
    for m in np.flatnonzero(weights):
        row, column = table[m, candidates], table[candidates, m]
        loss += weights[m] * (
            math.log(np.sum(np.exp(row))) + math.log(np.sum(np.exp(column))) - 2 * table[m, m]
        )
    return loss / 2


def tokens(o, example_mask, compat):
    losses = []
    for i in np.flatnonzero(example_mask):
        chosen = np.flatnonzero(o["word_mask"][i])
        if not len(chosen):
            continue
        words = np.stack([unit(w) for w in np.float64(o["word_embedding"][i])])
        patches = np.stack([unit(p) for p in np.float64(o["patch_embedding"][i])])
        shown = np.stack([unit(softmax(patches @ w / 0.1) @ patches) for w in words])
        said = np.stack([softmax(words[chosen] @ p / 0.1) @ words[chosen] for p in patches])
        if not compat:
            said = np.stack([unit(s) for s in said])
        everything = np.arange(len(words)) if compat else chosen
        loss = within(words, shown, clipped(o["word_attention"][i], chosen), everything)
        patch_index = np.arange(len(patches))
        loss += within(patches, said, clipped(o["patch_attention"][i], patch_index), patch_index)
        losses.append(loss)
    return float(np.mean(losses)) if losses else 0.0


def sinkhorn(scores):
    """SwAV's: prototypes, then samples, three times; [B, K]."""
    q = np.exp(scores / 0.05).T
    q /= q.sum()
    prototypes, samples = q.shape
    for _ in range(3):
        q *= (1 / prototypes / q.sum(1))[:, None]
        q *= 1 / samples / q.sum(0)
    return (q / q.sum(0)).T


def mgca(o, example_mask, compat, group=72, targets=None):
    """The loss; `targets` are the Sinkhorn assignments to hold fixed, of image and of report."""
    keep = np.flatnonzero(example_mask)
    image, report = np.float64(o["image_embedding"]), np.float64(o["report_embedding"])
    instance, size = 0.0, min(group, len(image)) if compat else len(image)
    for start in range(0, len(image), size):
        rows = [i for i in keep if start <= i < start + size]
        if rows:
            instance += len(rows) / len(keep) * both(image[rows] @ report[rows].T / 0.07)
    if not compat:
        instance /= 2
    image, report = image[keep], report[keep]
    scores = [image @ np.float64(o["prototypes"]).T, report @ np.float64(o["prototypes"]).T]
    q_image, q_report = targets or [sinkhorn(s) for s in scores]
    log_p = [np.log([softmax(row / 0.2) for row in s]) for s in scores]
    crossed = np.sum(q_image * log_p[1]) + np.sum(q_report * log_p[0])
    return instance + tokens(o, example_mask, compat) - crossed / len(keep) / 2
