"""The users of the field page: a file of its own with one scrypt hash per user (RFC 7914)."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.commands.page.roles import Role
from agent.model import secret_file
from agent.model.fastclass import frozen
from agent.services.folder_sync import sync_folder

NAME_FORM = r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}"
PASSWORD_LEAST, PASSWORD_MOST = 10, 200
COST_N, COST_R, COST_P = 2**14, 8, 5
"""16 MiB, and 0.1 s to 2 s by the processor: as strong as 128 MiB once (OWASP, Password Storage), on a small board."""
HASH_BYTES, SALT_BYTES = 32, 16
SCRYPT_MEMORY_MOST = 64 * 1024 * 1024
VERSION = 1
KEYS = ("role", "n", "r", "p", "salt", "hash")
"""Of a user in the file."""


class UserProblem(Exception):
    """``str()``: what is wrong with the file, the name or the password, and what to do."""


@frozen
class PageUser:
    name: str
    role: Role
    salt: str
    hash: str
    n: int = COST_N
    r: int = COST_R
    p: int = COST_P

    @property
    def password_mark(self) -> str:
        """Changes with the password and with the role: a session that has another mark is over."""
        return hashlib.sha256(f"{self.hash} {self.role}".encode()).hexdigest()[:32]

    def is_password(self, password: str) -> bool:
        """Hash the password and compare. It takes long on purpose: call it beside the event loop."""
        return hmac.compare_digest(
            _scrypt_password_hash(password, bytes.fromhex(self.salt), self.n, self.r, self.p), bytes.fromhex(self.hash)
        )


UNKNOWN_USER = PageUser("", Role.READER, "00" * SALT_BYTES, "00" * HASH_BYTES)
"""Stands for a user who does not exist, so that the answer takes as long."""


def make_page_user(name: str, role: Role, password: str) -> PageUser:
    """Make a user. Raises ``UserProblem``."""
    if re.fullmatch(NAME_FORM, name) is None:
        raise UserProblem(f"a name has 1 to 32 letters, digits and . _ -, not {name[:40]!r}")
    if said := password_problem(name, password):
        raise UserProblem(said)
    salt = secrets.token_bytes(SALT_BYTES)
    return PageUser(name, role, salt.hex(), _scrypt_password_hash(password, salt, COST_N, COST_R, COST_P).hex())


def password_problem(name: str, password: str) -> str:
    """Return why this password cannot be used; "": it can. It is not repeated."""
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        return f"a password has {PASSWORD_LEAST} to {PASSWORD_MOST} characters; this one has {len(password)}"
    if len(set(password)) < 4:
        return "a password has at least 4 different characters"
    if name.casefold() in password.casefold() and len(password) - len(name) < PASSWORD_LEAST:
        return "the name of the user does not count as a part of the password"
    return ""


def load_page_users(path: Path) -> dict[str, PageUser]:
    """Read the users; none if there is no file. Raises ``UserProblem``."""
    if not path.exists():
        return {}
    try:
        raw = json.loads(secret_file.read_secret_text(path))
        if raw["version"] != VERSION:
            raise UserProblem(f"{path}: has version {raw['version']}; this program reads version {VERSION}")
        return {name: _user_from_entry(name, row) for name, row in raw["users"].items()}
    except secret_file.Unfit as e:
        raise UserProblem(f"{path}: {e}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserProblem(f"{path}: is no file of users: remove it, and add the users again") from None


def save_page_users(path: Path, users: Mapping[str, PageUser]) -> None:
    """Write the file for its owner alone, or remove it with the last user. The owner is that of the folder, which is
    the agent's. Raises ``OSError``."""
    if not users:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = path.parent.stat()
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    rows = {name: {key: getattr(user, key) for key in KEYS} for name, user in users.items()}
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        if os.geteuid() == 0:
            os.fchown(file.fileno(), folder.st_uid, folder.st_gid)
        json.dump({"version": VERSION, "users": rows}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync_folder(path.parent)


def _user_from_entry(name: str, row: Mapping[str, Any]) -> PageUser:
    n, r, p = (int(row[key]) for key in ("n", "r", "p"))
    return PageUser(name, Role(row["role"]), str(row["salt"]), str(row["hash"]), n, r, p)


def _scrypt_password_hash(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt, n=n, r=r, p=p, dklen=HASH_BYTES, maxmem=SCRYPT_MEMORY_MOST,
    )  # fmt: skip
