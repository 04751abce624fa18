"""A driver's right to charge here: given, and waiting (``Authorization``); with a vehicle, and on
disk (``Session``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.domain.charging.profiles import Profile
from agent.domain.messages import Sample, StopReason
from agent.domain.serialization import dump_record, load_record
from agent.domain.stop_reason import PendingStop
from agent.model.fastclass import frozen, mutable
from agent.model.string_enum import StrEnum
from agent.model.types import DirectPayment, EvseId, Judge, SignedReading, Stamp, Token, Verdict

if TYPE_CHECKING:  # of stations that sell without a contract
    from agent.domain.ocmf import OcmfBill
    from agent.domain.tariff import Tariff

REFUSAL_WH = 500
"""What a vehicle may get until the answer to its start refuses the token: 22 kW for 80 s."""


@mutable
class Authorization:
    """A driver's right to charge here, before a session exists."""

    token: Token
    verdict: Verdict | None = None
    remote_id: str = ""
    offline: bool = False
    movable_by_cable: bool = False
    movable_by_badge: bool = False
    until_s: float = 0.0
    profile: Profile | None = None
    reservation: str = ""
    wait_s: float | None = None
    """For a vehicle, if not as long as others."""
    tariff: Tariff | None = None
    """What was agreed with a driver who pays without a contract."""
    payment: DirectPayment | None = None
    """The payment that the token stands for."""
    judged_by: Judge = Judge.UNJUDGED
    web: bool = False
    """The remote start that an outlet was kept for: its driver has paid at a web page."""
    needs_confirmation: bool = False
    """Its session gets no energy before the payment master has confirmed it."""

    @property
    def is_refused(self) -> bool:
        """The backend has refused the token since it was accepted, and its session may begin all the same
        (StopTxOnInvalidId false)."""
        return self.verdict is not None and not self.verdict.is_accepted


class EnergyHolder(StrEnum):
    """What withholds energy from a session that stays open."""

    TOKEN = "token"
    CEILING = "ceiling"
    LIMIT = "limit"
    MASTER = "master"
    """The payment master has not confirmed the session yet."""


@mutable
class Session:
    """A right and a vehicle: energy. ``last_wh`` is the newest register that is on disk or better.
    ``reported`` False: its transaction begins later (decision 9). ``spent``: its vehicle is full
    and the tariff asks for the place."""

    id: str
    evse: EvseId
    token: Token
    started: Stamp
    start_wh: int
    last_wh: int
    plugged_at: Stamp
    alive_at: Stamp
    group: str | None = None
    remote_id: str = ""
    offline: bool = False
    held: bool = False
    withheld_by: frozenset[EnergyHolder] = frozenset()
    """What withholds energy from a session that is ``held``, as far as it is known."""
    until_wh: int | None = None
    """Register at which a session whose token turned out bad is held (MaxEnergyOnInvalidId)."""
    stop: PendingStop | None = None
    samples: tuple[Sample, ...] = ()
    profile: Profile | None = None
    """Brought by a remote start, until blocks/smart_charging.py has installed it (in the transaction of the begin)."""
    reservation: str = ""
    reported: bool = True
    signing: str = ""
    """What the meter's own, signed transaction is called; "" where it signs none."""
    spent: bool = False
    web: bool = False
    """Paid at a web page: there is no card."""
    judged_by: Judge = Judge.UNJUDGED
    price: str = ""
    """What was agreed with a driver who pays without a contract, in the words of signed records."""
    payment: DirectPayment | None = None
    """The payment that the token stands for, until a transaction has named it (a late one begins with energy)."""
    tariff: Tariff | None = None
    """What was presented to a driver who pays at a web page."""

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist("session", id, ...)``."""
        return {
            "evse": self.evse,
            "token": dump_record(self.token),
            "started": dump_record(self.started),
            "start_wh": self.start_wh,
            "last_wh": self.last_wh,
            "plugged_at": dump_record(self.plugged_at),
            "alive_at": dump_record(self.alive_at),
            "group": self.group,
            "remote_id": self.remote_id,
            "offline": self.offline,
            "held": self.held,
            "until_wh": self.until_wh,
            "stop": self.stop.to_record() if self.stop else None,
            "samples": dump_record(self.samples),
            "reservation": self.reservation,
            "told": self.reported,
            "signing": self.signing,
            "spent": self.spent,
            "web": self.web,
            "judged_by": self.judged_by.value,
            "price": self.price,
            **({"withheld_by": sorted(self.withheld_by)} if self.withheld_by else {}),
            **({"payment": dump_record(self.payment)} if self.payment else {}),
            **({"tariff": self.tariff.to_record()} if self.tariff else {}),
        }

    @classmethod
    def from_record(cls, key: str, r: Mapping[str, Any]) -> Session:
        """Read back what ``to_record`` made. Raises ``UnreadableRecord``, ``KeyError``, ``TypeError``, ``ValueError``,
        ``OverflowError``."""
        return cls(
            id=key,
            evse=int(r["evse"]),
            token=load_record(r["token"], Token),
            started=load_record(r["started"], Stamp),
            start_wh=int(r["start_wh"]),
            last_wh=int(r["last_wh"]),
            plugged_at=load_record(r["plugged_at"], Stamp),
            alive_at=load_record(r["alive_at"], Stamp),
            group=None if r["group"] is None else str(r["group"]),
            remote_id=str(r["remote_id"]),
            offline=bool(r["offline"]),
            held=bool(r.get("held", False)),
            withheld_by=frozenset(EnergyHolder(name) for name in r.get("withheld_by", ())),
            until_wh=None if r.get("until_wh") is None else int(r["until_wh"]),
            stop=PendingStop.from_record(r["stop"]) if r["stop"] else None,
            samples=tuple(load_record(x, Sample) for x in r["samples"]),
            reservation=str(r.get("reservation", "")),
            reported=bool(r.get("told", True)),
            signing=str(r.get("signing", "")),
            spent=bool(r.get("spent", False)),
            web=bool(r.get("web", False)),
            judged_by=Judge(r.get("judged_by", "")),
            price=str(r.get("price", "")),
            payment=load_record(r["payment"], DirectPayment) if r.get("payment") else None,
            tariff=_read_tariff(r["tariff"]) if r.get("tariff") else None,
        )


def _read_tariff(r: Mapping[str, Any]) -> Tariff | None:
    """Read what only an estimate on the screen needs: a session goes on without it."""
    from agent.domain.tariff import Tariff

    try:
        return Tariff.from_record(r)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None


@frozen
class EndedSession:
    """The latest session of an outlet, as its end was reported to the backends: ``energy_wh`` is
    what is billed."""

    id: str
    token: Token
    started: Stamp
    ended: Stamp
    energy_wh: int
    reason: str
    start_wh: int = 0
    signed: SignedReading | None = None
    """What the meter has signed at the end."""
    to_sign: OcmfBill | None = None
    """What the station signs of the session."""
    group: str | None = None
    """Of its token, as far as it was known."""

    @property
    def has_charged(self) -> bool:
        """Its vehicle has had energy: more than until a backend has refused the token, whose driver tries again."""
        return self.energy_wh > (REFUSAL_WH if self.reason == StopReason.DEAUTHORIZED else 0)
