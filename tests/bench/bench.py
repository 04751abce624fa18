"""``make bench``: what the agent costs, beside the floors, in one run. Compare only figures of one run.

  python -m tests.bench.bench [--rounds N] [--write FILE] [section ...]

start         spawn to BootNotification on the wire, as a multiple of a bare interpreter and of the floor (G1, G3)
instructions  the same in executed instructions (callgrind): alike on a busy machine (G2)
memory        RSS and private pages: link, store and engine alone; what each driver's imports add; the whole (G4)
idle          wake-ups and CPU of a connected station that has nothing to do (G5)
cpu           CPU per triggered MeterValues of nine samples, validation both ways included, without a meter's wire (G6)
encoding      instructions of building, validating and encoding a message (G7)
hold          how long a message holds the event loop, also on a slow disk (G8)
tap           a card to Authorize, and the answer to the contactor (G12)
replay        an offline queue on loopback (G18)
replay_2g     the same over a line as slow as 2G: delay and rate of a relay on loopback (G19)
full          a start with 100,000 messages queued (G20)
fleet         many stations in one process: memory, all accepted, CPU of a MeterValues (G9 to G11)
peers         the same beside floors and other simulators, as a table (``tests.bench.peers`` writes it to a document)

``floor (own frames)`` is the least that an agent in Python can be, ``floor (websockets)`` the least on that library.
``--write`` puts the table between the markers of a document. A figure that cannot be had is skipped and says why.
Nothing here is a test: a machine's mood fails no build.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.bench.backend import Backend, open_backend
from tests.bench.exchange import cpu, encoding, hold
from tests.bench.figures import Figures, table, write
from tests.bench.fleet import fleet
from tests.bench.memory import idle, memory
from tests.bench.peers import CHOSEN, peers
from tests.bench.process import Skipped
from tests.bench.replay import replay
from tests.bench.slow_replay import replay_2g
from tests.bench.starts import full, instructions, start
from tests.bench.taps import tap

SECTIONS: dict[str, tuple[str, Callable[[Backend, Figures, int], Awaitable[None]]]] = {
    "start": ("start to BootNotification on the wire", start),
    "instructions": ("instructions to BootNotification", instructions),
    "memory": ("memory, connected and idle", memory),
    "idle": ("idle: wake-ups and CPU (40 s each)", idle),
    "cpu": ("CPU per triggered MeterValues exchange", cpu),
    "encoding": ("instructions per message", encoding),
    "hold": ("how long a message holds the event loop", hold),
    "tap": ("tap to Authorize, answer to contactor", tap),
    "replay": ("an offline queue of 2,000 messages", replay),
    "replay_2g": ("an offline queue on 2G: 0.6 s, 20 and 40 kbit/s", replay_2g),
    "full": ("a start with 100,000 messages queued", full),
    "fleet": ("many stations in one process", fleet),
    "peers": ("2,000 stations beside others", peers),
}


async def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=9, help="starts per case (default 9)")
    parser.add_argument("--write", type=Path, help="a document with the markers of the table")
    parser.add_argument("--sap", type=Path, help="a built checkout of SAP's simulator, for the section peers")
    parser.add_argument("section", nargs="*", help=f"of {', '.join(SECTIONS)} (default: all)")
    args = parser.parse_args()
    CHOSEN.sap = args.sap
    if unknown := set(args.section) - set(SECTIONS):
        parser.error(f"unknown section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if args.write and args.section:
        parser.error("--write: the table is of one whole run; name no section")
    print(f"python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if any(m.startswith("__editable__") for m in sys.modules):
        print("note: this environment loads an import finder at every start, which blurs `start` and `instructions`;")
        print("      one that `make` has made does not (make clean bench)")
    figures, began, load = Figures(), time.monotonic(), os.getloadavg()[0]
    for number, name in enumerate(wanted := args.section or list(SECTIONS), 1):
        title, measure = SECTIONS[name]
        print(f"[{number}/{len(wanted)}, {time.monotonic() - began:.0f} s] {title}", flush=True)
        async with open_backend() as backend:
            try:
                await measure(backend, figures, args.rounds)
            except (Skipped, TimeoutError, OSError) as e:
                figures.skip(name, str(e) or type(e).__name__)
    if args.write:
        day = time.strftime("%Y-%m-%d")
        write(args.write, table(figures, day, f"{load:.1f} to {os.getloadavg()[0]:.1f}"))
        print(f"written: {args.write}")


if __name__ == "__main__":
    asyncio.run(main())
