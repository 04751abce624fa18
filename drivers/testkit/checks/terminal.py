"""Checks of a payment terminal. Money is held on a card that somebody holds to it for that, and given back at once."""

from __future__ import annotations

from typing import Any

from agent.bankcards import Settlement
from agent.ports.terminal import Approved, Cancelled, CardRead, TerminalNews
from agent.ports.verify import Bench, Check, Deed, Mood
from drivers.testkit.checks.common import BACK_S, Told, anew, must_fail

CENTS = 100
SOON_S = 10.0


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
        await port.authorise()
        told = await news.next("the bank was asked", BACK_S)
        assert isinstance(told, Approved), f"{bench.name}: the bank was asked, and {type(told).__name__} was told"
        settled = await port.void(told.reservation)
        assert settled is Settlement.DONE, f"{bench.name}: reservation {told.reservation} was not given back: {settled}"
        wrong = f"{bench.name}: {CENTS} cents were asked for, {told.amount_cents} were held: amount_scale?"
        assert told.amount_cents == CENTS, wrong
    return f"{CENTS} cents were held, and given back"


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
