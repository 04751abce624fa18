"""Key files: 32 hex digits (AES, DES with two keys) or 48 (DES with three keys), or as many bytes as they are.

Nobody but their owner may read them. Credentials that systemd hands over are as it makes them: in memory, for this
service alone. No error says what is in a file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

CREDENTIALS = Path("/run/credentials")
_SIZES = {"aes": (16,), "iso": (16, 24), "legacy": (16,)}


class KeyFileError(Exception):
    """``str()``: what is wrong and what to do; never a byte of the key."""


def read(path: Path, auth: str) -> bytes:
    """16 or 24 bytes for the scheme ``auth``. Raises ``KeyFileError``."""
    try:
        raw = _private(path)
    except OSError as e:
        raise KeyFileError(f"{e.strerror or e}; the agent's user must be able to read it") from None
    sizes = _SIZES.get(auth, (16, 24))
    if len(raw) in sizes:
        return raw
    try:
        key = bytes.fromhex(raw.decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        key = b""
    if len(key) not in sizes:
        raise KeyFileError(f"must be {' or '.join(str(2 * n) for n in sizes)} hex digits for auth = {auth}")
    return key


def _private(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077 and not _credential(path):
            raise KeyFileError(f"others than its owner can get at it (mode {mode:04o}); say chmod 600, or 400")
        return file.read(1024)


def _credential(path: Path) -> bool:
    """systemd gives the service its right by an access list, which shows as a right of the group."""
    folders = [CREDENTIALS]
    if given := os.environ.get("CREDENTIALS_DIRECTORY"):
        folders.append(Path(given))
    return any(path.resolve().is_relative_to(f.resolve()) for f in folders)


def trouble(path: Path, auth: str) -> str:
    """For ``check``: what is wrong, or nothing. A credential that is not there yet comes with the service."""
    if _credential(path) and not path.exists():
        return ""
    try:
        read(path, auth)
    except KeyFileError as e:
        return str(e)
    return ""
