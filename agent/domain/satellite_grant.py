"""What a satellite keeps of a payment of its master (decision 73): a grant in memory, from the begin of its session on
the disk, until the master has said what has become of the money."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.domain.serialization import dump_record, load_record
from agent.domain.session_usage import Usage, parse_unsigned
from agent.domain.tariff import Tariff
from agent.model.fastclass import mutable
from agent.model.types import DirectPayment, EvseId, SignedReading, Stamp, Token, TokenType

if TYPE_CHECKING:
    from agent.domain.satellite_messages import Grant, SupplyReport

KIND = "grant"
"""Kind of the facts, by the payment."""
LATEST_UTC_S = 1 << 32
"""In the year 2106. No clock shows a later time, and a receipt could not be written with many of them."""


@mutable
class SatelliteGrant:
    """``at``, ``utc_s``: when it came; ``left_s``: how long after that its session ends. ``usage``: what the session
    has used. ``is_confirmed``: the master has the session in its journal. ``supply``: what was supplied, when it has
    ended. ``reported``: what the backends know of the money; "": nothing.

    Of this process only: ``wait_s``: how long the authorization waits for a vehicle; ``is_accepted``: it was given;
    ``stored_s``: when the usage was stored last."""

    payment: str
    evse: EvseId
    token: Token
    tariff: Tariff
    held_cents: int
    reserve_s: float
    left_s: float
    details: DirectPayment
    at: Stamp
    utc_s: float | None = None
    session: str = ""
    usage: Usage | None = None
    is_confirmed: bool = False
    supply: SupplyReport | None = None
    wait_s: float = 0.0
    is_accepted: bool = False
    stored_s: float = 0.0
    reported: str = ""

    @classmethod
    def from_message(cls, grant: Grant, at: Stamp, utc_s: float | None) -> SatelliteGrant:
        token = Token(grant.token, TokenType.DIRECT_PAYMENT)
        return cls(
            grant.payment, grant.evse, token, grant.tariff, grant.held_cents, grant.reserve_s, grant.left_s,
            grant.details, at, utc_s, wait_s=grant.wait_s,
        )  # fmt: skip

    @property
    def is_running(self) -> bool:
        """Its session has begun and not ended."""
        return bool(self.session) and self.supply is None

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist("grant", payment, ...)``."""
        return {
            "evse": self.evse,
            "token": dump_record(self.token),
            "tariff": self.tariff.to_record(),
            "held_cents": self.held_cents,
            "reserve_s": self.reserve_s,
            "left_s": self.left_s,
            "details": dump_record(self.details),
            "at": dump_record(self.at),
            "utc_s": self.utc_s,
            "session": self.session,
            "usage": self.usage.to_record() if self.usage else None,
            "confirmed": self.is_confirmed,
            "supply": supply_to_record(self.supply) if self.supply else None,
            "reported": self.reported,
        }

    @classmethod
    def from_record(cls, key: str, r: Mapping[str, Any]) -> SatelliteGrant:
        """Read back what ``to_record`` made. Raises ``UnreadableRecord``, ``KeyError``, ``TypeError``, ``ValueError``,
        ``OverflowError``."""
        return cls(
            key,
            int(r["evse"]),
            load_record(r["token"], Token),
            Tariff.from_record(r["tariff"]),
            int(r["held_cents"]),
            float(r["reserve_s"]),
            float(r["left_s"]),
            load_record(r["details"], DirectPayment),
            load_record(r["at"], Stamp),
            None if r["utc_s"] is None else float(r["utc_s"]),
            str(r["session"]),
            Usage.from_record(r["usage"]) if r["usage"] else None,
            bool(r["confirmed"]),
            supply_from_record(r["supply"]) if r["supply"] else None,
            is_accepted=True,
            reported=str(r.get("reported", "")),
        )


class GrantBook:
    """All grants that are not forgotten, by their payment."""

    def __init__(self) -> None:
        self.grants: dict[str, SatelliteGrant] = {}

    def grant_of_token(self, token: Token) -> SatelliteGrant | None:
        """Return the grant whose payment this token stands for."""
        return next((g for g in self.grants.values() if token.matches_token(g.token)), None)

    def grant_of_session(self, session: str) -> SatelliteGrant | None:
        """Return the grant of a session that has not ended."""
        return next((g for g in self.grants.values() if g.session == session and g.supply is None), None)

    def unused_grants(self) -> list[SatelliteGrant]:
        """Return the grants with which no session has begun."""
        return [g for g in self.grants.values() if not g.session]


def supply_to_record(supply: SupplyReport) -> dict[str, Any]:
    """Return it as JSON, for the store and for the wire."""
    return {
        "begin_wh": supply.begin_wh,
        "end_wh": supply.end_wh,
        "began_utc_s": supply.began_utc_s,
        "ended_utc_s": supply.ended_utc_s,
        "signed": dump_record(supply.signed) if supply.signed else None,
    }


def supply_from_record(r: Mapping[str, Any]) -> SupplyReport:
    """Read back what ``supply_to_record`` made. Raises as ``SatelliteGrant.from_record``."""
    from agent.domain.satellite_messages import SupplyReport

    return SupplyReport(
        parse_unsigned(r["begin_wh"]),
        parse_unsigned(r["end_wh"]),
        _plausible_utc(r["began_utc_s"]),
        _plausible_utc(r["ended_utc_s"]),
        load_record(r["signed"], SignedReading) if r["signed"] else None,
    )


def _plausible_utc(value: object) -> float | None:
    """Return the time; None: no clock shows this one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < LATEST_UTC_S else None
