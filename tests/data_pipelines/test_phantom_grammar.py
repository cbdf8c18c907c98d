"""Reports of PhantomCXR say what is true of the picture, and prompts stay unseen."""

import collections
import re

import numpy as np
import pytest

from data_pipelines.phantom.findings import DIFFICULTY, LABEL_OF, draw_findings
from data_pipelines.phantom.grammar import every_sentence, write_report
from data_pipelines.phantom.phrases import JOINT_ABSENT
from data_pipelines.phantom.prompts import PROMPTS
from data_pipelines.records import CHEXPERT_LABELS, Label
from data_pipelines.reports import normalise_statement, split_sections, split_sentences

CONFIGS = tuple(DIFFICULTY)


def _reports(config, count=400):
    for seed in range(count):
        rng = np.random.default_rng([seed, 5])
        findings = draw_findings(config, "PA" if seed % 2 else "AP", rng)
        yield findings, write_report(config, findings, rng)


def _words(texts):
    return {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}


@pytest.mark.parametrize("config", CONFIGS)
def test_prompts_are_phrasings_that_training_never_shows_in_words_that_it_does(config):
    trained = {normalise_statement(text) for text in every_sentence(config)}
    vocabulary = _words(every_sentence(config))
    labels = {LABEL_OF[kind] for kind in DIFFICULTY[config].prevalence}
    assert set(PROMPTS[config]) == labels
    for label, prompts in PROMPTS[config].items():
        assert set(prompts) == {"positive", "negative"}
        for texts in prompts.values():
            assert 4 <= len(texts) <= 6
            assert not {normalise_statement(text) for text in texts} & trained, label
            assert _words(texts) <= vocabulary, label


@pytest.mark.parametrize("config", CONFIGS)
def test_every_written_sentence_is_listed_and_the_vocabulary_is_small(config):
    listed = set(every_sentence(config))
    written = {s.text for _, report in _reports(config) for s in report.sentences}
    assert written <= listed
    assert len(_words(listed)) <= (130 if config == "easy" else 350)


@pytest.mark.parametrize("config", CONFIGS)
def test_sections_and_sentences_are_split_as_they_were_written(config):
    for _, report in _reports(config, 150):
        findings = " ".join(s.text for s in report.findings)
        impression = " ".join(s.text for s in report.impression)
        sections = split_sections(f"FINDINGS: {findings}\nIMPRESSION: {impression}")
        assert split_sentences(sections["findings"]) == [s.text for s in report.findings]
        assert split_sentences(sections["impression"]) == [s.text for s in report.impression]


@pytest.mark.parametrize("config", CONFIGS)
def test_sentences_are_true_of_the_findings_they_name(config):
    for findings, report in _reports(config):
        present = {finding.label for finding in findings}
        assert 3 <= len(report.findings) <= 7 and 1 <= len(report.impression) <= 3
        for sentence in report.sentences:
            for link in sentence.links:
                assert link.label in CHEXPERT_LABELS
                if link.polarity is Label.NEGATIVE:
                    assert link.label not in present and link.finding is None
                elif link.label != "No Finding":
                    finding = findings[link.finding]
                    assert finding.label == link.label
                    _places_agree(sentence.text.lower(), finding)


def _places_agree(text, finding):
    sides = {side.value for side in finding.sides}
    said = {side for side in ("left", "right") if re.search(rf"\b{side}\b", text)}
    assert said <= sides
    zones = {zone for zone in ("upper", "mid", "lower") if re.search(rf"\b{zone}\b", text)}
    assert zones <= ({finding.zone.value} if finding.zone else set())


@pytest.mark.parametrize("config", CONFIGS)
def test_some_findings_are_left_out_and_some_doubted(config):
    drawn = spoken = doubted = 0
    for findings, report in _reports(config, 1500):
        links = [link for s in report.findings for link in s.links if link.finding is not None]
        drawn += len(findings)
        spoken += len({link.finding for link in links})
        doubted += sum(link.polarity is Label.UNCERTAIN for link in links)
    assert 0.03 < 1 - spoken / drawn < 0.10
    assert 0.02 < doubted / spoken < 0.08


def test_absent_findings_are_denied_or_not_mentioned():
    polarity = collections.Counter()
    for findings, report in _reports("easy"):
        present = {finding.label for finding in findings}
        denied = {k.label for s in report.sentences for k in s.links if k.polarity == 0}
        for kind in DIFFICULTY["easy"].prevalence:
            if LABEL_OF[kind] not in present:
                polarity[LABEL_OF[kind] in denied] += 1
    assert 0.3 < polarity[True] / sum(polarity.values()) < 0.8


def test_clear_lungs_are_never_said_of_lungs_with_a_lesion():
    clear = {text.lower() for texts in JOINT_ABSENT.values() for text in texts if "clear" in text}
    for findings, report in _reports("default", 800):
        if {f.label for f in findings} & {"Lung Lesion", "Atelectasis"}:
            assert not {s.text.lower().rstrip(".") for s in report.sentences} & clear
