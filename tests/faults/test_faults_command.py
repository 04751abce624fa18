"""``chargy-agent faults``: a person stands before the station and wants to know what is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agent.commands.fault_texts import describe_fault, without_markdown
from agent.domain.faults import CATALOGUE
from tests.support.station_rig import Street, station_text, street

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    async with street(tmp_path_factory.mktemp("faults"), station_text(2)) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Street) -> AsyncIterator[Street]:
    opened.begin()
    yield opened
    await opened.end()


@pytest.mark.parametrize("fault", CATALOGUE)
async def test_every_fault_has_words(fault: str) -> None:
    what, do = map(without_markdown, describe_fault(fault))  # type: ignore[arg-type]
    assert what
    assert do
    assert not set("*[]`") & set(what + do)


async def test_what_where_and_what_to_do(s: Street) -> None:
    assert await s.command("faults", "list") == (0, "nothing is wrong\n")
    await s.fault("BoardSilent", True, 2)
    await s.status_reported("Faulted", 2)
    code, said = await s.command("faults", "list")
    assert code == 1
    what, trouble, do = said.splitlines()
    assert what == "outlet 2: the charge controller board does not answer (BoardSilent, out of service)"
    assert trouble.startswith("  evse[2].board: ")
    assert do == "  to do: cable, address, supply and settings of the board; the log says what was tried"
    assert await s.command("faults", "list", "1") == (0, "nothing is wrong\n")
    code, said = await s.command("faults", "clear")
    assert (code, said.splitlines()[0].split(";")[0]) == (0, "nothing is latched")
    assert "outlet 2: its board does not answer; what was kept of the feed" in said
    assert (await s.command("faults", "clear", "3"))[0] == 2


async def test_what_is_latched_is_cleared_when_the_board_shows_it_no_more(s: Street) -> None:
    await s.fault("ContactorWelded")
    await s.status_reported("Faulted")
    code, said = await s.command("faults", "clear", "1")
    assert (code, said.splitlines()[-1]) == (
        1, "outlet 1: a contactor does not open (ContactorWelded): the board still shows it",
    )  # fmt: skip
    await s.fault("ContactorWelded", False)
    await s.until(lambda e: not e["faults"])
    await s.station.post("/agent", {"action": "stop"})
    await s.station.until(lambda p: p["agent"]["pid"] is None)
    code, said = await s.command("faults", "list")
    assert (code, said.splitlines()[0]) == (
        1, "outlet 1: a contactor does not open (ContactorWelded, out of service, latched)",
    )  # fmt: skip
    assert "is not running: only what is latched is known" in said
    code, said = await s.command("faults", "clear")
    assert (code, said.startswith("the agent is not running: start it")) == (2, True)
    await s.station.post("/agent", {"action": "start"})
    await s.status_reported("Faulted")
    assert "the board shows it no more: chargy-agent faults clear" in (await s.command("faults", "list"))[1]
    code, said = await s.command("faults", "clear", "1")
    assert (code, said.splitlines()[-1]) == (0, "outlet 1: a contactor does not open (ContactorWelded): cleared")
    await s.status_reported("Available")
    assert await s.command("faults", "list") == (0, "nothing is wrong\n")
