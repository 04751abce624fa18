"""Real networks between an agent and its backend: pairs of virtual interfaces into a network namespace, in which the
backend has one address that is reached over each of them. Root and iproute2 are needed."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CLONE_NEWNET = 0x40000000
BACKEND_PORT = 9000


class BearerNetworks:
    """``interfaces``: the station's ends by kind of bearer, in order of preference. ``backend``: the address."""

    def __init__(self, *kinds: str) -> None:
        mark = os.getpid() % 60_000
        self.space = f"chargy-{mark}"
        self.interfaces = {kind: f"c{kind[0]}{mark}" for kind in kinds}
        self.net = f"10.{200 + mark % 50}.{mark // 50 % 250}"
        self.backend = f"{self.net}.1"

    @property
    def url(self) -> str:
        return f"ws://{self.backend}:{BACKEND_PORT}"

    def station_tables(self) -> str:
        """Return the ``[[bearer]]`` tables of a station file."""
        tables = (
            f'[[bearer]]\ndriver = "lan_static"\nkind = "{kind}"\ninterface = "{name}"\n'
            for kind, name in self.interfaces.items()
        )
        return "".join(tables)

    def lay_cables(self) -> None:
        """Make the namespace and the interfaces. Raises ``OSError`` where the machine has none."""
        run_ip("netns", "add", self.space)
        self.run_inside("link", "set", "lo", "up")
        self.run_inside("addr", "add", f"{self.backend}/32", "dev", "lo")
        for number, (kind, name) in enumerate(self.interfaces.items(), 1):
            far_end = f"{self.net}.{16 * number + 1}"
            run_ip("link", "add", name, "type", "veth", "peer", "name", f"{name}b", "netns", self.space)
            run_ip("addr", "add", f"{self.station_address(kind)}/30", "dev", name)
            self.run_inside("addr", "add", f"{far_end}/30", "dev", f"{name}b")
            self.run_inside("link", "set", f"{name}b", "up")
            run_ip("link", "set", name, "up")
            run_ip("route", "add", self.backend, "via", far_end, "dev", name, "metric", str(100 * number))

    def remove_cables(self) -> None:
        for name in self.interfaces.values():
            subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.space], capture_output=True, check=False)

    def station_address(self, kind: str) -> str:
        return f"{self.net}.{16 * (1 + list(self.interfaces).index(kind)) + 2}"

    def kind_of_address(self, address: str) -> str:
        """Return the bearer from which a connection with this remote address came."""
        return next(kind for kind in self.interfaces if self.station_address(kind) == address)

    def run_inside(self, *words: str) -> None:
        run_ip("-n", self.space, *words)

    def listen_inside(self) -> socket.socket:
        """Return a socket of this process that listens at the backend's address, inside the namespace."""
        made = list[socket.socket]()
        thread = threading.Thread(target=lambda: made.append(self._make_inside()))
        thread.start()  # the namespace is one thread's
        thread.join()
        return made[0]

    def _make_inside(self) -> socket.socket:
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{self.space}") as space:
            if libc.setns(space.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns {self.space}")
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((self.backend, BACKEND_PORT))
        return listening

    # --- what happens to a network ----------------------------------------------------------------------------------

    def lose_carrier(self, kind: str) -> None:
        self.run_inside("link", "set", f"{self.interfaces[kind]}b", "down")

    def return_carrier(self, kind: str) -> None:
        self.run_inside("link", "set", f"{self.interfaces[kind]}b", "up")

    def swallow_frames(self, kind: str) -> None:
        """Let every answer on this network vanish, as a mobile network does that has lost the session."""
        self.run_inside("route", "add", "blackhole", f"{self.station_address(kind)}/32")

    def deliver_frames(self, kind: str) -> None:
        self.run_inside("route", "del", "blackhole", f"{self.station_address(kind)}/32")


def run_ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def bearer_networks(*kinds: str) -> Iterator[BearerNetworks]:
    """Lay the networks; skip the test, with the reason, where that cannot be done."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and ip (Debian: iproute2)")
    networks = BearerNetworks(*kinds)
    try:
        try:
            networks.lay_cables()
        except OSError as e:
            pytest.skip(f"no network namespace with virtual interfaces here ({e})")
        yield networks
    finally:
        networks.remove_cables()
