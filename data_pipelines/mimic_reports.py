"""MIMIC-CXR's free-text reports -> findings, impression, indication, comparison.

Written from what the reports look like (Johnson et al., doi 10.1038/s41597-019-0322-0). A file may
hold several texts, parted by a line of underscores or by a banner, FINAL REPORT: the wet read that
somebody wrote at once, an addendum, and the report. Headings are free: in any case, misspelt, or
the name of the examination (`FRONTAL AND LATERAL CHEST:`); one report in ten has none.
"""

import dataclasses
import difflib
import re

from data_pipelines import reports
from data_pipelines.records import BadInput

MAX_REPORT_CHARACTERS = 1 << 16  # reports have one or two thousand

_RULE = re.compile(r"^[ \t]*_{10,}[ \t]*$", re.MULTILINE)
_BANNER = re.compile(
    r"^[ \t*]*(?:FINAL|PRELIMINARY|INTERIM)[ \t]+REPORT\b[ \t*:]*(?:\(REVISED\))?",
    re.MULTILINE | re.IGNORECASE,
)
_WET_READ = re.compile(
    r"\s*(?:WET[ \t]*READ|PRELIMINARY[ \t]+READ|PFI\b|PROVISIONAL[ \t]+FINDINGS)"
)
_ADDENDUM = re.compile(r"\s*(?:\w+[ \t]+)?ADDENDUM\b", re.IGNORECASE)
# Within the report it needs no colon to part from what stands before it.
_APART = re.compile(r"^[ \t]*(?:ADDENDUM|ADDENDA|WET[ \t]*READ)\b[ \t]*:?", re.MULTILINE)
# Capitals, and the colon of a time. Bounded, so that a long line costs no squared time.
_NAME = r"[A-Z](?:[A-Z0-9 \t,;()/&.'_#+-]|(?<=\d):(?=\d\d)){1,89}"
_CAPITALS = re.compile(rf"^[ \t]*({_NAME}):(?!\d)", re.MULTILINE)
# Found without a colon too, alone in a line or before lower case: other reports are all capitals.
_NO_COLON = re.compile(
    r"^[ \t]*(FINDINGS|IMPRESSION|COMPARISON)(?:\.|(?=[ \t]*$)|(?=[ \t][^\n:]{0,60}?[a-z]))",
    re.MULTILINE,
)
_EMPTY_HEADING = re.compile(
    r"^[ \t]*(INDICATION|COMPARISON|TECHNIQUE|RECOMMENDATION|NOTIFICATION):[ \t]*\n[ \t]*\n",
    re.MULTILINE,
)
_ANY_CASE = re.compile(r"^[ \t]*([A-Za-z]{7,12})[ \t]*:", re.MULTILINE)
# A line in capitals that stands alone is the name of an examination, with no colon after it.
_TITLE = re.compile(rf"\s*{_NAME}:?\s*")
_CONCLUDES = r"IMPRESSIONS?|CONCLUSIONS?|OPINION|SUMMARY"
_IMPRESSION = re.compile(rf"^[ \t]*(?:{_CONCLUDES})\b[^:\n]*:", re.I | re.M)
_TOLD = re.compile(rf"^[ \t]*(?:FINDINGS?|{_CONCLUDES})\b[^:\n]*:", re.I | re.M)
_PARAGRAPH = re.compile(r"\n\s*\n")
_EXAMINATION = re.compile(
    r"\b(?:CHEST|RADIOGRAPHS?|VIEWS?|X-?RAYS?|CXR|FILMS?|PORTABLE|UPRIGHT|SUPINE|FRONTAL|LATERAL|"
    r"PA|AP)\b"
)
_PROSE = re.compile(r"\b(?:IS|ARE|WAS|WERE|HAS|HAVE|HAD|THERE|NO|NOT|WITHOUT|UNCHANGED|CLEAR)\b")
# Words of a heading -> the heading that `reports` knows. The first that is found decides.
_KINDS = (
    (re.compile(r"\b(?:WET ?READ|PRELIMINARY READ|PFI|ADDENDUM|ADDENDA)\b"), "NOTIFICATION"),
    (re.compile(r"\b(?:NOTIFICATION|COMMUNICATION|DISCUSSED|ATTESTATION)\b"), "NOTIFICATION"),
    (re.compile(r"\bRECOMMEND"), "RECOMMENDATION"),
    (re.compile(r"\bFINDINGS? (?:AND|/|&) IMPRESSION"), "FINDINGS"),
    (re.compile(r"\b(?:IMPRESSIONS?|CONCLUSIONS?|OPINION|SUMMARY)\b"), "IMPRESSION"),
    (re.compile(r"\b(?:FINDINGS?|OBSERVATIONS?|REPORT|INTERPRETATION)\b"), "FINDINGS"),
    (
        re.compile(r"\b(?:HISTORY|INDICATIONS?|REASONS?|COMPLAINT|CLINICAL|SYMPTOMS?)\b"),
        "INDICATION",
    ),
    (re.compile(r"\b(?:COMPARISONS?|COMPARED|PRIORS?)\b"), "COMPARISON"),
    (
        re.compile(r"\b(?:TECHNIQUE|PROCEDURE|EXAM|EXAMINATION|STUDY(?! LIMIT)|STUDIES)\b"),
        "TECHNIQUE",
    ),
)
_SPELLED = (
    *("findings", "impression", "conclusion", "indication", "comparison"),
    *("technique", "examination"),
)
_WORD = re.compile(r"[^\W_]+")


