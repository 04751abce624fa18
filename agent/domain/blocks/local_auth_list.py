"""Keep the local authorization list (OCPP 1.6 3.5.2, 5.10, 5.15; 2.x block D): an update is taken
whole or not at all.

An update is one event, so all its records are one durable transaction: after a crash either the old
list or the new one is there. Only differences are written. ``blocks/authorization.py`` decides when
the list is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain.events import Started
from agent.domain.evse import StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events
from agent.domain.local_auth_list import normalized_token
from agent.domain.orders import Persist
from agent.domain.requests import LocalListVersionRequest, SendLocalListRequest
from agent.model.types import AuthorizationStatus, Moment, Verdict

KIND, ABOUT = "list", "list_version"


class LocalAuthListBlock:
    def __init__(self, site: StationState) -> None:
        self._site = site

    @handles_events(Started)
    def restore_local_list(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore the list. If entries were lost (a damaged file), the version becomes 0 and the
        backend sends the list again."""
        ours, about = self._site.local_list, event.remembered.get(ABOUT, {}).get("now", {})
        shared: dict[tuple[Any, ...], Verdict] = {}
        for name, record in event.remembered.get(KIND, {}).items():
            try:
                ours.entries[name] = _entry_from_record(record, shared)
            except (ValueError, TypeError):
                yield Persist(KIND, name, None)
        whole = about.get("entries") == len(ours.entries)
        version = about.get("version")
        ours.version = version if whole and isinstance(version, int) else 0

    @answers_requests(LocalListVersionRequest)
    def answer_get_local_list_version(
        self, request: LocalListVersionRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        on = self._site.settings.bool_value("local_list_enabled")
        data = {"version": self._site.local_list.version if on else 0}
        yield reply("Accepted" if on else "NotSupported", data)

    @answers_requests(SendLocalListRequest)
    def answer_send_local_list(self, request: SendLocalListRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        ours = self._site.local_list
        new = {normalized_token(value): verdict for value, verdict in request.entries}
        refusal = self._update_refusal(request, new)
        if refusal:
            yield reply(refusal)
            return
        for name in [n for n in ours.entries if n not in new] if request.full else ():
            del ours.entries[name]
            yield Persist(KIND, name, None)
        for name, verdict in new.items():
            yield from self._put_list_entry(name, verdict)
        ours.version = request.version if new or not request.full else 0
        yield Persist(ABOUT, "now", {"version": ours.version, "entries": len(ours.entries)})
        yield reply("Accepted")

    def _put_list_entry(self, name: str, verdict: Verdict | None) -> Iterator[Yielded]:
        entries = self._site.local_list.entries
        if entries.get(name) == verdict:
            return
        if verdict is None:
            del entries[name]
            yield Persist(KIND, name, None)
        else:
            entries[name] = verdict
            yield Persist(KIND, name, _entry_to_record(verdict))

    def _update_refusal(self, request: SendLocalListRequest, new: Mapping[str, Verdict | None]) -> str:
        """Return why this update is refused; "" if it is taken. A full list has a status for every
        token; tokens are unique; versions begin with 1, and a differential update is newer than the
        present list."""
        settings, ours = self._site.settings, self._site.local_list
        if not settings.bool_value("local_list_enabled"):
            return "NotSupported"
        if not request.full and request.version <= ours.version:
            return "VersionMismatch"
        unworded = request.full and None in new.values()
        unversioned = request.version < 1 and (bool(new) or not request.full)
        if unworded or unversioned or len(new) < len(request.entries) or not self._site.store_ok:
            return "Failed"
        gone = {n for n, v in new.items() if v is None}
        after = len((set() if request.full else ours.entries.keys()) | new.keys()) - len(gone)
        too_many = after > settings.int_value("list_max_entries")
        return "Failed" if too_many or len(new) > settings.int_value("list_max_items") else ""


def _entry_to_record(verdict: Verdict) -> dict[str, Any]:
    """Return a short record, since there may be thousands."""
    record: dict[str, Any] = {"status": verdict.status.value}
    if verdict.group is not None:
        record["group"] = verdict.group
    if verdict.expires_utc_s is not None:
        record["expires_utc_s"] = verdict.expires_utc_s
    if verdict.evses:
        record["evses"] = list(verdict.evses)
    return record


def _entry_from_record(record: Mapping[str, Any], shared: dict[tuple[Any, ...], Verdict]) -> Verdict:
    """Read an entry. Equal verdicts share one object: most entries of a list are equal. Raises
    ``ValueError``, ``TypeError``."""
    status, group, expires = record.get("status"), record.get("group"), record.get("expires_utc_s")
    evses = tuple(int(number) for number in record.get("evses", ()))
    known = shared.get((status, group, expires, evses))
    if known is None:
        if not isinstance(group, str | None) or not isinstance(expires, int | float | None):
            raise TypeError("no entry of a list")
        known = Verdict(AuthorizationStatus(str(status)), group, expires, evses)
        shared[status, group, expires, evses] = known
    return known
