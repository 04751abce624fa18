"""Define the events that reach the domain. Their names are past participles: each is a fact.

Every event comes with a ``Moment``. No event carries a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from agent.domain.backend_connection import ConnectFailure, ConnectionProfile
from agent.domain.charging.profiles import Profile
from agent.domain.csms_cost import Cost
from agent.domain.reading_purposes import ReadingPurpose
from agent.domain.requests import BackendRequest
from agent.domain.security_events import SecurityEvent
from agent.domain.timers import Timer
from agent.model.board import EvseState, EvseTraits
from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.model.traffic import TrafficCount
from agent.model.types import (
    DirectPayment,
    EvseId,
    Fault,
    Judge,
    MessageContent,
    MeterIdentity,
    Reading,
    Stamp,
    Supply,
    Token,
    TransactionLimit,
    Verdict,
)

if TYPE_CHECKING:  # of stations that sell without a contract
    from agent.domain.backend_tariff import BackendTariff
    from agent.domain.tariff import Tariff
    from agent.model.bearer import BearerStatus


@frozen
class Event:
    """Something that has happened."""


# --- life ----------------------------------------------------------------------------------------------------------


@frozen
class Started(Event):
    """The agent has started."""

    remembered: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    """The facts in the store: kind -> key -> value, as the ``Persist`` orders wrote them."""


@frozen
class StopRequested(Event):
    """SIGTERM came: release is to be withdrawn, and the sessions are to be kept for the resume."""


@frozen
class RestartExpected(Event):
    """The agent is to be restarted as soon as no driver is served, or (``expected`` False) it is not any more."""

    expected: bool


@frozen
class TimeCame(Event):
    """A ``WakeMe`` is due."""

    timer: Timer


@frozen
class StoreFailed(Event):
    """The disk has refused what had to be stored: nothing new may start until ``StoreRecovered``."""

    reason: str = ""


@frozen
class StoreLost(Event):
    """The store contains less than its last commit left in it."""

    reason: str
    ended: Mapping[str, int] = field(default_factory=dict)
    """Sessions that are open in the store and have ended since: id -> register of the end in Wh (0: unknown). What the
    meter shows now does not belong to them."""


@frozen
class StoreRecovered(Event):
    """The disk has taken everything that waited."""


# --- the street side -----------------------------------------------------------------------------------------------


@frozen
class EvseEvent(Event):
    """Something has happened at one EVSE."""

    evse: EvseId


@frozen
class BoardOpened(EvseEvent):
    """A board was opened, or opened again, and reported its first state. Release is off now, whatever it was."""

    state: EvseState
    traits: EvseTraits
    asked_at: Stamp | None = None
    answered_at: Stamp | None = None
    """When the board was asked for the state, and when it was there; None: now. A machine that is busy handles the
    event later."""


@frozen
class BoardChanged(EvseEvent):
    """A board reported a state that differs from the last one. ``blocks/board_state.py`` derives the events below."""

    state: EvseState


@frozen
class CablePlugged(EvseEvent):
    """A cable is in the socket (or a vehicle on the fixed cable)."""


@frozen
class CableRemoved(EvseEvent):
    """The socket is empty (or no vehicle is on the fixed cable)."""


@frozen
class VehicleConnected(EvseEvent):
    """The pilot has left state A: a vehicle is on the cable."""


@frozen
class VehicleLeft(EvseEvent):
    """The pilot is in state A again. The cable may still be in the socket."""


@frozen
class VehicleReady(EvseEvent):
    """The pilot is in state C or D: the vehicle asks for energy."""


@frozen
class VehiclePaused(EvseEvent):
    """The pilot is back in state B: the vehicle asks for no energy."""


@frozen
class ContactorClosed(EvseEvent):
    """The board has closed its contactor."""


@frozen
class ContactorOpened(EvseEvent):
    """The board has opened its contactor."""


@frozen
class ReleaseWithdrawn(EvseEvent):
    """The board has confirmed a withdrawal: it was read after it had acknowledged it, and shows neither release nor a
    closed contactor."""


@frozen
class OfferChanged(EvseEvent):
    """The board has begun, or ceased, to signal to the vehicle that it may draw current."""

    on: bool


@frozen
class UnlockTried(EvseEvent):
    """The outcome of an ``Unlock`` order with this ``request``."""

    request: str
    freed: bool


@frozen
class FaultRaised(EvseEvent):
    """A fault has begun."""

    fault: Fault


@frozen
class FaultGone(EvseEvent):
    """The board does not show the fault any more. The fault is over with ``FaultCleared``."""

    fault: Fault


@frozen
class FaultsAcknowledged(EvseEvent):
    """A person at the station has acknowledged the latched faults."""


@frozen
class BoardGivenUp(EvseEvent):
    """A person has looked at a board that cannot be reached, or it was reset: its vehicle draws nothing."""


@frozen
class FaultCleared(EvseEvent):
    """A fault is over."""

    fault: Fault


@frozen
class BayChanged(EvseEvent):
    """The sensor of the parking bay has changed."""

    occupied: bool


@frozen
class MeterKnown(EvseEvent):
    """A meter was opened, or reports another identity than a moment ago."""

    identity: MeterIdentity


@frozen
class RawMeterReading(EvseEvent):
    """The driver of a meter has answered ``ReadMeter``. ``blocks/metrology.py`` makes ``MeterRead`` or ``MeterFailed``
    of it."""

    purpose: ReadingPurpose
    reading: Reading


@frozen
class MeterRead(EvseEvent):
    """A reading answers ``ReadMeter`` with the same ``purpose``. It may be billed."""

    purpose: ReadingPurpose
    reading: Reading


@frozen
class MeterFailed(EvseEvent):
    """There is no trustworthy reading for this purpose."""

    purpose: ReadingPurpose


@frozen
class CardPresented(Event):
    """A card was held to a reader."""

    evse: EvseId
    """0: the reader serves the whole station."""
    token: Token | None
    """None: the card has no readable identifier (``reason``)."""
    reason: str = ""


@frozen
class ButtonPressed(Event):
    """A person has pressed this button."""

    name: str


@frozen
class ButtonsKnown(Event):
    """The device with the buttons was opened. It has these."""

    names: tuple[str, ...]


@frozen
class SupplyChanged(Event):
    """The power-fail input was read for the first time, or shows something else than before."""

    supply: Supply


@frozen
class ExternalLimitReported(Event):
    """The energy manager has reported, which it does again and again. ``limit``: in the unit of the station file; None:
    it sets none. ``is_kept``: it has reported so before, which is no sign of life."""

    limit: float | None
    is_kept: bool = False


# --- the back-office side ------------------------------------------------------------------------------------------


@frozen
class LinkChanged(Event):
    """A link came up or went down. It is up when it is connected and BootNotification was accepted."""

    link: str
    up: bool


@frozen
class Connected(Event):
    """A WebSocket was opened with this connection profile. BootNotification comes later."""

    link: str
    access: ConnectionProfile


@frozen
class ConnectFailed(Event):
    """An attempt to connect with this profile failed. ``info`` is one line for a technician, without secrets."""

    link: str
    access: ConnectionProfile
    trouble: ConnectFailure
    info: str = ""


@frozen
class CertificateReady(Event):
    """A client certificate and its key are on disk for this link, which is to try them.

    ``certificate``: their name in ``PkiPort.client_certificate``.
    """

    link: str
    certificate: str


@frozen
class BearerReported(Event):
    """A bearer has reported its state for the first time, or another one than before. ``bearer``: its place in the
    station file. ``takes_apn``: whether a network profile may change its APN; None: it was not open yet."""

    bearer: str
    status: BearerStatus
    takes_apn: bool | None = None


@frozen
class TrafficCounted(Event):
    """The links have sent and received this since the last report."""

    counts: tuple[TrafficCount, ...]


@frozen
class BearerSet(Event):
    """Answer to ``SetBearer``: it was carried out, or has failed. What came of it was reported before."""

    bearer: str


@frozen
class SimUnlockEnded(Event):
    """Answer to ``UnlockSim``. What the SIM is now was reported before. ``is_presented``: the SIM got the PIN, or may
    have got it."""

    bearer: str
    is_presented: bool


@frozen
class ConnectionExamined(Event):
    """Answer to ``ExamineConnection``: the steps of the way to the backends by their verdict, with the names that
    ``chargy-agent doctor`` uses, and the problem to begin with, "" for none."""

    good: tuple[str, ...] = ()
    not_judged: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    """Also what is a warning only."""
    problem: str = ""
    """The code of a finding, which is a key of the texts."""
    problem_step: str = ""
    subject: str = ""
    """Which device, bearer or backend the problem is about."""


@frozen
class BearerProbed(Event):
    """Answer to ``ProbeBearer``: the backend could be reached over this bearer, or not."""

    bearer: str
    reached: bool


@frozen
class ClockTrusted(Event):
    """UTC is known from now on, or was corrected."""


@frozen
class TokenAuthorized(Event):
    """Answer to ``AuthorizeToken``."""

    request: str
    token: Token
    verdict: Verdict | None
    """None: the backend could not be asked (offline, time-out, error)."""
    remembered: bool = True
    """False: the answer was malformed, so that it must not be used the next time."""


@frozen
class TransactionAcknowledged(Event):
    """The backend has answered the start or the end of a transaction.

    ``verdict`` None: the answer contains no decision about the token.
    """

    link: str
    session: str
    transaction_id: str
    verdict: Verdict | None
    token: Token | None = None
    """That of the message. None: it had none, and a decision is about the driver of the transaction."""


@frozen
class CostReceived(Event):
    """An answer of the backend brought the cost of this session so far, or at its end (totalCost of 2.x)."""

    link: str
    session: str
    cost: Cost


@frozen
class DriverMessageReceived(Event):
    """An answer of the backend brought the price in words for the driver of this session, or with this token.

    These are personalMessage and updatedPersonalMessage of 2.x.
    """

    link: str
    texts: tuple[MessageContent, ...]
    session: str = ""
    token: Token | None = None


@frozen
class RequestReceived(Event):
    """The backend has sent a request. Exactly one ``Response`` with this ``request`` follows."""

    link: str
    request: str
    ask: BackendRequest


# --- files -----------------------------------------------------------------------------------------------------------


@frozen
class FileEvent(Event):
    """Answer to the ``FileOrder`` of this job."""

    job: str


@frozen
class SignerJudged(FileEvent):
    """The certificate that firmware is signed with was checked."""

    accepted: bool


@frozen
class FirmwareFetched(FileEvent):
    """The firmware was fetched, or could not be."""

    ok: bool


@frozen
class FirmwareChecked(FileEvent):
    """The signature of the firmware was checked."""

    ok: bool


@frozen
class TariffFileFetched(FileEvent):
    """A signed tariff file was fetched, or could not be."""

    ok: bool


@frozen
class TariffFileChecked(FileEvent):
    """The signature of a tariff file was checked. ``text``: what is signed, with its SHA-256 ``digest``; ``problem``:
    why nothing of it is believed. ``is_fetched``: the file was ordered, otherwise it came by itself."""

    text: str = ""
    digest: str = ""
    problem: str = ""
    is_fetched: bool = False


class InstallOutcome(StrEnum):
    """How an installation ended."""

    DONE = "done"
    REBOOT = "reboot"
    """The firmware is in the other slot, and the board has to be booted."""
    FAILED = "failed"
    UNFIT = "unfit"
    """The file is no firmware for this board."""
    UNTRUSTED = "untrusted"
    """The updater does not trust the file's own signature."""
    NO_UPDATER = "no-updater"
    """No updater is configured, or it cannot be reached."""


