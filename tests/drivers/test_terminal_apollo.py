"""What an Apollo does beside payments, over a pseudo terminal and TCP: screens, badges, its uplink, its receipts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import config
from agent.model.bank_card import AcquirerRecord, Settlement
from agent.model.types import Screen, ScreenName, Token
from agent.ports import Refused
from agent.ports.driver import StationFacts, Where
from agent.ports.reader import Tap
from agent.ports.terminal import AcquirerReported, Approved, BadgeRead, Cancelled, CardRead, Restarted
from drivers.terminal_payter import DRIVER, apollo_terminal, list_complaints
from drivers.terminal_payter.apollo_terminal import ApolloTerminal
from drivers.terminal_payter.settings import PayterSettings
from tests.support.busy_machine import deadline
from tests.support.terminal_process import Apollo, heard, running

BADGE = "04A1B2C3D4E5F6"
CONFIG_DIRS = tuple(Path(folder) for folder in config.__path__)
LONG_S = 10.0
"""Longer than any test: what is to be seen at once must not wait for it."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apollo_terminal, "REST_S", 0.05)


@asynccontextmanager
async def opened(
    apollo: Apollo, dirs: tuple[Path, ...] = CONFIG_DIRS, hold_hours: float = 1.0, **keys: Any
) -> AsyncIterator[ApolloTerminal]:
    """``hold_hours`` 0: the station takes no payments."""
    facts = StationFacts(state_dir=apollo.folder, timezone="UTC", hold_hours=hold_hours)
    where = Where(0, "terminal", lambda: (1, 0.0), dirs, facts)
    async with DRIVER.open(apollo.settings(**keys), where) as port:
        assert isinstance(port, ApolloTerminal)
        yield port


def screen(name: ScreenName, detail: str = "", acts: int = 0, **values: Any) -> Screen:
    return Screen(name, "en", detail, {"evse": 1, "evses": 1, **values}, acts)


CHARGING = screen(
    ScreenName.CHARGING, energy_wh=12_345, stop_hint="card", cost_micro=4_560_000, cost_decimals=2, currency="EUR"
)
FINISHED = screen(
    ScreenName.FINISHED, "stopped", acts=1, energy_wh=12_345, cost_final=True, cost_micro=4_560_000, currency="EUR",
    qr_url="https://pay.example/r/PY1",
)  # fmt: skip


async def held(apollo: Apollo, port: ApolloTerminal) -> Approved:
    news = port.news()
    await port.offer(5000)
    await apollo.tap()
    assert isinstance(await heard(news), CardRead)
    await port.authorize()
    approved = await heard(news)
    assert isinstance(approved, Approved), approved
    return approved


async def seen(apollo: Apollo, state: str) -> dict[str, Any]:
    """Return the picture of the terminal once it is in this state."""
    async with deadline(15):
        while (picture := await apollo.do("picture"))["state"] != state:
            await asyncio.sleep(0.01)
    return picture


# --- screens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "keys"), [("tcp", {}), ("serial", {"extended": True})])
async def test_a_screen_is_shown_where_no_card_is_waited_for(tmp_path: Path, line: str, keys: dict[str, Any]) -> None:
    async with running(tmp_path, line) as apollo, opened(apollo, **keys) as port:
        await port.show_screens(CHARGING)
        picture = await apollo.do("picture")
        assert picture["screen"] == ["Charging", "12.34 kWh, 4.56 €. To stop, tap the same card."]
        await port.offer(5000)
        assert (await apollo.do("picture"))["screen"] == ["Present card", "50.00 EUR"], "the payment comes first"
        await port.show_screens(FINISHED)
        assert (await apollo.do("picture"))["state"] == "wait_card", "nothing is taken from it"
        await port.cancel()
        picture = await seen(apollo, "enabled")
        assert picture["screen"][0] == "Charging finished"
        assert picture["qr"] == "https://pay.example/r/PY1"


async def test_a_result_takes_the_screen_if_the_settings_want_it(tmp_path: Path) -> None:
    """The terminal is the only screen of the station: the offer ends, and the next one waits for the reader."""
    async with running(tmp_path) as apollo, opened(apollo, screen_hold_s=0.3) as port:
        news = port.news()
        await port.offer(5000)
        await port.show_screens(FINISHED)
        assert port._screen.hold_s > 0
        assert await heard(news) == Cancelled()
        assert (await apollo.do("picture"))["qr"] == "https://pay.example/r/PY1"
        await port.offer(5000)
        assert port._screen.hold_s == 0, "it was waited for"
        assert (await apollo.do("picture"))["state"] == "wait_card"
        await port.show_screens(FINISHED)
        assert (await apollo.do("picture"))["state"] == "wait_card", "the same result once"


