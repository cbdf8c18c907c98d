"""The words of PhantomCXR's reports. Slots: {side} left|right, {zone} upper|mid|lower, {grade},
{number} two|three|multiple.

`common` phrasings are used by every config; `wider` ones by the default config only.
"""

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
      several, several_impression: instead, where there is more than one on a side.
      absent: that it is not there.
      grades: the words of {grade}, from least to most.
    """

    present: tuple[str, ...]
    impression: tuple[str, ...]
    absent: tuple[str, ...]
    hedged: tuple[str, ...] = ()
    bilateral: tuple[str, ...] = ()
    bilateral_impression: tuple[str, ...] = ()
    several: tuple[str, ...] = ()
    several_impression: tuple[str, ...] = ()
    grades: tuple[str, str, str] = GRADES


COMMON = {
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

WIDER = {
    Kind.CARDIOMEGALY: Phrases(
        present=(
            "the heart is {grade}ly enlarged",
            "cardiac size is increased",
            "the cardiac contour is widened in keeping with {grade} cardiomegaly",
            "the cardiothoracic ratio is increased",
        ),
        impression=("the heart is enlarged", "increased cardiac size"),
        hedged=("the heart size is at the upper limit of normal or slightly enlarged",),
        absent=("the cardiac contour is within normal limits", "heart size is not increased"),
    ),
    Kind.EDEMA: Phrases(
        present=(
            "interstitial markings are increased in keeping with {grade} pulmonary edema",
            "there is {grade} pulmonary vascular congestion with edema",
            "hazy perihilar opacities and septal lines suggest {grade} edema",
        ),
        impression=("{grade} vascular congestion and edema", "fluid overload with {grade} edema"),
        hedged=("possible {grade} pulmonary edema",),
        absent=("no evidence of vascular congestion", "the interstitial markings are normal"),
    ),
    Kind.CONSOLIDATION: Phrases(
        present=(
            "a {grade} area of dense opacity with air bronchograms occupies the {side} {zone} lung",
            "{grade} focal opacity is identified in the {zone} portion of the {side} lung",
            "consolidation has developed in the {side} {zone} zone",
        ),
        impression=("{grade} {side} {zone} zone consolidation", "focal {side} lung consolidation"),
        hedged=("possible {side} {zone} zone consolidation",),
        absent=("no focal airspace disease", "the lungs are free of consolidation"),
        grades=SIZES,
    ),
    Kind.ATELECTASIS: Phrases(
        present=(
            "there is {grade} atelectasis in the {side} {zone} zone",
            "linear opacities in the {side} {zone} lung are consistent with {grade} atelectasis",
            "plate like atelectasis is present in the {zone} zone of the {side} lung",
            "bands of {grade} atelectasis are seen in the {side} {zone} zone",
            "{side} {zone} zone volume loss with linear opacity suggests atelectasis",
        ),
        impression=("{grade} {side} {zone} zone atelectasis", "{side} atelectasis", "atelectasis"),
        hedged=(
            "linear {side} {zone} zone opacity may represent atelectasis",
            "possible {side} {zone} zone atelectasis",
        ),
        absent=("there is no atelectasis", "no atelectasis", "lung volumes are preserved"),
    ),
    Kind.PNEUMOTHORAX: Phrases(
        present=(
            "a {grade} {side} apical pneumothorax is identified",
            "the {side} pleural line is displaced by a {grade} pneumothorax",
            "lung markings are absent along the {side} chest wall because of a pneumothorax",
        ),
        impression=("pneumothorax on the {side}, {grade} in size",),
        hedged=("possible {side} pneumothorax",),
        absent=("no evidence of pneumothorax", "neither lung shows a pneumothorax"),
        grades=SIZES,
    ),
    Kind.EFFUSION: Phrases(
        present=(
            "the {side} costophrenic angle is blunted by a {grade} pleural effusion",
            "{grade} {side} pleural fluid is seen",
            "a {side} pleural effusion layers at the base, {grade} in amount",
        ),
        impression=("{grade} amount of {side} pleural fluid",),
        hedged=("possible {side} pleural effusion",),
        bilateral=(
            "both costophrenic angles are blunted by {grade} pleural effusions",
            "{grade} pleural fluid is seen on both sides",
        ),
        bilateral_impression=("{grade} bilateral pleural effusions",),
        absent=("the costophrenic angles are sharp", "no pleural fluid is identified"),
        grades=SIZES,
    ),
    Kind.LESION: Phrases(
        present=(
            "there is a {grade} in the {side} {zone} lung zone",
            "a round {grade} is seen in the {zone} zone of the {side} lung",
            "a well defined {grade} is identified in the {side} {zone} zone",
            "{side} {zone} zone {grade} is present",
        ),
        impression=("{side} {zone} zone {grade}", "{side} lung {grade}"),
        hedged=("possible {grade} in the {side} {zone} zone",),
        absent=("there is no nodule or mass", "no lung nodule", "no suspicious lung lesion"),
        grades=("nodule", "nodule", "mass"),
    ),
    Kind.PACEMAKER: Phrases(
        present=(
            "a {side} chest wall generator with intact leads is noted",
            "the leads of the {side} pacemaker end over the heart",
        ),
        impression=("stable {side} pacemaker",),
        absent=("no lines or tubes are seen",),
    ),
    Kind.CENTRAL_LINE: Phrases(
        present=(
            "a {side} central line ends in the superior vena cava",
            "there is a {side} central venous catheter",
            "the tip of the {side} central catheter projects over the superior vena cava",
        ),
        impression=("{side} central line in place", "central line in good position"),
        absent=("there is no central line",),
    ),
    Kind.TUBE: Phrases(
        present=(
            "an endotracheal tube ends above the carina",
            "the endotracheal tube is in good position",
            "the tip of the endotracheal tube lies in the trachea",
        ),
        impression=("endotracheal tube in place", "tube in good position"),
        absent=("there is no endotracheal tube",),
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
WIDER_ABOUT_NOTHING = (
    "compared with the prior study, there is little change",
    "the upper abdomen is unremarkable",
    "degenerative changes of the spine are noted",
    "clinical correlation is recommended",
    "the findings were discussed with the team",
)
