"""Alerts to an MQTT broker (extra ``mqtt``): ``TOPIC/KIND``, quality of service 1, and whether the station is there as
a retained ``TOPIC/online``."""

from __future__ import annotations

import re
import ssl
from typing import Any

from agent.services.sinks.base import SinkConnection, SinkError
from agent.station_file.settings import SinkTable

TIMEOUT_S = 10.0


class MqttConnection:
    def __init__(self, client: Any, topic: str) -> None:
        self._client, self._topic = client, topic

    async def send_line(self, kind: str, line: str) -> None:
        from aiomqtt import MqttError

        try:
            await self._client.publish(f"{self._topic}/{kind}", line, qos=1)
        except (MqttError, OSError) as e:
            raise SinkError(f"MQTT: {e}") from e

    async def close(self) -> None:
        """A broker sends the will only of those who went without a word."""
        from aiomqtt import MqttError

        try:
            await self._client.publish(f"{self._topic}/online", "false", qos=1, retain=True)
            await self._client.__aexit__(None, None, None)
        except (MqttError, OSError):
            pass  # it is gone anyway


async def open_connection(table: SinkTable, station: str) -> SinkConnection:
    """Raises ``SinkError``."""
    try:
        from aiomqtt import Client, MqttError, Will
    except ModuleNotFoundError as e:
        raise SinkError(f"the package {e.name} is missing: install chargy-agent[mqtt]") from e
    topic = table.topic or "chargy/" + re.sub("[+#\0]", "-", station)
    try:
        context = ssl.create_default_context(cafile=str(table.ca)) if table.ca else None
    except OSError as e:
        raise SinkError(f"ca {table.ca}: {e}") from e
    client = Client(
        table.host,
        table.port,
        username=table.username or None,
        password=_read_password(table),
        tls_context=context,
        timeout=TIMEOUT_S,
        will=Will(f"{topic}/online", "false", qos=1, retain=True),
    )
    outlet = MqttConnection(client, topic)
    try:
        await client.__aenter__()
    except (MqttError, OSError, ValueError) as e:  # a host that cannot be a name is a ValueError
        raise SinkError(f"MQTT broker {table.host}:{table.port}: {e}") from e
    try:
        await client.publish(f"{topic}/online", "true", qos=1, retain=True)
    except (MqttError, OSError) as e:
        await outlet.close()
        raise SinkError(f"MQTT broker {table.host}:{table.port}: {e}") from e
    return outlet


def _read_password(table: SinkTable) -> str | None:
    if table.password_file is None:
        return None
    try:
        return table.password_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as e:
        raise SinkError(f"password_file {table.password_file}: cannot be read as text") from e
