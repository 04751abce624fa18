"""Transactions that are more than their session (decision 9), and the points where they begin and end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.messages import Sample, TransactionCost
from agent.domain.ocmf import OcmfBill
from agent.domain.serialization import dump_record, load_record
from agent.domain.stop_reason import PendingStop
from agent.model.fastclass import mutable
from agent.model.string_enum import StrEnum
from agent.model.types import EvseId, Reading, SignedReading, Stamp, Token


class TxPoint(StrEnum):
    """TxStartStopPointEnumType of OCPP 2.x (those that can occur here)."""

    BAY = "ParkingBayOccupancy"
    EV_CONNECTED = "EVConnected"
    AUTHORIZED = "Authorized"
    DATA_SIGNED = "DataSigned"
    POWER_PATH = "PowerPathClosed"
    ENERGY = "EnergyTransfer"


@mutable
class Transaction:
    """An open transaction that began before its session, or outlives it. ``placed`` False: the EVSE
    is not chosen yet, the registers say nothing. ``token`` None: no driver is authorized yet.
    ``stop``: the right has ended, and how."""

    id: str
    evse: EvseId
    started: Stamp
    start_wh: int
    last_wh: int
    alive_at: Stamp
    plugged_at: Stamp | None = None
    placed: bool = True
    token: Token | None = None
    stop: PendingStop | None = None
    samples: tuple[Sample, ...] = ()
    reading: Reading | None = None
    signed: SignedReading | None = None
    """What the meter said, and what it signed, when the session of a transaction that outlives it ended."""
    cost: TransactionCost | None = None
    """What that session costs, if it is this station that computes it."""
    to_sign: OcmfBill | None = None
    """The bill of that session where the station signs it. In memory only: the disk has the record, as ``signed``."""

    @property
    def last_reading(self) -> Reading | None:
        """Of the register that is billed; None once that has moved on (a contactor that is stuck)."""
        return self.reading if self.reading is not None and self.reading.energy_wh >= self.last_wh else None

    @property
    def waits_for_authorization(self) -> bool:
        """For a first right."""
        return self.token is None and self.stop is None

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist("tx", id, ...)``."""
        return {
            "evse": self.evse,
            "started": dump_record(self.started),
            "start_wh": self.start_wh,
            "last_wh": self.last_wh,
            "alive_at": dump_record(self.alive_at),
            "plugged_at": dump_record(self.plugged_at),
            "placed": self.placed,
            "token": dump_record(self.token),
            "stop": self.stop.to_record() if self.stop else None,
            "samples": dump_record(self.samples),
            "reading": dump_record(self.reading),
            "signed": dump_record(self.signed),
            **({"cost": dump_record(self.cost)} if self.cost else {}),
        }

    @classmethod
    def from_record(cls, key: str, r: Mapping[str, Any]) -> Transaction:
        """Read back what ``to_record`` made. Raises ``UnreadableRecord``, ``KeyError``, ``TypeError``, ``ValueError``,
        ``OverflowError``."""
        return cls(
            id=key,
            evse=int(r["evse"]),
            started=load_record(r["started"], Stamp),
            start_wh=int(r["start_wh"]),
            last_wh=int(r["last_wh"]),
            alive_at=load_record(r["alive_at"], Stamp),
            plugged_at=load_record(r["plugged_at"], Stamp) if r["plugged_at"] else None,
            placed=bool(r["placed"]),
            token=load_record(r["token"], Token) if r["token"] else None,
            stop=PendingStop.from_record(r["stop"]) if r["stop"] else None,
            samples=tuple(load_record(x, Sample) for x in r["samples"]),
            reading=load_record(r["reading"], Reading) if r.get("reading") else None,
            signed=load_record(r["signed"], SignedReading) if r.get("signed") else None,
            cost=load_record(r["cost"], TransactionCost) if r.get("cost") else None,
        )
