"""GLoRIA and MGCA once more, in float64 NumPy loops, and slow.

Written one pair and one word at a time: from the papers' formulas, and where `compat` from what
their code does (GLoRIA: loss/gloria_loss.py, models/text_model.py; MGCA:
models/mgca/mgca_module.py, models/backbones/encoder.py).
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


def clipped(attention):
    """Weights [n] clipped to 10 - 90 % and of sum 1."""
    weights = np.clip(attention, *np.quantile(attention, [0.1, 0.9]))
    return weights / weights.sum()


def within(own, context, weights):
    """1/2 sum_m w_m [CE_row + CE_column]_m of the products over 0.1."""
    table = own @ context.T / 0.1
    loss = 0.0
    for m, weight in enumerate(weights):
        row, column = np.exp(table[m]).sum(), np.exp(table[:, m]).sum()
        loss += weight * (math.log(row) + math.log(column) - 2 * table[m, m])
    return loss / 2


def tokens(o, example_mask, compat):
    losses = []
    for i in np.flatnonzero(example_mask):
        chosen = [int(m) for m in np.flatnonzero(o["word_mask"][i])]
        if not chosen:
            continue
        stack, unpadded = chosen, len(chosen)
        if compat:
            stack = their_tokens(o["word_mask"][i])[1:]  # all_feat[:, 1:]
            unpadded += 1  # sents[:, 1:] != "[PAD]": the words and the [SEP]
        words = np.stack([unit(np.float64(o["word_embedding"][i][m])) for m in stack])
        patches = np.stack([unit(p) for p in np.float64(o["patch_embedding"][i])])
        shown = np.stack([unit(softmax(patches @ w / 0.1) @ patches) for w in words])
        read = words[:unpadded]
        said = np.stack([softmax(read @ p / 0.1) @ read for p in patches])
        if not compat:
            said = np.stack([unit(s) for s in said])
        # Neither the [SEP] nor padding weighs anything.
        loss = within(words, shown, clipped(o["word_attention"][i][chosen]))
        losses.append(loss + within(patches, said, clipped(o["patch_attention"][i])))
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


def groups_of(example_mask, group):
    """The rows that are kept, group by group."""
    keep = np.flatnonzero(example_mask)
    starts = range(0, len(example_mask), group)
    return [rows for start in starts if len(rows := keep[keep // group == start // group])]


def assignments(o, example_mask, group):
    """Of images and of reports that are kept, [K, prototypes], each group balanced by itself."""
    scores = [
        np.float64(o[name]) @ np.float64(o["prototypes"]).T
        for name in ("image_embedding", "report_embedding")
    ]
    return [
        np.concatenate([sinkhorn(s[rows]) for rows in groups_of(example_mask, group)])
        for s in scores
    ]


def mgca(o, example_mask, compat, group=72, targets=None):
    """The loss; `targets` are the Sinkhorn assignments to hold fixed, of image and of report.

    A group is what one GPU of theirs holds.
    """
    keep = np.flatnonzero(example_mask)
    image, report = np.float64(o["image_embedding"]), np.float64(o["report_embedding"])
    size = min(group, len(image)) if compat else len(image)
    instance = 0.0
    for rows in groups_of(example_mask, size):
        instance += len(rows) / len(keep) * both(image[rows] @ report[rows].T / 0.07)
    if not compat:
        instance /= 2
    image, report = image[keep], report[keep]
    scores = [image @ np.float64(o["prototypes"]).T, report @ np.float64(o["prototypes"]).T]
    q_image, q_report = targets or assignments(o, example_mask, size)
    log_p = [np.log([softmax(row / 0.2) for row in s]) for s in scores]
    crossed = np.sum(q_image * log_p[1]) + np.sum(q_report * log_p[0])
    return instance + tokens(o, example_mask, compat) - crossed / len(keep) / 2
