"""Identifiers that a user brings -> keyed hashes, whose key is a secret kept beside the data."""

import hashlib
import hmac
import os
import pathlib
import secrets
import time

from data_pipelines.records import BadInput

_SALT_BYTES = 32


def pseudonym(salt: bytes, kind: str, value: str) -> str:
    """16 hex digits that stand for an identifier: the same for the same salt, kind and value."""
    return hmac.new(salt, f"{kind}:{value}".encode(), hashlib.blake2b).hexdigest()[:16]


def read_salt(path: pathlib.Path) -> bytes:
    """The secret at `path`, made on first use and readable by its owner alone.

    Raises:
      BadInput: no_salt where it can be neither read nor written, bad_salt where it is damaged.
    """
    try:
        data = _read(path)
        if data is None:
            _make(path)
            data = _read(path)
    except OSError as error:
        raise BadInput(
            "no_salt",
            f"{path} cannot be read or written ({error.strerror}): it keeps the key that "
            "identifiers are hashed with; copy the CSV to a folder of yours and give --raw-dir",
        ) from None
    try:
        salt = bytes.fromhex(data.decode("ascii"))
    except ValueError:
        salt = b""
    if len(salt) != _SALT_BYTES:
        # An empty or a short key would hash as well, and anyone could undo it.
        raise BadInput(
            "bad_salt",
            f"{path} is damaged: {len(data)} bytes that are not {2 * _SALT_BYTES} hex digits; "
            "restore it from a copy, or delete it: all identifiers will then be new ones",
        )
    return salt


def _read(path: pathlib.Path) -> bytes | None:
    for _ in range(10):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if data:
            break
        time.sleep(0.05)  # another program has just made it and is about to write
    return data


def _make(path: pathlib.Path) -> None:
    try:
        # Of two programs that start together one makes it, and both read it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(_SALT_BYTES))
