"""Reservations, and what follows from them: whom is an outlet kept for? (OCPP 1.6 3.13, 5.13; 2.x block H)

A reservation of one EVSE keeps that one. One without EVSE keeps none in particular: as long as more
outlets are free than are wanted any driver may take one, then each of them is kept for those who
have reserved (2.x: of the connector type that they want).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent.domain.serialization import dump_record, load_record
from agent.model.fastclass import frozen
from agent.model.types import EvseId, Stamp, Token

if TYPE_CHECKING:
    from agent.domain.evse import EvseRecord, StationState


@frozen
class Reservation:
    """``id``: link and the backend's number. ``evse`` 0: any, of this ``connector`` type ("": any). ``at``, ``left_s``:
    when it was made, and how long it was to last then: the bound where UTC is not known."""

    id: str
    evse: EvseId
    token: Token
    expires_utc_s: float
    at: Stamp
    left_s: float
    group: str | None = None
    connector: str = ""

    @property
    def link_name(self) -> str:
        return self.id.rpartition("/")[0]

    def is_for(self, token: Token | None, group: str | None) -> bool:
        own = token is not None and token.matches_token(self.token)
        return own or (self.group is not None and group is not None and self.group.casefold() == group.casefold())

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist("reservation", id, ...)``."""
        return {
            "evse": self.evse,
            "token": dump_record(self.token),
            "expires_utc_s": self.expires_utc_s,
            "at": dump_record(self.at),
            "left_s": self.left_s,
            "group": self.group,
            "connector": self.connector,
        }

    @classmethod
    def from_record(cls, key: str, r: Mapping[str, Any]) -> Reservation:
        """Read back what ``to_record`` made. Raises ``UnreadableRecord``, ``KeyError``, ``TypeError``, ``ValueError``,
        ``OverflowError``."""
        group = r.get("group")
        return cls(
            id=key,
            evse=int(r["evse"]),
            token=load_record(r["token"], Token),
            expires_utc_s=float(r["expires_utc_s"]),
            at=load_record(r["at"], Stamp),
            left_s=float(r["left_s"]),
            group=None if group is None else str(group),
            connector=str(r.get("connector", "")),
        )


def count_served_wishes(free: Sequence[str], wanted: Sequence[str]) -> int:
    """Return how many of these wishes ("": any connector) these free connectors can fulfil."""
    have, want = Counter(free), Counter(w for w in wanted if w)
    typed = sum(min(have[kind], count) for kind, count in want.items())
    return typed + min(len(wanted) - want.total(), len(free) - typed)


def evses_without_reservation(site: StationState, but: EvseRecord | None = None) -> list[EvseRecord]:
    """Return the EVSEs where a driver without a reservation of that EVSE could begin. ``but``: this
    one counts, whatever it is."""
    kept = {r.evse for r in site.reservations.values()}
    return [
        e for e in site.evses.values() if e is but or (e.is_vacant and site.is_in_order(e) and e.number not in kept)
    ]


def unclaimed_reservations(site: StationState, leaving: EvseRecord | None = None) -> list[Reservation]:
    """Return the reservations whose driver has not come yet; the one whose authorization waits at
    ``leaving`` counts among them."""
    taken = {e.authorization.reservation for e in site.evses.values() if e.authorization and e is not leaving}
    return [r for r in site.reservations.values() if r.id not in taken]


def claim_reservation(
    site: StationState,
    evse: EvseRecord,
    token: Token | None,
    group: str | None = None,
    leaving: EvseRecord | None = None,
) -> str | None:
    """Return which reservation this token (of that group) would use here; "": it needs none; None:
    this outlet is reserved for another driver. ``leaving``: an authorization that waits at this
    other outlet is the one that would move here."""
    if not site.reservations:
        return ""
    unused = unclaimed_reservations(site, leaving)
    own = [r for r in unused if r.is_for(token, group)]
    if any(r.evse == evse.number for r in unused):
        return next((r.id for r in own if r.evse == evse.number), None)
    fitting = [r for r in own if not r.evse and r.connector in ("", evse.connector_type)]
    mine = max(fitting, key=lambda r: r.connector, default=None)
    pool = [r for r in unused if not r.evse]
    here = {id(e): e for e in (*evses_without_reservation(site, evse), *((leaving,) if leaving else ()))}.values()
    possible = count_served_wishes([e.connector_type for e in here], [r.connector for r in pool])
    left = count_served_wishes(
        [e.connector_type for e in here if e is not evse], [r.connector for r in pool if r is not mine]
    )
    if left < possible - (mine is not None):
        return None
    return mine.id if mine else ""


def is_reserved(site: StationState, evse: EvseRecord) -> bool:
    """Return whether this outlet is reserved. It stays so until the driver it is reserved for has
    begun."""
    if not site.reservations:
        return False
    if any(r.evse == evse.number for r in site.reservations.values()) or (
        evse.authorization and evse.authorization.reservation
    ):
        return True
    return evse.accepts_authorization and claim_reservation(site, evse, None) is None
