"""A driver without a contract: scans the code on the real screen, pays at the demonstration's page, charges, and sees
the receipt. The code is read off the frame buffer by a decoder that is not ours."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image

from tests.support.busy_machine import deadline, stretched
from tests.support.simulated_station import Simulated

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATION = """
[station]
id = "CP+1|a"
state_dir = "state"
languages = ["en"]
[web_payment]
dynamic = true
allowed_hosts = ["127.0.0.1"]
{limits}
[backend]
versions = ["{version}"]
[settings]
cost_display = true
[[evse]]
number = 1
[[evse]]
number = 2
[simulation]
port = 0
state_dir = "world"
"""
CHOICES = """max_energy_kwh = [20]
[buttons]
driver = "buttons_evdev"
"""
"""Limits that drivers may choose: since 2.1 only."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["1.6", "2.1"])
async def s(tmp_path_factory: pytest.TempPathFactory, request: Any) -> AsyncIterator[Simulated]:
    """The station's clock runs as everybody's: the page judges codes by its own. 1.6 by the back-port, 2.1 by the
    messages of its own."""
    folder = tmp_path_factory.mktemp("webpay")
    argv = (sys.executable, "-m", "agent", "csms", "--port", "0", "--quiet", "--pay", "0.45")
    central = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    try:
        assert central.stdout
        line = (await asyncio.wait_for(central.stdout.readline(), stretched(60))).decode()
        port = int(line.split("ws://127.0.0.1:")[1].split("/")[0])
        text = STATION.replace("{version}", request.param)
        text = text.replace("{limits}", CHOICES if request.param == "2.1" else "")
        async with Simulated(folder, text, f"ws://127.0.0.1:{port}", 1.0) as station:
            picture = await station.until(lambda p: p["backend"]["boot"] == "Accepted")
            assert picture["backend"]["ocpp"] == request.param
            yield station
    finally:
        central.terminate()
        await central.wait()


def fetched(url: str, body: bytes | None = None) -> tuple[int, bytes, str]:
    try:
        with urllib.request.urlopen(url, body, timeout=stretched(20)) as answer:
            return answer.status, answer.read(), answer.url
    except urllib.error.HTTPError as e:
        return e.code, e.read(), url


async def page(url: str) -> tuple[int, str]:
    status, body, _ = await asyncio.to_thread(fetched, url)
    return status, body.decode()


async def paged(url: str, word: str) -> str:
    """The page, once it has this word: the backend hears of what the station does a moment later."""
    async with deadline(60):
        while word not in (text := (await page(url))[1]):
            await asyncio.sleep(0.1)
    return text


async def pressed(url: str, text: str, wish: str = "") -> tuple[int, str, str]:
    """The page after its button that leads to ``wish``: status, text, address."""
    path = re.findall(rf'<form method=post action="(/pay/{wish}[^"]+)"', text)[0]
    status, body, address = await asyncio.to_thread(fetched, url.split("/pay/")[0] + path, b"")
    return status, body.decode(), address


async def scanned(s: Simulated, n: int, other_than: str = "", part: str = "") -> str:
    """What the code on display ``n`` says, once it has this part."""
    zxingcpp: Any = pytest.importorskip("zxingcpp")
    async with deadline(90):
        while True:
            _, png, _ = await asyncio.to_thread(fetched, f"http://127.0.0.1:{s.port}/api/v1/display/{n}.png")
            codes = zxingcpp.read_barcodes(
                Image.open(io.BytesIO(png)).convert("L"), formats=zxingcpp.BarcodeFormat.QRCode
            )
            if codes and codes[0].text != other_than and part in codes[0].text:
                return str(codes[0].text)
            await asyncio.sleep(0.1)


async def frames(s: Simulated) -> list[list[Any]]:
    """All frames of the conversation."""
    async with s.http.get("/api/v1/trace?since=0") as answer:
        trace = await answer.text()
    return [json.loads(json.loads(line)["frame"]) for line in trace.splitlines() if line.strip()]


