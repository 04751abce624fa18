"""The authorization cache: the backend's verdicts on tokens, for when it cannot or need not be
asked (OCPP 1.6 3.5.1; 2.x C10-C12). Entries live as long as the backend says, and no longer than
``auth_cache_lifetime_s`` after their last use (0: no such bound)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain.local_auth_list import normalized_token
from agent.domain.orders import Persist
from agent.domain.serialization import UnreadableRecord, dump_record, load_record
from agent.domain.variables import Settings
from agent.model.fastclass import mutable
from agent.model.newest_kept import remember_newest
from agent.model.types import Moment, Token, Verdict

CACHE_MAX = 1000


@mutable
class CacheEntry:
    """``used_utc_s`` None: the time was not known then."""

    verdict: Verdict
    used_utc_s: float | None = None

    def to_record(self) -> dict[str, Any]:
        return {**dump_record(self.verdict), "used_utc_s": self.used_utc_s}


class AuthorizationCache:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._entries: dict[str, CacheEntry] = {}
        self._cleared: dict[str, None] = {}
        """Tokens of customers whose data was cleared, the oldest first, until the backend is asked about them again."""

    @property
    def is_enabled(self) -> bool:
        return self._settings.bool_value("auth_cache_enabled")

    @property
    def _lifetime_s(self) -> int:
        return self._settings.int_value("auth_cache_lifetime_s")

    def load_remembered(self, remembered: Mapping[str, Mapping[str, Any]]) -> Iterator[Persist]:
        """Load the entries from disk after a start; what cannot be read is forgotten."""
        for name, record in remembered.items():
            try:
                used_utc_s = record.get("used_utc_s")
                known = float(used_utc_s) if isinstance(used_utc_s, int | float) else None
                self._entries[name] = CacheEntry(load_record(record, Verdict), known)
            except (UnreadableRecord, AttributeError):
                yield Persist("cache", name, None)

    def find_valid(self, token: Token, now: Moment) -> Verdict | None:
        """Return the verdict of this token. An entry that was not used for too long is as good as
        gone, without trusted time too."""
        entry = self._entries.get(normalized_token(token.value)) if self.is_enabled else None
        return entry.verdict if entry is not None and not self._is_too_old(entry, now) else None

    def _is_too_old(self, entry: CacheEntry, now: Moment) -> bool:
        if not self._lifetime_s:
            return False
        return now.utc_s is None or entry.used_utc_s is None or now.utc_s - entry.used_utc_s > self._lifetime_s

    def mark_used(self, token: Token, now: Moment) -> Iterator[Persist]:
        """Restart the lifetime of this token's entry."""
        entry = self._entries.get(normalized_token(token.value)) if self.is_enabled else None
        if entry is not None and self._lifetime_s and now.utc_s is not None:
            entry.used_utc_s = now.utc_s
            yield Persist("cache", normalized_token(token.value), entry.to_record())

    def store_verdict(self, token: Token, verdict: Verdict, now: Moment) -> Iterator[Persist]:
        name = normalized_token(token.value)
        known = self._entries.get(name)
        self._cleared.pop(name, None)
        if not self.is_enabled:
            return
        if known is not None and known.verdict == verdict:
            yield from self.mark_used(token, now)
            return
        if known is None and len(self._entries) >= CACHE_MAX:
            yield self._evict_entry()
        self._entries[name] = CacheEntry(verdict, now.utc_s)
        yield Persist("cache", name, self._entries[name].to_record())

    def _evict_entry(self) -> Persist:
        """Remove an entry: first one that would have to be asked about anyway, then the oldest."""
        bad = (name for name, entry in self._entries.items() if not entry.verdict.is_accepted)
        name = next(bad, next(iter(self._entries)))
        del self._entries[name]
        return Persist("cache", name, None)

    def stored_verdict(self, token: Token) -> Verdict | None:
        """Return the verdict on disk, in use or not."""
        entry = self._entries.get(normalized_token(token.value))
        return entry.verdict if entry else None

    def clear_customer(self, token: Token) -> Iterator[Persist]:
        """Remove the entry of a customer whose data is cleared (OCPP 2.x N10)."""
        name = normalized_token(token.value)
        if self._entries.pop(name, None) is not None:
            yield Persist("cache", name, None)
        remember_newest(self._cleared, name, None, CACHE_MAX)

    def is_cleared(self, token: Token) -> bool:
        """Return whether the customer's data was cleared and the backend was not asked about the token since: the
        answers to messages that waited bring nothing back."""
        return normalized_token(token.value) in self._cleared

    def clear_all(self) -> Iterator[Persist]:
        for name in self._entries:
            yield Persist("cache", name, None)
        self._entries.clear()
