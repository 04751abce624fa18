"""Facts that reach the domain, in the past participle. Every event comes with a ``Moment``; none carries a clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
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
from agent.model.types import (
    EvseId,
    Fault,
    Judge,
    MessageContent,
    MeterIdentity,
    Reading,
    Stamp,
    Supply,
    Token,
    Verdict,
)

if TYPE_CHECKING:  # of stations that sell without a contract
    from agent.domain.tariff import Tariff


@frozen
class Event:
    """Something that has happened."""


# --- life ----------------------------------------------------------------------------------------------------------


@frozen
class Started(Event):
    """The agent came up; ``remembered`` is the store: kind -> key -> value, as the ``Persist`` orders wrote it."""

    remembered: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)


@frozen
class StopRequested(Event):
    """SIGTERM: withdraw release, keep the sessions for resume."""


@frozen
class TimeCame(Event):
    """A ``WakeMe`` is due."""

    timer: Timer


@frozen
class StoreFailed(Event):
    """What had to be on disk is not: nothing new may start. ``StoreRecovered`` takes it back."""

    reason: str = ""


@frozen
class StoreLost(Event):
    """The store has less in it than its last commit left: ``reason``. The sessions ``ended`` are open in it and have
    ended since, with this register (Wh; 0: unknown): what the meter shows now is not theirs."""

    reason: str
    ended: Mapping[str, int] = field(default_factory=dict)


@frozen
class StoreRecovered(Event):
    pass


# --- the street side -----------------------------------------------------------------------------------------------


@frozen
class EvseEvent(Event):
    evse: EvseId


@frozen
class BoardOpened(EvseEvent):
    """First picture after the board was (re)opened. Release is off now, whatever it was."""

    state: EvseState
    traits: EvseTraits


@frozen
class BoardChanged(EvseEvent):
    """A picture that differs from the last; ``blocks/board_state.py`` makes the single facts below of it."""

    state: EvseState


@frozen
class CablePlugged(EvseEvent):
    """A cable is in the socket (or a vehicle on the fixed cable)."""


@frozen
class CableRemoved(EvseEvent):
    pass


@frozen
class VehicleConnected(EvseEvent):
    """Pilot left A: a vehicle is on the cable."""


@frozen
class VehicleLeft(EvseEvent):
    """Pilot is A again; the cable may still be in the socket."""


@frozen
class VehicleReady(EvseEvent):
    """Pilot C or D: asks for energy."""


@frozen
class VehiclePaused(EvseEvent):
    """Pilot back to B."""


@frozen
class ContactorClosed(EvseEvent):
    pass


@frozen
class ContactorOpened(EvseEvent):
    pass


@frozen
class ReleaseWithdrawn(EvseEvent):
    """The board was read after it has acknowledged the withdrawal: it shows neither release nor a closed contactor."""


@frozen
class OfferChanged(EvseEvent):
    """The board signals (or no longer signals) to the vehicle that it may draw current."""

    on: bool


@frozen
class UnlockTried(EvseEvent):
    """Outcome of an ``Unlock`` order. ``request`` is that order's."""

    request: str
    freed: bool


@frozen
class FaultRaised(EvseEvent):
    fault: Fault


@frozen
class FaultGone(EvseEvent):
    """The board does not show it any more (``FaultCleared``: it is over)."""

    fault: Fault


@frozen
class FaultsAcknowledged(EvseEvent):
    """A person at the station has acknowledged the latched faults."""


@frozen
class FaultCleared(EvseEvent):
    fault: Fault


@frozen
class BayChanged(EvseEvent):
    occupied: bool


@frozen
class MeterKnown(EvseEvent):
    """A meter was opened, or says that it is another one than a moment ago."""

    identity: MeterIdentity


@frozen
class RawMeterReading(EvseEvent):
    """A driver's answer to ``ReadMeter``; ``blocks/metrology.py`` makes ``MeterRead`` or ``MeterFailed`` of it."""

    purpose: ReadingPurpose
    reading: Reading


@frozen
class MeterRead(EvseEvent):
    """Answer to ``ReadMeter`` that may be billed; ``purpose`` is that order's."""

    purpose: ReadingPurpose
    reading: Reading


@frozen
class MeterFailed(EvseEvent):
    """No trustworthy reading could be had for this purpose."""

    purpose: ReadingPurpose


@frozen
class CardPresented(Event):
    """``evse`` 0: at a reader that serves the whole station. ``token`` None: a card that says nothing (``reason``)."""

    evse: EvseId
    token: Token | None
    reason: str = ""


@frozen
class ButtonPressed(Event):
    name: str


@frozen
class ButtonsKnown(Event):
    """Buttons were opened; these are there."""

    names: tuple[str, ...]


@frozen
class SupplyChanged(Event):
    """The power-fail input was read for the first time, or says something else than before."""

    supply: Supply


# --- the back-office side ------------------------------------------------------------------------------------------


@frozen
class LinkChanged(Event):
    """``up``: connected and BootNotification accepted."""

    link: str
    up: bool


@frozen
class Connected(Event):
    """A WebSocket was agreed with this access; the boot comes later."""

    link: str
    access: ConnectionProfile


@frozen
class ConnectFailed(Event):
    """An attempt with this access failed. ``info``: one line for a technician, without secrets."""

    link: str
    access: ConnectionProfile
    trouble: ConnectFailure
    info: str = ""


@frozen
class CertificateReady(Event):
    """A client certificate and its key are on disk for this link, which shall try them. ``certificate``: what
    ``PkiPort.client`` calls them."""

    link: str
    certificate: str


@frozen
class ClockTrusted(Event):
    """UTC is known from now on (or was corrected)."""


