"""Define the orders of the domain. Their names are imperatives.

Orders to hardware are levels: each names the state that is wanted, so that the same order again does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from agent.domain.messages import Message
from agent.domain.ocmf import OcmfBill
from agent.domain.reading_purposes import ReadingPurpose
from agent.domain.timers import Timer
from agent.model.fastclass import frozen
from agent.model.meter_signing import Signing
from agent.model.types import DirectPayment, EvseId, Lamp, Limit, Screen, Sign, Token

if TYPE_CHECKING:  # of stations with bearers, and of those that share a terminal
    from agent.domain.satellite_messages import MasterMessage, SatelliteMessage
    from agent.model.bearer import ApnAccess, ResetStep


@frozen
class Order:
    """The domain wants something done."""


@frozen
class Persist(Order):
    """Store a fact. It is durable before anything else of the same event happens."""

    kind: str
    key: str
    value: Mapping[str, Any] | None
    """A JSON object. None: forget the fact."""
    to_sign: OcmfBill | None = None
    """The station's signer puts the record of this bill into the value, as ``signed``."""


@frozen
class SetRelease(Order):
    """Give release, or withdraw it: with it the board may close the contactor."""

    evse: EvseId
    on: bool


@frozen
class SetLimit(Order):
    """Bound what the EVSE offers to the vehicle."""

    evse: EvseId
    limit: Limit


@frozen
class SetService(Order):
    """Put the EVSE into service, or take it out of service."""

    evse: EvseId
    on: bool


@frozen
class Unlock(Order):
    """Unlock the plug in the socket. ``UnlockTried`` comes back."""

    evse: EvseId
    request: str = ""


@frozen
class SetHold(Order):
    """Keep the plug locked when the vehicle leaves, until an ``Unlock``."""

    evse: EvseId
    on: bool


@frozen
class ClearFaults(Order):
    """Clear the faults that the board has latched."""

    evse: EvseId


@frozen
class SetLamp(Order):
    """Show this colour, at this percentage of the full brightness."""

    evse: EvseId
    lamp: Lamp
    percent: int = 100


@frozen
class Feedback(Order):
    """Sound and blink ``blinks`` times, now or never. This is a pulse, no level. EVSE 0: at the whole station."""

    evse: EvseId
    sign: Sign
    blinks: int = 0


@frozen
class InformSinks(Order):
    """Report a message to the sinks of the station (``[[sinks]]``), whatever the backends are sent."""

    message: Message


@frozen
class LogNote(Order):
    """Write a line into the log about a part of this EVSE.

    About a meter: why it may not bill, or why a reading was not believed.
    """

    evse: EvseId
    text: str
    part: str = "meter"


@frozen
class ReadMeter(Order):
    """Read the meter. ``MeterRead`` or ``MeterFailed`` comes back with the same purpose."""

    evse: EvseId
    purpose: ReadingPurpose
    billing: bool = False
    """The register that is read will be billed."""
    signing: Signing | None = None
    """What a meter that signs by itself has to know of the transaction."""


@frozen
class AuthorizeToken(Order):
    """Ask the backend about a token. ``TokenAuthorized`` comes back with the same request, within the call time-out."""

    link: str
    request: str
    token: Token
    evse: EvseId = 0
    payment: DirectPayment | None = None
    """The payment that the token stands for."""


@frozen
class Response(Order):
    """Answer a ``RequestReceived``."""

    link: str
    request: str
    status: str
    """The neutral word: that of OCPP 2.1 if it has one."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What else the request asks for."""


@frozen
class Send(Order):
    """Send a message to a backend.

    An order that names a bill is a level, as orders to hardware are: the same bill again gets the same record. If the
    signer cannot sign, the message leaves at the same moment without a record (decision 34).
    """

    link: str
    message: Message
    to_sign: OcmfBill | None = None
    """The station's signer puts the record of this bill into the message (``messages.with_signed_record``)."""


@frozen
class SendToSatellite(Order):
    """Send a message to a satellite of this payment master, if it is connected; otherwise it is lost."""

    satellite: str
    message: MasterMessage


@frozen
class SendToMaster(Order):
    """Send a message to the payment master of this satellite, if it is connected; otherwise it is lost."""

    message: SatelliteMessage


@frozen
class Reconnect(Order):
    """Reconnect if the connection profile now in force differs from that of the present connection."""

    link: str
    anyway: bool = False
    """Reconnect in any case, and at once: another bearer is in use."""


