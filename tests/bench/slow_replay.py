"""A queue that has grown off line, over a line as slow as 2G: merged beside one by one, plain and compressed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agent.domain.messages import StopReason, TransactionEnded, TransactionStarted, TriggerReason
from agent.model.types import Stamp, Token
from tests.bench import encoding
from tests.bench.backend import Backend, open_backend
from tests.bench.figures import Figures, Goal
from tests.bench.process import AGENT, Skipped, spawned
from tests.bench.slow_line import ROUND_TRIP_S, SlowLine, slow_line
from tests.bench.starts import fill
from tests.bench.stations import booted, folder_of

SAMPLES = 40
DAY_SESSIONS, DAY_SAMPLES = 4, 72
"""A day off line, a sample every five minutes."""
WHY_PLAIN = "40 samples of nine values are 53 kB, which the line carries in 21 s; only compression makes them fewer"
G19 = Goal("G19", "a day off line on 2G, beside one by one as it was", 15, "x", least=True)
G19_DEFLATE = Goal("G19", "40 samples with start and end on 2G, compressed", 4.0, "s")
"""2.76 s for the samples (1.2 of the floor), and two round trips."""
G19_PLAIN = Goal("G19", "40 samples with start and end on 2G, not compressed", 25.2, "s", why=WHY_PLAIN)
ALONE = 'waiting_samples = "travel_alone"\n'


def session_message(number: int, of_session: int) -> Any:
    """A start, so many samples, and an end."""
    session, place = f"s{number // of_session}", number % of_session
    at = Stamp(1, float(300 * number))
    if place == 0:
        return TransactionStarted(session, 1, Token("04A1B2C3"), at, number)
    if place == of_session - 1:
        return TransactionEnded(session, 1, None, at, number, StopReason.LOCAL, TriggerReason.EV_DEPARTED)
    return encoding.message(300 * number, session)


async def replay_2g(backend: Backend, figures: Figures, rounds: int) -> None:
    found = {}
    for compression in (None, "deflate"):
        for merged in (False, True):
            name = f"{'merged' if merged else 'one by one'}, {compression or 'plain'}"
            found[compression, merged], octets, calls = await queue_s(compression, merged, SAMPLES + 2)
            figures.show(
                name, f"{found[compression, merged]:.1f} s", f"{SAMPLES} samples, {calls} CALLs, {octets} octets"
            )
    count = DAY_SESSIONS * (DAY_SAMPLES + 2)
    day_s, octets, calls = await queue_s("deflate", True, count, DAY_SAMPLES + 2)
    single_s = found[None, False] / (SAMPLES + 2) * count
    beside = f"one by one {single_s:.0f} s plain, {found['deflate', False] / (SAMPLES + 2) * count:.0f} s compressed"
    figures.judge(G19, single_s / day_s, f"{count} messages in {calls} CALLs, {day_s:.1f} s, {octets} octets", beside)
    figures.judge(G19_DEFLATE, found["deflate", True], f"one by one {found['deflate', False]:.1f} s")
    figures.judge(G19_PLAIN, found[None, True], f"one by one {found[None, False]:.1f} s")


async def queue_s(compression: str | None, merged: bool, count: int, of_session: int = 0) -> tuple[float, int, int]:
    """Seconds from the first message of the queue to the answer of the last, octets on the line, and CALLs."""
    async with open_backend(compression) as backend, slow_line(backend.port) as line:
        with folder_of(backend) as (folder, file):
            text = file.read_text().replace(f"127.0.0.1:{backend.port}", f"127.0.0.1:{line.port}")
            if not merged:
                (folder / "quirks").mkdir()
                (folder / "quirks" / "alone.toml").write_text(ALONE)
                text = text.replace("[backend]\n", '[backend]\nquirks = "alone"\n')
            file.write_text(text)
            await fill(folder / "state", count, lambda n: session_message(n, of_session or count), of_session or count)
            return await sent_s(file, backend, line, count // (of_session or count), count)


async def sent_s(file: Path, backend: Backend, line: SlowLine, ends: int, count: int) -> tuple[float, int, int]:
    async with spawned([*AGENT, "run", str(file)]) as child:
        await booted(child, backend, within_s=60.0)
        await backend.wait_heard("StartTransaction", 1, within_s=60.0)
        before = line.up.octets + line.down.octets
        last = await backend.wait_heard("StopTransaction", ends, within_s=600.0)
        await asyncio.sleep(ROUND_TRIP_S)
    calls = [(at, p) for at, action, p in backend.heard if action.endswith("Transaction") or action == "MeterValues"]
    sent = sum(len(p.get("meterValue", (0,))) for _, p in calls)
    if sent != count:
        raise Skipped(f"not right: {sent} of {count} messages were sent")
    return last - calls[0][0] + ROUND_TRIP_S, line.up.octets + line.down.octets - before, len(calls)
