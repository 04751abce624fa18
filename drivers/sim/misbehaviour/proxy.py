"""The proxy on the way to the backend that makes a station misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from agent.scenario.station_proxy import StationProxy
from agent.station_file.settings import Backend, StationFile
from drivers.sim.misbehaviour.kinds import KINDS, NO_ANSWER, Misbehaviour
from drivers.sim.misbehaviour.messages import BackendClock, Payload, StationCall

if TYPE_CHECKING:
    from pathlib import Path

    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

CALL, CALL_RESULT, CALL_ERROR = 2, 3, 4
UNAVAILABLE = 503
ANSWER_S = 60.0
"""Real seconds after which the next request is sent although the last one was not answered."""


class MisbehavingProxy(StationProxy):
    """``kinds``: one of each deviation; they remember what they did over all connections."""

    def __init__(
        self, backend_url: str, kinds: Sequence[Misbehaviour], clock: BackendClock, trusted: Path | None = None
    ) -> None:
        super().__init__(backend_url, trusted)
        self._kinds, self._clock = kinds, clock
        self._connections_left = min((k.connections_max for k in kinds if k.connections_max is not None), default=None)

    async def connect_onward(self, connection: ServerConnection, request: Request) -> Response | None:
        """Connect to the backend, unless the station is one that does not connect again."""
        if self._connections_left == 0:
            return connection.respond(UNAVAILABLE, "this station does not connect again ([simulation] misbehaviour)\n")
        refusal = await super().connect_onward(connection, request)
        if refusal is None and self._connections_left is not None:
            self._connections_left -= 1
        return refusal

    async def pass_frames(self, connection: ServerConnection, onward: ClientConnection, station_id: str) -> None:
        await MisbehavingConnection(connection, onward, self._kinds, self._clock).run_until_closed()


class MisbehavingConnection:
    """One connection. Requests leave one at a time, those that were added between those of the agent."""

    def __init__(
        self, station: ServerConnection, backend: ClientConnection, kinds: Sequence[Misbehaviour], clock: BackendClock
    ) -> None:
        self._station, self._backend, self._kinds, self._clock = station, backend, kinds, clock
        self._version = str(station.subprotocol or "").removeprefix("ocpp")
        self._calls: asyncio.Queue[StationCall] = asyncio.Queue()
        self._open: tuple[str, StationCall] | None = None
        self._answered, self._accepted = asyncio.Event(), asyncio.Event()
        self._numbers = itertools.count(1)
        self._late: set[asyncio.Task[None]] = set()

    async def run_until_closed(self) -> None:
        works = [self._read_station(), self._read_backend(), self._send_calls()]
        works += [self._act_regularly(kind) for kind in self._kinds if kind.period_s]
        tasks = [asyncio.create_task(_until_closed(work)) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, *self._late):
                task.cancel()
            await asyncio.gather(self._backend.close(), self._station.close())
            await asyncio.gather(*tasks, *self._late, return_exceptions=True)

    # --- from the station --------------------------------------------------------------------------------------------

    async def _read_station(self) -> None:
        async for raw in self._station:
            match _parse_frame(raw):
                case [kind, str(message_id), str(action), dict(payload)] if kind == CALL:
                    await self._take_call(StationCall(action, payload, self._version, message_id))
                case [kind, *_] if kind in (CALL_RESULT, CALL_ERROR):
                    await self._pass_answer(raw)
                case _:
                    await self._backend.send(raw)

    async def _take_call(self, call: StationCall) -> None:
        for kind in self._kinds:
            if (answer := kind.answer_for_backend(call)) is not None:
                await self._station.send(json.dumps([CALL_RESULT, call.message_id, answer]))
                return
        for one in self._replace_call(call):
            self._calls.put_nowait(one)

    def _replace_call(self, call: StationCall) -> list[StationCall]:
        calls = [call]
        for kind in self._kinds:
            calls = [changed for one in calls for changed in kind.replace_call(one)]
        return calls

    async def _pass_answer(self, raw: str | bytes) -> None:
        delay_s = max(kind.answer_delay_s for kind in self._kinds)
        if not delay_s:
            await self._backend.send(raw)
            return

        async def send_late() -> None:
            await asyncio.sleep(delay_s)
            await self._backend.send(raw)

        task = asyncio.create_task(_until_closed(send_late()))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _send_calls(self) -> None:
        """Send one request after the other (OCPP-J 1.6, 4.1.1)."""
        while True:
            call = await self._calls.get()
            wire_id = next((i for kind in self._kinds if (i := kind.message_id_on_wire(call))), "")
            wire_id = wire_id or call.message_id or f"added-{next(self._numbers)}"
            self._answered.clear()
            self._open = (wire_id, call)
            await self._backend.send(json.dumps([CALL, wire_id, call.action, call.payload], ensure_ascii=False))
            for text in (text for kind in self._kinds for text in kind.texts_after_call(call)):
                await self._backend.send(text)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    await self._answered.wait()

    async def _act_regularly(self, kind: Misbehaviour) -> None:
        await self._accepted.wait()
        while True:
            await asyncio.sleep(kind.period_s)
            for call in kind.regular_calls(self._version):
                self._calls.put_nowait(call)
            for text in kind.regular_texts():
                await self._backend.send(text)

    # --- from the backend --------------------------------------------------------------------------------------------

    async def _read_backend(self) -> None:
        async for raw in self._backend:
            message = _parse_frame(raw)
            match message:
                case [kind, str(message_id), str(action), *_] if kind == CALL:
                    await self._take_request(raw, message_id, action)
                case [kind, str(message_id), *_] if kind in (CALL_RESULT, CALL_ERROR) and self._is_open(message_id):
                    await self._take_answer(message)
                case _:
                    await self._station.send(raw)

    def _is_open(self, message_id: str) -> bool:
        return self._open is not None and self._open[0] == message_id

    async def _take_answer(self, message: list[Any]) -> None:
        """Pass an answer on to the agent, if it waits for it."""
        assert self._open is not None
        call, self._open = self._open[1], None
        self._answered.set()
        if message[0] == CALL_RESULT and len(message) > 2 and isinstance(message[2], dict):
            message[2] = self._replace_answer(call, message[2])
        if call.message_id:
            await self._station.send(json.dumps([message[0], call.message_id, *message[2:]], ensure_ascii=False))

    def _replace_answer(self, call: StationCall, payload: Payload) -> Payload:
        if call.action in ("BootNotification", "Heartbeat"):
            self._clock.learn_time(payload)
        for kind in self._kinds:
            payload = kind.replace_answer(call, payload)
        if call.action == "BootNotification" and payload.get("status") == "Accepted":
            self._accepted.set()
        return payload

    async def _take_request(self, raw: str | bytes, message_id: str, action: str) -> None:
        for kind in self._kinds:
            answer = kind.answer_request(action)
            if answer is NO_ANSWER:
                return
            if answer is not None:
                await self._backend.send(json.dumps([CALL_RESULT, message_id, answer]))
                return
        await self._station.send(raw)


async def _until_closed(work: Any) -> None:
    """Do a part of a connection until one of its sides is closed."""
    from websockets.exceptions import ConnectionClosed

    with contextlib.suppress(ConnectionClosed):
        await work


def _parse_frame(raw: str | bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


# --- the station file ------------------------------------------------------------------------------------------------


def misbehaviour_problem(file: StationFile, backend_url: str) -> str:
    """Return why a simulated station of this file cannot misbehave; "": it can."""
    first = file.backends[0] if file.backends else Backend()
    if not backend_url.startswith(("ws://", "wss://")):
        return "it is for OCPP-J: the address of the backend must begin with ws:// or wss://"
    if first.security_profile == 3 or first.client_cert is not None:
        return "the backend must not ask for a client certificate (security profile 3)"
    if first.charge_point_id_in_url == "absent":
        return "the address of the backend must end with the charge point id, which a profile of quirks leaves out"
    return ""


@contextlib.asynccontextmanager
async def open_misbehaving_proxy(
    file: StationFile, backend_url: str, time_rate: Callable[[], float]
) -> AsyncIterator[str]:
    """Open the proxy that ``[simulation] misbehaviour`` asks for. Yields the address that the agent is given."""
    clock = BackendClock(time_rate)
    kinds = [KINDS[name](clock) for name in sorted(file.simulation.misbehaviour, key=_place_of_kind)]
    first = file.backends[0] if file.backends else Backend()
    own_id = quote(first.charge_point_id or file.station.id, safe="")
    proxy = MisbehavingProxy(backend_url.rstrip("/").removesuffix(f"/{own_id}"), kinds, clock, first.ca)
    async with proxy.open_proxy("127.0.0.1", 0):
        yield f"ws://127.0.0.1:{proxy.listening_port}"


def _place_of_kind(name: str) -> bool:
    """Return the order of the deviations: requests that were held back go through all others when they leave."""
    return name != "out_of_order"


def without_tls(file: StationFile) -> StationFile:
    """Return the station file for an agent that reaches its first backend through the proxy: the proxy does TLS."""
    if not file.backends:
        return file
    first, *others = file.backends
    profile = 1 if first.security_profile == 2 else first.security_profile
    return replace(file, backends=(replace(first, security_profile=profile, secure_url=""), *others))
