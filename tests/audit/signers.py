"""Keys and certificates of those who sign audits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from tests.support.certificate_authorities import SPAN, Authority, pem

PASSPHRASE = "correct horse battery staple"


def new_key(kind: str) -> Any:
    """A private key: ed25519, p256, p384, p521, p224, rsa or rsa1024."""
    curves = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1, "p224": ec.SECP224R1}
    if kind in curves:
        return ec.generate_private_key(curves[kind]())
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:] or 2048))
    return ed25519.Ed25519PrivateKey.generate()


def write_key(path: Path, key: Any, passphrase: str = "", mode: int = 0o600) -> Path:
    protection: Any = serialization.NoEncryption()
    if passphrase:
        protection = serialization.BestAvailableEncryption(passphrase.encode())
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection))
    path.chmod(mode)
    return path


def public_pem(key: Any) -> str:
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, info).decode("ascii"))


class Party:
    """One who signs, with a key and a certificate that an authority has signed, through one between them."""

    def __init__(
        self, folder: Path, name: str, kind: str = "p256", span: tuple[int, int] = SPAN, extension: Any = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.key = name, new_key(kind)
        self.root = Authority(folder, f"Root of {name}")
        self.between = Authority(folder, f"Issuing authority of {name}", above=self.root)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self.between.certify(subject, self.key.public_key(), span, extension)
        self.key_file = write_key(folder / "key.pem", self.key)
        self.certificate_file = folder / "chain.pem"
        self.certificate_file.write_text(pem(self.certificate) + self.between.pem, "ascii")
        self.trust_file = self.root.root
