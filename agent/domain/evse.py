"""The state of the station and of each EVSE, as the blocks share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING

from agent.domain.collaborators import Collaborators
from agent.domain.evse_parts import BoardReport, EvseConfig, Metering, Pricing, ReleaseOrder, SessionProgress
from agent.domain.faults import blocks_charging
from agent.domain.kept_cable import KeptCable
from agent.domain.local_auth_list import LocalAuthList
from agent.domain.reading_purposes import ReadingPurpose
from agent.domain.reservation_claims import Reservation, is_reserved
from agent.domain.security_events import SecurityLog
from agent.domain.session_records import Authorization, EndedSession, Session
from agent.domain.station_config import StationConfig
from agent.domain.traffic import TrafficTally
from agent.domain.transaction import Transaction
from agent.domain.variables import Settings
from agent.model.board import EvseTraits
from agent.model.fastclass import frozen, mutable
from agent.model.string_enum import StrEnum
from agent.model.types import EvseId, Fault, Lamp, Limit, Moment, TransactionLimit

if TYPE_CHECKING:
    from agent.domain.bearers import BearerRecord
    from agent.domain.charging.external_limit import ExternalLimit
    from agent.domain.charging.profiles import InstalledProfile
    from agent.domain.charging.station_limits import PhaseCurrents
    from agent.domain.display_messages import DisplayMessage
    from agent.domain.network_profiles import NetworkProfiles
    from agent.domain.satellite_outlet import SatelliteOutlet
    from agent.domain.sim_memory import SimMemory
    from agent.domain.tariff import Tariff
    from agent.domain.tariff_schedule import TariffSchedule
    from agent.model.bank_card import TerminalIdentity

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


WITHOUT_SESSION = (SessionState.FREE, SessionState.OCCUPIED, SessionState.ENDED)
"""No driver has a right or a session."""


class ServiceState(StrEnum):
    """The service region: may a session start here at all?"""

    IN_SERVICE = "InService"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"
    FAULTED = "Faulted"


@mutable
class EvseRecord:
    """What the blocks know of an EVSE. The comment above a group of fields names the module that writes them, as the
    first lines of the parts do; every block may read them (tests/arch/test_field_writers.py)."""

    number: EvseId
    config: EvseConfig = EvseConfig()
    # blocks/board_state.py
    traits: EvseTraits = EvseTraits()
    """What its board can do. Until it has been opened, only ``tethered`` is known, from the station file."""
    board: BoardReport = field(default_factory=BoardReport)
    # blocks/availability.py adds and removes them; blocks/fault_latching.py keeps latched ones
    faults: set[Fault] = field(default_factory=set)
    # blocks/fault_latching.py
    latched: set[Fault] = field(default_factory=set)
    acknowledged: bool = False
    """A person has acknowledged the latched faults; the board is now asked whether it still shows
    them."""
    # the rules of the session table, session/
    state: SessionState = SessionState.FREE
    authorization: Authorization | None = None
    session: Session | None = None
    last_session: EndedSession | None = None
    """The one before; the present process has seen it end."""
    open_at_start: bool = False
    """A session was open when the agent started."""
    progress: SessionProgress = field(default_factory=SessionProgress)
    release_order: ReleaseOrder = field(default_factory=ReleaseOrder)
    # session/tx_points.py
    tx: Transaction | None = None
    tx_try: int = 0
    tx_asked: ReadingPurpose | None = None
    """Purpose of the reading that the next transaction begins with."""
    metering: Metering = field(default_factory=Metering)
    # charging/station_limits.py
    allowed_a: float | None = None
    allowed_phases: int | None = None
    share_kept: bool = False
    """Its session is over, its board could not be asked, and its share is on disk: a restart says nothing of its
    vehicle."""
    pricing: Pricing = field(default_factory=Pricing)
    # blocks/kept_cables.py
    kept: KeptCable | None = None
    """A cable whose car has left."""
    # blocks/web_payment.py
    payer_until_s: float | None = None
    """Until then the outlet is kept for a driver who pays at its web page."""
    payer_tariff: Tariff | None = None
    """What was presented to this driver."""
    # blocks/driver_limits.py
    driver_limit: TransactionLimit | None = None
    """What the next driver has chosen as the most that the charge may come to."""
    # blocks/display.py
    lamp: Lamp = Lamp.OFF
    # blocks/availability.py
    operative: bool = True
    connector_operative: bool = True
    """Of its one connector, which 2.x sets apart from the EVSE (G03)."""
    service_on: bool = True

    @property
    def board_not_seen(self) -> bool:
        """It charged when the agent stopped, or was lost before; its board has not been opened since."""
        return (self.open_at_start or self.share_kept) and not (self.board.known or self.board.given_up)

    @property
    def board_lost(self) -> bool:
        """Its board fell silent when its vehicle could draw, and was not opened since. What the board does now is not
        known: one without a watchdog, or one that falls back to a current, goes on."""
        return self.board.unheard and self.board.lost and self.board.vehicle_connected

    @property
    def may_supply_unseen(self) -> bool:
        """Its vehicle may draw what it was last offered, and no order reaches its board."""
        return self.board_not_seen or self.board_lost

    @property
    def maximum_a(self) -> float:
        """What outlet, board and the cable that is in can carry."""
        return min(a for a in (self.config.max_a, self.board.max_a, self.board.cable_a) if a is not None)

    @property
    def used_phases(self) -> int:
        return self.allowed_phases or self.config.phases

    @property
    def watts_per_a(self) -> float:
        """What an ampere of each phase is to the vehicle."""
        return self.config.nominal_v * self.used_phases

    @property
    def minimum_a(self) -> float:
        """Less is a pause."""
        return self.traits.min_w / self.watts_per_a if self.config.dc else LEAST_A

    @property
    def cannot_pause(self) -> bool:
        """Its vehicle cannot be paused any more: it takes the least that there is, or its session ends."""
        return self.release_order.given and not self.traits.pausable

    def feed_phases_loaded_by(self, used_phases: int) -> tuple[str, ...]:
        """Return the phases of the feed that so many phases of the outlet may load: all, where fewer are
        used and it is not known which."""
        rotation = self.config.rotation
        return FEED if not rotation or used_phases >= len(FEED) else tuple(rotation[:used_phases])

    @property
    def bay_counts_occupied(self) -> bool:
        """A car is in the parking bay, as far as that counts."""
        return self.config.bay_sensor and bool(self.board.bay_occupied)

    @property
    def open_transaction_id(self) -> str:
        """The id of the open transaction that is reported to a backend; "" if there is none."""
        if self.session is not None:
            return self.session.id if self.session.reported else ""
        return self.tx.id if self.tx is not None else ""

    @property
    def has_unplaced_transaction(self) -> bool:
        """Its open transaction is of a driver who has not chosen an EVSE yet."""
        return self.session is None and self.tx is not None and not self.tx.placed

    @property
    def charging_limit(self) -> Limit:
        """The wanted bound: never above the hardware's. A DC board goes by watts."""
        allowed_a = self.maximum_a if self.allowed_a is None else min(self.maximum_a, self.allowed_a)
        if allowed_a < self.minimum_a:
            allowed_a = self.minimum_a if self.cannot_pause else 0.0
        power_w = round(allowed_a * self.watts_per_a, 3)  # a hair less than the least would be a pause
        return Limit(allowed_a, self.used_phases, power_w if self.config.dc else None)

    @property
    def paused_by_limit(self) -> bool:
        """By its limit: IEC 61851-1 knows nothing between 0 and 6 A, and a DC charger has a least power."""
        return not self.charging_limit.current_a

    @property
    def can_unlock_plug(self) -> bool:
        """Whether the board unlocks on order: there is a plug, and the board does not control its
        lock alone."""
        return self.traits.lockable and not self.traits.tethered

    @property
    def connector_type(self) -> str:
        """ConnectorEnumType."""
        if self.config.dc:
            return "cCCS2"
        return "cType2" if self.traits.tethered else "sType2"

    @property
    def is_vacant(self) -> bool:
        """The outlet is empty as far as is known, and no driver is paying for it at a web page."""
        return self.board.known and self.state is SessionState.FREE and self.payer_until_s is None

    @property
    def accepts_authorization(self) -> bool:
        """An authorization to charge could be given here."""
        return self.state in WITHOUT_SESSION and not self.board.session_used

    @property
    def holds_only_kept_cable(self) -> bool:
        """A kept cable is all that is here: a card frees it, or begins nothing."""
        here = self.board.cable_plugged and not self.board.vehicle_connected and self.board.locked is not False
        return self.kept is not None and here and self.session is None and self.authorization is None

    @property
    def has_charged(self) -> bool:
        """The vehicle here has had energy. Of an outlet of a satellite, the satellite has said so."""
        return self.state is SessionState.ENDED and (self.last_session is None or self.last_session.has_charged)

    @property
    def vehicle_finished(self) -> bool:
        """A vehicle is here whose session is over."""
        return self.state is SessionState.ENDED or (self.state is SessionState.OCCUPIED and self.board.session_used)


