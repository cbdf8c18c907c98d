"""Open-i: Indiana University's chest radiographs and reports, from the US National Library of
Medicine. Demner-Fushman et al., doi 10.1093/jamia/ocv080.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from data_pipelines.openi_reports import OpeniReport
from data_pipelines.records import BadInput, Key, Label, Study
from data_pipelines.sources import lists
from data_pipelines.sources.openi_files import IMAGES, ImageFiles, read_reports

VIEWS = ("frontal", "lateral", "all")
_PROJECTIONS = "indiana_projections.csv"
_SHARES = {"validation": 0.1, "test": 0.2}  # of the images, as R2Gen's 7:1:2
_SEED = 0
# Head of an index term -> label, by NIH ChestX-ray14's names, in its order.
_LABEL_OF: Mapping[str, Sequence[str]] = {
    "Atelectasis": ("pulmonary atelectasis",),
    "Cardiomegaly": ("cardiomegaly",),
    "Pleural Effusion": ("pleural effusion",),
    "Infiltration": ("infiltrate",),
    "Mass": ("mass",),
    "Nodule": ("nodule",),
    "Pneumonia": ("pneumonia",),
    "Pneumothorax": ("pneumothorax", "hemopneumothorax"),
    "Consolidation": ("consolidation",),
    "Edema": ("pulmonary edema",),
    "Emphysema": ("emphysema", "pulmonary emphysema", "bullous emphysema"),
    "Fibrosis": ("pulmonary fibrosis",),
    "Pleural Thickening": ("thickening/pleura",),
    "Hernia": ("hernia, hiatal", "hernia, diaphragmatic"),
    "No Finding": ("normal",),
}
_NOT_INDEXED = "no indexing"


@dataclasses.dataclass(frozen=True)
class OpeniSource:
    """Open-i as the library distributes it: 3,955 reports as XML, 7,470 images as PNG or DICOM.

    Labels come from the terms by which two people indexed each report: what they do not name is
    absent. A report is a patient of its own. There is no official split.

    Attributes:
      raw_dir: holds ecgen-radiology or NLMCXR_reports.tgz, and the images. Which of them are
        frontal is in indiana_projections.csv, of the collection's copy on Kaggle.
      images: png or dicom.
      views: frontal, lateral or all; all needs no list of projections.
    """

    raw_dir: str
    images: str = "png"
    views: str = "frontal"

    name = "openi"
    shareable = True  # CC BY-NC-ND 4.0
    has_reports = True
    label_names: ClassVar[Sequence[str]] = tuple(_LABEL_OF)
    published_counts: ClassVar[Mapping[str, int]] = {}
    split_rule: ClassVar[str] = (
        "reports, each a patient, in the order of a hash of (seed "
        f"{_SEED}, uid): 10 % of the images validation, 20 % test, the rest train"
    )

    def __post_init__(self):
        lists.check_choice("images", self.images, IMAGES)
        lists.check_choice("views", self.views, VIEWS)

    @property
    def version(self) -> str:
        """Changes with the content of the reports and with how they are read."""
        return f"1-{self.images}-{self.views}-{_tables(self).digest}"

    @property
    def left_out(self) -> Mapping[str, int]:
        """Images by reason: other_view, no_view, no_findings_or_impression; and reports without
        images: no_image; and reports that cannot be read, by what `parse_report` says.
        """
        return _tables(self).left_out

    def keys(self) -> Sequence[Key]:
        """One key an image, by the number of the report. Reads every report.

        Raises:
          BadInput: missing_list, missing_images, no_reports, or what `lists.read_table` raises.
        """
        return _tables.fresh(self).keys

    def load(self, key: Key) -> Study:
        """Reads one image, with its report.

        Raises:
          BadInput: what `image.read_image` raises.
        """
        tables = _tables(self)
        report = tables.reports[key.study_id]
        return Study(
            pixels=lists.read_listed_image(tables.images.path(key.image_id)),
            findings=report.findings,
            impression=report.impression,
            view=tables.views.get(key.image_id, ""),
            labels=read_labels(report.terms),
        )

    def prompts(self) -> None:
        """None of its own."""
        return None


def read_labels(terms: Sequence[str]) -> np.ndarray:
    """[15] by `OpeniSource.label_names`; all missing for a report that nobody indexed."""
    if not terms or _NOT_INDEXED in terms:
        return np.full(len(_LABEL_OF), Label.MISSING, np.int8)
    found = [
        any(term == head or term.startswith(f"{head}/") for term in terms for head in heads)
        for heads in _LABEL_OF.values()
    ]
    return np.array(found, np.int8)  # Label.POSITIVE or Label.NEGATIVE


@dataclasses.dataclass(frozen=True)
class _Tables:
    keys: list[Key]
    left_out: Mapping[str, int]
    reports: Mapping[str, OpeniReport]
    views: Mapping[str, str]  # FRONTAL or LATERAL
    images: ImageFiles
    digest: str


@lists.PerProcess
def _tables(source: OpeniSource) -> _Tables:
    reports, faults = read_reports(source.raw_dir)
    views = _read_views(source)
    left_out: Counter = Counter(faults)
    taken = []
    for report in reports:
        left_out["no_image"] += not report.images
        for image in report.images:
            reason = _other_view(source.views, views.get(image))
            if reason is None and not (report.findings or report.impression):
                reason = "no_findings_or_impression"
            if reason is None:
                taken.append((image, report.uid))
            else:
                left_out[reason] += 1
    patients = [uid for _, uid in taken]
    wanted = {split: round(share * len(taken)) for split, share in _SHARES.items()}
    splits = lists.draw_splits(patients, wanted, seed=_SEED)
    digest = hashlib.blake2b(repr((reports, sorted(views.items()))).encode(), digest_size=6)
    return _Tables(
        keys=[Key(image, uid, uid, splits[uid]) for image, uid in taken],
        left_out={reason: count for reason, count in sorted(left_out.items()) if count},
        reports={report.uid: report for report in reports},
        views=views,
        images=ImageFiles(source.raw_dir, source.images, [image for image, _ in taken]),
        digest=digest.hexdigest(),
    )


def _other_view(wanted: str, view: str | None) -> str | None:
    """Why an image of this view is left out, or None."""
    if wanted == "all" or view == wanted.upper():
        return None
    return "no_view" if view is None else "other_view"


def _read_views(source: OpeniSource) -> dict[str, str]:
    """Image -> FRONTAL or LATERAL, of the list of projections; {} where it is not needed."""
    path = lists.find_optional(source.raw_dir, (_PROJECTIONS,))
    if path is None:
        if source.views == "all":
            return {}
        raise BadInput(
            "missing_list",
            f"{source.raw_dir!r} holds no {_PROJECTIONS}, and no file of NLM's says which images "
            f"are {source.views}: put there the one that comes with the copy on Kaggle "
            "(raddar/chest-xrays-indiana-university), or take all of them by views=all",
        )
    views = {}
    for number, row in enumerate(lists.read_table(path, ("filename", "projection")), 1):
        view = row["projection"].upper()
        if view not in ("FRONTAL", "LATERAL"):
            raise BadInput(
                "bad_projection",
                f"{path.name} row {number}: projection {row['projection']!r} is neither Frontal "
                "nor Lateral",
            )
        name = row["filename"].removesuffix(".png").removesuffix(".dcm")
        uid = name.partition("_")[0]
        # The library names an image by its report and the DICOM file, without its number or with.
        views[f"CXR{uid}_{name.partition('_')[2]}"] = views[f"CXR{uid}_{name}"] = view
    return views
