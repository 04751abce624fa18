"""What a backend may ask of the station, in no version's words. Each is answered by the one method of a block that is
marked ``@answers_requests`` for it, with exactly one ``Response``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from agent.domain.backend_connection import ANY_BEARER, BearerDemand
from agent.domain.certificates import CertificateUse, HashData
from agent.domain.charging.profiles import Profile, Purpose, Unit
from agent.domain.csms_cost import Cost
from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.model.types import EvseId, MessageContent, Token, Verdict

if TYPE_CHECKING:  # of stations that show messages of a backend, have monitors, or compute costs
    from agent.domain.backend_tariff import BackendTariff
    from agent.domain.display_messages import DisplayMessage, MessagePriority, MessageState
    from agent.domain.monitoring.monitoring_messages import MonitoringAsk


@frozen
class BackendRequest:
    """A request."""


class MessageTrigger(StrEnum):
    """MessageTriggerEnumType of OCPP 2.1 (those that exist here)."""

    BOOT = "BootNotification"
    HEARTBEAT = "Heartbeat"
    METER_VALUES = "MeterValues"
    STATUS = "StatusNotification"
    TRANSACTION = "TransactionEvent"
    FIRMWARE_STATUS = "FirmwareStatusNotification"
    LOG_STATUS = "LogStatusNotification"
    SIGN = "SignChargingStationCertificate"


@frozen
class RemoteStartRequest(BackendRequest):
    """RequestStartTransaction. ``evse`` None: the station may choose. ``profile``: the TxProfile of
    the session. ``group``: whose the token is, if known. ``asks``: is the token authorized first?
    None: as the setting says. ``binding_phases``: 2.x, where a profile whose phases the EVSE cannot
    keep to is rejected."""

    evse: EvseId | None
    token: Token
    remote_id: str = ""
    profile: Profile | None = None
    group: str = ""
    asks: bool | None = None
    binding_phases: bool = False


@frozen
class RemoteStopRequest(BackendRequest):
    """RequestStopTransaction; ``session`` "" when the dialect knows no session by that transaction id."""

    session: str


@frozen
class ChangeAvailabilityRequest(BackendRequest):
    """ChangeAvailability; evse 0 is the station. ``every``: 1.x, where connector 0 speaks for all of them and an EVSE
    is its connector; in 2.x station, EVSE and connector each keep a state. ``connector``: the EVSE's is meant."""

    evse: EvseId
    operative: bool
    every: bool = True
    connector: bool = False


@frozen
class UnlockConnectorRequest(BackendRequest):
    evse: EvseId
    stop_first: bool = False
    """1.x: a running transaction is stopped and the connector unlocked; 2.x refuses instead."""


@frozen
class ResetRequest(BackendRequest):
    """``hard``: 1.x Hard, 2.x Immediate: it acknowledges latched faults. ``on_idle``: not before the running
    sessions have ended. ``evse``: only this one (2.x); 0 is the station."""

    hard: bool = False
    on_idle: bool = False
    evse: EvseId = 0


@frozen
class TriggerMessageRequest(BackendRequest):
    """``loose``: triggered meter values are those of the meter, not of the transaction (2.x, where the transaction
    has a trigger of its own). ``extended``: a status of a file transfer in the words of 1.6's security extension."""

    what: MessageTrigger
    evse: EvseId | None = None
    loose: bool = False
    extended: bool = False


@frozen
class ClearCacheRequest(BackendRequest):
    pass


@frozen
class ReserveNowRequest(BackendRequest):
    """ReserveNow. ``evse`` 0: any, of this ``connector`` type if it is given."""

    number: int
    evse: EvseId
    token: Token
    expires_utc_s: float
    group: str = ""
    connector: str = ""


@frozen
class CancelReservationRequest(BackendRequest):
    number: int


@frozen
class LocalListVersionRequest(BackendRequest):
    """Which version of the local authorization list is here; ``data["version"]`` of the reply."""


@frozen
class SendLocalListRequest(BackendRequest):
    """SendLocalList. ``full``: this is the whole list; otherwise only what has changed. ``entries``: token and what is
    said of it, None takes it off the list."""

    version: int
    full: bool
    entries: tuple[tuple[str, Verdict | None], ...] = field(default=(), repr=False)


@frozen
class SetVariablesRequest(BackendRequest):
    """Set settings: our own names (``domain/variables.py``) -> text as it came. ``whole``: all of them or none."""

    values: Mapping[str, str]
    whole: bool = False


@frozen
class GetVariablesRequest(BackendRequest):
    """Read settings; empty = all."""

    names: tuple[str, ...] = ()


@frozen
class SetNetworkProfileRequest(BackendRequest):
    """SetNetworkProfile of 2.x: what to dial, once this slot is asked for and the station has
    restarted."""

    slot: int
    url: str
    profile: int
    bearer: BearerDemand = ANY_BEARER


@frozen
class DeviceReportRequest(BackendRequest):
    """What the station is made of and how it is, beside its settings (``blocks/device_model.py``)."""


@frozen
class MonitoringRequest(BackendRequest):
    """A request about monitors of variables (2.x). Few stations load what it carries."""

    ask: MonitoringAsk


@frozen
class CustomerInformationRequest(BackendRequest):
    """What is known of this customer (``report``), and forget it (``clear``). ``token`` None: a
    person this station has no token for."""

    token: Token | None
    report: bool
    clear: bool


@frozen
class DataTransferRequest(BackendRequest):
    """DataTransfer."""

    vendor: str
    message: str = ""
    data: str = ""


