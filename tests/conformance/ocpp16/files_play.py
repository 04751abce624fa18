"""What the cases of FirmwareManagement share: images for the simulated board, signatures, a place to send to."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from street import station_text

from ocpp16.play import QUICK, SETTINGS, Play, play

NOW = "2026-01-01T00:00:00Z"


def image(version: str, **about: Any) -> bytes:
    """What the simulated updater takes (docs/control-api.md)."""
    return b"CHARGY-FW\n" + json.dumps({"version": version, **about}).encode() + b"\n" + b"\x5a" * 100_000


def firmware(s: Play, since: int = 0) -> list[str]:
    """Statuses of the plain procedure."""
    return [p["status"] for p in s.payloads("FirmwareStatusNotification")][since:]


def signed(s: Play) -> list[str]:
    return [p["status"] for p in s.payloads("SignedFirmwareStatusNotification")]


async def update(s: Play, location: str, **more: Any) -> None:
    answer = await s.answer("UpdateFirmware", location=location, retrieveDate=NOW, **more)
    assert answer == {}


class Maker:
    """A manufacturer: its root certificate is a file of the station, and it signs firmware."""

    def __init__(self, name: str = "Maker") -> None:
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._certificate(name, self.root_key, name, self.root_key, ca=True)
        self.certificate = self._certificate(f"{name} firmware", self.key, name, self.root_key, ca=False)

    def _certificate(self, name: str, key: Any, issuer: str, issuer_key: Any, ca: bool) -> str:
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(issuer_key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM).decode("ascii")

    def sign(self, content: bytes) -> str:
        return base64.b64encode(self.key.sign(content, ec.ECDSA(hashes.SHA256()))).decode("ascii")

    def trust(self, folder: Path) -> Path:
        path = folder / "maker.pem"
        path.write_text(self.root)
        return path


@asynccontextmanager
async def trusting(folder: Path, maker: Maker) -> AsyncIterator[Play]:
    """A station that trusts this manufacturer."""
    backend = f'{QUICK}\nmanufacturer_ca = "{maker.trust(folder)}"'
    async with play(folder, station_text(1, backend=backend, settings=SETTINGS)) as s:
        s.begin()
        yield s


async def signed_update(s: Play, location: str, certificate: str, signature: str, number: int = 1, **more: Any) -> str:
    """SignedUpdateFirmware; the status of its answer."""
    firmware = {
        "location": location, "retrieveDateTime": NOW, "signingCertificate": certificate, "signature": signature,
    } | more  # fmt: skip
    return await s.ask("SignedUpdateFirmware", requestId=number, firmware=firmware)


async def in_s(s: Play, seconds: float) -> str:
    """So many seconds from now on, by the station's own clock (as it stamps what it tells)."""
    s.begin()
    await s.ask("TriggerMessage", requestedMessage="StatusNotification", connectorId=1)
    told = await s.call("StatusNotification", lambda p: p["connectorId"] == 1)
    when = datetime.datetime.fromisoformat(told["timestamp"]) + datetime.timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
