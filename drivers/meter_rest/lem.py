"""LEM DCBM 400/600 (communication protocol of the DCBM; unproven on hardware): ``/v1``, with newer firmware ``/v2``.

A transaction has a name of ours, lasts two minutes at least, and its record stays in the log book. The clock must have
been set in the last 48 hours. When the log book is full (204,000 entries) nothing begins any more.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from agent.model.meter_signing import Signing, tariff_text
from agent.model.types import SignedReading
from agent.ports import Garbled, Refused
from drivers.meter_rest.http_client import MeterHttpClient
from drivers.meter_rest.settings import RestSettings
from drivers.meter_rest.values import (
    DeviceIdentity,
    Look,
    check_plausible,
    flag_value,
    number_value,
    object_value,
    public_key_hex,
    text_value,
    whole_wh,
)

MOST_CLIENT = 37
ONGOING = 0b100
"""Bit of ``transactionStatus``."""
TROUBLE = {
    "muFatalErrorOccured": "a fatal error",
    "tamperingIsDetected": "tampering",
    "suMeasureFailureOccurred": "its sensor unit fails",
}


class Lem:
    def __init__(self, web: MeterHttpClient, settings: RestSettings) -> None:
        self._web, self._settings = web, settings
        self._version, self._key = "v1", ""

    async def read_identity(self) -> DeviceIdentity:
        status = await self._get_status()
        firmware = text_value(object_value(status, "version"), "applicationFirmwareVersion")
        self._version = "v2" if _has_api_v2(firmware) else "v1"
        self._key = public_key_hex(str(status.get("publicKeyOcmf", "")))
        return DeviceIdentity("LEM", "DCBM 400/600", text_value(status, "meterId"), firmware)

    async def read_values(self) -> Look:
        answer = await self._web.get_object(self._request_path("livemeasure"))
        export = answer.get("energyExportTotal")
        return check_plausible(
            Look(
                whole_wh(number_value(answer, "energyImportTotal"), "energyImportTotal"),
                float(number_value(answer, "power") * 1000),
                float(number_value(answer, "voltage")),
                float(number_value(answer, "current")),
                None if export is None else whole_wh(number_value(answer, "energyExportTotal"), "energyExportTotal"),
            )
        )

    # --- its own transactions ------------------------------------------------------------------------------------

    async def open_transaction(self) -> str | None:
        if not flag_value(
            object_value(object_value(await self._get_status(), "status"), "bits"), "transactionIsOnGoing"
        ):
            return None
        return text_value(await self._web.get_object(self._request_path("legal")), "transactionId")

    async def set_clock(self, utc_s: float) -> None:
        moment = datetime.fromtimestamp(utc_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        answer = await self._web.request_object("PUT", "/v1/settings", {"time": {"utc": moment}})
        if number_value(answer, "result") != 1:
            raise Refused(f"{self._web.name}: it does not take the time")

    async def start_transaction(self, signing: Signing, utc_s: float | None) -> None:
        await self._check_may_start()
        answer = await self._web.request_object(
            "POST", self._request_path("legal"), self._start_request(signing), good=201
        )
        if not flag_value(answer, "running"):
            raise Refused(f"{self._web.name}: the transaction was taken and does not run")

    def _start_request(self, signing: Signing) -> dict[str, Any]:
        begin: dict[str, Any] = {
            "evseId": signing.point,
            "transactionId": signing.id,
            "clientId": signing.holder[:MOST_CLIENT],
            "tariffId": self._settings.tariff,
            "cableId": self._settings.cable,
            "userData": "",
        }
        return begin | (
            {"TT": tariff_text(signing.price, signing.id), "UV": "", "UD": "", "SC": ""}
            if self._version == "v2"
            else {}
        )

    async def _check_may_start(self) -> None:
        status = await self._get_status()
        bits = object_value(object_value(status, "status"), "bits")
        wrong = [words for bit, words in TROUBLE.items() if bits.get(bit) is True]
        if object_value(object_value(status, "errors"), "bits").get("logbookIsFull") is True:
            wrong.append("its log book is full: it signs nothing until it is replaced or read out by its maker")
        if wrong:
            raise Refused(f"{self._web.name}: the meter reports {', '.join(wrong)}")

    async def stop_transaction(self, name: str) -> None:
        answer = await self._web.request_object("PUT", self._request_path("legal", name), {"running": False})
        if int(number_value(object_value(answer, "meterValue"), "transactionStatus")) & ONGOING:
            raise Refused(f"{self._web.name}: the transaction still runs")

    async def read_record(self, name: str, just_ended: bool) -> SignedReading | None:
        status, octets = await self._web.send_request("GET", self._request_path("ocmf", name))
        if status == 404 and not just_ended:
            return None
        if status != 200 or not octets:
            raise Refused(f"{self._web.name}: no record yet (HTTP {status})")
        try:
            return SignedReading(octets.decode("utf-8"), public_key=self._key)
        except UnicodeDecodeError as e:
            raise Garbled(f"{self._web.name}: the record is no text") from e

    # --- words ---------------------------------------------------------------------------------------------------

    async def _get_status(self) -> dict[str, Any]:
        return await self._web.get_object("/v1/status")

    def _request_path(self, what: str, name: str = "") -> str:
        return f"/{self._version}/{what}" + (f"?transactionId={quote(name, safe='')}" if name else "")


def _has_api_v2(firmware: str) -> bool:
    """Return whether a firmware a.b.c.d has the second version of the interface: it is there from b = 2 on."""
    parts = firmware.split(".")
    return len(parts) == 4 and parts[1].isdecimal() and int(parts[1]) > 1
