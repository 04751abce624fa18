"""The bearers of a station as the domain sees them: what each reports, how far it is trusted, which is the best now
(decision 36)."""

from __future__ import annotations

from collections.abc import Iterable

from agent.model.bearer import ApnAccess, BearerKind, BearerStatus, Registration, SimState
from agent.model.fastclass import frozen, mutable, replace

PROVEN_S = 120.0
"""A bearer that has worked for so long is trusted again."""
PENALTY_S, PENALTY_MAX_S = 300.0, 3600.0
"""How long it is demoted: doubled each time, until it is trusted again."""


@frozen
class BearerConfig:
    """What the station file says of a bearer."""

    name: str
    """Its place in the file: ``bearer[0]``."""
    kind: BearerKind
    iccid: str = ""
    """Of the SIM that belongs here; "": any."""
    pin_mark: str = ""
    """Differs from that of another PIN; "": the file has none."""
    pin_confirmed: str = ""
    """By another text than before a person vouches for the PIN: the SIM has its tries."""
    table_mark: str = ""
    """A check sum: differs when the table has got another kind, SIM, PIN or access to the packet network."""
    former_pin_mark: str = ""
    """What an earlier program stored for the PIN when it was confirmed by this text; "": it is not confirmed."""


@mutable
class BearerRecord:
    """One bearer and its history since the start."""

    config: BearerConfig
    status: BearerStatus = BearerStatus()
    up_since_s: float | None = None
    penalties: int = 0
    penalty_end_s: float = 0.0
    probed_s: float = 0.0
    """When the backend was last looked for over it."""
    reached_s: float | None = None
    """When the backend was last reached over it by a probe."""
    access: ApnAccess | None = None
    """What a network profile has set in place of the station file's; written by ``blocks/network_bearer.py``."""
    takes_apn: bool = True
    """Whether its driver can use another APN than that of its settings. Until it is open, it may."""
    useless_pin_mark: str = ""
    """Of a PIN of a network profile that the SIM does not get any more; written by ``blocks/sim_cards.py``."""

    @property
    def access_in_force(self) -> ApnAccess | None:
        """Return the access that the modem gets: of the network profile, without a PIN that is of no use."""
        access = self.access
        if access is None or not access.pin or access.pin_mark != self.useless_pin_mark:
            return access
        return replace(access, pin="", pin_mark="")

    @property
    def pin_mark(self) -> str:
        """Return the mark of the PIN that its SIM gets."""
        access = self.access_in_force
        return access.pin_mark if access is not None and access.pin else self.config.pin_mark

    @property
    def needs_person(self) -> bool:
        """Return whether it does not come up by itself: no carrier, no modem, a SIM that cannot be used."""
        if self.status.is_up or self.config.kind is not BearerKind.GPRS:
            return not self.status.is_up
        return self.status.sim is not SimState.READY or self.status.registration is Registration.DENIED

    def take_status(self, status: BearerStatus, now_s: float) -> None:
        self.status = status
        if not status.is_up:
            self.up_since_s = self.reached_s = None
        elif self.up_since_s is None:
            self.up_since_s = now_s

    def impose_penalty(self, now_s: float) -> None:
        """Demote it: another bearer is better for a while."""
        self.penalty_end_s = now_s + min(PENALTY_S * 2**self.penalties, PENALTY_MAX_S)
        self.penalties += 1

    def lift_penalties(self) -> None:
        """Trust it as on the first day."""
        self.penalties = 0
        self.penalty_end_s = 0.0

    @property
    def return_s(self) -> float | None:
        """Return when the link may come back to it; None: it is down."""
        return None if self.up_since_s is None else max(self.up_since_s + PROVEN_S, self.penalty_end_s)


def ocpp_interfaces(configs: Iterable[BearerConfig]) -> dict[str, str]:
    """Return the name of each bearer in OCPP 2.x (OCPPInterfaceEnumType), by the order of the tables: ``Wired0`` is the
    first LAN, ``Wireless0`` the first Wi-Fi or modem."""
    counts = {"Wired": 0, "Wireless": 0}
    names = {}
    for config in configs:
        way = "Wired" if config.kind is BearerKind.LAN else "Wireless"
        names[config.name] = f"{way}{counts[way]}"
        counts[way] += 1
    return names


def choose_bearer(records: Iterable[BearerRecord], now_s: float) -> BearerRecord | None:
    """Return the bearer that the link should use.

    That is the first one that is up and not demoted, otherwise the one whose demotion ends first.
    """
    up = [record for record in records if record.status.is_up]
    return min(up, key=lambda record: max(record.penalty_end_s - now_s, 0.0), default=None)
