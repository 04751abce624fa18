"""The terminal's connections: the line to its host, and a socket on which the world sends cards and faults."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import Callable
from typing import Any

from drivers.sim.apollo.bank_records import Bank
from drivers.sim.apollo.blocks import BlockParser, encode_block
from drivers.sim.apollo.faults import ON_COMMAND, TerminalFaults
from drivers.sim.apollo.terminal import BAD_SUM, BEHAVIOURS, Badge, BankCard, TerminalMachine
from drivers.sim.pty_line import PtyLine

TICK_S = 0.1
PIECE_S = 0.004
APPROVALS = (0x31, 0x35)
Json = dict[str, Any]


class Server:
    """The terminal process. The line is up inside ``async with``."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._ear, self._mischief = BlockParser(), TerminalFaults()
        self.bank = Bank(args.books, args.first)
        self.bank.online = not args.offline
        self._out: asyncio.Queue[tuple[list[bytes], float]] = asyncio.Queue()
        self.machine = TerminalMachine(
            self.bank, self._ear, self._queue_reply, self._call_later,
            polls=args.polls, bank_s=args.bank_s, answers=not args.mute_orders, bare=args.bare,
            nameless=args.nameless,
        )  # fmt: skip
        self._host: asyncio.StreamWriter | None = None
        self._line: PtyLine | None = None
        self._heard_s = 0.0
        self._lose = False
        self._delay_s = 0.0
        self._approval = (0x00, b"\x00")
        self._changed: list[asyncio.Event] = []
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Server:
        control = await asyncio.start_unix_server(self._serve_control_client, self._args.control)
        self._stack.callback(control.close)
        if self._args.serial:
            self._line = PtyLine(self._args.serial, self._receive_serial_bytes)
            self._line.open()
            self._stack.callback(self._line.hang_up)
        else:
            context = None
            if self._args.cert:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self._args.cert)
            server = await asyncio.start_server(
                self._serve_host, "127.0.0.1", self._args.port, ssl=context, reuse_port=True
            )
            self._stack.callback(server.close)
        self._tasks = [asyncio.create_task(t) for t in (self._send_replies(), self._run_timeouts())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        if self._host is not None:
            self._host.transport.abort()
        await self._stack.aclose()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._args.control)

    # --- the host's line ---------------------------------------------------------------------------------------------

    async def _serve_host(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one host. A new connection replaces the one before."""
        if self._host is not None:
            self._host.transport.abort()
            self.machine.go_offline()
        self._host, self._heard_s = writer, _loop_time()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(4096):
                self._heard_s = _loop_time()
                self._receive_bytes(data)
        if self._host is writer:
            self._drop_host()

    def _drop_host(self) -> None:
        if self._host is not None:
            self._host.transport.abort()
        self._host = None
        if self.machine.state != 1:
            self.machine.go_offline()
        self._notify_watchers()

    def _receive_serial_bytes(self, data: bytes) -> bytes:
        self._receive_bytes(data)
        return b""

    def _receive_bytes(self, data: bytes) -> None:
        for item in self._ear.feed_bytes(data):
            if not item.intact:
                self.machine.refuse_command(BAD_SUM)
            elif not self._apply_command_fault(item.code):
                self.machine.handle_command(item.code, item.body)
            self._lose, self._delay_s = False, 0.0
        self._notify_watchers()

    def _apply_command_fault(self, code: int) -> bool:
        """Apply an ordered fault to this command. Return True if the command must not be carried out."""
        item = self._mischief.take_command_fault(code, *ON_COMMAND)
        if item is None:
            return False
        if item["what"] == "refuse":
            self.machine.refuse_command(int(item.get("detail", 0)))
            return True
        if item["what"] == "hang_up":
            self._drop_host()
            return True
        if item["what"] == "event_first":
            self._queue_reply(0x38, b"\xff")
        if item["what"] == "approval_again":
            self._queue_reply(*self._approval)
        if item["what"] == "result_first":
            self._queue_reply(0x00, b"\x00")
        self._lose = item["what"] == "lose_reply"
        self._delay_s = float(item.get("s", 0)) if item["what"] in ("delay_reply", "result_first") else 0.0
        return False

    def _queue_reply(self, code: int, body: bytes) -> None:
        if self._lose and code in (0x00, 0x24, 0x27, 0x44, 0x45, 0x46):
            return
        if code in APPROVALS:
            self._approval = (code, body)
        self._out.put_nowait(
            (self._mischief.apply_sending_fault(encode_block(code, body, self._ear.wide)), self._delay_s)
        )
        self._notify_watchers()

    async def _send_replies(self) -> None:
        """Send the replies in their order. A delayed reply delays those behind it."""
        while True:
            pieces, delay_s = await self._out.get()
            await asyncio.sleep(delay_s)
            for i, piece in enumerate(pieces):
                await asyncio.sleep(PIECE_S if i else 0)
                if self._line is not None:
                    self._line.send(piece)
                elif self._host is not None:
                    self._host.write(piece)

    async def _run_timeouts(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._host is not None and _loop_time() - self._heard_s > self._args.idle_s:
                self._drop_host()
            if self.bank.expire_sessions(TICK_S * self._args.rate):
                self._notify_watchers()

    def _call_later(self, seconds: float, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, self._call_and_notify, call)

    def _call_and_notify(self, call: Callable[[], None]) -> None:
        call()
        self._notify_watchers()

    # --- the world's socket ------------------------------------------------------------------------------------------

    async def _serve_control_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                asked = json.loads(line)
                if asked["do"] == "watch":
                    await self._stream_pictures(writer)
                    break
                try:
                    answer = self._run_control_command(asked)
                except ValueError as e:
                    answer = {"error": str(e)}
                writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    async def _stream_pictures(self, writer: asyncio.StreamWriter) -> None:
        """Send the picture at once and after every change."""
        changed = asyncio.Event()
        self._changed.append(changed)
        try:
            while not writer.is_closing():
                changed.clear()
                writer.write(json.dumps(self._terminal_picture()).encode() + b"\n")
                await writer.drain()
                await changed.wait()
        finally:
            self._changed.remove(changed)

    def _notify_watchers(self) -> None:
        for changed in self._changed:
            changed.set()

    def _terminal_picture(self) -> Json:
        return {**self.machine.terminal_picture(), "ledger": self.bank.ledger_rows()}

    def _run_control_command(self, asked: Json) -> Json:
        """Carry out an order of the world. Return the new picture. Raises ``ValueError``."""
        match asked["do"]:
            case "card":
                self._present_card(asked)
            case "badge":
                self.machine.present_card(Badge(bytes.fromhex(asked["uid"])))
            case "online":
                self.bank.set_online(bool(asked["online"]))
            case "mischief":
                self._mischief.add_fault(asked["item"])
            case "calm":
                self._mischief.waiting.clear()
            case "restart":  # the power comes back before the line drops
                self.machine.lose_state()
                services = self.machine.services
                services.serial = asked.get("serial", services.serial)  # or another terminal was fitted
            case "elapse":
                self.bank.expire_sessions(float(asked["s"]))
            case "picture":
                pass
            case other:
                raise ValueError(f"do: {other!r} is not known")
        self._notify_watchers()
        return self._terminal_picture()

    def _present_card(self, asked: Json) -> None:
        behaviour = asked.get("behaviour", "approve")
        if behaviour not in BEHAVIOURS:
            raise ValueError(f"behaviour: must be one of {', '.join(BEHAVIOURS)}, is {behaviour!r}")
        self.machine.present_card(
            BankCard(asked.get("last4", "1234"), behaviour, asked.get("bank_s"), asked.get("said_as", ""))
        )


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
