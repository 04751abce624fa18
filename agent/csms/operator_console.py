"""The page of the test central system for people and scripts (HTTP GET), and its commands (HTTP POST, stdin)."""

from __future__ import annotations

import asyncio
import html
import ipaddress
import json
import os
import sys
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.csms.errors import NotConnected
from agent.csms.payment_page import SEE_OTHER
from agent.csms.station_records import StationRecord, Transaction

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

    from agent.csms.central_system import Central

HTML = "text/html; charset=utf-8"
COMMAND = '{"station": "CP-1", "action": "Reset", "payload": {"type": "Soft"}}'
HTTP_OF = {NotConnected: 409, ValueError: 400, TimeoutError: 504}


async def answer_http_request(central: Central, connection: ServerConnection, request: Request) -> Response:
    """Answer ``/``, ``/ledger.json``, ``/pay/...``, and by POST from this machine only ``/command`` and ``/clock``."""
    address, posted = urlsplit(request.path), _posted_body(connection)
    path = address.path
    match path:
        case "/":
            return _http_response(connection, 200, render_page(central), HTML)
        case "/ledger.json":
            return _http_response(connection, 200, json.dumps(ledger_snapshot(central)), "application/json")
        case "/command" | "/clock":
            refusal = _command_refusal(connection, request, posted)
            do = _answer_command if path == "/command" else _answer_clock_rate
            status, body = refusal or await do(central, posted or b"")
            return _http_response(connection, status, json.dumps(body), "application/json")
        case _ if central.desk is not None and path.startswith("/pay/"):
            try:
                accepted = ",".join(request.headers.get_all("Accept-Language"))
                status, text = await central.desk.answer_page_request(path, posted is not None, address.query, accepted)
            except (NotConnected, ValueError, TimeoutError) as e:
                return _http_response(connection, 503, f"the station does not answer: {e}\n", "text/plain")
            return _page_or_redirect(connection, status, text)
        case _:
            return _http_response(connection, 404, "unknown page; there are / /ledger.json /command\n", "text/plain")


def _posted_body(connection: ServerConnection) -> bytes | None:
    """Return the body of a ``PostConnection``. Its module is loaded with the server only."""
    body: bytes | None = getattr(connection, "posted", None)
    return body


def _page_or_redirect(connection: ServerConnection, status: int, text: str) -> Response:
    """Return a page, or for status 303 a redirect to the path ``text``."""
    response = _http_response(connection, status, "" if status == SEE_OTHER else text, HTML)
    if status == SEE_OTHER:
        response.headers["Location"] = text
    response.headers["Cache-Control"] = "no-store"
    return response


def ledger_snapshot(central: Central) -> dict[str, Any]:
    """Return the ledger and the connected stations."""
    return {**central.ledger.as_json(), "connected": sorted(central.connected)}


async def follow_stdin(central: Central) -> None:
    """Run command lines ``{"station": .., "action": .., "payload": {..}}`` from stdin. Writes one line per answer."""
    lines = _stdin_lines()
    while (line := await lines.get()) is not None:
        if line.strip():
            print(json.dumps(await run_line(central, line)), flush=True)


async def run_line(central: Central, line: str) -> dict[str, Any]:
    """Run one command line and return its answer. A wrong line is answered by ``{"error": text}``."""
    try:
        wish = json.loads(line)
        station, action, payload = wish["station"], wish["action"], wish.get("payload", {})
    except (ValueError, TypeError, KeyError, AttributeError):
        return {"error": f"a command is one line: {COMMAND}"}
    return (await _send_to_station(central, station, action, payload))[1]


def _command_refusal(connection: ServerConnection, request: Request, posted: bytes | None) -> tuple[int, Any] | None:
    """Return why a command is refused. The type must be JSON: a web form needs a preflight to send that (CORS)."""
    if not ipaddress.ip_address(connection.remote_address[0]).is_loopback:
        return 403, {"error": "commands are taken from this machine only"}
    if posted is None:
        return 405, {"error": f"a command is a POST of JSON: {COMMAND}"}
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        return 415, {"error": "the body must be JSON, with Content-Type: application/json"}
    return None


async def _answer_command(central: Central, posted: bytes) -> tuple[int, Any]:
    try:
        wish = json.loads(posted)
        station, action, payload = wish["station"], wish["action"], wish.get("payload", {})
    except KeyError as e:
        return 400, {"error": f"{e.args[0]} is missing: {COMMAND}"}
    except (ValueError, RecursionError, TypeError, AttributeError) as e:
        return 400, {"error": f"the body is no command ({e}): {COMMAND}"}
    return await _send_to_station(central, station, action, payload)


