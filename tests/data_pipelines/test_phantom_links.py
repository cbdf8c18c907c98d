"""What a sentence of a phantom's report is linked to is what an independent reader of its words
finds in it: labels, polarity, sides and zones.
"""

import numpy as np
import phantom_word_reader
import pytest

from data_pipelines.phantom.anatomy import Side
from data_pipelines.phantom.findings import DIFFICULTY, LABEL_OF, draw_findings
from data_pipelines.phantom.grammar import Style, write_report
from data_pipelines.records import Label


def _sentences(config, count):
    """Every distinct thing that is said: (text, links)."""
    said = set()
    for seed in range(count):
        rng = np.random.default_rng([seed, 17])
        findings = draw_findings(config, "AP" if seed % 3 == 0 else "PA", rng)
        style = Style.OTHER if seed % 4 == 0 else None
        for spoken in write_report(config, findings, rng, style).sentences:
            links = tuple((k.label, k.polarity, k.region) for k in spoken.links)
            said.add((spoken.intended, links))
    return said


@pytest.mark.parametrize("config", DIFFICULTY)
def test_links_are_what_the_words_say(config):
    drawn = {LABEL_OF[kind] for kind in DIFFICULTY[config].prevalence}
    said = _sentences(config, 900)
    for text, links in said:
        linked = {label: polarity for label, polarity, _ in links if label != "No Finding"}
        # "The lungs are clear" denies no more than a config can draw.
        found = {
            label: polarity
            for label, polarity in phantom_word_reader.read(text).items()
            if label in drawn or label in linked
        }
        assert found == linked, text
    spoken_of = {label for _, links in said for label, _, _ in links}
    assert spoken_of >= drawn and len(said) > 150


@pytest.mark.parametrize("config", DIFFICULTY)
def test_places_are_those_that_the_words_name(config):
    for text, links in _sentences(config, 900):
        sides = {side for _, _, region in links if region for side in region.sides}
        zones = {region.zone for _, _, region in links if region and region.zone}
        read_sides, read_zones = phantom_word_reader.read_place(text)
        denied = bool(links) and all(polarity is Label.NEGATIVE for _, polarity, _ in links)
        if denied and read_sides == set(Side):  # a denial of both sides is one altogether
            read_sides = sides
        if links:
            assert (sides, zones) == (read_sides, read_zones), text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Small left pleural effusion without pneumothorax.",
         {"Pleural Effusion": Label.POSITIVE, "Pneumothorax": Label.NEGATIVE}),
        ("Pneumonia cannot be excluded.", {"Pneumonia": Label.UNCERTAIN}),
        ("No focal consolidation or pleural effusion.",
         {"Consolidation": Label.NEGATIVE, "Pleural Effusion": Label.NEGATIVE}),
        ("The trachea is midline.", {}),
    ],
)  # fmt: skip
def test_the_reader_reads_sentences_that_no_grammar_wrote(text, expected):
    assert phantom_word_reader.read(text) == expected
