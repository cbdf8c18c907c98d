"""Reports of PhantomCXR say what is true of the picture, and prompts stay unseen."""

import collections
import difflib
import functools
import re

import numpy as np
import pytest

from data_pipelines.phantom.authors import MANNERS, Manner
from data_pipelines.phantom.findings import DIFFICULTY, LABEL_OF, draw_findings, open_labels
from data_pipelines.phantom.frames import TRAINING_STYLES, Style
from data_pipelines.phantom.grammar import every_sentence, write_report
from data_pipelines.phantom.prompts import PROMPTS
from data_pipelines.records import CHEXPERT_LABELS, Label
from data_pipelines.reports import normalise_statement, split_sections, split_sentences

CONFIGS = tuple(DIFFICULTY)
WIDER = tuple(config for config in CONFIGS if config != "easy")
EASY = None  # the easy config's one author has no style


def _reports(config, count=400, style=None):
    for seed in range(count):
        rng = np.random.default_rng([seed, 5])
        findings = draw_findings(config, "PA" if seed % 2 else "AP", rng)
        yield findings, write_report(config, findings, rng, style)


@functools.cache
def _statements(style):
    return frozenset(normalise_statement(text) for text in every_sentence(style))


def _trained(config):
    styles = (EASY,) if config == "easy" else TRAINING_STYLES
    return frozenset().union(*(_statements(style) for style in styles))


def _words(texts):
    return {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}


@pytest.mark.parametrize("config", CONFIGS)
def test_prompts_are_phrasings_that_no_author_writes_in_words_that_training_shows(config):
    vocabulary = _words(_trained(config))
    written = _statements(EASY).union(*(_statements(style) for style in Style))
    labels = {LABEL_OF[kind] for kind in DIFFICULTY[config].prevalence}
    assert set(PROMPTS[config]) == labels
    for label, prompts in PROMPTS[config].items():
        assert set(prompts) == {"positive", "negative"}
        for texts in prompts.values():
            assert 4 <= len(texts) <= 6
            assert not {normalise_statement(text) for text in texts} & written, label
            assert _words(texts) <= vocabulary, label


@pytest.mark.parametrize("style", [EASY, *Style])
def test_every_written_sentence_is_listed(style):
    config = "easy" if style is EASY else "hard"
    said = [s for _, report in _reports(config, style=style) for s in report.sentences]
    assert {normalise_statement(s.intended) for s in said} <= _statements(style)


def test_the_easy_vocabulary_is_small_and_the_wider_one_is_not_a_language():
    assert len(_words(_trained("easy"))) <= 130
    assert len(_words(_trained("default"))) <= 450


def test_default_makes_300_or_more_distinct_statements():
    written = {
        normalise_statement(s.intended)
        for _, report in _reports("default", 1000)
        for s in report.sentences
    }
    print(f"distinct statements: {len(written)} written in 1000 reports,", end=" ")
    print(f"{len(_trained('default'))} that its authors could write")
    assert len(written) >= 300


def test_the_held_out_author_shares_no_statement_with_the_others():
    assert not _statements(Style.OTHER) & _trained("default")
    for _, report in _reports("default", 200):
        assert not {normalise_statement(s.text) for s in report.sentences} & _statements(
            Style.OTHER
        )


@pytest.mark.parametrize("style", TRAINING_STYLES)
def test_authors_differ(style):
    others = [_statements(other) for other in TRAINING_STYLES if other is not style]
    assert len(_statements(style) - frozenset().union(*others)) > 0.5 * len(_statements(style))


@pytest.mark.parametrize("config", CONFIGS)
def test_sections_and_sentences_are_split_as_they_were_written(config):
    styles = (None,) if config == "easy" else (None, Style.OTHER)
    numbered = 0
    for style in styles:
        for _, report in _reports(config, 400, style):
            sections = split_sections(
                f"FINDINGS: {report.findings_text}\nIMPRESSION: {report.impression_text}"
            )
            assert split_sentences(sections["findings"]) == [s.text for s in report.findings]
            assert split_sentences(sections["impression"]) == [s.text for s in report.impression]
            numbered += report.impression_text.startswith("1. ")
    assert (numbered > 10) == (config != "easy")


