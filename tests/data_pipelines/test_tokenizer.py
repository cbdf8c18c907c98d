"""The tokenizer against the one of transformers, and the packing of sentences into a row."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.records import BadInput
from data_pipelines.tokenizer import SPECIAL, Tokenizer, pack

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;:/-()?_+%'\u00e9"
WORDS = "no the pleural effusion normal heart cm ##ly \u80ba".split()
LOWER = [*SPECIAL, "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS if c.isalnum()), *WORDS]
CASED = [*LOWER, "No", "Heart", "The", "##X", "X", "\u00c9"]
SENTENCES = [
    "No pleural effusion.",
    "The heart is normal in size; XXXX opacity of ___ (1.5 x 2 cm).",
    "Heart size:normal,unchanged/stable?  C\u00f4t\u00e9 \u00c9tat e\u0301",
    "T12 non-displaced\tfracture\n+50% \u201cquoted\u201d \u80ba\u80ba \U0001fa7b",
    "no\u00a0effusion\u200b \x00 \ufffd z\u0303",
    "a" * 120,
    "",
    " ",
]


def reference(pieces, *, lowercase):
    from transformers import BertTokenizerFast

    # Its vocab_file is ignored without a word in transformers 5.
    return BertTokenizerFast(vocab={p: i for i, p in enumerate(pieces)}, do_lower_case=lowercase)


def assert_equal_to_transformers(tokenizer, sentences):
    theirs = reference(tokenizer.vocab, lowercase=not tokenizer.cased)
    for sentence in sentences:
        expected = theirs(sentence, add_special_tokens=False)["input_ids"]
        assert tokenizer.encode(sentence) == expected, sentence


@pytest.mark.parametrize("pieces, cased", [(LOWER, False), (CASED, True)])
def test_equal_to_transformers(pieces, cased):
    tokenizer = Tokenizer(pieces)
    assert tokenizer.cased == cased
    assert_equal_to_transformers(tokenizer, SENTENCES)
    ids = tokenizer.encode("No pleural effusions")
    names = [pieces[i] for i in ids]
    assert names == ["No" if cased else "no", "pleural", "effusion", "##s"]


@given(st.text(max_size=40))
def test_any_text_is_cut_without_special_tokens_of_a_row(text):
    tokenizer = Tokenizer(LOWER)
    ids = tokenizer.encode(text.replace("[", ""))
    assert all(0 <= i < tokenizer.size for i in ids)
    assert not {tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id} & set(ids)


@pytest.mark.parametrize(
    "name, size, cased",
    [("bert_base_uncased", 30522, False), ("bio_clinicalbert", 28996, True)],
)
def test_published_vocabularies(real_data, name, size, cased):
    tokenizer = Tokenizer.from_file(real_data / "vocab" / f"{name}_vocab.txt")
    assert (tokenizer.size, tokenizer.cased) == (size, cased)
    assert (tokenizer.pad_id, tokenizer.unk_id) == (0, 100)
    assert (tokenizer.cls_id, tokenizer.sep_id) == (101, 102)
    with open(real_data / "retrieval_pairs.csv", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    sentences = [sentence for text in texts for sentence in text.split(". ")]
    assert len(sentences) > 200
    assert_equal_to_transformers(tokenizer, [*SENTENCES, *sentences])
    known = [i for sentence in sentences for i in tokenizer.encode(sentence)]
    assert known.count(tokenizer.unk_id) < 0.01 * len(known)


def test_a_vocabulary_file_is_read_whatever_wrote_it(tmp_path):
    pieces = [*CASED, "\u2028", "\x85"]  # one line each, though str.splitlines would cut there
    path = tmp_path / "vocab.txt"
    for ends, mark, tail in (("\n", "", ""), ("\r\n", "", "\r\n"), ("\n", "\ufeff", "\n\n")):
        path.write_bytes((mark + ends.join(pieces) + tail).encode())
        tokenizer = Tokenizer.from_file(path)
        assert tokenizer.vocab == pieces
        assert tokenizer.hash == Tokenizer(pieces).hash
    assert Tokenizer(pieces).hash != Tokenizer(pieces[:-1]).hash


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "is not a file"),
        (b"", r"of 1 pieces has no \[PAD\]"),
        (b"[PAD]\n[UNK]\n[CLS]\nno\n", r"of 4 pieces has no \[SEP\]"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nno\nno\n", "of 6 pieces has 'no' twice"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n\n\nno", "of 7 pieces has '' twice"),
        ("[PAD]\n\u00e9t\u00e9".encode("latin-1"), r"is not UTF-8 text \(byte 6\)"),
        (b"\x80\x04pickle", r"is not UTF-8 text \(byte 0\)"),
        (b'{"version": "1.0", "model": {}}', r"of 1 pieces has no \[PAD\]"),
    ],
)
def test_what_is_no_vocabulary_is_one_clear_line(tmp_path, content, said):
    path = tmp_path / "vocab.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=f"{said}.*vocab.txt") as error:
        Tokenizer.from_file(path)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_vocabulary(tmp_path):
    with pytest.raises(BadInput, match="is not a file"):
        Tokenizer.from_file(tmp_path)


TOKENIZER = Tokenizer(LOWER)
PAD, CLS, SEP = TOKENIZER.pad_id, TOKENIZER.cls_id, TOKENIZER.sep_id


def unpack(tokens, sentence_of_token):
    """The sentences of a row, read back token by token."""
    assert tokens[0] == CLS and sentence_of_token[0] == 0
    sentences, at = [], 1
    while at < len(tokens) and sentence_of_token[at]:
        number, sentence = sentence_of_token[at], []
        assert number == len(sentences) + 1, "sentences are numbered from 1 in order"
        while tokens[at] != SEP:
            assert sentence_of_token[at] == number
            sentence.append(int(tokens[at]))
            at += 1
        assert sentence_of_token[at] == number, "a sentence's end belongs to it"
        at += 1
        sentences.append(sentence)
    assert (tokens[at:] == PAD).all() and (sentence_of_token[at:] == 0).all()
    return sentences


def slow_kept(lengths, max_tokens, max_sentences, order):
    """Which sentences stay: each in turn, if it and all before it that stayed fit."""
    kept = []
    for i in order:
        used = 1 + sum(lengths[j] + 1 for j in kept)
        if used + lengths[i] + 1 <= max_tokens and len(kept) + 1 <= max_sentences:
            kept.append(i)
    return sorted(kept)


@given(
    st.lists(st.integers(0, 14), max_size=12),
    st.integers(2, 40),
    st.integers(1, 6),
    st.one_of(st.none(), st.integers(0, 99)),
)
def test_pack_keeps_whole_sentences(lengths, max_tokens, max_sentences, seed):
    report = [[10 * i + 5 + j for j in range(n)] for i, n in enumerate(lengths)]
    rng = None if seed is None else np.random.default_rng(seed)
    tokens, sentence_of_token, kept = pack(report, TOKENIZER, max_tokens, max_sentences, rng)
    assert tokens.shape == sentence_of_token.shape == (max_tokens,)
    assert tokens.dtype == sentence_of_token.dtype == np.int32
    order = range(len(lengths))
    if seed is not None:
        order = np.random.default_rng(seed).permutation(len(lengths)).tolist()
    expected = slow_kept(lengths, max_tokens, max_sentences, order)
    if expected or not report:
        assert kept == expected
        assert unpack(tokens, sentence_of_token) == [report[i] for i in kept]
    else:  # not one fits: the first is cut, and the row is full
        assert kept == [0]
        assert unpack(tokens, sentence_of_token) == [report[0][: max_tokens - 2]]
        assert tokens[-1] == SEP


def test_pack_draws_again_as_it_drew_and_otherwise_another_time():
    report = [[i] * 8 for i in range(5, 13)]

    def kept(seed):
        return tuple(pack(report, TOKENIZER, 40, 8, np.random.default_rng(seed))[2])

    draws = {seed: kept(seed) for seed in range(60)}
    assert all(kept(seed) == draws[seed] for seed in draws)
    assert {len(k) for k in draws.values()} == {4}
    assert {i for k in draws.values() for i in k} == set(range(8)), "every sentence has its turn"
    assert pack(report, TOKENIZER, 40, 8)[2] == [0, 1, 2, 3]