@frozen
class WebPaymentStartedRequest(BackendRequest):
    """A driver pays at the web page of this EVSE: keep it for ``timeout_s`` (0: no more)."""

    evse: EvseId
    timeout_s: int


@frozen
class WebPaymentFailedRequest(BackendRequest):
    """That payment has failed. ``message``: why, for who stands there."""

    evse: EvseId
    message: tuple[MessageContent, ...] = ()


@frozen
class CostUpdatedRequest(BackendRequest):
    """CostUpdated: what this session costs by now, or in the end; ``session`` "" when the dialect knows none by that
    transaction id."""

    session: str
    cost: Cost


@frozen
class SetDefaultTariffRequest(BackendRequest):
    """SetDefaultTariff; evse 0: for each EVSE."""

    evse: EvseId
    tariff: BackendTariff


@frozen
class GetTariffsRequest(BackendRequest):
    """GetTariffs; evse 0: of the whole station."""

    evse: EvseId


@frozen
class ClearTariffsRequest(BackendRequest):
    """ClearTariffs. ``ids`` empty: all; evse 0: at each EVSE."""

    ids: tuple[str, ...] = ()
    evse: EvseId = 0


@frozen
class ChangeTransactionTariffRequest(BackendRequest):
    """ChangeTransactionTariff; ``session`` "" when the dialect knows none by that transaction id."""

    session: str
    tariff: BackendTariff


@frozen
class DriverMessageRequest(BackendRequest):
    """Show the driver with this token what charging costs (personalMessage of 2.x)."""

    token: Token
    texts: tuple[MessageContent, ...]


@frozen
class SetDisplayMessageRequest(BackendRequest):
    """SetDisplayMessage of 2.x."""

    message: DisplayMessage


@frozen
class GetDisplayMessagesRequest(BackendRequest):
    """GetDisplayMessages of 2.x: those that meet every criterion that is given; ``ids`` empty: any id.
    ``data["messages"]`` of the reply."""

    ids: tuple[int, ...] = ()
    priority: MessagePriority | None = None
    state: MessageState | None = None


@frozen
class ClearDisplayMessageRequest(BackendRequest):
    """ClearDisplayMessage of 2.x."""

    id: int


@frozen
class SetChargingProfileRequest(BackendRequest):
    """SetChargingProfile. ``replaces``: 1.x, where a profile takes the place of the one with its purpose and stack
    level; 2.x refuses what would speak at the same time. ``binding_phases``: as of ``RemoteStartRequest``."""

    evse: EvseId
    profile: Profile
    replaces: bool = True
    binding_phases: bool = False


@frozen
class ClearChargingProfilesRequest(BackendRequest):
    """ClearChargingProfile: by ``id`` alone, or by all of the criteria that are given; none: every profile."""

    id: int | None = None
    evse: EvseId | None = None
    purpose: Purpose | None = None
    stack_level: int | None = None


@frozen
class ChargingProfilesRequest(BackendRequest):
    """GetChargingProfiles of 2.x: those that meet every criterion that is given; ``ids``, ``sources`` empty: any."""

    ids: tuple[int, ...] = ()
    evse: EvseId | None = None
    purpose: Purpose | None = None
    stack_level: int | None = None
    sources: tuple[str, ...] = ()
    """ChargingLimitSourceEnumType."""


@frozen
class CompositeScheduleRequest(BackendRequest):
    """GetCompositeSchedule of an EVSE or (0) of the station, from now on. ``unit`` None: the station may choose."""

    evse: EvseId
    duration_s: int
    unit: Unit | None = None


@frozen
class UpdateFirmwareRequest(BackendRequest):
    """UpdateFirmware. ``location``: a URL, perhaps with a password. Times are UTC seconds since
    1970; ``install_utc_s`` None: as soon as no session runs. ``request_id`` None: the request had
    none (1.x). ``certificate`` (PEM) and ``signature`` (Base64) of the signed procedure, ""
    without."""

    location: str = field(repr=False)
    retrieve_utc_s: float
    install_utc_s: float | None = None
    retries: int = 0
    retry_interval_s: int = 0
    request_id: int | None = None
    certificate: str = field(default="", repr=False)
    signature: str = field(default="", repr=False)


@frozen
class TariffFileRequest(BackendRequest):
    """UpdateFirmware of a signed tariff file, which is no firmware."""

    update: UpdateFirmwareRequest


@frozen
class GetLogRequest(BackendRequest):
    """GetLog, GetDiagnostics: make a file of it and send it to ``location`` (a URL, perhaps with a password).
    ``security``: the log of security events, otherwise diagnostics. What is older or newer than the two UTC times is
    left out."""

    location: str = field(repr=False)
    security: bool = False
    request_id: int | None = None
    retries: int = 0
    retry_interval_s: int = 0
    oldest_utc_s: float | None = None
    latest_utc_s: float | None = None


@frozen
class CertificateSignedRequest(BackendRequest):
    """``chain`` (PEM): the station's own certificate first, then those that lead to the root."""

    chain: str


@frozen
class InstallCertificateRequest(BackendRequest):
    """``certificate``: a root (PEM)."""

    use: CertificateUse
    certificate: str


@frozen
class DeleteCertificateRequest(BackendRequest):
    named: HashData


@frozen
class InstalledCertificatesRequest(BackendRequest):
    """Roots for these uses (None: for any); ``data["roots"]`` of the reply: ``Installed``."""

    uses: tuple[CertificateUse, ...] | None = None
