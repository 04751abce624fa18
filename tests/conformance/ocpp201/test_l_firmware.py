"""Block L, firmware: signed only, fetched and installed when it is time, and nothing left behind when it fails."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.file_servers import WebServer, web_server
from tests.support.firmware_signers import Maker, image
from tests.support.station_rig_v201 import CARD, FRIEND, Street201, street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = "2026-01-01T00:00:00Z"
MAKER = Maker()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def station(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street201]:
    folder = tmp_path_factory.mktemp("l")
    async with street201(folder, backend_more=f'manufacturer_ca = "{MAKER.trust(folder)}"') as street:
        yield street


@pytest_asyncio.fixture(loop_scope="module")
async def s(station: Street201) -> AsyncIterator[Street201]:
    station.begin()
    yield station
    await station.end()


@pytest.fixture
def web() -> Any:
    with web_server() as server:
        yield server


def statuses(s: Street201, number: int | None = None) -> list[str]:
    said = s.payloads("FirmwareStatusNotification")
    return [p["status"] for p in said if number is None or p.get("requestId") == number]


def events(s: Street201) -> list[str]:
    return [p["type"] for p in s.payloads("SecurityEventNotification")]


async def test_a_maker_whose_root_came_over_the_air_is_trusted(s: Street201, web: WebServer) -> None:
    """And no longer when it was deleted."""
    content, newcomer = image("2.9.0", reboot=False), Maker("Newcomer")
    (of_file,) = (await s.csms.ask("GetInstalledCertificateIds", {}))["certificateHashDataChain"]
    assert await update(s, web, 50, content, newcomer) == "InvalidCertificate"
    root = {"certificateType": "ManufacturerRootCertificate", "certificate": newcomer.root}
    assert (await s.csms.ask("InstallCertificate", root))["status"] == "Accepted"
    assert await update(s, web, 51, content, newcomer) == "Accepted"
    await s.heard(lambda: statuses(s, 51)[-1:] == ["Installed"])
    listed = (await s.csms.ask("GetInstalledCertificateIds", {}))["certificateHashDataChain"]
    (named,) = [entry for entry in listed if entry["certificateHashData"] != of_file["certificateHashData"]]
    del named["certificateType"]
    assert (await s.csms.ask("DeleteCertificate", named))["status"] == "Accepted"
    assert await update(s, web, 52, content, newcomer) == "InvalidCertificate"


async def update(
    s: Street201, web: WebServer, number: int, content: bytes, maker: Maker = MAKER, name: str = "fw.bin", **more: Any
) -> str:
    web.files[f"/{name}"] = content
    firmware = {
        "location": f"http://127.0.0.1:{web.port}/{name}", "retrieveDateTime": NOW,
        "signingCertificate": maker.certificate, "signature": maker.sign(content), **more,
    }  # fmt: skip
    firmware = {k: v for k, v in firmware.items() if v is not None}
    return str((await s.csms.ask("UpdateFirmware", {"requestId": number, "firmware": firmware}))["status"])


async def in_s(s: Street201, seconds: float) -> str:
    """So many seconds from now on by the station's own clock."""
    _, now = await s.get("ClockCtrlr.DateTime")
    when = datetime.datetime.fromisoformat(str(now)) + datetime.timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_TC_L_01_CS(s: Street201, web: WebServer) -> None:
    """Signed firmware is installed; the boot says why it booted."""
    assert await update(s, web, 1, image("2.0.0")) == "Accepted"
    boot = await s.rebooted()
    await s.heard(lambda: "Installed" in statuses(s))
    assert statuses(s, 1) == [
        "Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting", "Installed",
    ]  # fmt: skip
    assert boot["reason"] == "FirmwareUpdate"
    assert boot["chargingStation"]["firmwareVersion"] == "2.0.0"
    await s.heard(lambda: "FirmwareUpdated" in events(s))


async def test_TC_L_02_CS(s: Street201, web: WebServer) -> None:
    """Installation later than download: InstallScheduled until then."""
    content = image("2.1.0", reboot=False)
    assert await update(s, web, 2, content, installDateTime=await in_s(s, 120)) == "Accepted"
    await s.heard(lambda: "Installed" in statuses(s))
    assert statuses(s, 2)[2:] == ["SignatureVerified", "InstallScheduled", "Installing", "Installed"]


async def test_TC_L_03_CS(s: Street201, web: WebServer) -> None:
    """Download later: DownloadScheduled until then."""
    content = image("2.2.0", reboot=False)
    assert await update(s, web, 3, content, retrieveDateTime=await in_s(s, 120)) == "Accepted"
    await s.heard(lambda: "DownloadScheduled" in statuses(s))
    assert web.asked == []
    await s.heard(lambda: "Installed" in statuses(s))
    assert statuses(s, 3)[0] == "DownloadScheduled"


