"""Who settles what a session of a bank card costs: the terminal, or the backend (OCPP 2.1 C21, SettlementByCSMS)."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import LinkChanged, Started
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.orders import LogNote
from agent.domain.payment import Payment
from agent.model.types import STATION, Moment

UNUSED_SETTING = (
    "csms_settles (SettlementByCSMS) is set, but the version that the backend speaks does not know it: the terminal "
    "charges"
)


def is_left_to_csms(site: StationState, p: Payment) -> bool:
    """Return whether the backend settles this payment. The setting outlives the version in which it was made: a backend
    that speaks another one now neither knows of it nor can take it back."""
    return site.settings.bool_value("csms_settles") and site.collaborators.can_csms_settle() and not p.satellite


class CsmsSettlement:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._is_noted = False

    @handles_events(Started, LinkChanged)
    def note_unused_setting(self, event: Started | LinkChanged, now: Moment) -> Iterator[Yielded]:
        """Write into the log, once, that the setting has no effect. A link that comes up may speak another version than
        before."""
        is_unused = self._site.settings.bool_value("csms_settles") and not self._site.collaborators.can_csms_settle()
        if is_unused and not self._is_noted:
            yield LogNote(STATION, UNUSED_SETTING, "payment")
        self._is_noted = is_unused