@frozen
class FirmwareInstalled(FileEvent):
    """An installation has ended."""

    outcome: InstallOutcome


@frozen
class FirmwareBooted(Event):
    """The updater was opened and has reported which firmware runs."""

    pending: bool = False
    """The firmware was booted for the first time and waits for ``CommitFirmware``."""
    fell_back: bool = False
    """The firmware that was installed last did not come up: the old one runs."""
    version: str = ""
    """The version that the updater reports, "" if it reports none."""


@frozen
class FirmwareCommitted(Event):
    """The updater has carried out ``CommitFirmware``: the boot loader keeps the firmware that runs."""


@frozen
class LogSent(FileEvent):
    """A log was sent, or could not be. ``status``: UploadLogStatusEnumType of 2.x; ``Uploaded`` is success."""

    status: str


# --- facts that blocks exchange ------------------------------------------------------------------------------


@frozen
class TokenAccepted(EvseEvent):
    """A driver may charge here."""

    token: Token
    verdict: Verdict | None
    remote_id: str = ""
    movable_by_cable: bool = False
    """The driver has not chosen the outlet: the first cable decides."""
    offline: bool = False
    profile: Profile | None = None
    """The TxProfile that a remote start brought."""
    wait_s: float | None = None
    """How long the authorization waits for a vehicle. None: as long as others."""
    judged_by: Judge = Judge.UNJUDGED
    tariff: Tariff | None = None
    """The tariff agreed with a driver who pays without a contract."""
    payment: DirectPayment | None = None
    """The payment that the token stands for."""
    needs_confirmation: bool = False
    """Its session gets no energy before the payment master has confirmed it."""
    movable_by_badge: bool = False
    """The button of another outlet and the badge once more move it, while it waits for a vehicle."""


