"""TLS sessions are resumed on reconnect: what that saves is measured at the socket, and nothing is believed that a
whole handshake would not believe."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from agent.domain.backend_connection import ConnectFailure
from agent.domain.events import ConnectFailed
from agent.ocpp.transport import tls_sessions
from agent.ports.pki import NO_ROOTS, TrustedRoots
from tests.ocpp.ocpp_stand_ins import Central, Room, build, running, served, until
from tests.support.certificate_authorities import Authority, tls
from tests.support.tls_terminator import TlsFront

RECONNECT_MAX_BYTES = 3740
KINDS = pytest.mark.parametrize("kind", ["ec", "rsa"])
TLS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


class Meter:
    """A TCP relay that counts what each connection carries, both ways, from the first byte on."""

    def __init__(self, target: int) -> None:
        self.target, self.bytes = target, [0]
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Meter:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.bytes.append(0)
        number = len(self.bytes) - 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers += [writer, far_writer]
        await asyncio.gather(self._pass(reader, far_writer, number), self._pass(far_reader, writer, number))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.bytes[number] += len(data)
                writer.write(data)
        writer.close()


@contextlib.asynccontextmanager
async def linked(ours: Authority, kind: str = "ec", version: str = "", **more: object) -> AsyncIterator[Place]:
    async with served(Central()) as central:
        front = TlsFront(central.port, tls(ours.server(kind=kind), version=version))
        async with Meter(front.port) as meter:
            given = {"url": f"wss://127.0.0.1:{meter.port}", "security_profile": 2, "password": "p" * 16}
            async with running(build(central, **{**given, "ca": ours.root, **more})) as room:  # type: ignore[arg-type]
                yield Place(central, front, meter, room)
        front.close()


class Place:
    def __init__(self, central: Central, front: TlsFront, meter: Meter, room: Room) -> None:
        self.central, self.front, self.meter, self.room = central, front, meter, room

    async def reconnected(self, context: object = None) -> bool:
        """The line is cut, and comes back, before another server if one is given. Was the session resumed?"""
        before = len(self.central.connections)
        if context is None:
            self.front.cut()
        else:
            self.front.become(context)  # type: ignore[arg-type]
        await until(lambda: len(self.central.connections) > before and self.room.link.is_up)
        return bool(self.front.agreed["resumed"])


@TLS
@KINDS
async def test_a_reconnect_costs_what_it_may(ours: Authority, kind: str, version: str) -> None:
    """TCP payload of TLS and the WebSocket upgrade. The line was cut each time, not closed in order."""
    async with linked(ours, kind, version) as place:
        assert not place.front.agreed["resumed"]
        for _ in range(3):
            assert await place.reconnected()
            assert place.meter.bytes[-1] <= RECONNECT_MAX_BYTES


class Pki:
    def __init__(self) -> None:
        self.roots_used: list[bytes | None] = []

    def trusted_roots(self) -> TrustedRoots:
        return NO_ROOTS

    def client_certificate(self, certificate: str) -> tuple[Path, Path] | None:
        return None

    def root_used(self, link: str, root: bytes | None) -> None:
        self.roots_used.append(root)


@TLS
async def test_the_root_of_a_resumed_connection_is_known(ours: Authority, version: str) -> None:
    """No chain is on the wire then; a root that a connection hangs on must not be deleted."""
    pki = Pki()
    async with linked(ours, version=version, pki=pki) as place:
        for _ in range(2):
            assert await place.reconnected()
        assert pki.roots_used == [ours.certificate.public_bytes(Encoding.DER)] * 3


@TLS
async def test_mutual_tls_is_resumed_too(ours: Authority, version: str) -> None:
    key = ours.client("CP-1")
    async with linked(ours, version=version, security_profile=3, client_cert=key, client_key=key) as place:
        await place.reconnected(tls(ours.server(), clients=ours.root, version=version))
        assert await place.reconnected()


@TLS
async def test_a_server_that_has_forgotten_the_session_gets_a_whole_handshake(ours: Authority, version: str) -> None:
    """In the same connection: no attempt is lost."""
    async with linked(ours, version=version) as place:
        assert await place.reconnected()
        assert not await place.reconnected(tls(ours.server(), version=version))
        assert place.front.tries == 1
        assert await place.reconnected()


async def test_another_server_that_wants_the_whole_key_shares_is_reached(ours: Authority) -> None:
    """TLS 1.2 with a curve that the narrowed ClientHello does not name: the second attempt is a new beginning."""
    async with linked(ours, version="1.3") as place:
        assert await place.reconnected()
        assert not await place.reconnected(tls(ours.server(kind="ec384"), version="1.2"))
        assert place.front.tries <= 2


@pytest.mark.parametrize("keeps_time", [False, True], ids=("written", "copied with its time"))
async def test_what_is_no_longer_trusted_is_not_resumed(ours: Authority, keeps_time: bool) -> None:
    crl, server = ours.crl(), ours.server()
    written_ns = crl.stat().st_mtime_ns
    async with linked(ours, crl=crl) as place:
        await place.reconnected(tls(server))
        assert await place.reconnected()
        crl.write_bytes(ours.crl(server).read_bytes())
        if keeps_time:
            os.utime(crl, ns=(written_ns, written_ns))
        place.front.cut()
        await until(lambda: place.room.of(ConnectFailed))
        assert place.room.of(ConnectFailed)[0].trouble is ConnectFailure.SERVER_CERTIFICATE


async def test_a_session_is_resumed_for_a_day_at_most(ours: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it was resumed in it: then the certificate is looked at again."""
    async with linked(ours, version="1.3") as place:
        assert await place.reconnected()
        monkeypatch.setattr(tls_sessions, "SESSION_MAX_S", 0.0)
        assert not await place.reconnected()
        monkeypatch.undo()
        assert await place.reconnected()


@TLS
async def test_a_server_that_fails_at_it_is_not_asked_any_more(ours: Authority, version: str) -> None:
    """Its whole handshakes work, a resumed one ends in nothing, time after time."""
    async with linked(ours, version=version) as place:
        resumed = [0]
        place.front.refuses = lambda inner: bool(inner.session_reused) and bool(resumed.append(1) or True)
        for _ in range(6):
            assert not await place.reconnected()
        assert len(resumed) - 1 == tls_sessions.RESUMPTION_ATTEMPTS
