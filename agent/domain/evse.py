"""The state of the station and of each EVSE, as the blocks share it. The comment above a group of
fields names the block that writes them; every block may read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from agent.domain.backend_connection import BackendConfig
from agent.domain.collaborators import Collaborators
from agent.domain.driver_cost import DriverBill, DriverCost
from agent.domain.faults import blocks_charging
from agent.domain.kept_cable import KeptCable
from agent.domain.local_auth_list import LocalAuthList
from agent.domain.messages import ChargingState
from agent.domain.metrology import MeterWatch
from agent.domain.reading_purposes import ReadingPurpose
from agent.domain.reservation_claims import Reservation, is_reserved
from agent.domain.security_events import SecurityLog
from agent.domain.session_records import Authorization, EndedSession, Session
from agent.domain.transaction import Transaction
from agent.domain.variables import Settings
from agent.domain.web_payment import WebPaymentConfig
from agent.model.fastclass import frozen, mutable
from agent.model.types import EvseId, Fault, Lamp, Limit, Reading, Stamp

if TYPE_CHECKING:
    from agent.domain.adhoc_tariff import AdhocTariff
    from agent.domain.charging.profiles import InstalledProfile
    from agent.domain.charging.station_limits import PhaseCurrents
    from agent.domain.network_profiles import NetworkProfiles
    from agent.domain.payment import PaymentTerms

LEAST_A = 6.0
"""The least current that IEC 61851-1 can offer; less is a pause."""

FEED = ("R", "S", "T")
"""The phases of the station's feed, by OCPP's letters (1.6 9.1, ConnectorPhaseRotation)."""


class SessionState(StrEnum):
    """The session region of an EVSE (the service region is ``ServiceState``)."""

    FREE = "Free"
    OCCUPIED = "Occupied"
    AUTHORIZED = "Authorised"
    BEGINNING = "Beginning"
    ACTIVE = "Active"
    ENDING = "Ending"
    ENDED = "Ended"
    RECOVERING = "Recovering"


class ServiceState(StrEnum):
    """The service region: may a session start here at all?"""

    IN_SERVICE = "InService"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"
    FAULTED = "Faulted"


@mutable
class EvseRecord:
    """Mutable: the one place where a block's memory of an EVSE lives."""

    number: EvseId
    tethered: bool = False
    max_a: float = 32.0
    """Of each phase of the feed, also where a charger makes direct current of it (decision 30)."""
    phases: int = 3
    nominal_v: float = 230.0
    efficiency: float = 1.0
    """Of what is drawn from the feed, how much reaches the vehicle."""
    rotation: str = ""
    """Which phases of the feed are L1, L2, L3 here ("STR"), or which one ("S"); "": not known."""
    # blocks/board_state.py
    board_known: bool = False
    cable_plugged: bool = False
    vehicle_connected: bool = False
    requests_energy: bool = False
    contactor_closed: bool = False
    released: bool | None = None
    """As the board reports it; ``release`` is what was ordered."""
    withdrawn: bool = False
    """The board has confirmed the last withdrawal (written by ``session/common.py`` too)."""
    sees_contactor: bool = True
    offering: bool = False
    locked: bool | None = None
    counts_plugged: bool = False
    unlockable: bool = True
    can_hold_plug: bool = False
    least_w: float = 0.0
    """Of a DC board."""
    release_to_energy_s: float = 0.0
    pausable: bool = True
    one_release: bool = False
    shows_request_unreleased: bool = True
    plugged_at: Stamp | None = None
    board_faults: frozenset[Fault] = frozenset()
    faults: set[Fault] = field(default_factory=set)
    latched: set[Fault] = field(default_factory=set)
    acknowledged: bool = False
    """A person has acknowledged the latched faults; the board is now asked whether it still shows
    them."""
    bay_occupied: bool | None = None
    cable_a: float | None = None
    board_a: float | None = None
    offered_a: float | None = None
    offered_w: float | None = None
    soc_percent: int | None = None
    session_used: bool = False
    bay_sensor: bool = False
    """From the station file: the parking bay counts."""
    # blocks/sessions.py and session.py
    state: SessionState = SessionState.FREE
    authorization: Authorization | None = None
    session: Session | None = None
    last_session: EndedSession | None = None
    """The one before; the present process has seen it end."""
    charging: ChargingState = ChargingState.IDLE
    open_at_start: bool = False
    """A session was open when the agent started."""
    state_settled: bool = False
    release: bool = False
    release_requested: bool = False
    """The session may have energy; ``release`` follows it, except in a pause."""
    begin_try: int = 0
    end_try: int = 0
    energy_delivered: bool = False
    """The present session has had energy."""
    vehicle_replaced: bool = False
    """The vehicle came while the last session was being ended: it has had nothing of it."""
    resumed: bool = False
    """It goes on after a time in which the agent did not run."""
    # blocks/kept_cables.py
    kept: KeptCable | None = None
    """A cable whose car has left."""
    # blocks/transactions.py and session/tx_points.py
    tx: Transaction | None = None
    tx_try: int = 0
    tx_asked: ReadingPurpose | None = None
    """Purpose of the reading that the next transaction begins with."""
    # blocks/metrology.py and session/signed_readings.py
    meter: MeterWatch = field(default_factory=MeterWatch)
    dc: bool = False
    signing: str = ""
    """What the meter's transaction of the session that begins is called."""
    owed_record: dict[str, Any] = field(default_factory=dict)
    """An earlier one whose record the meter still has: what it is called, its session, and what was billed."""
    # blocks/meter_values.py
    reading: Reading | None = None
    # charging/station_limits.py
    allowed_a: float | None = None
    allowed_phases: int | None = None
    # blocks/web_payment.py
    payer_until_s: float | None = None
    """Until then the outlet is kept for a driver who pays at its web page."""
    # blocks/session_cost.py
    account: DriverCost | None = None
    offer: AdhocTariff | None = None
    """From the station file: the ad-hoc price."""
    # blocks/payment_settlement.py
    bill: DriverBill | None = None
    # blocks/web_payment_estimate.py
    reckoned: DriverBill | None = None
    # blocks/display.py
    lamp: Lamp = Lamp.OFF
    # blocks/availability.py
    operative: bool = True
    connector_operative: bool = True
    """Of its one connector, which 2.x sets apart from the EVSE (G03)."""
    service_on: bool = True

    @property
    def board_not_seen(self) -> bool:
        """It charged when the agent stopped; its board has not been opened since."""
        return self.open_at_start and not self.board_known

    @property
    def maximum_a(self) -> float:
        """What outlet, board and the cable that is in can carry."""
        return min(a for a in (self.max_a, self.board_a, self.cable_a) if a is not None)

    @property
    def used_phases(self) -> int:
        return self.allowed_phases or self.phases

    @property
    def watts_per_a(self) -> float:
        """What an ampere of each phase is to the vehicle."""
        return self.nominal_v * self.used_phases

    @property
    def minimum_a(self) -> float:
        """Less is a pause."""
        return self.least_w / self.watts_per_a if self.dc else LEAST_A

    @property
    def cannot_pause(self) -> bool:
        """Its vehicle cannot be paused any more: it takes the least that there is, or its session ends."""
        return self.release and not self.pausable

    def feed_phases_loaded_by(self, used_phases: int) -> tuple[str, ...]:
        """Return the phases of the feed that so many phases of the outlet may load: all, where fewer are
        used and it is not known which."""
        return FEED if not self.rotation or used_phases >= len(FEED) else tuple(self.rotation[:used_phases])

    @property
    def bay_counts_occupied(self) -> bool:
        """A car is in the parking bay, as far as that counts."""
        return self.bay_sensor and bool(self.bay_occupied)

    @property
    def open_transaction_id(self) -> str:
        """The id of the open transaction that is reported to a backend; "" if there is none."""
        if self.session is not None:
            return self.session.id if self.session.reported else ""
        return self.tx.id if self.tx is not None else ""

    @property
    def charging_limit(self) -> Limit:
        """The wanted bound: never above the hardware's. A DC board goes by watts."""
        allowed_a = self.maximum_a if self.allowed_a is None else min(self.maximum_a, self.allowed_a)
        if allowed_a < self.minimum_a:
            allowed_a = self.minimum_a if self.cannot_pause else 0.0
        power_w = round(allowed_a * self.watts_per_a, 3)  # a hair less than the least would be a pause
        return Limit(allowed_a, self.used_phases, power_w if self.dc else None)

    @property
    def paused_by_limit(self) -> bool:
        """By its limit: IEC 61851-1 knows nothing between 0 and 6 A, and a DC charger has a least power."""
        return not self.charging_limit.current_a

    @property
    def can_unlock_plug(self) -> bool:
        """Whether the board unlocks on order: there is a plug, and the board does not control its
        lock alone."""
        return self.unlockable and not self.tethered

    @property
    def connector_type(self) -> str:
        """ConnectorEnumType."""
        if self.dc:
            return "cCCS2"
        return "cType2" if self.tethered else "sType2"

    @property
    def is_vacant(self) -> bool:
        """The outlet is empty as far as is known, and no driver is paying for it at a web page."""
        return self.board_known and self.state is SessionState.FREE and self.payer_until_s is None

    @property
    def accepts_authorization(self) -> bool:
        """An authorization to charge could be given here."""
        return self.state in (SessionState.FREE, SessionState.OCCUPIED, SessionState.ENDED) and not self.session_used

    @property
    def holds_only_kept_cable(self) -> bool:
        """A kept cable is all that is here: a card frees it, or begins nothing."""
        here = self.cable_plugged and not self.vehicle_connected and self.locked is not False
        return self.kept is not None and here and self.session is None and self.authorization is None

    @property
    def vehicle_finished(self) -> bool:
        """A vehicle is here that has had its energy."""
        return self.state is SessionState.ENDED or (self.state is SessionState.OCCUPIED and self.session_used)


