"""Sign an audit: a file for each role, in a standard form that other programs verify too.

A signature is a JSON Web Signature (RFC 7515, flattened JSON serialization) over a statement: which audit, the SHA-256
of ``manifest.json``, who signs in which role, and when. Its header has the certificate chain (``x5c``) or, for a plain
Ed25519 key, the public key (``jwk``, RFC 8037).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands.audit.bundle_manifest import (
    SIGNATURES_FOLDER,
    Manifest,
    compare_files,
    hash_audit_files,
    list_signature_files,
    read_manifest,
)
from agent.commands.audit.json_reading import RecordError, shown_text
from agent.commands.audit.report_record import AuditRecord, load_audit_record
from agent.model.fastclass import frozen
from agent.model.secret_file import Unfit, read_secret
from agent.services.keys.json_signature import SigningAlgorithm, algorithm_of_key, encode_base64url, sign_bytes

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

FORMAT = 1
PURPOSE = "signature of an audit by chargy-agent"
NAME_MAX, CHAIN_MAX = 200, 8
EARLIEST_TOLERANCE = timedelta(minutes=5)
"""A clock of another machine may be behind by this much."""


@frozen
class SigningKey:
    """A private key, and the certificates behind it, its own first."""

    private_key: Any
    algorithm: SigningAlgorithm
    chain: tuple[Certificate, ...]


# --- keys -------------------------------------------------------------------------------------------------------------


def load_signing_key(key_file: Path, certificate_file: Path | None, ask_passphrase: Callable[[], str]) -> SigningKey:
    """Return the key. ``ask_passphrase`` is called only if the key is encrypted.

    Raises ``RecordError``; no message has a part of the key or of the passphrase.
    """
    private_key = read_private_key(key_file, ask_passphrase)
    try:
        algorithm = algorithm_of_key(private_key.public_key())
    except AttributeError:
        algorithm = None
    if algorithm is None:
        kinds = "Ed25519, an elliptic curve (P-256, P-384, P-521), or RSA of 2048 bits and more"
        raise RecordError(f"{key_file}: keys of this kind do not sign audits; use {kinds}")
    chain = _read_chain(certificate_file) if certificate_file else ()
    if chain and public_key_bytes(chain[0].public_key()) != public_key_bytes(private_key.public_key()):
        raise RecordError(f"{certificate_file}: its first certificate is for another key than {key_file}")
    if not chain and algorithm.name != "EdDSA":
        raise RecordError(f"{key_file}: a key of this kind needs its certificate (--certificate)")
    return SigningKey(private_key, algorithm, chain)


def read_private_key(key_file: Path, ask_passphrase: Callable[[], str]) -> Any:
    """Return the key. ``ask_passphrase`` is called only if it is encrypted. Raises ``RecordError``."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        pem = read_secret(key_file)
    except Unfit as e:
        raise RecordError(f"{key_file}: {e}") from None
    try:
        return load_pem_private_key(pem, None)
    except TypeError:  # it is encrypted
        pass
    except (ValueError, UnsupportedAlgorithm):
        raise RecordError(f"{key_file}: is no private key in PEM form (PKCS #8)") from None
    try:
        return load_pem_private_key(pem, ask_passphrase().encode("utf-8"))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RecordError(f"{key_file}: the passphrase is wrong, or the key is damaged") from None


def _read_chain(certificate_file: Path) -> tuple[Certificate, ...]:
    from agent.services.keys.x509_certificates import read_certificates

    try:
        chain = tuple(read_certificates(certificate_file.read_bytes()))
    except (OSError, ValueError) as e:
        raise RecordError(f"{certificate_file}: cannot be read as certificates in PEM form: {e}") from None
    if not 0 < len(chain) <= CHAIN_MAX:
        raise RecordError(f"{certificate_file}: has {len(chain)} certificates, 1 to {CHAIN_MAX} are wanted")
    return chain


