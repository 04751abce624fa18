"""The driver of PSP terminals against a terminal in a process of its own, over TCP, TLS and a pseudo terminal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

import pytest

from agent.model.bank_card import AcquirerRecord, Settlement
from agent.ports import Broken, Garbled, Refused, Unreachable
from agent.ports.driver import StationFacts, Where
from agent.ports.terminal import Approved, Cancelled, CardRead, Declined, Restarted, TerminalPort
from drivers.sim.apollo.terminal import DECLINES
from drivers.terminal_payter import DRIVER, commands
from drivers.terminal_payter.card import salt_file_problem
from drivers.terminal_payter.messages import HoldUpdate, parse_update
from drivers.terminal_payter.settings import PayterSettings
from drivers.terminal_payter.terminal import PayterTerminal
from drivers.testkit.terminal import check_terminal
from tests.support.busy_machine import stretched
from tests.support.certificate_authorities import Authority
from tests.support.terminal_process import Apollo, heard, running

LAG_S = 2.0
"""The machine that runs the tests may be busy."""


async def hold(apollo: Apollo, port: TerminalPort, behaviour: str = "approve", **card: Any) -> Approved:
    news = port.news()
    await port.offer(5000)
    await apollo.tap(behaviour, **card)
    assert isinstance(await heard(news), CardRead)
    await port.authorize()
    approved = await heard(news)
    assert isinstance(approved, Approved), approved
    return approved


@pytest.mark.parametrize("line", ["tcp", "tls", "serial"])
async def test_keeps_the_contract(tmp_path: Path, line: str) -> None:
    authority = Authority(tmp_path) if line == "tls" else None
    async with running(tmp_path, line, authority=authority) as apollo:
        await check_terminal(apollo.opened, apollo.world, timeout_s=stretched(10.0), lag_s=LAG_S)


@pytest.mark.parametrize(
    "keys",
    [{"extended": True}, {"start_extras": False, "dol_tags": ""}, {"badges": True, "get_receipt": 0x45}],
    ids=str,
)
async def test_open_points_as_a_terminal_may_have_them(tmp_path: Path, keys: dict[str, Any]) -> None:
    async with running(tmp_path) as apollo:
        await check_terminal(lambda: apollo.opened(**keys), apollo.world, timeout_s=stretched(10.0), lag_s=LAG_S)


@pytest.mark.parametrize("answers", ["either", "none"])
async def test_an_order_without_a_result_is_taken_by_its_effect(tmp_path: Path, answers: str) -> None:
    mute = running(tmp_path, "tcp", "--mute-orders")
    async with mute as apollo, apollo.opened(orders_answer=answers) as port:
        assert (await hold(apollo, port)).amount_cents == 5000
        assert (await hold(apollo, port)).amount_cents == 5000
        for number in (1, 2):
            assert await port.void(number) is Settlement.DONE


async def test_an_approval_has_the_words_of_the_acquirer(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, apollo.opened() as port:
        approved = await hold(apollo, port)
        number = approved.reservation
        assert approved.acquirer == AcquirerRecord(f"HTR{number:08}", "00", f"SIM,{number:06}")


async def test_an_approval_without_card_data_has_no_words_of_the_acquirer(tmp_path: Path) -> None:
    async with running(tmp_path, "tcp", "--bare") as apollo, apollo.opened() as port:
        assert (await hold(apollo, port)).acquirer == AcquirerRecord()


@pytest.mark.parametrize("more", [(), ("--mute-orders",)], ids=["a result comes too", "the answer alone"])
async def test_a_hold_is_raised_to_a_total(tmp_path: Path, more: tuple[str, ...]) -> None:
    """Update Session (0x42) and its result (0x43); while the bank thinks, the terminal takes other orders."""
    async with running(tmp_path, "tcp", *more) as apollo, apollo.opened() as port:
        first, second = await hold(apollo, port), await hold(apollo, port, last4="9876")
        assert isinstance(port, PayterTerminal)
        both = await asyncio.gather(port.raise_hold(first.reservation, 7000), port.raise_hold(second.reservation, 6000))
        assert both == [7000, 6000]
        assert await port.raise_hold(first.reservation, 7000) == 7000, "twice the same total does no harm"
        assert (await apollo.books()).holds == {first.reservation: 7000, second.reservation: 6000}
        assert await port.commit(first.reservation, 6999) is Settlement.DONE
        assert await port.commit(second.reservation, 6001) is Settlement.REFUSED
        assert await port.raise_hold(first.reservation, 9000) is None, "it is settled"


@pytest.mark.parametrize(("behaviour", "held"), [("raise_none", None), ("raise_part", 6000)])
async def test_a_bank_may_hold_less_than_it_is_asked_for(tmp_path: Path, behaviour: str, held: int | None) -> None:
    async with running(tmp_path) as apollo, apollo.opened() as port:
        approved = await hold(apollo, port, behaviour)
        assert isinstance(port, PayterTerminal)
        assert await port.raise_hold(approved.reservation, 7000) == held
        assert (await apollo.books()).holds == {approved.reservation: held or 5000}


async def test_a_terminal_that_cannot_raise_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, apollo.opened() as port:
        approved = await hold(apollo, port)
        assert isinstance(port, PayterTerminal)
        await apollo.spoil("refuse", code=0x42, detail=0x0D)
        assert await port.raise_hold(approved.reservation, 7000) is None
        assert await port.void(approved.reservation) is Settlement.DONE


async def test_a_raise_without_an_answer_is_unreachable_and_may_have_happened(tmp_path: Path) -> None:
    """The line is lost behind the order; asked again on the next one, the total is the same."""
    async with running(tmp_path, "tcp", "--bank-s", str(stretched(2.0))) as apollo:
        async with apollo.opened() as port:
            approved = await hold(apollo, port, bank_s=0.05)
            assert isinstance(port, PayterTerminal)
            raising = asyncio.create_task(port.raise_hold(approved.reservation, 7000))
            while not port._updates:
                await asyncio.sleep(0.01)
            await apollo.spoil("hang_up", code=0x26)
            with contextlib.suppress(Unreachable, Garbled):
                await port._dialogue.request_status()
            with pytest.raises(Unreachable):
                await raising
        async with apollo.opened() as port:
            assert isinstance(port, PayterTerminal)
            assert await port.raise_hold(approved.reservation, 7000) == 7000
            assert await port.commit(approved.reservation, 7000) is Settlement.DONE
            assert (await apollo.books()).captures == [(approved.reservation, 7000)]


def test_the_result_of_a_raise_on_the_wire() -> None:
    """0x43: outcome, session, amount, change, reason."""
    whole = bytes.fromhex("00 00000007 00001B58 000007D0 00")
    assert parse_update(whole) == HoldUpdate(7, 7000)
    assert parse_update(b"\x01" + whole[1:]) == HoldUpdate(7, 7000)
    assert parse_update(b"\x02" + whole[1:-1] + b"\x09") == HoldUpdate(7, None, 9)
    assert parse_update(whole[:9]) == HoldUpdate(7, 7000)
    assert parse_update(whole[:8]) is None


async def test_every_reason_to_decline_is_a_word(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, apollo.opened() as port:
        news, reasons = port.news(), set()
        for behaviour in DECLINES:
            await port.offer(100)
            await apollo.tap(behaviour)
            assert isinstance(await heard(news), CardRead)
            await port.authorize()
            report = await heard(news)
            assert isinstance(report, Declined), behaviour
            reasons.add(report.reason)
        assert len(reasons) == len(DECLINES)
        assert "insufficient funds" in reasons
        assert (await apollo.books()).holds == {}


async def test_a_card_that_is_taken_away_too_soon(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, apollo.opened() as port:
        await port.offer(100)
        await apollo.tap("timeout")
        assert await heard(port.news()) == Declined("card read timeout")
        await port.offer(100)  # it is free again


async def test_an_approval_that_crosses_the_cancel_is_reported(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, apollo.opened() as port:
        news = port.news()
        await port.offer(5000)
        await apollo.tap("cross")
        await heard(news)
        await port.authorize()
        await port.cancel()
        report = await heard(news)
        assert isinstance(report, Approved)
        assert await port.void(report.reservation) is Settlement.DONE
        assert (await apollo.books()).holds == {}


async def test_an_approval_that_is_sent_again_is_reported_once(tmp_path: Path) -> None:
    """While the terminal waits for the next card: the driver of the first one charges on that hold."""
    async with running(tmp_path) as apollo, apollo.opened() as port:
        first = await hold(apollo, port)
        await apollo.spoil("approval_again", code=commands.To.START)
        second = await hold(apollo, port, last4="5678")
        assert second.reservation != first.reservation
        assert set((await apollo.books()).holds) == {first.reservation, second.reservation}


@pytest.mark.parametrize("what", ["garbage", "wrong_magic", "bad_checksum", "split", "merge"])
async def test_noise_on_the_line(tmp_path: Path, what: str) -> None:
    """Spoils the card's message; what cannot be repaired ends the offer, it does not stay open for ever."""
    pauses: dict[str, Any] = {"keep_alive_s": stretched(0.1), "gap_ms": round(stretched(60))}
    async with running(tmp_path, "serial") as apollo, apollo.opened(**pauses) as port:
        news = port.news()
        await port.offer(5000)
        await apollo.spoil("event_first", code=0x36)
        for _ in range(2):
            await apollo.spoil(what)
        await apollo.tap()
        report = await heard(news)
        if isinstance(report, CardRead):
            await port.authorize()
            report = await heard(news)
            assert isinstance(report, Approved)
            assert await port.commit(report.reservation, 1234) is Settlement.DONE
            assert (await apollo.books()).captures == [(report.reservation, 1234)]


