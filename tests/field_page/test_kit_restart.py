"""A kit of the page is applied while no driver can begin, and the agent is restarted before one can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from agent.assembly import field_page_queries
from agent.commands.page.agent_watch import AgentWatch
from agent.commands.page.kit_pages import apply_kit_copy, kit_store_of_site, undo_last_kit
from agent.commands.page.page_texts import texts_of_language
from agent.commands.page.page_users import PageUser
from agent.commands.page.roles import Role
from agent.commands.page.visit import PageSite, UploadedFile, Visit
from agent.domain.events import Event
from agent.services.store.store import Store
from agent.station_file.settings import load_station_file
from tests.field_page.test_kit_store import WHOLE, packed
from tests.services.test_field_page_restart import PageOfStation, begin_authorization
from tests.support.busy_machine import stretched
from tests.support.kit_files import KIT, STATION, write_station

SAME_BACKEND = KIT.replace("LU-CHG-0042", "LU-CHG-0001").replace("ocpp.example.lu/chargy", "127.0.0.1:9000")
"""Its bills go where they went before, so that the store is not asked."""


class DirectWatch(AgentWatch):
    """Asks the station without a socket."""

    def __init__(self, site: PageSite, station: PageOfStation) -> None:
        super().__init__(site.file)
        self._station = station

    async def ask_running_agent(self, name: str, **question: Any) -> dict[str, Any]:
        return dict(await self._station.ask(question["do"]))


class KitOfPage:
    """A site of the page with one kit that was uploaded. ``posted``: each event that the page led to, and whether the
    station file was the old one then."""

    def __init__(self, folder: Path, store: Store) -> None:
        file = write_station(folder, STATION)
        self.station, self.path, self.before = PageOfStation(store), file, file.read_bytes()
        self.site = PageSite(load_station_file(file))
        self.site.watch = DirectWatch(self.site, self.station)
        content = packed({**WHOLE, "kit.toml": SAME_BACKEND.encode()})
        self.name = kit_store_of_site(self.site).store_uploaded_kit(UploadedFile("kit.zip", content))
        self.posted: list[tuple[Event, bool]] = []
        self.station.before_event = lambda event: self.posted.append((event, self.is_file_of_before()))

    def is_file_of_before(self) -> bool:
        return self.path.read_bytes() == self.before

    def visit(self, path: str, **form: str) -> Visit:
        user = PageUser("max", Role.MANUFACTURER, "", "")
        request = make_mocked_request("POST", path)
        return Visit(request, path, texts_of_language("en"), user=user, form={"kit": self.name, **form})


@pytest.fixture
async def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KitOfPage]:
    monkeypatch.setattr(field_page_queries, "RESTART_AFTER_S", stretched(600))
    store = await Store.open(tmp_path / "agent.db")
    kit = KitOfPage(tmp_path / "board", store)
    handling = asyncio.create_task(kit.station.handle_events())
    yield kit
    handling.cancel()
    await store.close()


async def test_no_driver_begins_while_the_station_file_is_changed(kit: KitOfPage) -> None:
    answer = await apply_kit_copy(kit.site, kit.visit("/kit/apply"))
    assert (answer.status, kit.is_file_of_before()) == (303, False)
    assert not await kit.station.is_card_accepted()
    assert kit.posted[0][1], "the station was drained before the change"
    assert kit.station.is_restart_near()


async def test_no_driver_begins_while_a_kit_is_undone(kit: KitOfPage) -> None:
    await apply_kit_copy(kit.site, kit.visit("/kit/apply"))
    kit.posted.clear()
    answer = await undo_last_kit(kit.site, kit.visit("/kit/undo"))
    assert (answer.status, kit.is_file_of_before()) == (303, True)
    assert not kit.posted[0][1], "the station was drained before the change"
    assert not await kit.station.is_card_accepted()


async def test_drivers_begin_again_after_a_kit_that_was_refused(kit: KitOfPage) -> None:
    path = kit_store_of_site(kit.site).path_of_kit_copy(kit.name)
    assert path is not None
    path.write_text(SAME_BACKEND.replace('number = "0042"', 'number = "0043"'))
    answer = await apply_kit_copy(kit.site, kit.visit("/kit/apply"))
    assert (answer.status, kit.is_file_of_before()) == (409, True)
    assert await kit.station.is_card_accepted()


async def test_an_undo_without_a_kit_closes_nothing(kit: KitOfPage) -> None:
    answer = await undo_last_kit(kit.site, kit.visit("/kit/undo"))
    assert answer.status == 409
    assert await kit.station.is_card_accepted()


async def test_a_driver_is_served_first(kit: KitOfPage) -> None:
    begin_authorization(kit.station.evse)
    answer = await apply_kit_copy(kit.site, kit.visit("/kit/apply"))
    assert (answer.status, kit.is_file_of_before(), kit.posted) == (409, True, [])
