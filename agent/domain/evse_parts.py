"""The parts of an ``EvseRecord``. The first line of each names the only module that writes it; every block reads."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from agent.domain.driver_cost import DriverBill, DriverCost
from agent.domain.messages import ChargingState, TransactionCost
from agent.domain.metrology import MeterWatch
from agent.model.fastclass import frozen, mutable
from agent.model.types import Fault, Moment, Reading, Stamp

if TYPE_CHECKING:  # of stations that sell without a contract
    from agent.domain.adhoc_tariff import AdhocTariff


@frozen
class EvseConfig:
    """From the station file."""

    max_a: float = 32.0
    """Of each phase of the feed, also where a charger makes direct current of it (decision 30)."""
    phases: int = 3
    nominal_v: float = 230.0
    efficiency: float = 1.0
    """Of what is drawn from the feed, how much reaches the vehicle."""
    rotation: str = ""
    """Which phases of the feed are L1, L2, L3 here ("STR"), or which one ("S"); "": not known."""
    dc: bool = False
    bay_sensor: bool = False
    """The parking bay counts."""
    offer: AdhocTariff | None = None
    """The ad-hoc price."""


@mutable
class BoardReport:
    """What the board reports (``blocks/board_state.py``). Single facts change single fields: the states of a board are
    turned into facts first, and the cause comes before its effect."""

    known: bool = False
    """It has been opened in this process."""
    unheard: bool = False
    """It has been silent, and was not opened since."""
    lost: bool = False
    """Its vehicle could draw when it fell silent. What is ordered of it later says nothing: it does not arrive."""
    given_up: bool = False
    """A person, or a reset, says that its vehicle draws nothing, and it was not opened since."""
    cable_plugged: bool = False
    vehicle_connected: bool = False
    requests_energy: bool = False
    contactor_closed: bool = False
    released: bool | None = None
    """As the board reports it; ``release_order.given`` is what was ordered."""
    offering: bool = False
    locked: bool | None = None
    plugged_at: Stamp | None = None
    faults: frozenset[Fault] = frozenset()
    bay_occupied: bool | None = None
    max_a: float | None = None
    """What the board can carry; a DC board as its power comes to at the nominal voltage."""
    cable_a: float | None = None
    offered_a: float | None = None
    offered_w: float | None = None
    soc_percent: int | None = None
    session_used: bool = False
    """The vehicle has had its one session: it takes no energy before it is plugged in again."""


@mutable
class ReleaseOrder:
    """The permission that energy may flow (``session/release.py``)."""

    given: bool = False
    """What is ordered of the board now."""
    requested: bool = False
    """The session may have energy; ``given`` follows it, except in a pause."""
    paused: bool = False
    """It was withdrawn by a limit, and is given again when there is enough current."""
    resumes_at_s: float | None = None
    """When a pause is over if there is enough current until then; None: there is not now."""
    withdrawal_confirmed: bool = False
    """The board has followed the last withdrawal."""


@mutable
class SessionProgress:
    """How far the session has come, beside its state (the rules of the session table, ``session/``)."""

    charging: ChargingState = ChargingState.IDLE
    state_settled: bool = False
    begin_try: int = 0
    end_try: int = 0
    energy_delivered: bool = False
    """This process has seen the present session charge; ``has_had_energy`` looks at its register as well."""
    vehicle_replaced: bool = False
    """The vehicle came while the last session was being ended: it has had nothing of it."""
    resumed: bool = False
    """It goes on after a time in which the agent did not run."""
    waking_until_s: float | None = None
    """Until when a resumed session waits for its vehicle to ask for energy again (domain seconds)."""


@mutable
class Metering:
    """The meter and its readings."""

    meter: MeterWatch = field(default_factory=MeterWatch)
    reading: Reading | None = None
    """The newest one (``keep_reading``)."""
    signing: str = ""
    """What the meter's transaction of the session that begins is called (``session/signed_readings.py``)."""
    owed_record: dict[str, Any] = field(default_factory=dict)
    """An earlier one whose record the meter still has: what it is called, its session, and what was billed
    (``session/signed_readings.py``)."""

    def keep_reading(self, reading: Reading) -> None:
        self.reading = reading


@mutable
class Pricing:
    """What the present or last session costs its driver."""

    account: DriverCost | None = None
    """As the backend prices it (``blocks/session_cost.py``)."""
    bill: DriverBill | None = None
    """What a bank card pays (``blocks/payment_settlement.py``; at a satellite ``blocks/satellite_sessions.py``)."""
    estimate: DriverBill | None = None
    """What a payment at the web page comes to (``blocks/web_payment_estimate.py``)."""
    priced: DriverBill | None = None
    """What a session comes to by the tariff of a backend (``blocks/tariff_session.py``)."""
    cost_limit: tuple[str, int | None] = ("", None)
    """A transaction, and the most that it may cost (``blocks/transaction_limits.py``)."""
    unreported_tariff: tuple[str, str] = ("", "")
    """The session and the id of its tariff, until an event of the transaction has named it."""

    def cost_at_end(self, session: str, meter_wh: int, at: Stamp, now: Moment) -> TransactionCost | None:
        """Return what the session costs if it ends with this register at that time; None: that is not computed
        here."""
        costs = (b.cost_at_end(session, meter_wh, at, now) for b in (self.bill, self.priced) if b is not None)
        return next((cost for cost in costs if cost is not None), None)

    def take_unreported_tariff(self, session: str) -> str:
        """Return the tariff that the next event of this session names, and forget it; "": none."""
        named, tariff_id = self.unreported_tariff
        if not tariff_id or named != session:
            return ""
        self.unreported_tariff = ("", "")
        return tariff_id
