"""The hands at a simulated station do what a person would: scan a code again, wait for a lock, pull no absent cable."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agent.commands.scenario.control_client import ControlClient, SimulatedHands
from agent.scenario.target import CannotCarryOut, NotApplicable


class Station(BaseHTTPRequestHandler):
    """The control API of a station and the page of its codes. ``refusals``: how often the page refuses a code."""

    refusals = (403, 410)
    codes: tuple[str, ...] = ("/pay/CP/1/a", "/pay/CP/1/b", "/pay/CP/1/c")
    locked, opens_after = False, 1000

    def do_GET(self) -> None:
        pages = self.server.pages  # type: ignore[attr-defined]
        if self.path.endswith("/station"):
            code = self.codes[min(len(pages), len(self.codes) - 1)] if self.codes else None
            port = self.server.server_address[1]
            url = f"http://127.0.0.1:{port}{code}" if code else None
            self._answer(200, json.dumps({"evses": [{"number": 1, "code": url, "car": False, "locked": self.locked}]}))
            return
        pages.append(self.path)
        refused = self.refusals[len(pages) - 1 :][:1]
        self._answer(refused[0] if refused else 200, f'<form method=post action="{self.path}/v1">')

    def do_POST(self) -> None:
        pages = self.server.pages  # type: ignore[attr-defined]
        pages.append(self.path)
        if self.path.endswith("/unplug"):
            free = len(pages) > self.opens_after
            self._answer(202 if free else 409, "" if free else '{"error": "no car is connected"}')
            return
        self._answer(200, '<form method=post action="/pay/do/1">')

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serving(**changes: object) -> Iterator[tuple[SimulatedHands, list[str]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Other", (Station,), changes))
    server.pages = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield SimulatedHands(ControlClient(f"http://127.0.0.1:{server.server_address[1]}")), server.pages  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_code_that_is_refused_is_scanned_again() -> None:
    with serving() as (hands, pages):
        assert await hands.perform_deed("scan", {"scan": 1}, 20.0) == "paid at the page of the QR code"
    assert pages == ["/pay/CP/1/a", "/pay/CP/1/b", "/pay/CP/1/c", "/pay/CP/1/c/v1", "/pay/do/1"]


async def test_a_page_that_is_broken_is_not_tried_again() -> None:
    with (
        serving(refusals=(500,)) as (hands, pages),
        pytest.raises(CannotCarryOut, match="does not work: HTTP Error 500"),
    ):
        await hands.perform_deed("scan", {"scan": 1}, 20.0)
    assert len(pages) == 1


async def test_a_display_without_a_code_is_said() -> None:
    with serving(codes=()) as (hands, _), pytest.raises(NotApplicable, match="outlet 1 shows no QR code"):
        await hands.perform_deed("scan", {"scan": 1}, 0.2)


async def test_a_cable_that_is_out_already_is_not_waited_for() -> None:
    """At a fixed cable nothing can be pulled once the vehicle is gone."""
    with serving(locked=False) as (hands, _), pytest.raises(CannotCarryOut, match="no car is connected"):
        await asyncio.wait_for(hands.perform_deed("unplug", {"unplug": 1}, 600.0), 60)


async def test_a_locked_plug_is_waited_for() -> None:
    with serving(locked=True) as (hands, _), pytest.raises(CannotCarryOut, match="no car is connected"):
        await hands.perform_deed("unplug", {"unplug": 1}, 0.3)
    with serving(locked=True, opens_after=3) as (hands, pages):
        assert await hands.perform_deed("unplug", {"unplug": 1}, 60.0) == "done by the control API"
    assert pages == ["/api/v1/evses/1/unplug"] * 4
