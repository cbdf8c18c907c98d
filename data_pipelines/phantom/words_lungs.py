"""Words of what is in the lungs themselves. Slots and fields as in words.py."""

from data_pipelines.phantom.findings import Kind
from data_pipelines.phantom.words import Register, Scale, Words

_FULL = {
    Kind.EDEMA: Words(
        mass=(
            "{grade} pulmonary edema",
            "pulmonary edema",
            "{grade} interstitial edema",
            "{grade} pulmonary vascular congestion with edema",
            "{grade} perihilar edema",
        ),
        told=(
            "perihilar haze in {lung} is consistent with {grade} edema",
            "vascular congestion with {grade} pulmonary edema is present",
            "interstitial markings are increased in keeping with {grade} pulmonary edema",
            "hazy perihilar opacities and septal lines indicate {grade} edema",
            "the pulmonary vasculature is engorged with {grade} edema",
        ),
        doubted=(
            "perihilar haze may represent pulmonary edema",
            "the vessels are indistinct, possibly from {grade} edema",
        ),
        names=("pulmonary edema", "edema", "vascular congestion"),
        absent=(
            "the pulmonary vasculature is normal",
            "the pulmonary vessels are normal",
            "the interstitial markings are normal",
            "pulmonary vascularity is within normal limits",
        ),
    ),
    Kind.CONSOLIDATION: Words(
        one=(
            "{lobar} consolidation",
            "{grade} consolidation in the {lobe}",
            "{grade} {side} {zone} zone consolidation",
            "focal consolidation of the {lobe}",
            "{grade} area of consolidation in {lung}",
            "{grade} airspace opacity in the {lobe}",
            "dense {side} {zone} zone airspace opacity",
        ),
        many=("{side} consolidations", "areas of consolidation in {lung}"),
        told=(
            "the {lobe} is consolidated",
            "consolidation with air bronchograms occupies the {lobe}",
            "consolidation has developed in the {lobe}",
            "a {grade} part of the {hand} lung is consolidated",
        ),
        doubted=(
            "airspace opacity in the {lobe} may represent consolidation",
            "density in the {side} {zone} zone may represent consolidation",
        ),
        names=("focal consolidation", "consolidation", "airspace consolidation"),
        absent=("the lungs are free of consolidation", "neither lung shows consolidation"),
        scale=Scale.SIZES,
    ),
    Kind.PNEUMONIA: Words(
        one=("patchy infiltrate in the {lobe}", "{lobar} infiltrate"),
        many=("patchy infiltrates in {lung}", "{side} infiltrates"),
        mass=(
            "{lobar} pneumonia",
            "{grade} pneumonia in the {lobe}",
            "{grade} {side} pneumonia",
            "{grade} pneumonia of {lung}",
        ),
        told=(
            "patchy opacities in the {lobe} are consistent with {grade} pneumonia",
            "infiltrate has developed in the {lobe}, in keeping with pneumonia",
            "findings are consistent with {grade} pneumonia of the {lobe}",
        ),
        told_many=("patchy opacities in {lung} are consistent with {grade} pneumonia",),
        doubted=(
            "infiltrate in the {lobe} may represent pneumonia",
            "patchy opacities in {lung} may represent {grade} pneumonia",
        ),
        names=("pneumonia", "focal infiltrate", "infiltrate"),
        absent=("the lungs show no sign of pneumonia", "neither lung shows an infiltrate"),
    ),
    Kind.ATELECTASIS: Words(
        mass=(
            "{lobar} atelectasis",
            "{grade} {lobar} atelectasis",
            "{grade} atelectasis in the {lobe}",
            "{grade} {side} {zone} zone atelectasis",
            "linear atelectasis in the {lobe}",
            "plate like atelectasis in the {side} {zone} zone",
            "{grade} {side} subsegmental atelectasis",
        ),
        told=(
            "linear opacities in the {lobe} are consistent with {grade} atelectasis",
            "bands of {grade} atelectasis cross the {lobe}",
            "there is volume loss in the {lobe} with linear opacities",
        ),
        doubted=("linear opacity in the {lobe} may represent atelectasis",),
        names=("atelectasis", "volume loss"),
        absent=("lung volumes are preserved", "neither lung shows atelectasis"),
    ),
    Kind.OPACITY: Words(
        one=(
            "{grade} hazy opacity in the {lobe}",
            "hazy {lobar} opacity",
            "ill defined opacity in the {side} {zone} zone",
            "{grade} ground glass opacity in the {lobe}",
            "nonspecific opacity over {lung}",
        ),
        many=("hazy opacities in {lung}", "{side} ground glass opacities"),
        told=("the {lobe} is hazy", "{grade} ground glass density lies over the {lobe}"),
        doubted=(
            "the {lobe} may be hazy",
            "faint density over the {side} {zone} zone may represent a hazy opacity",
        ),
        names=("hazy opacity", "ground glass opacity", "focal hazy opacity"),
        absent=("neither lung is hazy",),
        scale=Scale.SIZES,
    ),
    Kind.LESION: Words(
        one=(
            "{lobar} {lump}",
            "{lump} in the {lobe}",
            "round {lump} in the {side} {zone} zone",
            "well defined {lump} in {lung}",
            "{side} lung {lump}",
            "solitary {lobar} {lump}",
        ),
        many=(
            "{number} {lobar} {lumps}",
            "{number} {side} lung {lumps}",
            "{number} {lumps} in the {lobe}",
            "{number} round {lumps} in the {side} {zone} zone",
            "{number} {lumps} in {lung}",
            "{side} lung {lumps}",
        ),
        told=("a {lump} projects over the {side} {zone} zone",),
        told_many=("{number} {lumps} project over the {side} {zone} zone",),
        doubted=("a rounded density in the {lobe} may represent a {lump}",),
        names=("lung nodule or mass", "pulmonary nodule", "suspicious lung lesion"),
        absent=("the lungs are without nodules", "neither lung shows a nodule"),
    ),
}

