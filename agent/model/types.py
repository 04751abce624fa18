"""Define the types that every room shares.

Quantities are in base units, and their names contain the unit. Values are frozen and compare by content. The words are
those of OCPP 2.1 (part 2, appendices) where it has one. The state that a board reports is in ``board.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, TypeAlias

from agent.model.fastclass import frozen
from agent.model.key_rules import Between, OneLine, OneOf
from agent.model.string_enum import StrEnum

EvseId: TypeAlias = int
"""1 to n in the order of the station file. 0 names the station as a whole."""

STATION: EvseId = 0


@frozen
class Stamp:
    """An instant as it was known when it happened: the boot of the kernel, and seconds of CLOCK_BOOTTIME in it.

    It becomes UTC only when a message leaves (``services/clock.py``). An event before the first contact with the
    backend has no trustworthy wall-clock time, but it always has a stamp.
    """

    boot: int
    t_s: float

    def __lt__(self, other: Stamp) -> bool:
        return (self.boot, self.t_s) < (other.boot, other.t_s)

    def __le__(self, other: Stamp) -> bool:
        return (self.boot, self.t_s) <= (other.boot, other.t_s)


@frozen
class Moment:
    """The present time, as the domain gets it: a stamp, and UTC (seconds since 1970) if the clock is trusted."""

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
"""Feature profiles of OCPP 1.6 (section 6.1) that are offered. ``features_off`` of the station file removes some."""


# --- who ---------------------------------------------------------------------------------------------------------


class TokenType(StrEnum):
    """IdTokenEnumType of OCPP 2.x."""

    CENTRAL = "Central"
    DIRECT_PAYMENT = "DirectPayment"
    EMAID = "eMAID"
    EVCCID = "EVCCID"
    ISO14443 = "ISO14443"
    ISO15693 = "ISO15693"
    KEY_CODE = "KeyCode"
    LOCAL = "Local"
    MAC_ADDRESS = "MacAddress"
    NO_AUTHORIZATION = "NoAuthorization"
    VIN = "VIN"

    def has_form_of(self, text: str) -> bool:
        """Return whether an identifier of this type may be written like this (2.0.1 part 2, IdTokenEnumType).

        ``Central``, ``KeyCode``, ``Local`` and ``DirectPayment`` may have any form. ``NoAuthorization`` is empty.
        """
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
class TransactionLimit:
    """What a transaction may come to at most (TransactionLimitType of OCPP 2.1). None: no limit of that kind."""

    cost_cents: int | None = None
    """Hundredths of the currency's unit."""
    energy_wh: int | None = None
    time_s: int | None = None
    """Since the start of the transaction."""


@frozen
class DirectPayment:
    """A payment that a token stands for: what its bank holds, and what may be known of its card
    (``PaymentDetails``: name and value)."""

    held_cents: int
    details: tuple[tuple[str, str], ...] = ()


@frozen
class Token:
    """The identifier of a driver. ``value`` is passed on unchanged (1 to 255 characters)."""

    value: str
    type: TokenType = TokenType.ISO14443

    def __repr__(self) -> str:
        return f"Token({self.masked_value()!r}, {self.type.value})"  # a repr ends up in tracebacks and logs

    @classmethod
    def of_text(cls, text: str, type_: TokenType, otherwise: TokenType) -> Token:
        """Return the token that a reader has read.

        It has the type that the station file expects (``type_``) if the text has the form of that type.
        """
        return cls(text, type_ if type_.has_form_of(text) else otherwise)

    def matches_token(self, other: Token) -> bool:
        """Return whether this is the same token.

        Identifiers of OCPP are case-insensitive (CiString). The way in which a token was read makes no difference.
        """
        return self.value.casefold() == other.value.casefold()

    def masked_value(self) -> str:
        """Return a text for logs and screens, with the last four characters at most."""
        return "…" + self.value[-4:] if len(self.value) > 6 else "…"


FREE_TOKEN = Token("FREE", TokenType.NO_AUTHORIZATION)
"""The token of free vending: it names no user, and every vehicle that is plugged in gets energy."""


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
    """The party that has decided that a driver may charge here."""

    UNJUDGED = ""
    AUTHORIZE = "Authorize"
    LIST = "LocalList"
    CACHE = "Cache"
    REMOTE_START = "RemoteStart"
    BANK = "Bank"
    BANK_AND_AUTHORIZE = "BankAndAuthorize"


@frozen
class Verdict:
    """The decision of the backend, or of a list, about a token."""

    status: AuthorizationStatus
    group: str | None = None
    """The token of its group: ``parentIdTag`` of 1.x, ``groupIdToken`` of 2.x."""
    expires_utc_s: float | None = None
    """When the decision stops being valid."""
    evses: tuple[EvseId, ...] = ()
    """The only EVSEs where it is valid (2.x). Empty: all of them."""

    def holds_at(self, evse: EvseId) -> bool:
        return not self.evses or evse in self.evses

    @property
    def is_accepted(self) -> bool:
        return self.status is AuthorizationStatus.ACCEPTED


# --- words for a driver ------------------------------------------------------------------------------------------


@frozen
class MessageContent:
    """A text of the backend for a driver (MessageContentType of OCPP 2.x)."""

    content: str
    language: str = ""
    """A tag of RFC 5646. "": the backend named none."""
    format: str = "UTF8"
    """MessageFormatEnumType: ``UTF8``, ``ASCII``, ``URI``, ``HTML``."""


