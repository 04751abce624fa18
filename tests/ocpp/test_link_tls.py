"""TLS of a link over real sockets: whom it believes, what it offers, and what each failure is called."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from agent.domain.backend_connection import ConnectFailure, ConnectionProfile
from agent.domain.events import Connected, ConnectFailed
from agent.domain.variables import Settings
from agent.model.root_certificates import certificate_fingerprint
from agent.ocpp.link_config import LinkConfig, LinkHooks
from agent.ocpp.reconnect import Reconnector
from agent.ocpp.transport.tls import CIPHERS
from agent.ocpp.transport.transport import NoConnection
from agent.ocpp.v16 import V16
from agent.ports.pki import TrustedRoots
from agent.station_file.settings import Backend
from tests.ocpp.ocpp_stand_ins import IDENTITY, QUICK, Central, Room, build, running, served, until
from tests.support.certificate_authorities import Authority, common_name, tls
from tests.support.tls_terminator import TlsFront


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"), "Foreign Root")


@contextlib.asynccontextmanager
async def behind(context: Any, **options: Any) -> AsyncIterator[tuple[Central, TlsFront]]:
    async with served(Central(), **options) as central:
        front = TlsFront(central.port, context)
        try:
            yield central, front
        finally:
            front.close()


def link(central: Central, port: int, host: str = "127.0.0.1", **backend: Any) -> Room:
    given = {"url": f"wss://{host}:{port}", "security_profile": 2, "password": "p" * 16, **backend}
    return build(central, **given)


async def trouble(context: Any, **backend: Any) -> tuple[ConnectFailure, str]:
    """Why a link does not connect to this server, and the line for the technician."""
    async with behind(context) as (central, front), running(link(central, front.port, **backend), up=False) as room:
        await until(lambda: room.of(ConnectFailed) or room.of(Connected))
        assert room.of(Connected) == []
        assert central.calls == []
        failed = room.of(ConnectFailed)[0]
        return failed.trouble, failed.info


async def connects(context: Any, **backend: Any) -> dict[str, Any]:
    """The TLS that was agreed."""
    async with behind(context) as (central, front), running(link(central, front.port, **backend)) as room:
        assert room.of(Connected)[0].access == ConnectionProfile(profile=backend.get("security_profile", 2))
        return front.agreed


# --- whom it believes ------------------------------------------------------------------------------------------------


class Installed:
    """A root that was installed over the air."""

    def __init__(self, *paths: Path, withdrawn: frozenset[str] = frozenset()) -> None:
        self._trusted = TrustedRoots(paths, withdrawn)
        self.roots_used: list[bytes | None] = []

    def trusted_roots(self) -> TrustedRoots:
        return self._trusted

    def client_certificate(self, certificate: str) -> tuple[Path, Path] | None:
        return None

    def root_used(self, link: str, root: bytes | None) -> None:
        self.roots_used.append(root)


async def test_the_root_that_the_connection_hangs_on_is_reported(ours: Authority, foreign: Authority) -> None:
    pki = Installed(foreign.root, ours.root)
    for authority in (ours, foreign):
        assert await connects(tls(authority.server()), pki=pki)
        assert pki.roots_used[-1] == authority.certificate.public_bytes(Encoding.DER)


async def test_an_installed_root_where_the_file_names_none(ours: Authority, foreign: Authority) -> None:
    """The same on every Python: 3.13's own default would want an AuthorityKeyIdentifier in it."""
    assert await connects(tls(ours.server()), pki=Installed(ours.root))
    found, _ = await trouble(tls(foreign.server()), pki=Installed(ours.root))
    assert found is ConnectFailure.SERVER_CERTIFICATE


async def test_an_installed_root_beside_that_of_the_file(ours: Authority, foreign: Authority) -> None:
    for authority in (ours, foreign):
        assert await connects(tls(authority.server()), ca=ours.root, pki=Installed(foreign.root))


