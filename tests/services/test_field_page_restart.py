"""The restart that the field page orders: never while a driver is served, whenever that driver came."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.assembly import field_page_queries
from agent.assembly.field_page_queries import FieldPageQueries
from agent.domain.evse import EvseRecord, SessionState
from agent.domain.session_records import Authorization
from agent.model.types import Token
from agent.ports.store import Put
from agent.services.clock import Clock
from agent.services.devices.dispatch import OrderDispatch
from agent.services.logs.buffer import LogRing
from agent.services.store.store import Store
from tests.support.busy_machine import stretched
from tests.support.domain_state import evse_record, station_state


class PageOfStation:
    """Asks what the page asks. ``restarts``: how often the agent was ended."""

    def __init__(self, store: Store) -> None:
        self.evse, self.store, self.restarts = evse_record(1), store, 0
        clock = Clock({})
        self._queries = FieldPageQueries(
            station_state({1: self.evse}), store, clock, LogRing(clock), lambda order: dict,
            OrderDispatch(lambda event: None), lambda event: None, self._count_restart,
        )  # fmt: skip

    def _count_restart(self) -> None:
        self.restarts += 1

    async def ask(self, do: str) -> Mapping[str, Any]:
        return await self._queries.answer_question({"do": do, "store": str(self.store.path.resolve())})

    async def wait_for_restart(self) -> None:
        await wait_until(lambda: bool(self.restarts))


async def wait_until(is_reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(stretched(20)):
        while not is_reached():
            await asyncio.sleep(0.01)


@pytest.fixture
async def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PageOfStation]:
    monkeypatch.setattr(field_page_queries, "RESTART_AFTER_S", stretched(0.5))  # longer than a look into the store
    monkeypatch.setattr(field_page_queries, "LOOK_AGAIN_S", 0.01)
    store = await Store.open(tmp_path / "agent.db")
    yield PageOfStation(store)
    await store.close()


def begin_authorization(evse: EvseRecord) -> None:
    evse.authorization = Authorization(Token("04A1B2C3"))


def end_authorization(evse: EvseRecord) -> None:
    evse.authorization = None


def begin_session_start(evse: EvseRecord) -> None:
    evse.state = SessionState.BEGINNING


def end_session_start(evse: EvseRecord) -> None:
    evse.state = SessionState.FREE


def begin_web_payment(evse: EvseRecord) -> None:
    evse.payer_until_s = 100.0


def end_web_payment(evse: EvseRecord) -> None:
    evse.payer_until_s = None


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (begin_authorization, end_authorization), (begin_session_start, end_session_start),
        (begin_web_payment, end_web_payment),
    ],
)  # fmt: skip
async def test_a_driver_who_comes_before_the_restart_is_served_first(
    page: PageOfStation,
    begin: Callable[[EvseRecord], None],
    end: Callable[[EvseRecord], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    assert await page.ask("busy") == {"running": True, "evses": []}
    assert await page.ask("restart") == {"running": True, "evses": []}
    begin(page.evse)
    assert await page.ask("busy") == {"running": True, "evses": [1]}
    await wait_until(lambda: "waits for outlets in use: [1]" in caplog.text)
    assert page.restarts == 0
    end(page.evse)
    await page.wait_for_restart()


async def test_a_card_payment_before_its_session_is_finished_first(
    page: PageOfStation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await page.store.commit([Put("payment", "p1", {"state": "AuthPending", "evse": 1, "reviewed": False})])
    assert await page.ask("restart") == {"running": True, "evses": [1]}
    await wait_until(lambda: "waits for outlets in use: [1]" in caplog.text)
    assert page.restarts == 0
    await page.store.commit([Put("payment", "p1", {"state": "Declined", "evse": 1, "reviewed": False})])
    await page.wait_for_restart()


async def test_two_orders_are_one_restart(page: PageOfStation) -> None:
    await asyncio.gather(page.ask("restart"), page.ask("restart"))
    await page.wait_for_restart()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            while page.restarts == 1:
                await asyncio.sleep(0.01)
    assert page.restarts == 1
