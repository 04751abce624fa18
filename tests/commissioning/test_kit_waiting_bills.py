"""A kit, or its undo, leads no bill that waits to another backend, unless the person says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.commands.kit.waiting_bills import recipient_of_bills
from agent.services.store.store import Store
from tests.services.test_store import ended, sampled, started
from tests.support.kit_files import KIT, call_kit


def leave_session_in_queue(station: Path, link: str = "chargy") -> None:
    folder = station.parent / "state"
    folder.mkdir(exist_ok=True)

    async def fill_store() -> None:
        store = await Store.open(folder / "agent.db")
        await store.commit([], [(link, m(session="s1")) for m in (started, sampled, ended)])
        await store.close()

    asyncio.run(fill_store())


def test_apply_is_refused_while_bills_wait(kit: Path, station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_session_in_queue(station)
    before = station.read_bytes()
    assert call_kit("apply", kit, station) == 2
    said = capsys.readouterr().err
    assert "bills wait" in said
    assert "queued s1 (3)" in said
    assert "--leave-bills" in said
    assert station.read_bytes() == before
    assert call_kit("apply", kit, station, "--leave-bills") == 0
    assert call_kit("undo", station) == 2
    assert "bills wait" in capsys.readouterr().err
    assert call_kit("undo", station, "--leave-bills") == 0
    assert station.read_bytes() == before


def test_a_store_that_cannot_be_read_is_no_empty_one(
    kit: Path, station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (station.parent / "state").mkdir()
    (station.parent / "state" / "agent.db").mkdir()
    assert call_kit("apply", kit, station) == 2
    said = capsys.readouterr().err
    assert "it cannot be found out whether bills wait" in said
    assert "--leave-bills does not ask" in said


def test_a_broken_station_file_hides_no_bills(kit: Path, station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file does not say any more where the store is; the one that is put back does."""
    folder = station.parent / "elsewhere"
    station.write_text(station.read_text().replace("[station]\n", f'[station]\nstate_dir = "{folder}"\n'))
    assert call_kit("apply", kit, station) == 0
    (station.parent / "state").symlink_to(folder)
    folder.mkdir(exist_ok=True)
    leave_session_in_queue(station)
    (station.parent / "state").unlink()
    station.write_text("[station\n")
    assert call_kit("undo", station, "--discard-edits") == 2
    assert "queued s1 (3)" in capsys.readouterr().err


def test_a_mistake_in_the_station_file_is_no_bill(kit: Path, station: Path) -> None:
    leave_session_in_queue(station, "second")  # another backend, which stays
    station.write_text(station.read_text().replace("[station]\n", "[station]\nnonsense = 1\n"))
    assert call_kit("apply", kit, station) == 0


def test_a_url_that_is_none_is_compared_as_it_is(kit: Path, station: Path) -> None:
    assert call_kit("apply", kit, station) == 0
    station.write_text(station.read_text().replace("wss://ocpp.example.lu/chargy", "wss://[fe80::1/x"))
    assert call_kit("undo", station, "--discard-edits") == 0


def test_bills_wait_for_the_backend_that_stays(kit: Path, station: Path) -> None:
    assert call_kit("apply", kit, station) == 0
    leave_session_in_queue(station)
    kit.write_text(KIT.replace("kwh = 0.45", "kwh = 0.46"))
    assert call_kit("apply", kit, station) == 0


def test_an_empty_queue_stops_nothing(kit: Path, station: Path) -> None:
    leave_session_in_queue(station)

    async def empty_queue() -> None:
        store = await Store.open(station.parent / "state" / "agent.db")
        for row in await store.oldest_rows("chargy", 10):
            await store.remove_delivered(row)
        await store.close()

    asyncio.run(empty_queue())
    assert call_kit("apply", kit, station) == 0


@pytest.mark.parametrize(
    ("now", "then", "same"),
    [
        ({"url": "ws://a.lu/x"}, {"url": "wss://a.lu:8443/x/"}, True),
        ({"url": "ws://a.lu/x"}, {"url": "ws://b.lu/x"}, False),
        ({"url": "ws://a.lu/x"}, {"url": "ws://a.lu/y"}, False),
        ({"url": "ws://a.lu/x"}, {"url": "ws://a.lu/x", "secure_url": "wss://b.lu/x"}, False),
        ({"url": "ws://a.lu/x"}, {"url": "ws://a.lu/x", "charge_point_id": "CP-1"}, True),
        ({"url": "ws://a.lu/x"}, {"url": "ws://a.lu/x", "charge_point_id": "CP-2"}, False),
    ],
)
def test_which_change_leads_bills_elsewhere(now: dict[str, str], then: dict[str, str], same: bool) -> None:
    before, after = ({"station": {"id": "CP-1"}, "backend": table} for table in (now, then))
    assert (recipient_of_bills(before) == recipient_of_bills(after)) is same