# --- energy ------------------------------------------------------------------------------------------------------


@frozen
class SignedReading:
    """A signed record of a transaction, byte for byte as its maker wrote it. It is never parsed and never rewritten."""

    data: str
    encoding: str = "OCMF"
    method: str = "ECDSA-secp256r1-SHA256"
    public_key: str = ""
    """The hexadecimal digits of its DER form. "": it is known elsewhere."""
    maker: str = "meter"
    """``meter``, or ``station`` for the aid to integrity that the agent makes where no meter signs."""


@frozen
class Reading:
    """The values of a meter, read together.

    Tuples with a value per phase are in the order L1, L2, L3. They have one or three entries; empty: not measured.
    """

    at: Stamp
    """When it was read. A value that was not read again is never published with a newer stamp."""
    energy_wh: int
    """The lifetime import register, rounded down. It is the only number that is billed."""
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
    """The record that the meter itself has signed, of the transaction that ends with this reading. With a reading that
    begins a transaction: the record that the meter still had of the transaction that was ``owed``."""
    record_due: bool = False
    """The meter has a record of the transaction that ends, but cannot deliver it yet."""
    dc: bool = False
    """Direct current: there is one voltage, one current and no phase."""


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
    """The identity of a meter, and what is known of its model."""

    vendor: str = ""
    model: str = ""
    serial: str = ""
    """It is pinned at commissioning. A meter with another one bills nothing."""
    firmware: str = ""
    register_step_wh: float = 1.0
    classes: tuple[str, ...] = ()
    """The accuracy classes (Directive 2014/32/EU, annex V) that this model is sold in."""
    mid: bool | None = None
    """The meter reports that it is of the MID variant. None: no register shows it."""
    doubts: tuple[str, ...] = ()
    """Facts of the driver's own description that are not proven."""
    signs: bool = False
    """It signs the transactions that it is given (``Signing``)."""
    reset: str = ""
    """What is known to set its count back."""


@frozen
class MeterPolicy:
    """What the station file demands of a meter."""

    accuracy_class: Annotated[str, OneOf(("A", "B", "C", ""))] = ""
    """A, B or C, as on its label. "" demands nothing and switches the strict rules of ``domain/metrology.py`` off. The
    rules of plausibility are then off only where nothing is sold."""
    mid_year: Annotated[int, Between(2006, 2100, "the year of the MID marking")] | None = None
    certificate: OneLine = ""
    """The reference of the EN 50470-4 certificate of a DC meter that has no MID marking."""
    serial: OneLine = ""
    """The serial number of the meter that was put into service."""
    firmware: tuple[OneLine, ...] = ()
    """The versions that the certificate names."""
    sells: bool = False
    """The outlet has an ad-hoc price. It follows from the prices of the file, and is no key of the meter's table."""

    @property
    def declares_class(self) -> bool:
        return bool(self.accuracy_class)

    @property
    def checks_plausibility(self) -> bool:
        """Whether only plausible readings are believed: with a declared class, and wherever something is sold."""
        return self.declares_class or self.sells


@frozen
class Limit:
    """The upper bound that the agent wants. None: the agent wants no bound."""

    current_a: float | None = None
    """Per phase. Below 6 A it means *pause*: IEC 61851-1 knows nothing between 0 and 6 A."""
    phases: int | None = None
    power_w: float | None = None
    """The bound of a DC outlet."""


@frozen
class Supply:
    """What feeds the station."""

    mains: bool
    """The grid is there."""
    backup: bool | None = None
    """A back-up supply carries the board without the grid. None: unknown."""


# --- what can be wrong -------------------------------------------------------------------------------------------


class Fault(StrEnum):
    """What can be wrong, in the station's own words. ``domain/faults.py`` has the consequences of each."""

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
    DEVICE_SILENT = "DeviceSilent"
    BOARD_SILENT = "BoardSilent"
    BOARD_CONFIG = "BoardMisconfigured"
    STORE_FAILED = "StoreFailed"
    STORE_NEARLY_FULL = "StoreNearlyFull"
    RECORD_POISONED = "RecordPoisoned"
    PAYMENT_UNCERTAIN = "PaymentUncertain"
    WEAK_SIGNAL = "WeakSignal"
    SIM_UNUSABLE = "SimUnusable"
    SIM_EXCHANGED = "SimExchanged"
    RESET_FAILURE = "ResetFailure"
    INTERNAL_ERROR = "InternalError"
    # the minimum required error codes of ChargeX/INL by their full names, for boards that report them
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
    # it comes last: the bits of the simulated wiring follow this order
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
    SERVICE = "service"


@frozen
class Screen:
    """What the display of an EVSE has to show.

    Numbers travel raw (``energy_wh`` 812, ``since_s`` 65). The display puts them into words of ``language`` from
    ``config/texts``.
    """

    name: ScreenName
    language: str = "fr"
    detail: str = ""
    """A key of the texts, never a sentence."""
    values: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    acts: int = 0
    """How often a person has done something here. A display of several outlets shows that of the newest act first."""

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
    """What a lamp is to show."""

    lamp: Lamp
    percent: int = 100
    """Of its full brightness."""


class Sign(StrEnum):
    """A short answer to what a person has just done, by sound and by blinking."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    FAULT = "fault"