@frozen
class BearerOrder(Order):
    """An order to the bearer at this place in the station file."""

    bearer: str


@frozen
class SetBearer(BearerOrder):
    """Bring the bearer up, or take it down. ``BearerSet`` comes back, unless the device goes away meanwhile."""

    on: bool


@frozen
class ResetBearer(BearerOrder):
    """Carry out one step in the recovery of the bearer. It is down afterwards."""

    step: ResetStep


@frozen
class ConfigureBearer(BearerOrder):
    """Use this access to the packet network from now on; None: that of the station file. The bearer is down
    afterwards."""

    access: ApnAccess | None


@frozen
class UnlockSim(BearerOrder):
    """Present the PIN with this check sum to the SIM, once. ``SimUnlockEnded`` comes back."""

    pin_mark: str


@frozen
class ProbeBearer(BearerOrder):
    """Find out whether the backend can be reached over this bearer. ``BearerProbed`` comes back."""

    interface: str


@frozen
class ExamineConnection(Order):
    """Collect what is known of the way to the backends; nothing is tested. ``ConnectionExamined`` comes back."""


@frozen
class Show(Order):
    """Show this screen of an EVSE."""

    evse: EvseId
    screen: Screen


@frozen
class WakeMe(Order):
    """Set a timer. ``TimeCame`` with this timer comes back. It replaces an earlier one of an equal timer."""

    timer: Timer
    at_s: float | None
    """The time of the stamp clock. None: cancel the timer."""


REMOTE_RESET, SCHEDULED_RESET, FIRMWARE_UPDATE = "RemoteReset", "ScheduledReset", "FirmwareUpdate"
"""The values of BootReasonEnumType (2.x) with which this station orders its own restart.

``ScheduledReset`` is a reset that had to wait until the last transaction had ended (B12).
"""


@frozen
class Restart(Order):
    """Send the replies, then end the process. The supervisor of the system starts it again."""

    hard: bool = False
    reason: str = REMOTE_RESET
    """BootReasonEnumType of 2.x. With ``FirmwareUpdate`` the updater boots the whole board."""


@frozen
class Shutdown(Order):
    """Send what waits, and end the process in order.

    No reason is stored. The supervisor of the system starts the process again.
    """


# --- files: firmware in, logs out ----------------------------------------------------------------------------------


@frozen
class FileOrder(Order):
    """An order of files. The events that answer it have the same ``job``."""

    job: str


@frozen
class JudgeSigner(FileOrder):
    """Check whether firmware may be signed with this certificate (PEM), at ``utc_s``. ``SignerJudged`` comes back."""

    certificate: str = field(repr=False)
    utc_s: float | None = None


@frozen
class FetchFirmware(FileOrder):
    """Fetch firmware. ``FirmwareFetched`` comes back.

    A second order for the same address goes on where the first broke off.
    """

    location: str = field(repr=False)


@frozen
class FetchTariffFile(FileOrder):
    """Fetch a signed tariff file. ``TariffFileFetched`` comes back, and if it is there ``TariffFileChecked``."""

    location: str = field(repr=False)


@frozen
class AnswerTariffFile(FileOrder):
    """Answer a tariff file that came by itself. ``why``: it was refused."""

    accepted: bool
    why: str = ""


@frozen
class CheckFirmware(FileOrder):
    """Check whether the fetched file is signed with this certificate's key. ``FirmwareChecked`` comes back."""

    certificate: str = field(repr=False)
    signature: str = field(repr=False)


@frozen
class InstallFirmware(FileOrder):
    """Install what was fetched. ``FirmwareInstalled`` comes back."""


@frozen
class CommitFirmware(Order):
    """Commit the firmware that runs: it is good, and the board must not fall back to the other one.
    ``FirmwareCommitted`` comes back, or ``FirmwareBooted`` when that failed and the updater is opened again."""


@frozen
class DropFirmware(FileOrder):
    """Stop fetching, and forget what was fetched."""


@frozen
class SendLog(FileOrder):
    """Make the file (once) and send it. ``LogSent`` comes back."""

    location: str = field(repr=False)
    name: str
    security: bool = False
    oldest_utc_s: float | None = None
    latest_utc_s: float | None = None


@frozen
class DropLog(FileOrder):
    """Stop sending, and forget the file."""
