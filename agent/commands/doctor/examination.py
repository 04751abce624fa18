"""What the rungs of the doctor share: the station file, who has the station now, and what earlier rungs have found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.model.fastclass import frozen, mutable
from agent.ports.pki import NO_ROOTS, TrustedRoots
from agent.station_file.settings import Backend, StationFile

if TYPE_CHECKING:
    from agent.assembly.stopped_station import StoppedStation
    from agent.commands.doctor.plain_request import PlainAnswer
    from agent.ocpp.backend_trial import BackendTrial


@frozen
class DoctorOptions:
    """``boot``: send BootNotification; ``dial``: connect a modem that is down. Both need a stopped agent.
    ``timeout_s``: how long one step in the network may take. ``sys_folder``: where the kernel shows its devices."""

    boot: bool = False
    dial: bool = False
    timeout_s: float = 10.0
    sys_folder: Path = Path("/sys")


@mutable
class Examination:
    """``agent``: what a running agent has answered; None: none runs. ``stopped``: what a stopped one would connect
    with; None: an agent runs, or its store cannot be used."""

    file: StationFile
    options: DoctorOptions
    resources: AsyncExitStack
    agent: Mapping[str, Any] | None = None
    stopped: StoppedStation | None = None
    holds_station: bool = False
    """The store is held, or there is none: no agent has the devices open."""
    interface: str = ""
    """Of the bearer that carries the links; "": the routes of the kernel decide."""
    bearer: str = ""
    """Its name."""
    bearer_rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The state of each bearer, as ``agent_knowledge.status_to_row`` shows it."""
    show_progress: Callable[[str], None] = lambda text: None


@mutable
class BackendExamination:
    """One backend. ``target``: address, profile and certificate as its link would use them."""

    of: Examination
    backend: Backend
    target: Backend
    trial: BackendTrial | None = None
    roots: TrustedRoots = NO_ROOTS
    host: str = ""
    port: int = 0
    addresses: tuple[str, ...] = ()
    lookup_error: OSError | None = None
    """Why the name was not resolved."""
    address: str = ""
    """The one that took a TCP connection."""
    tls_context: Any = None
    answers: list[PlainAnswer | None] = field(default_factory=list)
    """Of the small plain requests; None: no answer came."""
    server_name: str = ""
    utc_offset_s: float | None = None
    """The backend's clock minus the clock of this machine."""

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def link_row(self) -> Mapping[str, Any] | None:
        """What the running agent knows of this link."""
        rows = self.of.agent["links"] if self.of.agent is not None else ()
        return next((row for row in rows if row["name"] == self.name), None)
