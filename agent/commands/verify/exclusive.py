"""Exclusive use of the devices. Two programs on one line get wrong readings, and two may give release: a danger."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from agent.ports.verify import Wire
from agent.services.store.store import Store
from agent.station_file.settings import StationFile

PROC = Path("/proc")
_ESTABLISHED = "01"


class DeviceBusy(Exception):
    """Another program has a device open. ``str()`` says which, and what to do."""


@asynccontextmanager
async def exclusive_access(file: StationFile, wires: Iterable[Wire]) -> AsyncIterator[None]:
    """Hold the agent's store inside the block, so that no agent starts with it.

    Raises ``StoreRefused`` or ``StoreError`` if an agent uses it, ``DeviceBusy`` if another program of this machine
    uses a wire.
    """
    path = file.station.state_dir / "agent.db"
    store = await Store.open(path, file.station.store_max_mb) if path.exists() else None
    try:
        for wire in wires:
            if others := sorted(set(processes_using(wire)) - {os.getpid()}):
                who = ", ".join(
                    f"{_process_name(pid)} (process {pid})" if pid else "another user's program" for pid in others
                )
                raise DeviceBusy(
                    f"{wire.name} is in use by {who}: stop it first, two programs on one line get wrong readings"
                )
        yield
    finally:
        if store is not None:
            await store.close()


def processes_using(wire: Wire) -> Iterator[int]:
    """Yield the processes of this machine that have the wire open; 0 stands for one that cannot be identified.

    Pseudo terminals are not examined: their far end may hold them open itself.
    """
    if wire.kind == "serial":
        target = os.path.realpath(wire.device)
        if not target.startswith("/dev/pts/"):
            yield from _processes_with_open({target})
        return
    if inodes := set(_connection_inodes(wire.host, wire.port)):
        pids = list(_processes_with_open({f"socket:[{i}]" for i in inodes}))
        yield from pids or [0]


def _processes_with_open(targets: set[str]) -> Iterator[int]:
    for folder in PROC.glob("[0-9]*/fd"):
        with suppress(OSError):  # the process has ended, or belongs to another user
            if any(_link_target(fd) in targets for fd in folder.iterdir()):
                yield int(folder.parent.name)


def _link_target(fd: Path) -> str:
    try:
        return os.readlink(fd)
    except OSError:
        return ""


def _connection_inodes(host: str, port: int) -> Iterator[str]:
    """Yield the inodes of established connections to this address (proc(5), net/tcp)."""
    with suppress(OSError):
        there = {a[4][0] for a in socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)}
        for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]:
            words = line.split()
            address, _, number = words[2].partition(":")
            if words[3] == _ESTABLISHED and int(number, 16) == port and _dotted_address(address) in there:
                yield words[9]


def _dotted_address(hexadecimal: str) -> str:
    return socket.inet_ntoa(struct.pack("=I", int(hexadecimal, 16)))


def _process_name(pid: int) -> str:
    with suppress(OSError):
        return (PROC / str(pid) / "comm").read_text().strip()
    return "a program"
