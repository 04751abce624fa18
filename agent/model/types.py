"""Words that every room shares. Base units, the unit in the name; values are frozen and compare by content.

Vocabulary follows OCPP 2.1 (part 2, appendices) where it has a word. What a board says is in ``board.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated, TypeAlias

from agent.model.fastclass import frozen
from agent.model.key_rules import Between, OneLine, OneOf

EvseId: TypeAlias = int
"""1..n in the order of the station file; 0 speaks of the station as a whole."""

STATION: EvseId = 0


@frozen
class Stamp:
    """An instant as it was known when it happened: which boot of the kernel, and seconds of CLOCK_BOOTTIME in it.

    It becomes UTC only when a message leaves (``services/clock.py``): an event before the first contact with the
    backend has no trustworthy wall-clock time, but always a stamp.
    """

    boot: int
    t_s: float

    def __lt__(self, other: Stamp) -> bool:
        return (self.boot, self.t_s) < (other.boot, other.t_s)

    def __le__(self, other: Stamp) -> bool:
        return (self.boot, self.t_s) <= (other.boot, other.t_s)


@frozen
class Moment:
    """Now, as the domain gets it: a stamp, and UTC (seconds since 1970) if the clock is trusted."""

    stamp: Stamp
    utc_s: float | None = None

    @property
    def t_s(self) -> float:
        return self.stamp.t_s


FEATURE_PROFILES = (
    "Core",
    "RemoteTrigger",
    "LocalAuthListManagement",
    "Reservation",
    "SmartCharging",
    "FirmwareManagement",
)
"""OCPP 1.6 6.1; what is offered (``features_off`` of the station file takes some away)."""


# --- who ---------------------------------------------------------------------------------------------------------


class TokenType(StrEnum):
    """IdTokenEnumType of OCPP 2.x."""

    CENTRAL = "Central"
    DIRECT_PAYMENT = "DirectPayment"
    EMAID = "eMAID"
    ISO14443 = "ISO14443"
    ISO15693 = "ISO15693"
    KEY_CODE = "KeyCode"
    LOCAL = "Local"
    MAC_ADDRESS = "MacAddress"
    NO_AUTHORIZATION = "NoAuthorization"

    def has_form_of(self, text: str) -> bool:
        """Whether an identifier of this type may be written like this (2.0.1 part 2, IdTokenEnumType). ``Central``,
        ``KeyCode``, ``Local`` and ``DirectPayment`` have no form; ``NoAuthorization`` is empty."""
        form = _TOKEN_FORMS.get(self.value)
        return form is None or re.fullmatch(form, text) is not None


_TOKEN_FORMS = {
    "ISO14443": "(?:[0-9A-Fa-f]{8}|[0-9A-Fa-f]{14}|[0-9A-Fa-f]{20})",  # UID of 4, 7 or 10 bytes
    "ISO15693": "[0-9A-Fa-f]{16}",
    "MacAddress": "[0-9A-Fa-f]{2}(?:[:-]?[0-9A-Fa-f]{2}){5}",
    "eMAID": "[A-Za-z]{2}-?[A-Za-z0-9]{3}-?[A-Za-z0-9]{9}(?:-?[A-Za-z0-9])?",  # ISO 15118-2 annex H
    "NoAuthorization": "",
}


@frozen
class Token:
    """What identifies a driver. ``value`` is passed on unchanged (1-36 characters)."""

    value: str
    type: TokenType = TokenType.ISO14443

    def __repr__(self) -> str:
        return f"Token({self.masked_value()!r}, {self.type.value})"  # a repr ends in tracebacks and logs

    @classmethod
    def of_text(cls, text: str, type_: TokenType, otherwise: TokenType) -> Token:
        """What a reader has read: of the type that the station file expects where the text has its form."""
        return cls(text, type_ if type_.has_form_of(text) else otherwise)

    def matches_token(self, other: Token) -> bool:
        """OCPP's identifiers are case-insensitive (CiString); how a token was read does not make it another one."""
        return self.value.casefold() == other.value.casefold()

    def masked_value(self) -> str:
        """For logs and screens: the last four characters at most."""
        return "…" + self.value[-4:] if len(self.value) > 6 else "…"


