"""Draws a phantom: anatomy, findings and technique -> grey pixels and each finding's mask."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_pipelines.phantom import lifelike as layers
from data_pipelines.phantom.anatomy import Anatomy, Detail
from data_pipelines.phantom.canvas import fade, times
from data_pipelines.phantom.clutter import clutter_layer
from data_pipelines.phantom.detector import develop, veil
from data_pipelines.phantom.effects import effect_of, enlargement, widening
from data_pipelines.phantom.exposure import Exposure
from data_pipelines.phantom.kinds import Finding
from data_pipelines.phantom.opacities import Effect
from data_pipelines.phantom.skeleton import skeleton
from data_pipelines.phantom.thorax import (
    SIDES,
    airway,
    gastric_bubble,
    lungs,
    mediastinum,
    soft_tissue,
    vessels,
    weighted,
)

MIN_SIZE, MAX_SIZE = 64, 1024
_AIR = {Detail.PLAIN: 1330, Detail.LIFELIKE: 1190}  # attenuation that a lung's air takes away
_VISIBLE = 40  # coverage from which a pixel belongs to a finding's mask


@dataclasses.dataclass(frozen=True)
class Rendering:
    """A picture and its truth.

    Attributes:
      pixels: [size, size] uint8.
      masks: [n, size, size] bool, one for each place of a finding.
      finding_of_mask: [n] index into the findings given.
    """

    pixels: np.ndarray
    masks: np.ndarray
    finding_of_mask: np.ndarray

    def boxes(self) -> np.ndarray:
        """[n, 4] float32, (x_min, y_min, x_max, y_max): the masks' bounds."""
        boxes = np.zeros((len(self.masks), 4), np.float32)
        for index, mask in enumerate(self.masks):
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            boxes[index] = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        return boxes


def render(
    anatomy: Anatomy, findings: tuple[Finding, ...], exposure: Exposure, size: int
) -> Rendering:
    """Draws one image.

    Equal arguments give equal bytes, in any process and on any machine. Taking a finding away
    changes pixels in and just around its mask only.

    Raises:
      ValueError: size is outside 64..1024.
    """
    check_size(size)
    canvas = exposure.canvas(size)
    lung = lungs(canvas, anatomy)
    chest = np.maximum(lung[SIDES[0]], lung[SIDES[1]])
    detail = np.random.default_rng([anatomy.detail_seed, 2])
    effects = [effect_of(finding, canvas, anatomy, lung) for finding in findings]

    free = canvas.empty()
    for effect in effects:
        if effect.free_air is not None:
            free = np.maximum(free, effect.free_air)
    tissue = times(fade(chest, anatomy.tissue), 255 - free)
    lifelike = anatomy.detail is Detail.LIFELIKE
    cells = (9, 23, 47, 95, 167) if lifelike else (9, 23, 47)
    mottle = fade(times(canvas.texture(detail, cells), tissue), 0.9)
    # The lungs are thinner towards their borders.
    depth = canvas.soft_fill(0.045, *(anatomy.lung(side) for side in SIDES))
    depth = np.maximum(115 + fade(depth, 140 / 255), free)
    air = times(chest - mottle, depth)

    attenuation = (layers.body if lifelike else soft_tissue)(canvas, anatomy)
    scattered = None
    if exposure.scatter:
        scattered = veil(
            exposure, canvas, attenuation - weighted(_AIR[anatomy.detail], fade(chest, 0.75))
        )
    great_vessels = mediastinum(canvas, anatomy, widening(findings))
    border = canvas.fill(anatomy.heart(enlargement(findings)))
    heart = canvas.blur(border, 0.008 if lifelike else 0.005)
    air = times(air, 255 - fade(great_vessels, 0.90))
    air = times(air, 255 - fade(heart, 0.90 if lifelike else 0.82))
    for effect in effects:
        if effect.water is not None:
            air = times(air, 255 - effect.water)

    tree = (layers.vessels if lifelike else vessels)(canvas, anatomy)
    markings = times(tree, times(air, 255 - free))
    attenuation -= weighted(_AIR[anatomy.detail], air)
    attenuation += weighted(620 if lifelike else 350, markings)
    attenuation += weighted(230, great_vessels)
    attenuation -= weighted(330, airway(canvas, anatomy))
    if lifelike:
        attenuation += layers.core(canvas, anatomy)
        attenuation -= layers.gas(canvas, anatomy)
    elif anatomy.bubble:
        attenuation -= weighted(520, gastric_bubble(canvas, anatomy))
    attenuation += skeleton(canvas, anatomy, air)
    if exposure.clutter:
        attenuation += clutter_layer(canvas, anatomy, exposure.clutter)
    for effect in effects:
        if effect.added is not None:
            attenuation += effect.added
    return see(develop(exposure, attenuation, scattered), effects)


def check_size(size: int) -> None:
    """Raises ValueError for a size that is not drawn."""
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size={size} is outside {MIN_SIZE}..{MAX_SIZE}: choose one within")


def see(pixels: np.ndarray, effects: Sequence[Effect]) -> Rendering:
    """A picture with the places of its findings, in the order of the findings."""
    masks = [(i, region > _VISIBLE) for i, e in enumerate(effects) for region in e.regions]
    seen = [(i, mask) for i, mask in masks if mask.any()]
    return Rendering(
        pixels=pixels,
        masks=np.array([m for _, m in seen], bool).reshape(-1, *pixels.shape),
        finding_of_mask=np.array([i for i, _ in seen], np.int32),
    )