@dataclasses.dataclass(frozen=True)
class MimicReport:
    """Sections of a report; "" where it has none. Paragraphs are parted by an empty line.

    Attributes:
      has_headings: findings or impression had a heading. Findings that had none are what stands
        below the first paragraph of the last section (before the impression, if there is one), or
        the whole text where nothing has a heading.
    """

    findings: str
    impression: str
    indication: str
    comparison: str
    has_headings: bool


def parse_report(text: str, *, headed: bool = False) -> MimicReport:
    """Sections of one file. Wet reads and addenda are not the report, and are dropped.

    Args:
      text: of the file.
      headed: findings without a heading are none where the impression has one, as MGCA's code
        reads them.

    Raises:
      BadInput: long_report.
    """
    if len(text) > MAX_REPORT_CHARACTERS:
        raise BadInput(
            "long_report",
            f"the report has {len(text)} characters and at most {MAX_REPORT_CHARACTERS} are read: "
            "is it a report?",
        )
    main = _main_text(text.replace("\r\n", "\n").replace("\r", "\n"))
    plain = _with_plain_headings(main)
    parts = reports.list_sections(plain)
    found = {}
    for kind in ("findings", "impression", "indication", "comparison"):
        found[kind] = "\n\n".join(body for name, body in parts if name == kind and body)
    has_headings = bool(found["findings"] or found["impression"])
    if not found["findings"] and not (headed and has_headings):
        name, found["findings"] = _text_without_heading(plain)
        if name in found:
            found[name] = found[name].removesuffix(found["findings"]).strip()
    return MimicReport(**found, has_headings=has_headings)


def count_words(text: str) -> int:
    """Words, without the `___` that stand for what was removed."""
    return len(_WORD.findall(text))


def count_mgca_tokens(findings: str, impression: str) -> int:
    """Tokens as MGCA's code counts them to leave out reports of fewer than three.

    Its sentences end at every full stop and after every number with one; those of one token do not
    count; a removed word is a token (`pretrain_dataset.py`).
    """
    count = 0
    for part in re.split(r"(?<![0-9])[0-9]+\.", f"{impression} {findings}"):
        for sentence in part.split("."):
            tokens = [t for t in re.findall(r"\w+", sentence) if t.encode("ascii", "ignore")]
            count += len(tokens) if len(tokens) > 1 else 0
    return count


def _main_text(text: str) -> str:
    """Without wet reads, addenda, banners and rules."""
    parts = []
    for block in _RULE.split(text):
        # A wet read ends where the banner of the report stands, with a rule before it or without.
        for part in _BANNER.split(block):
            if not (_WET_READ.match(part) or _ADDENDUM.match(part)):
                parts.append(part)
    return "\n\n".join(part for part in parts if part.strip())


def _with_plain_headings(text: str) -> str:
    """The same text, with headings that `reports.split_sections` knows."""
    text = _NO_COLON.sub(r"\1:", _ANY_CASE.sub(_respelled, text))
    text = _APART.sub("\n\nNOTIFICATION:", text)
    # An examination's name heads what was seen, but where findings have a heading of their own; and
    # below that, or the impression's, it is a part of what they say.
    own = any(_kind(m.group(1)) == "FINDINGS" for m in _CAPITALS.finditer(text)) or bool(
        re.search(r"^[ \t]*findings?[ \t]*:", text, re.IGNORECASE | re.MULTILINE)
    )
    examination = "TECHNIQUE" if own else "FINDINGS"
    heading = _TOLD if own else _IMPRESSION
    first = heading.search(text)
    begun = first.start() if first else len(text)

    def renamed(match: re.Match) -> str:
        name = match.group(1)
        kind = _kind(name)
        if kind is None and match.start() < begun and _is_title(name):
            kind = examination
        return match.group() if kind is None else f"\n\n{kind}:"

    paragraphs, told = _PARAGRAPH.split(_CAPITALS.sub(renamed, text)), False
    for place, paragraph in enumerate(paragraphs):
        told = told or bool(heading.search(paragraph))
        if not told and _is_title(paragraph):
            paragraphs[place] = f"{examination}:"
    return "\n\n".join(paragraphs)


def _is_title(paragraph: str) -> bool:
    """Whether it names an examination, and says nothing of what was seen."""
    return bool(
        len(paragraph) < 200
        and _TITLE.fullmatch(paragraph)
        and _EXAMINATION.search(paragraph)
        and not _PROSE.search(paragraph)
    )


def _kind(name: str) -> str | None:
    spaced = " ".join(name.split())
    return next((kind for pattern, kind in _KINDS if pattern.search(spaced)), None)


def _respelled(match: re.Match) -> str:
    """`IMPRSSION:` -> `IMPRESSION:`; other words stay."""
    word = match.group(1).lower()
    if word in _SPELLED:
        return match.group()
    close = difflib.get_close_matches(word, _SPELLED, 1, 0.82)
    return f"{close[0].upper()}:" if close else match.group()


def _text_without_heading(plain: str) -> tuple[str, str]:
    """(section it was taken from, what was seen), where no heading says so: below the own paragraph
    of the last section that has more than that, or before all headings; where there is an
    impression, of the sections before it.

    A heading with an empty line after it has no paragraph of its own: it was left in a template.
    """
    parts = reports.list_sections(_EMPTY_HEADING.sub(r"\1: ___\n\n", plain))
    said = [k for k, (name, body) in enumerate(parts) if name == "impression" and body]
    for name, body in reversed(parts[1 : said[0]] if said else parts):
        paragraphs = body.split("\n\n")
        own = paragraphs.pop(0) if name else ""
        told = name in ("notification", "recommendation") and own != "___"
        if any(paragraphs) and not told:
            return name, "\n\n".join(paragraphs)
    return "", ""