async def _answer_clock_rate(central: Central, posted: bytes) -> tuple[int, Any]:
    """Set the rate at which the stations' clocks run (simulation)."""
    try:
        rate = float(json.loads(posted)["rate"])
    except (ValueError, RecursionError, TypeError, KeyError, OverflowError):
        rate = 0.0
    if not 0.1 <= rate <= 1000:
        return 400, {"error": 'the body must be like {"rate": 10}, a number from 0.1 to 1000'}
    if central.desk is not None:
        central.desk.set_rate(rate)
    return 200, {"rate": rate}


async def _send_to_station(central: Central, station: Any, action: Any, payload: Any) -> tuple[int, dict[str, Any]]:
    if not (isinstance(station, str) and isinstance(action, str) and isinstance(payload, dict)):
        return 400, {"error": f"station and action must be texts, payload a JSON object: {COMMAND}"}
    try:
        return 200, await central.send_command(station, action, payload)
    except (NotConnected, ValueError, TimeoutError) as e:
        status = next(s for kind, s in HTTP_OF.items() if isinstance(e, kind))
        return status, {"error": str(e) or f"{station} did not answer in time"}


def _http_response(connection: ServerConnection, status: int, body: str, content_type: str) -> Response:
    response = connection.respond(status, body)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = content_type
    return response


def _stdin_lines() -> asyncio.Queue[str | None]:
    """Read lines from stdin in a thread. stdin may be a pipe, a file or a terminal; only a thread can read all three.

    The thread reads the descriptor itself: a lock of ``sys.stdin`` held at exit would abort the interpreter.
    """
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    if sys.stdin is None or _in_background():
        return lines

    def queue_line(line: str | None) -> None:
        try:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        except RuntimeError:  # the loop has ended while we were reading
            pass

    def read_lines() -> None:
        rest = b""
        while chunk := _read_some():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                queue_line(line.decode("utf-8", "replace"))
        queue_line(rest.decode("utf-8", "replace"))
        queue_line(None)

    threading.Thread(target=read_lines, name="stdin", daemon=True).start()
    return lines


def _read_some() -> bytes:
    try:
        return os.read(0, 65536)
    except OSError:
        return b""


def _in_background() -> bool:
    """Return whether this is a background job. The kernel stops one that reads its terminal (SIGTTIN)."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp()
    except OSError:
        return True


def render_page(central: Central) -> str:
    """Return the page: plain HTML without script, which reloads itself."""
    data = central.ledger
    stations = "".join(_station_row(r, r.id in central.connected) for r in data.stations.values())
    bills = "".join(_bill_row(t) for t in reversed(data.transactions.values()))
    wrong = "".join(
        f"<li>{_escape_html(v.station)}: {_escape_html(v.kind)}: {_escape_html(v.text)}</li>" for v in data.violations
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=2>"
        "<title>Test central system</title><style>body{font:15px system-ui;margin:2em;max-width:70em}"
        "td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ccc}</style>"
        "<h1>Test central system</h1>"
        f"<h2>Stations</h2><table><tr><th>id<th>link<th>OCPP<th>boots<th>connectors</tr>{stations}</table>"
        "<h2>Transactions</h2><table><tr><th>id<th>station<th>connector<th>started<th>stopped<th>energy"
        f"<th>reason</tr>{bills}</table>"
        f"<h2>Violations: {len(data.violations)}</h2><ul>{wrong}</ul></html>"
    )


def _station_row(record: StationRecord, up: bool) -> str:
    statuses = ", ".join(
        f"{c}: {t.get('status')} {t.get('errorCode', '')}".rstrip() for c, t in sorted(record.statuses.items())
    )
    cells = (record.id, "up" if up else "down", record.version, record.boots, statuses)
    return "<tr>" + "".join(f"<td>{_escape_html(c)}" for c in cells) + "</tr>"


def _bill_row(t: Transaction) -> str:
    energy_wh = t.last_wh - t.meter_start_wh if t.energy_wh is None else t.energy_wh
    cells = (t.transaction_id, t.station, t.connector, t.started, t.stopped or "running", f"{energy_wh} Wh", t.reason)
    return "<tr>" + "".join(f"<td>{_escape_html(c or '')}" for c in cells) + "</tr>"


def _escape_html(value: object) -> str:
    return html.escape(str(value))
