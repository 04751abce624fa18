"""The test central system: ``chargy-agent csms``. The independent other side of the agent's OCPP link.

It is built on the ``ocpp`` package and the ``websockets`` server, so it shares no codec with the agent. It accepts any
station, keeps the ledger that bills are checked against, and sends commands to stations. It runs as a child process.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import functools
import hmac
import importlib.util
import json
import logging
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from agent.csms.accepted_tokens import TokenTable, parse_token
from agent.csms.errors import NotConnected
from agent.csms.payment_page import PayDesk
from agent.csms.payment_words import PaymentWords
from agent.csms.station_records import Ledger
from agent.model.entry_points import list_entry_points, load_entry_point
from agent.model.types import Verdict
from agent.model.web_origin import is_foreign_origin, is_local_host

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

STATION_CLASSES = {
    "ocpp2.1": "agent.csms.station21:Station21",
    "ocpp2.0.1": "agent.csms.station201:Station201",
    "ocpp1.6": "agent.csms.station16:Station16",
}
"""The class for each subprotocol. It is loaded when the first station asks for it."""
GROUP = "chargy_agent.csms_stations"
"""Another distribution may add a class. Name of the entry point: the subprotocol. Value: ``module:attribute``."""

STOP_WITHIN_S = 0.5


@functools.cache
def known_stations() -> dict[str, str]:
    """Return the class for each subprotocol, the newest version first."""
    found = {**dict(list_entry_points(GROUP)), **STATION_CLASSES}
    return dict(sorted(found.items(), key=lambda item: [int(n) for n in re.findall(r"\d+", item[0])], reverse=True))


def known_soap_versions() -> tuple[str, ...]:
    """Return the versions that can be spoken over SOAP, the newest first."""
    from agent.csms.soap_words import VERSIONS

    return tuple(VERSIONS)


@dataclass(frozen=True, slots=True)
class Options:
    """``port`` 0 takes a free one. ``passwords`` by station id: if there is any, every station needs one (HTTP Basic,
    OCPP security profile 1). ``journal``: JSON lines, restored at the next start."""

    host: str = "127.0.0.1"
    port: int = 9000
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    tokens: dict[str, Verdict] = field(default_factory=dict)
    accept_all: bool = False
    interval_s: int = 300
    answer_within_s: float = 30.0
    journal: Path | None = None
    quiet: bool = False
    pay: float | None = None
    """Euro per kWh at the payment page. None: there is no such page."""
    pay_at: str = ""
    """Address of the payment page as seen from outside. "": this server."""
    clock_rate: float = 1.0
    clock_apart: bool = False
    soap_port: int | None = None
    """The port for OCPP over SOAP, 0 takes a free one. None: SOAP is not spoken."""
    versions: tuple[str, ...] = ()
    """The versions of OCPP that are offered. Empty: all."""

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """The subprotocols that are offered, in order of preference."""
        return tuple(s for s in known_stations() if not self.versions or s.removeprefix("ocpp") in self.versions)

    @property
    def soap_versions(self) -> tuple[str, ...]:
        """The versions that are spoken over SOAP."""
        return tuple(v for v in known_soap_versions() if not self.versions or v in self.versions)


class Station(Protocol):
    """One connected station; a class per OCPP version."""

    id: str
    version: str
    payment_words: type[PaymentWords] | None
    desk: PayDesk | None

    async def start(self) -> None:
        """Receive until the connection ends (raises ``ConnectionClosed``)."""
        ...

    async def send_command(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send a command to the station. Raises ``ValueError`` for a wrong action or payload, ``TimeoutError``."""
        ...


class Connection(Protocol):
    """What carries the frames of a station."""

    async def close(self, code: int = ..., reason: str = ...) -> None: ...


