"""What a station takes of a data volume with the profile ``gprs``, and of the life of its flash memory.

  python -m tests.bench.volume [--write FILE] [--real-time] [part ...]

data     an idle day, a session, a reconnect: packets of the kernel, IP and TCP headers included (G14 to G16)
taps     round trips on 2G from a card to the contactor (G13)
replay   a queue of a day off line over a line as slow as 2G (G19)
flash    sectors that a session writes (G17)
idle     sectors that an idle day writes (G17)

The pings of an idle day are 4 s apart here, not 240 s, and heartbeats 15 s, not 900 s: an hour is a minute. The bytes
of each are the same. ``--real-time`` waits for half an hour of the day. A session takes an hour of the
station's time, with four meter values of nine measurands. Bytes do not depend on the load of the machine, the seconds
of the replay do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import ssl
import statistics
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.server import serve

from tests.bench.backend import ACCEPTED, Backend, open_backend
from tests.bench.figures import Figures, Goal, commit, write
from tests.bench.flash import G17_DAY, G17_SESSION, FlashMemory, flash_memory
from tests.bench.packets import Packet, Sniffer, enter_namespace, round_trips, total, use_time_stamps
from tests.bench.process import AGENT, Skipped, spawned
from tests.bench.slow_replay import replay_2g
from tests.bench.slow_taps import tap_2g
from tests.bench.stations import booted, ready_pid
from tests.bench.wal_commits import WalCommits
from tests.support.certificate_authorities import Authority, tls

MARKS = "<!-- data volume: begin -->", "<!-- data volume: end -->"
FLASH_MARKS = "<!-- flash memory: begin -->", "<!-- flash memory: end -->"
PARTS = ("data", "taps", "replay", "flash", "idle")
FLASH_PARTS = PARTS[3:]
DAY_S = 86_400
REAL, HASTE, CYCLES = (240, 900), 60, 5
"""Ping and heartbeat interval; how much sooner they are here; how many heartbeats are waited for."""
SPEED, DAY_SPEED, IDLE_DAYS, DAY_HEARTBEAT_S = 120, 960, 4, 300
FIRST_COUNT_S = 20.0
"""The data tally of a start is stored by then."""
SESSIONS_A_DAY, STATUSES = 10, 4
"""Preparing, Charging, Finishing, Available."""
NINE = (
    "Energy.Active.Import.Register,Power.Active.Import,Current.Import.L1,Current.Import.L2,Current.Import.L3,"
    "Voltage.L1-N,Voltage.L2-N,Voltage.L3-N,Current.Offered"
)
CARD = "04A1B2C3D4E5F6"


@dataclass(frozen=True)
class Variant:
    name: str
    compresses: bool
    has_time_stamps: bool


VARIANTS = (
    Variant("TLS 1.3", False, True),
    Variant("TLS 1.3, deflate", True, True),
    Variant("TLS 1.3, deflate, no TCP time stamps", True, False),
)
G14 = (
    Goal("G14", "idle day", 85.0, "kB"),
    Goal("G14", "idle day, deflate", 85.0, "kB"),
    Goal("G14", "idle day, deflate, no TCP time stamps", 66.0, "kB"),
)
G15 = (
    Goal("G15", "session of 1 h", 8.63 * 1.03, "kB"),
    Goal("G15", "session of 1 h, deflate", 2.97 * 1.03, "kB"),
)
G16_TRIPS = Goal("G16", "round trips to reconnect", 3, "")
G16 = Goal("G16", "reconnect", 3.7, "kB")


class SecureBackend(Backend):
    """With TLS. ``keeps_sessions``: a station may resume its session."""

    def __init__(self, folder: Path, keeps_sessions: bool) -> None:
        super().__init__()
        (folder / "between").mkdir()
        root = Authority(folder)
        between = Authority(folder / "between", "Intermediate", above=root)
        chain = between.server()
        chain.write_text(chain.read_text() + between.pem)
        self.root, self.context = root.root, tls(chain)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.num_tickets = 1 if keeps_sessions else 0
        self.connections = 0
        self.replies |= {"Authorize": ACCEPTED}

    async def attend(self, connection: Any) -> None:
        self.connections += 1
        await super().attend(connection)

    async def hang_up(self) -> None:
        assert self._connection is not None
        await self._connection.close()


@contextlib.asynccontextmanager
async def station(
    variant: Variant, speed: int, intervals: tuple[int, int], keeps_sessions: bool, state: Path | None = None
) -> AsyncIterator[tuple[SecureBackend, Sniffer, str]]:
    """A simulated station that has booted, the packets of its link, and the address of its control API. ``state``: the
    folder of the agent's state, if it is one of its own."""
    use_time_stamps(variant.has_time_stamps)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backend = SecureBackend(folder, keeps_sessions)
        backend.replies["BootNotification"] |= {"interval": intervals[1]}
        options: dict[str, Any] = {"subprotocols": ["ocpp1.6"], "ping_interval": None, "close_timeout": 0.2}
        async with serve(backend.attend, "127.0.0.1", 0, ssl=backend.context, **options) as server:
            backend.port = next(iter(server.sockets)).getsockname()[1]
            file = write_station(folder, backend, variant, intervals[0], state or folder / "state")
            async with spawned([*AGENT, "simulate", str(file), "--headless", "--speed", str(speed)]) as child:
                await booted(child, backend)
                found = re.search(r"port = (\d+)", file.read_text())
                assert found
                await ready_pid(child, int(found[1]))
                sniffer = Sniffer(proxy_port(folder))
                await asyncio.to_thread(sniffer.wait_for_quiet)
                yield backend, sniffer, f"http://127.0.0.1:{found[1]}/api/v1"


