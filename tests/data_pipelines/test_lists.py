"""Official lists: cleaned as they are read, refused by name where they are damaged."""

import dataclasses
import gzip
import pickle

import pytest

from data_pipelines.records import BadInput, Label
from data_pipelines.sources import lists

MESSY = "\ufeffImageId , EncodedPixels,Sex,\r\n a1 , -1 ,NaN,\r\n\r\n b2,n/a, F ,,,\r\n"


def test_spaces_nan_blank_lines_and_stray_columns(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(MESSY, encoding="utf-8")
    rows = lists.read_table(path, ("ImageId", "EncodedPixels"), optional=("Sex", "Age"))
    assert rows == [
        {"ImageId": "a1", "EncodedPixels": "-1", "Sex": "", "Age": ""},
        {"ImageId": "b2", "EncodedPixels": "", "Sex": "F", "Age": ""},
    ]


def test_packed_lists_are_read_as_they_are(tmp_path):
    path = tmp_path / "list.csv.gz"
    path.write_bytes(gzip.compress(MESSY.encode()))
    assert [row["ImageId"] for row in lists.read_table(path, ("ImageId",))] == ["a1", "b2"]
    path.write_bytes(gzip.compress(MESSY.encode())[:-12])
    with pytest.raises(BadInput, match="cannot be read.*download it again"):
        lists.read_table(path, ("ImageId",))


@pytest.mark.parametrize(
    "content, reason, says",
    [
        (b"", "empty_list", "is empty"),
        (b"\0\0\0\n", "empty_list", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "lfs_pointer", "lfs pull"),
        (b"  <!DOCTYPE html><html>Sign in</html>", "html_page", "web page"),
        (b"a,b\n\xff\xfe\n", "damaged_list", "not UTF-8"),
        (b"x,y\n1,2\n", "missing_column", "no column 'a', only x, y"),
        (b"a,b\n", "no_rows", "no rows"),
        (b"a,b\n1,2\n3", "short_row", "line 3 has 1 values and 2 are wanted"),
        (b'a,b\n1,"' + b"x" * 200_000, "damaged_list", "no CSV"),
    ],
)
def test_what_is_no_list_is_one_clear_line(tmp_path, content, reason, says):
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=says) as error:
        lists.read_table(path, ("a", "b"))
    assert error.value.reason == reason
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_list_larger_than_any_official_one_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(lists, "MAX_LIST_BYTES", 1000)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 100_000))
    with pytest.raises(BadInput, match="more than 1000 bytes"):
        lists.read_table(path, ("a",))


def test_a_missing_list_is_named_with_what_it_comes_with(tmp_path):
    with pytest.raises(BadInput) as error:
        lists.find(tmp_path, ("train.csv", "x/train.csv", "test.csv"), "the Example release")
    message = str(error.value)
    assert "holds no train.csv or test.csv: it comes with the Example release" in message
    assert str(tmp_path) in message and "--raw-dir" in message
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "train.csv").touch()
    assert lists.find(tmp_path, ("train.csv", "x/train.csv"), "").parent.name == "x"


def test_labels_and_numbers():
    words = ("1.0", "0", "-1.0", "")
    assert [lists.parse_label(word, "") for word in words] == [
        Label.POSITIVE,
        Label.NEGATIVE,
        Label.UNCERTAIN,
        Label.MISSING,
    ]
    with pytest.raises(BadInput, match="row 3, Edema: label '2'"):
        lists.parse_labels({"Mass": "1", "Edema": "2"}, ("Mass", "Edema"), "row 3")
    for word in ("", "inf", "12px"):
        with pytest.raises(BadInput, match="row 3: .*not a finite number"):
            lists.parse_number(word, "row 3")


def test_drawn_splits_are_whole_patients_and_full():
    patients = [f"p{i // 3}" if i < 90 else f"single{i}" for i in range(200)]
    splits = lists.draw_splits(patients, {"validation": 31, "test": 40}, seed=0)
    of_image = [splits[patient] for patient in patients]
    assert (of_image.count("validation"), of_image.count("test")) == (31, 40)
    assert set(splits) == set(patients), "each patient has one split"
    assert splits == lists.draw_splits(patients[::-1], {"validation": 31, "test": 40}, seed=0)
    assert splits != lists.draw_splits(patients, {"validation": 31, "test": 40}, seed=1)


def test_draw_order_does_not_depend_on_who_else_is_there():
    some = lists.draw_order([f"p{i}" for i in range(50)], 0, "split")
    more = lists.draw_order([f"p{i}" for i in range(99, -1, -1)], 0, "split")
    assert [name for name in more if name in some] == some != sorted(some)
    assert some != lists.draw_order(some, 0, "subset")


def test_what_is_kept_per_process_is_read_again_when_asked_for():
    @dataclasses.dataclass(frozen=True)
    class Reader:
        path: str

        def keys(self):
            return table.fresh(self)

        def load(self):
            return table(self)

    reads = []

    def read(source):
        reads.append(source.path)
        return [len(reads)] * 1000

    table = lists.PerProcess(read)
    first = Reader("a")
    assert first.keys() is first.load() is Reader("a").load()
    assert Reader("b").load() == [2] * 1000 and first.keys()[0] == 3
    assert reads == ["a", "b", "a"]


def test_a_source_is_sent_without_its_lists(tmp_path):
    from data_pipelines.sources.nih_cxr14 import NihCxr14Source

    assert len(pickle.dumps(NihCxr14Source(str(tmp_path)))) < 1000
