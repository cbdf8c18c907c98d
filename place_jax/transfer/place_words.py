"""Where a phrase says that something is: the side and the zone, in the words of reports."""

import re

_WORDS = {
    "left": ("left", "lt", "lingula", "lingular", "lul", "lll"),
    "right": ("right", "rt", "rul", "rml", "rll"),
    "both": ("both", "bilateral", "bilaterally", "bilat"),
    "upper": ("upper", "apical", "apex", "apices", "lul", "rul"),
    "mid": ("mid", "middle", "lingula", "lingular", "rml", "perihilar"),
    "lower": ("lower", "basal", "base", "bases", "basilar", "bibasilar", "lll", "rll"),
}


def place_words(text: str) -> frozenset[str]:
    """Of left, right, both, upper, mid and lower those that a text says.

    >>> sorted(place_words("Consolidation of the right lower lobe."))
    ['lower', 'right']
    """
    said = set(re.findall(r"[a-z]+", text.lower()))
    return frozenset(place for place, words in _WORDS.items() if not said.isdisjoint(words))
