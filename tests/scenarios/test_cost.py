"""Price and cost of a session over a real socket: what the backend says is on the panel, is kept over a kill, and is
answered with meter values; what is wrong is refused without harm."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from itertools import groupby
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image

from tests.support.busy_machine import deadline
from tests.support.simulated_station import USUAL_PANEL
from tests.support.station_rig import TIME_TO_PLUG_IN, Street, station_text, street

pytestmark = pytest.mark.asyncio(loop_scope="module")
VENDOR = "org.openchargealliance.costmsg"
SETTINGS = f"""
sample_interval_s = 0
{TIME_TO_PLUG_IN}
cost_display = true
idle_fee_after_stop = true
sampled_measurands = ["Energy.Active.Import.Register", "Power.Active.Import"]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    async with street(tmp_path_factory.mktemp("cost"), station_text(1, settings=SETTINGS, panel=USUAL_PANEL)) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Street) -> AsyncIterator[Street]:
    opened.begin()
    yield opened
    await opened.end()


async def say(s: Street, message: str, data: object) -> str:
    text = data if isinstance(data, str) else json.dumps(data)
    return str((await s.csms.ask("DataTransfer", {"vendorId": VENDOR, "messageId": message, "data": text}))["status"])


async def put(s: Street, key: str, value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return str((await s.csms.ask("ChangeConfiguration", {"key": key, "value": text}))["status"])


async def panel(s: Street, n: int = 1) -> Image.Image:
    async with s.station.http.get(f"/api/v1/display/{n}.png") as answer:
        assert answer.status == 200
        return Image.open(io.BytesIO(await answer.read())).convert("L")


async def seen(s: Street, what: Callable[[Image.Image], bool]) -> None:
    async with deadline(60):
        while not what(await panel(s)):
            await asyncio.sleep(0.05)


def shows_a_code(image: Image.Image) -> bool:
    """Rows that cross a finder pattern of a QR code: dark and light in 1:1:3:1:1 (ISO/IEC 18004)."""
    found, width, grey = 0, image.width, image.tobytes()
    for y in range(0, image.height, 2):
        runs = [(dark, len(list(run))) for dark, run in groupby(p < 128 for p in grey[y * width : (y + 1) * width])]
        for i in range(len(runs) - 4):
            unit, lengths = runs[i][1], [length for _, length in runs[i : i + 5]]
            found += runs[i][0] and unit > 3 and lengths == [unit, unit, 3 * unit, unit, unit]
    return found >= 6


async def test_the_price_of_a_day(s: Street) -> None:
    """Default price, the price of this driver, running cost, a kill, meter values on demand, the bill with its code,
    the end of the place."""
    before = await panel(s)
    assert await put(s, "DefaultPrice", {"priceText": "0.45 €/kWh", "chargingPrice": {"kWhPrice": 0.45}}) == "Accepted"
    await seen(s, lambda image: image.tobytes() != before.tobytes())
    await s.tap("CARD-A")
    await s.screen("plug_in")
    before = await panel(s)
    assert await say(s, "SetUserPrice", {"idToken": "card-a", "priceText": "for you: 0.30 €/kWh"}) == "Accepted"
    await seen(s, lambda image: image.tobytes() != before.tobytes())
    await s.plug()
    await s.status_reported("Charging")
    number = int((await s.until(lambda e: e["session"]["transaction_id"]))["session"]["transaction_id"])

    running: dict[str, Any] = {"transactionId": number, "cost": 1.0, "chargingPrice": {"kWhPrice": 100}}
    running |= {"meterValue": s.payloads("StartTransaction")[0]["meterStart"], "state": "Charging"}
    assert await say(s, "RunningCost", {**running, "triggerMeterValue": {"atEnergykWh": 0.02}}) == "Accepted"
    await s.until(lambda e: e["session"]["cost_cents"] > 200)  # it runs on by itself
    await s.heard(lambda: s.payloads("MeterValues"))
    value = s.payloads("MeterValues")[0]["meterValue"][0]["sampledValue"]
    assert {v["context"] for v in value} == {"Trigger"}
    assert {v["measurand"] for v in value} == {"Energy.Active.Import.Register", "Power.Active.Import"}
    reached = (await s.station.evse())["session"]["cost_cents"]
    await s.kill()
    await s.until(lambda e: e["session"]["cost_cents"] >= reached)
    repeated = [json.dumps(p, sort_keys=True) for p in s.payloads("MeterValues")]
    assert len(set(repeated)) == 1, "a kill may repeat a sample that was delivered (decision 54), and makes no other"
    assert len(repeated) <= 2

    await s.tap("CARD-A")
    await s.status_reported("Finishing")
    assert not shows_a_code(await panel(s))
    final = {"transactionId": number, "cost": 3.31, "priceText": "in all", "qrCodeText": "https://cpo.example/i/1"}
    assert await say(s, "FinalCost", final) == "Accepted"
    await seen(s, shows_a_code)
    assert await say(s, "RunningCost", running) == "Rejected"
    await s.leave()
    await s.heard(lambda: s.payloads("DataTransfer"))
    (sent,) = s.payloads("DataTransfer")
    assert (sent["vendorId"], sent["messageId"]) == (VENDOR, "ConnectorUnplugged")
    assert json.loads(sent["data"]).keys() == {"transactionId", "timestamp"}
    assert json.loads(sent["data"])["transactionId"] == number
    assert s.story()[-3:] in (["Finishing", "Available", "DataTransfer"], ["Finishing", "DataTransfer", "Available"])


@pytest.mark.parametrize(
    ("message", "data", "word"),
    [
        ("FinalCost", "{", "Rejected"),
        ("FinalCost", {"transactionId": 1, "cost": 1}, "Rejected"),
        ("RunningCost", {"transactionId": None, "cost": -1}, "Rejected"),
        ("SetUserPrice", {"idToken": "A", "priceText": "x" * 600}, "Rejected"),
        ("FinalCost", {"transactionId": 100, "cost": 1, "currency": "USD"}, "Rejected"),
        ("ChangePrice", {}, "UnknownMessageId"),
    ],
)
async def test_what_is_wrong_is_refused(s: Street, message: str, data: object, word: str) -> None:
    assert await say(s, message, data) == word
    assert (await s.station.picture())["agent"]["up"]


async def test_keys(s: Street) -> None:
    rows = await s.csms.ask("GetConfiguration", {"key": ["CustomDisplayCostAndPrice", "SupportedLanguages"]})
    assert {r["key"]: (r["readonly"], r["value"]) for r in rows["configurationKey"]} == {
        "CustomDisplayCostAndPrice": (True, "true"), "SupportedLanguages": (True, "fr,de,lb,en"),
    }  # fmt: skip
    assert await put(s, "DefaultPrice", "cheap") == "Rejected"
    assert await put(s, "Language", "de") == "Accepted"
    await s.station.until(lambda p: p["agent"]["screen_language"] == "de")
    assert await put(s, "Language", "tlh") == "Rejected"
