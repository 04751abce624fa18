"""Two judges who know nothing of each other: a central system that is not ours, in a process of its own, and on the way
to it the strict one of ``strict_csms.py``, which hands every frame on and judges it."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from tests.support.strict_csms import BILLED, REQUEST, StrictCsms

PROGRAM = Path(__file__).with_name("ocpp_package_csms.py")


class Foreign:
    """``async with Foreign() as foreign``: the program ``foreign_csms.py``."""

    async def __aenter__(self) -> Foreign:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(PROGRAM), stdin=pipe, stdout=pipe, limit=2**26
        )
        assert self._process.stdout is not None
        self._lock = asyncio.Lock()
        self.url = f"ws://127.0.0.1:{int(await self._process.stdout.readline())}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._process.kill()
        await self._process.wait()

    async def _say(self, *words: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._lock:
            self._process.stdin.write(json.dumps(words).encode() + b"\n")
            return dict(json.loads(await self._process.stdout.readline()))

    async def ask(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The station's answer, or ``{"error": why}``."""
        return await self._say(action, payload)

    async def ledger(self) -> dict[str, Any]:
        return await self._say("ledger")


@dataclass
class Between(StrictCsms):
    """``target``: the central system that answers. Here every frame is judged and what is billed is booked."""

    target: str = ""
    _far: dict[ServerConnection, ClientConnection] = field(default_factory=dict)
    _open: dict[tuple[ClientConnection, str], asyncio.Future[list[Any]]] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def _station(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        spoken: Any = [connection.subprotocol]
        url = self.target + connection.request.path
        async with connect(url, subprotocols=spoken, ping_interval=None, compression=None, proxy=None) as far:
            self._far[connection] = far
            pump = asyncio.create_task(self._pump(far, connection))
            try:
                await super()._station(connection)
            finally:
                pump.cancel()
                del self._far[connection]

    async def _answer(self, connection: ServerConnection, id_: str, action: str, payload: dict[str, Any]) -> None:
        version = str(connection.subprotocol).removeprefix("ocpp")
        self._judge(action + REQUEST[version], payload, version)
        self._look_at_id(id_, action)
        far = self._far[connection]
        future = self._open[far, id_] = asyncio.get_running_loop().create_future()
        await far.send(json.dumps([2, id_, action, payload]))
        message = await future
        if message[0] == 3:
            self._judge(action + "Response", message[2], version)
            self._book(id_, action, payload, message[2], version)
        else:
            self.violations.append(f"{action} was refused: {message} {json.dumps(payload)[:300]}")
        text = json.dumps(message)
        self.frames.append(("out", text))
        await connection.send(text)

    def _book(self, id_: str, action: str, payload: dict[str, Any], answer: dict[str, Any], version: str) -> None:
        key = self.identity(action, payload)
        if key in self._answers and action in BILLED:
            return  # a repeated message
        if action == "StartTransaction":
            self.first_id = answer["transactionId"] - len(self.transactions)
        plain = getattr(self, f"_{action}", self._nothing)
        (getattr(self, f"_{action}_201", plain) if version == "2.0.1" else plain)(id_, payload)
        self._answers[key] = answer

    async def _pump(self, far: ClientConnection, connection: ServerConnection) -> None:
        """From the central system to the station."""
        try:
            async for text in far:
                message = json.loads(text)
                if message[0] != 2:
                    self._open.pop((far, message[1])).set_result(message)
                    continue
                self._expect(far, connection, message)
                self.frames.append(("out", str(text)))
                await connection.send(text)
        except ConnectionClosed:
            pass  # the station went

    def _expect(self, far: ClientConnection, connection: ServerConnection, call: list[Any]) -> None:
        version = str(connection.subprotocol).removeprefix("ocpp")

        def back(future: asyncio.Future[list[Any]]) -> None:
            message = future.result()
            if message[0] == 3:
                self._judge(call[2] + "Response", message[2], version)
            else:
                self.violations.append(f"{call} was answered with {message}")
            task = asyncio.ensure_future(self._return(far, json.dumps(message)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        future = self._waiting[call[1]] = asyncio.get_running_loop().create_future()
        future.add_done_callback(back)

    async def _return(self, far: ClientConnection, text: str) -> None:
        try:
            await far.send(text)
        except ConnectionClosed:
            pass
