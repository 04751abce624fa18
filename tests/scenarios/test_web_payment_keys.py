"""The keys and notices of payment at a web page, over the wire (back-port of OCPP 2.1 C25)."""

from __future__ import annotations

import asyncio
import hmac
import io
import json
import struct
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
import zxingcpp
from PIL import Image

from tests.support.busy_machine import deadline
from tests.support.simulated_station import USUAL_PANEL
from tests.support.station_rig import Street, station_text, street
from tests.support.station_rig_v201 import Street201, street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

WEB = '[web_payment]\ndynamic = true\nallowed_hosts = ["pay.example"]'
TEMPLATE = "https://pay.example/{chargingstationid}/{evse}/{totp}/{version}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def s(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    async with street(tmp_path_factory.mktemp("web"), station_text(2, simulation=WEB, panel=USUAL_PANEL)) as opened:
        yield opened


async def put(s: Street, key: str, value: str) -> str:
    answer = await s.csms.ask("ChangeConfiguration", {"key": key, "value": value})
    return str(answer["status"])


async def values(s: Street, *keys: str) -> dict[str, Any]:
    answer = await s.csms.ask("GetConfiguration", {"key": list(keys)} if keys else {})
    return {e["key"]: e.get("value") for e in answer["configurationKey"]}


async def notify(s: Street, message: str, data: Any, vendor: str = "cloud.charging.open") -> tuple[str, Any]:
    text = data if isinstance(data, str) or isinstance(s, Street201) else json.dumps(data)
    answer = await s.csms.ask("DataTransfer", {"vendorId": vendor, "messageId": message, "data": text})
    return answer["status"], json.loads(answer["data"])["reasonCode"] if "data" in answer else None


async def test_the_keys_of_each_outlet(s: Street) -> None:
    found = await values(s)
    mine = {k: v for k, v in found.items() if k.startswith(("WebPayments", "qrCode"))}
    assert {k.split(".")[1] for k in mine if "." in k} == {"1", "2"}
    assert (mine["WebPaymentsCtrlr.1.URLTemplate"], mine["WebPaymentsCtrlr.1.SharedSecret"]) == ("", "")
    assert (mine["WebPaymentsCtrlr.2.ValidityTime"], mine["WebPaymentsCtrlr.2.TOTPVersion"]) == ("30", "v1")
    assert mine["WebPaymentsCtrlr.1.QRCodeQuality"] == "Medium"
    assert {"qrCodeURL1", "qrCodeURL2"} <= mine.keys()
    assert "qrCodeURL3" not in mine
    assert await put(s, "WebPaymentsCtrlr.URLTemplate", TEMPLATE) == "NotSupported"


@pytest.mark.parametrize(
    ("key", "value", "status"),
    [
        ("WebPaymentsCtrlr.1.ValidityTime", "5", "Rejected"),
        ("WebPaymentsCtrlr.1.ValidityTime", "3601", "Rejected"),
        ("WebPaymentsCtrlr.1.Length", "5", "Rejected"),
        ("WebPaymentsCtrlr.1.TOTPVersion", "v2", "Rejected"),
        ("WebPaymentsCtrlr.1.SharedSecret", "short", "Rejected"),
        ("WebPaymentsCtrlr.1.URLTemplate", TEMPLATE.replace("https", "http"), "Rejected"),
        ("WebPaymentsCtrlr.1.URLTemplate", TEMPLATE.replace("pay.example", "evil.example"), "Rejected"),
        ("WebPaymentsCtrlr.1.URLTemplate", TEMPLATE + "?maxcost={maxcost}", "Rejected"),
        ("WebPaymentsCtrlr.1.QRCodeQuality", "Best", "Rejected"),
        ("WebPaymentsCtrlr.1.QRCodeQuality", "Quartile", "Accepted"),
        ("qrCodeURL1", "http://pay.example/1", "Rejected"),
        ("qrCodeURL1", "https://evil.example/1", "Rejected"),
        ("WebPaymentsCtrlr.1.URLTemplate", TEMPLATE, "Accepted"),
        ("WebPaymentsCtrlr.1.SharedSecret", "secure!Charging!", "Accepted"),
        ("qrcodeurl1", "https://pay.example/1", "Accepted"),
    ],
)
async def test_what_can_be_set(s: Street, key: str, value: str, status: str) -> None:
    assert await put(s, key, value) == status


