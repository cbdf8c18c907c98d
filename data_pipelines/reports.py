"""A radiology report as text -> sections -> sentences -> statements and their fingerprints."""

import hashlib
import re
import unicodedata

NORMALISER_VERSION = 1

_SECTIONS = {
    "findings": "findings",
    "finding": "findings",
    "findings and impression": "findings",
    "impression": "impression",
    "impressions": "impression",
    "conclusion": "impression",
    "opinion": "impression",
    "indication": "indication",
    "history": "indication",
    "clinical history": "indication",
    "clinical information": "indication",
    "reason for exam": "indication",
    "reason for examination": "indication",
    "comparison": "comparison",
    "comparisons": "comparison",
    "technique": "technique",
    "examination": "technique",
    "exam": "technique",
    "procedure": "technique",
}
_HEADING = re.compile(
    r"(?:^|(?<=[\n.]))[ \t]*(" + "|".join(sorted(_SECTIONS, key=len, reverse=True)) + r")[ \t]*:",
    re.IGNORECASE,
)
_ABBREVIATION = re.compile(
    r"\b(dr|drs|mr|mrs|ms|prof|vs|e\.g|i\.e|etc|approx|fig|no|st|cm|mm|a\.m|p\.m|resp)\.$",
    re.IGNORECASE,
)
_ENUMERATION = re.compile(r"(?:(?<=\s)|^)\(?\d{1,2}[.)](?=\s+\S)")
_BOUNDARY = re.compile(r"[.!?;]+(?=\s|$)")


def split_sections(text: str) -> dict[str, str]:
    """Cuts a report at its headings; a report with none is all findings."""
    headings = list(_HEADING.finditer(text))
    if not headings:
        return {"findings": " ".join(text.split())}
    sections: dict[str, str] = {}
    lead = text[: headings[0].start()].strip()
    if lead and not any(_SECTIONS[h.group(1).lower()] == "findings" for h in headings):
        sections["findings"] = " ".join(lead.split())
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        name = _SECTIONS[heading.group(1).lower()]
        body = text[heading.end() : following.start() if following else len(text)]
        body = " ".join(body.split())
        if body:
            sections[name] = f"{sections[name]} {body}" if name in sections else body
    return sections


def split_sentences(text: str) -> list[str]:
    """Cuts at full stops that end a sentence: not in decimals, abbreviations, enumerations."""
    text = " ".join(_ENUMERATION.sub(" \n ", text).split(" "))
    sentences = []
    for part in text.split("\n"):
        start = 0
        for boundary in _BOUNDARY.finditer(part):
            if _ABBREVIATION.search(part[start : boundary.start() + 1]):
                continue
            sentences.append(part[start : boundary.end()])
            start = boundary.end()
        sentences.append(part[start:])
    cleaned = (" ".join(s.split()) for s in sentences)
    return [s for s in cleaned if re.search(r"[^\W_]", s)]


def normalise_statement(sentence: str) -> str:
    """Folds case, spacing, punctuation and enumeration; keeps words and numbers."""
    text = unicodedata.normalize("NFKC", sentence).casefold()
    text = re.sub(r"^\s*\(?\d{1,2}[.)]\s+", "", text)
    text = re.sub(r"(?<=\d)\.(?=\d)", "\0", text)
    text = re.sub(r"[^\w\0]+", " ", text).replace("\0", ".").replace("_", " ")
    return " ".join(text.split())


def fingerprint(normalised: str) -> int:
    """blake2b of 8 bytes, as a signed 64-bit number."""
    digest = hashlib.blake2b(normalised.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def report_fingerprint(sentences: list[str]) -> int:
    """The fingerprint of a report as a whole: its normalised sentences in order."""
    return fingerprint("\n".join(normalise_statement(s) for s in sentences))