async def test_scan_pay_charge_receipt(s: Simulated) -> None:
    """In 2.1, with the demonstration as the backend: C25.FR.01, C25.FR.07, C25.FR.09, C25.FR.20, C25.FR.21, C25.FR.22,
    C25.FR.23, C25.FR.24, C25.FR.25, C25.FR.40, C25.FR.41, C25.FR.51, C25.FR.52, and of a limit that its driver chooses
    C25.FR.03, C25.FR.05, C25.FR.56, C25.FR.59."""
    url, is_limited = await scanned(s, 1), (await s.picture())["backend"]["ocpp"] == "2.1"
    if is_limited:
        await s.post("/buttons/limit-energy-1", {})
        url = await scanned(s, 1, url, "maxenergy")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/pay/CP%2B1%7Ca/1/[0-9A-Za-z]{8}/v1(\?maxenergy=20000)?", url)
    assert ("maxenergy" in url) is is_limited
    status, text = await page(url)
    assert status == 200, text
    assert "0.45 € per kWh" in text
    assert ("At most 20 kWh" in text) is is_limited
    assert (await page(url)) == (200, text), "what looks at the page (a preview, a reload) does not use the code up"
    status, kept, progress = await pressed(url, text)
    assert status == 200, kept
    await s.until_evse(lambda e: e["screen"] == "checking", 1)
    assert (await page(url))[0] == 410, "a code keeps an outlet once"
    assert (await page(progress)) == (200, kept), "a reload neither pays nor cancels"
    await s.post("/cards/tap", {"token": "04AAAAAA", "evse": 1})
    await s.until_evse(lambda e: e["screen"] == "refused", 1)
    status, text, address = await pressed(url, kept, "do/")
    assert (status, address) == (200, progress)
    assert "Please plug in" in text
    assert "Please plug in" in (await pressed(url, kept, "not/"))[1], "what is paid is not cancelled by an old page"
    await s.until_evse(lambda e: e["screen"] == "plug_in", 1)
    await s.post("/evses/1/plug", {"ready": True, "car": None})
    charging = await s.until_evse(lambda e: e["contactor"] and e["session"], 1)
    tag = charging["evses"][0]["session"]["token"]
    assert tag
    await s.until_evse(lambda e: e["session"]["energy_wh"] > 5, 1)
    await paged(progress, "Charging")
    await s.post("/evses/1/unplug", {"side": "ev"})
    await s.until_evse(lambda e: e["session"] is None, 1)
    text = await paged(progress, "Receipt")
    kwh = Decimal(re.findall(r"([0-9.]+) kWh</p>", text)[0])
    assert kwh > 0
    total = (kwh * 45).quantize(Decimal(1), ROUND_HALF_UP)
    assert f"{total / 100:.2f} €" in text
    assert await scanned(s, 1, part=progress) == progress, "the total on the display has the receipt as a code"
    if (await s.picture())["backend"]["ocpp"] == "2.1":
        events = [f[3] for f in await frames(s) if f[0] == 2 and f[2] == "TransactionEvent"]
        limits = [e["transactionInfo"].get("transactionLimit") for e in events if e["triggerReason"] == "LimitSet"]
        assert limits == [{"maxEnergy": 20_000}, {"maxCost": 50.0, "maxEnergy": 20_000}]
        assert [e["idToken"] for e in events if "idToken" in e] == [{"idToken": tag, "type": "DirectPayment"}]
        assert [f for f in await frames(s) if f[0] == 2 and f[2] == "DataTransfer"] == []


async def test_the_code_changes_and_old_or_made_up_ones_open_nothing(s: Simulated) -> None:
    """C25.FR.08."""
    first = await scanned(s, 2)
    second = await scanned(s, 2, first)
    assert second != first
    head, code, tail = re.split(r"/([0-9A-Za-z]{8})(?=/v1)", second)
    assert (await page(f"{head}/{code[::-1] if code[::-1] != code else 'aaaaaaaa'}{tail}"))[0] == 403
    assert (await page(second.replace("/2/", "/1/")))[0] == 403, "each outlet has a secret of its own"
    status, text = await page(second)
    assert status == 200
    _, kept, _ = await pressed(second, text)
    await s.until_evse(lambda e: e["screen"] == "checking", 2)
    assert "Cancelled" in (await pressed(second, kept, "not/"))[1]
    await s.until_evse(lambda e: e["screen"] == "idle", 2)


async def test_the_secret_is_written_nowhere(s: Simulated) -> None:
    frames_with_secret = [f[3] for f in await frames(s) if f[0] == 2 and "SharedSecret" in json.dumps(f)]
    assert len(frames_with_secret) == 2
    values = [f["value"] if "value" in f else f["setVariableData"][0]["attributeValue"] for f in frames_with_secret]
    assert values == ["***", "***"]
