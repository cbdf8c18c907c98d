"""The learnt vocabulary: the same for the same texts, and one that its tokenizer can use."""

import subprocess
import sys

from data_pipelines.tokenizer import SPECIAL, Tokenizer
from data_pipelines.vocabulary import train_vocabulary

TEXTS = ["No pleural effusion.", "Small left pleural effusion, 3 cm.", "The heart is normal."] * 4


def test_frequent_words_are_whole_and_rare_ones_in_pieces():
    vocabulary = train_vocabulary([*TEXTS, "Zebra."], 400)
    tokenizer = Tokenizer(vocabulary)
    assert tuple(vocabulary[: len(SPECIAL)]) == SPECIAL
    assert len(vocabulary) == len(set(vocabulary))
    pieces = [vocabulary[i] for i in tokenizer.encode("NO Pleural effusion")]
    assert pieces == ["no", "pleural", "effusion"]
    rare = tokenizer.encode("zebra")
    assert len(rare) > 1 and tokenizer.unk_id not in rare
    assert "".join(vocabulary[i].removeprefix("##") for i in rare) == "zebra"


def test_size_is_kept_and_letters_come_first():
    small = train_vocabulary(TEXTS, 50)
    assert len(small) == 50
    assert train_vocabulary(TEXTS, 80)[:50] == small
    assert len(train_vocabulary(TEXTS, 10**6)) < 200


def test_neither_order_nor_process_changes_it():
    program = (
        "from data_pipelines.vocabulary import train_vocabulary;"
        f"print(train_vocabulary({TEXTS[::-1]!r}, 90))"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert other.stdout.strip() == repr(train_vocabulary(TEXTS, 90)), other.stderr


def test_accents_and_capitals_fold_as_the_tokenizer_folds_them():
    vocabulary = train_vocabulary(["Épanchement pleural"] * 3, 200)
    tokenizer = Tokenizer(vocabulary)
    assert [vocabulary[i] for i in tokenizer.encode("ÉPANCHEMENT")] == ["epanchement"]