def write_station(folder: Path, backend: SecureBackend, variant: Variant, ping_s: int, state: Path) -> Path:
    path = folder / "station.toml"
    path.write_text(
        f'[station]\nid = "BENCH-1"\nserial = "B-1"\nstate_dir = "{state}"\n'
        f'[backend]\nurl = "wss://127.0.0.1:{backend.port}"\nversions = ["1.6"]\nsecurity_profile = 2\n'
        f'password = "0123456789abcdef"\nca = "{backend.root}"\nreconnect_s = 0.2\n'
        f'[link]\nprofile = "gprs"\ncompression = {str(variant.compresses).lower()}\n'
        f"[settings]\nping_interval_s = {ping_s}\nsampled_measurands = {NINE.split(',')}\n"
        f'[[evse]]\nnumber = 1\n[simulation]\nport = {free_port()}\nstate_dir = "{folder}/world"\n'.replace("'", '"')
    )
    return path


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def proxy_port(folder: Path) -> int:
    """The port that the agent dials: the far end of its road."""
    backend = tomllib.loads((folder / "world" / "derived.toml").read_text())
    table = backend.get("backend") or backend["backends"][0]
    return int((table.get("via") or table["url"]).rpartition(":")[2].partition("/")[0])


async def measure_idle_day(variant: Variant, is_real: bool) -> tuple[float, str, list[Packet]]:
    """Bytes of a day by those between two heartbeats; then the packets of a connection with all certificates.

    The least of some cycles counts, of those that have as many messages as most: a backend that answers after 40 ms,
    because this machine is busy, costs another acknowledgement, and a ping may come in the next cycle.
    """
    haste, cycles = (1, 2) if is_real else (HASTE, CYCLES)
    ping_s, heartbeat_s = (interval // haste for interval in REAL)
    async with station(variant, 1, (ping_s, heartbeat_s), keeps_sessions=False) as (backend, sniffer, _):
        backend.forget()
        began_s = await backend.wait_heard("Heartbeat", 1, 2 * heartbeat_s)
        await asyncio.to_thread(sniffer.take_packets)
        found = []
        for n in range(cycles):
            ended_s = await backend.wait_heard("Heartbeat", 2 + n, 2 * heartbeat_s)
            found.append(await asyncio.to_thread(sniffer.take_packets))
        cycle_s = round((ended_s - began_s) / cycles / ping_s) * ping_s * haste  # a multiple of the pings
        usual = statistics.mode(sum(p.speaks for p in packets) for packets in found)
        octets = min(total(packets) for packets in found if sum(p.speaks for p in packets) == usual)
        words = f"{octets} bytes in {cycle_s / 60:g} minutes"
        return octets * DAY_S / cycle_s, words, await reconnected(backend, sniffer)


async def reconnected(backend: SecureBackend, sniffer: Sniffer) -> list[Packet]:
    """The packets from the first SYN on, when the backend has hung up: until the connection is open again."""
    before = backend.connections
    backend.forget()
    await asyncio.to_thread(sniffer.take_packets)
    await backend.hang_up()
    while backend.connections == before:
        await asyncio.sleep(0.02)
    packets = await asyncio.to_thread(sniffer.take_packets)
    if backend.heard:
        print("  calls after a reconnect:", ", ".join(action for _, action, _ in backend.heard))
    first = next(i for i, p in enumerate(packets) if p.up and p.speaks and p.length <= 60)
    return packets[first:]


async def measure_session(variant: Variant) -> tuple[int, list[str], list[Packet]]:
    """Bytes and actions of a session of an hour, the lesser of two; then the packets of a connection that resumes its
    TLS session."""
    async with station(variant, SPEED, (REAL[0], DAY_S), keeps_sessions=True) as (backend, sniffer, api):
        found = [await charge_for_an_hour(backend, sniffer, api) for _ in range(2)]
        octets, actions = min(found)
        return octets, actions, await reconnected(backend, sniffer)


async def charge_for_an_hour(backend: SecureBackend, sniffer: Sniffer, api: str) -> tuple[int, list[str]]:
    await asyncio.to_thread(sniffer.take_packets)
    backend.forget()
    await call(api, "cards/tap", f'{{"uid": "{CARD}", "evse": 1}}')
    await backend.wait_heard("Authorize")
    await call(api, "evses/1/plug", "{}")
    await backend.wait_heard("MeterValues", 4, 3600.0 / SPEED * 3)
    await call(api, "cards/tap", f'{{"uid": "{CARD}", "evse": 1}}')
    await backend.wait_heard("StopTransaction")
    await asyncio.to_thread(sniffer.wait_for_quiet)
    await unplug(api)
    await backend.wait_heard("StatusNotification", STATUSES)
    return total(await asyncio.to_thread(sniffer.take_packets)), [action for _, action, _ in backend.heard]


async def charge_at_once(backend: SecureBackend, api: str) -> None:
    """Begin and end a session, as fast as it goes. A station whose time is so fast may give a card up again."""
    await call(api, "evses/1/plug", "{}")
    for action in ("StartTransaction", "StopTransaction"):
        for _ in range(10):
            await call(api, "cards/tap", f'{{"uid": "{CARD}", "evse": 1}}')
            with contextlib.suppress(TimeoutError):
                await backend.wait_heard(action, within_s=5.0)
                break
    await unplug(api)


async def unplug(api: str) -> None:
    """The plug comes out when the lock is open."""
    for _ in range(20):
        with contextlib.suppress(OSError):
            await call(api, "evses/1/unplug", '{"side": "ev"}')
            await call(api, "evses/1/unplug", '{"side": "station"}')
            return
        await asyncio.sleep(0.2)


async def call(api: str, path: str, body: str) -> None:
    request = urllib.request.Request(f"{api}/{path}", body.encode(), {"Content-Type": "application/json"})
    await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=10).close())