async def test_TC_L_05_CS(s: Street201, web: WebServer) -> None:
    """Signing certificate of a stranger: refused, security event, nothing downloaded."""
    assert await update(s, web, 5, image("3.0.0"), Maker("Stranger")) == "InvalidCertificate"
    await s.heard(lambda: "InvalidFirmwareSigningCertificate" in events(s))
    assert web.asked == []
    assert statuses(s) == []


async def test_TC_L_06_CS(s: Street201, web: WebServer) -> None:
    """Signature of other bytes: InvalidSignature and a security event."""
    assert await update(s, web, 6, image("3.0.0"), signature=MAKER.sign(b"other bytes")) == "Accepted"
    await s.heard(lambda: "InvalidSignature" in statuses(s))
    await s.heard(lambda: "InvalidFirmwareSignature" in events(s))
    assert statuses(s, 6) == ["Downloading", "Downloaded", "InvalidSignature"]


async def test_TC_L_07_CS(s: Street201, web: WebServer) -> None:
    """No such file: DownloadFailed."""
    there = f"http://127.0.0.1:{web.port}/does_not_exist"
    assert await update(s, web, 7, image("3.0.0"), location=there) == "Accepted"
    await s.heard(lambda: "DownloadFailed" in statuses(s))
    assert statuses(s, 7) == ["Downloading", "DownloadFailed"]


async def test_TC_L_08_CS(s: Street201, web: WebServer) -> None:
    """Signed but unusable: InstallVerificationFailed."""
    assert await update(s, web, 8, b"a holiday picture") == "Accepted"
    await s.heard(lambda: "InstallVerificationFailed" in statuses(s))
    await s.status_reported("Available")


async def test_TC_L_10_CS(s: Street201, web: WebServer) -> None:
    """A second request while the first is downloading takes its place."""
    web.hold.clear()
    assert await update(s, web, 10, image("4.0.0"), name="slow") == "Accepted"
    await s.heard(lambda: web.asked)
    assert await update(s, web, 11, image("4.1.0", reboot=False)) == "AcceptedCanceled"
    web.hold.set()
    await s.heard(lambda: "Installed" in statuses(s, 11))
    assert statuses(s, 10) == ["Downloading"]


async def test_TC_L_14_CS(s: Street201, web: WebServer) -> None:
    """New sessions are allowed while it waits: it is installed when the last one has ended (L01.FR.07)."""
    allowed = "ChargingStation.AllowNewSessionsPendingFirmwareUpdate"
    assert await s.put(allowed, "true") == "Accepted"
    try:
        await s.session(CARD)
        assert await update(s, web, 14, image("4.5.0", reboot=False)) == "Accepted"
        await s.heard(lambda: "InstallScheduled" in statuses(s, 14))
        await s.session(FRIEND, 2)
        await s.tap(CARD)
        await s.ended()
        await s.leave()
        assert "Installing" not in statuses(s, 14)
        await s.tap(FRIEND, 2)
        await s.heard(lambda: "Installed" in statuses(s, 14))
        assert len(s.events("Ended")) == 2
        await s.heard(lambda: "FirmwareUpdated" in events(s))
    finally:
        assert await s.put(allowed, "false") == "Accepted"


async def test_TC_L_15_CS(s: Street201, web: WebServer) -> None:
    """Not during a transaction, and no new sessions: the other EVSE is Unavailable until it is installed."""
    await s.session(CARD)
    assert await update(s, web, 15, image("5.0.0", reboot=False)) == "Accepted"
    await s.status_reported("Unavailable", 2)
    await s.heard(lambda: "InstallScheduled" in statuses(s, 15))
    assert "Installing" not in statuses(s, 15)
    assert await s.remote(2) == "Rejected"
    await s.tap(CARD)
    await s.ended()
    await s.heard(lambda: "Installed" in statuses(s, 15))
    await s.status_reported("Available", 2)


async def test_TC_L_18_CS(s: Street201, web: WebServer) -> None:
    """Without certificate and signature: refused."""
    answer = await update(s, web, 18, image("6.0.0"), signingCertificate=None, signature=None)
    assert answer in ("Rejected", "InvalidCertificate")
    assert web.asked == []


async def test_TC_F_17_CS(s: Street201) -> None:
    """Firmware status on request, naming an EVSE: EVSE is ignored, Idle."""
    wanted = {"requestedMessage": "FirmwareStatusNotification", "evse": {"id": 1}}
    assert await s.csms.ask("TriggerMessage", wanted) == {"status": "Accepted"}
    await s.heard(lambda: statuses(s) == ["Idle"])


async def test_TC_F_19_CS(s: Street201, web: WebServer) -> None:
    """Firmware status in the middle of a download."""
    web.hold.clear()
    await update(s, web, 19, image("7.0.0", reboot=False))
    await s.heard(lambda: web.asked)
    await s.csms.ask("TriggerMessage", {"requestedMessage": "FirmwareStatusNotification"})
    await s.heard(lambda: statuses(s, 19) == ["Downloading", "Downloading"])
    web.hold.set()
    await s.heard(lambda: "Installed" in statuses(s, 19))
