"""Key files: 32 hex digits (AES, DES with two keys) or 48 (DES with three keys), or as many bytes as they are."""

from __future__ import annotations

from pathlib import Path

from agent.model import secret_file
from agent.model.secret_file import Unfit

_SIZES = {"aes": (16,), "iso": (16, 24), "legacy": (16,)}


def read_key(path: Path, auth: str) -> bytes:
    """Read the key: 16 or 24 bytes for the scheme ``auth``. Raises ``Unfit``."""
    raw = secret_file.read_secret(path)
    sizes = _SIZES.get(auth, (16, 24))
    if len(raw) in sizes:
        return raw
    try:
        key = bytes.fromhex(raw.decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        key = b""
    if len(key) not in sizes:
        raise Unfit(f"must be {' or '.join(str(2 * n) for n in sizes)} hex digits for auth = {auth}")
    return key


def key_file_problem(path: Path, auth: str) -> str:
    """Return what is wrong with the file, for ``check``; "": nothing."""
    try:
        if not secret_file.is_credential_to_come(path):
            read_key(path, auth)
    except Unfit as e:
        return str(e)
    return ""
