"""The ledger of the test central system: the bills, reports and violations of its stations.

Facts are plain values in base units (Wh), independent of the OCPP version. Each fact is one JSON line of the journal. A
ledger that is restored from its journal returns the same transaction ids again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO, TypeAlias

FIRST_TRANSACTION_ID = 1001
CLOCK_SET_S = 10.0
"""After a restart a station may report the same instant with a difference below this."""
TransactionId: TypeAlias = int | str
"""A number of this central system, or the id of the station, by version."""


@dataclass(slots=True)
class Transaction:
    """One bill. Registers are in Wh, instants as the station wrote them.

    ``repeats``: number of permitted retransmissions. ``unmeasured``: it began without a register; the first one that is
    received is its begin. ``next_no``: number of the next message, in a version with numbers. ``goes_on_as``: it was
    reported again under this id, in another version of OCPP; it does not end under its own id.
    """

    transaction_id: TransactionId
    station: str
    connector: int
    id_tag: str
    meter_start_wh: int
    started: str
    meter_stop_wh: int | None = None
    stopped: str | None = None
    reason: str | None = None
    last_wh: int = 0
    last_at: str = ""
    readings: int = 0
    repeats: int = 0
    unmeasured: bool = False
    next_no: int = 0
    goes_on_as: TransactionId | None = None

    @property
    def energy_wh(self) -> int | None:
        return None if self.meter_stop_wh is None else self.meter_stop_wh - self.meter_start_wh

    def measured_first(self, energy_wh: int) -> None:
        if self.unmeasured:
            self.unmeasured, self.meter_start_wh = False, energy_wh

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "energy_wh": self.energy_wh}


@dataclass(slots=True)
class Violation:
    """Something that a station must not do. ``kind`` is stable and short: schema, register, order, overlap, orphan,
    doubled, timestamp, garbage, subprotocol."""

    t: float
    station: str
    kind: str
    text: str
    transaction_id: TransactionId | None = None


@dataclass(slots=True)
class StationRecord:
    """One station.

    ``statuses``: the last StatusNotification per connector (per EVSE in 2.x). ``calls``: how often each action came.
    ``version``: of OCPP on the latest connection. ``reports``: the entries by request.
    """

    id: str
    version: str = ""
    boots: int = 0
    boot: dict[str, Any] = field(default_factory=dict)
    statuses: dict[int, dict[str, Any]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    registers: dict[int, tuple[str, int]] = field(default_factory=dict)
    reports: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    clock: tuple[float, float] = (0.0, 0.0)
    """The station's time (UTC) in its last status, and when that was received."""


