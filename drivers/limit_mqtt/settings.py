"""Settings of ``drivers.limit_mqtt``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from agent.model.key_rules import Between, HostName, OneLine, TcpPort, Text


@dataclass(frozen=True, slots=True)
class MqttLimitSettings:
    """``topic``: its messages are the limit, a number or ``null`` (no limit). ``key``: the messages are JSON objects,
    and the limit is the value of this key; "": the message is the limit itself. ``every_s``: the energy manager
    publishes at least this often, also an unchanged limit; without a message for so long it is away. ``ca``: the
    authorities that may have signed the broker's certificate; with it the connection is TLS. ``timeout_s``: of the
    connection."""

    topic: Annotated[str, Text(500, 1, r"[^+#\0]+", "a topic without + #")]
    host: HostName = ""
    port: TcpPort = 1883
    username: OneLine = ""
    password_file: Path | None = None
    ca: Path | None = None
    key: Annotated[str, Text(100)] = ""
    every_s: Annotated[float, Between(0.1, 3600, "seconds")] = 30.0
    timeout_s: Annotated[float, Between(0.01, 60, "seconds")] = 5.0