@pytest.mark.parametrize("config", CONFIGS)
def test_links_are_true_of_the_findings_they_name(config):
    for findings, report in _reports(config, 600):
        present = {finding.label for finding in findings}
        assert 2 <= len(report.findings) and 1 <= len(report.impression) <= 5
        for link in (link for sentence in report.sentences for link in sentence.links):
            assert link.label in CHEXPERT_LABELS
            if link.label == "No Finding" or link.contradicts:
                assert link.finding is None
            elif link.polarity is Label.NEGATIVE:
                assert link.finding is None and _is_absent(link, findings)
            elif link.finding is None:
                assert link.polarity is Label.UNCERTAIN and link.label not in present
            else:
                finding = findings[link.finding]
                assert finding.label == link.label
                if link.region is not None:
                    assert set(link.region.sides) <= set(finding.sides)
                    assert link.region.zone in (None, finding.zone)


def _is_absent(link, findings):
    own = [finding for finding in findings if finding.label == link.label]
    if own and link.region is not None:  # on one side only
        return not any(set(link.region.sides) & set(finding.sides) for finding in own)
    return not own and link.label not in open_labels(findings)


@pytest.mark.parametrize("config", CONFIGS)
def test_some_findings_are_left_out_and_some_doubted(config):
    drawn = spoken = doubted = 0
    for findings, report in _reports(config, 1500):
        links = [link for s in report.findings for link in s.links if link.finding is not None]
        drawn += len(findings)
        spoken += len({link.finding for link in links})
        doubted += sum(link.polarity is Label.UNCERTAIN for link in links)
    low, high = (0.08, 0.2) if config == "hard" else (0.03, 0.10)
    assert low < 1 - spoken / drawn < high
    assert 0.02 < doubted / spoken < (0.2 if config == "hard" else 0.08)


@pytest.mark.parametrize("config", CONFIGS)
def test_absent_findings_are_denied_or_not_mentioned(config):
    denied = collections.Counter()
    for findings, report in _reports(config):
        no = {k.label for s in report.sentences for k in s.links if k.polarity is Label.NEGATIVE}
        gone = {LABEL_OF[kind] for kind in DIFFICULTY[config].prevalence}
        gone -= {finding.label for finding in findings} | open_labels(findings)
        denied.update(label in no for label in gone)
    assert 0.3 < denied[True] / denied.total() < 0.8


@pytest.mark.parametrize("config", WIDER)
def test_typing_errors_are_few_small_and_make_no_other_word(config):
    known = _words(_trained(config)) | _words(_statements(Style.OTHER))
    words = slips = 0
    for _, report in _reports(config, 800):
        for said in report.sentences:
            before, after = (re.findall(r"\w+", text) for text in (said.intended, said.text))
            assert len(before) == len(after)
            words += len(before)
            for meant, typed in zip(before, after, strict=True):
                if meant != typed:
                    slips += 1
                    assert difflib.SequenceMatcher(None, meant, typed).ratio() > 0.75
                    assert typed.lower() not in known
    print(f"{config}: {slips / words:.2%} of the words have a typing error")
    assert 0.001 < slips / words < (0.01 if config == "default" else 0.03)


@pytest.mark.parametrize("config", CONFIGS)
def test_only_hard_contradicts_itself_and_rarely(config):
    reports = [report for _, report in _reports(config, 2000)]
    for report in reports:
        assert not any(link.contradicts for s in report.findings for link in s.links)
    wrong = [r for r in reports if any(k.contradicts for s in r.impression for k in s.links)]
    if config == "hard":
        assert 0.01 < len(wrong) / len(reports) <= MANNERS["hard"].contradicted
    else:
        assert not wrong and Manner().contradicted == 0
