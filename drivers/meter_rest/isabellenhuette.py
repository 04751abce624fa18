"""Isabellenhuette IEM-DCR and IEM-DCC (unproven on hardware): ``/counter/v1/ocmf``.

The lifetime register is the entry of ``metervalue`` whose ``RI`` is 1-b:1.8 and which has an ``RV``; the entries with a
``WV`` count from the begin of the meter's own transaction. The meter has no name for a transaction: ours stands in its
tariff text. It begins and ends none while current flows, and takes point and time once after power-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from agent.model.meter_signing import Signing, tariff_text
from agent.model.types import SignedReading
from agent.ports import Garbled, Refused
from drivers.meter_rest.http_client import MeterHttpClient
from drivers.meter_rest.settings import RestSettings
from drivers.meter_rest.values import (
    DeviceIdentity,
    Look,
    bounded_number,
    check_plausible,
    flag_value,
    number_value,
    public_key_hex,
    text_value,
    whole_wh,
)
from drivers.meter_signing import UNNAMED

BASE = "/counter/v1/ocmf"
NEWER_TRANSACTION = "/counter/v2/ocmf/transaction"
WELL = "0x0000, 0x00000000, 0x00, 0x00"
IMPORT, EXPORT = "1-b:1.8", "1-b:2.8"


class Iem:
    def __init__(self, web: MeterHttpClient, settings: RestSettings) -> None:
        self._web = web
        self._key, self._method = "", ""

    async def read_identity(self) -> DeviceIdentity:
        key = await self._web.get_object(f"{BASE}/publickey")
        self._key, self._method = public_key_hex(text_value(key, "PK")), str(key.get("SA") or "ECDSA-secp256r1-SHA256")
        return DeviceIdentity("Isabellenhuette", "IEM-DCR/DCC", text_value(await self._get_meter_value(), "MS"))

    async def read_values(self) -> Look:
        answer = await self._get_meter_value()
        exported = _lifetime_register_kwh(answer, EXPORT)
        imported = _lifetime_register_kwh(answer, IMPORT)
        if imported is None:
            raise Garbled(f"{self._web.name}: metervalue has no lifetime register {IMPORT}")
        return check_plausible(
            Look(
                whole_wh(imported, IMPORT),
                float(number_value(answer, "P")),
                float(number_value(answer, "U2")),
                float(number_value(answer, "I")),
                None if exported is None else whole_wh(exported, EXPORT),
            )
        )

    async def _get_meter_value(self) -> dict[str, Any]:
        return await self._web.get_object(f"{BASE}/metervalue")

    # --- its own transactions ------------------------------------------------------------------------------------

    async def open_transaction(self) -> str | None:
        return UNNAMED if flag_value(await self._get_meter_value(), "XT") else None

    async def set_clock(self, utc_s: float) -> None:
        if await self._charge_point_is_set():
            await self._post_object("datetime", {"TM": _meter_timestamp(utc_s)})

    async def start_transaction(self, signing: Signing, utc_s: float | None) -> None:
        state = str((await self._get_meter_value()).get("XC", WELL))
        if state != WELL:
            raise Refused(f"{self._web.name}: the meter reports an error (XC {state})")
        if not await self._charge_point_is_set():
            await self._set_charge_point(signing.point, utc_s)
        await self._post_object("user", {
            "IS": signing.assigned, "IL": signing.level, "IF": list(signing.flags),
            "IT": signing.id_type, "ID": signing.holder, "US": False, "TT": tariff_text(signing.price, signing.id),
        })  # fmt: skip
        await self._post_object("receipt", {"TX": "B"})

    async def _charge_point_is_set(self) -> bool:
        return bool((await self._web.get_object(f"{BASE}/gw")).get("CT"))

    async def _set_charge_point(self, point: str, utc_s: float | None) -> None:
        if utc_s is None:
            raise Refused(f"{self._web.name}: the time is unknown, and the meter wants it before its first transaction")
        await self._post_object("gw", {"CT": "CBIDC", "CI": point, "TM": _meter_timestamp(utc_s)})

    async def stop_transaction(self, name: str) -> None:
        await self._post_object("receipt", {"TX": "E"})

    async def read_record(self, name: str, just_ended: bool) -> SignedReading | None:
        """Return the last record if it names the transaction. Just after an end it may be the one before."""
        status, octets = await self._web.send_request("GET", f"{BASE}/transaction")
        if status == 404:
            status, octets = await self._web.send_request("GET", NEWER_TRANSACTION)
        if status != 200 or not octets:
            raise Refused(f"{self._web.name}: no record yet (HTTP {status})")
        try:
            data = octets.decode("utf-8")
        except UnicodeDecodeError as e:
            raise Garbled(f"{self._web.name}: the record is no text") from e
        if name not in data and just_ended:
            raise Refused(f"{self._web.name}: no record yet (the last one is of another transaction)")
        return SignedReading(data, method=self._method, public_key=self._key) if name in data else None

    async def _post_object(self, what: str, body: Mapping[str, Any]) -> None:
        status, _ = await self._web.send_request("POST", f"{BASE}/{what}", body)
        if status != 200:
            raise Refused(f"{self._web.name}: {what} is not taken (HTTP {status})")


def _lifetime_register_kwh(answer: Mapping[str, Any], wanted: str) -> Decimal | None:
    """Return the lifetime register in kWh, None if it is not there. Raises ``Garbled``."""
    entries = answer.get("RD")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and str(entry.get("RI", "")).startswith(wanted) and "RV" in entry:
            if entry.get("RU") != "kWh":
                raise Garbled(f"the register {wanted} counts in {entry.get('RU')!r}, not in kWh")
            try:
                return bounded_number(Decimal(str(entry["RV"])), wanted)
            except InvalidOperation as e:
                raise Garbled(f"the register {wanted} is {entry['RV']!r}, which is no number") from e
    return None


def _meter_timestamp(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).strftime("%Y-%m-%dT%H:%M:%S,000+0000")
