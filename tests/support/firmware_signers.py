"""Firmware, and the manufacturers that a station may or may not trust; their keys are made when they are needed."""

from __future__ import annotations

import base64
import datetime
import json
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def image(version: str, **about: Any) -> bytes:
    """What the simulated updater takes (docs/control-api.md)."""
    return b"CHARGY-FW\n" + json.dumps({"version": version, **about}).encode() + b"\n" + b"\x5a" * 100_000


class Maker:
    """A manufacturer: its root certificate is a file of the station, and it signs firmware. ``begin``: its certificates
    are valid from the day before, for a year (now, if it is not given)."""

    def __init__(self, name: str = "Maker", begin: datetime.datetime | None = None) -> None:
        self._name, self._begin = name, begin
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._certificate(name, self.root_key, name, self.root_key, ca=True)
        self.certificate = self._certificate(f"{name} firmware", self.key, name, self.root_key, ca=False)

    @property
    def key_pem(self) -> str:
        """The signing key, for a tool that signs by itself."""
        form, encoding = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
        return self.key.private_bytes(encoding, form, serialization.NoEncryption()).decode("ascii")

    def certificate_for(self, *uses: x509.ExtensionType) -> str:
        """What this manufacturer signs for another use of the same key."""
        return self._certificate("another use", self.key, self._name, self.root_key, False, *uses)

    def _certificate(
        self,
        name: str,
        key: Any,
        issuer: str,
        issuer_key: Any,
        ca: bool,
        *more: x509.ExtensionType,
        path_length: int | None = None,
    ) -> str:
        now = self._begin or datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        )
        for extension in more:
            made = made.add_extension(extension, critical=False)
        return made.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode("ascii")

    def sign(self, content: bytes) -> str:
        return base64.b64encode(self.key.sign(content, ec.ECDSA(hashes.SHA256()))).decode("ascii")

    def trust(self, folder: Path) -> Path:
        path = folder / "maker.pem"
        path.write_text(self.root)
        return path
