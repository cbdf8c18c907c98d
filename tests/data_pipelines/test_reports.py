"""Reports: sections, sentences, and what makes two statements the same."""

import re
import tarfile
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipelines.reports import (
    fingerprint,
    normalise_statement,
    report_fingerprint,
    split_sections,
    split_sentences,
)

# Written down: a changed value would mix old statements with new ones.
GOLDEN = (-1970711489451281740, 4723597722081202809, -3082278113860498832)


@pytest.mark.parametrize(
    "text, sections",
    [
        (
            "EXAM: Chest.\nFINDINGS: Lungs are\n  clear.\nIMPRESSION:\nNormal.",
            {"technique": "Chest.", "findings": "Lungs are clear.", "impression": "Normal."},
        ),
        ("fInDiNgS :Clear. Impression: Normal.", {"findings": "Clear.", "impression": "Normal."}),
        ("Lungs are\r\nclear.", {"findings": "Lungs are clear."}),
        ("Clear.\nIMPRESSION: Normal.", {"findings": "Clear.", "impression": "Normal."}),
        ("Portable.\nFINDINGS: Clear.", {"findings": "Clear."}),
        ("FINAL REPORT\nIMPRESSION: Normal.", {"impression": "Normal."}),
        ("IMPRESSION: One.\nIMPRESSION: Two.", {"impression": "One.\n\nTwo."}),
        ("INDICATION: Cough.\nHISTORY: Smoker.", {"indication": "Cough.\n\nSmoker."}),
        ("FINDINGS:\nIMPRESSION: Normal.", {"impression": "Normal."}),
        ("FINDINGS AND  IMPRESSION: Clear.", {"findings": "Clear."}),
        (
            "IMPRESSION: Clear.\nRECOMMENDATION(S): CT.",
            {"impression": "Clear.", "recommendation": "CT."},
        ),
        # A table's cell often holds the report on one line.
        (
            "INDICATION: cough FINDINGS: clear lungs IMPRESSION: normal",
            {"indication": "cough", "findings": "clear lungs", "impression": "normal"},
        ),
        ("FINDINGS / IMPRESSION: Clear.", {"findings": "Clear."}),
        ("FINAL IMPRESSION: Normal.", {"impression": "Normal."}),
        ("IMPRESSION AND RECOMMENDATIONS: Normal. CT.", {"impression": "Normal. CT."}),
        (
            "REASON FOR STUDY: pneumonia?\nIMPRESSION: Normal.",
            {"indication": "pneumonia?", "impression": "Normal."},
        ),
        (
            "Lungs clear.\nFINDINGS:\nIMPRESSION: Normal.",
            {"findings": "Lungs clear.", "impression": "Normal."},
        ),
        ("No acute findings: clear.", {"findings": "No acute findings: clear."}),
        ("Finding\u017f: clear.", {"findings": "Finding\u017f: clear."}),  # a long s is no s
        ("FINDINGS: Clear\n\nDr. A was told.", {"findings": "Clear\n\nDr. A was told."}),
        ("", {}),
        (" \n ", {}),
    ],
)
def test_sections(text, sections):
    assert split_sections(text) == sections


@pytest.mark.parametrize(
    "sentences",
    [
        ["A 1.5 cm nodule.", "Heart is normal!", "Is it? ", "Yes; ", "so it is"],
        ["Discussed with Dr. Smith at 5 p.m. by telephone.", "Dr. J. Smith agreed."],
        ["Drs. ___ and ___ agreed at ___ p.m. ___ by phone.", "Clear."],
        ["Mr. A and Ms. B and Mrs. C came.", "A St. Jude valve is seen."],
        ["Effusion vs. Pneumonia, e.g. Aspiration, i.e. Opacity, cf. Fig. 1 of it."],
        ["A mass measuring 5 cm.", "The heart is normal."],
        ["It is 5 cm. in width.", "It is 7 mm.", "No change."],
        ["Prior?", "No.", "Heart is normal."],
        ["Film no. 5 is dark.", "The 1st.", "The last."],
        ["Seen at 5 p.m.", "The patient was informed."],
        ["Clips, wires, etc.", "The heart is normal."],
        ["Patient has MS.", "Compared with MR.", "Recommend CT."],  # imaging, and a disease
        ["Fracture of rib 5.", "No pneumothorax."],
        ["Fractures of ribs 4 and 5.", "Grade 2.", "Vertebra T 8.", "On day 3.", "Clear."],
        ["Compared to XXXX.", "XXXX opacity of XXXX XXXX.", "___ is unchanged since ___."],
        ["Mild opacity ? pneumonia.", "Clear."],
        ["(Compared with the prior film.)", 'He said "pain."', "Clear."],
        ["Leads end at .5 cm...", "Clear.."],
        ["heart is normal.", "lungs are clear."],
        ["Pt. is rotated.", "Discussed with pt.", "History of C. difficile.", "Plan B.", "Clear."],
    ],
)
def test_sentences_end_where_a_reader_would_end_them(sentences):
    text = " ".join(sentences)
    assert split_sentences(text) == [s.strip() for s in sentences]
    assert split_sentences(text.replace(" ", "\n ")) == [s.strip() for s in sentences]  # wrapped


