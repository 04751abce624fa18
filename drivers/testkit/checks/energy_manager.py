"""Checks of an energy manager."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

from agent.model.energy_manager import LimitReport
from agent.ports.verify import Check, DeviceUnderTest, Skipped
from drivers.testkit.checks.common import bus_checks

LIFE_S = 15.0
"""An unchanged limit is reported again within so many seconds: it is the sign of life."""
FOLLOWS_S = 5.0
"""How long a limit that was just set may take to be reported."""
LOOK_S = 2.0
REPORTS = 3
CLOSE = 0.01


async def await_next_report(port: Any) -> LimitReport:
    async with aclosing(port.limits()) as reports, asyncio.timeout(LIFE_S):
        report: LimitReport = await anext(reports)
        return report


async def check_life_signs(bench: DeviceUnderTest) -> str:
    """Check that the limit is reported, and again as a sign of life while it does not change."""
    longest_s = 0.0
    async with bench.open_port() as port, aclosing(port.limits()) as reports:
        for number in range(REPORTS):
            began_s = time.monotonic()
            try:
                async with asyncio.timeout(LIFE_S):
                    report: LimitReport = await anext(reports)
            except TimeoutError:
                raise AssertionError(
                    f"{bench.name}: no {'first' if number == 0 else 'further'} report within {LIFE_S:g} s: it counts as"
                    " silent; does its counter of life stand still?"
                ) from None
            assert not report.problem, f"{bench.name}: {report.problem}; correct register, type or table"
            longest_s = max(longest_s, time.monotonic() - began_s)
    bench.record_figure("longest_pause_ms", longest_s * 1000)
    return f"{REPORTS} reports, at most {longest_s:.1f} s apart"


async def check_reported_limit(bench: DeviceUnderTest) -> str:
    """Compare the limit with the one that the energy manager shows."""
    question = "set a limit at the energy manager: how many watts (rate_unit A: amperes) does it show?"
    answer = await bench.reference_value("limit_w", question)
    try:
        shown = float(answer)
    except ValueError:
        raise Skipped(f"{answer!r} is no number: {question}") from None
    deadline_s, report = time.monotonic() + FOLLOWS_S, LimitReport()
    async with bench.open_port() as port:
        while time.monotonic() < deadline_s:
            report = await await_next_report(port)
            if report.limit is not None and abs(report.limit - shown) <= max(1.0, CLOSE * shown):
                return f"{report.limit:g}, as it shows"
            await asyncio.sleep(0.1)
    found = report.problem or ("no limit" if report.limit is None else f"{report.limit:g}")
    raise AssertionError(
        f"{bench.name}: it shows {shown:g}, {found} is read; wrong register, type, scale or word order"
    )


def describe_difference(before: LimitReport, now: LimitReport) -> str:
    """Return what is wrong with a report that follows another one while the limit does not change."""
    return "" if now.problem or now.limit == before.limit else f"{now.limit} after {before.limit}"


CHECKS = (
    Check("energy_manager", "reports", check_life_signs),
    Check("energy_manager", "limit", check_reported_limit),
    *bus_checks("energy_manager", await_next_report, describe_difference, LOOK_S),
)
