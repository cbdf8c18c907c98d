"""The folder of a run, here or in a bucket, and files in it that nobody ever sees half of."""

import os
import pathlib

from etils import epath


def as_path(workdir: str | os.PathLike) -> pathlib.Path:
    """The absolute path of a run's folder; one with a scheme, as gs://, stays as it is."""
    text = os.fspath(workdir)
    return epath.Path(text) if "://" in text else pathlib.Path(os.path.abspath(text))


def is_remote(path: pathlib.Path) -> bool:
    """Whether it lies in a bucket, where no file can be appended to."""
    return "://" in os.fspath(path)


def write_whole(path: pathlib.Path, text: str) -> None:
    """Writes a file aside and renames it. A bucket's objects appear whole by themselves."""
    if is_remote(path):
        path.write_text(text)
        return
    aside = path.with_name(f".{path.name}.partial")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
