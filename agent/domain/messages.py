"""Define the messages that the station sends to a backend, without the words of a version.

A dialect has a row for each message, or a reason why it cannot express it. Messages are stored as they are
(``services/store/store.py``) and encoded when they leave, so all classes in here are frozen and made of
``agent.model.types`` and plain values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.domain.charging.profiles import OPERATOR, Profile, Schedule
from agent.model.fastclass import frozen, replace
from agent.model.string_enum import StrEnum
from agent.model.types import (
    DirectPayment,
    EvseId,
    Fault,
    Reading,
    ReadingContext,
    SignedReading,
    Stamp,
    Token,
    TransactionLimit,
)

if TYPE_CHECKING:  # of stations that show messages of a backend
    from agent.domain.display_messages import DisplayMessage


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
    ENERGY_LIMIT = "EnergyLimitReached"
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
    TIME_LIMIT = "TimeLimitReached"
    TIMEOUT = "Timeout"


class TriggerReason(StrEnum):
    """TriggerReasonEnumType of OCPP 2.x (those that occur here)."""

    ABNORMAL_CONDITION = "AbnormalCondition"
    AUTHORIZED = "Authorized"
    CABLE_PLUGGED_IN = "CablePluggedIn"
    CHARGING_STATE_CHANGED = "ChargingStateChanged"
    COST_LIMIT = "CostLimitReached"
    DEAUTHORIZED = "Deauthorized"
    ENERGY_LIMIT = "EnergyLimitReached"
    EV_COMMUNICATION_LOST = "EVCommunicationLost"
    EV_CONNECT_TIMEOUT = "EVConnectTimeout"
    EV_DEPARTED = "EVDeparted"
    EV_DETECTED = "EVDetected"
    LIMIT_SET = "LimitSet"
    REMOTE_START = "RemoteStart"
    REMOTE_STOP = "RemoteStop"
    RESET_COMMAND = "ResetCommand"
    SIGNED_DATA_RECEIVED = "SignedDataReceived"
    STOP_AUTHORIZED = "StopAuthorized"
    TARIFF_CHANGED = "TariffChanged"
    TIME_LIMIT = "TimeLimitReached"
    TX_RESUMED = "TxResumed"
    UNLOCK_COMMAND = "UnlockCommand"


@frozen
class Message:
    """A message to a backend. What is billed travels in the durable first-in-first-out queue."""


@frozen
class IdleMessage(Message):
    """A message that leaves when nothing that is billed or asked for waits. It is kept in memory only."""


@frozen
class Sample:
    """A reading, and the part of it that is to be sent."""

    context: ReadingContext
    reading: Reading
    measurands: tuple[str, ...]
    """Names of OCPP, optionally with a phase such as ``.L1``."""


@frozen
class TransactionStarted(Message):
    """A transaction has begun."""

    session: str
    evse: EvseId
    """0: it is not chosen yet, and the register has no meaning."""
    token: Token | None
    """None: no driver is authorized yet."""
    at: Stamp
    meter_wh: int
    trigger: TriggerReason = TriggerReason.AUTHORIZED
    charging: ChargingState = ChargingState.EV_CONNECTED
    offline: bool = False
    remote_id: str = ""
    """Link and number of the backend's request that has begun it (``LINK/NUMBER``); "remote": it had no number."""
    samples: tuple[Sample, ...] = ()
    reading: Reading | None = None
    """All values of the meter at the start. ``meter_wh`` is its register."""
    reservation: str = ""
    """The reservation that it uses up (``domain/reservation_claims.py``)."""
    payment: DirectPayment | None = None
    """The payment that the token stands for, if a card was read here."""


@frozen
class TransactionAuthorized(Message):
    """A driver is authorized in a transaction that began without authorization, or its EVSE is
    known by now (``placed``)."""

    session: str
    evse: EvseId
    token: Token
    at: Stamp
    meter_wh: int
    """The register of the transaction's begin."""
    trigger: TriggerReason
    charging: ChargingState
    offline: bool = False
    remote_id: str = ""
    placed: bool = False
    reservation: str = ""
    reading: Reading | None = None
    """All values of the meter when the EVSE became known."""
    payment: DirectPayment | None = None


def is_first_with_token(message: Message) -> bool:
    """Return whether this message is the first to report which driver charges at which EVSE.

    If the backend gives transactions their numbers, this message is the start.
    """
    if isinstance(message, TransactionStarted):
        return message.token is not None and message.evse != 0
    return isinstance(message, TransactionAuthorized)


@frozen
class TransactionUpdated(Message):
    """The charging state changed, or something else that ``trigger`` names. ``token``: the driver who caused it.
    ``rate_changed``: an external limit has changed the charging rate. ``requested``: a backend has asked for the event
    (TriggerMessage). With either, ``trigger`` is a word that an older program can read in the queue."""

    session: str
    evse: EvseId
    at: Stamp
    trigger: TriggerReason
    charging: ChargingState
    offline: bool = False
    token: Token | None = None
    limit: TransactionLimit | None = None
    """The limit that holds from now on (``LIMIT_SET``)."""
    tariff_id: str = ""
    """The tariff of a backend by which the cost is computed; it is named once."""
    rate_changed: bool = False
    requested: bool = False


