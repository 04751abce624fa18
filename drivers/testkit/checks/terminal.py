"""Checks of a payment terminal. Money is held on a card that somebody holds to it for that, and given back at once."""

from __future__ import annotations

from typing import Any

from agent.model.bank_card import Settlement
from agent.ports import DeviceError
from agent.ports.terminal import Approved, Cancelled, CardRead, TerminalNews
from agent.ports.verify import Bench, Check, Deed, Mood
from drivers.testkit.checks.common import Told, anew, must_fail

CENTS = 100
SOON_S = 10.0
BANK_S = 120.0
"""A bank that says nothing for so long has lost the question: terminals give up after half of it at most."""
HELD = (
    f"{CENTS / 100:.2f} may still be held on the card: have whoever runs the terminals release it (it is in their list "
    "of reservations); otherwise the card's bank does, in some days"
)


async def identity(bench: Bench) -> str:
    async with bench.direct() as port:
        i = port.identity
    for name in ("vendor", "model", "serial", "firmware"):
        if getattr(i, name, ""):
            bench.measured(name, getattr(i, name))
    return f"{getattr(i, 'vendor', '')} {getattr(i, 'model', '')}, serial {getattr(i, 'serial', '') or 'not told'}"


async def offer(bench: Bench) -> str:
    """An offer that nobody takes is taken back, and the terminal is free again."""
    async with bench.direct() as port:
        for _ in range(2):
            await _offer(bench, port)
    return "offered and taken back, twice"


async def _offer(bench: Bench, port: Any) -> None:
    async with Told[TerminalNews](bench, port.news()) as news:
        await port.offer(CENTS)
        await port.cancel()
        told = await news.next("the offer was taken back", SOON_S)
        assert isinstance(told, Cancelled), (
            f"{bench.name}: the offer was taken back, and {type(told).__name__} was told"
        )


async def hold(bench: Bench) -> str:
    """Read, hold, give back. What was held is given back on every way out that can know its number."""
    what = f"{CENTS / 100:.2f} are held on it and given back at once"
    async with bench.direct() as port, Told[TerminalNews](bench, port.news()) as news:
        await port.offer(CENTS)
        await bench.hand(Deed.BANK_CARD, what)
        read = await news.next("a card was held to the terminal", bench.patience_s)
        assert isinstance(read, CardRead), f"{bench.name}: a card was held, and {type(read).__name__} was told"
        return await bench.to_the_end(_held(bench, port, news))


async def _held(bench: Bench, port: Any, news: Told[TerminalNews]) -> str:
    """From the question to the bank on somebody's money is at stake: an answer that is late, or that nobody waits for
    any more, is waited for and given back all the same."""
    try:
        await port.authorise()
        told = await news.next("the bank was asked", BANK_S)
    except (AssertionError, DeviceError) as e:
        raise AssertionError(f"{e}; {HELD}") from e
    assert isinstance(told, Approved), f"{bench.name}: the bank was asked, and {type(told).__name__} was told"
    await _given_back(bench, port, told.reservation)
    wrong = f"{bench.name}: {CENTS} cents were asked for, {told.amount_cents} were held: amount_scale?"
    assert told.amount_cents == CENTS, wrong
    return f"{CENTS} cents were held, and given back"


async def _given_back(bench: Bench, port: Any, reservation: int) -> None:
    """Without an answer it may have happened: asked again with the same number, as the agent does, on a new line. Then
    nothing is there any more, or it goes now."""
    gone = {Settlement.DONE}
    try:
        try:
            settled = await port.void(reservation)
        except DeviceError:
            gone.add(Settlement.CLOSED)
            async with bench.direct() as again:
                settled = await again.void(reservation)
    except DeviceError as e:
        raise AssertionError(f"{bench.name}: reservation {reservation} was not given back: {e}; {HELD}") from e
    assert settled in gone, f"{bench.name}: reservation {reservation} was not given back: {settled}; {HELD}"


async def silence(bench: Bench) -> str:
    async with bench.shimmed() as (port, shim):
        await shim.set(Mood.SILENT)
        await must_fail(bench, _look, port, "the terminal is silent, and an offer was taken")
        await shim.set(Mood.PASS)
    return f"silence is Unreachable; {await anew(bench, _taken_back)}"


async def disconnect(bench: Bench) -> str:
    async with bench.shimmed() as (port, shim):
        await shim.set(Mood.CUT)
        await must_fail(bench, _look, port, "the line is cut, and an offer was taken")
        await shim.set(Mood.PASS)
    return f"a cut line is Unreachable; {await anew(bench, _taken_back)}"


async def _look(port: Any) -> None:
    await port.offer(CENTS)


async def _taken_back(port: Any) -> None:
    await port.offer(CENTS)
    await port.cancel()


CHECKS = (
    Check("terminal", "identity", identity),
    Check("terminal", "offer", offer),
    Check("terminal", "hold", hold),
    Check("terminal", "silence", silence),
    Check("terminal", "disconnect", disconnect),
)
