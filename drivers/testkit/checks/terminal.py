"""Checks of a payment terminal. Money is held on the technician's card and released at once."""

from __future__ import annotations

from typing import Any

from agent.model.bank_card import Settlement
from agent.ports import DeviceError
from agent.ports.terminal import Approved, Cancelled, CardRead, TerminalNews
from agent.ports.verify import Action, Check, DeviceUnderTest, FaultMode
from drivers.testkit.checks.common import PortEvents, expect_unreachable, reopen_after_failure

CENTS = 100
SOON_S = 10.0
BANK_S = 120.0
"""After this time the bank has lost the question: terminals give up after half of it at most."""
HELD = (
    f"{CENTS / 100:.2f} may still be held on the card: ask the operator of the terminals to release it (it is in the "
    "list of reservations); otherwise the card's bank does so in some days"
)


async def check_identity(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as port:
        i = port.identity
    for name in ("vendor", "model", "serial", "firmware"):
        if getattr(i, name, ""):
            bench.record_figure(name, getattr(i, name))
    return f"{getattr(i, 'vendor', '')} {getattr(i, 'model', '')}, serial {getattr(i, 'serial', '') or 'not reported'}"


async def check_offer(bench: DeviceUnderTest) -> str:
    """Make an offer and cancel it. The terminal must be free again."""
    async with bench.open_port() as port:
        for _ in range(2):
            await _offer_and_cancel(bench, port)
    return "offered and taken back, twice"


async def _offer_and_cancel(bench: DeviceUnderTest, port: Any) -> None:
    async with PortEvents[TerminalNews](bench, port.news()) as news:
        await port.offer(CENTS)
        await port.cancel()
        reported = await news.next_event("the offer was taken back", SOON_S)
        assert isinstance(reported, Cancelled), (
            f"{bench.name}: the offer was cancelled, and {type(reported).__name__} was reported"
        )


async def check_hold(bench: DeviceUnderTest) -> str:
    """Read a card, hold an amount, release it. The hold is released on every way out that knows its number."""
    what = f"{CENTS / 100:.2f} are held on it and given back at once"
    async with bench.open_port() as port, PortEvents[TerminalNews](bench, port.news()) as news:
        await port.offer(CENTS)
        await bench.request_action(Action.BANK_CARD, what)
        read = await news.next_event("a card was held to the terminal", bench.patience_s)
        assert isinstance(read, CardRead), f"{bench.name}: a card was held, and {type(read).__name__} was reported"
        return await bench.finish_uninterrupted(_hold_and_release(bench, port, news))


async def _hold_and_release(bench: DeviceUnderTest, port: Any, news: PortEvents[TerminalNews]) -> str:
    """Ask the bank and release the hold.

    From the question to the bank on, real money is at stake: an answer that is late, or no longer needed, is still
    awaited, and the hold is released.
    """
    try:
        await port.authorize()
        reported = await news.next_event("the bank was asked", BANK_S)
    except (AssertionError, DeviceError) as e:
        raise AssertionError(f"{e}; {HELD}") from e
    assert isinstance(reported, Approved), (
        f"{bench.name}: the bank was asked, and {type(reported).__name__} was reported"
    )
    await _release_hold(bench, port, reported.reservation)
    wrong = f"{bench.name}: {CENTS} cents were requested, {reported.amount_cents} were held: amount_scale?"
    assert reported.amount_cents == CENTS, wrong
    return f"{CENTS} cents were held, and given back"


async def _release_hold(bench: DeviceUnderTest, port: Any, reservation: int) -> None:
    """Release a hold.

    Without an answer it may be released: as the agent does, ask again with the same number on a new connection. Then
    the hold is gone already, or it is released now.
    """
    gone = {Settlement.DONE}
    try:
        try:
            settled = await port.void(reservation)
        except DeviceError:
            gone.add(Settlement.CLOSED)
            async with bench.open_port() as again:
                settled = await again.void(reservation)
    except DeviceError as e:
        raise AssertionError(f"{bench.name}: reservation {reservation} was not given back: {e}; {HELD}") from e
    assert settled in gone, f"{bench.name}: reservation {reservation} was not given back: {settled}; {HELD}"


async def check_silence(bench: DeviceUnderTest) -> str:
    async with bench.open_through_proxy() as (port, shim):
        await shim.set_fault_mode(FaultMode.SILENT)
        await expect_unreachable(bench, _make_offer, port, "the terminal is silent, and an offer was taken")
        await shim.set_fault_mode(FaultMode.PASS)
    return f"silence is Unreachable; {await reopen_after_failure(bench, _make_and_cancel_offer)}"


async def check_disconnect(bench: DeviceUnderTest) -> str:
    async with bench.open_through_proxy() as (port, shim):
        await shim.set_fault_mode(FaultMode.CUT)
        await expect_unreachable(bench, _make_offer, port, "the line is cut, and an offer was taken")
        await shim.set_fault_mode(FaultMode.PASS)
    return f"a cut line is Unreachable; {await reopen_after_failure(bench, _make_and_cancel_offer)}"


async def _make_offer(port: Any) -> None:
    await port.offer(CENTS)


async def _make_and_cancel_offer(port: Any) -> None:
    await port.offer(CENTS)
    await port.cancel()


CHECKS = (
    Check("terminal", "identity", check_identity),
    Check("terminal", "offer", check_offer),
    Check("terminal", "hold", check_hold),
    Check("terminal", "silence", check_silence),
    Check("terminal", "disconnect", check_disconnect),
)
