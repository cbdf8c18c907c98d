"""Reads a sentence of a phantom's report by its words alone, as a rule-based labeller would.

It knows nothing of the grammar that wrote the sentence: names of findings, cues of denial and of
doubt, and words of place, in the order in which NegBio and the CheXpert labeller apply theirs.
"""

import re

from data_pipelines.phantom.anatomy import Side
from data_pipelines.phantom.findings import Zone
from data_pipelines.records import Label

_LUNGS = ("Edema", "Consolidation", "Pneumonia", "Atelectasis", "Lung Opacity", "Lung Lesion")
_HEART = ("Cardiomegaly", "Enlarged Cardiomediastinum")
_PLEURA = ("Pneumothorax", "Pleural Effusion", "Pleural Other")
# What a sentence on a whole organ speaks of.
_ORGANS = {
    r"\blungs? (fields )?(and pleural? (spaces )?)?(are |is )?(clear|cta|of ordinary)": _LUNGS,
    r"^lungs: clear|^lungs: the lung(s| fields) are (clear|of ordinary)": _LUNGS,
    r"lungs and pleur": _PLEURA,
    r"pleural (spaces|reflections)|pleural abnormality": _PLEURA,
    r"heart and mediast|cardiomediastinal|cm silhouette": _HEART,
    r"airspace disease": ("Consolidation", "Pneumonia"),
}
_MENTIONS = {
    "Cardiomegaly": r"cardiomegaly|(?<!and )heart size|enlarge\w* (of the )?(heart|cardiac)|"
    r"cardiothoracic ratio|heart (is|may be|not|nl|enlarged|\w+ly enlarged|shadow)|"
    r"cardiac (contour|enlarge|silhouette|dilat|shadow)|\bctr\b|bulk to the heart|^heart: normal",
    "Enlarged Cardiomediastinum": r"(?<!heart and )(?<!cardio)mediastin(um|al)",
    "Edema": r"o?edema|\bchf\b|vascular (congestion|redistribution)|vascula(ture|rity)|pulmonary "
    r"vessels|interstitial markings|vessels (are|nl|wnl|indistinct)|vascular markings|congest|"
    r"interstitium|lung water|overload|vascular pattern",
    "Consolidation": r"consolidat|airspace opaci|airspace density|\basd\b|solid lung|patch of "
    r"shadowing|alveolar shadowing",
    "Pneumonia": r"(?<!para)pneumonia|\bpna\b|infiltrate|infective|infection",
    "Atelectasis": r"atelecta|volume loss|collapse\b|loss of volume|lung volumes|expanded",
    "Pneumothorax": r"pneumothora|\bptxs?\b|air in the \w+ pleura|pleural air|air of [a-z ]+ depth",
    "Pleural Effusion": r"effusion|pleural fluid|\bcpas?\b|costophrenic|collections?\b(?! of air)|"
    r"hemidiaphragm",
    "Lung Lesion": r"nodul|\bmass(es)?\b|lesion|coin|rounded shadow|round shadow",
    "Lung Opacity": r"haz(y|e|iness)\b|ground glass|ill defined|\bggo\b|veil|misty|opacit|opacif|"
    r"(?<!rounded )density|shadowing",
    "Pleural Other": r"pleura\w* (thick|scar|plaque|rind|is|may|bears|smooth|not|borderline|"
    r"surfaces|could)|pl (thick|scar)|thickened pleura|pleura thickened|pleural thickness",
    "Fracture": r"fractur|\bfxs?\b|\bribs?\b|broken|bones|osseous|bony|skeleton|cracked",
    "Support Devices": r"pace(maker|r)|pacing|\bppm\b|generator|\bcvc\b|central (line|venous|"
    r"catheter)|catheter|cannula|\bett\b|(endo)?tracheal tube|tubes?\b|"
    r"(?<!pleural )(?<!septal )(?<!a )\blines?\b|device|hardware",
}
# Naming one of these makes the other a description of it: "opacities consistent with pneumonia".
_OVERRULED = {
    "Lung Opacity": ("Consolidation", "Pneumonia", "Atelectasis", "Edema", "Pneumothorax",
                     "Pleural Effusion"),
    "Atelectasis": ("Pneumothorax",),
    "Pleural Other": ("Pneumothorax",),
}  # fmt: skip
_DENIED_AFTER = re.compile(r"\b(without|but no|w/o|unaccompanied by|no (?=ptx$))|\babsence of\b")
_DENIAL = re.compile(
    r"\b(no|not(?! excluded)|neg|negative|neither|nothing|normal|nl|wnl|clear|cta|sharp|intact|"
    r"unremarkable|smooth|ordinary|sound|none|without|absence)\b|free of|within normal|"
    r"preserved|seen throughout|reach the chest wall|fully expanded|well expanded"
)
_DOUBT = re.compile(
    r"\b(poss(ible|ibly)?|may|cannot|not excluded|suggestion|questionabl[ey]|prob(able)?|suspect"
    r"(ed)?|question|equivocal|concern|likely|artifact|wonders|could|borderline|conceivably)\b"
)
_INTACT_LEADS = re.compile(r"with intact leads|lies? at a safe level|leads ok|tip ok|ett ok")


def read(text: str) -> dict[str, Label]:
    """Label -> what the words say of it, for every label that they speak of."""
    words = re.sub(r"[.]$", "", text.lower())
    words = _INTACT_LEADS.sub("", words)
    found: dict[str, Label] = {}
    main, tail = words, ""
    cut = _DENIED_AFTER.search(words)
    heading = re.match(r"^[a-z ]+: ", words)
    start = heading.end() if heading else 0
    if cut and cut.start() > start:
        main, tail = words[: cut.start()], words[cut.start() :]
    polarity = Label.POSITIVE
    if _DOUBT.search(main):
        polarity = Label.UNCERTAIN
    elif _DENIAL.search(main):
        polarity = Label.NEGATIVE
    for part, value in ((main, polarity), (tail, Label.NEGATIVE)):
        for label in _named(part, heading.group() if heading else ""):
            found.setdefault(label, value)
    return found


def _named(part: str, heading: str) -> set[str]:
    body = part.removeprefix(heading)
    labels = set()
    for pattern, own in _ORGANS.items():
        if re.search(pattern, part):
            labels |= set(own)
    if labels:
        return labels
    labels = {label for label, pattern in _MENTIONS.items() if re.search(pattern, body)}
    if not labels:
        labels = {label for label, pattern in _MENTIONS.items() if re.search(pattern, part)}
    for label, others in _OVERRULED.items():
        if label in labels and labels & set(others):
            labels.discard(label)
    return labels


_SIDE_WORDS = {
    Side.RIGHT: r"\bright\b|\br\b(?!/o)|\br(u|m|l)l\b",
    Side.LEFT: r"\bleft\b|\bl\b|\bl(u|l)l\b|lingula",
}
_BOTH = r"\bboth\b|bilat|either (side|lung)|\bbases\b"
_ZONE_WORDS = {
    Zone.UPPER: r"\bupper\b(?! lobe vessels)|\b[rl]ul\b",
    Zone.MID: r"\bmid(dle)?\b|\brml\b|lingula",
    Zone.LOWER: r"\blower\b|\b[rl]ll\b",
}


def read_place(text: str) -> tuple[set[Side], set[Zone]]:
    """The sides and zones that the words name."""
    words = text.lower()
    sides = {side for side, pattern in _SIDE_WORDS.items() if re.search(pattern, words)}
    if re.search(_BOTH, words):
        sides = set(Side)
    return sides, {zone for zone, pattern in _ZONE_WORDS.items() if re.search(pattern, words)}