FREE_TOKEN = Token("FREE", TokenType.NO_AUTHORIZATION)
"""No user: energy for every vehicle that is plugged in."""


class AuthorizationStatus(StrEnum):
    """AuthorizationStatusEnumType of OCPP 2.x."""

    ACCEPTED = "Accepted"
    BLOCKED = "Blocked"
    CONCURRENT_TX = "ConcurrentTx"
    EXPIRED = "Expired"
    INVALID = "Invalid"
    NO_CREDIT = "NoCredit"
    NOT_ALLOWED_TYPE_EVSE = "NotAllowedTypeEVSE"
    NOT_AT_THIS_LOCATION = "NotAtThisLocation"
    NOT_AT_THIS_TIME = "NotAtThisTime"
    UNKNOWN = "Unknown"


class Judge(StrEnum):
    """Who has decided that a driver may charge here."""

    NOBODY = ""
    AUTHORIZE = "Authorize"
    LIST = "LocalList"
    CACHE = "Cache"
    REMOTE_START = "RemoteStart"
    BANK = "Bank"
    BANK_AND_AUTHORIZE = "BankAndAuthorize"


@frozen
class Verdict:
    """What the backend (or a list) says of a token. ``expires_utc_s``: when it stops being true; ``group``: the
    token of its group (``parentIdTag`` of 1.x, ``groupIdToken`` of 2.x); ``evses``: where alone it holds (2.x), empty:
    everywhere."""

    status: AuthorizationStatus
    group: str | None = None
    expires_utc_s: float | None = None
    evses: tuple[EvseId, ...] = ()

    def holds_at(self, evse: EvseId) -> bool:
        return not self.evses or evse in self.evses

    @property
    def is_accepted(self) -> bool:
        return self.status is AuthorizationStatus.ACCEPTED


# --- words for a driver ------------------------------------------------------------------------------------------


@frozen
class MessageContent:
    """A text of the backend for a driver (MessageContentType of OCPP 2.x). ``language``: RFC 5646, "" if it was not
    said; ``format``: MessageFormatEnumType (``UTF8``, ``ASCII``, ``URI``, ``HTML``)."""

    content: str
    language: str = ""
    format: str = "UTF8"


# --- energy ------------------------------------------------------------------------------------------------------


@frozen
class SignedReading:
    """A signed record of a transaction, byte for byte as its maker wrote it: never parsed, never
    rewritten. ``public_key``: DER as hexadecimal digits, "" if it is known elsewhere. ``maker``:
    "meter", or "station" for the aid to integrity that the agent makes where no meter signs."""

    data: str
    encoding: str = "OCMF"
    method: str = "ECDSA-secp256r1-SHA256"
    public_key: str = ""
    maker: str = "meter"


@frozen
class Reading:
    """One look at a meter. ``energy_wh`` is the lifetime import register, floored: the only number that is billed.

    Per-phase tuples are L1, L2, L3 (one or three entries, empty = not measured). ``at`` is when it was read: a
    value that was not read again is never published with a newer stamp.
    """

    at: Stamp
    energy_wh: int
    power_w: float | None = None
    voltage_v: tuple[float, ...] = ()
    current_a: tuple[float, ...] = ()
    power_phase_w: tuple[float, ...] = ()
    frequency_hz: float | None = None
    power_factor: float | None = None
    export_wh: int | None = None
    soc_percent: float | None = None
    offered_a: float | None = None
    offered_w: float | None = None
    signed: SignedReading | None = None
    """What the meter itself signed: of the transaction that ends with this reading; with one that begins, what it still
    had of the transaction that was ``owed``."""
    record_due: bool = False
    """The meter has a record of the transaction that ends, and it is not to be had yet."""
    dc: bool = False
    """Direct current: one voltage, one current, no phase."""