class Central:
    """One running central system. ``port`` is the port it listens on; ``soap_port`` that for SOAP, 0: none."""

    def __init__(self, options: Options, ledger: Ledger) -> None:
        self.options, self.ledger = options, ledger
        self.tokens = TokenTable(options.tokens, options.accept_all or not options.tokens)
        self.connected: dict[str, tuple[Station, Connection]] = {}
        self.port, self.soap_port = options.port, 0
        self.desk = _pay_desk(self, options)
        self.on_frame: Callable[[str, bool, str, str], None] = lambda station, received, version, text: None
        """Is called with each frame: the station, whether it was received from it, the version of OCPP, the text."""
        self.on_connection: Callable[[str, bool, str], None] = lambda station, connected, version: None
        """Is called when a station connects or is gone: the station, whether it is connected, the version of OCPP."""
        ledger.on_violation = lambda v: self.print_line(f"{v.station} VIOLATION {v.kind}: {v.text}")

    async def send_command(self, station: str, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send a command to a station. Raises ``NotConnected``, ``ValueError``, ``TimeoutError``."""
        if station not in self.connected:
            connected = ", ".join(sorted(self.connected)) or "none"
            raise NotConnected(f"station {station!r} is not connected (connected: {connected})")
        self.print_line(f"{station} <- {action}")
        return await self.connected[station][0].send_command(action, payload)

    async def serve_station(self, connection: ServerConnection) -> None:
        """Serve one connection of a station from handshake to close. A newer connection of the same id replaces it."""
        assert connection.request is not None
        station_id = _station_id(connection.request.path)
        if connection.subprotocol is None:
            self.ledger.record_violation(
                station_id, "subprotocol", f"none of {', '.join(self.options.subprotocols)} was offered"
            )
            await connection.close(1002, "no common OCPP version")
            return
        station = self._station_class(connection.subprotocol)(
            station_id, Wire(connection, station_id, self), self.ledger, self.tokens,
            self.options.interval_s, self.options.answer_within_s,
        )  # fmt: skip
        await self.replace_connection(station_id)
        version = connection.subprotocol.removeprefix("ocpp")
        with self.register_station(station, connection, version, connection.subprotocol):
            await self._run_station(station, station_id, connection)

    async def replace_connection(self, station_id: str) -> None:
        """Close the connection that a station has, because a newer one replaces it."""
        if station_id in self.connected:
            await self.connected[station_id][1].close(1000, "replaced by a newer connection")

    @contextlib.contextmanager
    def register_station(self, station: Station, connection: Connection, version: str, wire: str) -> Iterator[None]:
        """Count a station as connected as long as this context is open. ``wire``: what it speaks, for a person."""
        self.connected[station.id] = (station, connection)
        self.ledger.station_record(station.id).version = version
        self.print_line(f"{station.id} connected ({wire})")
        self.on_connection(station.id, True, version)
        try:
            yield
        finally:
            if self.connected.get(station.id, (None,))[0] is station:
                del self.connected[station.id]
                self.on_connection(station.id, False, version)

    async def _run_station(self, station: Station, station_id: str, connection: ServerConnection) -> None:
        station.desk = self.desk
        setting_up = (
            asyncio.create_task(self._set_up_payment_codes(station_id, station.payment_words(self.send_command)))
            if self.desk and station.payment_words is not None
            else None
        )
        try:
            await station.start()
        except _connection_closed_error():
            self.print_line(f"{station_id} gone ({connection.close_code})")
        finally:
            if setting_up is not None:
                setting_up.cancel()

    async def _set_up_payment_codes(self, station: str, words: PaymentWords) -> None:
        assert self.desk is not None
        try:
            await self.desk.set_up_codes(station, words)
        except (NotConnected, ValueError, TimeoutError) as e:
            self.print_line(f"{station}: no payment codes: {e}")

    async def check_handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        """Check a request: None lets the handshake of a station go on.

        Any other request comes from a person or a script and gets a page. Web pages of other servers are refused: they
        could command a station, or take its place.
        """
        upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
        if why := self._foreign_origin_problem(request, upgrade):
            self.print_line(f"refused: {why}")
            return connection.respond(403, f"{why}\n")
        if not upgrade:
            from agent.csms.operator_console import answer_http_request

            return await answer_http_request(self, connection, request)
        station_id = _station_id(request.path)
        if not station_id:
            return connection.respond(404, "the path must end with the station's id: ws://host:port/STATION\n")
        if not self.knows_password(request.headers.get("Authorization", ""), station_id):
            refusal = connection.respond(401, "wrong or missing password\n")
            refusal.headers["WWW-Authenticate"] = 'Basic realm="ocpp"'
            return refusal
        return None

    def knows_password(self, authorization: str, station_id: str) -> bool:
        """Return whether this header of HTTP Basic is right for the station, or none is needed."""
        known = not self.options.passwords or _knows_password(authorization, station_id, self.options.passwords)
        if not known:
            self.print_line(f"{station_id} refused: wrong or missing password")
        return known

    def _foreign_origin_problem(self, request: Request, upgrade: bool) -> str:
        """Return what is wrong with the page that sends this request, or "".

        A station sends no Origin, and may use any name of this machine.
        """
        origins, hosts = request.headers.get_all("Origin"), request.headers.get_all("Host")
        origin, host = next(iter(origins), None), next(iter(hosts), "")
        if len(origins) > 1 or len(hosts) > 1 or is_foreign_origin(origin, host):
            return f"a web page of another server sent this (Origin {', '.join(origins)[:200]!r})"
        if (origin is not None or not upgrade) and not is_local_host(host, self.options.host):
            return f"this machine is not {host[:200]!r}: use its address, a name without a dot, or the name of --host"
        return ""

    def choose_subprotocol(self, connection: ServerConnection, offered: Any) -> Any:
        """Choose the subprotocol. None: none in common; the connection is closed afterwards (OCPP-J 1.6, 3.1.2)."""
        return next((s for s in self.options.subprotocols if s in offered), None)

    def print_line(self, line: str) -> None:
        if not self.options.quiet:
            print(line, flush=True)

    def has_messages_without_answer(self, subprotocol: str) -> bool:
        """Return whether the version has the message types SEND and CALLRESULTERROR."""
        return bool(self._station_class(subprotocol).has_messages_without_answer)

    @staticmethod
    def _station_class(subprotocol: str) -> Any:
        return load_entry_point(known_stations()[subprotocol])


class Wire:
    """A connection in the form of the ``ocpp`` package. It records what was received and what was refused."""

    def __init__(self, connection: ServerConnection, station: str, central: Central) -> None:
        self._connection, self._station, self._central = connection, station, central
        self._version = str(connection.subprotocol).removeprefix("ocpp")
        self._has_messages_without_answer = central.has_messages_without_answer(str(connection.subprotocol))
        self._asked: dict[str, str] = {}

    async def recv(self) -> str:
        """Return the next OCPP frame. Anything else is recorded as a violation and skipped."""
        while True:
            raw = await self._connection.recv()
            text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
            self._central.on_frame(self._station, True, self._version, text)
            match _parse_frame(text):
                case [2, str(id), str(action), _]:
                    self._asked[id] = action
                    self._central.ledger.count_call(self._station, action)
                    self._central.print_line(f"{self._station} -> {action}")
                    return text
                case [3, str(), _] | [4, str(), str(), str(), dict()]:
                    return text
                case [6, str(), str(action), dict()] if self._has_messages_without_answer:
                    self._central.ledger.count_call(self._station, action)
                    self._central.print_line(f"{self._station} -> {action} (SEND)")
                case [5, str(), str(code), str(description), dict()] if self._has_messages_without_answer:
                    self._central.print_line(f"{self._station} cannot use an answer: {code}: {description}")
                case _:
                    self._central.ledger.record_violation(
                        self._station, "garbage", f"not an OCPP frame: {text[:200]!r}"
                    )

    async def send(self, text: str) -> None:
        """Send a frame. Raises ``ConnectionClosed``, but not for an answer, which comes too late then."""
        frame = _parse_frame(text)
        is_answer = isinstance(frame, list) and frame[:1] in ([3], [4])
        match frame:
            case [4, id, code, description, details]:
                cause = details.get("cause", description) if isinstance(details, dict) else description
                action = self._asked.get(id, "?")
                self._central.ledger.record_violation(self._station, "schema", f"{action}: {code}: {cause}")
            case [3 | 4, id, *_]:
                self._asked.pop(id, None)
        self._central.on_frame(self._station, False, self._version, text)
        try:
            await self._connection.send(text)
        except _connection_closed_error():
            if not is_answer:  # the end of the connection is found where what came before it has been read
                raise


@contextlib.asynccontextmanager
async def open_central(options: Options) -> AsyncIterator[Central]:
    """Open a listening central system. Raises ``OSError`` if the address or the journal cannot be used."""
    from websockets.asyncio.server import serve as listen

    from agent.csms.http_post import PostConnection

    with contextlib.ExitStack() as stack:
        ledger = _open_ledger(options.journal, stack)
        central = Central(options, ledger)
        async with listen(
            central.serve_station, options.host, options.port, process_request=central.check_handshake,
            subprotocols=None, select_subprotocol=central.choose_subprotocol, ping_interval=None,
            compression=None, server_header=None,
            open_timeout=options.answer_within_s + 5, close_timeout=STOP_WITHIN_S, create_connection=PostConnection,
        ) as server:  # fmt: skip
            central.port = next(iter(server.sockets)).getsockname()[1]
            async with _soap_beside(central, options):
                yield central


@contextlib.asynccontextmanager
async def _soap_beside(central: Central, options: Options) -> AsyncIterator[None]:
    """Open the port for SOAP, if it is wanted."""
    if options.soap_port is None:
        yield
        return
    from agent.csms.soap_port import open_soap_port

    async with open_soap_port(central, options.host, options.soap_port) as soap:
        central.soap_port = soap.port
        yield


async def serve_until_signal(options: Options) -> None:
    """Listen until SIGTERM or SIGINT. Reads commands as JSON lines from stdin, writes one JSON line per answer."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_central(options) as central:
        at = f"{options.host}:{central.port}"
        print(f"central system: ws://{at}/STATION   page: http://{at}/", flush=True)
        if central.soap_port:
            print(f"over SOAP: http://{options.host}:{central.soap_port}/", flush=True)
        from agent.csms.operator_console import follow_stdin

        following = asyncio.create_task(follow_stdin(central))
        await stop.wait()
        following.cancel()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=9000, help="port to listen on, 0 = any free one")
    parser.add_argument(
        "--password", action="append", default=[], metavar="ID=PW", help="station ID must log in with PW (repeatable)"
    )
    parser.add_argument(
        "--token", action="append", default=[], metavar="TOKEN[=STATUS[:GROUP]]",
        help="a token and what to answer, e.g. 04A1B2=Blocked (repeatable); with it, unknown tokens are Invalid",
    )  # fmt: skip
    parser.add_argument("--accept-all", action="store_true", help="accept unknown tokens even where --token is given")
    parser.add_argument("--interval", type=int, default=300, metavar="S", help="heartbeat interval given to stations")
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="write the ledger as JSON lines; restore it at the start"
    )
    parser.add_argument(
        "--ocpp", action="append", default=[], metavar="VERSION",
        help="speak this version of OCPP only (repeatable; default: all that are known, the newest first)",
    )  # fmt: skip
    parser.add_argument(
        "--soap", type=int, nargs="?", const=9001, metavar="PORT",
        help="speak OCPP 1.6, 1.5 and 1.2 over SOAP too, at this port (9001; 0 = any free one)",
    )  # fmt: skip
    parser.add_argument(
        "--pay", type=float, metavar="EURO", help="a payment page for the QR codes of stations, at so many euro per kWh"
    )
    parser.add_argument(
        "--pay-at", default="", metavar="URL", help="where the payment page is seen from outside (default: here)"
    )
    parser.add_argument(
        "--clock-rate",
        type=float,
        default=1.0,
        metavar="X",
        help="the stations' clocks run X times as fast (simulation)",
    )
    parser.add_argument(
        "--clock-apart", action="store_true", help="the stations' clocks are not this machine's (simulation)"
    )
    parser.add_argument("--quiet", action="store_true", help="say only where it listens")


