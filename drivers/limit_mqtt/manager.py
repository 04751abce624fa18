"""A subscription to the topic of an energy manager."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agent.model import json_limits
from agent.model.energy_manager import LimitReport
from agent.ports import Broken, Unreachable
from drivers.limit_mqtt.settings import MqttLimitSettings
from drivers.mqtt_broker import close_broker_client, open_broker_client

MOST_OCTETS = 16 * 1024
MOST_NUMBER = 1e12


@asynccontextmanager
async def open_subscription(settings: MqttLimitSettings) -> AsyncIterator[MqttEnergyManager]:
    """Connect to the broker and subscribe. Raises ``Unreachable``, ``Broken``."""
    manager = MqttEnergyManager(settings)
    await manager.connect_to_broker()
    try:
        yield manager
    finally:
        await manager.close_connection()


def _tls_context(settings: MqttLimitSettings) -> ssl.SSLContext | None:
    if settings.ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(settings.ca))
    except OSError as e:
        raise Broken(f"ca {settings.ca}: {e}") from e


class NewestMessage(asyncio.Queue[Any]):
    """A queue of one place, which the newest message takes: an older limit is no limit any more."""

    def _init(self, maxsize: int) -> None:
        self._queue: deque[Any] = deque(maxlen=1)


class MqttEnergyManager:
    """``agent.ports.energy_manager.EnergyManagerPort``. It never publishes."""

    def __init__(self, settings: MqttLimitSettings) -> None:
        self._settings = settings
        self._name = f"energy manager at {settings.host}:{settings.port}"
        self._client: Any = None

    async def connect_to_broker(self) -> None:
        self._client = await open_broker_client(
            self._name, self._settings, tls_context=_tls_context(self._settings), queue_type=NewestMessage
        )
        from aiomqtt import MqttError

        try:
            await self._client.subscribe(self._settings.topic, qos=1)
        except (MqttError, OSError) as e:
            await self.close_connection()
            raise Unreachable(f"{self._name}: {e}; does the broker run?") from e

    async def close_connection(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await close_broker_client(client)

    async def limits(self) -> AsyncIterator[LimitReport]:
        """Yield a report for each message. One that the broker has kept is no sign of life: its energy manager may be
        gone."""
        if self._client is None:
            await self.connect_to_broker()
        while True:
            payload, is_kept = await self._receive_message()
            yield decode_limit_message(payload, self._settings.key, is_kept)

    async def _receive_message(self) -> tuple[bytes, bool]:
        """Return the next message, and whether the broker has kept it. A connection without one is given up: nothing
        else shows that the broker is gone."""
        from aiomqtt import MqttError

        try:
            async with asyncio.timeout(self._settings.every_s):
                message = await anext(aiter(self._client.messages))
        except TimeoutError:
            await self.close_connection()
            raise Unreachable(f"{self._name}: no message for {self._settings.every_s:g} s") from None
        except (MqttError, StopAsyncIteration) as e:
            await self.close_connection()
            raise Unreachable(f"{self._name}: the connection ended ({e})") from e
        return bytes(message.payload or b""), bool(message.retain)


def decode_limit_message(payload: bytes, key: str, is_kept: bool = False) -> LimitReport:
    """Decode a message of the topic."""
    try:
        value = json_limits.read_json(payload) if len(payload) <= MOST_OCTETS else None
    except ValueError:  # also nesting without end
        return LimitReport(problem=f"{_quoted(payload)} is no JSON")
    if len(payload) > MOST_OCTETS:
        return LimitReport(problem=f"a message of {len(payload)} octets")
    if key:
        if not isinstance(value, dict) or key not in value:
            return LimitReport(problem=f"{_quoted(payload)} has no {key!r}")
        value = value[key]
    if value is None:
        return LimitReport(None, is_kept=is_kept)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > MOST_NUMBER:
        return LimitReport(problem=f"{_quoted(payload)} is no limit: a number, or null for none")
    return LimitReport(float(value), is_kept=is_kept)


def _quoted(payload: bytes) -> str:
    return ascii(payload[:60].decode("utf-8", "replace"))
