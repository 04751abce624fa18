"""From a card to the order that lets the board close the contactor, over a line as slow as 2G: how many round trips.

The agent is the real one, with devices that cost nothing (``tests.bench.inside``). Beside it a client that sends
nothing but Authorize.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import Any

from websockets.asyncio.client import connect

from tests.bench.backend import ACCEPTED, open_backend
from tests.bench.exchange import written
from tests.bench.figures import Figures, Goal
from tests.bench.process import spawned
from tests.bench.slow_line import slow_line
from tests.bench.stations import ASKS, INSIDE, booted, folder_of

TAPS = 5
KNOWN = 'LocalPreAuthorize = "true"\nAuthorizationCacheEnabled = "true"'
G13_KNOWN = Goal("G13", "tap to contactor order on 2G, known card, beside Authorize alone", 0.1, "x")
G13_IDLE = Goal("G13", "tap to contactor order on 2G, idle link, beside Authorize alone", 1.05, "x")
WHY = "the status that has just left takes longer than Authorize alone, and OCPP-J allows one CALL at a time"
G13_BUSY = Goal("G13", "tap to contactor order on 2G, a status in flight, beside Authorize alone", 2.0, "x", why=WHY)


async def tap_2g(figures: Figures) -> None:
    alone_s = await authorize_alone_s()
    figures.show("Authorize alone", f"{alone_s:.3f} s", "a client that does nothing else")
    for goal, settings, link in ((G13_KNOWN, KNOWN, "quiet"), (G13_IDLE, ASKS, "quiet"), (G13_BUSY, ASKS, "busy")):
        found = await taps_s(settings, link)
        taken = sorted(found[1:] if goal is G13_KNOWN else found)  # of the first tap the station knows nothing
        words = f"{taken[0]:.3f} to {taken[-1]:.3f} s, Authorize alone {alone_s:.3f} s"
        figures.judge(goal, statistics.median(taken) / alone_s, words)


async def authorize_alone_s() -> float:
    """Seconds from Authorize to its answer, the median of some."""
    found = []
    options: Any = {"subprotocols": ["ocpp1.6"], "compression": "deflate"}
    async with (
        open_backend("deflate") as backend,
        slow_line(backend.port) as line,
        connect(f"ws://127.0.0.1:{line.port}/FLOOR", **options) as ws,
    ):
        for number in range(TAPS):
            began_s = time.perf_counter()
            await ws.send(json.dumps([2, f"f{number}", "Authorize", {"idTag": "04A1B2C3D4E5F6"}]))
            await ws.recv()
            found.append(time.perf_counter() - began_s)
            await asyncio.sleep(0.2)
    return statistics.median(found)


async def taps_s(settings: str, when: str) -> list[float]:
    """Seconds of each tap, in order. ``when``: the link is quiet, or the status of the vehicle has just left."""
    async with open_backend("deflate") as backend, slow_line(backend.port) as line:
        backend.replies |= {"Authorize": ACCEPTED}
        with folder_of(backend, settings) as (folder, file):
            text = file.read_text().replace(f"127.0.0.1:{backend.port}", f"127.0.0.1:{line.port}")
            file.write_text(text.replace("[settings]", '[link]\nprofile = "gprs"\n[settings]'))
            out = folder / "taps.json"
            argv = [*INSIDE, str(file), "--taps", str(TAPS), str(out), "--link", when]
            async with spawned(argv) as child:
                await booted(child, backend)
                marks: Any = await asyncio.to_thread(written, out, 120.0)
    return [m["released"] - m["tapped"] for m in marks]