@frozen
class LimitReceived(Event):
    """A backend limits a transaction."""

    link: str
    session: str
    limit: TransactionLimit


@frozen
class HoldRaised(EvseEvent):
    """A bank holds more for the card that pays for this session."""

    session: str
    held_cents: int


@frozen
class DriverTariffReceived(Event):
    """A backend has accepted a driver, with a tariff for the session or without (``is_given`` False). ``tariff``
    None: this station cannot compute by it."""

    link: str
    token: Token
    tariff: BackendTariff | None = None
    is_given: bool = True


@frozen
class ReceiptReceived(Event):
    """A backend has made the receipt of a settled payment."""

    link: str
    transaction: str
    url: str


@frozen
class StopWanted(EvseEvent):
    """A person with the right to do so, or a rule, wants the running session to end."""

    reason: str
    trigger: str
    token: Token | None = None
    note: str = ""
    """Distinguishes what the words of OCPP 2.1 do not distinguish (soft, hard)."""


@frozen
class LimitChanged(EvseEvent):
    """The current that this EVSE may offer has changed (``EvseRecord.charging_limit``)."""


@frozen
class VehicleSessionUsed(EvseEvent):
    """The vehicle has had its one session. It gets no other one before it is plugged in again."""

    by_itself: bool = True
    """Neither the agent nor the board ended the session."""


