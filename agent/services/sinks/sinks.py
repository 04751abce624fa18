"""Where alerts go besides the backends (``[[sinks]]``): error details, security events, readings and the warnings of
the log, as JSON lines to a file or an MQTT broker. Each has its own bounded queue: losing one never delays another, nor
anything that is billed. What does not fit is counted, oldest first; nothing names a driver.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from agent.domain.messages import (
    FaultNoted,
    FirmwareStatus,
    ListConflicted,
    LogStatus,
    Message,
    MeterSampled,
    PricesReported,
    SecurityHappened,
    StatusChanged,
)
from agent.domain.serialization import dump_record
from agent.ports.clock import ClockPort
from agent.services.sinks.base import SinkConnection, SinkError
from agent.station_file.settings import SinkTable

log = logging.getLogger(__name__)

REPORTED_MESSAGES = (
    StatusChanged, FaultNoted, SecurityHappened, MeterSampled, FirmwareStatus, LogStatus, ListConflicted,
    PricesReported,
)  # fmt: skip
RETRY_S = 5.0
_HIDDEN = ("$", "signed", "token")


class Sink:
    """``opening`` raises ``SinkError``."""

    def __init__(self, name: str, most: int, opening: Callable[[], Any], retry_s: float = RETRY_S) -> None:
        self.name = name
        self.dropped = 0
        self.up = False
        self._most, self._opening, self._retry_s = most, opening, retry_s
        self._queue: deque[tuple[str, str]] = deque()
        self._new = asyncio.Event()

    @property
    def queued_count(self) -> int:
        return len(self._queue)

    def put_line(self, kind: str, line: str) -> None:
        if len(self._queue) >= self._most:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append((kind, line))
        self._new.set()

    async def run(self) -> None:
        while True:
            try:
                await self._send_queued_lines()
            except SinkError as e:
                if self.up or not self.dropped:
                    log.debug("sink %s: %s; tried again", self.name, e)
                self.up = False
            await asyncio.sleep(self._retry_s)

    async def _send_queued_lines(self) -> None:
        outlet: SinkConnection = await self._opening()
        try:
            self.up = True
            while True:
                while self._queue:
                    head = self._queue[0]
                    await outlet.send_line(*head)
                    if self._queue and self._queue[0] is head:  # it may have been pushed out meanwhile
                        self._queue.popleft()
                self._new.clear()
                await self._wait_for_line(outlet)
        finally:
            await outlet.close()

    async def _wait_for_line(self, outlet: SinkConnection) -> None:
        """Wait until a line is to be sent. Raises ``SinkError``: the connection is lost."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._new, outlet.lost)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if outlet.lost.is_set():
            raise SinkError("the connection is lost")


class Sinks(logging.Handler):
    """All sinks of a station: they take the messages to the first backend and the warnings of the log."""

    def __init__(
        self,
        tables: Sequence[SinkTable],
        station: str,
        clock: ClockPort,
        accept_file: Callable[[str, bytes], None] | None = None,
    ) -> None:
        """``accept_file``: gets the name of a sink and a tariff file that has come to its topic."""
        super().__init__(logging.WARNING)
        self.sinks = [Sink(t.name, t.queue, connection_opener(t, station, accept_file)) for t in tables]
        self._station, self._clock = station, clock
        self._loop: asyncio.AbstractEventLoop | None = None

    def accept_message(self, message: Message) -> None:
        if isinstance(message, REPORTED_MESSAGES):
            self.report_message(message)

    def report_message(self, message: Message) -> None:
        """Take a message that is for the sinks alone."""
        self._put_line(type(message).__name__, _without_personal_data(dump_record(message)))

    def send_line(self, name: str, kind: str, line: str) -> None:
        """Put a line into the queue of the sink of this name alone."""
        for sink in self.sinks:
            if sink.name == name:
                sink.put_line(kind, line)

    def emit(self, record: logging.LogRecord) -> None:
        """The filters have masked it already. A line of another thread (store, transfer) is put on the loop."""
        if record.name == __name__ or self._loop is None:
            return
        what = {"level": record.levelname, "where": record.name, "text": record.getMessage()[:2000]}
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the station has ended
                self._loop.call_soon_threadsafe(self._put_line, "Log", what)
        else:
            self._put_line("Log", what)

    def _put_line(self, kind: str, what: dict[str, Any]) -> None:
        now = self._clock.now()
        line = json.dumps({"station": self._station, "message": kind, "utc_s": now.utc_s, **what})
        for sink in self.sinks:
            sink.put_line(kind, line)

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        logging.getLogger().addHandler(self)
        try:
            async with asyncio.TaskGroup() as group:
                for sink in self.sinks:
                    group.create_task(sink.run())
        finally:
            logging.getLogger().removeHandler(self)

    def status_summary(self) -> dict[str, Any]:
        return {s.name: {"up": s.up, "waiting": s.queued_count, "dropped": s.dropped} for s in self.sinks}


def _without_personal_data(value: Any) -> Any:
    """Without what names a driver (tokens, signed records) and without our own marks."""
    if isinstance(value, dict):
        return {k: _without_personal_data(v) for k, v in value.items() if k not in _HIDDEN}
    return [_without_personal_data(v) for v in value] if isinstance(value, list) else value


def connection_opener(
    table: SinkTable, station: str, accept_file: Callable[[str, bytes], None] | None = None
) -> Callable[[], Any]:
    async def open_file() -> SinkConnection:
        assert table.path is not None  # the station file was judged
        return FileConnection(table.path, table.max_mb)

    async def open_mqtt() -> SinkConnection:
        from agent.services.sinks.mqtt import open_connection

        listener = partial(accept_file, table.name) if accept_file is not None and table.tariffs else None
        return await open_connection(table, station, listener)

    return open_mqtt if table.kind == "mqtt" else open_file


class FileConnection:
    """JSON lines; the file before the present one is kept as ``NAME.1``, together they have ``max_mb``."""

    def __init__(self, path: Path, max_mb: float) -> None:
        self._path, self._half = path, int(max_mb * 500_000)
        self.lost = asyncio.Event()

    async def send_line(self, kind: str, line: str) -> None:
        try:
            await asyncio.to_thread(self._append_line, line)
        except OSError as e:
            raise SinkError(f"{self._path}: {e.strerror or e}") from e

    def _append_line(self, line: str) -> None:
        data = line.encode() + b"\n"
        with self._path.open("ab") as file:
            size = file.tell()
            if size + len(data) <= self._half or size == 0:
                file.write(data)
                return
        self._path.replace(self._path.with_name(self._path.name + ".1"))
        self._path.write_bytes(data)

    async def close(self) -> None:
        pass
