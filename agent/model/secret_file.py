"""Files with a secret in them: only their owner may read them. Credentials that systemd hands over
are as it makes them: in memory, for this service alone. No error says what is in a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

CREDENTIALS = Path("/run/credentials")
MOST_BYTES = 64 * 1024


class Unfit(Exception):
    """``str()``: what is wrong and what to do, without the path; never a byte of the secret."""


def read_secret(path: Path, is_private: bool = True) -> bytes:
    """Read a secret file. ``is_private``: only its owner may get at it. Raises ``Unfit``."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if is_private and mode & 0o077 and not _is_credential(path):
                raise Unfit(f"others than its owner can get at it (mode {mode:04o}); say chmod 600, or 400")
            content = file.read(MOST_BYTES + 1)
    except OSError as e:
        raise Unfit(f"{e.strerror or e}; the agent's user must be able to read it") from None
    if len(content) > MOST_BYTES:
        raise Unfit(f"has more than {MOST_BYTES} bytes, which no secret has; correct the path")
    return content


def read_secret_text(path: Path, is_private: bool = True) -> str:
    """Read a secret text, without blanks and line ends around it. ``is_private``: as of ``read_secret``. A station that
    runs reads its passwords without it: a wrong mode, of which ``check`` complains, cuts no link. Raises ``Unfit``."""
    content = read_secret(path, is_private)
    try:
        if b"\0" not in content:  # UTF-16 without its mark is valid UTF-8 with NUL bytes
            return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        pass
    raise Unfit("must be text (UTF-8)")


def secret_text_problem(path: Path | None) -> str:
    """Return what is wrong with a file that holds a password; "": nothing, or it comes with the
    service."""
    if path is None or is_credential_to_come(path):
        return ""
    try:
        return "" if read_secret_text(path) else f"{path}: is empty"
    except Unfit as e:
        return f"{path}: {e}"


def is_credential_to_come(path: Path) -> bool:
    """Return whether it is a credential that is not there yet: it comes with the service."""
    return _is_credential(path) and not path.exists()


def _is_credential(path: Path) -> bool:
    """Return whether it is a credential of systemd, which gives the service access by an access
    list; that shows as a right of the group."""
    folders = [CREDENTIALS]
    if given := os.environ.get("CREDENTIALS_DIRECTORY"):
        folders.append(Path(given))
    return any(path.resolve().is_relative_to(f.resolve()) for f in folders)
