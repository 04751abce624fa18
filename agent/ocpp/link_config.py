"""What a link is made with: values from the station file, and functions of the station around it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import field

from agent.domain.backend_connection import ConnectionProfile
from agent.domain.events import Event
from agent.domain.variables import Settings
from agent.model.fastclass import frozen
from agent.ocpp.dialects.dialect import Dialect, Identity
from agent.ocpp.transport.timeouts import Timeouts
from agent.ocpp.transport.traffic import TrafficCounter
from agent.ocpp.transport.transport import Trace, WireOptions
from agent.ports.clock import ClockPort
from agent.ports.pki import PkiPort
from agent.ports.store import OutboxPort
from agent.station_file.settings import Backend


@frozen
class LinkConfig:
    """The values of one link."""

    backend: Backend
    dialects: tuple[Dialect, ...]
    """The versions of OCPP to offer, the preferred one first."""
    evse_numbers: tuple[int, ...]
    is_primary: bool = True
    """This is the station's first backend, and the AuthorizationKey is the shared secret with it.
    Every other link knows only its own password: neither backend may learn, use or set the secret
    of the other. A primary link uses the password only while no AuthorizationKey is set."""
    last_version: str = ""
    """The version before the restart. It is in force until there is a connection."""
    timeouts: Timeouts = Timeouts()
    wire: WireOptions = WireOptions()
    jitter: random.Random = field(default_factory=random.Random)


@frozen
class LinkHooks:
    """The functions that a link calls."""

    post_event: Callable[[Event], None]
    """Report to the domain."""
    identity: Callable[[], Identity]
    trace: Trace = lambda direction, link, version, text: None
    password: Callable[[], str | None] = lambda: None
    """Return the password of the station file."""
    access: Callable[[], ConnectionProfile] | None = None
    """Return the address and credentials for the next attempt; None: what the station file and the
    settings say."""
    is_known_address: Callable[[ConnectionProfile], bool] = lambda access: True
    """Return whether the station was connected at this address before: then a certificate that a new root has not
    signed is checked with the roots that it replaces (2.x M05.FR.14)."""
    installed_transports: Callable[[], Mapping[str, str]] = dict
    """Find the transports that other distributions add (``transport/families.py``)."""
    interface: Callable[[], str | None] = lambda: ""
    """Return the network interface for the next attempt; "": the routes of the kernel decide; None: the bearer that the
    network profile demands is not up."""
    traffic: TrafficCounter | None = None
    """Counts what the links of the station send and receive; None: it is not counted."""
    bearer_via: Callable[[], str] = lambda: ""
    """Return ``host:port`` to dial over the bearer in use; "": what the station file says of the backend."""
    silence_limit_s: Callable[[], float | None] = lambda: None
    """Return after how much silence a ping goes over the bearer in use, if the interval of the settings is longer;
    None: that interval alone counts."""


@frozen
class LinkPorts:
    """What a link uses of the station. ``pki`` None: only what the station file names is trusted."""

    outbox: OutboxPort
    clock: ClockPort
    settings: Settings
    pki: PkiPort | None = None
