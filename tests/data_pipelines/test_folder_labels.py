"""Labels of a user's own CSV, with reports or without."""

import cv2
import numpy as np
import pytest

from data_pipelines.records import BadInput
from data_pipelines.sources.folder import FolderSource


@pytest.fixture
def folder(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 8), 90, np.uint8))
    return tmp_path


def source(folder, text, **kwargs):
    path = folder / "list.csv"
    path.write_text(text)
    return FolderSource(csv=str(path), image_column="path", **kwargs)


def labels_of(source) -> list[list[int]]:
    return [source.load(key).labels.tolist() for key in source.keys()]


def test_columns_of_labels(folder):
    found = source(
        folder,
        "path,Mass,Hernia\na.png,1,0\na.png,-1,\na.png,1.0,False\n",
        label_columns=["Mass", "Hernia"],
    )
    assert list(found.label_names) == ["Mass", "Hernia"] and not found.has_reports
    assert labels_of(found) == [[1, 0], [-1, -2], [1, 0]]


def test_a_column_that_lists_what_is_there(folder):
    found = source(
        folder, "path,shows\na.png,Nodule|Mass\na.png,No Finding\n", labels_column="shows"
    )
    assert list(found.label_names) == ["Mass", "Nodule"]
    assert labels_of(found) == [[1, 1], [0, 0]]


def test_reports_beside_labels(folder):
    found = source(
        folder, "path,text,Mass\na.png,A mass.,1\n", report_column="text", label_columns=["Mass"]
    )
    study = found.load(found.keys()[0])
    assert study.findings == "A mass." and study.labels.tolist() == [1] and found.has_reports


@pytest.mark.parametrize(
    ("text", "kwargs", "says"),
    [
        ("path,Mass\na.png,maybe\n", {"label_columns": ["Mass"]}, "'Mass' is 'maybe'"),
        ("path,Mass\na.png,1\n", {"label_columns": ["Hernia"]}, "no column 'Hernia'"),
        ("path,Mass\na.png,\n", {"labels_column": "Mass"}, "names nothing"),
        ("path,Mass\na.png,1\n", {}, "needs --report-column, or labels"),
        (
            "path,Mass\na.png,1\n",
            {"labels_column": "Mass", "label_columns": ["Mass"]},
            "not both",
        ),
    ],
)
def test_what_is_wrong_is_one_line(folder, text, kwargs, says):
    with pytest.raises(BadInput) as error:
        labels_of(source(folder, text, **kwargs))
    assert says in str(error.value) and "\n" not in str(error.value)
