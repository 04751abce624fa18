"""The process of the field page, while the machine cannot start one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.services import field_page
from agent.services.field_page import FieldPageProcess
from tests.support.busy_machine import stretched

STAND_IN = """#!/bin/sh
touch {started}
exec cat
"""


async def wait_until(is_reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(stretched(20)):
        while not is_reached():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running_page(folder: Path, users_file: Path) -> AsyncIterator[asyncio.Task[None]]:
    page = asyncio.create_task(FieldPageProcess(folder / "station.toml", users_file).run())
    try:
        yield page
    finally:
        page.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await page


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field_page, "RESTART_S", 0.01)
    monkeypatch.setattr(field_page, "USERS_EVERY_S", 0.01)


async def test_a_process_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, short_pauses: None
) -> None:
    """What ``fork`` and ``exec`` refuse must not end the task: it would take engine, links and devices with it."""
    program, started, users_file = tmp_path / "python", tmp_path / "started", tmp_path / "users.json"
    users_file.touch()
    monkeypatch.setattr(sys, "executable", str(program))
    async with running_page(tmp_path, users_file) as page:
        await wait_until(lambda: "the field page cannot be started (No such file or directory)" in caplog.text)
        beside = tmp_path / "beside"
        beside.write_text(STAND_IN.format(started=started))
        beside.chmod(0o700)
        os.replace(beside, program)
        await wait_until(started.exists)
        assert not page.done()


async def test_a_users_file_that_cannot_be_looked_for_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, short_pauses: None
) -> None:
    """A name that is too long stands for every error of stat(2) that ``Path.exists`` raises before Python 3.14."""
    async with running_page(tmp_path, tmp_path / ("n" * 300)) as page:
        await wait_until(lambda: "the field page has no user and is not served" in caplog.text)
        await asyncio.sleep(0.05)
        assert not page.done()
