"""A connection of a driver to an MQTT broker: opened with what the station file says, closed in any case (extra
``mqtt``)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Protocol

from agent.model import secret_file
from agent.ports import Broken, Unreachable

_CLOSE_S = 1.0


class BrokerSettings(Protocol):
    """The keys of a driver's table that name the broker. ``timeout_s``: of one request."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def username(self) -> str: ...
    @property
    def password_file(self) -> Path | None: ...
    @property
    def timeout_s(self) -> float: ...


async def open_broker_client(name: str, settings: BrokerSettings, **options: Any) -> Any:
    """Return an ``aiomqtt.Client`` that is connected. ``name``: for the words of an error. ``options``: more of the
    client's. Raises ``Unreachable``, ``Broken``."""
    try:
        from aiomqtt import Client, MqttError
    except ModuleNotFoundError as e:
        raise Broken(f"the package {e.name} is missing: install chargy-agent[mqtt]") from e
    password = _read_password(settings.password_file)
    user = settings.username or None
    client = Client(
        settings.host, settings.port, username=user, password=password, timeout=settings.timeout_s, **options
    )
    try:
        await client.__aenter__()
    except (MqttError, OSError) as e:
        raise Unreachable(f"{name}: {e}; does the broker run?") from e
    except ValueError as e:
        raise Broken(f"{name}: {e}; correct host") from e
    return client


async def close_broker_client(client: Any) -> None:
    from aiomqtt import MqttError

    try:
        async with asyncio.timeout(_CLOSE_S):
            await client.__aexit__(None, None, None)
    except (MqttError, OSError, TimeoutError):
        pass  # it is gone anyway


def _read_password(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return secret_file.read_secret_text(file)
    except secret_file.Unfit as e:
        raise Broken(f"password_file {file}: {e}") from e
