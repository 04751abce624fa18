"""Keep the keys and certificates of the station as files (decision 12).

A file is complete or it does not exist, whatever happens meanwhile. These files are in the folder:

* ``ID.key`` is a private key. ``ID`` is the shortened SHA-256 of its public key.
* ``ID.pem`` is the certificate chain that belongs to this key.
* ``csms-FINGERPRINT.pem`` and ``manufacturer-FINGERPRINT.pem`` are installed root certificates.
* ``csms-FINGERPRINT.withdrawn`` marks that a root of the station file was deleted.
* ``csms-FINGERPRINT.issuer`` and ``.first`` belong to a root that replaces others (``root_replacement.py``).

Roots that the station file names are trusted, listed and deleted like installed ones. All methods block.
``services/keys/orders.py`` calls them one at a time, beside the event loop.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain.certificates import CertificateUse, HashData, InstalledCertificate
from agent.model.fastclass import frozen
from agent.model.root_certificates import FINGERPRINT_DIGITS as ID_DIGITS
from agent.model.root_certificates import certificate_fingerprint, pem_certificates
from agent.ports.pki import TrustedRoots

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.x509 import Certificate

    from agent.services.keys.key_files import KeyFiles

log = logging.getLogger(__name__)

HEADS = {CertificateUse.CSMS_ROOT: "csms-", CertificateUse.MANUFACTURER_ROOT: "manufacturer-"}
WITHDRAWN = ".withdrawn"
ISSUER, FIRST = ".issuer", ".first"
"""See ``root_replacement.py``, which a station without such files does not load."""
UNANSWERED_KEYS = 4
"""So many keys may wait for their certificate."""


@frozen
class NamedFiles:
    """PEM files that the station file names."""

    roots: tuple[tuple[CertificateUse, Path], ...] = ()
    """Root certificates, each with its use."""
    own: tuple[Path, ...] = ()
    """Client certificates."""


@frozen
class Taken:
    """The outcome of taking a certificate chain."""

    id: str = ""
    """The id of the key that the chain belongs to."""
    begins_utc_s: float = 0.0
    expires_utc_s: float = 0.0
    why: str = ""
    """Why the chain was refused, or ""."""


def list_file_names(folder: Path) -> frozenset[str]:
    """Return the names of the files in a folder; none if there is no such folder."""
    try:
        return frozenset(os.listdir(folder))
    except FileNotFoundError:
        return frozenset()


class KeyStore:
    """The files in ``folder`` (``state_dir/pki``), and those that the station file names (``named``)."""

    def __init__(self, folder: Path, named: NamedFiles | None = None) -> None:
        self._folder, self._named = folder, named or NamedFiles()
        self._names_at_start = list_file_names(folder)
        self._loaded_files: KeyFiles | None = None
        self._used: dict[str, str] = {}

    @property
    def _names(self) -> frozenset[str]:
        return self._names_at_start if self._loaded_files is None else self._loaded_files.names

    @property
    def _files(self) -> KeyFiles:
        """What writes the files. Most stations never do."""
        if self._loaded_files is None:
            from agent.services.keys.key_files import KeyFiles

            self._loaded_files = KeyFiles(self._folder, list_file_names)
        return self._loaded_files

    # --- from memory ---------------------------------------------------------------------------------------------

    def trusted_roots(self) -> TrustedRoots:
        """Return the roots of central systems. Only while a new one is not proven, the station file's are read."""
        use = CertificateUse.CSMS_ROOT
        is_pinned = any(f"{name.removesuffix(ISSUER)}.pem" in self._names for name in self._names if ISSUER in name)
        trusted = TrustedRoots(self.installed_files(use), self._withdrawn_roots(use), is_pinned)
        unproven = self._unproven_roots()
        if not unproven:
            return trusted
        from agent.services.keys.root_replacement import separate_new_roots

        of_file = frozenset(mark for path in self._named_roots(use) for mark, _ in _fingerprinted_pems(path))
        return separate_new_roots(trusted, unproven, of_file - unproven)

    def _unproven_roots(self) -> frozenset[str]:
        """Return the fingerprints of new roots on which no connection has hung yet."""
        heads = (name.removesuffix(FIRST) for name in self._names if name.endswith(FIRST))
        return frozenset(
            head.removeprefix(HEADS[CertificateUse.CSMS_ROOT]) for head in heads if f"{head}.pem" in self._names
        )

    def installed_files(self, use: CertificateUse) -> tuple[Path, ...]:
        """Return the PEM files that a backend has installed for this use."""
        names = sorted(n for n in self._names if n.startswith(HEADS[use]) and n.endswith(".pem"))
        return tuple(self._folder / n for n in names)

    def _withdrawn_roots(self, use: CertificateUse) -> frozenset[str]:
        head = HEADS[use]
        marks = (n for n in self._names if n.startswith(head) and n.endswith(WITHDRAWN))
        return frozenset(n.removeprefix(head).removesuffix(WITHDRAWN) for n in marks)

    def client_certificate(self, certificate: str) -> tuple[Path, Path] | None:
        names = f"{certificate}.pem", f"{certificate}.key"
        return (self._folder / names[0], self._folder / names[1]) if self._names.issuperset(names) else None

    def count_trusted_roots(self) -> dict[CertificateUse, int]:
        """Return how many roots are trusted for each use. The files are read."""
        return {use: len(self.trusted_pems(use)) for use in CertificateUse}

    def trusted_pems(self, use: CertificateUse) -> list[str]:
        """Return the PEM text of each root that is trusted for this use, installed or of the station file, once."""
        return [pem for _, pem in self._trusted_texts(use)]

    def _trusted_texts(self, use: CertificateUse) -> list[tuple[Path, str]]:
        withdrawn, found = self._withdrawn_roots(use), dict[str, tuple[Path, str]]()
        for path in self.installed_files(use):
            for mark, pem in _fingerprinted_pems(path)[:1]:
                found[mark] = path, pem
        for path in self._named_roots(use):
            for mark, pem in _fingerprinted_pems(path):
                if mark not in withdrawn:
                    found.setdefault(mark, (path, pem))
        return list(found.values())

    def _named_roots(self, use: CertificateUse) -> list[Path]:
        return [path for named_use, path in self._named.roots if named_use is use]

    def root_used(self, link: str, root: bytes | None) -> None:
        """Remember the root that this link's connection uses, until its next connection: that will need it again."""
        self._used = {name: digest for name, digest in self._used.items() if name != link}
        if root is not None:
            self._used[link] = certificate_fingerprint(root) if root else ""

    # --- own keys and certificates ---------------------------------------------------------------------------------

    def make_request(self, name: str, organisation: str) -> str:
        """Make a key, and return a signing request of it (PEM) for the subject ``CN=name, O=organisation``.

        An authority may take days to sign (OCPP sets no limit, 2.0.1 A02): the keys of the latest ``UNANSWERED_KEYS``
        requests without an answer are kept. Raise ``OSError`` if the disk refuses.
        """
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
        before = self._files.write_newest_file(f"{_public_key_id(key.public_key())}.key", secret, unanswered)
        self._files.remove_files(before[: 1 - UNANSWERED_KEYS])
        return made.public_bytes(pem).decode("ascii")

    def take_chain(self, chain: str, name: str, utc_s: float | None) -> Taken:
        """Store a signed chain beside its key. The station's own certificate comes first in it.

        Raise ``OSError`` if the disk refuses.
        """
        from agent.services.keys import x509_certificates

        now = x509_certificates.station_time(utc_s)
        try:
            certificates = x509_certificates.read_certificates(chain)
            own = certificates[0]
            id_ = _public_key_id(own.public_key())
        except (ValueError, UnicodeEncodeError):
            return Taken(why="it is no PEM certificate")
        if f"{id_}.key" not in self._names:
            return Taken(why="it is of no key that this station has made")
        if x509_certificates.common_name(own) != name:
            return Taken(why=f"its common name is not the serial number {name}")
        if why := x509_certificates.chain_problem(certificates, list(self._trusted_certificates()), now):
            return Taken(why=why)
        self._files.write_file(f"{id_}.pem", b"".join(map(_certificate_pem, certificates)))
        return Taken(id_, own.not_valid_before_utc.timestamp(), own.not_valid_after_utc.timestamp())

    def keep_certificates(self, ids: tuple[str, ...]) -> None:
        """Remove the station's own certificates other than these, with their keys.

        Raise ``OSError`` if the disk refuses.
        """
        chains = [n for n in self._names if n.endswith(".pem") and not n.startswith(tuple(HEADS.values()))]
        old = [n[:-4] for n in chains if n[:-4] not in ids]
        self._files.remove_files([f"{id_}{tail}" for id_ in old for tail in (".pem", ".key")])

    # --- roots -------------------------------------------------------------------------------------------------------

    def install_root(
        self, use: CertificateUse, pem: str, most: int, utc_s: float | None, replaces: bool = False
    ) -> str:
        """Install a root. Return why it was refused, or "".

        At most ``most`` roots may be installed. ``replaces``: it takes the place of those that are trusted for this
        use, and one of them has to have signed it. Raise ``OSError`` if the disk refuses.
        """
        from agent.services.keys import x509_certificates

        try:
            chain = x509_certificates.read_certificates(pem)
        except (ValueError, UnicodeEncodeError):
            return "it is no PEM certificate"
        now = x509_certificates.station_time(utc_s)
        if replaces and (trusted := self._trusted_fingerprints(use)):
            return self._replace_roots(use, chain, trusted, most, now)
        return x509_certificates.root_problem(chain, now) or self._write_root_files(use, chain[0], most)

    def _replace_roots(
        self, use: CertificateUse, chain: list[Certificate], trusted: frozenset[str], most: int, now: datetime
    ) -> str:
        from agent.services.keys import x509_certificates

        if len(chain) == 1 and _certificate_fingerprint(chain[0]) in trusted:
            return ""
        why, issuer = x509_certificates.replacement_problem(chain, list(self._trusted_certificates()), now)
        return why or self._write_root_files(use, chain[0], most, issuer)

    def _write_root_files(
        self, use: CertificateUse, root: Certificate, most: int, issuer: Certificate | None = None
    ) -> str:
        """Write the files of a root. ``issuer``: one of those that it replaces. Return why there is no room, or ""."""
        mark = f"{HEADS[use]}{_certificate_fingerprint(root)}"
        if f"{mark}.pem" not in self._names and self._installed_count() >= most:
            return f"{most} roots are installed already"
        unproven = self._unproven_roots()
        if issuer is not None:
            self._files.write_file(f"{mark}{ISSUER}", _certificate_pem(issuer))
            self._files.write_file(f"{mark}{FIRST}", b"")
        self._files.write_file(f"{mark}.pem", _certificate_pem(root))
        self._files.remove_files([n for n in (f"{mark}{WITHDRAWN}",) if n in self._names])
        for other in unproven if issuer is not None else ():
            self._withdraw_root(use, other)  # it was never proven; those that it would have replaced are still there
        if issuer is None and use is CertificateUse.CSMS_ROOT:  # the check is off: all roots count alike
            self._files.remove_files([f"{HEADS[use]}{other}{FIRST}" for other in unproven])
        return ""

    def confirm_replacement(self, link: str) -> bool:
        """Remove the replaced roots if the connection of this link hangs on the new one (OCPP 2.0.1 M05.FR.13).

        One that the connection of another link hangs on stays until that changes. Return whether one was removed.
        Raise ``OSError`` if the disk refuses.
        """
        use, mark = CertificateUse.CSMS_ROOT, self._used.get(link, "")
        if mark not in self._unproven_roots():
            return False
        replaced = self._trusted_fingerprints(use) - {mark}
        gone = replaced.difference(self._used.values())
        for other in gone:
            self._withdraw_root(use, other)
        if gone == replaced:
            self._files.remove_files([f"{HEADS[use]}{mark}{FIRST}"])
        return bool(gone)

    def _trusted_fingerprints(self, use: CertificateUse) -> frozenset[str]:
        return frozenset(certificate_fingerprint(pem) for pem in self.trusted_pems(use))

    def _installed_count(self) -> int:
        return sum(len(self.installed_files(use)) for use in CertificateUse)

    def installed_roots(
        self, uses: tuple[CertificateUse, ...], algorithm: str = "SHA256"
    ) -> list[tuple[str, InstalledCertificate]]:
        """Return the roots that are trusted for these uses, each with its fingerprint.

        A file that cannot be read is left out, and the log names it.
        """
        from agent.services.keys import x509_certificates

        return [
            (
                certificate_fingerprint(pem),
                InstalledCertificate(
                    use, x509_certificates.certificate_hash_data(root, self._find_root_issuer(path, root), algorithm)
                ),
            )
            for use in uses
            for path, pem in self._trusted_texts(use)
            for root in _parse_certificates(path, pem)
        ]

    def _find_root_issuer(self, path: Path, root: Certificate) -> Certificate:
        """Return the root that has signed this one: another one if it came as a replacement."""
        other = path.with_suffix(ISSUER)
        found = _read_certificates(other) if path.parent == self._folder and other.name in self._names else []
        return found[0] if found else root

    def delete_root(self, named: HashData, spare_last: bool) -> str:
        """Delete a root, and return a DeleteCertificateStatusEnumType.

        A root that a connection uses stays. With ``spare_last`` the last root of central systems stays too, and all of
        them stay while it is not known which one is used. Raise ``OSError`` if the disk refuses.
        """
        if self._is_own_certificate(named):
            return "Failed"
        for mark, root in self.installed_roots(tuple(CertificateUse), named.algorithm):
            if root.hashes.names_same_certificate(named):
                if root.use is CertificateUse.CSMS_ROOT and self._must_keep_root(mark, spare_last):
                    return "Failed"
                self._withdraw_root(root.use, mark)
                return "Accepted"
        return "NotFound"

    def _withdraw_root(self, use: CertificateUse, mark: str) -> None:
        """Remove the file of a root, and mark it as withdrawn if the station file names it.

        The mark is on the disk before the file is removed. So a root of both sources is not trusted again after a
        power cut.
        """
        named = [pair for path in self._named_roots(use) for pair in _fingerprinted_pems(path)]
        if any(fingerprint == mark for fingerprint, _ in named):
            self._files.write_file(f"{HEADS[use]}{mark}{WITHDRAWN}", b"")
        files = (f"{HEADS[use]}{mark}{tail}" for tail in (".pem", FIRST, ISSUER))
        self._files.remove_files([n for n in files if n in self._names])

    def _must_keep_root(self, mark: str, spare_last: bool) -> bool:
        used, unproven = frozenset(self._used.values()), self._unproven_roots()
        if unproven and mark not in unproven:
            return True  # the way back, until the new root is proven
        if spare_last and (len(self.trusted_pems(CertificateUse.CSMS_ROOT)) == 1 or not used or "" in used):
            return True
        return mark in used

    def _is_own_certificate(self, named: HashData) -> bool:
        """Return whether this is a certificate of the station, signed over the air or named by the station file.

        Its issuer is in its chain or among the roots. If it is in neither, the name of the issuer and the serial number
        decide.
        """
        from agent.services.keys import x509_certificates

        heads = tuple(HEADS.values())
        chains = [self._folder / n for n in self._names if n.endswith(".pem") and not n.startswith(heads)]
        trusted = list(self._trusted_certificates())
        for chain in filter(None, map(_read_certificates, (*chains, *self._named.own))):
            issuers = [c for c in (*chain[1:], *trusted) if x509_certificates.is_issued_by(chain[0], c)]
            if x509_certificates.matches_hash_data(chain[0], issuers[0] if issuers else None, named):
                return True
        return False

    def _trusted_certificates(self) -> Iterator[Certificate]:
        for path, pem in self._trusted_texts(CertificateUse.CSMS_ROOT):
            yield from _parse_certificates(path, pem)