class ReadingContext(StrEnum):
    """ReadingContextEnumType of OCPP."""

    BEGIN = "Transaction.Begin"
    END = "Transaction.End"
    PERIODIC = "Sample.Periodic"
    CLOCK = "Sample.Clock"
    TRIGGER = "Trigger"
    INTERRUPTION_BEGIN = "Interruption.Begin"
    INTERRUPTION_END = "Interruption.End"
    OTHER = "Other"


@frozen
class MeterIdentity:
    """Who the meter is. ``serial`` is pinned at commissioning: a changed one bills nothing.
    ``classes``: the accuracy classes (Directive 2014/32/EU, annex V) that this model is sold in;
    ``mid``: the meter says that it is of the MID variant (None: no register says so); ``doubts``:
    facts of the driver's own description that are not proven; ``signs``: it signs transactions that
    it is given (``Signing``); ``reset``: what is known to set its count back."""

    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    register_step_wh: float = 1.0
    classes: tuple[str, ...] = ()
    mid: bool | None = None
    doubts: tuple[str, ...] = ()
    signs: bool = False
    reset: str = ""


@frozen
class MeterPolicy:
    """What the station file demands of a meter. ``accuracy_class``: A, B or C, as on its label; "" demands nothing and
    leaves the strict rules of ``domain/metrology.py`` off, those of plausibility only where nothing is sold.
    ``mid_year``: the year of its MID marking; ``certificate``: of a DC meter without one, the reference of its EN
    50470-4 certificate. ``serial``: the meter that was put into service. ``firmware``: the versions that the
    certificate names."""

    accuracy_class: Annotated[str, OneOf(("A", "B", "C", ""))] = ""
    mid_year: Annotated[int, Between(2006, 2100, "the year of the MID marking")] | None = None
    certificate: OneLine = ""
    serial: OneLine = ""
    firmware: tuple[OneLine, ...] = ()
    sells: bool = False
    """The outlet has an ad-hoc price: made of the file's prices, no key of the meter's table."""

    @property
    def declares_class(self) -> bool:
        return bool(self.accuracy_class)

    @property
    def checks_plausibility(self) -> bool:
        """Only what can be true is believed: of a declared class, and wherever something is sold."""
        return self.declares_class or self.sells


@frozen
class Limit:
    """Wanted upper bound. ``current_a`` per phase; below 6 A (IEC 61851-1 knows nothing between 0 and 6 A) it means
    *pause*. ``power_w`` is what counts at a DC outlet. ``None`` = no bound of ours."""

    current_a: float | None = None
    phases: int | None = None
    power_w: float | None = None


@frozen
class Supply:
    """What feeds the station. ``mains``: the grid is there; ``backup``: a back-up supply carries
    the board without it (None: unknown)."""

    mains: bool
    backup: bool | None = None


# --- what can be wrong -------------------------------------------------------------------------------------------


