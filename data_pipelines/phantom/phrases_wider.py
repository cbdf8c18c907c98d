"""The words of findings that only the wider configs draw. Slots as in phrases.py."""

from data_pipelines.phantom.findings import Kind
from data_pipelines.phantom.phrases import SIZES, Phrases

ADDED = {
    Kind.OPACITY: Phrases(
        present=(
            "there is a {grade} hazy opacity in the {side} {zone} zone",
            "ill defined opacity is seen in the {zone} zone of the {side} lung",
            "a {grade} nonspecific opacity projects over the {side} {zone} zone",
        ),
        impression=("{side} {zone} zone opacity", "nonspecific {side} lung opacity"),
        hedged=("possible hazy opacity in the {side} {zone} zone",),
        bilateral=("there are {grade} hazy opacities in both lungs", "bilateral hazy opacities"),
        bilateral_impression=("{grade} bilateral opacities",),
        absent=("there is no hazy opacity", "no ground glass opacity is identified"),
        grades=SIZES,
    ),
    Kind.PNEUMONIA: Phrases(
        present=(
            "patchy opacities in the {side} {zone} zone are consistent with {grade} pneumonia",
            "there is {grade} pneumonia in the {side} {zone} zone",
            "{side} {zone} zone infiltrate is consistent with pneumonia",
        ),
        impression=("{side} {zone} zone pneumonia", "{grade} {side} pneumonia", "pneumonia"),
        hedged=("{side} {zone} zone infiltrate may represent pneumonia",),
        bilateral=("there is {grade} bilateral pneumonia", "patchy pneumonia is in both lungs"),
        bilateral_impression=("bilateral pneumonia",),
        absent=("there is no pneumonia", "no evidence of pneumonia", "no infiltrate"),
    ),
    Kind.WIDE_MEDIASTINUM: Phrases(
        present=(
            "the mediastinum is widened",
            "there is {grade} widening of the mediastinum",
            "the superior mediastinum is wide, of {grade} degree",
        ),
        impression=("{grade} mediastinal widening", "widened mediastinum"),
        hedged=("the mediastinum may be widened",),
        absent=("the mediastinum is not widened", "the mediastinal contours are normal"),
    ),
    Kind.THICKENING: Phrases(
        present=(
            "there is {grade} pleural thickening on the {side} side",
            "the {side} pleura is thickened",
            "{grade} thickening lines the {side} chest wall",
        ),
        impression=("{grade} {side} pleural thickening", "{side} pleural thickening"),
        hedged=("possible {side} pleural thickening",),
        bilateral=("there is {grade} bilateral pleural thickening",),
        bilateral_impression=("bilateral pleural thickening",),
        absent=("there is no pleural thickening", "no pleural thickening"),
    ),
    Kind.FRACTURE: Phrases(
        present=(
            "there is a fracture of a {side} rib",
            "a {side} rib fracture is identified",
            "a {side} sided rib is broken",
        ),
        impression=("{side} rib fracture",),
        hedged=("possible {side} rib fracture",),
        several=(
            "there are {number} {side} rib fractures",
            "{number} fractures of the {side} ribs are identified",
        ),
        several_impression=("{number} {side} rib fractures",),
        bilateral=("there are bilateral rib fractures",),
        bilateral_impression=("bilateral rib fractures",),
        absent=("there is no rib fracture", "no fracture is identified"),
    ),
}
SEVERAL_LESIONS = Phrases(
    present=(),
    impression=(),
    absent=(),
    several=(
        "there are {number} nodules in the {side} {zone} zone",
        "{number} round nodules are identified in the {zone} zone of the {side} lung",
    ),
    several_impression=("{number} {side} {zone} zone nodules", "{number} {side} lung nodules"),
    bilateral=("there are {number} nodules in both lungs",),
    bilateral_impression=("{number} bilateral lung nodules",),
)
