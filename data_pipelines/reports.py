"""A radiology report as text -> sections -> sentences -> statements and their fingerprints."""

import hashlib
import re
import unicodedata

# Raised whenever a sentence could be cut or a statement normalised in another way than before.
NORMALISER_VERSION = 2

_SECTIONS = {
    "findings": "findings",
    "finding": "findings",
    "findings and impression": "findings",
    "findings/impression": "findings",
    "findings / impression": "findings",
    "impression": "impression",
    "impressions": "impression",
    "final impression": "impression",
    "impression and recommendation": "impression",
    "impression and recommendations": "impression",
    "impression/recommendation": "impression",
    "impression/recommendations": "impression",
    "conclusion": "impression",
    "opinion": "impression",
    "indication": "indication",
    "indications": "indication",
    "clinical indication": "indication",
    "history": "indication",
    "clinical history": "indication",
    "clinical information": "indication",
    "clinical data": "indication",
    "reason for exam": "indication",
    "reason for study": "indication",
    "reason for examination": "indication",
    "comparison": "comparison",
    "comparisons": "comparison",
    "technique": "technique",
    "examination": "technique",
    "exam": "technique",
    "procedure": "technique",
    "recommendation": "recommendation",
    "recommendations": "recommendation",
    "recommendation(s)": "recommendation",
    "notification": "notification",
}
_NAMES = sorted(_SECTIONS, key=len, reverse=True)


def _any_of(names: list[str]) -> str:
    return "|".join(r"[ \t]+".join(map(re.escape, name.split())) for name in names)


# In any case where a line or a sentence starts; in capitals anywhere, since line ends get lost.
# ASCII: the long s and other letters that fold to ours make no heading.
_HEADING = re.compile(
    rf"(?:(?:^|(?<=[\n.!?]))[ \t]*((?i:{_any_of(_NAMES)}))"
    rf"|(?<=\s)({_any_of([name.upper() for name in _NAMES])}))[ \t]*:",
    re.ASCII,
)
_BANNER = re.compile(r"^\s*(?:final|preliminary) report\b:?", re.IGNORECASE)
_PARAGRAPH = re.compile(r"\n\s*\n")

# "(1)", "1)" or "1." before an item of a list, also with the space after it forgotten.
_MARKER = re.compile(
    r"(?:^|(?<=\s)|(?<=[a-z][.;:]))(?:\((\d{1,2})\)|(\d{1,2})[.)])(?:(?=\s+\S)|(?=[A-Z][a-z]))"
)
# After these words a number belongs to its sentence: "fracture of rib 5. No pneumothorax."
_TAKES_NUMBER = re.compile(
    r"(?:\b(?:ribs?|grade|stage|level|levels|type|class|category|score|zone|segment|series|images?|"
    r"views?|leads?|day|number|no|figs?|and|or|to|of|than|by|at|is|are|the|x|approximately|about|"
    r"measur\w+|through|[ctls])\.?|[\d,/&+<>=~-])\s*$",
    re.IGNORECASE,
)
# A question mark that stands alone is a hedge, "? edema", and ends nothing.
_STOP = re.compile(
    r"(?:(?<![.!;])[.!;]|(?<=\S)\?)[.!?;]*[\"')\]]*(?=\s|$)|(?<=[a-z][a-z]|XX)\.(?=[A-Z][a-z ])"
)
_TITLE = re.compile(r"\b(?:[Dd]rs?|DR|Mrs?|Ms|Prof|St)\.(?:\s*[A-Z]\.)?$")
_ABBREVIATION = re.compile(r"\b(?:vs|approx|figs?|e\.g|i\.e|cf)\.$", re.IGNORECASE)
_NUMBER = re.compile(r"\bnos?\.$", re.IGNORECASE)
# These end a sentence as often as not: what follows decides.
_DOTTED = re.compile(r"\b(?:[a-z]\.)+[a-z]\.$", re.IGNORECASE)
_UNIT = re.compile(r"\b(?:cm|mm|in|yrs?|hrs?|min|sec|st|etc|resp|bilat|pts?)\.$", re.IGNORECASE)
_GENUS = re.compile(r"\b[A-Z]\.$")  # C. difficile
_REMOVED = re.compile(r"XX|_")  # what stands for words that de-identification took out
_LOOK = 40  # characters around a full stop that decide; all of them would take squared time