class Ledger:
    """All bills of all stations. ``journal`` gets one JSON line per fact, flushed at once."""

    def __init__(self, journal: TextIO | None = None, clock: Callable[[], float] = time.time) -> None:
        self._journal = journal
        self._clock = clock
        self._restoring = False
        self.first_id = FIRST_TRANSACTION_ID
        self.on_violation: Callable[[Violation], None] = lambda violation: None
        self._ids: dict[tuple[Any, ...], TransactionId] = {}
        self.stations: dict[str, StationRecord] = {}
        self.transactions: dict[TransactionId, Transaction] = {}
        self.violations: list[Violation] = []

    def station_record(self, station: str) -> StationRecord:
        return self.stations.setdefault(station, StationRecord(station))

    def count_call(self, station: str, action: str) -> None:
        calls = self.station_record(station).calls
        calls[action] = calls.get(action, 0) + 1

    def record_boot(self, station: str, payload: dict[str, Any]) -> None:
        record = self.station_record(station)
        record.boots += 1
        record.boot = payload
        self._write_fact("boot", station=station, payload=payload)

    def record_status(self, station: str, connector: int, payload: dict[str, Any]) -> None:
        self.station_record(station).statuses[connector] = payload
        if "timestamp" in payload:
            self.station_record(station).clock = (_utc_s(str(payload["timestamp"])), self._clock())
        self._write_fact("status", station=station, connector=connector, told=payload)

    def record_start(
        self, station: str, message_id: str, connector: int, id_tag: str, meter_start_wh: int | None, timestamp: str,
        given: str | None = None,
    ) -> TransactionId:  # fmt: skip
        """Record a start. Returns the transaction's id: ``given`` by the station, or the next number.

        A start that is sent twice (same message id, or same connector, register and instant) is one transaction: an
        answer may have been lost. A repetition has a message id of its own, and after a restart the station's clock may
        have been set a little.
        """
        numbered = given is None
        keys = (
            ("message", station, message_id, numbered),
            ("start", station, connector, meter_start_wh, timestamp, numbered),
        )
        known = next((self._ids[k] for k in keys if k in self._ids), None)
        if known is None and numbered:
            known = self._running_since(station, connector, id_tag, meter_start_wh, timestamp)
        if known is not None and given in (None, known):
            self.transactions[known].repeats += 1
            return known
        transaction_id = self._new_id() if given is None else given
        if transaction_id in self.transactions:
            self.record_violation(station, "doubled", f"transaction {transaction_id} is started again", transaction_id)
            return transaction_id
        self._ids.update(dict.fromkeys(keys, transaction_id))
        self._link_other_version(station, connector, transaction_id, meter_start_wh)
        self._check_overlap(station, connector, transaction_id)
        self.transactions[transaction_id] = Transaction(
            transaction_id, station, connector, id_tag, meter_start_wh or 0, timestamp,
            last_wh=meter_start_wh or 0, last_at=timestamp, unmeasured=meter_start_wh is None,
        )  # fmt: skip
        self._write_fact(
            "start", station=station, message_id=message_id, connector=connector, id_tag=id_tag, given=given,
            meter_start_wh=meter_start_wh, timestamp=timestamp, transaction_id=transaction_id,
        )  # fmt: skip
        if meter_start_wh is not None:
            self._record_register(station, connector, timestamp, meter_start_wh, transaction_id)
        return transaction_id

    def _running_since(
        self, station: str, connector: int, id_tag: str, meter_start_wh: int | None, timestamp: str
    ) -> TransactionId | None:
        """Return the running transaction that began like this one, but for a few seconds."""
        for t in self.running_transactions(station):
            alike = (t.connector, t.id_tag, t.meter_start_wh) == (connector, id_tag, meter_start_wh)
            if alike and isinstance(t.transaction_id, int) and abs(_utc_s(t.started) - _utc_s(timestamp)) < CLOCK_SET_S:
                return t.transaction_id
        return None

    def _new_id(self) -> int:
        numbers = [n for n in self.transactions if isinstance(n, int)]
        return max(numbers, default=self.first_id - 1) + 1

    def _link_other_version(
        self, station: str, connector: int, transaction_id: TransactionId, meter_start_wh: int | None
    ) -> None:
        """Link a start to the same start in another version of OCPP. Only one of the two will end."""
        for t in self.running_transactions(station):
            same = (t.connector, t.meter_start_wh) == (connector, meter_start_wh)
            if same and type(t.transaction_id) is not type(transaction_id):
                t.goes_on_as = transaction_id

    def _keep_ended_id(self, ended: Transaction) -> None:
        """Keep the id under which the transaction ended. The linked one never ends."""
        if ended.goes_on_as is not None:
            self.transactions[ended.goes_on_as].goes_on_as, ended.goes_on_as = ended.transaction_id, None

    def _check_overlap(self, station: str, connector: int, transaction_id: TransactionId) -> None:
        running = next((t for t in self.running_transactions(station) if t.connector == connector), None)
        if running:
            text = f"connector {connector}: started while transaction {running.transaction_id} runs"
            self.record_violation(station, "overlap", text, transaction_id)

    def check_sequence(self, station: str, transaction_id: TransactionId, number: int) -> bool:
        """Return whether a numbered message is new. The numbers start with 0 and have no gaps."""
        transaction = self.transactions.get(transaction_id)
        if transaction is None:
            if number:
                self.record_violation(
                    station, "order", f"transaction {transaction_id} begins with {number}", transaction_id
                )
            return True
        if number < transaction.next_no:
            transaction.repeats += 1
            return False
        if number > transaction.next_no:
            text = f"transaction {transaction_id}: {number} came, {transaction.next_no} is missing"
            self.record_violation(station, "order", text, transaction_id)
        return True

    def record_sequence(self, transaction_id: TransactionId, number: int) -> None:
        """Record that the message has been processed."""
        if transaction := self.transactions.get(transaction_id):
            transaction.next_no = number + 1
            self._write_fact("numbered", transaction_id=transaction_id, number=number)

    def record_id_tag(self, transaction_id: TransactionId, id_tag: str) -> None:
        """Record the token of a transaction that started without one."""
        transaction = self.transactions.get(transaction_id)
        if transaction and not transaction.id_tag:
            transaction.id_tag = id_tag
            self._write_fact("identify", transaction_id=transaction_id, id_tag=id_tag)

    def record_report(self, station: str, request: int, number: int, entries: list[dict[str, Any]]) -> None:
        """Record one part of a report of the station. The first part has number 0."""
        reports = self.station_record(station).reports
        if number == 0:
            reports[request] = []
        elif request not in reports:
            self.record_violation(station, "order", f"report {request}: part {number} without those before it")
        reports.setdefault(request, []).extend(entries)

    def record_stop(
        self, station: str, transaction_id: TransactionId, meter_stop_wh: int | None, timestamp: str,
        reason: str | None = None,
    ) -> Transaction | None:  # fmt: skip
        """Record a stop. Returns the transaction, or None if this station never started one with that id.

        Without a register the last one that was reported is its end.
        """
        transaction = self._transaction_of(station, transaction_id, "stopped")
        if transaction is None:
            return None
        meter_stop_wh = transaction.last_wh if meter_stop_wh is None else meter_stop_wh
        if transaction.stopped is not None:
            self._stopped_again(transaction, meter_stop_wh, timestamp)
            return transaction
        self._check_time_order(transaction, timestamp)
        self._keep_ended_id(transaction)
        transaction.measured_first(meter_stop_wh)
        transaction.meter_stop_wh, transaction.stopped, transaction.reason = meter_stop_wh, timestamp, reason
        self._write_fact(
            "stop", station=station, transaction_id=transaction_id, meter_stop_wh=meter_stop_wh,
            timestamp=timestamp, reason=reason, energy_wh=transaction.energy_wh,
        )  # fmt: skip
        self._record_register(station, transaction.connector, timestamp, meter_stop_wh, transaction_id)
        return transaction

    def record_meter_values(
        self, station: str, connector: int, transaction_id: TransactionId | None, readings: list[tuple[str, int]]
    ) -> None:
        """Record energy registers as (instant, Wh). ``transaction_id`` None: outside of any transaction."""
        transaction = None if transaction_id is None else self._transaction_of(station, transaction_id, "measured")
        self._write_fact(
            "meter", station=station, connector=connector, transaction_id=transaction_id, readings=readings
        )
        for timestamp, energy_wh in readings:
            if transaction:
                self._check_time_order(transaction, timestamp)
                transaction.measured_first(energy_wh)
                transaction.readings += 1
                transaction.last_wh, transaction.last_at = energy_wh, timestamp
            self._record_register(station, connector, timestamp, energy_wh, transaction_id)

    def running_transactions(self, station: str) -> list[Transaction]:
        return [
            t for t in self.transactions.values() if t.station == station and t.stopped is None and t.goes_on_as is None
        ]

    def record_violation(self, station: str, kind: str, text: str, transaction_id: TransactionId | None = None) -> None:
        if self._restoring:
            return
        violation = Violation(self._clock(), station, kind, text, transaction_id)
        self.violations.append(violation)
        self.on_violation(violation)
        self._write_fact("violation", violation=asdict(violation))

    def restore_journal(self, lines: Iterable[str]) -> None:
        """Restore the journal of an earlier run. A torn last line (power cut) is skipped."""
        self._restoring = True
        for line in lines:
            try:
                fact = json.loads(line)
            except ValueError:
                continue
            self._restore_fact(fact)
        self._restoring = False

    def as_json(self) -> dict[str, Any]:
        return {
            "stations": {s.id: _station_json(s) for s in self.stations.values()},
            "transactions": [t.as_json() for t in self.transactions.values()],
            "violations": [asdict(v) for v in self.violations],
        }

    def _restore_fact(self, fact: dict[str, Any]) -> None:
        kind, _ = fact.pop("kind"), fact.pop("t")
        match kind:
            case "status":
                self.record_status(fact["station"], fact["connector"], fact["told"])
            case "boot" | "meter" | "numbered" | "identify":
                recorders: dict[str, Callable[..., object]] = {
                    "boot": self.record_boot,
                    "meter": self.record_meter_values,
                    "numbered": self.record_sequence,
                    "identify": self.record_id_tag,
                }
                recorders[kind](**fact)
            case "start":
                self.record_start(**{k: v for k, v in fact.items() if k != "transaction_id"})
            case "stop":
                self.record_stop(**{k: v for k, v in fact.items() if k != "energy_wh"})
            case "violation":
                self.violations.append(Violation(**fact["violation"]))

    def _transaction_of(self, station: str, transaction_id: TransactionId, what: str) -> Transaction | None:
        transaction = self.transactions.get(transaction_id)
        if transaction is None or transaction.station != station:
            text = f"transaction {transaction_id} {what}, but this station never started it"
            self.record_violation(station, "orphan", text, transaction_id)
            return None
        return transaction

    def _stopped_again(self, t: Transaction, meter_stop_wh: int, timestamp: str) -> None:
        if (t.meter_stop_wh, t.stopped) == (meter_stop_wh, timestamp):
            t.repeats += 1
            return
        text = f"stopped at {t.meter_stop_wh} Wh ({t.stopped}), stopped again at {meter_stop_wh} Wh ({timestamp})"
        self.record_violation(t.station, "doubled", text, t.transaction_id)

    def _check_time_order(self, t: Transaction, timestamp: str) -> None:
        before, now = _parse_instant(t.last_at), _parse_instant(timestamp)
        if before and now and now < before:
            self.record_violation(t.station, "order", f"{timestamp} arrived after {t.last_at}", t.transaction_id)

    def _record_register(
        self, station: str, connector: int, timestamp: str, wh: int, transaction_id: TransactionId | None
    ) -> None:
        instant = _parse_instant(timestamp)
        if instant is None:
            self.record_violation(station, "timestamp", f"{timestamp!r} is not an instant of ISO 8601", transaction_id)
            return
        registers = self.station_record(station).registers
        last_at, last_wh = registers.get(connector, (timestamp, wh))
        last = _parse_instant(last_at)
        if last is None or instant >= last:
            if wh < last_wh:
                text = f"connector {connector}: register went back from {last_wh} Wh ({last_at}) to {wh} ({timestamp})"
                self.record_violation(station, "register", text, transaction_id)
            registers[connector] = (timestamp, wh)

    def _write_fact(self, kind: str, **fact: Any) -> None:
        if self._journal is None or self._restoring:
            return
        self._journal.write(json.dumps({"t": self._clock(), "kind": kind, **fact}, separators=(",", ":")) + "\n")
        self._journal.flush()


def _station_json(record: StationRecord) -> dict[str, Any]:
    registers = {c: wh for c, (_, wh) in record.registers.items()}
    return {**asdict(record), "registers": registers, "reports": {r: len(e) for r, e in record.reports.items()}}


def _parse_instant(text: str) -> datetime | None:
    """Parse an instant. Returns None if it is none. No offset means UTC (OCPP 1.6 recommends UTC, section 3.13)."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _utc_s(text: str) -> float:
    """Parse an instant of RFC 3339. Returns 0 if it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