@frozen
class TransactionCost:
    """What a transaction costs by the tariff of the station (CostDetailsType of 2.1), VAT included. ``parts``: kind
    (``Tariff.exact_parts``) and cents, which add up to ``cents``. ``vat_percent``: "" if it is not known."""

    currency: str
    cents: int
    parts: tuple[tuple[str, int], ...] = ()
    vat_percent: str = ""
    energy_wh: int = 0
    charging_s: int = 0
    idle_s: int = 0
    tariff_id: str = ""
    """Of the tariff that a backend has set; "": the tariff is the station's own."""
    begun: Stamp | None = None
    """When that tariff began to count."""
    periods: tuple[tuple[str, Stamp, int, int, int], ...] = ()
    """Of the tariffs before it in this transaction (``changed_tariff.TariffPeriod``)."""


@frozen
class TransactionEnded(Message):
    """A transaction has ended."""

    session: str
    evse: EvseId
    """0: it was never chosen, and the register has no meaning."""
    token: Token | None
    """The driver who ended it. None: it ended without a token."""
    at: Stamp
    meter_wh: int
    reason: StopReason
    trigger: TriggerReason
    offline: bool = False
    note: str = ""
    """``soft`` or ``hard`` after a reset."""
    samples: tuple[Sample, ...] = ()
    reading: Reading | None = None
    """All values of the meter at the end. None: the last good register is billed instead."""
    authorized: bool = True
    """False: no driver was ever authorized."""
    plugged: bool | None = None
    """The vehicle is still there. None: the trigger shows it."""
    signed: SignedReading | None = None
    """A record of the whole transaction, of the meter or of the station."""
    cost: TransactionCost | None = None
    """None: the station does not compute it."""
    tariff_id: str = ""
    """As in ``TransactionUpdated``."""


@frozen
class MeterSampled(Message):
    """Values of a running transaction, or of an idle meter."""

    session: str
    """Empty: the meter is idle."""
    evse: EvseId
    samples: tuple[Sample, ...]
    offline: bool = False
    charging: ChargingState | None = None
    authorized: bool = True
    """False: no driver is authorized yet."""
    late: bool = False
    """It carries a record of a transaction that is over."""
    at: Stamp | None = None
    """Its place among the events of the transaction, which may be a moment after the reading. None: it was queued by a
    program that did not store the place."""


@frozen
class ConnectorUnplugged(Message):
    """The vehicle has left for good after its transaction had ended: the cost of its place ends here."""

    session: str
    evse: EvseId
    at: Stamp


@frozen
class StatusChanged(Message):
    """The whole situation of an EVSE (0: of the station). A dialect expresses the part that its version knows."""

    evse: EvseId
    at: Stamp
    connector: ConnectorStatus
    charging: ChargingState = ChargingState.IDLE
    authorized: bool = False
    """A driver is authorized and no energy flows yet."""
    ended: bool = False
    """A session is over and the cable is still there."""
    faults: tuple[Fault, ...] = ()
    """Ordered by weight, blocking ones first."""
    forced: bool = False
    """It is sent although nothing has changed (after a boot, on request)."""


@frozen
class FaultNoted(Message):
    """A fault has begun (``present``) or is over."""

    evse: EvseId
    fault: Fault
    present: bool
    faults: tuple[Fault, ...]
    """All faults of the EVSE now."""
    at: Stamp
    number: int
    """The number of this notice since the start."""


@frozen
class ListConflicted(Message):
    """The backend has decided about a token in another way than its local list. ``connector``: of the station."""

    at: Stamp
    connector: ConnectorStatus = ConnectorStatus.AVAILABLE


@frozen
class PricesReported(Message):
    """Another price is in force for drivers without a contract, or is to come (Regulation (EU) 2023/1804, article
    20). ``prices``: JSON, the value of the setting ``adhoc_tariff_in_force``."""

    prices: str


@frozen
class ReservationEnded(Message):
    """A reservation has ended without having been used: its time was over, or its EVSE cannot serve
    a driver."""

    reservation: str
    expired: bool


@frozen
class HeartbeatWanted(Message):
    """A Heartbeat is to be sent, because the backend has asked for one."""


@frozen
class BootWanted(Message):
    """A BootNotification is to be sent, because the backend has asked for one."""


@frozen
class FirmwareStatus(Message):
    """The status of a firmware update has changed, or was asked for."""

    status: str = "Idle"
    """FirmwareStatusEnumType of 2.x. ``Idle`` is sent on request only."""
    request_id: int | None = None
    """None: the backend's request had none."""
    signed: bool = False
    """It belongs to the signed procedure, which has a message of its own in 1.6."""
    forced: bool = False
    """It is sent on request, although nothing has changed."""


@frozen
class LogStatus(Message):
    """The status of a log upload has changed, or was asked for."""

    status: str = "Idle"
    """UploadLogStatusEnumType of 2.x."""
    request_id: int | None = None
    extended: bool = False
    """A backend of 1.6 has asked by GetLog, not by GetDiagnostics."""
    forced: bool = False
    """It is sent on request, although nothing has changed."""


