"""docs/boards.md: what the board maps say, as a page for a person who chooses or buys a charge controller."""

from __future__ import annotations

from pathlib import Path

from drivers.evse_modbus import board_map
from drivers.evse_modbus.board_map import BoardMap

CONFIG = Path(__file__).parents[2] / "config"

TEXT = """\
# Charge controller boards on Modbus

Generated from `config/boards/*.toml` by `make docs`. A board is named in the station file by its map: `[board]` with
`driver = "evse_modbus"` and `map = "heidelberg"`; address, baud rate and parity are the board's usual ones unless the
station file says otherwise. Every map runs against a far end that was typed from the maker's table and not from the
map, on the kind of line the board has in life (`tests/drivers/test_boards.py`); **none of these boards was on a bench
here**. What rests on a single source or on memory stands below, board by board. A board that is not on Modbus:
[OpenEVSE](openevse.md); a charger under EVerest: [decision 29](decisions/0029-everest.md).

{table}

* **when the agent dies**: what the board does by itself, `watchdog_s` after it heard the agent for the last time.
  *stops*: no current is offered. The fallback is written when the board is opened, and read back; a board that does
  not take "none" goes on with {least} A, the log says so, and the meter's count shows the energy afterwards.
* **lock**: *freed by order*: UnlockConnector works. *by itself*: the board locks and frees the plug alone,
  UnlockConnector is answered NotSupported (1.6).
* **contactor**: *read*: the board says whether it is closed. *watched*: it does not, but a welded one is an error.
  *assumed*: it is taken as closed while the board is released and the vehicle asks. In all three the meter decides
  whether it has opened: current without release is `ContactorWelded` after 20 s ([faults](faults.md)); and where
  the board does not say it, the end of a session is read again, twice at most, while its vehicle still draws.
* **resume**: *counts*: the board counts the seconds since the plug, which proves after a restart of the agent that
  the vehicle is the same. Without that a session goes on only if the agent was away for less than `resume_within_s`.

## Boards without a watchdog

{dogless}: when the agent's process or its computer dies while a vehicle charges, the board does not notice. It goes on
as long as the vehicle wants, until the agent runs again: opening the board withdraws release before anything else,
and the energy of the time between is in the meter's count and is billed to the session if it can be resumed, or
closed with it. With systemd as delivered (`Restart=always`) that takes seconds after a crash; after a dead computer
it takes a technician.

The agent therefore refuses such a board until the station file says `accept_no_watchdog = true`. Say it only where
something else stops the charge: a relay in the board's enable input (EN or XR on Phoenix Contact boards) that is held
only while the computer's hardware watchdog is fed, or a contactor in the supply with the same guard. `chargy-agent
probe` writes of such a board that it does not stop by itself. As long as the process lives, the driver withdraws
release itself once the core has given no sign of life for `watchdog_s`.

In simulation (`tests/faults/test_boards_killed.py`): the agent's process gets SIGKILL while a car charges at each of
these boards. Those with a watchdog have opened their contactor by themselves within its time, those without still feed
the car; the agent that comes back withdraws from all, and the energy of the gap is in the count
that closes the session.

## Emergency stop, door and other contacts

An emergency stop is wired into the supply of the contactor's coil; the agent gets a report, but does not take part.
Where the board has digital inputs ({inputs}) the station file says which fault each of them is, the lowest bit first:

```toml
input_faults = ["", "!EmergencyStop", "DoorOpen"]
```

`""` is not used (or the bay's sensor, `bay_input`); with `!` the contact is closed as long as all is well, so that a
broken wire is reported. Any name of [faults](faults.md) may stand there. Registers that a station's own wiring fills
are named likewise: `extra_fault_names` from `extra_fault_base` on.

## Rules that hold for every board

* Release is never remembered: the first thing a driver writes is its withdrawal, before settings, watchdog and limit;
  release is on only while a session that is on disk wants it.
* The watchdog is fed by the core's proof of life only, never by the driver. Where a mere look feeds it (Heidelberg,
  Bender) the driver takes release back when no proof came for `watchdog_s`.
* A limit is read back. One that is not confirmed within 2 s is an error; if it was to bring the current down, release
  is withdrawn.
* A register in a memory that wears out is written only when it differs, and at most ten times within 24 hours of the
  process's life; after that the board is refused rather than worn out.

## Unproven on hardware

{unproven}"""

HEAD = "| map | board | wire | watchdog | when the agent dies | release | lock | contactor | resume |"


def text() -> str:
    maps = [board_map.load_board_map(p) for p in sorted((CONFIG / "boards").glob("*.toml"))]
    table = "\n".join([HEAD, "|" + "---|" * 9, *map(_row, maps)])
    dogless = [f"{m.vendor} {m.model}" for m in maps if m.watchdog is None]
    least = max(m.watchdog.least for m in maps if m.watchdog is not None)
    unproven = "\n".join(f"**{m.vendor} {m.model}** (`{m.name}`)\n\n{_list(m)}\n" for m in maps)
    inputs = ", ".join(
        f"{m.vendor} {m.model}: register {m.picture['inputs'].at}" for m in maps if "inputs" in m.picture
    )
    return TEXT.format(inputs=inputs, table=table, dogless=", ".join(dogless), least=least, unproven=unproven)


def _list(m: BoardMap) -> str:
    return "\n".join(f"* {what}" for what in m.unproven)


def _row(m: BoardMap) -> str:
    line = m.line
    wire = f"TCP {line.port}" if line.kind == "tcp" else f"RTU {line.baud} 8{line.parity}1"
    dog = m.watchdog
    cells = [
        f"`{m.name}`",
        f"{m.vendor} {m.model}",
        f"{wire}, unit {line.unit}",
        f"register {dog.seconds_at}, {'ms' if dog.per_s == 1000 else 's'}" if dog else "**none**",
        f"stops, or {dog.least} A" if dog else "**goes on**",
        "the limit itself" if m.release is None else f"{'coil' if m.release.coil else 'register'} {m.release.at}",
        "freed by order" if m.unlock else "by itself",
        "read" if "contactor" in m.picture else "watched" if m.tells_welding else "assumed",
        "counts" if "plugged_s" in m.picture else "-",
    ]
    return "| " + " | ".join(cells) + " |"