async def test_a_lost_reply_to_a_commit_is_unreachable_and_the_next_one_says_closed(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo:
        async with apollo.opened() as port:
            outcome = await hold(apollo, port)
            await apollo.spoil("lose_reply", code=0x35)
            with pytest.raises(Unreachable):
                await port.commit(outcome.reservation, 1234)
            with pytest.raises(Unreachable):  # a late answer would be taken for the next one's
                await port.void(outcome.reservation)
            with pytest.raises(Unreachable):
                await heard(port.news())
        async with apollo.opened() as port:
            assert await port.commit(outcome.reservation, 1234) is Settlement.CLOSED
        books = await apollo.books()
        assert (books.captures, books.holds) == ([(outcome.reservation, 1234)], {})


async def test_a_late_reply_to_a_commit_is_waited_for(tmp_path: Path) -> None:
    reply_s = stretched(0.5)
    patience = {"reply_s": reply_s, "settle_s": 10 * reply_s, "keep_alive_s": 0.1}
    async with running(tmp_path) as apollo, apollo.opened(**patience) as port:
        outcome = await hold(apollo, port)
        await apollo.spoil("delay_reply", code=0x35, s=2 * reply_s)
        assert await port.commit(outcome.reservation, 1234) is Settlement.DONE


async def test_refusals_of_a_commit(tmp_path: Path) -> None:
    refused = dict.fromkeys((0x10, 0x11, 0x05), Settlement.REFUSED)
    async with running(tmp_path) as apollo, apollo.opened() as port:
        hold_outcome = await hold(apollo, port)
        for detail, outcome in {**refused, 0x0C: Settlement.CLOSED}.items():
            await apollo.spoil("refuse", code=0x35, detail=detail)
            assert await port.commit(hold_outcome.reservation, 1) is outcome, detail
        assert await port.commit(hold_outcome.reservation, 1) is Settlement.DONE


async def test_a_wrong_sum_is_sent_again(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, apollo.opened() as port:
        outcome = await hold(apollo, port)
        await apollo.spoil("refuse", code=0x35, detail=0x04)
        assert await port.commit(outcome.reservation, 1) is Settlement.DONE


async def test_a_number_that_exists_already_gets_the_next_one(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, apollo.opened() as port:
        await apollo.spoil("refuse", code=0x34, detail=0x0B)
        assert (await hold(apollo, port)).reservation == 1


async def test_not_ready_after_power_up_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo:
        for _ in range(3):
            await apollo.spoil("refuse", code=0x23, detail=0x11)
        async with apollo.opened() as port:
            await hold(apollo, port)


async def test_a_restart_that_the_line_does_not_notice(tmp_path: Path) -> None:
    """The state is lost, the hold is not: it is prepared again, reported, and the hold is settled."""
    async with running(tmp_path, "serial") as apollo, apollo.opened(keep_alive_s=0.1, sync_every_s=0.02) as port:
        outcome, news = await hold(apollo, port), port.news()
        await port.offer(100)
        await apollo.do("restart")
        assert await heard(news) == Restarted()
        assert await port.commit(outcome.reservation, 1234) is Settlement.DONE
        await hold(apollo, port)


async def test_a_commit_right_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, "serial") as apollo, apollo.opened() as port:
        outcome = await hold(apollo, port)
        await apollo.do("restart")
        assert await port.commit(outcome.reservation, 1234) is Settlement.DONE
        assert await heard(port.news()) == Restarted()
        assert (await apollo.books()).captures == [(outcome.reservation, 1234)]


async def test_another_terminal_at_the_same_serial_line_is_not_charged(tmp_path: Path) -> None:
    """Exchanged so quickly that no question went unanswered: it is reported as another before it is asked for money."""
    async with running(tmp_path, "serial") as apollo:
        async with apollo.opened() as port:
            outcome = await hold(apollo, port)
            await apollo.do("restart", serial="APO0043SIM")
            with pytest.raises(Unreachable):
                await port.commit(outcome.reservation, 1234)
            assert (await apollo.books()).captures == []
        async with apollo.opened() as port:
            assert port.identity.serial == "APO0043SIM"


async def test_an_offer_that_meets_a_restart_is_refused_and_the_next_one_is_taken(tmp_path: Path) -> None:
    async with running(tmp_path, "serial") as apollo, apollo.opened() as port:
        await apollo.do("restart")
        with pytest.raises(Refused):
            await port.offer(100)
        assert await heard(port.news()) == Restarted()
        await hold(apollo, port)


async def test_a_power_cut_ends_the_connection_and_a_new_one_settles(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo:
        async with apollo.opened() as port:
            outcome = await hold(apollo, port)
            await apollo.power_cycle()
            with pytest.raises(Unreachable):
                await heard(port.news())
        async with apollo.opened() as port:
            assert await port.void(outcome.reservation) is Settlement.DONE


async def test_an_approval_that_came_before_the_line_went_is_reported(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, apollo.opened() as port:
        news = port.news()
        await port.offer(5000)
        await apollo.tap()
        read = await heard(news)
        await port.authorize()
        while not (await apollo.books()).holds:
            await asyncio.sleep(0.01)
        with contextlib.suppress(Unreachable):
            await port.cancel()  # there is time for the approval to come
        await apollo.down()
        with pytest.raises(Unreachable):
            await port.void(999)
        report = await heard(news)
        assert isinstance(report, Approved)
        assert isinstance(read, CardRead)
        assert report.card == read.card
        with pytest.raises(Unreachable):
            await heard(news)


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("keys", [{}, {"extended": True}])
async def test_a_bank_that_a_process_before_has_asked_is_heard(tmp_path: Path, keys: dict[str, Any], lost: int) -> None:
    """The line did not notice that it died: were the terminal prepared again, the hold would stay unknown, also after
    an answer that was ``lost``."""
    keys = {"sync_every_s": stretched(0.3), **keys}
    async with running(tmp_path, "serial") as apollo:
        async with apollo.opened(**keys) as port:
            news = port.news()
            await port.offer(5000)
            await apollo.tap(bank_s=stretched(2.0))
            await heard(news)
            await port.authorize()
        assert (await apollo.books()).holds == {}
        for _ in range(lost):
            await apollo.spoil("lose_reply", code=0x26)
        async with apollo.opened(**keys) as port:
            report = await heard(port.news())
            assert isinstance(report, Approved), report
            assert await port.void(report.reservation) is Settlement.DONE
            assert (await apollo.books()).holds == {}
            await hold(apollo, port)


async def test_a_card_that_a_process_before_has_read_is_sent_away(tmp_path: Path) -> None:
    async with running(tmp_path, "serial") as apollo:
        async with apollo.opened() as port:
            await port.offer(5000)
            await apollo.tap()
            await heard(port.news())
        async with apollo.opened() as port:
            await hold(apollo, port)


async def test_an_offer_that_the_terminal_forgot_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """The end of an offer was lost on the way: the next one is refused, a cancel mends it."""
    async with running(tmp_path, "serial") as apollo, apollo.opened() as port:
        await port.offer(100)
        await apollo.do("restart")
        with pytest.raises(Refused):
            await port.offer(100)
        await port.cancel()
        assert await heard(port.news()) == Restarted()
        await hold(apollo, port)


async def test_an_approval_that_repeats_nothing_of_the_card_is_for_the_card_that_was_read(tmp_path: Path) -> None:
    async with running(tmp_path, "tcp", "--bare") as apollo, apollo.opened() as port:
        approved = await hold(apollo, port, last4="4242")
        assert approved.card is not None
        assert (approved.card.last4, approved.card.brand, len(approved.card.mark)) == ("4242", "VISA", 32)


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_card_of_an_approval_is_reported_as_it_is_said(tmp_path: Path, trusted: bool) -> None:
    """An approval for another card than was read is voided; unless hashes differ at this terminal anyway."""
    async with running(tmp_path) as apollo, apollo.opened(approval_hash=trusted) as port:
        mine = await hold(apollo, port, last4="1111")
        late = await hold(apollo, port, last4="1111", said_as="2222")
        assert mine.card is not None
        assert late.card is not None
        assert (mine.card.mark == late.card.mark) is not trusted
        assert late.card.last4 == "2222"


async def test_kept_awake_beyond_the_terminals_idle_time(tmp_path: Path) -> None:
    idle_s = stretched(1.0)
    async with running(tmp_path, "tcp", "--idle-s", str(idle_s)) as apollo:
        async with apollo.opened(keep_alive_s=0.15) as port:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(port.news()), 2.4 * idle_s)
        async with apollo.opened(keep_alive_s=15) as port:
            with pytest.raises(Unreachable):
                await heard(port.news())


async def test_away_from_its_bank_it_declines_and_settles_later(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, apollo.opened() as port:
        outcome, news = await hold(apollo, port), port.news()
        await apollo.do("online", online=False)
        assert await port.commit(outcome.reservation, 1234) is Settlement.DONE
        assert (await apollo.books()).captures == []
        await port.offer(100)
        await apollo.tap()
        assert isinstance(await heard(news), CardRead)
        await port.authorize()
        assert isinstance(await heard(news), Declined)
        await apollo.do("online", online=True)
        books = await apollo.books()
        assert (books.captures, books.holds) == ([(outcome.reservation, 1234)], {})


async def test_what_no_one_settles_is_given_back_never_charged(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, apollo.opened() as port:
        outcome = await hold(apollo, port)
        await apollo.do("elapse", s=259_201)
        books = await apollo.books()
        assert (books.holds, books.captures, books.voids) == ({}, [], [outcome.reservation])
        assert await port.commit(outcome.reservation, 1) is Settlement.CLOSED


async def test_the_other_time_out_would_charge_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The far end takes the driver at its word: a wrong one would be seen."""
    monkeypatch.setattr(commands, "VOID_ON_TIMEOUT", 0x00)
    async with running(tmp_path) as apollo, apollo.opened() as port:
        outcome = await hold(apollo, port)
        await apollo.do("elapse", s=259_201)
        assert (await apollo.books()).captures == [(outcome.reservation, 5000)]


async def test_an_unwatched_terminal_gives_the_offer_up(tmp_path: Path) -> None:
    """The end of the offer was lost on the way."""
    async with running(tmp_path, "serial") as apollo, apollo.opened(keep_alive_s=0.1, gap_ms=50) as port:
        news = port.news()
        await port.offer(100)
        await apollo.tap()
        assert isinstance(await heard(news), CardRead)
        for _ in range(3):  # its result, "complete" and the approval
            await apollo.spoil("bad_checksum")
        with pytest.raises((Unreachable, Refused)):
            await port.authorize()


async def test_the_amount_is_on_its_screen_in_the_language_of_the_station(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, apollo.opened(select_language=0x40) as port:
        await port.offer(5000, "R-1", "fr")
        seen = await apollo.do("picture")
        assert (seen["screen"], seen["language"], seen["qr"]) == (["Present card", "50.00 EUR"], "fr", "")


async def test_who_it_is(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo, apollo.opened() as port:
        who = port.identity
        assert (who.vendor, who.model, who.serial) == ("Payter", "APOLLO", "APO0042SIM")
        assert who.firmware == "platform 1.2 psp 3.1"


async def test_one_that_does_not_tell_is_known_by_the_station_file(tmp_path: Path) -> None:
    async with running(tmp_path, "tcp", "--nameless") as apollo:
        for serial in ("APO0042SIM", "APO0043SIM", ""):
            async with apollo.opened(serial=serial) as port:
                assert port.identity.serial == serial
                await hold(apollo, port)


async def test_or_by_its_certificate(tmp_path: Path) -> None:
    authority, seen = Authority(tmp_path), []
    for n in (1, 1, 2):
        (folder := tmp_path / str(n)).mkdir(exist_ok=True)
        async with running(folder, "tls", "--nameless", authority=authority) as apollo, apollo.opened() as port:
            seen.append(port.identity.serial)
        async with running(folder, "tls", authority=authority) as apollo, apollo.opened(serial="X") as port:
            assert port.identity.serial == "APO0042SIM", "what it says goes first"
    assert all(s.startswith("certificate ") for s in seen)


async def test_or_by_the_station_file_if_what_it_tells_is_empty(tmp_path: Path) -> None:
    async with running(tmp_path, "serial") as apollo:
        await apollo.do("restart", serial="")
        async with apollo.opened(serial="APO0042SIM") as port:
            assert (port.identity.model, port.identity.serial) == ("APOLLO", "APO0042SIM")


async def test_one_that_does_not_answer_for_once_gets_no_second_name(tmp_path: Path) -> None:
    """What it holds under its serial number would be another terminal's."""
    async with running(tmp_path, "tls", authority=Authority(tmp_path)) as apollo:
        for _ in range(2):
            await apollo.spoil("lose_reply", code=0x27)
        async with apollo.opened(reply_s=stretched(0.5)) as port:
            assert port.identity.serial == ""


async def test_a_bank_of_which_neither_the_asking_nor_the_answer_was_heard_is_not_reported_as_cancelled(
    tmp_path: Path,
) -> None:
    """Something may be held: the connection ends, and the waiting call gets the error."""
    async with running(tmp_path, "serial", "--bank-s", "0.05") as apollo:
        async with apollo.opened(gap_ms=60) as port:
            news = port.news()
            await port.offer(5000)
            await apollo.tap()
            assert isinstance(await heard(news), CardRead)
            await apollo.spoil("lose_reply", code=0x36)
            for _ in range(2):
                await apollo.spoil("bad_checksum")
            with pytest.raises(Unreachable):
                await port.authorize()
        assert list((await apollo.books()).holds) == [1]


async def test_an_approval_for_another_card_does_not_end_the_waiting_of_this_one(tmp_path: Path) -> None:
    """If its own answer does not come either, that is reported with the next looks, not after minutes."""
    async with running(tmp_path, "tcp", "--bank-s", "0.05") as apollo, apollo.opened(keep_alive_s=0.1) as port:
        news = port.news()
        await port.offer(5000)
        await apollo.tap(said_as="9999")
        assert isinstance(await heard(news), CardRead)
        await port.authorize()
        assert isinstance(await heard(news), Approved)
        assert isinstance(await heard(news), Restarted)


async def test_no_card_number_is_kept_or_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with running(tmp_path) as apollo, apollo.opened() as port:
            news = port.news()
            await port.offer(5000)
            await apollo.tap(last4="4242")
            read = await heard(news)
            assert isinstance(read, CardRead)
            assert (read.card.last4, read.card.brand, len(read.card.mark)) == ("4242", "VISA", 32)
            assert read.card.mark not in repr(read)
            await port.cancel()
            assert await heard(news) == Cancelled()
    assert "411111" not in caplog.text
    assert read.card.mark not in caplog.text
    salt = tmp_path / "terminal.salt"
    assert salt.stat().st_mode & 0o777 == 0o600


async def test_marks_differ_between_stations(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo:
        marks = []
        for name in ("a", "b"):
            file = tmp_path / name
            file.write_text(f"a long random secret {name}")
            file.chmod(0o600)
            async with apollo.opened(salt_file=file) as port:
                news = port.news()
                await port.offer(100)
                await apollo.tap()
                read = await heard(news)
                assert isinstance(read, CardRead)
                marks.append(read.card.mark)
        assert marks[0] != marks[1]


@pytest.mark.parametrize(("mode", "said"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_salt_that_others_can_read_is_complained_of(tmp_path: Path, mode: int, said: bool) -> None:
    file = tmp_path / "salt"
    file.write_text("a long random secret")
    file.chmod(mode)
    assert (f"mode {mode:04o}" in salt_file_problem(file)) is said


def test_a_salt_that_systemd_hands_over_is_there_only_while_the_service_runs() -> None:
    assert salt_file_problem(Path("/run/credentials/chargy-agent.service/none")) == ""
    assert "No such file" in salt_file_problem(Path("/nowhere/salt"))


async def test_a_terminal_with_another_certificate_is_not_spoken_to(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    async with running(tmp_path, "tls", authority=Authority(tmp_path)) as apollo:
        with pytest.raises(Unreachable, match="certificate"):
            async with apollo.opened(ca_file=Authority(other).root):
                pass
        with pytest.raises(Unreachable, match="certificate"):
            async with apollo.opened(tls_name="another.terminal.lu"):
                pass
        async with apollo.opened(tls_name="localhost"):
            pass


async def test_no_one_there(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="network cable"):
        async with Apollo(tmp_path).opened():
            pass


async def test_a_port_that_answers_something_else(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-no\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Unreachable, match="Synchronize"):
        async with Apollo(tmp_path).opened(port=port, sync_s=0.5):
            pass
    server.close()


@pytest.mark.parametrize(("hours", "fits"), [(0, True), (48, True), (49, False)])
def test_a_terminal_must_not_let_go_of_what_is_still_owed(tmp_path: Path, hours: float, fits: bool) -> None:
    where = Where(0, "terminal", lambda: (1, 0.0), (), StationFacts(state_dir=tmp_path, hold_hours=hours))
    wrong = DRIVER.check(PayterSettings("h"), where)
    assert not wrong if fits else wrong[0].startswith("session_timeout_s: is 259200"), wrong


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "host: is missing"),
        ({"line": "serial"}, "device: is missing"),
        ({"host": "h", "line": "tls"}, "ca_file: is missing"),
        ({"host": "h", "session_timeout_s": 60}, "session_timeout_s: must be"),
        ({"host": "h", "orders_answer": "maybe"}, "orders_answer: must be one of"),
        ({"host": "h", "commit_extra": "0g"}, "commit_extra: must be bytes"),
        ({"host": "h", "salt_file": Path("/nowhere")}, "salt_file: "),
    ],
)
async def test_wrong_settings(keys: dict[str, Any], said: str) -> None:
    settings = PayterSettings(**keys)
    where = Apollo(Path()).where
    assert any(said in line for line in DRIVER.check(settings, where))
    with pytest.raises(Broken):
        async with DRIVER.open(settings, where):
            pass