async def test_a_root_of_the_file_that_was_deleted_is_not_trusted(
    ours: Authority, foreign: Authority, tmp_path: Path
) -> None:
    """The others of the same file are, and the system's store stays out of it."""
    both = tmp_path / "both.pem"
    both.write_text(ours.pem + foreign.pem)
    gone = Installed(withdrawn=frozenset({certificate_fingerprint(ours.pem)}))
    assert await connects(tls(foreign.server()), ca=both, pki=gone)
    found, _ = await trouble(tls(ours.server()), ca=both, pki=gone)
    assert found is ConnectFailure.SERVER_CERTIFICATE
    found, _ = await trouble(tls(ours.server()), ca=ours.root, pki=gone)
    assert found is ConnectFailure.SERVER_CERTIFICATE


@pytest.fixture(scope="module")
def newer(ours: Authority, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A root that ``ours`` has signed."""
    return Authority(tmp_path_factory.mktemp("newer"), "Newer Root", above=ours)


def replaced(ours: Authority, newer: Authority, of_file: frozenset[str] = frozenset()) -> Installed:
    """The new root is not proven yet."""
    pki = Installed(ours.root)
    pki._trusted = TrustedRoots((ours.root,), is_pinned=True, first=TrustedRoots((newer.root,), of_file, True))
    return pki


async def test_a_new_root_that_another_has_signed_is_an_end_of_the_chain(ours: Authority, newer: Authority) -> None:
    """M05.FR.13: by itself, and where the server shows more of the chain."""
    longer = newer.server()
    longer.write_text(longer.read_text() + newer.pem + ours.pem)
    for server in (newer.server(), longer):
        for ca in (None, ours.root):
            pki = replaced(ours, newer, frozenset({certificate_fingerprint(ours.pem)}))
            assert await connects(tls(server), ca=ca, pki=pki)
            assert pki.roots_used[-1] == newer.certificate.public_bytes(Encoding.DER)
    proven = Installed(newer.root)
    proven._trusted = TrustedRoots((newer.root,), is_pinned=True)
    assert await connects(tls(newer.server()), pki=proven)
    found, _ = await trouble(tls(ours.server()), pki=proven)
    assert found is ConnectFailure.SERVER_CERTIFICATE


async def test_the_roots_that_a_new_one_replaces_are_tried_after_it(ours: Authority, newer: Authority) -> None:
    """M05.FR.14."""
    pki = replaced(ours, newer)
    assert await connects(tls(ours.server()), pki=pki)
    assert pki.roots_used[-1] == ours.certificate.public_bytes(Encoding.DER)


async def test_another_central_system_has_to_show_the_new_root(ours: Authority, newer: Authority) -> None:
    """M05.FR.15: where the station was never connected, the old root counts no more."""
    found, _ = await trouble(tls(ours.server()), pki=replaced(ours, newer), is_known_address=lambda access: False)
    assert found is ConnectFailure.SERVER_CERTIFICATE


async def test_a_damaged_file_of_which_a_root_was_deleted_is_a_failed_attempt(ours: Authority, tmp_path: Path) -> None:
    """A comment in another encoding is no damage."""
    file, gone = tmp_path / "roots.pem", Installed(withdrawn=frozenset({"another"}))
    file.write_text("# Autorité\n" + ours.pem, "utf-8")
    assert await connects(tls(ours.server()), ca=file, pki=gone)
    file.write_text("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n" + ours.pem)
    assert "check the files" in (await trouble(tls(ours.server()), ca=file, pki=gone))[1]


async def test_a_foreign_authority(ours: Authority, foreign: Authority) -> None:
    found, line = await trouble(tls(foreign.server()), ca=ours.root)
    assert found is ConnectFailure.SERVER_CERTIFICATE
    assert "certificate not accepted" in line


async def test_an_authority_of_the_same_name(ours: Authority, tmp_path: Path) -> None:
    found, _ = await trouble(tls(Authority(tmp_path, ours.name).server()), ca=ours.root)
    assert found is ConnectFailure.SERVER_CERTIFICATE


async def test_a_certificate_that_has_ended(ours: Authority) -> None:
    found, line = await trouble(tls(ours.server(days=-1)), ca=ours.root)
    assert found is ConnectFailure.SERVER_CERTIFICATE
    assert "expired" in line


@pytest.mark.parametrize("hosts", [("elsewhere.example",), ("localhost.example", "*.example")])
async def test_a_certificate_of_another_host(ours: Authority, hosts: tuple[str, ...]) -> None:
    found, line = await trouble(tls(ours.server(hosts)), host="localhost", ca=ours.root)
    assert found is ConnectFailure.SERVER_CERTIFICATE
    assert "localhost" in line


async def test_a_host_that_is_only_in_the_common_name(ours: Authority) -> None:
    """As OCPP has it (A00.FR.309) where the certificate names no alternatives."""
    assert await connects(tls(ours.server(("localhost",), named=False)), host="localhost", ca=ours.root)
    found, _ = await trouble(tls(ours.server(("elsewhere.example",), named=False)), host="localhost", ca=ours.root)
    assert found is ConnectFailure.SERVER_CERTIFICATE


async def test_a_revoked_certificate(ours: Authority) -> None:
    good, bad = ours.server(), ours.server()
    crl = ours.crl(bad)
    found, line = await trouble(tls(bad), ca=ours.root, crl=crl)
    assert found is ConnectFailure.SERVER_CERTIFICATE
    assert "revoked" in line
    assert await connects(tls(good), ca=ours.root, crl=crl)


async def test_a_server_without_tls(ours: Authority) -> None:
    found, line = await trouble(None, ca=ours.root)
    assert found is ConnectFailure.OTHER
    assert "TLS" in line


# --- what is offered -------------------------------------------------------------------------------------------------


async def test_tls_1_1_is_refused(ours: Authority) -> None:
    found, line = await trouble(tls(ours.server(kind="rsa"), version="1.1"), ca=ours.root)
    assert found is ConnectFailure.TLS_VERSION
    assert "TLS 1.2" in line


@pytest.mark.parametrize("cipher", ["ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-CHACHA20-POLY1305", "AES128-SHA"])
async def test_no_other_cipher_suite(ours: Authority, cipher: str) -> None:
    context = tls(ours.server(kind="rsa"), version="1.2", ciphers=f"{cipher}:@SECLEVEL=0")
    found, _ = await trouble(context, ca=ours.root)
    assert found is ConnectFailure.TLS_CIPHER


@pytest.mark.parametrize(
    ("kind", "cipher"), [("ec" if "ECDSA" in name else "rsa", name) for name in CIPHERS.split(":")]
)
async def test_each_suite_of_the_standard(ours: Authority, kind: str, cipher: str) -> None:
    """A00: both pairs, (ECDHE-ECDSA) and (RSA), with AES-GCM."""
    context = tls(ours.server(kind=kind), version="1.2", ciphers=f"{cipher}:@SECLEVEL=1")
    assert (await connects(context, ca=ours.root))["cipher"] == cipher


async def test_tls_1_3(ours: Authority) -> None:
    assert (await connects(tls(ours.server(), version="1.3"), ca=ours.root))["version"] == "TLSv1.3"


# --- the station's own certificate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_mutual_tls(ours: Authority, version: str) -> None:
    context = tls(ours.server(), ours.root, version)
    pem = ours.client("SN-1")
    agreed = await connects(context, ca=ours.root, security_profile=3, client_cert=pem)
    assert common_name(agreed["certificate"]) == "SN-1"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("how", ["foreign", "ended", "none"])
async def test_a_client_certificate_that_is_refused(
    ours: Authority, foreign: Authority, version: str, how: str
) -> None:
    """TLS 1.3 says so only after the client believes to be connected."""
    certificates = {"foreign": foreign.client("SN-1"), "ended": ours.client("SN-1", days=-1), "none": None}
    context = tls(ours.server(), ours.root, version)
    found, line = await trouble(context, ca=ours.root, security_profile=3, client_cert=certificates[how])
    assert found is ConnectFailure.OWN_CERTIFICATE
    assert "certificate" in line


async def test_a_client_certificate_file_that_is_none(ours: Authority, tmp_path: Path) -> None:
    found, line = await trouble(tls(ours.server()), ca=ours.root, security_profile=3, client_cert=tmp_path / "none.pem")
    assert found is ConnectFailure.OTHER
    assert "client_cert" in line


async def test_no_password_where_a_certificate_is_shown(ours: Authority) -> None:
    seen: list[str | None] = []

    def note(connection: Any, request: Any) -> None:
        seen.append(request.headers.get("Authorization"))

    async with behind(tls(ours.server(), ours.root), process_request=note) as (central, front):
        more = {"security_profile": 3, "ca": ours.root, "client_cert": ours.client("SN-1")}
        async with running(link(central, front.port, **more)):
            pass
    assert seen == [None]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_password_that_is_refused(ours: Authority, status: int) -> None:
    def refuse(connection: Any, request: Any) -> Any:
        return connection.respond(status, "no\n")

    road = behind(tls(ours.server()), process_request=refuse)
    async with road as (central, front), running(link(central, front.port, ca=ours.root), up=False) as room:
        await until(lambda: room.of(ConnectFailed))
        assert room.of(ConnectFailed)[0].trouble is ConnectFailure.CREDENTIALS


async def test_a_renewed_revocation_list_counts_from_the_next_connection_on(ours: Authority) -> None:
    server = ours.server()
    crl = ours.crl()
    road = behind(tls(server))
    async with road as (central, front), running(link(central, front.port, ca=ours.root, crl=crl)) as room:
        crl.write_bytes(ours.crl(server).read_bytes())
        front.cut()
        await until(lambda: room.of(ConnectFailed))
        assert room.of(ConnectFailed)[0].trouble is ConnectFailure.SERVER_CERTIFICATE


# --- addresses -------------------------------------------------------------------------------------------------------


def reconnector(backend: Backend, access: ConnectionProfile, post_event: Any) -> Reconnector:
    hooks = LinkHooks(post_event, lambda: IDENTITY, access=lambda: access)
    return Reconnector(LinkConfig(backend, (V16,), (1,), timeouts=QUICK), hooks, Settings())


@pytest.mark.parametrize(
    ("access", "given", "url", "via"),
    [
        (ConnectionProfile(), {}, "ws://host/CP-1", "gate:1"),
        (ConnectionProfile(profile=2), {}, "wss://host/CP-1", "gate:1"),
        (ConnectionProfile(profile=2), {"secure_url": "wss://safe/o"}, "wss://safe/o/CP-1", ""),
        (ConnectionProfile(profile=1), {"secure_url": "wss://safe/o"}, "ws://host/CP-1", "gate:1"),
        (ConnectionProfile(2, "wss://new/o", 2), {"secure_url": "wss://safe/o"}, "wss://new/o/CP-1", ""),
        (ConnectionProfile(2, "ws://new/o", 2), {}, "wss://new/o/CP-1", ""),
        (ConnectionProfile(profile=3, certificate="gone"), {}, "wss://host/CP-1", "gate:1"),
    ],
)
def test_what_is_dialled(access: ConnectionProfile, given: dict[str, str], url: str, via: str) -> None:
    backend = Backend(url="ws://host", charge_point_id="CP-1", via="gate:1", **given)
    made = reconnector(backend, access, print)
    assert made.url == url
    assert made._effective_address(access).via == via


async def test_a_certificate_that_is_not_there_any_more_is_a_failed_attempt() -> None:
    heard: list[Any] = []
    backend = Backend(url="wss://127.0.0.1:1", charge_point_id="CP-1")
    access = ConnectionProfile(profile=3, certificate="gone")
    made = reconnector(backend, access, heard.append)
    with pytest.raises(NoConnection, match="have a new one signed"):
        await made.connect()
    assert heard == [ConnectFailed("chargy", access, ConnectFailure.OTHER, heard[0].info)]
