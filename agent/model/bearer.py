"""What carries the link to a backend: a bearer (LAN, Wi-Fi, mobile radio), its state, its SIM and its signal."""

from __future__ import annotations

from dataclasses import field

from agent.model.fastclass import frozen, replace
from agent.model.string_enum import StrEnum


class BearerKind(StrEnum):
    """The kinds of bearer, the cheapest first."""

    LAN = "lan"
    WIFI = "wifi"
    GPRS = "gprs"


class BearerState(StrEnum):
    """``ABSENT``: the device is not there, and takes no orders. ``DOWN``: it carries nothing. ``UP``: it has an
    address."""

    ABSENT = "absent"
    DOWN = "down"
    UP = "up"


class SimState(StrEnum):
    """``NOT_USED``: this bearer has no SIM, or nothing is known of it yet. ``PIN_REFUSED``: the SIM has refused the
    PIN of the station file."""

    NOT_USED = "not used"
    READY = "ready"
    MISSING = "missing"
    PIN_REQUIRED = "PIN required"
    PIN_REFUSED = "PIN refused"
    PUK_REQUIRED = "PUK required"
    FAILED = "failed"


class Registration(StrEnum):
    """Registration in the packet network (3GPP TS 27.007, +CGREG). A SIM for a private APN often roams all its life."""

    UNKNOWN = "unknown"
    IDLE = "not searching"
    SEARCHING = "searching"
    HOME = "home"
    ROAMING = "roaming"
    DENIED = "denied"


class ResetStep(StrEnum):
    """A step in the recovery of a modem, the mildest first. ``POWER_CYCLE``: its supply is switched off and on."""

    REATTACH = "re-attach"
    RADIO_CYCLE = "radio off and on"
    MODEM_RESET = "reset"
    POWER_CYCLE = "power off and on"


@frozen
class ApnAccess:
    """How a modem reaches the packet network: in place of what the station file says. ``auth``: ``none``, ``pap``,
    ``chap``, ``auto``. ``pin`` "": that of the station file; ``pin_mark`` differs from that of another PIN.
    ``network``: country and network code of the operator to prefer (``27001``), "": any; ``is_network_only``: no other
    one is used."""

    apn: str
    username: str = ""
    password: str = field(default="", repr=False)
    auth: str = "none"
    pin: str = field(default="", repr=False)
    pin_mark: str = field(default="", repr=False)
    network: str = ""
    is_network_only: bool = False


SIGNAL_STEP_DB = 6
"""A smaller change of the signal is not reported."""
WEAK_SIGNAL_DBM, GOOD_SIGNAL_DBM = -105, -99
"""The signal is weak from the one on, and good again from the other on: either is reported."""


@frozen
class BearerStatus:
    """What a bearer reports. Texts are "" and numbers None where nothing is known."""

    state: BearerState = BearerState.ABSENT
    reason: str = ""
    """Why it is not up, for a technician."""
    interface: str = ""
    """The network interface of the kernel."""
    address: str = ""
    sim: SimState = SimState.NOT_USED
    pin_tries: int | None = None
    """How often the SIM still accepts a PIN."""
    iccid: str = ""
    imsi: str = ""
    registration: Registration = Registration.UNKNOWN
    operator: str = ""
    technology: str = ""
    """The access technology: GSM, GPRS, EDGE, UMTS, LTE ..."""
    signal_dbm: int | None = None
    received_bytes: int = 0
    sent_bytes: int = 0

    @property
    def is_up(self) -> bool:
        return self.state is BearerState.UP

    def differs_from(self, other: BearerStatus) -> bool:
        """Return whether something has changed that is worth a report: no counters, no small change of the signal."""
        signals = self.signal_dbm, other.signal_dbm
        if None in signals and signals != (None, None):
            return True
        if abs((self.signal_dbm or 0) - (other.signal_dbm or 0)) >= SIGNAL_STEP_DB:
            return True
        if _signal_class(self.signal_dbm) != _signal_class(other.signal_dbm):
            return True
        return _without_figures(self) != _without_figures(other)


def _signal_class(signal_dbm: int | None) -> int:
    """Return 0 for a weak signal, 2 for a good one, 1 in between."""
    if signal_dbm is None:
        return 1
    return (signal_dbm > WEAK_SIGNAL_DBM) + (signal_dbm >= GOOD_SIGNAL_DBM)


def _without_figures(status: BearerStatus) -> BearerStatus:
    return replace(status, signal_dbm=None, received_bytes=0, sent_bytes=0)