async def test_the_secret_is_never_read_back(s: Street) -> None:
    assert await put(s, "WebPaymentsCtrlr.2.SharedSecret", "another!Secret!!") == "Accepted"
    assert await values(s, "WebPaymentsCtrlr.2.SharedSecret") == {"WebPaymentsCtrlr.2.SharedSecret": ""}
    logs = s.station.said()
    assert "another!Secret!!" not in logs
    async with s.station.http.get("/api/v1/trace?since=0") as answer:
        assert "another!Secret!!" not in await answer.text()


async def notices(s: Street) -> None:
    begun, failed, place = "NotifyWebPaymentStarted", "NotifyWebPaymentFailed", "connectorId"
    assert await notify(s, begun, {place: 1, "timeout": 300}) == ("Accepted", None)  # of the station's seconds
    await s.screen("checking")
    said = [{"format": "UTF8", "language": "fr", "content": "Plafond atteint"}, {"content": 7}, 7]
    assert await notify(s, failed, {place: 1, "errorMessage": said}) == ("Accepted", None)
    await s.screen("refused")
    await s.screen("idle")
    assert await notify(s, begun, {place: 9, "timeout": 60}) == ("Rejected", "invalidConnectorId")
    assert await notify(s, begun, {place: 1, "timeout": 301}) == ("Rejected", "invalidTimeout")
    assert await notify(s, begun, {place: 1}) == ("Rejected", "invalidTimeout")
    assert await notify(s, begun, {"timeout": 60}) == ("Rejected", "invalidConnectorId")
    assert await notify(s, begun, {place: True, "timeout": 60}) == ("Rejected", "invalidConnectorId")
    assert await notify(s, begun, "no json") == ("Rejected", "invalidData")
    assert (await notify(s, "NotifyNothing", {}))[0] == "UnknownMessageId"
    assert (await notify(s, begun, {}, "other.vendor"))[0] == "UnknownVendorId"


async def test_notices_on_16(s: Street) -> None:
    await notices(s)
    assert s.csms.violations == []


