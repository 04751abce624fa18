"""Checks of a card reader. The number of the card is not in the report."""

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
"""Time between two taps. The reader's settings add to it before the same card counts again."""


async def check_taps(bench: DeviceUnderTest) -> str:
    """Hold one card to the reader several times. Each tap must be reported once, with the same token."""
    wanted = await _expected_token(bench)
    async with bench.open_port() as port, PortEvents(bench, port.taps()) as reported:
        seen = [await _read_one_tap(bench, reported, f"time {n} of {TAPS}") for n in range(1, TAPS + 1)]
    assert len({t.value for t in seen}) == 1, f"{bench.name}: one card was reported as {len(set(seen))} different ones"
    bench.record_figure("token_type", seen[0].type.value)
    if not wanted:
        return f"{TAPS} taps, {TAPS} reported, always {seen[0].masked_value()}; compare it with the card's number"
    assert seen[0].matches_token(Token(wanted)), (
        f"{bench.name}: {seen[0].masked_value()} was reported, the card is {Token(wanted).masked_value()}: uid_order?"
    )
    return f"{TAPS} taps, {TAPS} reported, and it is the card's own number"


async def _expected_token(bench: DeviceUnderTest) -> str:
    try:
        return await bench.reference_value("token", "which number is expected for the card?")
    except Skipped:
        return ""


async def _read_one_tap(bench: DeviceUnderTest, reported: PortEvents[Tap], what: str) -> Token:
    await bench.request_action(Action.CARD, what)
    began_s = time.monotonic()
    tap = await reported.next_event("a card was held to the reader", bench.patience_s)
    bench.record_figure("last_tap_s", time.monotonic() - began_s)
    assert tap.token is not None, f"{bench.name}: the card was reported as {tap.reason}; use one with an id of its own"
    again = await reported.unexpected_event(APART_S + _holdoff_s(bench))
    assert again is None, f"{bench.name}: one presence was reported twice (same_card_holdoff_ms, repeat_holdoff_ms?)"
    return tap.token


def _holdoff_s(bench: DeviceUnderTest) -> float:
    keys = ("same_card_holdoff_ms", "repeat_holdoff_ms")
    return sum(float(getattr(bench.settings, key, 0)) for key in keys) / 1000


async def check_ghost_taps(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as port, PortEvents(bench, port.taps()) as reported:
        tap: Tap | None = await reported.unexpected_event(QUIET_S)
    assert tap is None, f"{bench.name}: no card is there, and one was reported; noise on the line, wrong baud rate?"
    return f"{QUIET_S:g} s without a card, nothing was reported"


async def check_disconnect(bench: DeviceUnderTest) -> str:
    async with bench.open_through_proxy() as (port, shim), PortEvents(bench, port.taps()) as reported:
        await shim.set_fault_mode(FaultMode.CUT)
        try:
            tap = await reported.next_event("the reader was pulled", 10.0)
        except Unreachable:
            pass
        else:
            raise AssertionError(f"{bench.name}: the reader was pulled, and {tap} was reported")
    async with bench.open_port() as port, PortEvents(bench, port.taps()) as reported:
        token = await _read_one_tap(bench, reported, "once more")
    return f"a pulled reader is Unreachable; opened again, {token.masked_value()} is reported"


CHECKS = (
    Check("reader", "ghosts", check_ghost_taps),
    Check("reader", "taps", check_taps),
    Check("reader", "disconnect", check_disconnect),
)
