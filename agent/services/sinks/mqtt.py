"""Alerts to an MQTT broker (extra ``mqtt``): ``TOPIC/KIND``, quality of service 1, and whether the station is there as
a retained ``TOPIC/online``. Signed tariff files come from ``TOPIC/tariff``."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable
from typing import Any

from agent.model import secret_file
from agent.services.sinks.base import SinkConnection, SinkError
from agent.station_file.settings import SinkTable

TIMEOUT_S = 10.0


class MqttConnection:
    def __init__(self, client: Any, topic: str) -> None:
        self._client, self._topic = client, topic
        self.lost = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def listen_for_tariffs(self, accept_file: Callable[[bytes], None]) -> None:
        """Subscribe to the topic of signed tariff files. The broker sends the one that it has kept. Raises
        ``SinkError``."""
        from aiomqtt import MqttError

        try:
            await self._client.subscribe(f"{self._topic}/tariff", qos=1)
        except (MqttError, OSError) as e:
            raise SinkError(f"MQTT: {e}") from e
        self._listening = asyncio.create_task(self._pass_on_files(accept_file))

    async def _pass_on_files(self, accept_file: Callable[[bytes], None]) -> None:
        from aiomqtt import MqttError

        with contextlib.suppress(MqttError, OSError):
            async for message in self._client.messages:
                if isinstance(message.payload, bytes) and message.payload:
                    accept_file(message.payload)
        self.lost.set()

    async def send_line(self, kind: str, line: str) -> None:
        from aiomqtt import MqttError

        try:
            await self._client.publish(f"{self._topic}/{kind}", line, qos=1)
        except (MqttError, OSError) as e:
            raise SinkError(f"MQTT: {e}") from e

    async def close(self) -> None:
        """A broker sends the will only of those who went without a word."""
        from aiomqtt import MqttError

        if self._listening is not None:
            self._listening.cancel()
        try:
            await self._client.publish(f"{self._topic}/online", "false", qos=1, retain=True)
            await self._client.__aexit__(None, None, None)
        except (MqttError, OSError):
            pass  # it is gone anyway


async def open_connection(
    table: SinkTable, station: str, accept_file: Callable[[bytes], None] | None = None
) -> SinkConnection:
    """Open the connection. ``accept_file``: gets the tariff files that come to its topic. Raises ``SinkError``."""
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
        if accept_file is not None:
            await outlet.listen_for_tariffs(accept_file)
    except (MqttError, OSError, SinkError) as e:
        await outlet.close()
        raise SinkError(f"MQTT broker {table.host}:{table.port}: {e}") from e
    return outlet


def _read_password(table: SinkTable) -> str | None:
    if table.password_file is None:
        return None
    try:
        return secret_file.read_secret_text(table.password_file, is_private=False)
    except secret_file.Unfit as e:
        raise SinkError(f"password_file {table.password_file}: {e}") from e
