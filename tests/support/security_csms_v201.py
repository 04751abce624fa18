"""What the security cases of OCPP 2.0.1 share: a station of its own, and central systems that ask who it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.certificate_authorities import Authority, tls
from tests.support.security_csms import SecureBackend, guarded
from tests.support.station_rig_v201 import Street201

FIRST = b"first-password-16"
PRIORITY = "OCPPCommCtrlr.NetworkConfigurationPriority"


class Guarded(Street201):
    """``csms`` is the central system that the station is at; ``ours`` signs its certificates."""

    csms: SecureBackend
    ours: Authority

    async def up(self, at: SecureBackend | None = None) -> None:
        """Connected, to ``at``: what is asked from now on is asked there."""
        if at is not None:
            self.csms = at
        await self.heard(lambda: self.csms.users and self.csms.there)
        await self.station.until(lambda p: p["backend"]["link"] == "up")

    async def shut_out(self) -> None:
        """The server is another one now, and the station does not get in, though it tries several times."""
        await self.station.until(lambda p: p["backend"]["link"] == "down")
        await self.heard(lambda: self.csms.front.tries > 4)
        assert self.csms.users == []
        assert (await self.station.picture())["backend"]["link"] == "down"

    async def network(self, slot: int, url: str, profile: int) -> str:
        """SetNetworkProfile; the status."""
        data = {"ocppVersion": "OCPP20", "ocppTransport": "JSON", "ocppCsmsUrl": url, "messageTimeout": 30}
        data |= {"securityProfile": profile, "ocppInterface": "Wired0"}
        answer = await self.csms.ask("SetNetworkProfile", {"configurationSlot": slot, "connectionData": data})
        return str(answer["status"])

    async def order(self, slots: str) -> str:
        return await self.put(PRIORITY, slots)

    async def reset(self) -> None:
        assert (await self.csms.ask("Reset", {"type": "Immediate"}))["status"] == "Accepted"


@asynccontextmanager
async def at_home(
    folder: Path, profile: int, more: str = "", own_certificate: bool = True, settings: str = "sample_interval_s = 0"
) -> AsyncIterator[Guarded]:
    """A station that is at its central system with this security profile. A client certificate is in its file, unless
    it shall have none (``own_certificate``)."""
    ours = Authority(folder, "Our Root")
    lines = f'versions = ["2.0.1"]\nsecurity_profile = {profile}\nca = "{ours.root}"\npassword = "{FIRST.decode()}"\n'
    lines += f'client_cert = "{ours.client("CP-1")}"\n{more}' if own_certificate else more
    context = tls(ours.server(), ours.root if profile == 3 else None) if profile >= 2 else None
    csms = SecureBackend(speaks=("2.0.1",), tls=context, key=FIRST if profile in (1, 2) else None)
    async with guarded(folder, csms, lines, settings=settings) as station:
        s = Guarded(station, csms)
        s.ours = ours
        yield s


@asynccontextmanager
async def another(s: Guarded, **more: Any) -> AsyncIterator[SecureBackend]:
    """A second central system, by default with TLS and our authority's certificate."""
    given = {"tls": tls(s.ours.server()), "key": FIRST, **more}
    async with SecureBackend(speaks=("2.0.1",), **given) as csms:
        yield csms
