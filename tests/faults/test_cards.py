"""Cards and readers as they are: refused, blocked, too long, random, garbage; and answers that are none."""

import asyncio
import json
import os
import pty
import tty
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.busy_machine import stretched
from tests.support.station_rig import TIME_TO_PLUG_IN, Street, station_text, street

pytestmark = pytest.mark.asyncio(loop_scope="module")


READERS = """
[[reader]]
driver = "reader_nfc"
[[reader]]
driver = "reader_serial"
[[reader]]
driver = "reader_serial"
device = "{}"
"""


@pytest.fixture(scope="module")
def line() -> Iterator[tuple[int, str]]:
    """A serial line of our own to the station: descriptor of this end, name of the other."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(master)
    os.close(slave)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory, line: tuple[int, str]) -> AsyncIterator[Street]:
    text = station_text(
        1,
        backend=f"call_timeout_s = {stretched(2):g}",  # of real time: an answer that comes later is none
        settings=f"sample_interval_s = 0\nlocal_authorize_offline = false\n{TIME_TO_PLUG_IN}",
    )
    text += READERS.format(line[1])
    async with street(tmp_path_factory.mktemp("cards"), text) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Street) -> AsyncIterator[Street]:
    await opened.until(lambda e: e["screen"] != "refused")  # of the test before
    opened.begin()
    yield opened
    await opened.end()


async def refused(s: Street) -> None:
    """The screen says so, and nothing has begun."""
    evse = await s.screen("refused")
    assert evse["session"] is None
    assert not evse["pwm"]
    assert s.payloads("StartTransaction") == []


@pytest.mark.parametrize("status", ["Invalid", "Blocked", "Expired", "ConcurrentTx"])
async def test_a_card_that_the_backend_does_not_want(s: Street, status: str) -> None:
    s.csms.infos["CARD-BAD"] = {"status": status}
    await s.plug()
    await s.status_reported("Preparing")
    await s.tap("CARD-BAD")
    await refused(s)
    assert s.story() == ["Preparing", "Authorize"]
    await s.charge_on("CARD-A")


async def test_a_token_over_20_characters_is_refused_here_and_never_cut(s: Street) -> None:
    await s.tap("T" * 21)
    await refused(s)
    assert s.calls() == []
    await s.tap("T" * 20)
    await s.screen("plug_in")
    assert [p["idTag"] for p in s.payloads("Authorize")] == ["T" * 20]
    await s.plug()
    await s.status_reported("Charging")
    await s.tap("T" * 20)
    await s.status_reported("Finishing")


async def test_a_card_with_a_random_uid_identifies_no_one(s: Street) -> None:
    await s.station.post("/cards/tap", {"uid": "08112233", "card": "random_uid", "evse": 1, "hold_s": 1})
    await refused(s)
    assert s.calls() == []
    await s.charge("CARD-A")


@pytest.mark.parametrize("garbage", [b"\xff\xfe\x80\n", b"\x00\x01\x02\n", b"x" * 5000 + b"\n"])
async def test_garbage_at_the_serial_reader(s: Street, line: tuple[int, str], garbage: bytes) -> None:
    await asyncio.to_thread(os.write, line[0], garbage)
    await refused(s)
    assert s.calls() == []
    await s.charge("CARD-A")
    assert (await s.station.picture())["agent"]["restarts"] == 0


async def test_lower_case_and_odd_tokens_are_passed_on_unchanged(s: Street) -> None:
    for token in ("abcDEF", "nix.da-1", "Ä-é"):
        s.begin()
        s.csms.infos[token] = {"status": "Invalid"}
        await s.tap(token)
        await s.heard(lambda: s.payloads("Authorize"))
        assert s.payloads("Authorize") == [{"idTag": token}]
        await refused(s)
    await s.charge("CARD-A")


def garbled(id_: str) -> str:
    return json.dumps([3, id_, {"idTagInfo": {"status": "Perhaps"}}])


def error(id_: str) -> str:
    return json.dumps([4, id_, "InternalError", "", {}])


def empty(id_: str) -> str:
    return json.dumps([3, id_, {}])


def text(id_: str) -> str:
    return "<html>502 Bad Gateway</html>"


@pytest.mark.parametrize("answer", [garbled, error, empty, text, lambda id_: None])
async def test_an_answer_to_authorize_that_says_nothing(s: Street, answer) -> None:  # type: ignore[no-untyped-def]
    s.csms.instead["Authorize"] = answer
    await s.plug()
    await s.status_reported("Preparing")
    await s.tap("CARD-A")
    await refused(s)
    s.csms.instead.clear()
    await s.charge_on("CARD-A")
    assert (await s.station.picture())["backend"]["link"] == "up"
