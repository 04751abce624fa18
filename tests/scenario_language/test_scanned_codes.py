"""A code on the display that is no longer valid is scanned again, as a person would do."""

from __future__ import annotations

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
    asked: list[str]

    def do_GET(self) -> None:
        pages = self.server.pages  # type: ignore[attr-defined]
        if self.path.endswith("/station"):
            code = self.codes[min(len(pages), len(self.codes) - 1)] if self.codes else None
            port = self.server.server_address[1]
            url = f"http://127.0.0.1:{port}{code}" if code else None
            self._answer(200, json.dumps({"evses": [{"number": 1, "code": url}]}))
            return
        pages.append(self.path)
        refused = self.refusals[len(pages) - 1 :][:1]
        self._answer(refused[0] if refused else 200, f'<form method=post action="{self.path}/v1">')

    def do_POST(self) -> None:
        self.server.pages.append(self.path)  # type: ignore[attr-defined]
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
