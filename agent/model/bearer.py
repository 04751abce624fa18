"""What carries the link to a backend: a bearer (LAN, Wi-Fi, mobile radio), its state, its SIM and its signal."""

from __future__ import annotations

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


SIGNAL_STEP_DB = 6
"""A smaller change of the signal is not reported."""


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
        return _without_figures(self) != _without_figures(other)


def _without_figures(status: BearerStatus) -> BearerStatus:
    return replace(status, signal_dbm=None, received_bytes=0, sent_bytes=0)
