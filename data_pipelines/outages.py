"""Faults of a disk, a network or a bucket, which may answer again, and not of a file in it."""

import errno

_NUMBERS = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "EREMOTEIO", "ESTALE", "ETIMEDOUT", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH"),
        *("ENETDOWN", "ENETUNREACH", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED"),
    )
    if hasattr(errno, name)
)
# TensorFlow's, of a bucket; by name, for it need not be there.
_OF_STORES = ("UnavailableError", "DeadlineExceededError", "AbortedError")


class Outage(OSError):
    """What `is_outage`, in words alone: Beam hands on no error of more than one argument."""


def is_outage(error: BaseException) -> bool:
    """Whether the same could succeed later, nothing being changed."""
    if isinstance(error, OSError):
        return isinstance(error, Outage | TimeoutError) or error.errno in _NUMBERS
    return type(error).__name__ in _OF_STORES
