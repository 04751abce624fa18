"""A central system for tests that believes nothing: raw WebSocket, every frame judged by jsonschema against the `ocpp`
package's schemas, a ledger of transactions, and a hook that may act before or after each answer."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

_SPEC = importlib.util.find_spec("ocpp")
assert _SPEC is not None
assert _SPEC.origin is not None
SCHEMAS = Path(_SPEC.origin).parent / "v16" / "schemas"


@dataclass
class Transaction:
    id: int
    connector: int
    token: str
    start_wh: int
    started: str
    message: str
    stop_wh: int | None = None
    stop: dict[str, Any] | None = None
    stop_message: str = ""
    samples: list[int] = field(default_factory=list)


@dataclass
class StrictCsms:
    """``async with StrictCsms() as csms``; ``csms.url`` for stations. ``hook(moment, action, payload)`` is awaited with
    moment "before" and "after" each answer."""

    hook: Callable[[str, str, dict[str, Any]], Awaitable[None]] | None = None
    statuses: dict[str, str] = field(default_factory=dict)
    transactions: dict[int, Transaction] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    frames: list[tuple[str, str]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    boot: str = "Accepted"
    interval_s: int = 300
    refuse: set[str] = field(default_factory=set)
    first_id: int = 100
    _answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    _waiting: dict[str, asyncio.Future[list[Any]]] = field(default_factory=dict)
    _connections: set[ServerConnection] = field(default_factory=set)
    _asked: int = 0

    async def __aenter__(self) -> StrictCsms:
        self._server = await serve(self._station, "127.0.0.1", 0, subprotocols=["ocpp1.6"], ping_interval=None)  # type: ignore[list-item]
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    # --- the wire ----------------------------------------------------------------------------------------------

    async def _station(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        if connection.subprotocol != "ocpp1.6":
            self.violations.append(f"subprotocol {connection.subprotocol}")
        works: set[asyncio.Task[None]] = set()
        try:
            async for text in connection:
                self.frames.append(("in", str(text)))
                message = json.loads(text)
                if message[0] == 2:
                    works = {w for w in works if not w.done()}
                    if works:
                        self.violations.append(f"a second CALL while one is open: {text!r}")
                    works.add(asyncio.create_task(self._answer(connection, *message[1:])))
                else:
                    future = self._waiting.pop(message[1], None)
                    if future is not None and not future.done():
                        future.set_result(message)
        except ConnectionClosed:
            pass  # killed stations say no goodbye
        finally:
            self._connections.discard(connection)
            for work in works:
                work.cancel()

    async def _answer(self, connection: ServerConnection, id_: str, action: str, payload: dict[str, Any]) -> None:
        self._judge(action, payload)
        if len(id_) > 36:
            self.violations.append(f"message id of {len(id_)} characters")
        if self.hook:
            await self.hook("before", action, payload)
        if id_ in self._answers and action in ("StartTransaction", "StopTransaction"):
            answer = self._answers[id_]  # a repeated message: the same answer, no second transaction
        else:
            answer = self._answers[id_] = getattr(self, f"_{action}", self._nothing)(id_, payload)
        self._judge(action + "Response", answer)
        text = json.dumps([3, id_, answer])
        self.frames.append(("out", text))
        await connection.send(text)
        if self.hook:
            await self.hook("after", action, payload)

    def _judge(self, name: str, payload: Any) -> None:
        schema = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8-sig"))
        for error in jsonschema.Draft4Validator(schema).iter_errors(payload):
            self.violations.append(f"{name}: {error.message} in {json.dumps(payload)[:300]}")

    async def ask(self, action: str, payload: dict[str, Any], timeout_s: float = 10.0) -> dict[str, Any]:
        """CALL the station; the answer is judged and returned."""
        self._asked += 1
        id_ = f"c{self._asked}"
        future = self._waiting[id_] = asyncio.get_running_loop().create_future()
        (connection,) = self._connections
        text = json.dumps([2, id_, action, payload])
        self.frames.append(("out", text))
        await connection.send(text)
        message = await asyncio.wait_for(future, timeout_s)
        if message[0] != 3:
            raise AssertionError(f"{action} was answered with {message}")
        self._judge(action + "Response", message[2])
        return dict(message[2])

    async def drop(self) -> None:
        for connection in list(self._connections):
            connection.transport.abort()

    # --- what it answers ---------------------------------------------------------------------------------------

    def _nothing(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _BootNotification(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"status": self.boot, "currentTime": _now(), "interval": self.interval_s}

    def _Heartbeat(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"currentTime": _now()}

    def _Authorize(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"idTagInfo": {"status": "Invalid" if payload["idTag"] in self.refuse else "Accepted"}}

    def _DataTransfer(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"status": "UnknownVendorId"}

    def _StatusNotification(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.told.append(payload)
        self.statuses[str(payload["connectorId"])] = payload["status"]
        return {}

    def _StartTransaction(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        key = (payload["connectorId"], payload["timestamp"], payload["meterStart"])
        for t in self.transactions.values():
            if (t.connector, t.started, t.start_wh) == key:
                self.violations.append(f"the same start under another message id: {t.message} and {id_}")
            if t.connector == payload["connectorId"] and t.stop_wh is None:
                self.violations.append(f"transaction {t.id} has no end, but connector {t.connector} starts another")
        number = self.first_id + len(self.transactions)
        self.transactions[number] = Transaction(
            number, payload["connectorId"], payload["idTag"], payload["meterStart"], payload["timestamp"], id_
        )
        status = "Invalid" if payload["idTag"] in self.refuse else "Accepted"
        return {"transactionId": number, "idTagInfo": {"status": status}}

    def _StopTransaction(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        t = self.transactions.get(payload["transactionId"])
        if t is None:
            self.violations.append(f"stop of unknown transaction {payload['transactionId']}")
        elif t.stop is not None:
            self.violations.append(f"second stop of {t.id}: {t.stop_message} and {id_}")
        else:
            t.stop_wh, t.stop, t.stop_message = payload["meterStop"], payload, id_
            if any(t.stop_wh < w for w in (t.start_wh, *t.samples)):
                self.violations.append(f"register of {t.id} ran backwards: {t.start_wh} {t.samples} {t.stop_wh}")
            if payload["timestamp"] < t.started:
                self.violations.append(f"{t.id} ends before it starts")
        return {"idTagInfo": {"status": "Accepted"}}

    def _MeterValues(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        t = self.transactions.get(payload.get("transactionId", -1))
        if t is not None:
            for value in payload["meterValue"]:
                for sample in value["sampledValue"]:
                    if sample.get("measurand", "Energy.Active.Import.Register") == "Energy.Active.Import.Register":
                        wh = int(float(sample["value"]))
                        if t.samples and wh < t.samples[-1]:
                            self.violations.append(f"meter value of {t.id} ran backwards")
                        t.samples.append(wh)
        return {}

    @property
    def energy_wh(self) -> int:
        return sum(t.stop_wh - t.start_wh for t in self.transactions.values() if t.stop_wh is not None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