@frozen
class ReleaseRefused(EvseEvent):
    """The board does not give release, although it was ordered often enough."""


@frozen
class AuthorizationDropped(EvseEvent):
    """An authorization has ended before a session began. ``why`` is a detail key of the screens ``refused`` and
    ``finished``."""

    why: str
    reason: str = "Other"
    trigger: str = "AbnormalCondition"


@frozen
class TransactionOpened(EvseEvent):
    """A transaction is open without a session: it began, outlives its session, or goes on when its board is opened."""

    session: str


@frozen
class TransactionAbandoned(EvseEvent):
    """The transaction that is open without a session is to end."""

    reason: str
    trigger: str
    note: str = ""


@frozen
class TransactionClosed(EvseEvent):
    """A transaction without a session has ended."""

    session: str


@frozen
class SessionOpened(EvseEvent):
    """A session has begun."""

    session: str
    trigger: str


@frozen
class SessionClosed(EvseEvent):
    """A session has ended, and its register is read."""

    session: str
    reason: str = ""
    end_wh: int | None = None
    """The register that is billed."""
    at: Stamp | None = None
    """When it was ended."""
    token: Token | None = None
    """The card that began it. None: there is no card that a reader could read."""
    group: str | None = None
    """The group of that card."""


@frozen
class CableClaimed(EvseEvent):
    """The driver whose cable is kept, or another driver of the same group, has come for it."""


@frozen
class NoticeShown(Event):
    """The driver is shown a text that refuses nothing: a question, or what the station has done with a card."""

    evses: tuple[EvseId, ...]
    why: str
    """A detail key of the texts."""
    until_s: float | None = None
    """None: as long as a refusal. 0: the question is settled."""


@frozen
class OutletMeant(EvseEvent):
    """The driver of this payment's bank card has answered which outlet is meant. EVSE 0: none."""

    payment: str


@frozen
class MasterPassAnswered(Event):
    """The holder of a master pass has answered which outlets to stop."""

    token: Token
    evses: tuple[EvseId, ...]


@frozen
class OutletChosen(EvseEvent):
    """The button of this outlet was pressed."""


@frozen
class CardRefused(EvseEvent):
    """A card was refused. The screen shows it."""

    why: str
    """A detail key of the texts."""
    message: tuple[MessageContent, ...] = ()
    """The text of a backend, which is shown instead."""


@frozen
class CostChanged(EvseEvent):
    """The backend has reported a new cost of the latest session here."""


@frozen
class SituationChanged(EvseEvent):
    """Status, screen and lamp of this EVSE may have to change. EVSE 0: those of all EVSEs."""


@frozen
class SettingChanged(Event):
    """A setting has a new value."""

    name: str


@frozen
class SettingRefused(Event):
    """A backend has sent a value that the setting does not take."""

    name: str
    text: str


@frozen
class SecurityNoticed(Event):
    """A security event has happened. It goes into the security log and to the backends."""

    kind: SecurityEvent
    info: str = ""
    """One line without secrets."""
    link: str = ""
    """The link that it is sent to. "": all of them."""