@frozen
class SecurityHappened(Message):
    """A security event has happened. ``kind`` is a name in the list of security events of OCPP."""

    kind: str
    at: Stamp
    info: str = ""


class SettlementStatus(StrEnum):
    """PaymentStatusEnumType of OCPP 2.1."""

    SETTLED = "Settled"
    CANCELED = "Canceled"
    REJECTED = "Rejected"
    FAILED = "Failed"


@frozen
class SettlementReported(Message):
    """The money of a card payment was settled or released, or that has failed. It travels behind the end of its
    transaction. ``reference``: its token.
    ``transaction``: "" if none was begun. ``info``: why, in words."""

    reference: str
    status: SettlementStatus
    cents: int
    at: Stamp
    transaction: str = ""
    receipt_id: str = ""
    receipt_url: str = ""
    info: str = ""
    vat_number: str = ""
    """Of the driver, for the receipt; "": none was entered, or the backend has rejected it."""
    vat_company: tuple[tuple[str, str], ...] = ()
    """What the backend knows of it: fields of AddressType and their texts."""


@frozen
class CertificateSigningWanted(Message):
    """A certificate is to be signed. ``csr``: the request (PEM) of a key that this station has just made."""

    csr: str


@frozen
class ExternalLimitSet(Message):
    """An external system has set a limit on the station, or has changed it. ``source``: ChargingLimitSourceEnumType.
    ``schedule``: the limit itself. None: only the fact is reported."""

    source: str
    schedule: Schedule | None = None


@frozen
class ExternalLimitReleased(Message):
    """An external system limits the station no more."""

    source: str


BILLED: tuple[type[Message], ...] = (
    TransactionStarted,
    TransactionAuthorized,
    TransactionUpdated,
    TransactionEnded,
    MeterSampled,
    ConnectorUnplugged,
    SettlementReported,
)


def is_billed_message(message: Message) -> bool:
    """Return whether the message travels in the queue of billed messages. Meter values outside a
    transaction do not."""
    return isinstance(message, BILLED) and not is_reading_outside_transaction(message)


def with_signed_record(message: Message, record: SignedReading) -> Message:
    """Return the message with this record.

    The end of a transaction carries a record of all of it. Other messages carry one of their reading.
    """
    match message:
        case TransactionEnded():
            return replace(message, signed=record)
        case TransactionStarted() | TransactionAuthorized() if message.reading is not None:
            return replace(message, reading=replace(message.reading, signed=record))
        case MeterSampled(samples=(sample, *rest)):
            signed = replace(sample, reading=replace(sample.reading, signed=record))
            return replace(message, samples=(signed, *rest))
        case _:
            raise ValueError(f"{type(message).__name__} carries no reading to sign")


def is_reading_outside_transaction(message: Message) -> bool:
    """Return whether it is a meter value outside a transaction. No billed message waits for the
    durable queue in which it travels."""
    return isinstance(message, MeterSampled) and not message.session


def is_noted_message(message: Message) -> bool:
    """Return whether the message travels in the other durable queue, beside the billed messages.

    It reports something that has happened, and must be sent even if the station restarts before.
    """
    if isinstance(message, FirmwareStatus | LogStatus):
        return not message.forced
    return isinstance(message, SecurityHappened | PricesReported)


MESSAGES: tuple[type[Message], ...] = (
    *BILLED,
    StatusChanged,
    FaultNoted,
    ListConflicted,
    PricesReported,
    ReservationEnded,
    HeartbeatWanted,
    BootWanted,
    FirmwareStatus,
    LogStatus,
    SecurityHappened,
    CertificateSigningWanted,
    ExternalLimitSet,
    ExternalLimitReleased,
)
"""Every message that the station sends when something has happened, or at its own time."""


# --- parts of a report, which follow the answer to a request ---------------------------------------------------------


@frozen
class DeviceModelReport(Message):
    """A part of a report of the device model. ``data``: its entries, in the words of the version that was asked.
    ``more``: another part follows."""

    request: int
    part: int
    more: bool
    at: Stamp
    data: tuple[Any, ...]


@frozen
class ChargingProfilesReport(Message):
    """A part of a report of charging profiles: some of those of one EVSE and one ``source``. ``more``: another part
    follows."""

    request: int
    evse: EvseId
    more: bool
    profiles: tuple[Profile, ...]
    source: str = OPERATOR


@frozen
class CustomerReport(Message):
    """A part of a report of what is known of a customer. ``more``: another part follows."""

    request: int
    part: int
    more: bool
    at: Stamp
    data: str


@frozen
class DisplayMessagesReport(Message):
    """A part of a report of the messages for drivers. ``more``: another part follows."""

    request: int
    more: bool
    messages: tuple[DisplayMessage, ...]


REPORTS: tuple[type[Message], ...] = (DeviceModelReport, ChargingProfilesReport, CustomerReport, DisplayMessagesReport)
"""Reports are never stored: a backend that lost its connection asks again."""
