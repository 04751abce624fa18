"""A central system on the `ocpp` package's own server side, as a process of its own: the package's routing, its schema
validation both ways and its errors decide what a violation is. Run as ``python foreign_csms.py``.

It says its port in its first line. Then each line on stdin is a command, each line on stdout its answer:
``["RemoteStartTransaction", {..}]`` asks the station, ``["ledger"]`` gives what was heard. A token that begins with BAD
is invalid. What is billed is booked by what is said in it (1.6) or by transaction and seqNo (2.0.1).
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from ocpp import v16, v201
from ocpp.charge_point import camel_to_snake_case, remove_nones, serialize_as_dict, snake_to_camel_case
from ocpp.exceptions import OCPPError
from ocpp.routing import on
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

ENERGY = "Energy.Active.Import.Register"
ANSWER_WITHIN_S = 3


class Ledger:
    """Transactions by id as they were sent, and everything that the package had to complain about."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.transactions: dict[str, dict[str, Any]] = {}
        self.by_start: dict[str, int] = {}
        self.heard: dict[str, int] = {}

    def of(self, number: Any) -> dict[str, Any]:
        empty = {"starts": [], "ends": [], "start_wh": None, "stop_wh": None, "seqs": []}
        return self.transactions.setdefault(str(number), empty)

    def count(self, action: str) -> None:
        self.heard[action] = self.heard.get(action, 0) + 1

    def as_json(self) -> dict[str, Any]:
        return {"violations": self.violations, "transactions": self.transactions, "heard": self.heard}


