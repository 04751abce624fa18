"""What a payment master and its satellites say to each other (decision 73). A message names a payment and a session, so
that it may be repeated: it changes nothing the second time.

The orders are ``SendToSatellite`` and ``SendToMaster``, the codec is ``services/satellites/message_codec.py``. Amounts
are whole hundredths of the currency's unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.domain.events import Event
from agent.model.fastclass import frozen
from agent.model.types import DirectPayment, EvseId, SignedReading

if TYPE_CHECKING:
    from agent.domain.session_usage import Usage
    from agent.domain.tariff import Tariff

# --- from a satellite to its master ----------------------------------------------------------------------------------


@frozen
class SatelliteMessage:
    """A satellite reports something to the payment master."""

    waits_for_disk = True
    """It speaks of a record. It is not sent while the disk lacks anything."""


@frozen
class OutletReport:
    """An EVSE of the satellite, by the satellite's number. ``is_open``: a driver with a bank card may begin here now.
    ``has_charged``: its vehicle has had its energy. ``tariff``: what is presented; None: nothing is sold."""

    evse: EvseId
    is_open: bool = False
    vehicle_connected: bool = False
    has_charged: bool = False
    tariff: Tariff | None = None


@frozen
class OutletsReported(SatelliteMessage):
    """All outlets of the satellite as they are now; each list replaces the one before."""

    waits_for_disk = False

    outlets: tuple[OutletReport, ...]


@frozen
class GrantRefused(SatelliteMessage):
    """The grant is not used, or no longer: no energy has flowed with it. ``why``: for the journal and the screen."""

    waits_for_disk = False

    payment: str
    why: str


@frozen
class BegunReport(SatelliteMessage):
    """A session is on the satellite's disk with this payment. Without a ``SessionConfirmed`` it gets no energy."""

    payment: str
    session: str
    evse: EvseId
    usage: Usage


@frozen
class MeteredReport(SatelliteMessage):
    """What the session has used so far."""

    payment: str
    session: str
    usage: Usage


@frozen
class SupplyReport:
    """What was supplied: registers in Wh; a time is None if the satellite had no clock. ``signed``: what its meter has
    signed at the end."""

    begin_wh: int
    end_wh: int
    began_utc_s: float | None = None
    ended_utc_s: float | None = None
    signed: SignedReading | None = None


@frozen
class EndedReport(SatelliteMessage):
    """The session is over and has used this. It is repeated until a ``PaymentOutcome`` comes."""

    payment: str
    session: str
    usage: Usage
    supply: SupplyReport


# --- from the master to a satellite ----------------------------------------------------------------------------------


@frozen
class MasterMessage:
    """The payment master orders or answers something."""

    waits_for_disk = True


@frozen
class Grant(MasterMessage):
    """A bank holds ``held_cents``: a driver may begin at this EVSE (the satellite's number), at this tariff. ``token``:
    of the transaction. ``wait_s``: for a vehicle. ``left_s``: a session ends after so long; energy ends ``reserve_s``
    before what is held is used up."""

    payment: str
    evse: EvseId
    token: str
    tariff: Tariff
    held_cents: int
    reserve_s: float
    wait_s: float
    left_s: float
    details: DirectPayment
    language: str = ""


@frozen
class GrantWithdrawn(MasterMessage):
    """The hold is released: nothing may begin with this payment any more."""

    waits_for_disk = False

    payment: str


@frozen
class SessionConfirmed(MasterMessage):
    """The session is in the journal: energy may flow until ``held_cents`` are used up."""

    payment: str
    session: str
    held_cents: int


@frozen
class SessionStopped(MasterMessage):
    """The session ends. ``by_driver``: the card was presented again; otherwise the journal does not have the
    session."""

    waits_for_disk = False

    payment: str
    session: str
    by_driver: bool = False


@frozen
class EndNoted(MasterMessage):
    """The amount is decided and on the master's disk. ``receipt_url``: for the driver's screen; "" if there is none."""

    payment: str
    session: str
    cents: int
    receipt_url: str = ""


@frozen
class PaymentOutcome(MasterMessage):
    """What has become of the money. ``status``: of NotifySettlement; "": nothing to report. ``is_final``: the bank has
    answered for the last time, or the journal does not know the payment: the satellite forgets it. Otherwise a person
    may have the terminal asked again."""

    payment: str
    session: str
    status: str
    cents: int = 0
    receipt: str = ""
    receipt_url: str = ""
    why: str = ""
    is_final: bool = True


@frozen
class OutletNotice(MasterMessage):
    """A text for the screen of this EVSE (a detail key of the texts)."""

    waits_for_disk = False

    evse: EvseId
    why: str


# --- facts -----------------------------------------------------------------------------------------------------------


@frozen
class SatelliteConnected(Event):
    """A satellite has connected. What is unfinished there follows."""

    satellite: str


@frozen
class SatelliteLost(Event):
    """The connection to a satellite has ended. Nothing more comes over it."""

    satellite: str


@frozen
class SatelliteMessageReceived(Event):
    satellite: str
    message: SatelliteMessage


@frozen
class MasterConnected(Event):
    """The payment master is connected."""


@frozen
class MasterLost(Event):
    """The connection to the payment master has ended."""


@frozen
class MasterMessageReceived(Event):
    message: MasterMessage
