"""Faults of a disk, a network or a bucket, which may answer again, and not of a file in it."""

import errno

_NUMBERS = frozenset(
    getattr(errno, name)
    for name in (
        *("ESTALE", "ETIMEDOUT", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN"),
        *("ENETUNREACH", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED"),
    )
    if hasattr(errno, name)
)
# Of buckets: TensorFlow's by name, for it need not be there, and those of Orbax's storage by words.
_KINDS = ("UnavailableError", "DeadlineExceededError", "AbortedError")
_WORDS = ("UNAVAILABLE:", "DEADLINE_EXCEEDED:", "ABORTED:")


class Outage(OSError):
    """What `is_outage`, in words alone: Beam hands on no error of more than one argument."""


def is_outage(error: BaseException) -> bool:
    """Whether the same could succeed later, nothing being changed.

    EIO is none: a bad sector says it each time.
    """
    if isinstance(error, OSError):
        return isinstance(error, Outage | TimeoutError) or error.errno in _NUMBERS
    return type(error).__name__ in _KINDS or any(word in str(error) for word in _WORDS)
