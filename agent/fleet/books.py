"""The books of one station: which energy its backend has acknowledged, and what its meters have counted.

They are made of the frames on the wire alone (OCPP 1.6 StartTransaction and StopTransaction, 2.x TransactionEvent),
so that they show what the backend knows, and not what the station believes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agent.model.fastclass import frozen, mutable

BILLED_ACTIONS = frozenset({"StartTransaction", "StopTransaction", "TransactionEvent"})
REGISTER = "Energy.Active.Import.Register"
"""The measurand of a sampled value that names none, too."""


@mutable
class BookedTransaction:
    """A transaction that the backend knows. None: it has no such register yet."""

    begin_wh: float | None = None
    end_wh: float | None = None
    ended: bool = False

    @property
    def energy_wh(self) -> float:
        return self.end_wh - self.begin_wh if self.end_wh is not None and self.begin_wh is not None else 0.0


@frozen
class StationBalance:
    """The books of a station against its meters, at the end of a run (Wh). ``waiting``: messages of transactions
    that have not been delivered; ``dead``: starts and ends that the backend has refused."""

    station: str
    transactions: int
    open_transactions: int
    billed_wh: float
    metered_wh: float
    waiting: int
    dead: int

    @property
    def difference_wh(self) -> float:
        return self.billed_wh - self.metered_wh

    @property
    def agrees(self) -> bool:
        """Whether everything that was drawn is billed once. A register is rounded down, so each transaction may be off
        by less than 1 Wh."""
        settled = not (self.open_transactions or self.waiting or self.dead)
        return settled and abs(self.difference_wh) <= self.transactions + 0.5

    def to_record(self) -> dict[str, Any]:
        names = ("station", "transactions", "open_transactions", "waiting", "dead", "agrees")
        energies = {name: round(getattr(self, name), 1) for name in ("billed_wh", "metered_wh", "difference_wh")}
        return {**{name: getattr(self, name) for name in names}, **energies}


class StationBooks:
    """Enters what the backend has answered. ``note_call`` comes before its answer. ``write``: gets each transaction
    that has changed, for a journal."""

    __slots__ = ("_asked", "_earlier_starts", "_write", "transactions")

    def __init__(self, write: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.transactions: dict[str, BookedTransaction] = {}
        self._write = write
        self._asked: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._earlier_starts: dict[str, str] = {}
        """The number that a killed process was given, by what its StartTransaction said."""

    def note_call(self, call_id: str, action: str, text: str) -> None:
        """Keep a CALL of ``BILLED_ACTIONS`` until it is answered. ``text``: its frame."""
        self._asked[call_id] = (action, json.loads(text)[3])

    def enter_answer(self, call_id: str, text: str) -> None:
        """Enter the CALL that this CALLRESULT acknowledges. Another frame changes nothing."""
        asked = self._asked.pop(call_id, None)
        if asked is None:
            return
        (action, payload), start = asked, ""
        if action == "TransactionEvent":
            number = payload["transactionInfo"]["transactionId"]
            self._enter_event(self._booked(number), payload)
        elif action == "StartTransaction":
            number, start = str(json.loads(text)[2].get("transactionId")), json.dumps(payload)
            self._forget_earlier_number(start)
            self._booked(number).begin_wh = payload["meterStart"]
        else:
            number = str(payload["transactionId"])
            booked = self._booked(number)
            booked.end_wh, booked.ended = payload["meterStop"], True
        if self._write is not None:
            one = self.transactions[number]
            record = {"number": number, "begin_wh": one.begin_wh, "end_wh": one.end_wh, "ended": one.ended}
            self._write({**record, "start": start} if start else record)

    def restore_record(self, record: Mapping[str, Any]) -> None:
        """Enter what a killed process has written."""
        number, start = record["number"], record.get("start")
        if start is not None:
            self._forget_earlier_number(start)
            self._earlier_starts[start] = number
        self.transactions[number] = BookedTransaction(record["begin_wh"], record["end_wh"], record["ended"])

    def _forget_earlier_number(self, start: str) -> None:
        """Forget the number of the same StartTransaction that a killed process has sent. It was killed before it had
        noted the answer: its start was sent again, and the backend gave another number. The first one has no end."""
        number = self._earlier_starts.pop(start, None)
        if number is not None and not self.transactions[number].ended:
            del self.transactions[number]

    def _booked(self, number: str) -> BookedTransaction:
        return self.transactions.setdefault(number, BookedTransaction())

    def drop_call(self, call_id: str) -> None:
        """Forget a CALL that was refused."""
        self._asked.pop(call_id, None)

    def _enter_event(self, booked: BookedTransaction, event: Mapping[str, Any]) -> None:
        for register_wh in _registers_of(event.get("meterValue", ())):
            booked.begin_wh = register_wh if booked.begin_wh is None else min(booked.begin_wh, register_wh)
            booked.end_wh = register_wh if booked.end_wh is None else max(booked.end_wh, register_wh)
        booked.ended = booked.ended or event["eventType"] == "Ended"

    def balance_against(self, station: str, metered_wh: float, waiting: int, dead: int) -> StationBalance:
        """Return the balance. ``metered_wh``: what the meters of the station have counted."""
        booked = self.transactions.values()
        open_count = sum(not one.ended for one in booked)
        billed_wh = sum(one.energy_wh for one in booked)
        return StationBalance(station, len(booked), open_count, billed_wh, metered_wh, waiting, dead)


def _registers_of(meter_values: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    """Yield the whole registers (Wh) of a TransactionEvent."""
    for value in (v for m in meter_values for v in m.get("sampledValue", ())):
        if value.get("measurand", REGISTER) == REGISTER and "phase" not in value:
            unit = value.get("unitOfMeasure", {})
            factor = 1000.0 if unit.get("unit", "Wh") == "kWh" else 1.0
            yield float(value["value"]) * factor * 10.0 ** unit.get("multiplier", 0)
