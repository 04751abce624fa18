"""What the frames of a conversation say about the station, in words that do not depend on the version of OCPP.

It reads frames only, so that it judges any station alike. A module per version translates (``versions.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from agent.model.fastclass import frozen, mutable
from agent.scenario.frames import Frame
from agent.scenario.matching import as_number

ENERGY = "Energy.Active.Import.Register"
QUANTITY_OF = {
    ENERGY: "meter_wh", "Power.Active.Import": "power_w", "Current.Import": "current_a", "SoC": "soc_percent",
}  # fmt: skip
SCALE = {"kWh": 1000.0, "kW": 1000.0}


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

    def evse_view(self, number: Any) -> EvseView:
        """Return the view of an outlet. Raises ``TypeError`` for what is no number of one."""
        return self.evses.setdefault(outlet_number(number), EvseView())

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


def outlet_number(value: Any) -> int:
    """Return the number of an outlet in a message. Raises ``TypeError`` for what is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no number of an outlet")
    return value


def status_observation(view: StationView, evse: int, frame: Frame) -> Iterator[Observation]:
    one = view.evse_view(evse)
    data = {"status": one.status, "charging_state": one.charging_state}
    yield Observation("status", evse, frame, one.words, {k: v for k, v in data.items() if v})


def transaction_observation(view: TransactionView, event: str, frame: Frame) -> Observation:
    return Observation("transaction", view.evse, frame, frozenset({event}), view.as_data())


def note_readings(view: StationView, evse: int, samples: Any, frame: Frame) -> Iterator[tuple[float, str]]:
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
