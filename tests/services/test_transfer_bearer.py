"""Files over the bearer that carries the links: each socket is bound to its interface, also over real networks of which
one leads nowhere; a server beside the bearer; no name servers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.station import Options, Station
from agent.domain.events import Event, FirmwareFetched
from agent.domain.orders import FetchFirmware
from agent.ocpp.transport import bound_socket
from agent.ocpp.transport.bound_socket import connect_preferably_through
from agent.services.files.transfer import TransferControl, TransferFailed, fetch_file
from agent.services.store.store import Store
from agent.station_file.settings import parse_station_file
from tests.support.bearer_networks import BACKEND_PORT, bearer_networks
from tests.support.busy_machine import deadline, stretched
from tests.support.file_servers import QUOTED, USER, ftp_server, sftp_server, web_server

CONTENT = b"firmware" * 1000


class RecordedSocket(socket.socket):
    """Writes down where it connects, and the interface to which it is bound then."""

    connections: list[tuple[int, str]] = []

    def connect(self, address: Any) -> None:
        if self.family == socket.AF_INET:
            bound = self.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
            self.connections.append((address[1], bound.rstrip(b"\0").decode()))
        super().connect(address)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Where this process connects: port and interface."""
    monkeypatch.setattr(RecordedSocket, "connections", made := list[tuple[int, str]]())
    monkeypatch.setattr(socket, "socket", RecordedSocket)
    return made


@contextlib.asynccontextmanager
async def running(folder: Path, *bearers: dict[str, Any]) -> AsyncIterator[Station]:
    raw = {
        "station": {"state_dir": "state", "status_socket": str(folder / "s")},
        "bearer": list(bearers),
        "evse": [{"number": 1}],
    }
    file = parse_station_file(raw, folder / "station.toml")
    store = await Store.open(file.station.state_dir / "agent.db", 1)
    try:
        station = Station(file, Options(), store, await store.read_facts())
        task = asyncio.create_task(station.run())
        async with deadline(20):
            while not (task.done() or (station.ready and (station.site.bearer_in_use or not bearers))):
                await asyncio.sleep(0.01)
        assert not task.done(), task.exception()
        yield station
        station._request_exit(0)
        assert await asyncio.wait_for(task, stretched(20)) == 0
    finally:
        await store.close()


@contextlib.contextmanager
def file_server(scheme: str, folder: Path) -> Iterator[str]:
    """Serves firmware. Yields its address."""
    root = folder / "root"
    root.mkdir()
    (root / "fw").write_bytes(CONTENT)
    if scheme == "http":
        with web_server() as web:
            web.files["/fw"] = CONTENT
            yield f"http://127.0.0.1:{web.port}/fw"
    elif scheme == "ftp":
        with ftp_server(root) as port:
            yield f"ftp://{USER}:{QUOTED}@127.0.0.1:{port}/fw"
    else:
        with sftp_server(root) as (port, line):
            files = folder / "state" / "files"
            files.mkdir(parents=True)
            (files / "known_hosts").write_text(line + "\n")
            yield f"sftp://{USER}:{QUOTED}@127.0.0.1:{port}/fw"


async def fetched(station: Station, location: str) -> bool:
    heard: asyncio.Queue[Event] = asyncio.Queue()
    executor = station.files._make_executor()
    executor._post = heard.put_nowait  # type: ignore[attr-defined]
    executor.accept_order(FetchFirmware("job", location))
    event = await asyncio.wait_for(heard.get(), stretched(30))
    assert isinstance(event, FirmwareFetched)
    return event.ok


LOOPBACK = {"driver": "lan_static", "kind": "lan", "interface": "lo"}


@pytest.mark.parametrize(("scheme", "count"), [("http", 1), ("ftp", 2), ("sftp", 1)])
async def test_a_file_comes_over_the_bearer_that_carries_the_links(
    tmp_path: Path, connections: list[tuple[int, str]], scheme: str, count: int
) -> None:
    with file_server(scheme, tmp_path) as location:
        async with running(tmp_path, LOOPBACK) as station:
            assert await fetched(station, location)
    assert [interface for _, interface in connections] == ["lo"] * count


async def test_without_bearers_the_routes_of_the_kernel_carry_a_file(
    tmp_path: Path, connections: list[tuple[int, str]]
) -> None:
    with file_server("http", tmp_path) as location:
        async with running(tmp_path) as station:
            assert await fetched(station, location)
    assert [interface for _, interface in connections] == [""]


def test_a_server_beside_the_bearer_is_reached_by_the_routes_of_the_kernel(tmp_path: Path) -> None:
    """A file server may stand in the LAN of the site, while a modem in a private APN carries the links."""
    going = TransferControl(5.0, connect=partial(connect_preferably_through, "absent0"))
    with file_server("http", tmp_path) as location:
        fetch_file(location, tmp_path / "f", going)
    assert (tmp_path / "f").read_bytes() == CONTENT
    with pytest.raises(TransferFailed, match=r"over absent0: .*No such device.*routes.*refused"):
        fetch_file(location, tmp_path / "g", going)


def test_without_name_servers_the_last_addresses_of_the_host_are_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The resolver is that of LAN, which leads nowhere. The host may be known as that of the backend."""

    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(bound_socket, "_last_addresses", {})
    with socket.create_server(("127.0.0.1", 0)) as backend, socket.create_server(("127.0.0.1", 0)) as files:
        ports = [server.getsockname()[1] for server in (backend, files)]
        with monkeypatch.context() as patched:
            patched.setattr(socket, "getaddrinfo", refuse)
            with pytest.raises(socket.gaierror):
                connect_preferably_through("lo", "localhost", ports[1], 5.0)
        connect_preferably_through("lo", "localhost", ports[0], 5.0).close()
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        with connect_preferably_through("lo", "localhost", ports[1], 5.0) as connection:
            assert connection.getpeername() == ("127.0.0.1", ports[1])
        assert "its last addresses are used" in caplog.text


def test_a_network_that_swallows_everything_carries_no_file(tmp_path: Path) -> None:
    """The links have moved to Wi-Fi. LAN has a carrier and the better metric, and leads nowhere."""
    with bearer_networks("lan", "wifi") as networks, networks.listen_inside() as listening:
        listening.listen()
        networks.swallow_frames("lan")
        location = f"http://{networks.backend}:{BACKEND_PORT}/fw"
        with pytest.raises(TransferFailed, match="timed out"):
            fetch_file(location, tmp_path / "f", TransferControl(0.5))
        came_over = list[str]()

        def serve_once() -> None:
            connection, (address, _) = listening.accept()
            came_over.append(networks.kind_of_address(address))
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT) + CONTENT)

        server = threading.Thread(target=serve_once, daemon=True)
        server.start()
        going = TransferControl(stretched(10), connect=partial(connect_preferably_through, networks.interfaces["wifi"]))
        fetch_file(location, tmp_path / "f", going)
        server.join(stretched(10))
    assert came_over == ["wifi"]
    assert (tmp_path / "f").read_bytes() == CONTENT
