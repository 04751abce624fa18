"""Far ends of the meters that speak HTTP: they measure, keep a log book and really sign, with keys of their own.

They share no code with the driver: aiohttp serves, OCMF records are composed by hand, ``cryptography`` signs.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.model.types import Fault
from drivers.sim.evse import NWS_PER_WH, Evse

DRIP_S = 0.05


class MeterSigner:
    """The signing key of a meter. ``curve`` and ``sa``: the curve and the algorithm of the model."""

    def __init__(self, curve: ec.EllipticCurve | None = None, sa: str = "ECDSA-secp256r1-SHA256") -> None:
        self.key = ec.generate_private_key(curve or ec.SECP256R1())
        self.sa = sa

    @property
    def public_key_der(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign_payload(self, payload: dict[str, Any]) -> str:
        """Sign a record. It has blanks after colons, so that parsing and rewriting it breaks the signature."""
        text = json.dumps(payload, ensure_ascii=False)
        signature = self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        return f'OCMF|{text}|{{"SA": "{self.sa}", "SD": "{signature.hex()}"}}'


def format_ocmf_time(moment: datetime) -> str:
    """Format a time as OCMF does, marked as synchronized."""
    return f"{moment:%Y-%m-%dT%H:%M:%S},{moment.microsecond // 1000:03}+0000 S"


AT = (datetime(2026, 11, 26, 10, tzinfo=UTC),) * 2


def ocmf_payload(
    serial: str,
    page: int,
    who: dict[str, Any],
    begin_wh: int,
    end_wh: int,
    at: tuple[datetime, datetime] = AT,
    **more: Any,
) -> dict[str, Any]:
    """Compose the payload of a record. ``at``: begin and end by the meter's own clock."""

    def ocmf_reading(kind: str, wh: int) -> dict[str, Any]:
        return {
            "TM": format_ocmf_time(at[kind == "E"]), "TX": kind, "RV": wh / 1000, "RI": "01-00:98.08.00*FF",
            "RU": "kWh", "RT": "DC", "ST": "G",
        }  # fmt: skip

    return {
        "FV": "1.0", "GI": "meter", "GS": serial, "PG": f"T{page}", "MV": "meter", "MS": serial, **who, **more,
        "RD": [ocmf_reading("B", begin_wh), ocmf_reading("E", end_wh)],
    }  # fmt: skip


