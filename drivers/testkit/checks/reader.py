"""Checks of a badge reader. The card's number stays out of the report."""

from __future__ import annotations

import time

from agent.model.types import Token
from agent.ports import Unreachable
from agent.ports.reader import Tap
from agent.ports.verify import Action, Check, DeviceUnderTest, FaultMode, Skipped
from drivers.testkit.checks.common import PortEvents

TAPS = 3
QUIET_S = 1.0
APART_S = 1.0
"""Between two taps, and what the reader's settings add before the same card counts again."""


async def check_taps(bench: DeviceUnderTest) -> str:
    """One card, again and again: each time it is told once, and it is the same one."""
    wanted = await _expected_token(bench)
    async with bench.open_port() as port, PortEvents(bench, port.taps()) as told:
        seen = [await _read_one_tap(bench, told, f"time {n} of {TAPS}") for n in range(1, TAPS + 1)]
    assert len({t.value for t in seen}) == 1, f"{bench.name}: one card was told as {len(set(seen))} different ones"
    bench.record_figure("token_type", seen[0].type.value)
    if not wanted:
        return f"{TAPS} taps, {TAPS} told, always {seen[0].masked_value()}; compare it with the card's number"
    assert seen[0].matches_token(Token(wanted)), (
        f"{bench.name}: {seen[0].masked_value()} was told, the card is {Token(wanted).masked_value()}: uid_order?"
    )
    return f"{TAPS} taps, {TAPS} told, and it is the card's own number"


async def _expected_token(bench: DeviceUnderTest) -> str:
    try:
        return await bench.reference_value("token", "which number shall the card be told as?")
    except Skipped:
        return ""


async def _read_one_tap(bench: DeviceUnderTest, told: PortEvents[Tap], what: str) -> Token:
    await bench.request_action(Action.CARD, what)
    began_s = time.monotonic()
    tap = await told.next_event("a card was held to the reader", bench.patience_s)
    bench.record_figure("last_tap_s", time.monotonic() - began_s)
    assert tap.token is not None, f"{bench.name}: the card was told as {tap.reason}; take one that identifies somebody"
    again = await told.unexpected_event(APART_S + _holdoff_s(bench))
    assert again is None, f"{bench.name}: one presence was told twice (same_card_holdoff_ms, repeat_holdoff_ms?)"
    return tap.token


def _holdoff_s(bench: DeviceUnderTest) -> float:
    keys = ("same_card_holdoff_ms", "repeat_holdoff_ms")
    return sum(float(getattr(bench.settings, key, 0)) for key in keys) / 1000


async def check_ghost_taps(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as port, PortEvents(bench, port.taps()) as told:
        tap: Tap | None = await told.unexpected_event(QUIET_S)
    assert tap is None, f"{bench.name}: no card is there, and one was told; noise on the line, wrong baud rate?"
    return f"{QUIET_S:g} s without a card, nothing was told"


async def check_disconnect(bench: DeviceUnderTest) -> str:
    async with bench.open_through_proxy() as (port, shim), PortEvents(bench, port.taps()) as told:
        await shim.set_fault_mode(FaultMode.CUT)
        try:
            tap = await told.next_event("the reader was pulled", 10.0)
        except Unreachable:
            pass
        else:
            raise AssertionError(f"{bench.name}: the reader was pulled, and {tap} was told")
    async with bench.open_port() as port, PortEvents(bench, port.taps()) as told:
        token = await _read_one_tap(bench, told, "once more")
    return f"a pulled reader is Unreachable; opened again, {token.masked_value()} is told"


CHECKS = (
    Check("reader", "ghosts", check_ghost_taps),
    Check("reader", "taps", check_taps),
    Check("reader", "disconnect", check_disconnect),
)
