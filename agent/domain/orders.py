"""Orders: what the domain wants done, in the imperative. Orders to hardware are levels: they say
what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from agent.domain.messages import Message
from agent.domain.ocmf import OcmfBill
from agent.domain.reading_purposes import ReadingPurpose
from agent.domain.timers import Timer
from agent.model.fastclass import frozen
from agent.model.meter_signing import Signing
from agent.model.types import EvseId, Lamp, Limit, Screen, Sign, Token


@frozen
class Order:
    """Something to do."""


@frozen
class Persist(Order):
    """Durable before anything else of the same event happens. ``value`` None forgets. Values are JSON objects."""

    kind: str
    key: str
    value: Mapping[str, Any] | None
    to_sign: OcmfBill | None = None
    """The station's signer puts the record of this bill into the value, as ``signed``."""


@frozen
class SetRelease(Order):
    evse: EvseId
    on: bool


@frozen
class SetLimit(Order):
    evse: EvseId
    limit: Limit


@frozen
class SetService(Order):
    evse: EvseId
    on: bool


@frozen
class Unlock(Order):
    """Free the cable; ``UnlockTried`` comes back."""

    evse: EvseId
    request: str = ""


@frozen
class SetHold(Order):
    """Keep the plug locked when the vehicle leaves, until an ``Unlock``."""

    evse: EvseId
    on: bool


@frozen
class ClearFaults(Order):
    evse: EvseId


@frozen
class SetLamp(Order):
    evse: EvseId
    lamp: Lamp
    percent: int = 100


@frozen
class Feedback(Order):
    """A pulse, no level: sound it and blink ``blinks`` times, now or never. ``evse`` 0: at the whole station."""

    evse: EvseId
    sign: Sign
    blinks: int = 0


@frozen
class LogNote(Order):
    """A line for the log: why the meter of this EVSE may not bill, or why a reading was not
    believed; or of another part."""

    evse: EvseId
    text: str
    part: str = "meter"


@frozen
class ReadMeter(Order):
    """``MeterRead`` or ``MeterFailed`` comes back with the same purpose. ``billing``: the register that is paid.
    ``signing``: what a meter that signs shall know of it."""

    evse: EvseId
    purpose: ReadingPurpose
    billing: bool = False
    signing: Signing | None = None


@frozen
class AuthorizeToken(Order):
    """Ask the backend; ``TokenAuthorized`` comes back with the same request, within the call time-out."""

    link: str
    request: str
    token: Token
    evse: EvseId = 0


@frozen
class Response(Order):
    """Answer a ``RequestReceived``. ``status`` is the neutral word (2.1's where it exists),
    ``data`` what else is asked for."""

    link: str
    request: str
    status: str
    data: Mapping[str, Any] = field(default_factory=dict)


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
class Reconnect(Order):
    """Reconnect if the connection profile now in force differs from that of the present connection."""

    link: str


@frozen
class Show(Order):
    evse: EvseId
    screen: Screen


@frozen
class WakeMe(Order):
    """``TimeCame(timer)`` when the stamp clock reaches ``at_s``; replaces an earlier one of an equal timer. None
    cancels."""

    timer: Timer
    at_s: float | None


REMOTE_RESET, SCHEDULED_RESET, FIRMWARE_UPDATE = "RemoteReset", "ScheduledReset", "FirmwareUpdate"
"""BootReasonEnumType of 2.x, as far as this station orders its own restart. Scheduled: a reset that had to wait until
the last transaction had ended (B12)."""


@frozen
class Restart(Order):
    """Flush what was replied, then end the process; the supervisor starts it again. ``reason``: BootReasonEnumType of
    2.x. With ``FirmwareUpdate`` the updater boots the whole board."""

    hard: bool = False
    reason: str = REMOTE_RESET


@frozen
class Shutdown(Order):
    """Flush and end the process in order, with nothing remembered of it; the supervisor starts it again."""


# --- files: firmware in, logs out ----------------------------------------------------------------------------------


@frozen
class FileOrder(Order):
    """``job``: the events that answer the order have the same one."""

    job: str


@frozen
class JudgeSigner(FileOrder):
    """Is this a certificate (PEM) that firmware may be signed with? ``SignerJudged`` comes back."""

    certificate: str = field(repr=False)


@frozen
class FetchFirmware(FileOrder):
    """``FirmwareFetched`` comes back. A second one for the same address goes on where the first broke off."""

    location: str = field(repr=False)


@frozen
class CheckFirmware(FileOrder):
    """Is what was fetched signed with this certificate's key? ``FirmwareChecked`` comes back."""

    certificate: str = field(repr=False)
    signature: str = field(repr=False)


@frozen
class InstallFirmware(FileOrder):
    """``FirmwareInstalled`` comes back."""


@frozen
class CommitFirmware(Order):
    """What was booted is good: do not fall back to the other one."""


@frozen
class DropFirmware(FileOrder):
    """Stop fetching, and forget what was fetched."""


@frozen
class SendLog(FileOrder):
    """Make the file (once) and send it; ``LogSent`` comes back."""

    location: str = field(repr=False)
    name: str
    security: bool = False
    oldest_utc_s: float | None = None
    latest_utc_s: float | None = None


@frozen
class DropLog(FileOrder):
    """Stop sending, and forget the file."""