def _pem_texts(path: Path) -> list[str]:
    """Return the certificates of a PEM file. The log names a file that has none."""
    try:
        found = pem_certificates(path.read_text("ascii"))
    except (OSError, ValueError) as e:
        log.error("%s: cannot be read (%s): not trusted", path, e)
        return []
    if not found:
        log.error("%s: cannot be read (no PEM certificate in it): not trusted", path)
    return found


def _fingerprinted_pems(path: Path) -> list[tuple[str, str]]:
    """Return the certificates of a PEM file, each after its fingerprint. The log names a file with a damaged one."""
    found: list[tuple[str, str]] = []
    for pem in _pem_texts(path):
        try:
            found.append((certificate_fingerprint(pem), pem))
        except ValueError as e:  # cut or damaged between its first and its last line
            log.error("%s: a certificate in it cannot be read (%s): not trusted", path, e)
    return found


def _read_certificates(path: Path) -> list[Certificate]:
    return [certificate for _, pem in _fingerprinted_pems(path) for certificate in _parse_certificates(path, pem)]


def _parse_certificates(path: Path, pem: str) -> list[Certificate]:
    from agent.services.keys import x509_certificates

    try:
        return x509_certificates.read_certificates(pem)
    except ValueError as e:
        log.error("%s: cannot be read (%s): not trusted", path, e)
        return []


def _certificate_pem(cert: Certificate) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return cert.public_bytes(serialization.Encoding.PEM)


def _certificate_fingerprint(cert: Certificate) -> str:
    from cryptography.hazmat.primitives import hashes

    return cert.fingerprint(hashes.SHA256()).hex()[:ID_DIGITS]


def _public_key_id(key: object) -> str:
    from cryptography.hazmat.primitives import serialization

    public: EllipticCurvePublicKey = key  # type: ignore[assignment]
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()[:ID_DIGITS]
