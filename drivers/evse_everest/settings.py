"""Settings of ``drivers.evse_everest``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from agent.model.key_rules import Between, HostName, OneLine, Seconds, TcpPort, Text

ModuleName: TypeAlias = Annotated[str, Text(100, 1, "[^/+#]+", "the name of an EVerest module, without / + #")]


@dataclass(frozen=True, slots=True)
class EverestSettings:
    """``host``, ``port``: EVerest's broker; ``prefix``: its ``EV_MQTT_EXTERNAL_PREFIX``. The names of the API modules
    of this EVSE, as EVerest's configuration calls them; ``{evse}`` becomes its number. ``evse``: how EVerest's own
    authorization numbers it (0: as the station does); ``connector``: to unlock. ``timeout_s``: of one request.
    ``confirm_s``: how long EVerest may take to enforce a limit. ``silent_s``: so long without a heartbeat, and EVerest
    is away. ``stop_s``: how long an orderly stop may take. ``least_w``: a DC limit below this is raised to it, since a
    vehicle takes no limit of 0 W as a pause; ``pausable``: this charger really pauses in its loop on command, and does
    that instead."""

    host: HostName
    port: TcpPort = 1883
    username: OneLine = ""
    password_file: Path | None = None
    prefix: Annotated[str, Text(200, form="[^+#]*", like="the begin of a topic, without + #")] = ""
    manager: ModuleName = "evse_manager_{evse}"
    provider: ModuleName = "token_provider_{evse}"
    validator: ModuleName = "token_validator_{evse}"
    limits: ModuleName = "limits_{evse}"
    errors: ModuleName = "errors_{evse}"
    evse: Annotated[int, Between(0, 10_000)] = 0
    connector: Annotated[int, Between(1, 10_000)] = 1
    timeout_s: Annotated[float, Between(0.01, 60, "seconds")] = 2.0
    confirm_s: Seconds = 5.0
    silent_s: Annotated[float, Between(0.01, 600, "seconds")] = 3.0
    stop_s: Annotated[float, Between(0.01, 600, "seconds")] = 25.0
    least_w: Annotated[float, Between(1, 1_000_000, "watts")] = 1500.0
    pausable: bool = False

    @property
    def watchdog_s(self) -> float:
        """EVerest's communication check."""
        return 5.0
