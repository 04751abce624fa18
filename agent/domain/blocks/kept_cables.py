"""Cables that the backend wants kept after the car has left (OCPP 1.6 UnlockConnectorOnEVSideDisconnect false; 2.x
E09.FR.03): the card that began the session, or one of its group, frees it (``authorisation.py`` judges that). It is on
disk with the close of the session, for a driver does not lose the cable because the agent was killed."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.blocks.cable_lock import KEEPING, Lock
from agent.domain.events import (
    BoardOpened,
    CableClaimed,
    CableRemoved,
    SessionClosed,
    SessionOpened,
    SettingChanged,
    Started,
)
from agent.domain.evse import Evse, Site
from agent.domain.functional_block import Yielded, on
from agent.domain.kept_cable import KeptCable
from agent.domain.orders import Remember
from agent.domain.serialization import Poisoned
from agent.model.types import Moment


class KeptCables:
    """Before the lock, which holds what is kept."""

    def __init__(self, site: Site, lock: Lock) -> None:
        self._site, self._lock = site, lock

    @on(SessionClosed)
    def closed(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if event.token is not None and evse.known and self._lock.stays(evse, event):
            evse.kept = KeptCable(event.token, event.group)
            yield Remember("kept_cable", str(evse.number), evse.kept.record())

    @on(Started)
    def started(self, event: Started, now: Moment) -> Iterator[Yielded]:
        known = {str(number): evse for number, evse in self._site.evses.items()}
        for key, record in event.remembered.get("kept_cable", {}).items():
            try:
                known[key].kept = KeptCable.of(record)
            except (Poisoned, KeyError):
                yield Remember("kept_cable", key, None)

    @on(CableClaimed)
    def claimed(self, event: CableClaimed, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        yield from self._drop(evse)
        yield from self._lock.let_go(evse, now)

    @on(SettingChanged)
    def setting(self, event: SettingChanged, now: Moment) -> Iterator[Yielded]:
        if event.name == KEEPING and self._site.settings.flag(KEEPING):
            yield from (CableClaimed(evse.number) for evse in self._site.evses.values() if evse.trapped)

    @on(CableRemoved, SessionOpened)
    def removed(self, event: CableRemoved | SessionOpened, now: Moment) -> Iterator[Yielded]:
        yield from self._drop(self._site.evses[event.evse])

    @on(BoardOpened)
    def opened(self, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if not evse.cable:
            yield from self._drop(evse)

    def _drop(self, evse: Evse) -> Iterator[Yielded]:
        if evse.kept is not None:
            evse.kept = None
            yield Remember("kept_cable", str(evse.number), None)
