"""Words of heart, mediastinum, pleura and bones. Slots and fields as in words.py."""

from data_pipelines.phantom.findings import Kind
from data_pipelines.phantom.words import Register, Scale, Words

_FULL = {
    Kind.CARDIOMEGALY: Words(
        one=("enlarged heart", "{grade}ly enlarged heart"),
        mass=("{grade} cardiomegaly", "cardiomegaly", "{grade} cardiac enlargement"),
        told=(
            "the heart is enlarged",
            "the heart is {grade}ly enlarged",
            "the cardiac silhouette is enlarged",
            "the cardiac silhouette is {grade}ly enlarged",
            "heart size is increased",
            "the cardiothoracic ratio is increased",
            "the cardiac contour is widened",
        ),
        doubted=("the heart may be enlarged", "heart size is borderline"),
        names=("cardiomegaly", "cardiac enlargement"),
        absent=(
            "the heart is normal in size",
            "heart size is normal",
            "heart size is within normal limits",
            "the cardiac silhouette is normal",
            "the cardiac silhouette is not enlarged",
            "the cardiac contour is unremarkable",
        ),
    ),
    Kind.WIDE_MEDIASTINUM: Words(
        one=("widened mediastinum", "{grade}ly widened mediastinum"),
        mass=("{grade} mediastinal widening", "{grade} widening of the superior mediastinum"),
        told=(
            "the mediastinum is widened",
            "the mediastinum is {grade}ly widened",
            "the superior mediastinum is wide",
            "the mediastinal contours are {grade}ly widened",
        ),
        doubted=("the mediastinum may be widened", "mediastinal width is borderline"),
        names=("mediastinal widening",),
        absent=(
            "the mediastinal contours are normal",
            "the mediastinum is not widened",
            "the mediastinum is within normal limits",
            "the mediastinal contour is unremarkable",
        ),
    ),
    Kind.PNEUMOTHORAX: Words(
        one=(
            "{grade} {side} pneumothorax",
            "{side} pneumothorax",
            "{grade} pneumothorax {on}",
            "{grade} {side} apical pneumothorax",
        ),
        many=("{grade} {side} pneumothoraces",),
        told=(
            "the {hand} lung is partly collapsed by a {grade} pneumothorax",
            "the {hand} pleural line is displaced by a {grade} pneumothorax",
            "a visible {hand} pleural line marks a {grade} pneumothorax",
        ),
        doubted=("a lucency at the {hand} apex may represent a {grade} pneumothorax",),
        names=("pneumothorax",),
        absent=(
            "neither lung shows a pneumothorax",
            "no pneumothorax is present on either side",
            "both lungs reach the chest wall without pneumothorax",
        ),
        scale=Scale.SIZES,
    ),
    Kind.EFFUSION: Words(
        one=(
            "{grade} {side} pleural effusion",
            "{side} pleural effusion",
            "{grade} pleural effusion {on}",
            "{grade} layering {side} pleural effusion",
        ),
        many=("{grade} {side} pleural effusions", "{side} pleural effusions"),
        mass=("{side} pleural fluid", "pleural fluid {on}"),
        told=(
            "the {hand} costophrenic angle is blunted by a {grade} pleural effusion",
            "fluid at {base} is consistent with a {grade} pleural effusion",
            "a {hand} pleural effusion layers at the base, {grade} in amount",
        ),
        told_many=(
            "{both} costophrenic angles are blunted by {grade} pleural effusions",
            "fluid at {base} is consistent with {grade} pleural effusions",
        ),
        doubted=(
            "opacity at {base} may represent pleural fluid",
            "blunting of the {hand} costophrenic angle may represent a {grade} effusion",
        ),
        names=("pleural effusion", "effusion", "pleural fluid"),
        absent=(
            "the costophrenic angles are sharp",
            "the costophrenic angles are clear",
            "no pleural effusion is present on either side",
        ),
        scale=Scale.SIZES,
    ),
    Kind.THICKENING: Words(
        mass=(
            "{grade} {side} pleural thickening",
            "{side} pleural thickening",
            "{grade} pleural thickening {on}",
            "pleural thickening along the {side} {zone} chest wall",
            "{side} pleural scarring",
        ),
        told=("the {hand} pleura is thickened", "the {hand} pleura is {grade}ly thickened"),
        doubted=("the {hand} pleura may be thickened",),
        names=("pleural thickening", "pleural scarring"),
        absent=("the pleura is of normal thickness", "the pleural surfaces are smooth"),
    ),
    Kind.FRACTURE: Words(
        one=(
            "{side} rib fracture",
            "fracture of a {hand} rib",
            "{side} sided rib fracture",
            "single {side} rib fracture",
        ),
        many=(
            "{number} {side} rib fractures",
            "{number} fractures of the {side} ribs",
            "{side} rib fractures",
        ),
        told=(
            "a {hand} rib is broken",
            "a step in a {hand} rib is in keeping with a fracture",
        ),
        told_many=("{number} {hand} ribs are broken",),
        doubted=("irregularity of a {hand} rib may represent a fracture",),
        names=("rib fracture", "acute fracture", "fracture"),
        absent=(
            "the osseous structures are intact",
            "the bones are unremarkable",
            "the ribs are intact",
            "no acute osseous abnormality",
            "the bony thorax is intact",
        ),
    ),
}

