"""A phantom patient's measures, and the curves that follow from them.

Everything is in unit coordinates from the midline: x < 0 is the image's left, which is the
patient's right side. The shapes are ours, drawn by eye; no patient's image went into them.
"""

import dataclasses
import enum

import numpy as np

from data_pipelines.phantom.canvas import spline


class Side(enum.Enum):
    """The patient's own side."""

    RIGHT = "right"
    LEFT = "left"

    @property
    def sign(self) -> int:
        """Direction of x: the patient's right is on the image's left."""
        return -1 if self is Side.RIGHT else 1


class Detail(enum.Enum):
    """How much of a body is drawn: as little as will do, or what a clinic's pictures show."""

    PLAIN = "plain"
    LIFELIKE = "lifelike"


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """Measures of one patient in one view, in unit coordinates.

    Attributes:
      half_width: of the lungs together at their widest.
      apex: y of the lung apices.
      dome: side -> y of the top of the diaphragm.
      angle_depth: how far the costophrenic angles lie below the domes.
      cardiothoracic_ratio: heart width over lung width, without cardiomegaly.
      wall: thickness of the chest wall.
      thickness: of the body front to back; 1 is average.
      breast: size of the breast shadows, 0 for none.
      bubble: width of the gastric bubble, 0 for none.
      tissue: fraction of an aerated lung that is not air.
      neck, shoulder, rib_spacing, rib_slope, tortuosity, hilum: further measures.
      detail_seed: seeds vessels, texture and what else is too small to name.
      detail: which layers are drawn.
      twist: how far the patient is turned about the long axis: the spine moves to the image's
        left, the clavicles to its right.
      scapula: how far the shoulder blades lie over the lungs.
    """

    half_width: float
    apex: float
    dome: dict[Side, float]
    angle_depth: float
    cardiothoracic_ratio: float
    wall: float
    thickness: float
    breast: float
    bubble: float
    tissue: float
    neck: float
    shoulder: float
    rib_spacing: float
    rib_slope: float
    tortuosity: float
    hilum: float
    detail_seed: int
    detail: Detail = Detail.PLAIN
    twist: float = 0.0
    scapula: float = 0.0

    def lateral(self, y: np.ndarray | float) -> np.ndarray:
        """Distance of the lung's outer border from the midline at height y."""
        t = np.clip((np.asarray(y) - self.apex) / (0.86 - self.apex), 0.0, 1.0)
        tip = 0.40 * self.half_width
        return tip + (self.half_width - tip) * (1 - (1 - t) ** 2.5) ** 0.57 * (1.02 - 0.05 * t**3)

    def medial(self, y: np.ndarray | float) -> np.ndarray:
        """Distance of the lung's inner border from the midline at height y."""
        t = np.clip((np.asarray(y) - self.apex) / (0.86 - self.apex), 0.0, 1.0)
        tip = 0.40 * self.half_width
        return tip - (tip - 0.045) * np.sqrt(1 - (1 - np.minimum(1.0, 3.2 * t)) ** 3)

    def diaphragm(self, side: Side, steps: int = 18) -> np.ndarray:
        """The dome from the costophrenic angle to the spine, [steps, 2]."""
        q = np.linspace(0.0, 1.0, steps)
        top, peak = self.dome[side], 0.56
        outer = np.abs((peak - q) / peak) ** 2.3 * self.angle_depth
        inner = np.abs((q - peak) / (1 - peak)) ** 2.0 * self.angle_depth * 0.42
        y = top + np.where(q < peak, outer, inner)
        x = self.lateral(y[0]) * (1 - q) + 0.045 * q
        return np.stack([side.sign * x, y], axis=1)

    def lung(self, side: Side) -> np.ndarray:
        """Closed outline of one lung, [n, 2]."""
        dome = self.diaphragm(side)
        down = self.apex + (dome[0, 1] - self.apex) * np.linspace(0.0, 1.0, 26)[:-1] ** 1.7
        up = self.apex + (dome[-1, 1] - self.apex) * np.linspace(1.0, 0.0, 16)[1:-1] ** 1.7
        outer = np.stack([side.sign * self.lateral(down), down], axis=1)
        inner = np.stack([side.sign * self.medial(up), up], axis=1)
        return np.concatenate([outer, dome, inner])

    def place(self, side: Side, u: np.ndarray | float, v: np.ndarray | float) -> np.ndarray:
        """Lung coordinates -> unit coordinates [n, 2]: u 0 inner..1 outer, v 0 apex..1 dome."""
        u, v = np.broadcast_arrays(np.atleast_1d(u), np.atleast_1d(v))
        y = self.apex + v * (self.dome[side] - self.apex)
        inner, outer = self.medial(y), self.lateral(y)
        return np.stack([side.sign * (inner + u * (outer - inner)), y], axis=1)

    def heart(self, enlargement: float = 0.0) -> np.ndarray:
        """Closed outline of the heart, [n, 2]; `enlargement` is added to the ratio."""
        width = 2 * self.half_width * (self.cardiothoracic_ratio + enlargement)
        bottom = max(self.dome.values()) + 0.045
        top = 0.40 - 0.25 * enlargement
        x, y = np.array(_HEART).T
        if self.detail is Detail.LIFELIKE:
            own = np.random.default_rng([self.detail_seed, 6]).uniform(-1, 1, (2, len(x)))
            x, y = x * (1 + 0.07 * own[0]), y + 0.025 * own[1]
        return spline(np.stack([width * x, top + y * (bottom - top)], axis=1), 5)


