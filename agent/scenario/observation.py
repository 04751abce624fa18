"""What the frames of a conversation say about the station, in words that do not depend on the version of OCPP.

It reads frames only, so that it judges any station alike. One class per version translates; the rest is shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from agent.model.fastclass import frozen, mutable
from agent.scenario.frames import CALL, CALL_RESULT, Frame
from agent.scenario.matching import as_number

ENERGY = "Energy.Active.Import.Register"
QUANTITY_OF = {
    ENERGY: "meter_wh", "Power.Active.Import": "power_w", "Current.Import": "current_a", "SoC": "soc_percent",
}  # fmt: skip
SCALE = {"kWh": 1000.0, "kW": 1000.0}
STATUS_16: Mapping[str, frozenset[str]] = {
    "Available": frozenset({"available"}),
    "Preparing": frozenset({"preparing", "occupied"}),
    "Charging": frozenset({"charging", "occupied"}),
    "SuspendedEV": frozenset({"suspended_vehicle", "occupied"}),
    "SuspendedEVSE": frozenset({"suspended_station", "occupied"}),
    "Finishing": frozenset({"finishing", "occupied"}),
    "Reserved": frozenset({"reserved"}),
    "Unavailable": frozenset({"unavailable"}),
    "Faulted": frozenset({"faulted"}),
}
STATUS_201: Mapping[str, frozenset[str]] = {
    "Available": frozenset({"available"}),
    "Occupied": frozenset({"occupied"}),
    "Reserved": frozenset({"reserved"}),
    "Unavailable": frozenset({"unavailable"}),
    "Faulted": frozenset({"faulted"}),
}
CHARGING_201: Mapping[str, str] = {
    "Charging": "charging", "SuspendedEV": "suspended_vehicle", "SuspendedEVSE": "suspended_station",
    "EVConnected": "preparing", "Idle": "preparing",
}  # fmt: skip


@frozen
class Observation:
    """One thing that frames have shown. ``words``: of a status, the neutral words that fit it; of a transaction what
    became of it. ``data``: by neutral names."""

    kind: str
    evse: int
    frame: Frame
    words: frozenset[str]
    data: Mapping[str, Any]


@mutable
class TransactionView:
    """A transaction as the messages show it. Registers are in Wh, None as long as no message had one."""

    id: Any
    evse: int
    token: str = ""
    start_wh: float | None = None
    last_wh: float | None = None
    reason: str = ""
    ended: bool = False

    def as_data(self) -> dict[str, Any]:
        energy = None if self.start_wh is None or self.last_wh is None else self.last_wh - self.start_wh
        data = {
            "id": self.id, "evse": self.evse, "token": self.token, "start_wh": self.start_wh, "stop_wh": self.last_wh,
            "energy_wh": energy, "reason": self.reason or ("Local" if self.ended else None),
        }  # fmt: skip
        return {key: value for key, value in data.items() if value not in (None, "")}


@mutable
class EvseView:
    """An outlet as the messages show it. ``readings``: by neutral quantity."""

    status: str = ""
    charging_state: str = ""
    words: frozenset[str] = frozenset()


class StationView:
    """Everything that the frames so far have shown."""

    def __init__(self) -> None:
        self.evses: dict[int, EvseView] = {}
        self.readings: dict[int, dict[str, tuple[float, int]]] = {}
        """By outlet and quantity: the latest value, and the frame that brought it."""
        self.transactions: dict[Any, TransactionView] = {}
        self.observations: list[Observation] = []
        self._clock: tuple[float, float] | None = None

    def read_frame(self, frame: Frame) -> None:
        """Add what a frame shows."""
        reader = READERS.get((frame.version, frame.action))
        if reader is None or not isinstance(frame.payload, dict):
            return
        try:
            self.observations += list(reader(self, frame))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            return  # a frame of another shape: it stays in the log as evidence

    def evse_view(self, number: int) -> EvseView:
        return self.evses.setdefault(number, EvseView())

    def running_transaction(self, evse: int) -> TransactionView | None:
        """Return the newest transaction of an outlet that has not ended."""
        running = [t for t in self.transactions.values() if t.evse == evse and not t.ended]
        return running[-1] if running else None

    def note_clock(self, text: Any, frame: Frame, speed: float) -> None:
        """Learn how far the station's clock is, from a timestamp in a message. The latest one counts: some messages
        wait before they are sent."""
        try:
            shown_s = datetime.fromisoformat(str(text)).timestamp()
        except ValueError:
            return
        if self._clock is None or shown_s > self.station_time_s(frame.at_s, speed, 0.0):
            self._clock = (shown_s, frame.at_s)

    def station_time_s(self, at_s: float, speed: float, otherwise_s: float) -> float:
        """Return the station's time at a monotonic instant."""
        if self._clock is None:
            return otherwise_s
        begin_s, noted_s = self._clock
        return begin_s + (at_s - noted_s) * speed


def _status_observation(view: StationView, evse: int, frame: Frame) -> Iterator[Observation]:
    one = view.evse_view(evse)
    data = {"status": one.status, "charging_state": one.charging_state}
    yield Observation("status", evse, frame, one.words, {k: v for k, v in data.items() if v})


def _transaction_observation(view: TransactionView, event: str, frame: Frame) -> Observation:
    return Observation("transaction", view.evse, frame, frozenset({event}), view.as_data())


