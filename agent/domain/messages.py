"""The messages that the station sends to a backend, in no version's words. A dialect has a row for
each, or says why it cannot express it.

Messages are stored as they are (``services/store/store.py``) and encoded when they leave, so everything in here is
frozen and
made of ``agent.model.types`` and plain values.
"""

from __future__ import annotations

from enum import StrEnum

from agent.model.fastclass import frozen, replace
from agent.model.types import EvseId, Fault, Reading, ReadingContext, SignedReading, Stamp, Token


class ConnectorStatus(StrEnum):
    """ConnectorStatusEnumType of OCPP 2.x."""

    AVAILABLE = "Available"
    OCCUPIED = "Occupied"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"
    FAULTED = "Faulted"


class ChargingState(StrEnum):
    """ChargingStateEnumType of OCPP 2.x."""

    EV_CONNECTED = "EVConnected"
    CHARGING = "Charging"
    SUSPENDED_EV = "SuspendedEV"
    SUSPENDED_EVSE = "SuspendedEVSE"
    IDLE = "Idle"


class StopReason(StrEnum):
    """ReasonEnumType of OCPP 2.x (those that occur here)."""

    DEAUTHORIZED = "DeAuthorized"
    EMERGENCY_STOP = "EmergencyStop"
    EV_DISCONNECTED = "EVDisconnected"
    GROUND_FAULT = "GroundFault"
    IMMEDIATE_RESET = "ImmediateReset"
    LOCAL = "Local"
    LOCAL_OUT_OF_CREDIT = "LocalOutOfCredit"
    MASTER_PASS = "MasterPass"
    OTHER = "Other"
    OVERCURRENT_FAULT = "OvercurrentFault"
    POWER_LOSS = "PowerLoss"
    POWER_QUALITY = "PowerQuality"
    REBOOT = "Reboot"
    REMOTE = "Remote"
    STOPPED_BY_EV = "StoppedByEV"
    TIMEOUT = "Timeout"


class TriggerReason(StrEnum):
    """TriggerReasonEnumType of OCPP 2.x (those that occur here)."""

    ABNORMAL_CONDITION = "AbnormalCondition"
    AUTHORIZED = "Authorized"
    CABLE_PLUGGED_IN = "CablePluggedIn"
    CHARGING_STATE_CHANGED = "ChargingStateChanged"
    DEAUTHORIZED = "Deauthorized"
    ENERGY_LIMIT = "EnergyLimitReached"
    EV_COMMUNICATION_LOST = "EVCommunicationLost"
    EV_CONNECT_TIMEOUT = "EVConnectTimeout"
    EV_DEPARTED = "EVDeparted"
    EV_DETECTED = "EVDetected"
    REMOTE_START = "RemoteStart"
    REMOTE_STOP = "RemoteStop"
    RESET_COMMAND = "ResetCommand"
    STOP_AUTHORIZED = "StopAuthorized"
    TIME_LIMIT = "TimeLimitReached"
    TX_RESUMED = "TxResumed"
    UNLOCK_COMMAND = "UnlockCommand"


@frozen
class Message:
    """A message to a backend. What is billed travels in the durable first-in-first-out queue."""


@frozen
class Sample:
    """A reading and what of it is to be sent: ``measurands`` are OCPP names, optionally with
    ``.L1`` and the like."""

    context: ReadingContext
    reading: Reading
    measurands: tuple[str, ...]


@frozen
class TransactionStarted(Message):
    """``token`` None: no driver is authorized yet. ``evse`` 0: not chosen yet, and the register
    says nothing."""

    session: str
    evse: EvseId
    token: Token | None
    at: Stamp
    meter_wh: int
    trigger: TriggerReason = TriggerReason.AUTHORIZED
    charging: ChargingState = ChargingState.EV_CONNECTED
    offline: bool = False
    remote_id: str = ""
    samples: tuple[Sample, ...] = ()
    reading: Reading | None = None
    """All that the meter said at the start; ``meter_wh`` is its register."""
    reservation: str = ""
    """Which reservation it uses up (``domain/reservation_claims.py``)."""


@frozen
class TransactionAuthorised(Message):
    """A driver is authorized in a transaction that began without authorization, or its EVSE is
    known by now (``placed``). ``meter_wh``: the register of the transaction's begin."""

    session: str
    evse: EvseId
    token: Token
    at: Stamp
    meter_wh: int
    trigger: TriggerReason
    charging: ChargingState
    offline: bool = False
    remote_id: str = ""
    placed: bool = False
    reservation: str = ""
    reading: Reading | None = None
    """All that the meter said when the EVSE became known."""


def is_first_with_token(message: Message) -> bool:
    """Return whether this message is the first to report who charges where. Where a backend numbers
    transactions, it is the start."""
    if isinstance(message, TransactionStarted):
        return message.token is not None and message.evse != 0
    return isinstance(message, TransactionAuthorised)


@frozen
class TransactionUpdated(Message):
    """The charging state changed, or something else that ``trigger`` names. ``token``: who caused it."""

    session: str
    evse: EvseId
    at: Stamp
    trigger: TriggerReason
    charging: ChargingState
    offline: bool = False
    token: Token | None = None