@pytest.mark.parametrize(
    "text, sentences",
    [
        ("1. Clear. 2. No effusion.", ["Clear.", "No effusion."]),
        ("(1) clear (2) No effusion", ["clear", "No effusion"]),
        ("1) Clear 2) No effusion", ["Clear", "No effusion"]),
        ("1. Cardiomegaly 2. XXXX opacity 3. ___", ["Cardiomegaly", "XXXX opacity"]),
        ("No disease 2. Old fracture", ["No disease", "Old fracture"]),
        ("Chest 1. Clear. Foot 1. Normal.", ["Chest", "Clear.", "Foot", "Normal."]),
        ("1. 3.3 mm nodule. 2.No change.", ["3.3 mm nodule.", "No change."]),
        ("1. Fracture of rib 2. 2. Clear.", ["Fracture of rib 2.", "Clear."]),
        ("As follows: 1. Clear.", ["As follows:", "Clear."]),
        ("Lungs clear.The heart is normal.", ["Lungs clear.", "The heart is normal."]),
        ("Right lung XXXX.In the left", ["Right lung XXXX.", "In the left"]),
        ("Clear\n\nNo effusion", ["Clear", "No effusion"]),
        (" . ; ___ . - ", []),
        ("", []),
    ],
)
def test_lists_and_what_was_typed_in_haste(text, sentences):
    assert split_sentences(text) == sentences


WORDS = st.sampled_from(
    "The heart No no. cm. mm. 1. 2) (3) 1.5 15 rib Dr. vs. p.m. e.g. XXXX ___ . ? ; , clear.The "
    "5. Is \n \n\n normal) \u00e9t\u00e9. \u0130 10 ... -".split(" ")
)
TEXTS = st.one_of(st.lists(WORDS, max_size=25).map(" ".join), st.text(max_size=60))


def letters(text: str) -> str:
    return re.sub(r"[\W\d_]", "", text)


@given(TEXTS)
@example("1. 1. 2. A")
def test_splitting_loses_nothing_but_the_numbers_of_lists(text):
    sentences = split_sentences(text)
    assert letters("".join(sentences)) == letters(text)
    # What is missing are numbers before a bracket or a full stop, and nothing is made up.
    left = iter(text)
    assert all(character in left for character in "".join("".join(sentences).split()))
    unnumbered = re.sub(r"\d{1,2}[.)]", "", text)
    numbers, kept = (re.findall(r"\d", t) for t in (unnumbered, "".join(sentences)))
    assert len(kept) >= len(numbers)
    assert all(s == s.strip() and re.search(r"[^\W_]", s) for s in sentences)


@given(TEXTS)
def test_no_text_lets_sections_stumble(text):
    for heading in ("", "FINDINGS:", "impression :"):
        sections = split_sections(f"{heading} {text}")
        if not heading and ":" not in text:
            assert letters("".join(sections.values())) == letters(text)


@given(st.one_of(TEXTS, st.text()))
@example("\u0345\u1fb3 \u1e9e \u2488 x")
def test_normalising_twice_changes_nothing(text):
    once = normalise_statement(text)
    assert normalise_statement(once) == once
    assert "\0" not in once and "_" not in once


@pytest.mark.parametrize(
    "same",
    [
        [
            "No pleural effusion.",
            "no  PLEURAL effusion",
            "2. No pleural effusion!",
            "(1) No pleural effusion",
        ],
        ["A 1.5 cm nodule.", "a 1.5 CM nodule", "\uff21 1.5 cm nodule"],
        ["Compared to ___.", "compared to"],
        ["Non-displaced fracture, left.", "Non displaced fracture (left)."],
    ],
)
def test_equal_statements(same):
    assert len({normalise_statement(s) for s in same}) == 1


@pytest.mark.parametrize(
    "different",
    [
        ["There is effusion.", "There is no effusion.", "There is not effusion."],
        ["Left effusion.", "Right effusion.", "Bilateral effusion."],
        ["Small effusion.", "Large effusion.", "Effusion."],
        ["A 1.5 cm nodule.", "A 15 cm nodule.", "A 1 5 cm nodule.", "A 5 cm nodule."],
        ["Rib 5.", "Rib 6.", "Rib."],
        ["Possible edema.", "Edema.", "Edema is unchanged."],
    ],
)
def test_statements_that_differ(different):
    assert len({normalise_statement(s) for s in different}) == len(different)


def test_fingerprints_are_the_same_on_every_machine_and_fit_64_signed_bits():
    assert fingerprint("") == GOLDEN[0]
    assert fingerprint("no pleural effusion") == GOLDEN[1]
    assert report_fingerprint(["1. Clear.", "No effusion."]) == GOLDEN[2]
    assert report_fingerprint(["no effusion", "clear"]) != GOLDEN[2]
    many = [fingerprint(str(i)) for i in range(200)]
    assert np.array(many, np.int64).tolist() == many  # numpy would refuse a larger one
    assert min(many) < -(2**62) and max(many) > 2**62 and len(set(many)) == 200


def test_real_reports(real_data):
    """Open-i: sentences are short, few hold a full stop, and nothing of them is lost."""
    counts, sentences = [], []
    with tarfile.open(real_data / "openi_reports.tgz") as archive:
        for member in filter(tarfile.TarInfo.isfile, archive):
            tree = ElementTree.parse(archive.extractfile(member))
            texts = {e.get("Label"): e.text or "" for e in tree.iter("AbstractText")}
            report = f"FINDINGS: {texts['FINDINGS']}\nIMPRESSION: {texts['IMPRESSION']}"
            sections = split_sections(report)
            found = [s for text in sections.values() for s in split_sentences(text)]
            assert letters("".join(found)) == letters(texts["FINDINGS"] + texts["IMPRESSION"])
            counts.append(len(found))
            sentences += found
    assert len(counts) == 1979
    assert np.percentile(counts, [50, 95]).tolist() == [5, 10]
    assert max(map(len, sentences)) < 260
    glued = {s for s in sentences if re.search(r"\.[\])]?\s*[A-Z]", s)}
    assert all(re.search(r"\bDr\.|XXXX p\.m\. XXXX", s) for s in glued), glued