async def measure_flash(figures: Figures) -> None:
    """KiB of a session, the least of two after one that gives the files their length."""
    with tempfile.TemporaryDirectory() as name, flash_memory(Path(name)) as flash:
        state = flash.folder / "state"
        async with station(VARIANTS[0], SPEED, (REAL[0], REAL[1]), True, state) as (backend, sniffer, api):
            found = [await written_in_session(flash, backend, sniffer, api) for _ in range(3)][1:]
        kib, commits, pages = min(found)
        both = " and ".join(f"{one:.0f}" for one, *_ in found)
        words = f"the second and third of three: {both} KiB; {commits} commits, {pages} pages"
        beside = f"floor {flash.floor_kib(commits):.0f} KiB: as many commits of one page, and a merge"
        figures.judge(G17_SESSION, kib, words, beside)


async def measure_idle_flash(figures: Figures) -> None:
    """KiB of a day in which nothing happens but heartbeats.

    The day is one of some: an idle station writes less than once a day. Its heartbeats are more, because its pings are
    not as fast as its time: so many bytes a day are counted as with both.
    """
    with tempfile.TemporaryDirectory() as name, flash_memory(Path(name)) as flash:
        state = flash.folder / "state"
        async with station(VARIANTS[0], DAY_SPEED, (REAL[0], DAY_HEARTBEAT_S), True, state) as (backend, _, api):
            await charge_at_once(backend, api)  # the WAL has its length then, which costs once
            await asyncio.sleep(FIRST_COUNT_S)
            before_kib = flash.written_kib()
            async with flash.aged(DAY_SPEED):
                await asyncio.sleep(IDLE_DAYS * DAY_S / DAY_SPEED)
            written_kib = flash.written_kib() - before_kib
        figures.judge(G17_DAY, written_kib / IDLE_DAYS, f"{written_kib:.0f} KiB in {IDLE_DAYS} days")


async def written_in_session(
    flash: FlashMemory, backend: SecureBackend, sniffer: Sniffer, api: str
) -> tuple[float, int, int]:
    """KiB, commits and pages of a session of an hour."""
    before_kib, wal = flash.written_kib(), WalCommits(flash.folder / "state" / "agent.db")
    wal.read_frames()
    commits, pages = wal.count()
    async with flash.aged(SPEED, wal.read_frames):
        await charge_for_an_hour(backend, sniffer, api)
    written_kib = flash.written_kib() - before_kib
    wal.read_frames()
    return written_kib, wal.count()[0] - commits, wal.count()[1] - pages


async def measure_replay(figures: Figures) -> None:
    async with open_backend() as backend:
        await replay_2g(backend, figures, 1)


