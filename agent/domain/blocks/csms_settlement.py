"""Who settles what a session of a bank card costs and who makes its receipt: the station, or the backend (OCPP 2.1 C21,
SettlementByCSMS and ReceiptByCSMS)."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import LinkChanged, Started
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.orders import LogNote
from agent.domain.payment import Payment
from agent.model.types import STATION, Moment

UNUSED_SETTINGS = {
    "csms_settles": (
        "csms_settles (SettlementByCSMS) is set, but the version that the backend speaks does not know it: the "
        "terminal charges"
    ),
    "csms_receipts": (
        "csms_receipts (ReceiptByCSMS) is set, but the version that the backend speaks does not know it: the "
        "station makes the receipts"
    ),
}
"""By setting, what the log says where it has no effect."""


def is_left_to_csms(site: StationState, p: Payment) -> bool:
    """Return whether the backend settles this payment. The setting outlives the version in which it was made: a backend
    that speaks another one now neither knows of it nor can take it back."""
    return site.settings.bool_value("csms_settles") and site.collaborators.can_csms_settle() and not p.satellite


def makes_receipts_elsewhere(site: StationState) -> bool:
    """Return whether a backend makes the receipts, and can be informed of what it is to make them of. Another version
    cannot bring them: the answer to its DataTransfer has no receipt."""
    is_left = site.settings.bool_value("csms_receipts") and site.collaborators.can_csms_settle()
    return is_left and bool(site.config.settlement_links)


class CsmsSettlement:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._noted: set[str] = set()

    @handles_events(Started, LinkChanged)
    def note_unused_setting(self, event: Started | LinkChanged, now: Moment) -> Iterator[Yielded]:
        """Write into the log, once, that a setting has no effect. A link that comes up may speak another version than
        before."""
        can_settle = self._site.collaborators.can_csms_settle()
        unused = {s for s in UNUSED_SETTINGS if self._site.settings.bool_value(s) and not can_settle}
        for setting in sorted(unused - self._noted):
            yield LogNote(STATION, UNUSED_SETTINGS[setting], "payment")
        self._noted = unused