class RestMeter:
    """The common part of both models.

    ``ways`` holds the faults for the next requests: "lost" (carried out, but the answer never arrives), "deaf" (not
    carried out), "garbage", "error", "drips" (an octet now and then, without end), "= TEXT" (that text).
    """

    def __init__(self) -> None:
        self.notary = MeterSigner()
        self.serial = "M-1"
        self.energy_wh = 1_234_567.0
        self.export_wh = 12_000.0
        self.voltage_v, self.current_a = 401.2, 100.5
        self.full = False
        self.glitches: deque[float] = deque()
        """Values that the next reads of the register return instead of its content; 0: its content."""
        self.not_before = 0
        """Number of requests for a record that are answered with "not yet"."""
        self.shown_before = 0
        """Number of requests for a record, after an end, that are answered as before that end."""
        self.clock: list[str] = []
        self._ahead = timedelta()
        self.asked: list[str] = []
        self.ways: deque[str] = deque()
        self.open: dict[str, Any] | None = None
        self.records: dict[str, str] = {}
        self.begun: list[str] = []
        self.port = 0

    @property
    def shown_register_wh(self) -> float:
        return (self.glitches.popleft() if self.glitches else 0.0) or self.energy_wh

    @property
    def power_w(self) -> float:
        return self.voltage_v * self.current_a

    async def __aenter__(self) -> RestMeter:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve_request)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve_request(self, request: web.Request) -> web.StreamResponse:
        way = self.ways.popleft() if self.ways else ""
        self.asked.append(f"{request.method} {request.path}")
        if way == "deaf":
            self._abort_connection(request)
        if way == "garbage":
            return web.Response(text='{"energyImportTotal": 12')
        if way == "error":
            return web.Response(status=503)
        if way.startswith("= "):
            return web.Response(text=way[2:], content_type="application/json")
        if way == "drips":
            return await self._drip_octets(request)
        body = json.loads(await request.text()) if request.can_read_body else {}
        status, answer = self.answer_request(request.method, request.path, dict(request.query), body)
        if way == "lost":
            self._abort_connection(request)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return web.Response(status=status, text=text, content_type="application/json")

    async def _drip_octets(self, request: web.Request) -> web.StreamResponse:
        slow = web.StreamResponse()
        await slow.prepare(request)
        while True:
            await slow.write(b" ")
            await asyncio.sleep(DRIP_S)

    def _abort_connection(self, request: web.Request) -> None:
        assert request.transport is not None
        request.transport.abort()

    def answer_request(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        raise NotImplementedError

    def end_transaction(self) -> None:
        """End the transaction of the meter, by order or because its power failed."""
        if self.open is not None:
            name = self.open["name"]
            who = self.open["who"]
            page = len(self.records) + 1
            at = self.open["at"], self.meter_time()
            self.records[name] = self.notary.sign_payload(
                ocmf_payload(self.serial, page, who, int(self.open["wh"]), int(self.energy_wh), at)
            )
            self.open = None

    def power_cycle(self) -> None:
        """Lose the power and get it back."""
        self.end_transaction()

    def is_shown_before(self) -> bool:
        """Return whether this request for a record is answered as before the end."""
        self.shown_before -= 1
        return self.shown_before >= 0

    def begin_transaction(self, name: str, who: dict[str, Any]) -> None:
        self.begun.append(name)
        self.open = {"name": name, "who": who, "wh": self.energy_wh, "at": self.meter_time()}

    def meter_time(self) -> datetime:
        """Return the time of the meter's own clock."""
        return datetime.now(UTC) + self._ahead

    def set_meter_clock(self, local_time: str) -> None:
        self.clock.append(local_time)
        self._ahead = datetime.fromisoformat(local_time.replace(",", ".")) - datetime.now(UTC)


class LemFarEnd(RestMeter):
    model = "lem_dcbm"

    def __init__(self, firmware: str = "0.1.2.3") -> None:
        super().__init__()
        self.firmware = firmware
        self.v = "v2" if firmware.split(".")[1] > "1" else "v1"

    def answer_request(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        name = query.get("transactionId", "")
        match method, path:
            case "GET", "/v1/status":
                return 200, self._status_body()
            case "PUT", "/v1/settings":
                ok = self.open is None
                if ok:
                    self.set_meter_clock(body["time"]["utc"])
                return 200, {"meterId": self.serial, "result": 1 if ok else 0}
            case "GET", p if p == f"/{self.v}/livemeasure":
                return 200, self._live_measure()
            case "GET", p if p == f"/{self.v}/legal":
                return 200, {"transactionId": self.open["name"] if self.open else (self.begun or [""])[-1]}
            case "POST", p if p == f"/{self.v}/legal":
                return self._start_legal(body)
            case "PUT", p if p == f"/{self.v}/legal" and self.open and self.open["name"] == name:
                self.end_transaction()
                return 200, {"transactionId": name, "meterValue": {"transactionStatus": 25}}
            case "GET", p if p == f"/{self.v}/ocmf":
                return self._signed_record(name)
        return 404, {}

    def _status_body(self) -> dict[str, Any]:
        return {
            "status": {"value": 17, "bits": {
                "suLinkStatusIsOk": True, "muFatalErrorOccured": False, "transactionIsOnGoing": self.open is not None,
                "tamperingIsDetected": False, "timeSyncStatusIsOk": bool(self.clock),
                "overTemperatureIsDetected": False, "reversedVoltage": False, "suMeasureFailureOccurred": False,
            }},
            "version": {"applicationFirmwareVersion": self.firmware},
            "meterId": self.serial,
            "errors": {"value": 0, "bits": {"logbookIsFull": self.full}},
            "publicKeyOcmf": self.notary.public_key_der.hex().upper(),
        }  # fmt: skip

    def _live_measure(self) -> dict[str, Any]:
        return {
            "voltage": self.voltage_v, "current": self.current_a, "power": self.power_w / 1000, "temperatureH": 31.5,
            "temperatureL": 30, "energyImportTotal": self.shown_register_wh / 1000,
            "energyExportTotal": self.export_wh / 1000, "timestamp": self.meter_time().isoformat(),
        }  # fmt: skip

    def _start_legal(self, body: dict[str, Any]) -> tuple[int, Any]:
        if self.open or self.full or body["transactionId"] in self.records or len(body["clientId"]) > 37:
            return 400, {"running": False}
        who = {"IS": True, "IL": "TRUSTED", "IF": [], "IT": "ISO14443", "ID": body["clientId"]}
        self.begin_transaction(body["transactionId"], who | ({"TT": body["TT"]} if self.v == "v2" else {}))
        return 201, {**body, "running": True}

    def _signed_record(self, name: str) -> tuple[int, Any]:
        if name not in self.records or self.is_shown_before():
            return 404, ""
        self.not_before -= 1
        return (200, self.records[name]) if self.not_before < 0 else (503, "")


class IemFarEnd(RestMeter):
    model = "isabellenhuette_iem"

    def __init__(self) -> None:
        super().__init__()
        self.place: dict[str, Any] = {}
        self.user: dict[str, Any] = {}
        self.last = self.previous = ""

    def answer_request(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        match method, path.removeprefix("/counter/v1/ocmf"):
            case "GET", "/gw":
                return 200, {"CT": self.place.get("CT", ""), "CI": self.place.get("CI", "")}
            case "POST", "/gw" if not self.place:
                self.place = body
                self.set_meter_clock(body["TM"])
                return 200, {}
            case "POST", "/datetime" if self.open is None:
                self.set_meter_clock(body["TM"])
                return 200, {}
            case "GET", "/metervalue":
                return 200, self._meter_values()
            case "GET", "/publickey":
                return 200, {"SA": self.notary.sa, "PK": self.notary.public_key_der.hex().upper()}
            case "POST", "/user":
                self.user = body
                return 200, {}
            case "POST", "/receipt":
                return self._handle_receipt(body["TX"])
            case "GET", "/transaction":
                return self._last_record()
        return 404, {}

    def _last_record(self) -> tuple[int, Any]:
        name = self.previous if self.is_shown_before() else self.last
        self.not_before -= 1 if name else 0
        return (200, self.records[name]) if name and self.not_before < 0 else (428, "")

    def _meter_values(self) -> dict[str, Any]:
        """Return the readings. The entries with WV count from the begin of a transaction and must not be billed."""
        here_wh = self.energy_wh - (self.open["wh"] if self.open else self.energy_wh)

        def format_kwh(wh: float) -> str:
            return f"{int(wh) / 1000:012.3f}"

        return {
            "MS": self.serial, "TM": format_ocmf_time(self.meter_time()), "EF": "", "ST": "G",
            "XT": self.open is not None,
            "RD": [
                {"RV": format_kwh(self.shown_register_wh), "RI": "1-b:1.8.e", "RU": "kWh", "RT": "DC"},
                {"RV": format_kwh(self.export_wh), "RI": "1-b:2.8.e", "RU": "kWh", "RT": "DC"},
                {"WV": format_kwh(here_wh), "WI": "transaction_1-b:1.8.e", "WU": "kWh", "WT": "DC"},
                {"WV": format_kwh(0), "WI": "transaction_1-b:2.8.e", "WU": "kWh", "WT": "DC"},
            ],
            "U1": 1.0, "U2": self.voltage_v, "U3": 0, "U4": 0, "I": self.current_a, "P": self.power_w,
            "XC": "0x0001, 0x00000000, 0x00, 0x00" if self.full else "0x0000, 0x00000000, 0x00, 0x00",
        }  # fmt: skip

    def _handle_receipt(self, what: str) -> tuple[int, Any]:
        """Begin or end a transaction. Refused while current flows."""
        if self.current_a > 1 or not self.place or (what == "B") == (self.open is not None) or self.full:
            return 428, ""
        if what == "B":
            who = {k: self.user[k] for k in ("IS", "IL", "IF", "IT", "ID", "TT")}
            self.begin_transaction(self.user["TT"], who)
        else:
            self.end_transaction()
        return 200, ""

    def end_transaction(self) -> None:
        if self.open:
            self.previous, self.last = self.last, self.open["name"]
        super().end_transaction()

    def power_cycle(self) -> None:
        super().power_cycle()
        self.place = {}


class OutletMeter(RestMeter):
    """A meter at an outlet of the simulated world: it shows the energy and the current of the outlet."""

    def __init__(self, evse: Evse) -> None:
        super().__init__()
        self.serial = f"DC-{evse.number}"
        self._evse = evse

    def answer_request(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        measured = self._evse.measured
        self.energy_wh = self._evse.energy_nws / NWS_PER_WH
        self.voltage_v, self.current_a = measured.voltage_v[0], measured.current_a[0]
        if Fault.METER_SILENT in self._evse.faults:
            self.ways.append("deaf")
        return super().answer_request(method, path, query, body)


class OutletLemMeter(OutletMeter, LemFarEnd):
    pass


class OutletIemMeter(OutletMeter, IemFarEnd):
    pass


OUTLET_METERS: dict[str, type[OutletMeter]] = {"lem_dcbm": OutletLemMeter, "isabellenhuette_iem": OutletIemMeter}
"""The meters by the model in the station file."""
