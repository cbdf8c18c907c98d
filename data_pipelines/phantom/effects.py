"""What each kind of finding does to a frontal picture: one table from kind to drawing."""

import numpy as np

from data_pipelines.phantom import chest_wall, devices, infiltrates, opacities
from data_pipelines.phantom.anatomy import Anatomy, Side
from data_pipelines.phantom.canvas import Canvas
from data_pipelines.phantom.kinds import Finding, Kind
from data_pipelines.phantom.opacities import Effect
from data_pipelines.phantom.thorax import mediastinum_band

_LUNG = {
    Kind.EDEMA: opacities.edema,
    Kind.CONSOLIDATION: opacities.consolidation,
    Kind.ATELECTASIS: opacities.atelectasis,
    Kind.PNEUMOTHORAX: opacities.pneumothorax,
    Kind.EFFUSION: opacities.effusion,
    Kind.LESION: opacities.lesion,
    Kind.OPACITY: infiltrates.opacity,
    Kind.PNEUMONIA: infiltrates.pneumonia,
    Kind.THICKENING: chest_wall.thickening,
    Kind.FRACTURE: chest_wall.fracture,
}
_DEVICE = {
    Kind.PACEMAKER: devices.pacemaker,
    Kind.CENTRAL_LINE: devices.central_line,
    Kind.TUBE: devices.tube,
}


def enlargement(findings: tuple[Finding, ...]) -> float:
    """What cardiomegaly adds to the cardiothoracic ratio."""
    sizes = [f.size for f in findings if f.kind is Kind.CARDIOMEGALY]
    return max((0.035 + 0.20 * size for size in sizes), default=0.0)


def widening(findings: tuple[Finding, ...]) -> float:
    """What a wide mediastinum adds to its own width, as a fraction."""
    sizes = [f.size for f in findings if f.kind is Kind.WIDE_MEDIASTINUM]
    return max((0.38 + 0.72 * size for size in sizes), default=0.0)


def effect_of(
    finding: Finding, canvas: Canvas, anatomy: Anatomy, lungs: dict[Side, np.ndarray]
) -> Effect:
    """The effect of one finding. Heart and mediastinum are drawn larger by the renderer itself."""
    if finding.kind is Kind.CARDIOMEGALY:
        return Effect([canvas.fill(anatomy.heart(enlargement((finding,))))])
    if finding.kind is Kind.WIDE_MEDIASTINUM:
        return Effect([mediastinum_band(canvas, anatomy, widening((finding,)))])
    rng = np.random.default_rng(finding.seed)
    if finding.kind in _DEVICE:
        return _DEVICE[finding.kind](finding, canvas, anatomy, rng)
    return _LUNG[finding.kind](finding, canvas, anatomy, lungs, rng)
