"""What the security cases share: a station of its own that has been at a central system which asks who it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from tests.conformance.ocpp16.play import SETTINGS, Play
from tests.support.certificate_authorities import Authority, tls
from tests.support.security_csms import SecureBackend, guarded

FIRST = b"first-password-16"
BASIC = f'security_profile = 1\npassword = "{FIRST.decode()}"'


Basic: TypeAlias = tuple[Play, SecureBackend]
Guarded: TypeAlias = tuple[Play, SecureBackend, Authority]


@asynccontextmanager
async def basic(folder: Path, more: str = "") -> AsyncIterator[Basic]:
    """Profile 1."""
    csms = SecureBackend(key=FIRST)
    async with guarded(folder, csms, f"{BASIC}\n{more}", settings=SETTINGS) as station:
        yield Play(station, csms), csms


@asynccontextmanager
async def with_tls(folder: Path, profile: int = 2) -> AsyncIterator[Guarded]:
    """Profile 2 or 3. The authority signs both sides."""
    ours = Authority(folder, "Our Root")
    lines = f'security_profile = {profile}\nca = "{ours.root}"\npassword = "{FIRST.decode()}"'
    lines += f'\nclient_cert = "{ours.client("CP-1")}"'
    csms = SecureBackend(tls=tls(ours.server(), ours.root if profile == 3 else None))
    async with guarded(folder, csms, lines, settings=SETTINGS) as station:
        yield Play(station, csms), csms, ours


async def shut_out(s: Play, csms: SecureBackend) -> None:
    """The server is another one now, and the station does not get in, though it tries several times."""
    await s.station.until(lambda p: p["backend"]["link"] == "down")
    await s.heard(lambda: csms.front.tries > 4)
    assert csms.users == []
    assert (await s.station.picture())["backend"]["link"] == "down"


async def back(s: Play, csms: SecureBackend) -> None:
    await s.heard(lambda: csms.users and csms.there)
    await s.station.until(lambda p: p["backend"]["link"] == "up")