def main(args: argparse.Namespace) -> int:
    """Run the command. Returns 0 after an orderly end, 1 if it could not listen, 2 for a wrong argument."""
    try:
        options = options_of(args)
    except ValueError as e:
        print(f"chargy-agent csms: {e}", file=sys.stderr)
        return 2
    if importlib.util.find_spec("ocpp") is None:
        print("chargy-agent: ocpp is not installed; install it: pip install 'chargy-agent[sim]'", file=sys.stderr)
        return 2
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    try:
        asyncio.run(serve_until_signal(options))
    except OSError as e:
        print(f"chargy-agent csms: cannot serve on {options.host}:{options.port}: {e}", file=sys.stderr)
        return 1
    return 0


def options_of(args: argparse.Namespace) -> Options:
    """Return the options of the command line. Raises ``ValueError`` with one line for a person."""
    passwords = {}
    for pair in args.password:
        station, equals, password = pair.partition("=")
        if not equals or not station:
            raise ValueError("--password: must be STATION=PASSWORD")
        passwords[station] = password
    try:
        tokens = dict(parse_token(t) for t in args.token)
    except ValueError as e:
        raise ValueError(f"--token {e}") from e
    _check_versions(args.ocpp, args.soap is not None)
    return Options(
        args.host, args.port, passwords, tokens, args.accept_all, args.interval,
        journal=args.journal, quiet=args.quiet, pay=args.pay, pay_at=args.pay_at, clock_rate=args.clock_rate,
        clock_apart=args.clock_apart, soap_port=args.soap, versions=tuple(args.ocpp),
    )  # fmt: skip