_SHORT = {
    Kind.CARDIOMEGALY: Words(
        one=("enlarged heart",),
        mass=("{grade} cardiomegaly", "cardiomegaly"),
        told=("heart enlarged", "CTR increased", "heart {grade}ly enlarged"),
        doubted=("heart size borderline",),
        names=("cardiomegaly",),
        absent=("heart size nl", "heart nl", "heart not enlarged", "CTR nl"),
    ),
    Kind.WIDE_MEDIASTINUM: Words(
        one=("wide mediastinum",),
        mass=("{grade} mediastinal widening",),
        told=("mediastinum widened", "mediastinum wide"),
        doubted=("mediastinum borderline wide",),
        names=("mediastinal widening",),
        absent=("mediastinum nl", "mediastinum not widened"),
    ),
    Kind.PNEUMOTHORAX: Words(
        one=("{grade} {side} PTX", "{side} PTX", "{grade} {side} apical PTX"),
        many=("{grade} {side} PTXs",),
        told=("{hand} lung partly collapsed by {grade} PTX",),
        doubted=("{hand} apical lucency, may be PTX",),
        names=("PTX",),
        absent=("no PTX either side",),
        scale=Scale.SIZES,
    ),
    Kind.EFFUSION: Words(
        one=("{grade} {side} effusion", "{side} effusion", "{grade} {side} pl effusion"),
        many=("{grade} {side} effusions", "{side} effusions", "{side} pl effusions"),
        told=("{hand} CPA blunted by {grade} effusion",),
        doubted=("{hand} CPA blunted, may be effusion",),
        names=("effusion", "pl effusion"),
        absent=("CPAs sharp", "CPAs clear"),
        scale=Scale.SIZES,
    ),
    Kind.THICKENING: Words(
        mass=("{grade} {side} pl thickening", "{side} pl thickening", "{side} pl scarring"),
        told=("{hand} pleura thickened",),
        doubted=("{hand} pleura borderline thickened",),
        names=("pl thickening",),
        absent=("pleura not thickened", "pleura smooth"),
    ),
    Kind.FRACTURE: Words(
        one=("{side} rib fx", "single {side} rib fx"),
        many=("{number} {side} rib fxs", "{side} rib fxs"),
        told=("{hand} rib fractured",),
        doubted=("{hand} rib irregular, may be fx",),
        names=("fx", "rib fx", "acute fx"),
        absent=("bones intact", "bones nl", "ribs intact"),
    ),
}

_OTHER = {
    Kind.CARDIOMEGALY: Words(
        mass=("{grade} enlargement of the cardiac shadow", "{grade} cardiac dilatation"),
        told=("the cardiac shadow is {grade}ly dilated", "the heart shadow is bulky"),
        doubted=("the heart shadow could well be bulky",),
        names=("cardiac dilatation", "bulk to the heart"),
        absent=("the heart shadow is of ordinary size",),
    ),
    Kind.WIDE_MEDIASTINUM: Words(
        mass=("{grade} breadth of the mediastinal shadow",),
        told=("the mediastinal shadow is {grade}ly broad",),
        doubted=("the mediastinal shadow could well be broad",),
        names=("mediastinal broadening",),
        absent=("the mediastinal shadow is of ordinary breadth",),
    ),
    Kind.PNEUMOTHORAX: Words(
        one=(
            "{side} pneumothorax of {grade} depth",
            "{grade} collection of air in the {hand} pleura",
        ),
        many=("{side} pneumothoraces",),
        told=("air of {grade} depth surrounds the {hand} lung",),
        doubted=("the {hand} apex could well hold a pneumothorax",),
        names=("pneumothorax", "pleural air"),
        absent=("pneumothorax is not a feature",),
        scale=Scale.SIZES,
    ),
    Kind.EFFUSION: Words(
        one=("{grade} {side} pleural collection", "{side} effusion of {grade} depth"),
        many=("{side} pleural collections of {grade} depth",),
        told=("the {hand} hemidiaphragm is hidden by a {grade} collection",),
        doubted=("the {hand} hemidiaphragm could well be hidden by an effusion",),
        names=("pleural collection", "effusion of either side"),
        absent=("both hemidiaphragms are seen throughout",),
        scale=Scale.SIZES,
    ),
    Kind.THICKENING: Words(
        mass=("{grade} {side} pleural plaque", "{grade} pleural rind {on}"),
        told=("the {hand} pleura bears a {grade} rind",),
        doubted=("the {hand} pleura could well bear a rind",),
        names=("pleural plaque", "pleural rind"),
        absent=("pleural plaque is not a feature",),
    ),
    Kind.FRACTURE: Words(
        one=("break in a {hand} rib", "cracked {side} rib"),
        many=("{number} breaks in the {side} ribs", "cracked {side} ribs"),
        doubted=("a {hand} rib could well be cracked",),
        names=("cracked rib", "bony injury"),
        absent=("the skeleton is sound",),
    ),
}
CHEST = {Register.FULL: _FULL, Register.SHORT: _SHORT, Register.OTHER: _OTHER}
