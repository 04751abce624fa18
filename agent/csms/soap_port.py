"""The port of the test central system for OCPP 1.2, 1.5 and 1.6 over SOAP. To the rest of it a station is one with a
connection: its messages are frames of 1.6 JSON, which this module makes of envelopes and back."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from agent.csms.soap_words import (
    NotReadable,
    SoapMessage,
    SoapVersion,
    write_fault,
    write_request,
    write_response,
)
from agent.model.entry_points import load_entry_point

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import web

    from agent.csms.central_system import Central

CONTENT_TYPE = "application/soap+xml; charset=utf-8"
SHUT_DOWN_S = 0.5
FAULTS = {
    "NotImplemented": ("Receiver", "NotSupported"), "NotSupported": ("Receiver", "NotSupported"),
    "InternalError": ("Receiver", "InternalError"), "GenericError": ("Receiver", "InternalError"),
    "SecurityError": ("Sender", "SecurityError"),
}  # fmt: skip
"""Code and subcode for each error code of JSON; every other one is a ProtocolError of the sender."""


class SoapPort:
    """Listens for the messages of stations. ``port``: where it listens."""

    def __init__(self, central: Central, session: aiohttp.ClientSession) -> None:
        self._central, self._session = central, session
        self._wires: dict[str, SoapWire] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def answer_post(self, request: web.BaseRequest) -> web.Response:
        """Answer a POST of a station with the envelope of its answer, or with a fault."""
        from aiohttp import web

        octets = await request.content.read(-1)
        try:
            message = SoapMessage(octets)
        except NotReadable as e:
            self._central.ledger.record_violation("?", "garbage", str(e))
            return web.Response(status=400, body=write_fault(str(e), ""), content_type="application/soap+xml")
        version = message.version
        if version is None or version.name not in self._central.options.soap_versions:
            fault = write_fault("not a version that is spoken here", message.headers.get("MessageID", ""), "Sender")
            return web.Response(status=400, body=fault, headers={"Content-Type": CONTENT_TYPE})
        station = message.headers.get("chargeBoxIdentity", "")
        if not station or not self._central.knows_password(request.headers.get("Authorization", ""), station):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="ocpp"'})
        status, answer = await self._wire_of(station, version).ask_central(message)
        return web.Response(status=status, body=answer, headers={"Content-Type": CONTENT_TYPE})

    def _wire_of(self, station: str, version: SoapVersion) -> SoapWire:
        """Return the wire of a station; with its first message of a version it is connected."""
        wire = self._wires.get(station)
        if wire is None or wire.is_closed or wire.version is not version:
            wire = self._wires[station] = SoapWire(station, version, self._central, self._session)
            task = asyncio.create_task(self._serve_station(station, wire))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return wire

    async def _serve_station(self, station: str, wire: SoapWire) -> None:
        options = self._central.options
        made = load_entry_point(wire.version.station_class)(
            station, wire, self._central.ledger, self._central.tokens, options.interval_s, options.answer_within_s
        )
        await self._central.replace_connection(station)
        version = wire.version.name
        registered = self._central.register_station(made, wire, version, f"OCPP {version}, SOAP")
        with registered, contextlib.suppress(WireClosed):
            await made.start()

    async def close_wires(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class WireClosed(Exception):
    """Another connection of the station has taken the place of this one."""


class SoapWire:
    """One station over SOAP, as a connection of frames."""

    def __init__(self, station: str, version: SoapVersion, central: Central, session: aiohttp.ClientSession) -> None:
        self._station, self.version, self._central, self._session = station, version, central, session
        self._frames: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: dict[str, tuple[SoapMessage, asyncio.Future[tuple[int, bytes]]]] = {}
        self._numbers = itertools.count(1)
        self._address = ""
        self._calls: set[asyncio.Task[None]] = set()
        self._closed = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Give the station up."""
        self._closed.set()
        for task in self._calls:
            task.cancel()

    # --- requests of the station -------------------------------------------------------------------------------------

    async def ask_central(self, message: SoapMessage) -> tuple[int, bytes]:
        """Return the status of HTTP and the envelope that answer a message of the station."""
        self._address = message.headers.get("From", "") or self._address
        id_ = f"s{next(self._numbers)}"
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[id_] = message, answer
        self._central.ledger.count_call(self._station, message.action)
        self._central.print_line(f"{self._station} -> {message.action}")
        self._put_frame(json.dumps([2, id_, message.action, message.payload]))
        try:
            async with asyncio.timeout(self._central.options.answer_within_s):
                return await answer
        except TimeoutError:
            return 500, write_fault("no answer in time", message.headers.get("MessageID", ""))
        finally:
            del self._waiting[id_]

    def _put_frame(self, text: str) -> None:
        self._central.on_frame(self._station, True, self.version.name, text)
        self._frames.put_nowait(text)

    async def recv(self) -> str:
        """Return the next frame of the station. Raises ``WireClosed``."""
        arriving, closing = asyncio.ensure_future(self._frames.get()), asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait((arriving, closing), return_when=asyncio.FIRST_COMPLETED)
            if not arriving.done():
                raise WireClosed
            return arriving.result()
        finally:
            arriving.cancel()
            closing.cancel()

    # --- what the central system sends -------------------------------------------------------------------------------

    async def send(self, text: str) -> None:
        """Send a frame: an answer into the exchange that waits for it, a request as an exchange of its own."""
        frame = json.loads(text)
        self._central.on_frame(self._station, False, self.version.name, text)
        if frame[0] == 2:
            task = asyncio.create_task(self._call_station(*frame[1:]))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        elif frame[1] in self._waiting:
            message, answer = self._waiting[frame[1]]
            if not answer.done():
                answer.set_result(self._write_answer(message, frame))

    def _write_answer(self, message: SoapMessage, frame: list[Any]) -> tuple[int, bytes]:
        relates_to = message.headers.get("MessageID", "")
        if frame[0] != 3:
            details = frame[4] if isinstance(frame[4], dict) else {}
            cause = str(details.get("cause", frame[3]))
            self._central.ledger.record_violation(self._station, "schema", f"{message.action}: {frame[2]}: {cause}")
            code, subcode = FAULTS.get(frame[2], ("Sender", "ProtocolError"))
            fault = write_fault(f"{frame[2]}: {cause}", relates_to, code, subcode, self.version.to_central)
            return 400 if code == "Sender" else 500, fault
        return 200, write_response(self.version, message.action, frame[2], relates_to)

    async def _call_station(self, id_: str, action: str, payload: dict[str, Any]) -> None:
        import aiohttp

        headers = {
            "chargeBoxIdentity": self._station, "Action": f"/{action}", "MessageID": f"urn:uuid:{id_}",
            "To": self._address,
        }  # fmt: skip
        envelope = write_request(self.version, action, payload, headers)
        sent = {"Content-Type": CONTENT_TYPE, **self._login_header()}
        try:
            async with self._session.post(self._address, data=envelope, headers=sent) as reply:
                message = SoapMessage(await reply.content.read(-1))
        except (aiohttp.ClientError, TimeoutError, ValueError, NotReadable) as e:
            self._put_frame(
                json.dumps([4, id_, "GenericError", f"the station cannot be called ({type(e).__name__})", {}])
            )
            return
        if message.fault:
            self._put_frame(json.dumps([4, id_, "GenericError", message.fault[:200], {}]))
            return
        found = message.payload
        if action == "UnlockConnector":
            found = {**found, "status": self.version.unlock_words.get(str(found.get("status")), found.get("status"))}
        self._put_frame(json.dumps([3, id_, found]))

    def _login_header(self) -> dict[str, str]:
        """Return the password that the station logs in with, for a station that wants it from its callers too."""
        password = self._central.options.passwords.get(self._station)
        if not password:
            return {}
        return {"Authorization": "Basic " + base64.b64encode(f"{self._station}:{password}".encode()).decode()}


@contextlib.asynccontextmanager
async def open_soap_port(central: Central, host: str, port: int) -> AsyncIterator[SoapPort]:
    """Listen for stations over SOAP. Raises ``OSError`` if the address cannot be used."""
    import aiohttp
    from aiohttp import web

    timeout = aiohttp.ClientTimeout(total=central.options.answer_within_s)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        soap = SoapPort(central, session)
        runner = web.ServerRunner(web.Server(soap.answer_post, access_log=None), shutdown_timeout=SHUT_DOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            soap.port = runner.addresses[0][1]
            yield soap
        finally:
            await soap.close_wires()
            await runner.cleanup()