def _check_versions(wanted: list[str], has_soap: bool) -> None:
    """Raise ``ValueError`` for versions that are not spoken, or not over the wires that are open."""
    known = [s.removeprefix("ocpp") for s in known_stations()]
    over_soap = known_soap_versions() if wanted else ()
    soap_alone = [v for v in over_soap if v not in known]
    if unknown := [v for v in wanted if v not in (*known, *soap_alone)]:
        raise ValueError(f"--ocpp {unknown[0]}: not spoken here; known: {', '.join((*known, *soap_alone))}")
    if not has_soap and (alone := [v for v in wanted if v in soap_alone]):
        raise ValueError(f"--ocpp {alone[0]}: is spoken over SOAP only: add --soap")
    if has_soap and wanted and not set(wanted) & set(over_soap):
        raise ValueError(f"--soap: none of {', '.join(wanted)} is spoken over SOAP; known: {', '.join(over_soap)}")


def _open_ledger(journal: Path | None, stack: contextlib.ExitStack) -> Ledger:
    if journal is None:
        return Ledger()
    before = journal.read_text("utf-8").splitlines() if journal.exists() else []
    ledger = Ledger(stack.enter_context(journal.open("a", encoding="utf-8")))
    ledger.restore_journal(before)
    return ledger


def _pay_desk(central: Central, options: Options) -> PayDesk | None:
    if options.pay is None:
        return None
    return PayDesk(central, options.pay, options.clock_rate, options.clock_apart, options.pay_at)


def _station_id(path: str) -> str:
    return unquote(urlsplit(path).path.rstrip("/").rsplit("/", 1)[-1])


def _knows_password(authorization: str, station: str, passwords: dict[str, str]) -> bool:
    scheme, _, encoded = authorization.partition(" ")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).partition(b":")
    except ValueError:
        return False
    right = passwords.get(station)
    return (
        scheme.lower() == "basic"
        and right is not None
        and hmac.compare_digest(user, station.encode())
        and hmac.compare_digest(password, right.encode())
    )


def _connection_closed_error() -> type[Exception]:
    from websockets.exceptions import ConnectionClosed

    return ConnectionClosed


def _parse_frame(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
