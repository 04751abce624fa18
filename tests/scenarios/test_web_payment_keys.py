"""The keys and notices of payment at a web page, over the wire (back-port of OCPP 2.1 C25)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from street import Street, station_text, street
from street201 import Street201, street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

WEB = '[web_payment]\ndynamic = true\nallowed_hosts = ["pay.example"]'
TEMPLATE = "https://pay.example/{chargingstationid}/{evse}/{totp}/{version}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def s(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    async with street(tmp_path_factory.mktemp("web"), station_text(2, simulation=WEB)) as opened:
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
    assert await notify(s, begun, {place: 1, "timeout": 60}) == ("Accepted", None)
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
    async with street201(tmp_path_factory.mktemp("web201"), 1, simulation=WEB) as opened:
        await notices(opened)
        assert opened.csms.violations == []