async def test_notices_on_201(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with street201(tmp_path_factory.mktemp("web201"), 1, simulation=WEB, panel=USUAL_PANEL) as opened:
        await notices(opened)
        assert opened.csms.violations == []


# --- the same on 2.0.1 -----------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street201]:
    async with street201(tmp_path_factory.mktemp("web2"), 2, 1.0, simulation=WEB, panel=USUAL_PANEL) as opened:
        yield opened


SECRET, ALPHABET = "secure!Charging!", "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def one_time(utc_s: float, validity_s: int, length: int) -> str:
    """By the published note (token format 1.2), beside the program's own reckoning."""
    digest = hmac.new(SECRET.encode(), struct.pack(">Q", int(utc_s) // validity_s), "sha256").digest()
    return "".join(ALPHABET[digest[(digest[31] % 16 + i) % 32] % 62] for i in range(length))


async def scanned(s: Street201, n: int) -> list[str]:
    """Off the frame buffer, by a decoder that is not ours."""
    async with s.station.http.get(f"/api/v1/display/{n}.png") as answer:
        panel = Image.open(io.BytesIO(await answer.read())).convert("L")
    return [c.text for c in zxingcpp.read_barcodes(panel, formats=zxingcpp.BarcodeFormat.QRCode)]


async def shown(s: Street201, n: int, what: Callable[[str], bool]) -> str:
    async with deadline(60):
        while True:
            for text in await scanned(s, n):
                if what(text):
                    return text
            await asyncio.sleep(0.2)


async def test_a_one_time_code_is_set_up_on_201_and_scanned(two: Street201) -> None:
    for path, value, status in (
        ("WebPaymentsCtrlr/1.ValidityTime", "5", "Rejected"),
        ("WebPaymentsCtrlr/1.ValidityTime", "600", "Accepted"),
        ("WebPaymentsCtrlr/1.Length", "12", "Accepted"),
        ("WebPaymentsCtrlr/1.TOTPVersion", "v2", "Rejected"),
        ("WebPaymentsCtrlr/1.URLTemplate", TEMPLATE.replace("pay.example", "evil.example"), "Rejected"),
        ("WebPaymentsCtrlr/1.URLTemplate", TEMPLATE, "Accepted"),
        ("WebPaymentsCtrlr/1.SharedSecret", "short", "Rejected"),
        ("WebPaymentsCtrlr/1.SharedSecret", SECRET, "Accepted"),
        ("WebPaymentsCtrlr/1.QRCodeQuality", "Best", "Rejected"),
        ("WebPaymentsCtrlr/1.Enabled", "true", "Accepted"),
        ("WebPaymentsCtrlr/3.Enabled", "true", "UnknownComponent"),
        ("WebPaymentsCtrlr.Enabled", "true", "UnknownComponent"),
    ):
        assert await two.put(path, value) == status, path
    assert await two.get("WebPaymentsCtrlr/1.ValidityTime") == ("Accepted", "600")
    url = await shown(two, 1, lambda text: text.endswith("/v1"))
    station, evse, token, version = url.removeprefix("https://pay.example/").split("/")
    now = time.time()
    assert (evse, version) == ("1", "v1")
    assert station
    assert token in {one_time(now - age_s, 600, 12) for age_s in (0, 30)}


async def test_a_fixed_code_is_set_on_201(two: Street201) -> None:
    assert await two.put("WebPaymentsCtrlr/2.QRCodeURL", "https://evil.example/2") == "Rejected"
    assert await two.put("WebPaymentsCtrlr/2.QRCodeURL", "https://pay.example/2") == "Accepted"
    await shown(two, 2, lambda text: text == "https://pay.example/2")


async def test_the_secret_is_never_read_back_on_201(two: Street201) -> None:
    assert await two.put("WebPaymentsCtrlr/2.SharedSecret", "another!Secret!!") == "Accepted"
    assert await two.get("WebPaymentsCtrlr/2.SharedSecret") == ("Rejected", None)
    status, entries = await two.report("GetBaseReport", reportBase="FullInventory")
    assert status == "Accepted"
    mine = [e for e in entries if e["component"]["name"] == "WebPaymentsCtrlr"]
    assert {e["component"]["evse"]["id"] for e in mine} == {1, 2}
    names = {e["variable"]["name"] for e in mine}
    assert {"Enabled", "URLTemplate", "SharedSecret", "ValidityTime", "QRCodeURL"} <= names
    for e in mine:
        if e["variable"]["name"] == "SharedSecret":
            assert e["variableAttribute"][0]["mutability"] == "WriteOnly"
            assert "value" not in e["variableAttribute"][0]
    assert "another!Secret!!" not in two.station.said()
    async with two.station.http.get("/api/v1/trace?since=0") as answer:
        assert "another!Secret!!" not in await answer.text()
    assert two.csms.violations == []


async def test_one_code_for_all_outlets_on_201(tmp_path_factory: pytest.TempPathFactory) -> None:
    one = WEB + "\nshared = true"
    async with street201(tmp_path_factory.mktemp("web3"), 2, simulation=one, panel=USUAL_PANEL) as s:
        assert await s.put("WebPaymentsCtrlr.URLTemplate", TEMPLATE) == "Accepted"
        assert await s.put("WebPaymentsCtrlr/1.URLTemplate", TEMPLATE) == "UnknownVariable"
        assert s.csms.violations == []
