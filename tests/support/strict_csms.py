"""A central system for tests that believes nothing: raw WebSocket, every frame judged by jsonschema against the `ocpp`
package's schemas, a ledger of transactions, and a hook that may act before or after each answer. It speaks 1.6, 2.0.1,
2.1, or several and then takes the first of its own list that the station offers."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support.busy_machine import deadline

_SPEC = importlib.util.find_spec("ocpp")
assert _SPEC is not None
assert _SPEC.origin is not None
SCHEMAS = {v: Path(_SPEC.origin).parent / f"v{v.replace('.', '')}" for v in ("1.6", "2.0.1", "2.1")}
REQUEST = {"1.6": "", "2.0.1": "Request", "2.1": "Request"}
ENERGY = "Energy.Active.Import.Register"
BILLED = ("StartTransaction", "StopTransaction", "TransactionEvent")
CLOCK_SET = timedelta(seconds=10)
"""By how much less the same instant is reported differently after a restart."""


def exact(value: Any) -> Any:
    """JSON as it is written: 12.6 is a multiple of 0.1, if not in binary."""
    return json.loads(json.dumps(value), parse_float=Decimal)


@cache
def validator_of(version: str, name: str) -> Any:
    """Made once of each schema: a central system that reads it for each message answers late on a busy machine."""
    schema = exact(json.loads((SCHEMAS[version] / "schemas" / f"{name}.json").read_text("utf-8-sig")))
    return (jsonschema.Draft4Validator if version == "1.6" else jsonschema.Draft6Validator)(schema)


@dataclass
class Transaction:
    id: int | str
    connector: int
    token: str
    start_wh: int
    started: str
    message: str
    stop_wh: int | None = None
    stop: dict[str, Any] | None = None
    stop_message: str = ""
    samples: list[int] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def version(self) -> str:
        """A session that crosses versions is sent in both, and ended in one. 2.1 is one book with 2.0.1."""
        return "1.6" if isinstance(self.id, int) else "2.0.1"


@dataclass
class StrictCsms:
    """``async with StrictCsms() as csms``; ``csms.url`` for stations. ``hook(moment, action, payload)`` is awaited with
    moment "before" and "after" each answer."""

    hook: Callable[[str, str, dict[str, Any]], Awaitable[None]] | None = None
    statuses: dict[str, str] = field(default_factory=dict)
    transactions: dict[int | str, Transaction] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    frames: list[tuple[str, str]] = field(default_factory=list)
    sent_statuses: list[dict[str, Any]] = field(default_factory=list)
    since_boot: set[str] = field(default_factory=set)
    """Connectors or EVSEs whose status was sent since the latest boot that was accepted."""
    boot: str = "Accepted"
    interval_s: int = 300
    refuse: set[str] = field(default_factory=set)
    signing: str = "Accepted"
    """The answer to a signing request."""
    first_id: int = 100
    speaks: tuple[str, ...] = ("1.6",)
    listening: socket.socket | None = None
    """A socket that is bound already; None: any port of this machine."""
    peers: list[str] = field(default_factory=list)
    """The addresses from which the connections came, in order."""
    version: str = ""
    """Of the latest connection."""
    reports: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    """The message ids of all CALLs: no connection and no start of the station may use one again."""
    _answers: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    _waiting: dict[str, asyncio.Future[list[Any]]] = field(default_factory=dict)
    _connections: dict[ServerConnection, None] = field(default_factory=dict)
    """The oldest first: one that was cut may be noticed after the next one is there."""
    _after: set[asyncio.Future[None]] = field(default_factory=set)
    _asked: int = 0

    async def __aenter__(self) -> StrictCsms:
        where: dict[str, Any] = {"sock": self.listening} if self.listening else {"host": "127.0.0.1", "port": 0}
        self._server = await serve(self._station, **where, select_subprotocol=self._choose, ping_interval=None)
        host, self.port = next(iter(self._server.sockets)).getsockname()
        self.url = f"ws://{host}:{self.port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    def _choose(self, connection: ServerConnection, offered: Any) -> Any:
        return next((f"ocpp{v}" for v in self.speaks if f"ocpp{v}" in offered), None)

    # --- the wire ----------------------------------------------------------------------------------------------

    async def _station(self, connection: ServerConnection) -> None:
        self._connections[connection] = None
        self.peers.append(connection.remote_address[0])
        self.version = str(connection.subprotocol).removeprefix("ocpp")
        if self.version not in self.speaks:
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
            self._connections.pop(connection, None)
            for work in works:
                work.cancel()

    async def _answer(self, connection: ServerConnection, id_: str, action: str, payload: dict[str, Any]) -> None:
        version = str(connection.subprotocol).removeprefix("ocpp")
        self._judge(action + REQUEST[version], payload, version)
        self._look_at_id(id_, action)
        if self.hook:
            await self.hook("before", action, payload)
        key = self.identity(action, payload)
        if action in BILLED and key in self._answers:
            answer = self._answers[key]  # a repeated message: the same answer, no second transaction
        else:
            plain = getattr(self, f"_{action}", self._nothing)
            answer = getattr(self, f"_{action}_201", plain) if version != "1.6" else plain
            answer = self._answers[key] = answer(id_, payload)
        self._judge(action + "Response", answer, version)
        text = json.dumps([3, id_, answer])
        self.frames.append(("out", text))
        await connection.send(text)
        if self.hook:  # beside: the station may send its next CALL by now
            after = asyncio.ensure_future(self.hook("after", action, payload))
            self._after.add(after)
            after.add_done_callback(self._after.discard)

    def _look_at_id(self, id_: str, action: str) -> None:
        if len(id_) > 36:
            self.violations.append(f"message id of {len(id_)} characters")
        if id_ in self.ids:
            self.violations.append(f"message id {id_} is used again, for {action}")
        self.ids.add(id_)

    def identity(self, action: str, payload: dict[str, Any]) -> tuple[Any, ...]:
        """Equal for repetitions of one billed message. The clock of the station may have been set in between."""
        if action == "TransactionEvent":
            return action, payload["transactionInfo"]["transactionId"], payload["seqNo"]
        if action == "StopTransaction":
            return action, payload["transactionId"], payload["meterStop"], payload.get("reason")
        if action != "StartTransaction":
            return (action,)
        place = (payload["connectorId"], payload["idTag"], payload["meterStart"])
        begun = (
            t.started
            for t in self.transactions.values()
            if t.version == "1.6"
            and (t.connector, t.token, t.start_wh) == place
            and abs(datetime.fromisoformat(t.started) - datetime.fromisoformat(payload["timestamp"])) < CLOCK_SET
        )
        return action, *place, next(begun, payload["timestamp"])

    def _judge(self, name: str, payload: Any, version: str = "1.6") -> None:
        for error in validator_of(version, name).iter_errors(exact(payload)):
            self.violations.append(f"{name}: {error.message} in {json.dumps(payload)[:300]}")

    async def ask(self, action: str, payload: dict[str, Any], timeout_s: float = 30.0) -> dict[str, Any]:
        """CALL the station; the answer is judged and returned."""
        message = await self.call(action, payload, timeout_s)
        if message[0] != 3:
            raise AssertionError(f"{action} was answered with {message}")
        return dict(message[2])

    async def call(self, action: str, payload: dict[str, Any], timeout_s: float = 30.0) -> list[Any]:
        """CALL the station; its whole answer, which may be a CALLERROR. Both are judged."""
        self._asked += 1
        id_ = f"c{self._asked}"
        future = self._waiting[id_] = asyncio.get_running_loop().create_future()
        async with deadline(timeout_s):
            while not self._connections:
                await asyncio.sleep(0.02)
        connection = list(self._connections)[-1]
        version = str(connection.subprotocol).removeprefix("ocpp")
        text = json.dumps([2, id_, action, payload])
        self.frames.append(("out", text))
        await connection.send(text)
        async with deadline(timeout_s):
            message = await future
        if message[0] == 3:
            self._judge(action + "Response", message[2], version)
        return message

    async def drop(self) -> None:
        for connection in list(self._connections):
            del self._connections[connection]
            connection.transport.abort()

    # --- what it answers ---------------------------------------------------------------------------------------

    def _SignCertificate(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"status": self.signing}

    def _nothing(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _BootNotification(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.since_boot.clear()
        return {"status": self.boot, "currentTime": _now(), "interval": self.interval_s}

    def _Heartbeat(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"currentTime": _now()}

    def _Authorize(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"idTagInfo": {"status": "Invalid" if payload["idTag"] in self.refuse else "Accepted"}}

    def _DataTransfer(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"status": "UnknownVendorId"}

    def _StatusNotification(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.sent_statuses.append(payload)
        self.statuses[str(payload["connectorId"])] = payload["status"]
        self.since_boot.add(str(payload["connectorId"]))
        return {}

    def _StartTransaction(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        for t in (t for t in self.transactions.values() if t.version == "1.6"):
            if t.connector == payload["connectorId"] and t.stop_wh is None and not self._elsewhere(t):
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
            self._once(t)
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

    # --- what it answers in 2.0.1 and 2.1 ---------------------------------------------------------------------------

    def info(self, token: str) -> dict[str, Any]:
        """IdTokenInfoType."""
        return {"status": "Invalid" if token in self.refuse else "Accepted"}

    def _Authorize_201(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"idTokenInfo": self.info(payload["idToken"]["idToken"])}

    def _StatusNotification_201(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.sent_statuses.append(payload)
        self.statuses[str(payload["evseId"])] = payload["connectorStatus"]
        self.since_boot.add(str(payload["evseId"]))
        return {}

    def _MeterValues_201(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _NotifyReport_201(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        parts = self.reports.setdefault(payload["requestId"], [])
        if payload["seqNo"] != len(parts) or (parts and not parts[-1].get("tbc")):
            self.violations.append(f"part {payload['seqNo']} of report {payload['requestId']} after {len(parts)}")
        parts.append(payload)
        return {}

    def _TransactionEvent_201(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        number = payload["transactionInfo"]["transactionId"]
        t = self.transactions.get(number)
        if payload["eventType"] == "Started":
            t = self._begun(id_, number, payload)
        if t is None:
            self.violations.append(f"{payload['eventType']} of unknown transaction {number}")
            return {}
        if payload["seqNo"] != len(t.events):
            self.violations.append(f"seqNo {payload['seqNo']} of {number}, {len(t.events)} expected ({id_})")
        if t.stop is not None:
            self.violations.append(f"{payload['eventType']} of {number} after its end ({t.stop_message} and {id_})")
        t.events.append(payload)
        self._named(t, payload)
        self._register(t, payload)
        if payload["eventType"] == "Ended":
            t.stop, t.stop_message, t.stop_wh = payload, id_, t.samples[-1] if t.samples else t.start_wh
            self._once(t)
            if payload["timestamp"] < t.started:
                self.violations.append(f"{number} ends before it starts")
        return {"idTokenInfo": self.info(payload["idToken"]["idToken"])} if "idToken" in payload else {}

    def _begun(self, id_: str, number: str, payload: dict[str, Any]) -> Transaction:
        evse = _evse_of(payload)
        if number in self.transactions:
            self.violations.append(f"second start of {number}: {self.transactions[number].message} and {id_}")
        for t in self.transactions.values():
            is_open = t.version == "2.0.1" and t.stop is None and not self._elsewhere(t)
            if evse and t.connector == evse and is_open:
                self.violations.append(f"transaction {t.id} has no end, but EVSE {evse} starts another")
        registers = _registers(payload)
        if evse and not registers:
            self.violations.append(f"{number} starts without a register")
        token = payload.get("idToken", {}).get("idToken", "")
        t = Transaction(number, evse, token, registers[0] if registers else 0, payload["timestamp"], id_)
        self.transactions[number] = t
        return t

    def _named(self, t: Transaction, payload: dict[str, Any]) -> None:
        """What may have been left open by the start: who, and where."""
        if t.events[1:] and "idToken" in payload and payload["triggerReason"] in ("Authorized", "RemoteStart"):
            if t.token:
                self.violations.append(f"{t.id} is authorized twice: {t.token} and {payload['idToken']}")
            t.token = payload["idToken"]["idToken"]
        if not t.connector and _evse_of(payload):
            t.connector, registers = _evse_of(payload), _registers(payload)
            if not registers:
                self.violations.append(f"{t.id} has got an EVSE and no register")
            t.start_wh = registers[0] if registers else 0

    def _register(self, t: Transaction, payload: dict[str, Any]) -> None:
        for wh in _registers(payload):
            if t.samples and wh < t.samples[-1]:
                self.violations.append(f"register of {t.id} ran backwards: {t.samples} {wh}")
            t.samples.append(wh)
        if payload["eventType"] == "Ended" and t.connector and not _registers(payload):
            self.violations.append(f"{t.id} ends without a register")

    def _elsewhere(self, t: Transaction) -> bool:
        """It was sent again in another version, and goes on there."""
        others = (o for o in self.transactions.values() if o.version != t.version)
        return any((o.connector, o.start_wh, o.token) == (t.connector, t.start_wh, t.token) for o in others)

    def _once(self, t: Transaction) -> None:
        """The same energy of the same outlet is billed once, in whichever version."""
        for other in self.transactions.values():
            if other is t or other.connector != t.connector or other.stop_wh is None or t.stop_wh is None:
                continue
            if max(t.start_wh, other.start_wh) < min(t.stop_wh, other.stop_wh):
                self.violations.append(f"billed twice: {other.id} and {t.id}")

    @property
    def energy_wh(self) -> int:
        return sum(t.stop_wh - t.start_wh for t in self.transactions.values() if t.stop_wh is not None)


def _evse_of(payload: dict[str, Any]) -> int:
    """0: not known yet."""
    return int(payload["evse"]["id"]) if "evse" in payload else 0


def _registers(payload: dict[str, Any]) -> list[int]:
    """New ones: what an end repeats of the samples before it is no news."""
    values = [s for value in payload.get("meterValue", ()) for s in value["sampledValue"]]
    last = payload["eventType"] == "Ended"
    return [
        int(s["value"])
        for s in values
        if s.get("measurand", ENERGY) == ENERGY and (s.get("context") == "Transaction.End" or not last)
    ]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
