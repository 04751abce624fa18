"""A package that adds a device role to chargy-agent: a sign that shows the lamp colour of each outlet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from agent.model.device_role import STATION_TABLE, DeviceRole
from agent.model.fastclass import frozen
from agent.ports import Unreachable
from agent.ports.driver import Driver, Where

ROLE = DeviceRole(
    "sign",
    (STATION_TABLE,),
    port="occupancy_sign:SignPort",
    supervisor="occupancy_sign.supervisor:SignSupervisor",
    own_keys=("place",),
)


class SignPort(Protocol):
    """Must: show the newest text. Raises: ``Unreachable``."""

    async def show_text(self, text: str) -> None: ...


@frozen
class SignSettings:
    path: Path


class FileSign:
    """``SignPort`` as a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.about = f"a sign at {path.name}"

    async def show_text(self, text: str) -> None:
        beside = self._path.with_name(f".{self._path.name}.new")  # who reads it sees whole texts only
        try:
            beside.write_text(text, "utf-8")
            beside.replace(self._path)
        except OSError as e:
            raise Unreachable(f"{self._path}: {e.strerror}") from e


@asynccontextmanager
async def open_sign(settings: SignSettings, where: Where) -> AsyncIterator[FileSign]:
    sign = FileSign(settings.path)
    await sign.show_text("")
    yield sign


DRIVER = Driver("sign_file", "sign", SignSettings, open_sign)
