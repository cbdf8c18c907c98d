"""MIMIC-CXR's free-text reports, made up in the forms that its real ones have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.mimic_reports import (
    MAX_REPORT_CHARACTERS,
    count_mgca_tokens,
    count_words,
    parse_report,
)
from data_pipelines.records import BadInput
from data_pipelines.reports import split_sentences

RULE = " " + "_" * 78
BANNER = " " * 33 + "FINAL REPORT"
FULL = f"""{BANNER}
 EXAMINATION:  CHEST (PA AND LAT)
 
 INDICATION:  ___ year old man with cough  // pneumonia?
 
 TECHNIQUE:  Chest PA and lateral
 
 COMPARISON:  ___ at 10:30
 
 FINDINGS:
 
 The heart is normal, 12.5 cm wide.  A small left
 effusion is new since ___.
 
 LINES:  The tube ends at 3.5 cm.
 
 IMPRESSION:
 
 1. Small effusion.
 2. No pneumonia per Dr. ___.
 
"""  # noqa: W293


def test_all_sections():
    report = parse_report(FULL)
    assert report.findings == (
        "The heart is normal, 12.5 cm wide. A small left effusion is new since ___.\n\n"
        "LINES: The tube ends at 3.5 cm."
    )
    assert split_sentences(report.impression) == ["Small effusion.", "No pneumonia per Dr. ___."]
    assert report.indication == "___ year old man with cough // pneumonia?"
    assert report.comparison == "___ at 10:30" and report.has_headings
    assert parse_report(FULL.replace("\n", "\r\n")) == report


@pytest.mark.parametrize(
    "text, findings, impression",
    [
        # wet reads and addenda are not the report
        (
            f"WET READ: ___ ___ 9:06 PM\n Large pneumothorax.\n{RULE}\n{BANNER}\n"
            " FINDINGS: Clear.\n\n IMPRESSION: Normal.",
            "Clear.",
            "Normal.",
        ),
        (f"WET READ VERSION #1 ___\n Edema.\n{BANNER}\n IMPRESSION: Normal.", "", "Normal."),
        (f"   ADDENDUM \n Dr. ___ was told.\n{RULE}\n{BANNER}\n FINDINGS: Clear.", "Clear.", ""),
        ("IMPRESSION: Normal.\n\n ADDENDUM  Dr. ___ was told.", "", "Normal."),
        ("IMPRESSION: Normal.\nADDENDUM: Edema.\n\nFINDINGS: Clear.", "Clear.", "Normal."),
        ("IMPRESSION: Normal.\n NOTIFICATION: Told.\n RECOMMENDATION(S): CT.", "", "Normal."),
        # headings in odd case, misspelt, or the examination's name
        ("fINDings : Clear.\n\n impression:Normal.", "Clear.", "Normal."),
        (" FINDIGNS: Clear.\n\n IMPRSSION: Normal.", "Clear.", "Normal."),
        (
            "FRONTAL AND LATERAL CHEST RADIOGRAPHS:  Clear.\n\nCONCLUSION: Normal.",
            "Clear.",
            "Normal.",
        ),
        ("PORTABLE AP CHEST AT 10:30:  Clear.", "Clear.", ""),
        ("CHEST, TWO VIEWS:\n\n FINDINGS: Clear.", "Clear.", ""),
        ("AP CHEST, 5:24 A.M., ___\n\n HISTORY: Fever.\n\n IMPRESSION: Normal.", "", "Normal."),
        ("HISTORY: Fever.\n\n CHEST, TWO VIEWS\n\n Lungs are clear.", "Lungs are clear.", ""),
        ("FINDINGS AND IMPRESSION: Clear.", "Clear.", ""),
        ("REPORT: Clear. SUMMARY here.\nCOMPARISON: None.", "Clear. SUMMARY here.", ""),
        ("FINDINGS: Lungs clear.\n Heart: normal.", "Lungs clear. Heart: normal.", ""),
        # no colon, or a full stop
        ("FINDINGS\n Clear.\n\n IMPRESSION\n Normal.", "Clear.", "Normal."),
        ("IMPRESSION AP chest since ___:\n\n Normal.", "", "AP chest since ___:\n\nNormal."),
        ("FINDINGS: Clear.\n\n COMPARISON.  ___\n\n CONLCUSION: Normal.", "Clear.", "Normal."),
        # no heading of findings, below what was asked or compared
        (
            "REASON FOR EXAMINATION: Fever.\n\n Heart is normal.\n Lungs clear.\n\n"
            " IMPRESSION: No pneumonia.",
            "Heart is normal. Lungs clear.",
            "No pneumonia.",
        ),
        ("COMPARISON: None.\n\n Clear.\n\n No edema.\n\nIMPRESSION: Normal.\n\n So it is.",)
        + ("Clear.\n\nNo edema.", "Normal.\n\nSo it is."),
        ("HISTORY: Fever.\n\nCOMPARISON: None.\n\nIMPRESSION: Normal.", "", "Normal."),
        # an examination's name within what was seen
        ("FINDINGS:\n\nPA AND LATERAL CHEST: Clear.", "PA AND LATERAL CHEST: Clear.", ""),
        (
            "FINDINGS:\n\nCHEST: Clear.\n\nLEFT RIBS, THREE VIEWS: Whole.\n\nIMPRESSION: Normal.",
            "CHEST: Clear.\n\nLEFT RIBS, THREE VIEWS: Whole.",
            "Normal.",
        ),
        ("FINDINGS:\n\nPORTABLE CHEST\n\nClear.", "PORTABLE CHEST\n\nClear.", ""),
        ("HISTORY: Fever.\n\nIMPRESSION:\n\nCHEST: Clear.", "", "CHEST: Clear."),
        ("IMPRESSION:\n\nNORMAL CHEST.", "", "NORMAL CHEST."),
        ("FINDINGS: Clear.\n\nSTUDY LIMITATIONS: None.", "Clear.\n\nSTUDY LIMITATIONS: None.", ""),
        ("IMPRESSION: Normal.\n\nWETREAD: Large pneumothorax.", "", "Normal."),
        # what is in capitals throughout is no title
        ("THERE IS NO CHEST TUBE\n\nIMPRESSION: Normal.", "", "Normal."),
        ("", "", ""),
        (f"{BANNER}\n\n", "", ""),
    ],
)
def test_findings_and_impression(text, findings, impression):
    report = parse_report(text)
    assert (report.findings, report.impression) == (findings, impression)


def test_the_peers_take_no_findings_that_have_no_heading():
    text = "COMPARISON: None.\n\n Clear.\n\nIMPRESSION: Normal."
    report = parse_report(text, headed=True)
    assert (report.findings, report.impression) == ("", "Normal.")
    assert report.comparison == "None.\n\nClear."


@pytest.mark.parametrize(
    "text, findings",
    [
        (
            f"{BANNER}\n INDICATION: Cough.\n\n Lungs are clear.\n\n No edema.",
            "Lungs are clear.\n\nNo edema.",
        ),
        ("CHEST, ___\n\n COMPARISON: None.\n\n Clear lungs.", "Clear lungs."),
        (
            "INDICATION: Cough.\n\n Clear lungs.\n\n NOTIFICATION: Told.\n\n By phone.",
            "Clear lungs.",
        ),
        ("Lungs are clear.\n\nCOMPARISON: ___.", "Lungs are clear."),
        # headings that a template left empty
        ("INDICATION: Cough.\n\n COMPARISON: \n \n Clear lungs.", "Clear lungs."),
        (
            "FINDINGS: \n \n IMPRESSION: \n \n RECOMMENDATION(S): \n \n Clear lungs.\n No edema.",
            "Clear lungs. No edema.",
        ),
        (f"{BANNER}\n Lungs are\n clear.", "Lungs are clear."),
        ("INDICATION: Cough.", ""),
    ],
)
def test_a_report_without_headings_is_taken_from_its_last_paragraphs(text, findings):
    report = parse_report(text)
    assert (report.findings, report.impression) == (findings, "") and not report.has_headings
    assert "Clear lungs" not in report.indication + report.comparison


def test_words_and_tokens():
    assert count_words("No ___ edema, ___.") == 2
    assert count_mgca_tokens("Clear.", "Normal.") == 0  # sentences of one token do not count
    assert count_mgca_tokens("", "1. No edema. 2. Normal") == 2
    assert count_mgca_tokens("Seen on ___.", "") == 3  # a removed word is a token to that code
    assert count_mgca_tokens("A 12.5 cm mass", "") == 3  # "A" alone, cut at "12.", "5 cm mass"


def test_a_text_too_long_to_be_a_report_is_refused():
    with pytest.raises(BadInput, match=f"at most {MAX_REPORT_CHARACTERS}"):
        parse_report("a" * (MAX_REPORT_CHARACTERS + 1))


PARTS = st.sampled_from(
    [
        *("FINDINGS:", "IMPRESSION:", "impresion :", "FINAL REPORT", "WET READ: ___", "ADDENDUM"),
        *("CHEST, TWO VIEWS", "AP CHEST 5:24:", "COMPARISON: ___", "HISTORY:", RULE, "\n\n", "\n "),
        *("Lungs are clear. ", "1. No edema ", "___ ", "\r\n", "\t", "FINDINGS AND IMPRESSION:"),
    ]
)


@given(st.one_of(st.lists(PARTS, max_size=20).map("".join), st.text(max_size=80)))
def test_no_text_stops_the_parser(text):
    report = parse_report(text)
    for section in (report.findings, report.impression, report.indication, report.comparison):
        assert section == section.strip()
        assert set("".join(section.split())) <= set(text)
    assert count_mgca_tokens(report.findings, report.impression) >= 0


@pytest.mark.parametrize(
    "unit", ["\n", " ", "1", "A:", "\n_", "_", "\nA ", "FINAL REPORT ", ". ", "A", "\n \n", "\n*"]
)
def test_the_longest_text_of_one_thing_over_and_over_is_read(unit):
    """Squared time would be minutes here."""
    text = unit * (MAX_REPORT_CHARACTERS // len(unit))
    report = parse_report(text)
    assert count_mgca_tokens(report.findings, report.impression) <= len(text)