@mutable
class StationState:
    """The station as the blocks see it, built once by the composition root.

    ``io_s``: how much domain time may pass while a device answers (its real second times the clock's rate).
    ``mains_hold_s``: a shorter loss of mains is a glitch; ``backup_s``: how long the back-up supply is good for (both
    in real seconds).
    """

    evses: dict[EvseId, EvseRecord]
    settings: Settings
    links: tuple[str, ...] = ("chargy",)
    collaborators: Collaborators = field(default_factory=Collaborators)
    io_s: float = 1.0
    feed_a: float | None = None
    """What each phase of the station's feed carries; None: enough for all EVSEs at once."""
    free_vending: bool = False
    resume_within_s: float = 60.0
    languages: tuple[str, ...] = ("fr", "de", "lb", "en")
    number: str = ""
    hotline: str = ""
    price_line: str = ""
    qr_url: str = ""
    web_payment: WebPaymentConfig = field(default_factory=WebPaymentConfig)
    language: str = "fr"
    link_up: dict[str, bool] = field(default_factory=dict)
    local_list: LocalAuthList = field(default_factory=LocalAuthList)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    operative: bool = True
    store_ok: bool = True
    stop_requested: bool = False
    """The process was asked to end (``blocks/sessions.py``)."""
    reset_accepted: bool = False
    """The station restarts at once (``blocks/remote_control.py``)."""
    shutdown_ordered: bool = False
    """The back-up supply is at its end (``blocks/mains_loss.py``)."""
    draining: bool = False
    """A reset waits for the running sessions: no other session may start."""
    dark: bool = False
    """Mains is lost for good, a back-up supply carries the board (``blocks/mains_loss.py``)."""
    mains_hold_s: float = 0.3
    backup_s: float = 15.0
    charging_profiles: dict[int, InstalledProfile] = field(default_factory=dict)
    """The installed ones by their id (``blocks/smart_charging.py``)."""
    still_drawn: dict[EvseId, tuple[PhaseCurrents, float]] = field(default_factory=dict)
    """What a vehicle may still draw although it is offered less by now, and until when
    (``charging/station_limits.py``)."""
    version: str = ""
    """Of the program, as a record names it."""
    given: Mapping[str, BackendConfig] = field(default_factory=dict)
    """What the station file says of each link's backend."""
    network_profiles: dict[str, NetworkProfiles] = field(default_factory=dict)
    """What each link is to dial with (blocks/backend_connection.py)."""
    terms: PaymentTerms | None = None
    """Of payment with a bank card; None: there is no terminal."""
    updater: bool = False
    """Firmware can be installed here."""
    updating: bool = False
    """Firmware waits for the running sessions, or is being installed: no other session may start."""
    security: SecurityLog = field(default_factory=SecurityLog.new_empty_log)
    boot_reason: str = "Unknown"
    """BootReasonEnumType of 2.x: why the agent has started."""

    @property
    def stopping(self) -> bool:
        """The process ends or the station restarts: nothing begins any more."""
        return self.stop_requested or self.reset_accepted or self.shutdown_ordered

    @property
    def backend_online(self) -> bool:
        """Return whether the backend that authorizes can be asked."""
        return self.link_up.get(self.links[0], False) if self.links else False

    def is_operative(self, evse: EvseRecord) -> bool:
        """Station, EVSE and connector (2.0.1 G03, G04)."""
        return self.operative and evse.operative and evse.connector_operative

    def is_in_order(self, evse: EvseRecord) -> bool:
        """Neither broken nor closed."""
        return not (_has_blocking_fault(self, evse) or _is_unavailable(self, evse))

    def can_fetch(self, location: str) -> bool:
        """Is this an address that files can be fetched from and sent to?"""
        scheme, colon, _ = location.partition("://")
        return bool(colon) and scheme.upper() in self.settings.list_value("file_transfer_protocols")

    def tx_start_points(self) -> frozenset[str]:
        return frozenset(self.settings.list_value("tx_start_points"))

    def tx_stop_points(self) -> frozenset[str]:
        return frozenset(self.settings.list_value("tx_stop_points"))

    def service_state(self, evse: EvseRecord) -> ServiceState:
        """First match wins."""
        return next(row.service for row in SERVICES if row.holds(self, evse))


@frozen
class ServiceRow:
    """``said``: the condition in words, for the diagram."""

    service: ServiceState
    said: str
    holds: Callable[[StationState, EvseRecord], bool]


def _has_blocking_fault(site: StationState, evse: EvseRecord) -> bool:
    return any(blocks_charging(f) for f in evse.faults) or not site.store_ok


def _is_unavailable(site: StationState, evse: EvseRecord) -> bool:
    return not site.is_operative(evse) or site.draining or site.updating


SERVICES: tuple[ServiceRow, ...] = (
    ServiceRow(ServiceState.FAULTED, "a blocking fault, or the store takes nothing", _has_blocking_fault),
    ServiceRow(
        ServiceState.UNAVAILABLE,
        "set inoperative: connector, EVSE or station; or a reset or new firmware waits",
        _is_unavailable,
    ),
    ServiceRow(ServiceState.RESERVED, "reserved for a driver", is_reserved),
    ServiceRow(ServiceState.IN_SERVICE, "otherwise", lambda s, e: True),
)
"""In the order in which it matters to a driver: broken, closed, reserved, open."""
