"""The words of the easy config. Slots: {side} left|right, {zone} upper|mid|lower, {grade}."""

import dataclasses

from data_pipelines.phantom.findings import Kind

SIZES = ("small", "moderate", "large")
GRADES = ("mild", "moderate", "severe")


@dataclasses.dataclass(frozen=True)
class Phrases:
    """How one kind of finding is spoken of; each entry is a sentence without its period.

    Attributes:
      present: in the findings. impression: in the impression. hedged: with doubt, in either.
      bilateral, bilateral_impression: instead, where both sides are meant.
      absent: that it is not there.
      grades: the words of {grade}, from least to most.
    """

    present: tuple[str, ...]
    impression: tuple[str, ...]
    absent: tuple[str, ...]
    hedged: tuple[str, ...] = ()
    bilateral: tuple[str, ...] = ()
    bilateral_impression: tuple[str, ...] = ()
    grades: tuple[str, str, str] = GRADES


PHRASES = {
    Kind.CARDIOMEGALY: Phrases(
        present=(
            "the heart is enlarged",
            "there is {grade} cardiomegaly",
            "the cardiac silhouette is enlarged, with {grade} cardiomegaly",
            "{grade} enlargement of the heart is present",
        ),
        impression=("{grade} cardiomegaly", "cardiomegaly", "enlarged heart"),
        hedged=("the heart may be enlarged",),
        absent=(
            "the heart is normal in size",
            "heart size is normal",
            "the cardiac silhouette is normal",
            "there is no cardiomegaly",
        ),
    ),
    Kind.EDEMA: Phrases(
        present=(
            "there is {grade} pulmonary edema",
            "{grade} pulmonary edema is present in both lungs",
            "perihilar haze in both lungs is consistent with {grade} edema",
            "vascular congestion with {grade} pulmonary edema is seen",
        ),
        impression=("{grade} pulmonary edema", "pulmonary edema"),
        hedged=("perihilar haze may represent pulmonary edema",),
        absent=(
            "there is no pulmonary edema",
            "no pulmonary edema",
            "the pulmonary vessels are normal",
        ),
    ),
    Kind.CONSOLIDATION: Phrases(
        present=(
            "there is consolidation in the {side} {zone} lung zone",
            "a {grade} consolidation is present in the {zone} zone of the {side} lung",
            "{grade} airspace opacity in the {side} {zone} zone is consistent with consolidation",
            "{side} {zone} zone consolidation is present",
        ),
        impression=("{side} {zone} zone consolidation", "consolidation in the {side} lung"),
        hedged=("{side} {zone} zone opacity may represent consolidation",),
        absent=(
            "there is no consolidation",
            "no focal consolidation",
            "no airspace opacity is seen in either lung",
        ),
        grades=SIZES,
    ),
    Kind.PNEUMOTHORAX: Phrases(
        present=(
            "there is a {grade} {side} pneumothorax",
            "a {grade} pneumothorax is present on the {side} side",
            "{side} pneumothorax is present with a visible pleural line",
            "the {side} lung is partly collapsed by a {grade} pneumothorax",
        ),
        impression=("{grade} {side} pneumothorax", "{side} pneumothorax"),
        hedged=("there may be a {side} pneumothorax",),
        absent=(
            "there is no pneumothorax",
            "no pneumothorax",
            "no pneumothorax is present on either side",
        ),
        grades=SIZES,
    ),
    Kind.EFFUSION: Phrases(
        present=(
            "there is a {grade} {side} pleural effusion",
            "a {grade} pleural effusion is present on the {side} side",
            "{side} pleural effusion is present",
            "fluid at the {side} base is consistent with a {grade} pleural effusion",
        ),
        impression=("{grade} {side} pleural effusion", "{side} pleural effusion"),
        hedged=("opacity at the {side} base may represent a pleural effusion",),
        bilateral=(
            "there are bilateral pleural effusions",
            "{grade} bilateral pleural effusions are present",
            "fluid at both bases is consistent with {grade} pleural effusions",
        ),
        bilateral_impression=("bilateral pleural effusions",),
        absent=(
            "there is no pleural effusion",
            "no pleural effusion",
            "no pleural effusion is present on either side",
        ),
        grades=SIZES,
    ),
    Kind.PACEMAKER: Phrases(
        present=(
            "there is a pacemaker over the {side} chest",
            "a {side} pacemaker is in place with leads in the heart",
            "pacemaker leads are seen, with the device on the {side} side",
            "{side} chest pacemaker is unchanged",
        ),
        impression=("{side} pacemaker in place", "pacemaker in place"),
        absent=("there is no pacemaker", "no support devices", "no support device is present"),
    ),
}

# Sentences that speak of several absent findings at once.
JOINT_ABSENT = {
    (Kind.EFFUSION, Kind.PNEUMOTHORAX): (
        "there is no pleural effusion or pneumothorax",
        "no effusion or pneumothorax",
    ),
    (Kind.CONSOLIDATION, Kind.EDEMA): ("the lungs are clear", "both lungs are clear"),
}
NORMAL_IMPRESSION = (
    "no acute abnormality",
    "no acute disease in the chest",
    "normal chest radiograph",
)
# Sentences that speak of nothing a picture of one moment shows.
ABOUT_NOTHING = (
    "comparison is made with the prior study",
    "the osseous structures are intact",
    "the bones are unremarkable",
    "inspiration is adequate",
    "there is no change from the prior study",
)