class Fault(StrEnum):
    """What can be wrong, in the station's own words; ``domain/faults.py`` says what follows from each."""

    EMERGENCY_STOP = "EmergencyStop"
    GROUND_FAILURE = "GroundFailure"
    RCD_TEST_FAILED = "ResidualCurrentTestFailed"
    OVER_CURRENT = "OverCurrentFailure"
    OVER_VOLTAGE = "OverVoltage"
    UNDER_VOLTAGE = "UnderVoltage"
    POWER_LOSS = "PowerLoss"
    CONTACTOR_WELDED = "ContactorWelded"
    CONTACTOR_STUCK_OPEN = "ContactorStuckOpen"
    CONTACTOR_STUCK_CLOSED = "ContactorStuckClosed"
    LOCK_FAILURE = "ConnectorLockFailure"
    UNLOCK_FAILURE = "UnlockFailure"
    PILOT_FAULT = "PilotFault"
    DIODE_FAULT = "DiodeFault"
    PROXIMITY_FAULT = "ProximityFault"
    CABLE_REJECTED = "CableRejected"
    VENTILATION_REFUSED = "VentilationRefused"
    HIGH_TEMPERATURE = "HighTemperature"
    TEMPERATURE_DERATING = "TemperatureDerating"
    PLUG_HOT = "PlugOverTemperature"
    PLUG_DERATING = "PlugTemperatureDerating"
    DOOR_OPEN = "DoorOpen"
    TILT = "Tilt"
    METER_SILENT = "MeterSilent"
    METER_IMPLAUSIBLE = "MeterImplausible"
    METER_EXCHANGED = "MeterExchanged"
    METER_UNFIT = "MeterUnfit"
    METER_DISAGREES = "MeterDisagrees"
    READER_SILENT = "ReaderSilent"
    TERMINAL_SILENT = "TerminalSilent"
    POWER_INPUT_SILENT = "PowerInputSilent"
    INDICATOR_SILENT = "IndicatorSilent"
    DISPLAY_SILENT = "DisplaySilent"
    BOARD_SILENT = "BoardSilent"
    BOARD_CONFIG = "BoardMisconfigured"
    STORE_FAILED = "StoreFailed"
    RECORD_POISONED = "RecordPoisoned"
    PAYMENT_UNCERTAIN = "PaymentUncertain"
    WEAK_SIGNAL = "WeakSignal"
    RESET_FAILURE = "ResetFailure"
    INTERNAL_ERROR = "InternalError"
    # ChargeX/INL minimum required error codes by their full name, for boards that report them
    MREC1 = "MREC1ConnectorLockFailure"
    MREC2 = "MREC2GroundFailure"
    MREC3 = "MREC3HighTemperature"
    MREC4 = "MREC4OverCurrentFailure"
    MREC5 = "MREC5OverVoltage"
    MREC6 = "MREC6UnderVoltage"
    MREC8 = "MREC8EmergencyStop"
    MREC10 = "MREC10InvalidVehicleMode"
    MREC14 = "MREC14PilotFault"
    MREC15 = "MREC15PowerLoss"
    MREC17 = "MREC17EVSEContactorFault"
    MREC18 = "MREC18CableOverTempDerate"
    MREC19 = "MREC19CableOverTempStop"
    MREC20 = "MREC20PartialInsertion"
    MREC23 = "MREC23ProximityFault"
    MREC24 = "MREC24ConnectorVoltageHigh"
    MREC25 = "MREC25BrokenLatch"
    MREC26 = "MREC26CutCable"
    # after the others: the bits of the simulated wiring follow this order
    OTHER_ERROR = "OtherError"


# --- what a person sees ------------------------------------------------------------------------------------------


class ScreenName(StrEnum):
    STARTING = "starting"
    IDLE = "idle"
    CHECKING = "checking"
    PLUG_IN = "plug_in"
    REFUSED = "refused"
    CHOOSE_OUTLET = "choose_outlet"
    PREPARING = "preparing"
    CHARGING = "charging"
    PAUSED = "paused"
    FINISHED = "finished"
    OUT_OF_SERVICE = "out_of_service"
    RESERVED = "reserved"
    OFFLINE = "offline"


@frozen
class Screen:
    """What the display of an EVSE has to say. Numbers travel raw (``energy_wh`` 812, ``since_s`` 65): the display
    words them in ``language`` from ``config/texts``. ``detail`` is a key of the texts, never a sentence. ``acts``
    counts what a person has done here: on a display of several outlets the one of the newest act comes first."""

    name: ScreenName
    language: str = "fr"
    detail: str = ""
    values: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    acts: int = 0

    def __hash__(self) -> int:
        return hash((self.name, self.language, self.detail, tuple(sorted(self.values.items()))))


class Lamp(StrEnum):
    OFF = "off"
    GREEN = "green"
    BLUE = "blue"
    YELLOW = "yellow"
    RED = "red"


@frozen
class Light:
    """What a lamp shall show. ``percent``: of its full brightness."""

    lamp: Lamp
    percent: int = 100


class Sign(StrEnum):
    """A short answer to what a person has just done, by sound and by blinking."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    FAULT = "fault"