def list_sections(text: str) -> list[tuple[str, str]]:
    """(name, text) of the parts of a report, in their order, empty ones too; first what stands
    before any heading, under "".

    Line ends become spaces, but for empty lines, which end a sentence.
    """
    headings = list(_HEADING.finditer(text))
    names = [_SECTIONS[" ".join((h.group(1) or h.group(2)).lower().split())] for h in headings]
    lead = _BANNER.sub("", text[: headings[0].start()] if headings else text)
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    bodies = [text[h.end() : end] for h, end in zip(headings, ends, strict=False)]
    return [(name, _join_lines(b)) for name, b in zip(["", *names], [lead, *bodies], strict=True)]


def split_sections(text: str) -> dict[str, str]:
    """Cuts a report at its headings; a report with none is all findings.

    Line ends become spaces, but for empty lines, which end a sentence.
    """
    (_, lead), *parts = list_sections(text)
    sections: dict[str, str] = {}
    if lead and not any(name == "findings" and body for name, body in parts):
        sections["findings"] = lead
    for name, body in parts:
        if body:
            sections[name] = f"{sections[name]}\n\n{body}" if name in sections else body
    return sections


def _join_lines(text: str) -> str:
    paragraphs = (" ".join(part.split()) for part in _PARAGRAPH.split(text))
    return "\n\n".join(filter(None, paragraphs))


def split_sentences(text: str) -> list[str]:
    """Cuts at full stops that end a sentence: not in decimals or abbreviations; drops the numbers
    of a list.
    """
    sentences = []
    for paragraph in _PARAGRAPH.split(text):
        for item in _split_items(" ".join(paragraph.split())):
            start = 0
            for stop in _STOP.finditer(item):
                before = item[max(start, stop.start() - _LOOK) : stop.start() + 1]
                if not _is_abbreviation(before, item[stop.end() : stop.end() + _LOOK]):
                    sentences.append(item[start : stop.end()])
                    start = stop.end()
            sentences.append(item[start:])
    return [s.strip() for s in sentences if re.search(r"[^\W_]", s)]


def _split_items(text: str) -> list[str]:
    """The items of a list, without their numbers."""
    items, start, last = [], 0, 0
    for marker in _MARKER.finditer(text):
        number = int(marker.group(1) or marker.group(2))
        before = text[max(start, marker.start() - _LOOK) : marker.start()].rstrip()
        after = text[marker.end() : marker.end() + _LOOK].lstrip()
        # Items often end without a full stop: then the count has to go on, or to start.
        counts_on = number in (1, last + 1) or (last, number) == (0, 2)
        ended = not before or before.endswith((".", "!", "?", ";", ":"))
        capital = after[:1].isupper() or bool(_REMOVED.match(after))
        if (ended and not _ABBREVIATION.search(before)) or (
            counts_on and capital and not _TAKES_NUMBER.search(before)
        ):
            items.append(text[start : marker.start()])
            start, last = marker.end(), number
    return [*items, text[start:]]


def _is_abbreviation(before: str, after: str) -> bool:
    """Whether a sentence goes on after the full stop that ends `before`."""
    after = after.lstrip()
    if _TITLE.search(before) or _ABBREVIATION.search(before):
        return True
    if _NUMBER.search(before):
        return after[:1].isdigit()
    if _DOTTED.search(before):
        return not after[:1].isupper() or bool(_REMOVED.match(after))
    return bool(_UNIT.search(before) or _GENUS.search(before)) and after[:1].islower()


def normalise_statement(sentence: str) -> str:
    """Folds case, spacing, punctuation and enumeration; keeps words and numbers."""
    text = unicodedata.normalize("NFKC", sentence).casefold()
    # Folding case may take a letter apart, and what is then left of it is to be folded too.
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(r"^\s*(?:\(\d{1,2}\)|\d{1,2}[.)])\s+", "", text)
    text = re.sub(r"(?<!\d)\.|\.(?!\d)|[^\w.]|_", " ", text)
    return " ".join(text.split())


def fingerprint(normalised: str) -> int:
    """blake2b of 8 bytes, as a signed 64-bit number."""
    digest = hashlib.blake2b(normalised.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def report_fingerprint(sentences: list[str]) -> int:
    """The fingerprint of a report as a whole: its normalised sentences in order."""
    return fingerprint("\n".join(normalise_statement(s) for s in sentences))
