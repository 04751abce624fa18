"""Drives one simulated station as a process, through its public control API only."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.busy_machine import busy_factor, deadline, slowed_stations, stretched

LOOK_S, SELDOM_S = 0.05, 0.15
SMALL_PANEL = """[evse.display]
driver = "display_framebuffer"
width = 128
height = 64
format = "MONO"
"""
"""The display of an outlet at whose pixels no test looks. The usual panel of a simulated outlet has 50 times as many:
painting it takes two fifths of the processor time of an agent in a test."""
USUAL_PANEL = ""
ONE_EVSE = f"""
[station]
id = "CP-1"
state_dir = "state"

[backend]
reconnect_s = 0.2

[settings]
sample_interval_s = 5

[[evse]]
number = 1
{SMALL_PANEL}
[simulation]
port = 0
state_dir = "world"
"""


@contextmanager
def held_port() -> Iterator[int]:
    """A port for a process that listens on it later, or now and then: no other process gets it meanwhile."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


class Simulated:
    """``async with Simulated(folder, text, backend)``: the command ``simulate``, on a ``port`` that it finds."""

    def __init__(
        self, folder: Path, text: str = ONE_EVSE, backend: str = "", speed: float = 10.0, ocpp: str = ""
    ) -> None:
        self.folder = folder
        self.port = 0
        self.http: Any = None
        self.file = folder / "station.toml"
        self.file.write_text(text)
        # on a busy machine the station's own time-outs would come before its work is done
        self.speed = float(f"{max(1.0, speed / busy_factor()):g}")
        self._slowed_by = speed / self.speed
        self.args = ["simulate", str(self.file), "--port", "0", "--headless", "--speed", str(self.speed)]
        if backend:
            self.args += ["--backend", backend]
        if ocpp:
            self.args += ["--ocpp", ocpp]

    async def __aenter__(self) -> Simulated:
        slowed_stations.append(self._slowed_by)
        self.log = (self.folder / "simulate.log").open("w")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent", *self.args, stdout=self.log, stderr=self.log
        )
        try:
            self.port = await self._port()
            url = f"http://127.0.0.1:{self.port}"
            self.http = aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(300))  # deadlines count
            await self.healthy()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _port(self) -> int:
        log = self.folder / "simulate.log"
        async with deadline(60):
            while not (address := re.search(r"http://127\.0\.0\.1:(\d+)/\n", log.read_text())):
                if self.process.returncode is not None:
                    raise AssertionError(self.said())
                await asyncio.sleep(0.05)
        return int(address[1])

    async def __aexit__(self, *exc: object) -> None:
        slowed_stations.remove(self._slowed_by)
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), stretched(10))
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        if self.http is not None:
            await self.http.close()
        self.log.close()

    async def healthy(self, timeout_s: float = 60.0) -> None:
        async with deadline(timeout_s):
            while True:
                try:
                    async with self.http.get("/api/v1/health") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    if self.process.returncode is not None:
                        raise AssertionError(self.said()) from None
                await asyncio.sleep(0.05)

    async def post(self, path: str, body: dict[str, Any] | None = None, expect: int = 202) -> None:
        async with self.http.post(f"/api/v1{path}", json=body or {}) as answer:
            assert answer.status == expect, (path, answer.status, await answer.text())

    async def picture(self) -> dict[str, Any]:
        async with self.http.get("/api/v1/station") as answer:
            assert answer.status == 200
            return dict(await answer.json())

    async def evse(self, number: int = 1) -> dict[str, Any]:
        return dict((await self.picture())["evses"][number - 1])

    def pauses(self) -> Iterator[float]:
        """Between two looks at the picture, each of which costs three processes some milliseconds: soon again at first,
        seldom later, and never more than two seconds of the station's: a screen of four is not missed."""
        most_s = max(LOOK_S, min(SELDOM_S, 2 / self.speed))
        pause_s = LOOK_S
        while True:
            yield pause_s
            pause_s = min(most_s, pause_s * 1.25)

    async def until(self, what: Callable[[dict[str, Any]], Any], timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until the picture satisfies ``what``; the failure shows the last one and the log."""
        picture: dict[str, Any] = {}
        pauses = self.pauses()
        try:
            async with deadline(timeout_s):
                while True:
                    picture = await self.picture()
                    try:
                        if what(picture):
                            return picture
                    except (KeyError, TypeError):
                        pass  # the agent's half is null while it is down
                    await asyncio.sleep(next(pauses))
        except TimeoutError:
            raise AssertionError(f"not reached: {picture}\n{self.said()}") from None

    async def until_evse(self, what: Callable[[dict[str, Any]], Any], number: int = 1, timeout_s: float = 60.0) -> Any:
        return await self.until(lambda p: what(p["evses"][number - 1]), timeout_s)

    @asynccontextmanager
    async def shows(self, what: Callable[[dict[str, Any]], Any], timeout_s: float = 60.0) -> AsyncIterator[None]:
        """What is done inside changes the picture to one that satisfies ``what``. It is waited for on the way out,
        among all pictures since the way in: one that is over before a late test looks is among them."""
        async with self.http.get("/api/v1/events") as events:
            await self._next_picture(events)  # of before
            yield
            try:
                async with deadline(timeout_s):
                    while not what(await self._next_picture(events)):
                        pass
            except TimeoutError:
                raise AssertionError(f"not shown: {await self.picture()}\n{self.said()}") from None

    async def _next_picture(self, events: Any) -> dict[str, Any]:
        """The picture after the next change. Other events are passed over."""
        is_picture = False
        while line := (await events.content.readline()).decode():
            if line.startswith("event: "):
                is_picture = line == "event: station\n"
            elif is_picture and line.startswith("data: "):
                return dict(json.loads(line.removeprefix("data: ")))
        raise AssertionError(f"the events have ended: {self.said()}")

    def said(self) -> str:
        logs = [self.folder / "simulate.log", *self.folder.glob("**/agent.log")]
        return "\n".join(f"--- {p.name}\n{p.read_text()[-3000:]}" for p in logs if p.exists())


CAMPAIGN = os.environ.get("CHARGY_CAMPAIGN") == "full"
