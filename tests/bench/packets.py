"""Packets of a TCP port on the loopback of a network namespace of our own, as the kernel passes them on.

An MTU of 1500 bytes and no segmentation offload make them those of a real line; the time it takes is another.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.process import Skipped

IP = 0x0800
RECEIVED = 0
"""PACKET_HOST: each packet is seen twice on the loopback, as it leaves and as it arrives."""
SYN = 2
QUIET_S = 0.4
"""Longer than a delayed acknowledgement."""
INSIDE = "CHARGY_BENCH_NAMESPACE"


def enter_namespace() -> None:
    """Run this program again in a network namespace of its own. Raises ``Skipped`` where that is not allowed."""
    if os.environ.get(INSIDE):
        for line in ("link set lo mtu 1500 gso_max_segs 1 up",):
            subprocess.run(["ip", *line.split()], check=True)
        return
    unshare = shutil.which("unshare")
    kinds = "-nm" if os.geteuid() == 0 else "-rn"  # root may mount a file system of its own there
    if unshare is None or subprocess.run([unshare, kinds, "true"], capture_output=True).returncode:
        raise Skipped(f"a network namespace of its own (unshare {kinds}) is not to be had here")
    argv = [unshare, kinds, sys.executable, "-m", *_module_and_arguments()]
    os.execve(unshare, argv, {**os.environ, INSIDE: "1"})


def _module_and_arguments() -> list[str]:
    spec = sys.modules["__main__"].__spec__
    assert spec is not None
    return [spec.name, *sys.argv[1:]]


def use_time_stamps(wanted: bool) -> None:
    """Switch the time stamps of TCP, 12 bytes in each segment, for new connections of this namespace."""
    Path("/proc/sys/net/ipv4/tcp_timestamps").write_text(f"{int(wanted)}\n")


@dataclass(frozen=True)
class Packet:
    up: bool
    """From the station."""
    length: int
    speaks: bool
    """It has content, or opens a connection: more than an acknowledgement."""


class Sniffer:
    """Counts the packets of one port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._packets: list[Packet] = []
        self._heard_s = time.monotonic()
        self._raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IP))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            data, (_, _, kind, *_) = self._raw.recvfrom(65536)
            if kind == RECEIVED and data[9] == socket.IPPROTO_TCP:
                self._take(data)

    def _take(self, data: bytes) -> None:
        tcp = (data[0] & 15) * 4
        source, target = (int.from_bytes(data[at : at + 2], "big") for at in (tcp, tcp + 2))
        if self._port not in (source, target):
            return
        length = int.from_bytes(data[2:4], "big")
        content = length - tcp - (data[tcp + 12] >> 4) * 4
        self._heard_s = time.monotonic()
        self._packets.append(Packet(target == self._port, length, content > 0 or bool(data[tcp + 13] & SYN)))

    def wait_for_quiet(self) -> None:
        while time.monotonic() - self._heard_s < QUIET_S:
            time.sleep(0.05)

    def take_packets(self) -> list[Packet]:
        """Return the packets since the last time."""
        self.wait_for_quiet()
        taken, self._packets = self._packets, []
        return taken


def total(packets: list[Packet]) -> int:
    return sum(p.length for p in packets)


def round_trips(packets: list[Packet]) -> int:
    """How often the station waits for an answer: a packet of it, then one of the backend."""
    ways = [p.up for p in packets if p.speaks]
    return sum(before and not after for before, after in itertools.pairwise(ways))
