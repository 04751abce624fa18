"""Keys and certificates of the station, as files (decision 12): a file is complete or not there, whatever happens.

``ID.key`` a private key, ``ID.pem`` the chain that belongs to it (ID: the SHA-256 of the public key, shortened),
``csms-FINGERPRINT.pem`` and ``manufacturer-FINGERPRINT.pem`` installed roots. All work blocks; ``services/keys.py``
does one thing at a time, beside the event loop.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain.certificates import HashData, Installed, Use
from agent.frozen import frozen

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.x509 import Certificate

log = logging.getLogger(__name__)

HEADS = {Use.CSMS_ROOT: "csms-", Use.MANUFACTURER_ROOT: "manufacturer-"}
ID_DIGITS = 32


@frozen
class Taken:
    """A chain that was taken: the id of its key, and until when it is valid. ``why``: why it was not."""

    id: str = ""
    begins_utc_s: float = 0.0
    expires_utc_s: float = 0.0
    why: str = ""


class Pki:
    """``folder``: ``state_dir/pki``. ``given``: roots (PEM files) of the station file, trusted like installed ones."""

    def __init__(self, folder: Path, given: Callable[[], tuple[Path, ...]] = lambda: ()) -> None:
        self._folder, self._given = folder, given
        self._names: frozenset[str] = frozenset()
        self._used: dict[str, str] = {}
        self._look()

    def _look(self) -> None:
        try:
            self._names = frozenset(os.listdir(self._folder))
        except FileNotFoundError:
            self._names = frozenset()

    # --- from memory ---------------------------------------------------------------------------------------------

    def roots(self) -> tuple[Path, ...]:
        return self.roots_of(Use.CSMS_ROOT)

    def roots_of(self, use: Use) -> tuple[Path, ...]:
        """PEM files."""
        names = sorted(n for n in self._names if n.startswith(HEADS[use]) and n.endswith(".pem"))
        return tuple(self._folder / n for n in names)

    def client(self, certificate: str) -> tuple[Path, Path] | None:
        names = f"{certificate}.pem", f"{certificate}.key"
        return (self._folder / names[0], self._folder / names[1]) if self._names.issuperset(names) else None

    def entries(self) -> int:
        """How many roots are installed."""
        return sum(n.startswith(tuple(HEADS.values())) for n in self._names if n.endswith(".pem"))

    def used(self, link: str, root: bytes | None) -> None:
        """It stays remembered until the next connection: that will want it again."""
        self._used = {name: digest for name, digest in self._used.items() if name != link}
        if root is not None:
            self._used[link] = hashlib.sha256(root).hexdigest()[:ID_DIGITS] if root else ""

    # --- own keys and certificates ---------------------------------------------------------------------------------

    def request(self, name: str, organisation: str) -> str:
        """A new key and its signing request (PEM) for the subject ``CN=name, O=organisation``; the key of a request
        that was never answered goes. Raises ``OSError``."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        parts = [(NameOID.COMMON_NAME, name[:64]), (NameOID.ORGANIZATION_NAME, organisation[:64])]
        subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in parts if text])
        made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        secret = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
        unanswered = [n for n in self._names if n.endswith(".key") and f"{n[:-4]}.pem" not in self._names]
        self._write(f"{_id_of(key.public_key())}.key", secret)
        self._remove(unanswered)
        return made.public_bytes(pem).decode("ascii")

    def take(self, chain: str, name: str, utc_s: float | None) -> Taken:
        """A signed chain, the station's own certificate first, becomes a file beside its key. Raises ``OSError``."""
        from agent.services import certs

        now = certs.utc(utc_s)
        try:
            certificates = certs.read(chain)
            own = certificates[0]
            id_ = _id_of(own.public_key())
        except (ValueError, UnicodeEncodeError):
            return Taken(why="it is no PEM certificate")
        if f"{id_}.key" not in self._names:
            return Taken(why="it is of no key that this station has made")
        if certs.common_name(own) != name:
            return Taken(why=f"its common name is not the serial number {name}")
        if why := certs.leads_to(certificates, list(self._trusted()), now):
            return Taken(why=why)
        self._write(f"{id_}.pem", b"".join(map(_pem, certificates)))
        return Taken(id_, own.not_valid_before_utc.timestamp(), own.not_valid_after_utc.timestamp())

    def keep(self, ids: tuple[str, ...]) -> None:
        """Certificates other than these are not needed any more, nor are their keys. Raises ``OSError``."""
        chains = [n for n in self._names if n.endswith(".pem") and not n.startswith(tuple(HEADS.values()))]
        old = [n[:-4] for n in chains if n[:-4] not in ids]
        self._remove([f"{id_}{tail}" for id_ in old for tail in (".pem", ".key")])

    # --- roots -------------------------------------------------------------------------------------------------------

    def install(self, use: Use, pem: str, most: int, utc_s: float | None) -> str:
        """Why it was not, or "". ``most``: so many roots may be here. Raises ``OSError``."""
        from agent.services import certs

        try:
            chain = certs.read(pem)
        except (ValueError, UnicodeEncodeError):
            return "it is no PEM certificate"
        if why := certs.root_problem(chain, certs.utc(utc_s)):
            return why
        name = f"{HEADS[use]}{_fingerprint(chain[0])}.pem"
        if name not in self._names and self.entries() >= most:
            return f"{most} roots are installed already"
        self._write(name, _pem(chain[0]))
        return ""

    def installed(self, uses: tuple[Use, ...], algorithm: str = "SHA256") -> list[tuple[Path, Installed]]:
        """Roots for these uses. A file that cannot be read is left out, and told in the log."""
        from agent.services import certs

        return [
            (path, Installed(use, certs.hash_data(root, root, algorithm)))
            for use in uses
            for path in self.roots_of(use)
            for root in _read(path)[:1]
        ]

    def delete(self, named: HashData, spare_last: bool) -> str:
        """DeleteCertificateStatusEnumType. A root that a connection hangs on stays. ``spare_last``: the last one of
        central systems too, and all of them while nobody knows which it is. Raises ``OSError``."""
        if self._is_own(named):
            return "Failed"
        for path, root in self.installed(tuple(Use), named.algorithm):
            if root.hashes.same(named):
                if root.use is Use.CSMS_ROOT and self._hangs(path, spare_last):
                    return "Failed"
                self._remove([path.name])
                return "Accepted"
        return "NotFound"

    def _hangs(self, path: Path, spare_last: bool) -> bool:
        used = frozenset(self._used.values())
        if spare_last and (len(self.roots()) == 1 or not used or "" in used):
            return True
        given = (_fingerprint(root) for file in self._given() for root in _read(file))
        return path.stem.removeprefix(HEADS[Use.CSMS_ROOT]) in used.difference(given)

    def _is_own(self, named: HashData) -> bool:
        """One of our own certificates? Its issuer is in its chain or among the roots."""
        from agent.services import certs

        trusted = list(self._trusted())
        for name in self._names:
            if not name.endswith(".pem") or name.startswith(tuple(HEADS.values())):
                continue
            chain = _read(self._folder / name)
            issuers = [c for c in (*chain[1:], *trusted) if chain and certs.issued(chain[0], c)]
            if any(certs.hash_data(chain[0], issuer, named.algorithm).same(named) for issuer in issuers[:1]):
                return True
        return False

    def _trusted(self) -> Iterator[Certificate]:
        for path in (*self.roots(), *self._given()):
            yield from _read(path)

    # --- files -------------------------------------------------------------------------------------------------------

    def _write(self, name: str, content: bytes) -> None:
        """Beside its place, synced, renamed, and the folder synced: then it may be named."""
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True)
            _sync(self._folder.parent)
        os.chmod(self._folder, 0o700)
        self._remove([n for n in self._names if n.endswith(".new")])  # of a write that was cut off
        beside = self._folder / f"{name}.new"
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(file, "wb") as f:
                f.write(content)
                f.flush()
                os.fsync(f.fileno())
            os.replace(beside, self._folder / name)
        finally:
            beside.unlink(missing_ok=True)
        _sync(self._folder)
        self._look()

    def _remove(self, names: list[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)
        if names:
            _sync(self._folder)
            self._look()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> list[Certificate]:
    from agent.services import certs

    try:
        return certs.read(path.read_bytes())
    except (OSError, ValueError) as e:
        log.error("%s: cannot be read (%s): not trusted", path, e)
        return []


def _pem(cert: Certificate) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return cert.public_bytes(serialization.Encoding.PEM)


def _fingerprint(cert: Certificate) -> str:
    from cryptography.hazmat.primitives import hashes

    return cert.fingerprint(hashes.SHA256()).hex()[:ID_DIGITS]


def _id_of(key: object) -> str:
    from cryptography.hazmat.primitives import serialization

    public: EllipticCurvePublicKey = key  # type: ignore[assignment]
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()[:ID_DIGITS]