@frozen
class TokenAuthorized(Event):
    """Answer to ``AuthorizeToken``. ``verdict`` None: the backend could not be asked (offline,
    time-out, error). ``remembered`` False: the answer was malformed, and is no word for the next
    time."""

    request: str
    token: Token
    verdict: Verdict | None
    remembered: bool = True


@frozen
class TransactionAcknowledged(Event):
    """The backend has answered a transaction's start or end. ``verdict`` None: it said nothing of the token."""

    link: str
    session: str
    transaction_id: str
    verdict: Verdict | None


@frozen
class CostReceived(Event):
    """An answer of the backend brought what this session costs by now, or in the end (totalCost of 2.x)."""

    link: str
    session: str
    cost: Cost


@frozen
class DriverMessageReceived(Event):
    """An answer of the backend brought the price as the driver of this session, or with this token, is to read it
    (personalMessage, updatedPersonalMessage of 2.x)."""

    link: str
    texts: tuple[MessageContent, ...]
    session: str = ""
    token: Token | None = None


@frozen
class RequestReceived(Event):
    """The backend wants something; exactly one ``Response`` with this ``request`` follows."""

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
    accepted: bool


@frozen
class FirmwareFetched(FileEvent):
    ok: bool


@frozen
class FirmwareChecked(FileEvent):
    ok: bool


class InstallOutcome(StrEnum):
    """How an installation went. ``REBOOT``: it is in the other slot, and the board has to be
    booted. ``UNFIT``: the file is no firmware for this board. ``NO_UPDATER``: no updater is
    composed, or it cannot be reached."""

    DONE = "done"
    REBOOT = "reboot"
    FAILED = "failed"
    UNFIT = "unfit"
    NO_UPDATER = "nobody"


@frozen
class FirmwareInstalled(FileEvent):
    outcome: InstallOutcome


@frozen
class FirmwareBooted(Event):
    """The updater was opened. ``pending``: what runs was booted for the first time and waits for
    ``CommitFirmware``; ``fell_back``: the last installation did not come up, the old one runs. ``version``: what the
    updater calls what runs, "" if it does not say."""

    pending: bool = False
    fell_back: bool = False
    version: str = ""


@frozen
class LogSent(FileEvent):
    """``status``: UploadLogStatusEnumType of 2.x; ``Uploaded`` is success."""

    status: str


# --- facts that blocks exchange ------------------------------------------------------------------------------


@frozen
class TokenAccepted(EvseEvent):
    """A driver may charge here. ``movable``: the driver has not chosen the outlet; the first cable
    decides."""

    token: Token
    verdict: Verdict | None
    remote_id: str = ""
    movable: bool = False
    offline: bool = False
    profile: Profile | None = None
    """The TxProfile that a remote start brought."""
    wait_s: float | None = None
    """How long the right waits for a vehicle, if not as long as others."""
    judged_by: Judge = Judge.NOBODY
    tariff: Tariff | None = None
    """The tariff agreed with a driver who pays without a contract."""


@frozen
class StopWanted(EvseEvent):
    """A person with the right to do so, or a rule, wants the running session ended. ``note``
    distinguishes what 2.1's words do not (soft/hard)."""

    reason: str
    trigger: str
    token: Token | None = None
    note: str = ""


@frozen
class LimitChanged(EvseEvent):
    """What this EVSE may offer is another current now (``EvseRecord.charging_limit``)."""


@frozen
class VehicleSessionUsed(EvseEvent):
    """The vehicle has had its one session, and takes no other one before it is plugged in again.
    ``by_itself``: neither we nor the board ended it."""

    by_itself: bool = True


@frozen
class ReleaseRefused(EvseEvent):
    """The board was asked often enough and does not give it."""


@frozen
class AuthorizationDropped(EvseEvent):
    """The right to charge is gone before anything started. ``why``: a detail key of the refused/finished screens."""

    why: str
    reason: str = "Other"
    trigger: str = "AbnormalCondition"


@frozen
class TransactionOpened(EvseEvent):
    """A transaction began without a session."""

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
    session: str
    trigger: str


@frozen
class SessionClosed(EvseEvent):
    """``end_wh``: the register that is billed; ``at``: when it was ended. ``token``, ``group``: of the card that began
    it; None: there is no card that a reader could see."""

    session: str
    reason: str = ""
    end_wh: int | None = None
    at: Stamp | None = None
    token: Token | None = None
    group: str | None = None


@frozen
class CableClaimed(EvseEvent):
    """The driver whose cable is kept, or one of that group, has come for it."""


@frozen
class NoticeShown(Event):
    """Words for the driver that refuse nothing: a question, or what the station has made of a card. ``why`` is a detail
    key of the texts; ``until_s`` None: as long as a refusal, 0: the question is settled."""

    evses: tuple[EvseId, ...]
    why: str
    until_s: float | None = None


@frozen
class OutletMeant(EvseEvent):
    """What the driver of this payment's bank card has answered; EVSE 0: no outlet."""

    payment: str


@frozen
class OutletChosen(EvseEvent):
    """The button of this outlet was pressed."""


@frozen
class CardRefused(EvseEvent):
    """For the screen; ``why`` is a detail key of the texts, ``message`` what a backend says about it instead."""

    why: str
    message: tuple[MessageContent, ...] = ()


@frozen
class CostChanged(EvseEvent):
    """The backend has reported a new cost of the latest session here."""


@frozen
class SituationChanged(EvseEvent):
    """Status, screen and lamp of this EVSE may have to change (0: of all)."""


@frozen
class SettingChanged(Event):
    name: str


@frozen
class SecurityNoticed(Event):
    """For the security log and the backends; ``link`` "": for all of them. ``info``: one line without secrets."""

    kind: SecurityEvent
    info: str = ""
    link: str = ""
