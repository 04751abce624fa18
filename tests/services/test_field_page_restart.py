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
from agent.domain.events import CardPresented, Event
from agent.domain.evse import EvseRecord, SessionState
from agent.domain.orders import AuthorizeToken
from agent.domain.session_records import Authorization
from agent.model.types import Token
from agent.ports.store import Put
from agent.services.clock import Clock
from agent.services.devices.dispatch import OrderDispatch
from agent.services.event_queue import EventQueue
from agent.services.logs.buffer import LogRing
from agent.services.store.store import Store
from tests.domain.playbook import A, Playbook
from tests.support.busy_machine import stretched


class PageOfStation:
    """Asks what the page asks, of a station with all its blocks. ``restarts``: how often the agent was ended.
    ``before_event``: called before each event that a question leads to."""

    def __init__(self, store: Store) -> None:
        self.play, self.store, self.restarts = Playbook(), store, 0
        self.evse = self.play.evse(1)
        self.before_event: Callable[[Event], None] = lambda event: None
        self._events, clock = EventQueue(), Clock({})
        self._queries = FieldPageQueries(
            self.play.site, store, clock, LogRing(clock), lambda order: dict,
            OrderDispatch(lambda event: None), self._events, self._count_restart,
        )  # fmt: skip

    async def handle_events(self) -> None:
        """Pass events to the station, as the engine does; runs without end."""
        while True:
            event = await self._events.next_event()
            self.before_event(event)
            self.play.feed(event)
            self.play.skip()

    async def is_card_accepted(self) -> bool:
        """Hold a card to the reader. Returns whether the backend is asked about it."""
        await self._events.wait_until_handled()
        orders = self.play.skip().feed(CardPresented(1, A))
        self.play.skip()
        return any(isinstance(order, AuthorizeToken) for order in orders)

    def _count_restart(self) -> None:
        self.restarts += 1

    async def ask(self, do: str) -> Mapping[str, Any]:
        return await self._queries.answer_question({"do": do, "store": str(self.store.path.resolve())})

    async def wait_until_handled(self) -> None:
        await self._events.wait_until_handled()

    def is_restart_near(self) -> bool:
        """Whether the agent will be restarted, at once or when the page says nothing more."""
        return self._queries._drain_end is not None or self._queries._is_restart_ordered()

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
    page = PageOfStation(store)
    handling = asyncio.create_task(page.handle_events())
    yield page
    handling.cancel()
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
    assert await page.ask("restart") == {"running": True, "evses": []}
    begin(page.evse)
    assert await page.ask("drain") == {"running": True, "evses": [1]}
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


async def test_no_driver_begins_between_the_change_and_the_restart(page: PageOfStation) -> None:
    """The transaction of such a driver would be known to the backend of before, and end at the other one."""
    assert await page.ask("drain") == {"running": True, "evses": []}
    assert not await page.is_card_accepted()
    assert await page.ask("restart") == {"running": True, "evses": []}
    assert not await page.is_card_accepted()
    assert await page.ask("admit") == {"running": True}
    await page.wait_for_restart()
    assert not await page.is_card_accepted(), "a restart that was ordered is not taken back"


async def test_drivers_begin_again_when_nothing_was_changed(page: PageOfStation) -> None:
    await page.ask("drain")
    assert page.is_restart_near()
    assert await page.ask("admit") == {"running": True}
    assert await page.is_card_accepted()
    assert not page.is_restart_near()


async def test_a_driver_who_is_faster_than_the_change_is_served(page: PageOfStation) -> None:
    page.before_event = lambda event: begin_authorization(page.evse)
    assert await page.ask("drain") == {"running": True, "evses": [1]}
    await page.wait_until_handled()
    assert not page.play.site.draining


async def test_a_station_that_is_in_use_is_not_drained(page: PageOfStation) -> None:
    begin_authorization(page.evse)
    assert await page.ask("drain") == {"running": True, "evses": [1]}
    await page.wait_until_handled()
    assert not page.play.site.draining


async def test_a_page_that_ends_in_the_middle_leaves_no_station_closed(
    page: PageOfStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have changed the station file: the agent reads it."""
    monkeypatch.setattr(field_page_queries, "DRAIN_MOST_S", 0.01)
    await page.ask("drain")
    await page.wait_for_restart()


async def test_two_orders_are_one_restart(page: PageOfStation) -> None:
    await asyncio.gather(page.ask("restart"), page.ask("restart"))
    await page.wait_for_restart()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            while page.restarts == 1:
                await asyncio.sleep(0.01)
    assert page.restarts == 1