@frozen
class TransactionEnded(Message):
    """``token``: who ended it, None if it ended without a token. ``note``: "soft" or "hard" after a
    reset. ``evse`` 0: never chosen, and the register says nothing. ``authorised`` False: no driver
    was ever authorized. ``plugged``: is the vehicle still there? None: the trigger says it."""

    session: str
    evse: EvseId
    token: Token | None
    at: Stamp
    meter_wh: int
    reason: StopReason
    trigger: TriggerReason
    offline: bool = False
    note: str = ""
    samples: tuple[Sample, ...] = ()
    reading: Reading | None = None
    """All that the meter said at the end; None when the last good register had to do."""
    authorised: bool = True
    plugged: bool | None = None
    signed: SignedReading | None = None
    """A record of the whole transaction, of the meter or of the station."""


@frozen
class MeterSampled(Message):
    """Values of a running transaction (``session``) or of an idle meter (""). ``authorised`` False:
    no driver is authorized yet. ``late``: a record of a transaction that is over. ``at``: its place
    among the events of the transaction, which may be a moment after the reading; None: of one that
    lies in the queue since before this was said."""

    session: str
    evse: EvseId
    samples: tuple[Sample, ...]
    offline: bool = False
    charging: ChargingState | None = None
    authorised: bool = True
    late: bool = False
    at: Stamp | None = None


@frozen
class ConnectorUnplugged(Message):
    """The vehicle is gone for good after its transaction had ended: what its place costs ends here."""

    session: str
    evse: EvseId
    at: Stamp


@frozen
class StatusChanged(Message):
    """The whole situation of an EVSE (0: of the station), for a dialect to project.

    ``authorised``: a driver is authorized and no energy flows yet; ``ended``: a session is over and
    the cable is still there. ``faults`` are ordered by weight, blocking ones first.
    """

    evse: EvseId
    at: Stamp
    connector: ConnectorStatus
    charging: ChargingState = ChargingState.IDLE
    authorised: bool = False
    ended: bool = False
    faults: tuple[Fault, ...] = ()
    forced: bool = False
    """Sent although nothing changed (after a boot, on request)."""


@frozen
class FaultNoted(Message):
    """A fault has come (``present``) or is over. ``faults``: all that is wrong there now. ``number``: of this notice,
    since the start."""

    evse: EvseId
    fault: Fault
    present: bool
    faults: tuple[Fault, ...]
    at: Stamp
    number: int


@frozen
class ListConflicted(Message):
    """The backend says something else of a token than its local list does. ``connector``: of the station."""

    at: Stamp
    connector: ConnectorStatus = ConnectorStatus.AVAILABLE


@frozen
class ReservationEnded(Message):
    """A reservation is gone without having been used: its time was over, or its EVSE cannot serve a
    driver."""

    reservation: str
    expired: bool


@frozen
class HeartbeatWanted(Message):
    pass


@frozen
class BootWanted(Message):
    pass


@frozen
class FirmwareStatus(Message):
    """``status``: FirmwareStatusEnumType of 2.x; Idle on request only. ``request_id`` None: there
    was none. ``signed``: it belongs to the signed procedure, which has a message of its own in 1.6.
    ``forced``: sent on request, although nothing has changed."""

    status: str = "Idle"
    request_id: int | None = None
    signed: bool = False
    forced: bool = False


@frozen
class LogStatus(Message):
    """``status``: UploadLogStatusEnumType of 2.x. ``extended``: 1.6 asked by GetLog, not by GetDiagnostics. ``forced``:
    as of ``FirmwareStatus``."""

    status: str = "Idle"
    request_id: int | None = None
    extended: bool = False
    forced: bool = False


@frozen
class SecurityHappened(Message):
    """``kind``: a name of the security events list of OCPP."""

    kind: str
    at: Stamp
    info: str = ""


@frozen
class CertificateSigningWanted(Message):
    """``csr``: a certificate signing request (PEM) of a key that this station has just made."""

    csr: str


BILLED: tuple[type[Message], ...] = (
    TransactionStarted,
    TransactionAuthorised,
    TransactionUpdated,
    TransactionEnded,
    MeterSampled,
    ConnectorUnplugged,
)


def is_billed_message(message: Message) -> bool:
    """Return whether the message travels in the queue of what is billed. Meter values outside a
    transaction do not."""
    return isinstance(message, BILLED) and not is_reading_outside_transaction(message)


def with_signed_record(message: Message, record: SignedReading) -> Message:
    """Return the message with this record: of the whole transaction with its end, otherwise of the
    one reading that the message carries."""
    match message:
        case TransactionEnded():
            return replace(message, signed=record)
        case TransactionStarted() | TransactionAuthorised() if message.reading is not None:
            return replace(message, reading=replace(message.reading, signed=record))
        case MeterSampled(samples=(sample, *rest)):
            signed = replace(sample, reading=replace(sample.reading, signed=record))
            return replace(message, samples=(signed, *rest))
        case _:
            raise ValueError(f"{type(message).__name__} carries no reading to sign")


def is_reading_outside_transaction(message: Message) -> bool:
    """Return whether it is a meter value outside a transaction. It travels in a durable queue that
    nothing billed waits for."""
    return isinstance(message, MeterSampled) and not message.session


def is_noted_message(message: Message) -> bool:
    """Return whether the message travels in the other durable queue, beside what is billed. It has
    happened, and must be reported even if the station restarts before it was sent."""
    if isinstance(message, FirmwareStatus | LogStatus):
        return not message.forced
    return isinstance(message, SecurityHappened)


MESSAGES: tuple[type[Message], ...] = (
    *BILLED,
    StatusChanged,
    FaultNoted,
    ListConflicted,
    ReservationEnded,
    HeartbeatWanted,
    BootWanted,
    FirmwareStatus,
    LogStatus,
    SecurityHappened,
    CertificateSigningWanted,
)