def _note_readings(view: StationView, evse: int, samples: Any, frame: Frame) -> Iterator[tuple[float, str]]:
    """Keep the readings of a message. Yield register and context of each reading of the billed register."""
    for sample in samples or ():
        currents = []
        for value in sample["sampledValue"]:
            quantity = QUANTITY_OF.get(value.get("measurand", ENERGY))
            number = as_number(value["value"])
            if quantity is None or number is None or value.get("format") == "SignedData":
                continue
            unit = value.get("unitOfMeasure") or {}
            number *= SCALE.get(value.get("unit") or unit.get("unit", ""), 1.0) * 10.0 ** unit.get("multiplier", 0)
            if quantity == "current_a":
                currents.append(number)
            elif "phase" not in value:
                view.readings.setdefault(evse, {})[quantity] = (number, frame.seq)
                if quantity == "meter_wh":
                    yield number, value.get("context", "Sample.Periodic")
        if currents:
            view.readings.setdefault(evse, {})["current_a"] = (max(currents), frame.seq)


# --- OCPP 1.6 --------------------------------------------------------------------------------------------------------


def _read_status_16(view: StationView, frame: Frame) -> Iterator[Observation]:
    if frame.kind != CALL:
        return
    evse = frame.payload["connectorId"]
    one = view.evse_view(evse)
    one.status = frame.payload["status"]
    one.words = STATUS_16.get(one.status, frozenset())
    yield from _status_observation(view, evse, frame)


def _read_start_16(view: StationView, frame: Frame) -> Iterator[Observation]:
    """Read the answer to a StartTransaction: it brings the id."""
    if frame.kind != CALL_RESULT or frame.answers is None:
        return
    asked, number = frame.answers.payload, frame.payload["transactionId"]
    start_wh = float(asked["meterStart"])
    known = view.transactions.get(number)
    if known is None:
        known = TransactionView(number, asked["connectorId"], asked["idTag"], start_wh, start_wh)
        view.transactions[number] = known
        yield _transaction_observation(known, "started", frame)


def _read_stop_16(view: StationView, frame: Frame) -> Iterator[Observation]:
    if frame.kind != CALL:
        return
    number = frame.payload["transactionId"]
    known = view.transactions.setdefault(number, TransactionView(number, 0))
    if not known.ended:
        known.ended, known.last_wh = True, float(frame.payload["meterStop"])
        known.reason = frame.payload.get("reason", "Local")
        yield _transaction_observation(known, "ended", frame)


def _read_meter_16(view: StationView, frame: Frame) -> Iterator[Observation]:
    if frame.kind != CALL:
        return
    evse = frame.payload["connectorId"]
    for register_wh, _ in _note_readings(view, evse, frame.payload["meterValue"], frame):
        known = view.transactions.get(frame.payload.get("transactionId"))
        if known is not None and not known.ended:
            known.last_wh = register_wh
            yield _transaction_observation(known, "updated", frame)


# --- OCPP 2.0.1 ------------------------------------------------------------------------------------------------------


def _read_status_201(view: StationView, frame: Frame) -> Iterator[Observation]:
    if frame.kind != CALL:
        return
    evse = frame.payload["evseId"]
    view.evse_view(evse).status = frame.payload["connectorStatus"]
    yield from _refresh_words_201(view, evse, frame)


def _refresh_words_201(view: StationView, evse: int, frame: Frame) -> Iterator[Observation]:
    """Derive the words of a status: OCPP 2.x says in two messages what 1.6 says in one."""
    one = view.evse_view(evse)
    words = set(STATUS_201.get(one.status, frozenset()))
    if view.running_transaction(evse) is not None:
        words |= {CHARGING_201[one.charging_state]} if one.charging_state in CHARGING_201 else set()
    elif one.status == "Occupied":
        words |= {"preparing", "finishing"}
    one.words = frozenset(words)
    yield from _status_observation(view, evse, frame)


def _read_event_201(view: StationView, frame: Frame) -> Iterator[Observation]:
    if frame.kind != CALL:
        return
    event, info = frame.payload, frame.payload["transactionInfo"]
    known = view.transactions.get(info["transactionId"])
    if known is None:
        known = view.transactions[info["transactionId"]] = TransactionView(info["transactionId"], 0)
    known.evse = (event.get("evse") or {}).get("id", known.evse)
    known.token = known.token or (event.get("idToken") or {}).get("idToken", "")
    if "chargingState" in info:
        view.evse_view(known.evse).charging_state = info["chargingState"]
    for register_wh, _ in _note_readings(view, known.evse, event.get("meterValue"), frame):
        known.start_wh = register_wh if known.start_wh is None else known.start_wh
        known.last_wh = register_wh
    kind = event["eventType"].lower()
    if kind == "ended":
        known.ended, known.reason = True, info.get("stoppedReason", "Local")
    yield _transaction_observation(known, kind, frame)
    yield from _refresh_words_201(view, known.evse, frame)


def _read_meter_201(view: StationView, frame: Frame) -> Iterator[Observation]:
    if frame.kind == CALL:
        list(_note_readings(view, frame.payload["evseId"], frame.payload["meterValue"], frame))
    yield from ()


READERS: Mapping[tuple[str, str], Any] = {
    ("1.6", "StatusNotification"): _read_status_16,
    ("1.6", "StartTransaction"): _read_start_16,
    ("1.6", "StopTransaction"): _read_stop_16,
    ("1.6", "MeterValues"): _read_meter_16,
    ("2.0.1", "StatusNotification"): _read_status_201,
    ("2.0.1", "TransactionEvent"): _read_event_201,
    ("2.0.1", "MeterValues"): _read_meter_201,
}
"""By version and action: which function reads the frames."""