@mutable
class StationState:
    """The station as the blocks see it. The comment above a group of fields names the module that writes them; every
    block may read them (tests/arch/test_field_writers.py)."""

    evses: dict[EvseId, EvseRecord]
    settings: Settings
    config: StationConfig = field(default_factory=StationConfig)
    collaborators: Collaborators = field(default_factory=Collaborators)
    # blocks/backend_connection.py
    network_profiles: dict[str, NetworkProfiles] = field(default_factory=dict)
    """What each link is to dial with."""
    # blocks/bearer_selection.py
    bearers: dict[str, BearerRecord] = field(default_factory=dict)
    """By name, in order of preference."""
    bearer_in_use: str = ""
    # blocks/network_bearer.py
    bearer_demanded: str = ""
    """The only one that the network profile in turn may use; "": the best one is used."""
    bearer_demanded_s: float = 0.0
    """Since when."""
    """Its name; "": none was up yet."""
    # blocks/sim_cards.py
    sims: dict[str, SimMemory] = field(default_factory=dict)
    """By the name of the bearer."""
    # blocks/data_budget.py
    traffic: TrafficTally = field(default_factory=TrafficTally)
    # blocks/evse_status.py
    link_up: dict[str, bool] = field(default_factory=dict)
    # blocks/local_auth_list.py
    local_list: LocalAuthList = field(default_factory=LocalAuthList)
    # blocks/reservation.py
    reservations: dict[str, Reservation] = field(default_factory=dict)
    # blocks/display.py
    language: str = "fr"
    # blocks/availability.py
    operative: bool = True
    store_ok: bool = True
    # blocks/sessions.py
    stop_requested: bool = False
    # blocks/remote_control.py
    reset_accepted: bool = False
    draining: bool = False
    """A reset or a changed station file waits for the running sessions: no other session may start."""
    # blocks/mains_loss.py
    dark: bool = False
    """Mains is lost for good, a back-up supply carries the board."""
    shutdown_ordered: bool = False
    # blocks/firmware.py
    updating: bool = False
    """Firmware waits for the running sessions, or is being installed: no other session may start."""
    # blocks/security_events.py
    security: SecurityLog = field(default_factory=SecurityLog.new_empty_log)
    # blocks/smart_charging.py
    charging_profiles: dict[int, InstalledProfile] = field(default_factory=dict)
    """The installed ones by their id."""
    # blocks/terminal_devices.py
    terminals: dict[EvseId, TerminalIdentity] = field(default_factory=dict)
    """Who each payment terminal is that was opened, by its place (0: of the station)."""
    terminals_open: set[EvseId] = field(default_factory=set)
    # blocks/payment_master.py
    satellite_outlets: dict[EvseId, SatelliteOutlet] = field(default_factory=dict)
    """Outlets of other stations that the terminal serves, by their numbers at the terminal."""
    satellites_online: set[str] = field(default_factory=set)
    # blocks/satellite_grants.py
    master_online: bool = False
    """The payment master of this satellite is connected."""
    # blocks/adhoc_tariffs.py
    adhoc_tariffs: dict[EvseId, TariffSchedule] = field(default_factory=dict)
    """Prices for drivers without a contract that were set from afar."""
    # blocks/display_messages.py
    display_messages: dict[int, DisplayMessage] = field(default_factory=dict)
    """Those of a backend for drivers, by their id."""
    # blocks/external_limits.py
    external_limit: ExternalLimit | None = None
    """The limit of an external system on the whole station that is in force."""
    # charging/station_limits.py
    still_drawn: dict[EvseId, tuple[PhaseCurrents, float]] = field(default_factory=dict)
    """What a vehicle may still draw although it is offered less by now, and until when."""
    lowered_offers: dict[EvseId, list[tuple[PhaseCurrents, float]]] = field(default_factory=dict)
    """What a vehicle was offered before its offer was lowered, and when: each order of the last minute."""

    @property
    def stopping(self) -> bool:
        """The process will end, or the station restarts: nothing begins any more."""
        return self.stop_requested or self.reset_accepted or self.shutdown_ordered

    @property
    def backend_online(self) -> bool:
        """Return whether the backend that authorizes can be asked."""
        return self.link_up.get(self.config.links[0], False) if self.config.links else False

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

    def presented_tariff(self, evse: EvseRecord) -> Tariff | None:
        """Return what is presented to the next driver without a contract: the tariff in force that was set from afar,
        otherwise that of the station file; None: nothing is sold here without a contract."""
        schedule = self.adhoc_tariffs.get(evse.number)
        if schedule is not None and schedule.in_force is not None:
            return schedule.in_force.tariff
        return evse.config.offer.tariff_for_new_driver(self.settings) if evse.config.offer is not None else None

    def known_tariff(self, evse: EvseRecord, now: Moment) -> Tariff | None:
        """Return the presented tariff. None: nothing is sold here without a contract, or the price is unknown until the
        clock is."""
        tariff = self.presented_tariff(evse)
        return tariff if tariff is not None and (now.utc_s is not None or not tariff.windows) else None

    def takes_bank_cards(self, evse: EvseRecord) -> bool:
        """Return whether a terminal is there that serves this EVSE: of this station, or of the payment master."""
        terms = self.config.payment_terms
        if self.config.is_satellite or terms is None:
            return self.master_online
        open_ = (terms.terminals[number] for number in self.terminals_open & terms.terminals.keys())
        return terms.amount_cents > 0 and any(evse.number in served for served in open_)

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
