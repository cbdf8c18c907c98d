"""A full disk: noticed before saving where it can be, and one clear line where it cannot."""

import contextlib
import errno
import shutil
from collections.abc import Iterator

from etils import epath

_WORDS = ("no space left", "quota exceeded")
_ASIDE = "*.orbax-checkpoint-tmp"  # what orbax calls a checkpoint that is being written


class DiskFull(OSError):  # noqa: N818
    """There is no room to write. The message says where, and what to do."""


def check_room(folder: epath.Path, needed: int) -> None:
    """Raises DiskFull where a local folder's disk has less than `needed` bytes left."""
    if "://" in str(folder):
        return
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFull(
            f"{folder}: no space left to save a checkpoint of {needed / 2**20:.1f} MiB, "
            f"{free / 2**20:.1f} MiB are free; {_what_next(folder)}"
        )


@contextlib.contextmanager
def explain_full_disk(folder: epath.Path) -> Iterator[None]:
    """Turns the many faces of a full disk, as several libraries write here, into DiskFull.

    What was being written to `folder` is removed; checkpoints that were finished stay.
    """
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:
        if not _is_full(error):
            raise
        for path in folder.glob(_ASIDE):
            path.rmtree(missing_ok=True)
        raise DiskFull(f"{folder.parent}: no space left to write; {_what_next(folder)}") from error


def _what_next(folder: epath.Path) -> str:
    steps = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    kept = f"the checkpoint of step {max(steps)} is whole" if steps else "none is saved yet"
    return f"{kept}. Make room and run the same command again"


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or any(words in str(error).lower() for words in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