# Heart border: x over the heart's width, y from the great vessels (0) to the diaphragm (1).
_HEART = (
    (-0.12, 0.0), (-0.25, 0.28), (-0.33, 0.58), (-0.31, 0.86), (-0.14, 1.02), (0.22, 1.06),
    (0.52, 1.02), (0.66, 0.86), (0.63, 0.62), (0.46, 0.36), (0.27, 0.12), (0.10, -0.04),
)  # fmt: skip


def sample_anatomy(
    seed: int, patient: int, view: str, study: int = 0, detail: Detail = Detail.PLAIN
) -> Anatomy:
    """The measures of a patient; an AP view has a larger heart and higher domes (view PA or AP).

    A lifelike patient also breathes in and stands a little differently in every study.
    """
    rng = np.random.default_rng([seed, patient, 101])
    uniform = rng.uniform
    dome = uniform(0.685, 0.755)
    anatomy = Anatomy(
        half_width=uniform(0.335, 0.395),
        apex=uniform(0.095, 0.14),
        dome={Side.RIGHT: dome, Side.LEFT: dome + uniform(0.005, 0.035)},
        angle_depth=uniform(0.085, 0.13),
        cardiothoracic_ratio=uniform(0.42, 0.48),
        wall=uniform(0.035, 0.085),
        thickness=uniform(0.88, 1.14),
        breast=uniform(0.09, 0.15) if rng.random() < 0.45 else 0.0,
        bubble=uniform(0.035, 0.075) if rng.random() < 0.6 else 0.0,
        tissue=uniform(0.14, 0.36),
        neck=uniform(0.085, 0.11),
        shoulder=uniform(0.10, 0.17),
        rib_spacing=uniform(0.057, 0.068),
        rib_slope=uniform(0.8, 1.25),
        tortuosity=uniform(0.0, 0.022),
        hilum=uniform(0.41, 0.45),
        detail_seed=int(rng.integers(2**31)),
    )
    if view == "AP":
        raised = {side: y - 0.045 for side, y in anatomy.dome.items()}
        anatomy = dataclasses.replace(
            anatomy, dome=raised, cardiothoracic_ratio=anatomy.cardiothoracic_ratio + 0.03
        )
    return anatomy if detail is Detail.PLAIN else _lifelike(anatomy, seed, patient, study, view)


def _lifelike(anatomy: Anatomy, seed: int, patient: int, study: int, view: str) -> Anatomy:
    rng = np.random.default_rng([seed, patient, 113])
    stance = np.random.default_rng([seed, patient, study, 127])
    portable = view == "AP"
    shallow = max(0.0, stance.normal(0.0, 0.05 if portable else 0.03))
    shallow = min(0.085, shallow)  # of a full breath: higher domes, and a heart that lies across
    return dataclasses.replace(
        anatomy,
        detail=Detail.LIFELIKE,
        wall=rng.uniform(0.05, 0.13),
        shoulder=rng.uniform(0.045, 0.115),
        thickness=rng.uniform(0.86, 1.16),
        bubble=rng.uniform(0.04, 0.095) if rng.random() < 0.7 else 0.0,
        dome={side: y - shallow for side, y in anatomy.dome.items()},
        cardiothoracic_ratio=anatomy.cardiothoracic_ratio + 0.25 * shallow,
        twist=float(np.clip(stance.normal(0.0, 0.012 if portable else 0.006), -0.03, 0.03)),
        scapula=float(stance.uniform(0.04, 0.10) if portable else stance.uniform(-0.02, 0.03)),
    )
