"""The built-in central system of a simulated station: a child process, and a proxy for its payment page."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from agent.station_file.settings import Backend
from drivers.sim.http_access import path_below_station
from drivers.sim.supervisor import Supervisor
from drivers.sim.time_rate import Pace

WITHIN_S = 30.0
BODY_MAX = 16_384
HTTP_OK = 200
_PAY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"


SOAP_VERSIONS = frozenset({"1.2", "1.5"})
"""Versions of OCPP that are spoken over SOAP alone."""


def needs_soap(backends: Sequence[Backend]) -> bool:
    """Return whether the first backend is spoken to over SOAP alone."""
    return bool(backends) and SOAP_VERSIONS.issuperset(backends[0].versions)


@dataclass
class DemoCentral:
    """``port``: its port on the loopback, ``soap_port`` that for SOAP, 0: the station speaks over a WebSocket.
    ``pay_at``: the address in the station's QR codes."""

    port: int
    soap_port: int
    folder: Path
    euro_kwh: float
    pay_at: str
    pace: Pace

    @property
    def station_url(self) -> str:
        """The address for the station."""
        return f"http://127.0.0.1:{self.soap_port}/" if self.soap_port else f"ws://127.0.0.1:{self.port}"

    def make_supervisor(self, print_line: Callable[[str], None]) -> Supervisor:
        log = self.folder / "central.log"
        return Supervisor("backend", self._command_line, log, restart_s=1.0, stop_within_s=1.0, print_line=print_line)

    def _command_line(self) -> list[str]:
        return [
            sys.executable, "-m", "agent", "csms", "--port", str(self.port), "--quiet",
            *(["--soap", str(self.soap_port)] if self.soap_port else []),
            "--pay", str(self.euro_kwh), "--pay-at", self.pay_at, "--journal", str(self.folder / "central.jsonl"),
            "--clock-rate", f"{self.pace.rate:g}", *([] if self.pace.is_unchanged else ["--clock-apart"]),
        ]  # fmt: skip

    async def send_time_rate(self, pace: Pace) -> None:
        """Send the new rate. A process that is down starts with it."""
        self.pace = pace
        timeout = aiohttp.ClientTimeout(total=WITHIN_S)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with aiohttp.ClientSession(timeout=timeout) as http:
                await http.post(f"http://127.0.0.1:{self.port}/clock", json={"rate": pace.rate})

    async def send_command(self, station: str, action: str, payload: dict[str, Any]) -> str:
        """Have a request sent to the station, and wait for its answer. Return what is wrong with it, or ""."""
        timeout = aiohttp.ClientTimeout(total=WITHIN_S)
        wish = {"station": station, "action": action, "payload": payload}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.post(f"http://127.0.0.1:{self.port}/command", json=wish) as answer,
            ):
                return "" if answer.status == HTTP_OK else str((await answer.json()).get("error"))
        except (aiohttp.ClientError, TimeoutError, ValueError) as e:
            return str(e) or type(e).__name__

    async def proxy_pay_page(self, request: web.Request) -> web.Response:
        """Forward a request to the payment page, because a telephone reaches this port only."""
        body = await request.content.read(BODY_MAX) if request.method == "POST" else None
        address = f"http://127.0.0.1:{self.port}{path_below_station(request.raw_path)}"
        passed_on = {k: request.headers[k] for k in ("Accept-Language",) if k in request.headers}
        timeout = aiohttp.ClientTimeout(total=WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.request(
                    request.method, _exact_url(address), data=body, headers=passed_on, allow_redirects=False
                ) as answer,
            ):
                headers = {k: answer.headers[k] for k in ("Location", "Content-Type") if k in answer.headers}
                headers |= {"Content-Security-Policy": _PAY_POLICY, "Cache-Control": "no-store"}
                return web.Response(status=answer.status, body=await answer.read(), headers=headers)
        except (aiohttp.ClientError, TimeoutError):
            raise web.HTTPBadGateway(reason="the demonstration's central system does not answer") from None


def _exact_url(address: str) -> URL:
    """Keep the URL as requested: an encoded slash in a station's name is not a path separator."""
    return URL(address, encoded=True)