_SHORT = {
    Kind.EDEMA: Words(
        mass=("{grade} pulm edema", "{grade} CHF", "{grade} edema", "CHF with {grade} pulm edema"),
        told=("vessels engorged c/w {grade} CHF",),
        doubted=("vessels indistinct, may be CHF",),
        names=("pulm edema", "CHF", "edema"),
        absent=("pulm vasculature nl", "pulm vessels WNL"),
    ),
    Kind.CONSOLIDATION: Words(
        one=("{lobe} consolidation", "{grade} {lobe} consolidation", "{side} lung consolidation"),
        many=("{side} consolidations",),
        told=("{lobe} consolidated", "{lobe} air bronchograms c/w consolidation"),
        doubted=("{lobe} density, may be consolidation",),
        names=("consolidation", "focal consolidation"),
        absent=("lungs free of consolidation",),
        scale=Scale.SIZES,
    ),
    Kind.PNEUMONIA: Words(
        one=("{lobe} infiltrate", "patchy {lobe} infiltrate"),
        many=("{side} infiltrates", "patchy {side} infiltrates"),
        mass=("{lobe} PNA", "{grade} {lobe} PNA", "{grade} {side} PNA"),
        told=("{lobe} patchy opacities c/w PNA",),
        told_many=("{side} patchy opacities c/w PNA",),
        doubted=("{lobe} infiltrate, may be PNA",),
        names=("PNA", "infiltrate"),
        absent=("lungs show no infiltrate",),
    ),
    Kind.ATELECTASIS: Words(
        mass=("{lobe} atelectasis", "{grade} {lobe} atelectasis", "linear {side} atelectasis"),
        told=("{lobe} volume loss", "{lobe} linear opacities c/w {grade} atelectasis"),
        doubted=("{lobe} linear opacity, may be atelectasis",),
        names=("atelectasis", "volume loss"),
        absent=("lung volumes preserved",),
    ),
    Kind.OPACITY: Words(
        one=("hazy {lobe} opacity", "{grade} {lobe} GGO", "{side} GGO"),
        many=("{side} GGOs", "hazy {side} opacities"),
        told=("{lobe} hazy",),
        doubted=("{lobe} density, may be GGO",),
        names=("GGO", "hazy opacity"),
        absent=("lungs show no GGO",),
        scale=Scale.SIZES,
    ),
    Kind.LESION: Words(
        one=("{lobe} {lump}", "round {lobe} {lump}", "{side} lung {lump}"),
        many=("{number} {lobe} {lumps}", "{number} {side} lung {lumps}", "{side} lung {lumps}"),
        doubted=("{lobe} density, may be {lump}",),
        names=("nodule or mass", "nodule", "lung nodule"),
        absent=("lungs show no nodules",),
    ),
}

_OTHER = {
    Kind.EDEMA: Words(
        mass=("{grade} pulmonary oedema", "{grade} fluid overload with oedema"),
        told=("the upper lobe vessels are distended, and {grade} oedema is the cause",),
        doubted=("the hila are ill defined, conceivably from oedema",),
        names=("pulmonary oedema", "overload"),
        absent=("the vascular pattern is ordinary",),
    ),
    Kind.CONSOLIDATION: Words(
        one=(
            "{grade} patch of consolidation in the {lobe}",
            "{grade} patch of shadowing in {lung}",
        ),
        many=("patches of consolidation in {lung}",),
        told=("the {lobe} is filled by {grade} consolidation",),
        doubted=("shadowing in the {lobe} could well be consolidation",),
        names=("consolidation", "alveolar shadowing"),
        absent=("consolidation is not a feature",),
        scale=Scale.SIZES,
    ),
    Kind.PNEUMONIA: Words(
        mass=("{grade} {lobar} pneumonia", "{grade} infective change in {lung}"),
        many=("{side} infective changes",),
        told=("patchy shadows in the {lobe} are those of {grade} pneumonia",),
        doubted=("patchy shadows in {lung} could well be infective",),
        names=("pneumonia", "infective change"),
        absent=("pneumonia is not a feature",),
    ),
    Kind.ATELECTASIS: Words(
        mass=("{grade} collapse in the {lobe}", "{grade} plate atelectasis in {lung}"),
        told=("a line in the {lobe} is {grade} atelectasis",),
        doubted=("a line in the {lobe} could well be atelectasis",),
        names=("atelectasis", "segmental collapse"),
        absent=("atelectasis is not a feature",),
    ),
    Kind.OPACITY: Words(
        one=("{grade} veil of haze in the {lobe}", "{grade} veil of haze in {lung}"),
        many=("veils of haze in {lung}",),
        told=("the {lobe} has a {grade} veil of haze",),
        doubted=("the {lobe} could well be veiled by haze",),
        names=("haziness", "veil of haze"),
        absent=("haze is not a feature",),
        scale=Scale.SIZES,
    ),
    Kind.LESION: Words(
        one=("rounded {lobar} {lump}", "discrete {lump} within {lung}"),
        many=("{number} rounded {lobar} {lumps}", "discrete {lumps} within {lung}"),
        doubted=("a coin shadow in the {lobe} could well be a {lump}",),
        names=("coin lesion", "nodule of any kind"),
        absent=("nodules are not a feature",),
    ),
}
LUNGS = {Register.FULL: _FULL, Register.SHORT: _SHORT, Register.OTHER: _OTHER}
