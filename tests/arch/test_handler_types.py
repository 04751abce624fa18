"""The type checker holds the annotation of a handler against its decorator."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
from collections.abc import Iterator
from agent.domain.events import ClockTrusted, TimeCame
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_timer
from agent.domain.requests import ClearCacheRequest, DataTransferRequest, ResetRequest
from agent.domain.timers import TimerKind
from agent.model.types import Moment

class Block:
"""
RIGHT = """
    @answers_requests(ResetRequest)
    def answer_reset(self, request: ResetRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        yield reply("Accepted")

    @answers_requests(ResetRequest, ClearCacheRequest)
    def answer_both(
        self, request: ResetRequest | ClearCacheRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        yield reply("Accepted")

    @handles_timer(TimerKind.FULL_MINUTE)
    def show_minute(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from ()
"""
WRONG_REQUEST = """
    @answers_requests(ResetRequest)
    def answer_reset(self, request: DataTransferRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        yield reply("Accepted")
"""
ONE_OF_TWO = """
    @answers_requests(ResetRequest, ClearCacheRequest)
    def answer_both(self, request: ResetRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        yield reply("Accepted")
"""
NO_REPLY = """
    @answers_requests(ResetRequest)
    def answer_without_reply(self, request: ResetRequest, now: Moment) -> Iterator[Yielded]:
        yield from ()
"""
WRONG_EVENT = """
    @handles_timer(TimerKind.FULL_MINUTE)
    def show_minute(self, event: ClockTrusted, now: Moment) -> Iterator[Yielded]:
        yield from ()
"""


def _type_errors(path: Path, *methods: str) -> list[str]:
    path.write_text(HEAD + "".join(methods))
    out, trouble, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), "--no-pretty", str(path)])
    assert not trouble
    return [line for line in out.splitlines() if ": error:" in line]


def test_a_handler_whose_annotation_does_not_fit_its_decorator_is_a_type_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert _type_errors(tmp_path / "right.py", RIGHT) == []
    found = _type_errors(tmp_path / "wrong.py", WRONG_REQUEST, ONE_OF_TWO, NO_REPLY, WRONG_EVENT)
    assert len(found) == 4
    assert all("incompatible type" in line for line in found)