def public_key_bytes(public_key: Any) -> bytes:
    """Return the SubjectPublicKeyInfo (DER)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


# --- signing ----------------------------------------------------------------------------------------------------------


def sign_audit(folder: Path, role: str, key: SigningKey, name: str, now: datetime) -> Path:
    """Sign the audit in this folder; return the file of the signature.

    ``name``: who signs; "" means the common name of the certificate. Raises ``RecordError`` if the folder is not as its
    manifest says, the role has signed already, or the certificate is not valid now; ``OSError``.
    """
    record, manifest = load_audit_record(folder), read_manifest(folder)
    _refuse_unfit_folder(folder, role, record, manifest, now)
    signer = _name_of_signer(name, key.chain)
    _refuse_unfit_certificate(key.chain, now)
    statement = {
        "format": FORMAT,
        "purpose": PURPOSE,
        "audit": manifest.audit_id,
        "manifest_sha256": manifest.sha256,
        "role": role,
        "name": signer,
        "at": f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    target = folder / SIGNATURES_FOLDER / f"{role}.json"
    target.parent.mkdir(exist_ok=True)
    with target.open("x", encoding="utf-8") as file:
        file.write(_signature_text(statement, key))
    return target


def _refuse_unfit_folder(folder: Path, role: str, record: AuditRecord, manifest: Manifest, now: datetime) -> None:
    if problems := compare_files(manifest, hash_audit_files(folder)):
        raise RecordError("; ".join(problems) + ": the folder is not as its manifest says; it is not signed")
    if manifest.audit_id != record.audit_id:
        raise RecordError("manifest.json and audit.json are of different audits")
    if f"{role}.json" in list_signature_files(folder):
        raise RecordError(f"{SIGNATURES_FOLDER}/{role}.json: the {role} has signed already; remove it to sign again")
    if not record.is_complete:
        raise RecordError("audit.json: the audit was interrupted; resume it, then sign")
    if now + EARLIEST_TOLERANCE < record.ended:
        raise RecordError(
            f"the audit ended at {record.ended:%Y-%m-%d %H:%M:%S} UTC: the clock of this machine is behind"
        )


def _name_of_signer(name: str, chain: Sequence[Certificate]) -> str:
    from agent.services.keys.x509_certificates import common_name

    signer = (name or (common_name(chain[0]) if chain else "")).strip()
    if not signer:
        raise RecordError("who signs? --name gives the name of the person or company")
    if len(signer) > NAME_MAX or shown_text(signer) != signer or "\n" in signer:
        raise RecordError(f"the name of the signer must be one line of at most {NAME_MAX} printable characters")
    return signer


def _refuse_unfit_certificate(chain: Sequence[Certificate], now: datetime) -> None:
    from agent.services.keys.x509_certificates import out_of_date

    for number, certificate in enumerate(chain, 1):
        if why := out_of_date(certificate, now):
            raise RecordError(f"certificate {number} {why}: it cannot sign now")
    if chain and (why := signing_use_problem(chain[0])):
        raise RecordError(f"certificate 1 {why}")


def signing_use_problem(certificate: Certificate) -> str:
    """Return why this certificate is not meant for signatures, or "" (RFC 5280 4.2.1.3)."""
    from cryptography import x509

    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return ""
    return "" if usage.digital_signature or usage.content_commitment else "is not for signatures (its key usage)"


def _signature_text(statement: dict[str, Any], key: SigningKey) -> str:
    protected = encode_base64url(canonical_json({"alg": key.algorithm.name, **_key_header(key)}))
    payload = encode_base64url(canonical_json(statement))
    signature = sign_bytes(f"{protected}.{payload}".encode("ascii"), key.private_key, key.algorithm)
    members = {"payload": payload, "protected": protected, "signature": encode_base64url(signature)}
    return signature_file_text(members)


def signature_file_text(members: dict[str, str]) -> str:
    """Return the one text that the file of a signature has."""
    return json.dumps(members, indent=1, sort_keys=True) + "\n"


def _key_header(key: SigningKey) -> dict[str, Any]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if key.chain:
        return {"x5c": [base64.b64encode(c.public_bytes(Encoding.DER)).decode("ascii") for c in key.chain]}
    raw = key.private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"jwk": {"crv": "Ed25519", "kty": "OKP", "x": encode_base64url(raw)}}


def canonical_json(value: Any) -> bytes:
    """Return the one text of a value: names in order, no blanks (RFC 8785; there are no fractions in it)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
