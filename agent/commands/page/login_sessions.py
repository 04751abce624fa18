"""The logins of the field page. They outlive its process, because a kit restarts the agent; a boot of the machine ends
them. On disk is a hash of the cookie only."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.commands.page.page_users import PageUser
from agent.model.fastclass import mutable

IDLE_S, LONGEST_S = 1200.0, 8 * 3600.0
MOST_SESSIONS = 50
SAVE_EVERY_S = 60.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@mutable
class LoginSession:
    """``mark``: that of the user at the login (``PageUser.password_mark``). Times: ``seconds_since_boot``."""

    user: str
    mark: str
    began_s: float
    seen_s: float

    def has_run_out_at(self, now_s: float) -> bool:
        return not (now_s - self.seen_s < IDLE_S and 0 <= now_s - self.began_s < LONGEST_S)


class LoginSessions:
    """All logins. ``now_s``: seconds since the boot of the machine (CLOCK_BOOTTIME)."""

    def __init__(self, path: Path, now_s: Callable[[], float]) -> None:
        self._path, self._now_s = path, now_s
        self._boot = _boot_id()
        self._sessions: dict[str, LoginSession] = {}
        self._saved_s = now_s()
        self.form_key = secrets.token_bytes(32)
        """Signs the forms of those who are not logged in."""
        self._load_stored_sessions()

    def begin_session(self, user: PageUser) -> str:
        """Begin a session. Returns the value of its cookie, which is not kept."""
        token, now_s = secrets.token_urlsafe(32), self._now_s()
        self._sessions = {key: s for key, s in self._sessions.items() if not s.has_run_out_at(now_s)}
        while len(self._sessions) >= MOST_SESSIONS:
            self._sessions.pop(min(self._sessions, key=lambda key: self._sessions[key].seen_s))
        self._sessions[_hash_of_session_token(token)] = LoginSession(user.name, user.password_mark, now_s, now_s)
        self._save_file()
        return token

    def find_session(self, token: str, touch: bool = True) -> LoginSession | None:
        """Return the session of a cookie; None: there is none, or it is over. ``touch``: a person has asked."""
        session = self._sessions.get(_hash_of_session_token(token))
        now_s = self._now_s()
        if session is None or session.has_run_out_at(now_s):
            return None
        if touch:
            session.seen_s = now_s
            if now_s - self._saved_s > SAVE_EVERY_S:
                self._save_file()
        return session

    def end_session(self, token: str) -> None:
        if self._sessions.pop(_hash_of_session_token(token), None) is not None:
            self._save_file()

    def _load_stored_sessions(self) -> None:
        try:
            raw = json.loads(self._path.read_text("utf-8"))
            if self._boot and raw["boot"] == self._boot:
                self._sessions = {key: _session_of(row) for key, row in raw["sessions"].items()}
                self.form_key = bytes.fromhex(raw["form_key"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return  # there was none; every user logs in again

    def _save_file(self) -> None:
        self._saved_s = self._now_s()
        rows = {key: [s.user, s.mark, s.began_s, s.seen_s] for key, s in self._sessions.items()}
        content = {"boot": self._boot, "form_key": self.form_key.hex(), "sessions": rows}
        beside = self._path.with_name(f".{self._path.name}.partial")
        with contextlib.suppress(OSError):  # a disk that is full costs a login after a restart, and nothing else
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside.unlink(missing_ok=True)
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(content, file)
            os.replace(beside, self._path)


def expected_form_token(key: bytes, text: str) -> str:
    """Return what a form must send back (against cross-site request forgery). ``text``: the cookie."""
    return hmac.new(key, f"form {text}".encode(), hashlib.sha256).hexdigest()


def is_expected_form_token(key: bytes, text: str, given: str) -> bool:
    return hmac.compare_digest(expected_form_token(key, text).encode(), given.encode("utf-8", "replace"))


def _session_of(row: list[Any]) -> LoginSession:
    user, mark, began_s, seen_s = row
    return LoginSession(str(user), str(mark), float(began_s), float(seen_s))


def _hash_of_session_token(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""
