"""The timers of the domain. Each kind belongs to the block that has a method marked
``@handles_timer`` for it; a few kinds have two."""

from __future__ import annotations

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum, auto
from agent.model.types import STATION, EvseId


class TimerKind(StrEnum):
    """What is due."""

    # the session of an EVSE
    CONNECTION_TIMEOUT = auto()
    """The driver has had the time to connect the vehicle."""
    UNPLUG_BOUNCE = auto()
    """A vehicle that has left stays away."""
    STATE_SETTLED = auto()
    """The charging state is settled; a vehicle has had its time to ask for energy."""
    PAUSE_END = auto()
    """There has been enough current for so long that a pause is over."""
    END_REGISTER = auto()
    """The contactor has had the time to open, or the register of the end is read again."""
    SESSION_RECOVERY = auto()
    """A session that is resumed has waited long enough for its board."""
    TRANSACTION_ALIVE = auto()
    TRANSACTION_LIMIT = auto()
    """A transaction has lasted as long as it may."""
    FREE_VENDING_PAUSE = auto()
    OUTLET_CHOICE = auto()
    STARTUP_TAPS = auto()
    RESERVATION_EXPIRY = auto()
    # boards
    CONTACTOR_OPENING = auto()
    STRAY_RELEASE = auto()
    UNLOCK_RETRY = auto()
    FAULT_GRACE = auto()
    """``detail``: the fault."""
    FAULT_DISAPPEARANCE = auto()
    """``detail``: the fault."""
    FAULT_RESET = auto()
    MAINS_LOSS = auto()
    """The loss has lasted."""
    BACKUP_SUPPLY = auto()
    """The back-up supply is empty."""
    CHARGING_LIMITS = auto()
    EXTERNAL_LIMIT_SILENCE = auto()
    """The energy manager has not reported for too long."""
    EXTERNAL_LIMIT_REPORT = auto()
    """The pause after a report of an external limit is over."""
    EXTERNAL_LIMIT_STORING = auto()
    """A higher external limit has lasted."""
    # readings
    SAMPLED_READING = auto()
    SAMPLED_END_READING = auto()
    ALIGNED_READING = auto()
    ALIGNED_END_READING = auto()
    LIVE_READING = auto()
    REGISTER_SNAPSHOT = auto()
    # the backend and the station
    NETWORK_GRACE = auto()
    """``detail``: the link."""
    BEARER_RETURN = auto()
    BEARER_ADDRESS = auto()
    MODEM_RECOVERY = auto()
    RADIO_SIGNAL = auto()
    """``detail``: the bearer."""
    INTERFACE_UPKEEP = auto()
    """``detail``: the bearer."""
    SIM_UNLOCK = auto()
    """``detail``: the bearer."""
    SIGNING_REPEAT = auto()
    CERTIFICATE_RENEWAL = auto()
    FIRMWARE_JOB = auto()
    LOG_UPLOAD = auto()
    STATION_RESET = auto()
    MONITOR_PERIOD = auto()
    """``detail``: the id of the monitor."""
    STORE_RETRY = auto()
    """Has no owner: any event makes the engine save again."""
    # the screen and the cost
    FULL_MINUTE = auto()
    DRIVER_NOTICE = auto()
    SESSION_RESULT = auto()
    COUNTDOWN = auto()
    SERVICE_SCREEN = auto()
    DISPLAY_MESSAGE = auto()
    PRICE_CHANGE = auto()
    COST_REFRESH = auto()
    COST_TRIGGER = auto()
    ADHOC_TARIFF = auto()
    """A tariff that was set from afar begins."""
    TARIFF_FILE = auto()
    # payments
    WEB_PAYMENT_CODE = auto()
    WEB_PAYMENT_HOLD = auto()
    DRIVER_LIMIT = auto()
    """What a driver has chosen counts no more."""
    CARD_OFFER = auto()
    """``evse``: the terminal's."""
    PAYMENT_CEILING = auto()
    PAYMENT_AUTHORIZATION = auto()
    """``detail`` of this one and the following: the payment."""
    PAYMENT_CANCELLATION = auto()
    PAYMENT_UNUSED = auto()
    PAYMENT_SETTLEMENT = auto()
    PAYMENT_ALARM = auto()
    PAYMENT_HOLD_SEARCH = auto()
    PAYMENT_LOST_SESSION = auto()
    SATELLITE_SESSION = auto()
    """The satellite of a session must have reported its end."""
    MASTER_CONFIRMATION = auto()
    """A session at a satellite has waited long enough for the payment master."""
    VAT_ENTRY = auto()
    """Concerns an EVSE."""
    PAYMENT_PRUNING = auto()
    """Concerns all payments: it has no ``detail``."""


SESSION_TIMERS = (
    TimerKind.CONNECTION_TIMEOUT,
    TimerKind.UNPLUG_BOUNCE,
    TimerKind.STATE_SETTLED,
    TimerKind.PAUSE_END,
    TimerKind.END_REGISTER,
    TimerKind.SESSION_RECOVERY,
)
TIMERS_OF_ONE_PAYMENT = (
    TimerKind.PAYMENT_AUTHORIZATION,
    TimerKind.PAYMENT_CANCELLATION,
    TimerKind.PAYMENT_UNUSED,
    TimerKind.PAYMENT_SETTLEMENT,
    TimerKind.PAYMENT_ALARM,
    TimerKind.PAYMENT_HOLD_SEARCH,
    TimerKind.PAYMENT_LOST_SESSION,
)
PAYMENT_TIMERS = (TimerKind.PAYMENT_CEILING, *TIMERS_OF_ONE_PAYMENT, TimerKind.PAYMENT_PRUNING)


@frozen
class Timer:
    """One timer. A second ``WakeMe`` for an equal one takes the place of the first."""

    kind: TimerKind
    evse: EvseId = STATION
    detail: str = ""