class Complaints(logging.Handler):
    """The package logs what it refuses; here each becomes a violation."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(logging.ERROR)
        self.ledger = ledger

    def emit(self, record: logging.LogRecord) -> None:
        if "Ignoring response" in record.getMessage():
            return  # an answer that came too late for us on a slow road
        error = record.exc_info[1] if record.exc_info else None
        cause = getattr(error, "details", None) or repr(error)
        self.ledger.violations.append(f"{record.getMessage()[:300]} {cause}"[:800])


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def verdict(token: str) -> str:
    return "Invalid" if token.startswith("BAD") else "Accepted"


class Asks:
    """What both versions share: commands to the station."""

    ledger: Ledger
    calls: Any

    async def ask(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        request = getattr(self.calls, action)(**camel_to_snake_case(payload))
        try:
            answer = await self.call(request, suppress=False)  # type: ignore[attr-defined]
        except OCPPError as e:
            self.ledger.violations.append(f"answer to {action}: {e!r} {e.details}")
            return {"error": repr(e)}
        except (TimeoutError, ConnectionClosed) as e:
            return {"error": type(e).__name__}
        return dict(snake_to_camel_case(remove_nones(serialize_as_dict(answer))))


class Point16(Asks, v16.ChargePoint):
    calls = v16.call

    @on("BootNotification")
    def boot(self, **_: Any) -> Any:
        return v16.call_result.BootNotification(current_time=now(), interval=300, status="Accepted")

    @on("Heartbeat")
    def heartbeat(self) -> Any:
        return v16.call_result.Heartbeat(current_time=now())

    @on("Authorize")
    def authorize(self, id_tag: str) -> Any:
        return v16.call_result.Authorize(id_tag_info={"status": verdict(id_tag)})

    @on("StatusNotification")
    def status(self, **_: Any) -> Any:
        return v16.call_result.StatusNotification()

    @on("MeterValues")
    def meter(self, **_: Any) -> Any:
        return v16.call_result.MeterValues()

    @on("StartTransaction")
    def begins(self, connector_id: int, id_tag: str, meter_start: int, timestamp: str, **_: Any) -> Any:
        book, key = self.ledger.by_start, f"{connector_id} {id_tag} {meter_start} {timestamp}"
        number = book.setdefault(key, 1 + len(book))
        entry = self.ledger.of(number)
        if key not in entry["starts"]:
            entry["starts"].append(key)
        entry["start_wh"] = meter_start
        return v16.call_result.StartTransaction(transaction_id=number, id_tag_info={"status": verdict(id_tag)})

    @on("StopTransaction")
    def ends(self, transaction_id: int, meter_stop: int, timestamp: str, **_: Any) -> Any:
        entry, key = self.ledger.of(transaction_id), f"{meter_stop} {timestamp}"
        if key not in entry["ends"]:
            entry["ends"].append(key)
        entry["stop_wh"] = meter_stop
        return v16.call_result.StopTransaction()

    @on("SecurityEventNotification")
    def security(self, **_: Any) -> Any:
        return v16.call_result.SecurityEventNotification()


class Point201(Asks, v201.ChargePoint):
    calls = v201.call

    @on("BootNotification")
    def boot(self, **_: Any) -> Any:
        return v201.call_result.BootNotification(current_time=now(), interval=300, status="Accepted")

    @on("Heartbeat")
    def heartbeat(self) -> Any:
        return v201.call_result.Heartbeat(current_time=now())

    @on("Authorize")
    def authorize(self, id_token: dict[str, Any], **_: Any) -> Any:
        return v201.call_result.Authorize(id_token_info={"status": verdict(id_token["id_token"])})

    @on("StatusNotification")
    def status(self, **_: Any) -> Any:
        return v201.call_result.StatusNotification()

    @on("MeterValues")
    def meter(self, **_: Any) -> Any:
        return v201.call_result.MeterValues()

    @on("NotifyEvent")
    def event(self, **_: Any) -> Any:
        return v201.call_result.NotifyEvent()

    @on("NotifyReport")
    def report(self, **_: Any) -> Any:
        return v201.call_result.NotifyReport()

    @on("SecurityEventNotification")
    def security(self, **_: Any) -> Any:
        return v201.call_result.SecurityEventNotification()

    @on("TransactionEvent")
    def transaction(
        self, event_type: str, seq_no: int, transaction_info: dict[str, Any], id_token: Any = None, **more: Any
    ) -> Any:
        entry = self.ledger.of(transaction_info["transaction_id"])
        if seq_no not in entry["seqs"]:
            entry["seqs"].append(seq_no)
            entry["starts"] += [seq_no] if event_type == "Started" else []
            entry["ends"] += [seq_no] if event_type == "Ended" else []
        registers = [
            int(s["value"])
            for value in more.get("meter_value") or ()
            for s in value["sampled_value"]
            if s.get("measurand", ENERGY) == ENERGY
        ]
        if registers and entry["start_wh"] is None:
            entry["start_wh"] = registers[0]
        if registers and event_type == "Ended":
            entry["stop_wh"] = registers[-1]
        info = {"status": verdict(id_token["id_token"])} if id_token else None
        return v201.call_result.TransactionEvent(id_token_info=info)


SPOKEN = {"ocpp1.6": Point16, "ocpp2.0.1": Point201}


class Server:
    def __init__(self) -> None:
        self.ledger = Ledger()
        self.point: Any = None
        self.logger = logging.getLogger("foreign")
        self.logger.propagate = False
        self.logger.addHandler(Complaints(self.ledger))

    async def attend(self, connection: ServerConnection) -> None:
        kind = SPOKEN.get(str(connection.subprotocol))
        if kind is None:
            self.ledger.violations.append(f"subprotocol {connection.subprotocol}")
            return
        self.point = point = kind("CP", connection, ANSWER_WITHIN_S, self.logger)  # type: ignore[abstract]
        point.ledger = self.ledger
        try:
            await point.start()
        except ConnectionClosed:
            pass  # killed stations say no goodbye
        finally:
            if self.point is point:
                self.point = None

    async def command(self, line: str) -> dict[str, Any]:
        action, *payload = json.loads(line)
        if action == "ledger":
            return self.ledger.as_json()
        if self.point is None:
            return {"error": "no station"}
        return dict(await self.point.ask(action, payload[0]))

    async def run(self) -> None:
        lines = asyncio.StreamReader(limit=2**20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        options: Any = {"subprotocols": list(SPOKEN), "ping_interval": None}
        async with serve(self.attend, "127.0.0.1", 0, **options) as server:
            print(next(iter(server.sockets)).getsockname()[1], flush=True)
            while line := await lines.readline():
                print(json.dumps(await self.command(line.decode())), flush=True)


if __name__ == "__main__":
    asyncio.run(Server().run())