async def test_a_card_that_was_read_is_not_sent_away_for_a_screen(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, opened(apollo, screen_hold_s=LONG_S) as port:
        news = port.news()
        await port.offer(5000)
        await apollo.tap()
        assert isinstance(await heard(news), CardRead)
        await port.show_screens(FINISHED)
        await port.authorize()
        assert isinstance(await heard(news), Approved)


@pytest.mark.parametrize("fault", [{"what": "refuse", "detail": 2}, {"what": "lose_reply"}])
async def test_a_terminal_that_shows_nothing_is_not_asked_for_ever(tmp_path: Path, fault: dict[str, Any]) -> None:
    """Refused or unanswered three times, no screen is sent any more; payments are as before."""
    async with running(tmp_path) as apollo, opened(apollo) as port:
        for _ in range(3):
            await apollo.do("mischief", item={"code": 0x28, **fault})
        for n in range(5):
            await port.show_screens(screen(ScreenName.CHARGING, energy_wh=n))
        assert not port._screen.is_used
        approved = await held(apollo, port)
        assert await port.commit(approved.reservation, 1234) is Settlement.DONE
        assert (await apollo.do("picture"))["screen"] != ["Charging"]


async def test_a_screen_is_sent_again_to_a_terminal_that_was_restarted(tmp_path: Path) -> None:
    async with running(tmp_path, "serial") as apollo, opened(apollo, keep_alive_s=0.1, sync_every_s=0.02) as port:
        await port.show_screens(CHARGING)
        await apollo.do("restart")
        assert await heard(port.news()) == Restarted()
        await port.show_screens(CHARGING)
        assert (await apollo.do("picture"))["screen"][0] == "Charging"


async def test_a_station_without_texts_pays_all_the_same(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, opened(apollo, dirs=(), card_message=True) as port:
        await port.show_screens(CHARGING)
        assert (await held(apollo, port)).amount_cents == 5000


@pytest.mark.parametrize("card_message", [False, True])
async def test_a_screen_that_cannot_be_worded_costs_neither_the_line_nor_an_offer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, card_message: bool
) -> None:
    """A value of the domain that no text has a form for: the error is logged, and payments go on."""
    async with running(tmp_path) as apollo, opened(apollo, card_message=card_message) as port:
        for decimals in (-1, -2):
            values = {**CHARGING.values, "cost_decimals": decimals}
            await port.show_screens(Screen(ScreenName.CHARGING, "en", "", values))
        assert (await held(apollo, port)).amount_cents == 5000
        await port.show_screens(FINISHED)
        await seen(apollo, "enabled")
        assert len([r for r in caplog.records if "cannot be put into words" in r.getMessage()]) == 1, "logged once"


async def test_a_terminal_that_takes_no_payments_shows_nothing_of_ours(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, opened(apollo, hold_hours=0.0) as port:
        await port.show_screens(CHARGING)
        assert (await apollo.do("picture"))["screen"] == ["Welcome"]


async def test_the_request_for_a_card_says_how_to_stop(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, opened(apollo, card_message=True) as port:
        await port.show_screens(CHARGING)
        await port.offer(5000, "PY1")
        assert (await apollo.do("picture"))["screen"] == [
            "Present card", "50.00 EUR", "To stop, tap the same card.",
        ]  # fmt: skip


# --- badges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["tcp", "serial"])
async def test_a_badge_ends_the_offer_and_is_a_tap(tmp_path: Path, line: str) -> None:
    async with running(tmp_path, line) as apollo, opened(apollo, badges=True) as port:
        news = port.news()
        await port.offer(5000)
        await apollo.do("badge", uid=BADGE)
        assert await heard(news) == BadgeRead(Tap(Token(BADGE)))
        assert await heard(news) == Cancelled()
        await port.offer(5000)
        await apollo.tap()
        assert isinstance(await heard(news), CardRead), "a bank card is one as before"
        await port.authorize()
        assert isinstance(await heard(news), Approved)


@pytest.mark.parametrize("more", [(), ("--mute-orders",)], ids=["a result comes", "the effect alone"])
async def test_badges_are_read_while_nothing_is_offered(tmp_path: Path, more: tuple[str, ...]) -> None:
    async with running(tmp_path, "tcp", *more) as apollo, opened(apollo, badges=True, badge_holdoff_ms=0) as port:
        news = port.news()
        for _ in range(2):
            await seen(apollo, "wait_card")
            await apollo.do("badge", uid=BADGE)
            assert await heard(news) == BadgeRead(Tap(Token(BADGE)))
        await seen(apollo, "wait_card")
        await port.offer(5000)
        picture = await apollo.do("picture")
        assert (picture["state"], picture["screen"]) == ("wait_card", ["Present card", "50.00 EUR"])
        await port.cancel()
        assert await heard(news) == Cancelled()
        await seen(apollo, "wait_card")


@pytest.mark.parametrize("is_offer_next", [True, False], ids=["an offer", "a badge"])
async def test_a_late_end_of_badge_reading_ends_no_offer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_offer_next: bool
) -> None:
    """Cancel Session has its result at once, and Session Cancelled comes later: it is the end of what was read before,
    not of the offer that follows."""
    monkeypatch.setattr(apollo_terminal, "GRACE_S", LONG_S)
    async with running(tmp_path) as apollo, opened(apollo, badges=True) as port:
        news = port.news()
        await seen(apollo, "wait_card")
        await apollo.spoil("result_first", code=0x37, s=0.1)
        if not is_offer_next:
            await apollo.do("badge", uid=BADGE)
            assert await heard(news) == BadgeRead(Tap(Token(BADGE)))
            await seen(apollo, "enabled")
        await port.offer(5000)
        await apollo.tap()
        assert isinstance(await heard(news), CardRead)
        await port.authorize()
        assert isinstance(await heard(news), Approved)


@pytest.mark.parametrize("detail", [0x0E, 0x05], ids=["payment is not ready", "wrong state"])
async def test_badges_are_read_again_after_an_offer_that_was_refused(tmp_path: Path, detail: int) -> None:
    async with running(tmp_path) as apollo, opened(apollo, badges=True) as port:
        await seen(apollo, "wait_card")
        await apollo.spoil("refuse", code=0x34, detail=detail)
        with pytest.raises(Refused, match="does not take an offer"):
            await port.offer(5000)
        await seen(apollo, "wait_card")
        await apollo.do("badge", uid=BADGE)
        assert await heard(port.news()) == BadgeRead(Tap(Token(BADGE)))


@pytest.mark.parametrize("detail", [0x05, 0x11], ids=["wrong state", "not ready"])
async def test_a_terminal_that_is_not_ready_for_badges_is_asked_again(tmp_path: Path, detail: int) -> None:
    """It may show a menu, or load an update. It is asked less and less often, and never given up."""
    async with running(tmp_path) as apollo:
        for _ in range(5):
            await apollo.spoil("refuse", code=0x41, detail=detail)
        async with opened(apollo, badges=True) as port:
            await seen(apollo, "wait_card")
            await apollo.do("badge", uid=BADGE)
            assert await heard(port.news()) == BadgeRead(Tap(Token(BADGE)))


def test_the_pause_before_badges_are_read_grows() -> None:
    pauses_s = [apollo_terminal.badge_pause_s(misses) for misses in range(20)]
    assert pauses_s[:4] == [0.05, 0.1, 0.2, 0.4], "REST_S of these tests"
    assert pauses_s == sorted(pauses_s)
    assert pauses_s[-1] == apollo_terminal.LONGEST_REST_S


async def test_a_terminal_that_cannot_read_badges_alone_reads_them_with_offers(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo:
        await apollo.spoil("refuse", code=0x41, detail=2)
        async with opened(apollo, badges=True) as port:
            news = port.news()
            async with deadline(15):
                while port._reads_badges:
                    await asyncio.sleep(0.01)
            await port.offer(5000)
            await apollo.do("badge", uid=BADGE)
            assert await heard(news) == BadgeRead(Tap(Token(BADGE)))


async def test_without_the_setting_a_badge_is_not_read(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, opened(apollo) as port:
        news = port.news()
        await port.offer(5000)
        await apollo.do("badge", uid=BADGE)
        await apollo.tap()
        assert isinstance(await heard(news), CardRead)


def test_what_is_wrong_with_badge_tags() -> None:
    plain = {"host": "h", "badges": True}
    assert list_complaints(PayterSettings(**plain)) == []
    assert list_complaints(PayterSettings(**plain, badge_tags="")) == [
        "badge_tags: is missing: the tags that may hold the UID of a badge"
    ]
    [wrong] = list_complaints(PayterSettings(**plain, dol_tags="DFAA70" * 32))
    assert wrong.startswith("badge_tags: with dol_tags at most 100 bytes")


@pytest.mark.parametrize(
    ("tags", "wrong"),
    [("5A", "5A"), ("DFF00257", "57"), ("9f6bDFF002", "9F6B"), ("DFCA0B", "DFCA0B"), ("DFF002DFAA70", "DFAA70")],
)
def test_the_number_of_a_bank_card_is_no_badge(tags: str, wrong: str) -> None:
    assert list_complaints(PayterSettings(host="h", badges=True, badge_tags=tags)) == [
        f"badge_tags: {wrong} holds the number or the hash of a bank card, which is no badge"
    ]


@pytest.mark.parametrize("tag", ["DFF005", "dff005"])
def test_another_hash_tag_is_no_badge_either(tag: str) -> None:
    settings = PayterSettings(host="h", badges=True, badge_tags="DFF002DFF005", hash_tag=tag)
    assert len(list_complaints(settings)) == 1


ANSWERED_UNDER_THEIR_OWN = ("connection_info", "get_receipt", "transaction_record")
ANSWERED_BY_A_RESULT = ("select_language", "ui_request", "read_card")


@pytest.mark.parametrize(
    ("keys", "headers"),
    [
        (
            ANSWERED_UNDER_THEIR_OWN,
            (0x12, 0x24, 0x27, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x40, 0x42, 0x43),
        ),
        (ANSWERED_BY_A_RESULT, (0x11, 0x12, 0x24, 0x33, 0x34, 0x35, 0x36, 0x37, 0x42)),
    ],
    ids=["answered under its own header", "answered by a result"],
)
def test_a_header_with_a_meaning_of_its_own_is_no_setting(keys: tuple[str, ...], headers: tuple[int, ...]) -> None:
    """An answer under the header of an approval would swallow the approval; a request under that of a commit is one."""
    for key in keys:
        for header in headers:
            wrong = f"{key}: 0x{header:02X} has another meaning in PSP"
            assert list_complaints(PayterSettings(host="h", **{key: header})) == [wrong]
        assert list_complaints(PayterSettings(host="h", **{key: 0})) == []


@pytest.mark.parametrize("key", ANSWERED_BY_A_RESULT)
def test_the_header_that_another_page_of_the_documents_names_is_a_setting(key: str) -> None:
    assert list_complaints(PayterSettings(host="h", **{key: 0x40})) == []


# --- uplink, receipt -------------------------------------------------------------------------------------------------


async def test_what_the_terminal_says_of_its_uplink(tmp_path: Path) -> None:
    async with running(tmp_path, "tcp", "--offline") as apollo:
        async with opened(apollo, connection_info=0x44) as port:
            assert port.uplink == "ethernet, 192.0.2.7, offline"
        await apollo.spoil("refuse", code=0x44, detail=2)
        async with opened(apollo, connection_info=0x44) as port:
            assert port.uplink == ""
            await apollo.do("online", online=True)
            assert (await held(apollo, port)).amount_cents == 5000


async def test_the_terminals_receipt_follows_the_approval(tmp_path: Path) -> None:
    bare = running(tmp_path, "tcp", "--bare")
    async with bare as apollo, opened(apollo, get_receipt=0x45, transaction_record=0x46) as port:
        approved = await held(apollo, port)
        assert approved.acquirer == AcquirerRecord()
        reported = await heard(port.news())
        number = approved.reservation
        assert isinstance(reported, AcquirerReported)
        assert reported.reservation == number
        said = reported.acquirer
        assert (said.reference, said.data) == (f"HTR{number:08}", f"SIM,{number:06}")
        assert said.receipt == (
            f"SIM ACQUIRER\nVISA CONTACTLESS\n**** **** **** 1111\nAUTH {number:06}\nHELD EUR 50.00"
        )


@pytest.mark.parametrize("fault", [{"what": "refuse", "detail": 2}, {"what": "lose_reply"}])
async def test_a_receipt_that_is_not_given_costs_no_payment(tmp_path: Path, fault: dict[str, Any]) -> None:
    async with running(tmp_path) as apollo, opened(apollo, get_receipt=0x45) as port:
        await apollo.do("mischief", item={"code": 0x45, **fault})
        approved = await held(apollo, port)
        assert await port.commit(approved.reservation, 1234) is Settlement.DONE
        assert (await apollo.books()).captures == [(approved.reservation, 1234)]


async def test_a_terminal_that_gives_no_receipts_is_not_asked_for_ever(tmp_path: Path) -> None:
    """Each unanswered question keeps the line busy for seconds while the next card waits."""
    async with running(tmp_path) as apollo, opened(apollo, get_receipt=0x45) as port:
        for _ in range(3):
            await apollo.spoil("refuse", code=0x45, detail=2)
        approved = await held(apollo, port)
        for _ in range(4):
            async with port._exclusive_request():
                await port._fetch_receipt(approved.reservation)
        assert port._reports.empty(), "the fourth would have been answered"
