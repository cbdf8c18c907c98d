"""Draws the lateral view: both lungs lie over each other, and so does what is in them."""

import numpy as np

from data_pipelines.phantom import profile as layers
from data_pipelines.phantom.anatomy import Anatomy
from data_pipelines.phantom.canvas import fade, times
from data_pipelines.phantom.clutter import clutter_layer
from data_pipelines.phantom.detector import develop, veil
from data_pipelines.phantom.effects import enlargement, widening
from data_pipelines.phantom.exposure import Exposure
from data_pipelines.phantom.kinds import Finding
from data_pipelines.phantom.profile import Profile
from data_pipelines.phantom.profile_findings import effect_of
from data_pipelines.phantom.renderer import Rendering, check_size, see
from data_pipelines.phantom.thorax import SIDES, weighted

_AIR = 1330  # attenuation that the air of two lungs takes away


def render_lateral(
    anatomy: Anatomy, findings: tuple[Finding, ...], exposure: Exposure, size: int
) -> Rendering:
    """Draws the side view of a patient with the findings of the frontal one.

    As exact as `render`: equal arguments give equal bytes, and taking a finding away changes
    pixels in and just around its mask only.

    Raises:
      ValueError: size is outside 64..1024.
    """
    check_size(size)
    canvas, profile = exposure.canvas(size), Profile(anatomy)
    grown, wider = enlargement(findings), widening(findings)
    lung = layers.lungs(canvas, profile)
    chest = np.maximum(lung[SIDES[0]], lung[SIDES[1]])
    effects = [
        effect_of(finding, canvas, profile, lung, enlargement=grown, widening=wider)
        for finding in findings
    ]
    free = canvas.empty()
    for effect in effects:
        if effect.free_air is not None:
            free = np.maximum(free, effect.free_air)

    detail = np.random.default_rng([anatomy.detail_seed, 9])
    tissue = times(fade(chest, anatomy.tissue), 255 - fade(free, 0.6))
    mottle = fade(times(canvas.texture(detail, (9, 23, 47, 95, 167)), tissue), 0.9)
    depth = canvas.soft_fill(0.05, *(profile.lung(side) for side in SIDES))
    depth = np.maximum(90 + fade(depth, 165 / 255), free)
    air = times(chest - mottle, depth)

    attenuation = layers.body(canvas, profile)
    scattered = None
    if exposure.scatter:
        scattered = veil(exposure, canvas, attenuation - weighted(_AIR, fade(chest, 0.7)))
    air = times(air, 255 - fade(layers.great_vessels(canvas, profile, wider), 0.42))
    air = times(air, 255 - fade(layers.heart(canvas, profile, grown), 0.44))
    for effect in effects:
        if effect.water is not None:
            air = times(air, 255 - effect.water)
    markings = times(layers.vessels(canvas, profile), times(air, 255 - fade(free, 0.6)))
    attenuation -= weighted(_AIR, air)
    attenuation += weighted(430, markings)
    attenuation -= weighted(300, layers.airway(canvas, profile))
    attenuation += layers.bones(canvas, profile, air)
    if exposure.clutter:
        attenuation += clutter_layer(canvas, anatomy, exposure.clutter)
    for effect in effects:
        if effect.added is not None:
            attenuation += effect.added
    return see(develop(exposure, attenuation, scattered), effects)
