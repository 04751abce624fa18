"""Keep cables locked that the backend wants kept after the vehicle has left (OCPP 1.6
UnlockConnectorOnEVSideDisconnect false; 2.x E09.FR.03). The card that began the session, or one of
its group, frees the cable (``authorization.py`` decides that). It is stored with the end of the
session: a driver must not lose the cable because the agent was killed."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.blocks.cable_lock import KEEPING, CableLock
from agent.domain.events import (
    BoardOpened,
    CableClaimed,
    CableRemoved,
    SessionClosed,
    SessionOpened,
    SettingChanged,
    Started,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.kept_cable import KeptCable
from agent.domain.orders import Persist
from agent.domain.serialization import UnreadableRecord
from agent.model.types import Moment


class KeptCables:
    """Runs before the cable lock, which holds the kept cables."""

    def __init__(self, site: StationState, lock: CableLock) -> None:
        self._site, self._lock = site, lock

    @handles_events(SessionClosed)
    def keep_cable_after_session(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if event.token is not None and evse.board.known and self._lock.waits_for_driver_card(evse, event):
            evse.kept = KeptCable(event.token, event.group)
            yield Persist("kept_cable", str(evse.number), evse.kept.to_record())

    @handles_events(Started)
    def restore_kept_cables(self, event: Started, now: Moment) -> Iterator[Yielded]:
        known = {str(number): evse for number, evse in self._site.evses.items()}
        for key, record in event.remembered.get("kept_cable", {}).items():
            try:
                known[key].kept = KeptCable.from_record(record)
            except (UnreadableRecord, KeyError):
                yield Persist("kept_cable", key, None)

    @handles_events(CableClaimed)
    def free_claimed_cable(self, event: CableClaimed, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        yield from self._forget_kept_cable(evse)
        yield from self._lock.free_cable_until_unlocked(evse, now)

    @handles_events(SettingChanged)
    def free_cables_on_setting(self, event: SettingChanged, now: Moment) -> Iterator[Yielded]:
        if event.name == KEEPING and self._site.settings.bool_value(KEEPING):
            yield from (CableClaimed(evse.number) for evse in self._site.evses.values() if evse.holds_only_kept_cable)

    @handles_events(CableRemoved, SessionOpened)
    def forget_removed_cable(self, event: CableRemoved | SessionOpened, now: Moment) -> Iterator[Yielded]:
        yield from self._forget_kept_cable(self._site.evses[event.evse])

    @handles_events(BoardOpened)
    def forget_missing_cable(self, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if not evse.board.cable_plugged:
            yield from self._forget_kept_cable(evse)

    def _forget_kept_cable(self, evse: EvseRecord) -> Iterator[Yielded]:
        if evse.kept is not None:
            evse.kept = None
            yield Persist("kept_cable", str(evse.number), None)
