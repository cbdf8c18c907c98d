"""Words of devices. Their label is one, so what denies them all is under the pacemaker."""

from data_pipelines.phantom.findings import Kind
from data_pipelines.phantom.words import Register, Words

_FULL = {
    Kind.PACEMAKER: Words(
        one=(
            "{side} chest pacemaker",
            "{side} pacemaker",
            "pacemaker over the {hand} chest",
            "{side} chest wall generator with intact leads",
        ),
        told=(
            "a {hand} pacemaker is in place with leads in the heart",
            "the leads of the {hand} pacemaker end over the heart",
            "pacemaker leads are in expected position",
        ),
        names=("lines or tubes", "support device", "pacemaker or other device"),
        absent=("the chest is free of lines and tubes",),
    ),
    Kind.CENTRAL_LINE: Words(
        one=(
            "{side} central line",
            "{side} central venous catheter",
            "{side} central line with its tip in the superior vena cava",
        ),
        told=(
            "the tip of the {hand} central line projects over the superior vena cava",
            "a {hand} central catheter ends in the superior vena cava",
            "the {hand} central line is in good position",
        ),
    ),
    Kind.TUBE: Words(
        one=("endotracheal tube", "endotracheal tube with its tip above the carina"),
        told=(
            "an endotracheal tube ends above the carina",
            "the endotracheal tube is in good position",
            "the tip of the endotracheal tube lies in the trachea",
            "the endotracheal tube is in standard position",
        ),
    ),
}
_SHORT = {
    Kind.PACEMAKER: Words(
        one=("{side} pacer", "{side} PPM", "{side} chest pacer"),
        told=("{side} pacer in place", "pacer leads OK"),
        names=("lines or tubes", "lines/tubes", "ETT or NG tube", "pacer"),
        absent=("lines and tubes: none",),
    ),
    Kind.CENTRAL_LINE: Words(
        one=("{side} CVC", "{side} central line"),
        told=("{side} CVC tip in SVC", "{side} central line tip OK"),
    ),
    Kind.TUBE: Words(
        one=("ETT",),
        told=("ETT in place", "ETT tip above carina", "ETT OK"),
    ),
}
_OTHER = {
    Kind.PACEMAKER: Words(
        one=("{side} pacing box", "pacing system {on}"),
        told=("a pacing box sits over the {hand} chest",),
        names=("hardware", "pacing wire"),
        absent=("hardware is not a feature",),
    ),
    Kind.CENTRAL_LINE: Words(
        one=("{side} jugular cannula", "long venous cannula {on}"),
        told=("a {hand} venous cannula reaches the great veins",),
    ),
    Kind.TUBE: Words(
        one=("tracheal tube", "tube within the windpipe"),
        told=("a tracheal tube lies at a safe level",),
    ),
}
DEVICE_WORDS = {Register.FULL: _FULL, Register.SHORT: _SHORT, Register.OTHER: _OTHER}
