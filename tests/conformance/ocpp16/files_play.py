"""What the cases of FirmwareManagement share: images for the simulated board, signatures, a place to send to."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.conformance.ocpp16.play import QUICK, SETTINGS, Play, play, station_time
from tests.support.firmware_signers import Maker
from tests.support.station_rig import station_text

NOW = "2026-01-01T00:00:00Z"


def firmware(s: Play, since: int = 0) -> list[str]:
    """Statuses of the plain procedure."""
    return [p["status"] for p in s.payloads("FirmwareStatusNotification")][since:]


def signed(s: Play) -> list[str]:
    return [p["status"] for p in s.payloads("SignedFirmwareStatusNotification")]


async def update(s: Play, location: str, **more: Any) -> None:
    answer = await s.answer("UpdateFirmware", location=location, retrieveDate=NOW, **more)
    assert answer == {}


@asynccontextmanager
async def trusting(folder: Path, maker: Maker) -> AsyncIterator[Play]:
    """A station that trusts this manufacturer."""
    backend = f'{QUICK}\nmanufacturer_ca = "{maker.trust(folder)}"'
    async with play(folder, station_text(1, backend=backend, settings=SETTINGS)) as s:
        s.begin()
        yield s


async def signed_update(s: Play, location: str, certificate: str, signature: str, number: int = 1, **more: Any) -> str:
    """SignedUpdateFirmware; the status of its answer."""
    firmware = {
        "location": location, "retrieveDateTime": NOW, "signingCertificate": certificate, "signature": signature,
    } | more  # fmt: skip
    return await s.ask("SignedUpdateFirmware", requestId=number, firmware=firmware)


async def in_s(s: Play, seconds: float) -> str:
    """So many seconds from now on, by the station's own clock."""
    when = await station_time(s) + datetime.timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