async def measure_data(figures: Figures, is_real: bool) -> None:
    for variant, goal in zip(VARIANTS, G14, strict=True):
        day, words, new = await measure_idle_day(variant, is_real)
        figures.judge(goal, day / 1e3, f"{words}; {day * 30 / 1e6:.2f} MB in 30 days")
        if variant is VARIANTS[0]:
            figures.judge(G16_TRIPS, round_trips(new), "TCP, TLS, WebSocket")
            figures.judge(G16, total(new) / 1e3, "a full handshake, root and one certificate between")
    for variant, goal in zip(VARIANTS, G15, strict=False):
        octets, actions, resumed = await measure_session(variant)
        figures.judge(goal, octets / 1e3, f"{len(actions)} calls, 4 meter values of 9 measurands")
        figures.show(
            f"a day with {SESSIONS_A_DAY} of them", f"{SESSIONS_A_DAY * octets / 1e3:.1f} kB more", variant.name
        )
        figures.show("  calls", ", ".join(actions))
        if variant is VARIANTS[0]:
            figures.judge(G16, total(resumed) / 1e3, f"TLS session resumed, {round_trips(resumed)} round trips")


def data_head(day: str, load: str) -> list[str]:
    """The lines above the table of the packets."""
    return [
        f"Commit {commit()}, {day}, `python -m tests.bench.volume`, load average {load}. Packets with IPv4 and TCP",
        "headers, both ways.",
    ]


def flash_head(day: str, load: str) -> list[str]:
    """The lines above the table of the sectors."""
    return [
        f"Commit {commit()}, {day}, `python -m tests.bench.volume {' '.join(FLASH_PARTS)}`, load average {load}.",
        "Sectors of an ext4 of its own, its journal included.",
    ]


def table(figures: Figures, marks: tuple[str, str], head: list[str]) -> str:
    lines = [
        marks[0],
        *head,
        "",
        "| goal | what | limit | here | measured | |",
        "|---|---|---|---|---|---|",
    ]
    for row in figures.rows:
        verdict = "met" if row.goal.met(row.value) else "**missed**"
        limit = f"{'≥' if row.goal.least else '≤'} {row.goal.limit:.2f} {row.goal.unit}".rstrip()
        words = "; ".join(text for text in (row.measured, row.beside) if text)
        lines.append(f"| {row.goal.name} | {row.goal.what} | {limit} | {row.value:.2f} | {words} | {verdict} |")
    reasons = (f"* {r.goal.name}: {r.goal.why}" for r in figures.rows if r.goal.why and not r.goal.met(r.value))
    if missed := list(dict.fromkeys(reasons)):
        lines += ["", "What is missed, and why:", "", *missed]
    lines += ["", *(f"Not measured: {part} ({why})." for part, why in figures.skipped)]
    return "\n".join([*lines, marks[1]])


async def measure_parts(figures: Figures, parts: list[str], is_real: bool) -> None:
    measures = {
        "data": lambda: measure_data(figures, is_real),
        "taps": lambda: tap_2g(figures),
        "replay": lambda: measure_replay(figures),
        "flash": lambda: measure_flash(figures),
        "idle": lambda: measure_idle_flash(figures),
    }
    for part in parts:
        print(f"{part}:", flush=True)
        try:
            await measures[part]()
        except (Skipped, TimeoutError, OSError) as e:
            figures.skip(part, str(e) or type(e).__name__)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.volume")
    parser.add_argument("--write", type=Path, help="a document with the markers of the table")
    parser.add_argument("--real-time", action="store_true", help="idle cycles at their real length: takes two hours")
    parser.add_argument("part", nargs="*", choices=[[], *PARTS], help=f"of {', '.join(PARTS)} (default: all)")
    args = parser.parse_args()
    parts = args.part or list(PARTS)
    tables = [group for group in (PARTS[:3], FLASH_PARTS) if set(group) <= set(parts)]
    if args.write and sum(map(len, tables)) != len(parts):
        parser.error(f"--write: a table is of one run; name all parts of one ({', '.join(FLASH_PARTS)}), or none")
    try:
        enter_namespace()
    except Skipped as e:
        print(f"skipped: {e}")
        return 0
    for group in tables if args.write else [parts]:
        figures, load = Figures(), os.getloadavg()[0]
        asyncio.run(measure_parts(figures, [p for p in parts if p in group], args.real_time))
        if args.write:
            marks, head = (FLASH_MARKS, flash_head) if group is FLASH_PARTS else (MARKS, data_head)
            lines = head(time.strftime("%Y-%m-%d"), f"{load:.1f} to {os.getloadavg()[0]:.1f}")
            write(args.write, table(figures, marks, lines), marks)
            print(f"written: {args.write}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
