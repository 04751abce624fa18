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
from drivers.meter_rest import RestSettings
from drivers.meter_rest.http_client import Web
from drivers.meter_rest.values import Look, Who, check, flag, hexadecimal, number, table, text, whole_wh

MOST_CLIENT = 37
ONGOING = 0b100
"""Bit of ``transactionStatus``."""
TROUBLE = {
    "muFatalErrorOccured": "a fatal error",
    "tamperingIsDetected": "tampering",
    "suMeasureFailureOccurred": "its sensor unit fails",
}


class Lem:
    def __init__(self, web: Web, settings: RestSettings) -> None:
        self._web, self._settings = web, settings
        self._version, self._key = "v1", ""

    async def who(self) -> Who:
        status = await self._status()
        firmware = text(table(status, "version"), "applicationFirmwareVersion")
        self._version = "v2" if _newer(firmware) else "v1"
        self._key = hexadecimal(str(status.get("publicKeyOcmf", "")))
        return Who("LEM", "DCBM 400/600", text(status, "meterId"), firmware)

    async def look(self) -> Look:
        said = await self._web.get(self._path("livemeasure"))
        export = said.get("energyExportTotal")
        return check(
            Look(
                whole_wh(number(said, "energyImportTotal"), "energyImportTotal"),
                float(number(said, "power") * 1000),
                float(number(said, "voltage")),
                float(number(said, "current")),
                None if export is None else whole_wh(number(said, "energyExportTotal"), "energyExportTotal"),
            )
        )

    # --- its own transactions ------------------------------------------------------------------------------------

    async def running(self) -> str | None:
        if not flag(table(table(await self._status(), "status"), "bits"), "transactionIsOnGoing"):
            return None
        return text(await self._web.get(self._path("legal")), "transactionId")

    async def set_clock(self, utc_s: float) -> None:
        moment = datetime.fromtimestamp(utc_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = await self._web.said("PUT", "/v1/settings", {"time": {"utc": moment}})
        if number(said, "result") != 1:
            raise Refused(f"{self._web.name}: it does not take the time")

    async def start(self, signing: Signing, utc_s: float | None) -> None:
        await self._may_begin()
        said = await self._web.said("POST", self._path("legal"), self._begin(signing), good=201)
        if not flag(said, "running"):
            raise Refused(f"{self._web.name}: the transaction was taken and does not run")

    def _begin(self, signing: Signing) -> dict[str, Any]:
        told: dict[str, Any] = {
            "evseId": signing.point,
            "transactionId": signing.id,
            "clientId": signing.holder[:MOST_CLIENT],
            "tariffId": self._settings.tariff,
            "cableId": self._settings.cable,
            "userData": "",
        }
        return told | (
            {"TT": tariff_text(signing.price, signing.id), "UV": "", "UD": "", "SC": ""}
            if self._version == "v2"
            else {}
        )

    async def _may_begin(self) -> None:
        status = await self._status()
        bits = table(table(status, "status"), "bits")
        wrong = [words for bit, words in TROUBLE.items() if bits.get(bit) is True]
        if table(table(status, "errors"), "bits").get("logbookIsFull") is True:
            wrong.append("its log book is full: it signs nothing until it is replaced or read out by its maker")
        if wrong:
            raise Refused(f"{self._web.name}: the meter reports {', '.join(wrong)}")

    async def stop(self, name: str) -> None:
        said = await self._web.said("PUT", self._path("legal", name), {"running": False})
        if int(number(table(said, "meterValue"), "transactionStatus")) & ONGOING:
            raise Refused(f"{self._web.name}: the transaction still runs")

    async def record(self, name: str) -> SignedReading | None:
        status, octets = await self._web.ask("GET", self._path("ocmf", name))
        if status == 404:
            return None
        if status != 200 or not octets:
            raise Refused(f"{self._web.name}: no record yet (HTTP {status})")
        try:
            return SignedReading(octets.decode("utf-8"), public_key=self._key)
        except UnicodeDecodeError as e:
            raise Garbled(f"{self._web.name}: the record is no text") from e

    # --- words ---------------------------------------------------------------------------------------------------

    async def _status(self) -> dict[str, Any]:
        return await self._web.get("/v1/status")

    def _path(self, what: str, name: str = "") -> str:
        return f"/{self._version}/{what}" + (f"?transactionId={quote(name, safe='')}" if name else "")


def _newer(firmware: str) -> bool:
    """a.b.c.d: from b = 2 on the second version of the interface is there."""
    parts = firmware.split(".")
    return len(parts) == 4 and parts[1].isdecimal() and int(parts[1]) > 1
