"""Verify an audit: every file unchanged, none missing or added, every signature right, and who stands behind it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands.audit.audit_signing import (
    CHAIN_MAX,
    EARLIEST_TOLERANCE,
    FORMAT,
    NAME_MAX,
    PURPOSE,
    canonical_json,
    public_key_bytes,
    signature_file_text,
    signing_use_problem,
)
from agent.commands.audit.bundle_manifest import (
    SIGNATURES_FOLDER,
    Manifest,
    compare_files,
    hash_audit_files,
    list_signature_files,
    read_manifest,
)
from agent.commands.audit.json_reading import JsonPart, RecordError, parse_json_bytes, read_file_bytes, shown_text
from agent.commands.audit.report_record import FIRST_YEAR, LAST_YEAR, ROLES, AuditRecord, load_audit_record
from agent.model.fastclass import frozen
from agent.services.keys.json_signature import (
    SigningAlgorithm,
    algorithm_of_key,
    decode_base64url,
    is_signature_right,
)

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SIGNATURE_BYTES_MAX = 256 * 1024


@frozen
class TrustAnchors:
    """Who is believed: certificates, and public keys (SubjectPublicKeyInfo, DER)."""

    certificates: tuple[Certificate, ...] = ()
    public_keys: tuple[bytes, ...] = ()


@frozen
class CheckedSignature:
    """``notes``: what is worth knowing and makes nothing wrong. ``fingerprint``: SHA-256 of the public key.
    ``is_trusted``: its key was judged, and belongs to one who is believed in this role."""

    role: str
    name: str
    at: str
    key_words: str
    fingerprint: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    is_trusted: bool = False


@frozen
class CheckedAudit:
    """``files``: how many are as the manifest says; 0 if one is not. ``problems``: of the files, and of the signatures
    as a whole."""

    record: AuditRecord | None
    files: int
    problems: tuple[str, ...]
    signatures: tuple[CheckedSignature, ...]

    @property
    def is_right(self) -> bool:
        return not self.problems and not any(s.problems for s in self.signatures)

    @property
    def is_proven(self) -> bool:
        """Nothing is wrong, and whose signatures these are is known. The record alone proves nothing: who changes it
        can write a manifest and signatures that fit."""
        return self.is_right and bool(self.signatures) and all(s.is_trusted for s in self.signatures)


def check_audit(
    folder: Path, trust: Mapping[str, TrustAnchors], now: datetime, expected_roles: Collection[str] = ()
) -> CheckedAudit:
    """Return what is right and wrong with an audit. ``trust``: by role; a role without an entry is not judged.
    ``expected_roles``: who must have signed, whatever the record says of itself.

    Raises nothing: what cannot be read is a problem.
    """
    try:
        files, names = hash_audit_files(folder), list_signature_files(folder)
        manifest = read_manifest(folder)
    except RecordError as e:
        return CheckedAudit(None, 0, (str(e),), ())
    problems = compare_files(manifest, files)
    try:
        record = load_audit_record(folder)
    except RecordError as e:
        return CheckedAudit(None, 0, (*problems, str(e)), ())
    files_right = 0 if problems else len(files)
    if record.audit_id != manifest.audit_id:
        problems.append("manifest.json: is of another audit than audit.json")
    expected = {f"{role}.json": role for role in ROLES}
    problems += [f"{SIGNATURES_FOLDER}/{n}: is no signature of a role" for n in names if n not in expected]
    signatures = [
        _check_signature(folder, role, record, manifest, trust.get(role), now)
        for file, role in expected.items()
        if file in names
    ]
    problems += _missing_roles(record, signatures, expected_roles)
    if trust and not signatures and not expected_roles:
        problems.append("there is no signature to compare with --trust")
    return CheckedAudit(record, files_right, tuple(problems), tuple(signatures))


def _missing_roles(
    record: AuditRecord, signatures: Sequence[CheckedSignature], expected_roles: Collection[str]
) -> list[str]:
    signed = {s.role for s in signatures}
    unasked = [role for role in ROLES if role in expected_roles and role not in {*signed, *record.required_roles}]
    problems = [
        f"the {role} has not signed, and the plan requires it" for role in record.required_roles if role not in signed
    ]
    problems += [f"the {role} has not signed, and --trust names who should have" for role in unasked]
    keys = [s.fingerprint for s in signatures if s.fingerprint]
    if len(set(keys)) < len(keys):
        problems.append("both roles have signed with the same key: two parties have two keys")
    return problems


def _check_signature(
    folder: Path, role: str, record: AuditRecord, manifest: Manifest, trust: TrustAnchors | None, now: datetime
) -> CheckedSignature:
    try:
        envelope = _read_envelope(folder, role)
    except RecordError as e:
        return CheckedSignature(role, "", "", "", "", (str(e),), ())
    problems = []
    if not is_signature_right(envelope.signature, envelope.signed, envelope.public_key, envelope.algorithm):
        problems.append("the signature does not belong to this statement and this key")
    problems += _statement_problems(envelope, role, record, manifest, now)
    key_problems, notes = _key_judgement(envelope, trust, now)
    digest = hashlib.sha256(public_key_bytes(envelope.public_key)).digest()
    return CheckedSignature(
        role,
        envelope.name,
        f"{envelope.at:%Y-%m-%d %H:%M:%S} UTC",
        envelope.key_words,
        f"SHA256:{base64.b64encode(digest).decode('ascii').rstrip('=')}",
        (*problems, *key_problems),
        tuple(notes),
        trust is not None and not problems and not key_problems,
    )


# --- the file of a signature ------------------------------------------------------------------------------------------


@frozen
class SignatureEnvelope:
    """What a file of a signature says. Nothing of it is believed yet. ``signed``: the bytes that were signed."""

    statement: JsonPart
    name: str
    at: datetime
    algorithm: SigningAlgorithm
    public_key: Any
    chain: tuple[Certificate, ...]
    signed: bytes
    signature: bytes

    @property
    def key_words(self) -> str:
        kinds = {"EdDSA": "Ed25519", "PS256": "RSA", "ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
        subject = (
            f" of {shown_text(self.chain[0].subject.rfc4514_string())}" if self.chain else " without a certificate"
        )
        return f"{kinds[self.algorithm.name]} key{subject}"


def _read_envelope(folder: Path, role: str) -> SignatureEnvelope:
    """Return the parts of a signature. Raises ``RecordError`` if it is not exactly as this program writes one."""
    place = f"{SIGNATURES_FOLDER}/{role}.json"
    content = read_file_bytes(folder / SIGNATURES_FOLDER / f"{role}.json", SIGNATURE_BYTES_MAX, place)
    part = parse_json_bytes(content, place)
    members = {key: part.text_at(key) for key in ("payload", "protected", "signature")}
    if signature_file_text(members).encode() != content:
        raise RecordError(f"{place}: is not as this program writes it")
    protected, payload, signature = (
        _decode_base64url(members[k], place) for k in ("protected", "payload", "signature")
    )
    header = _canonical_part(protected, f"{place}: its header")
    statement = _canonical_part(payload, f"{place}: its statement")
    chain = _chain_of_header(header)
    public_key = chain[0].public_key() if chain else _key_of_header(header)
    algorithm = algorithm_of_key(public_key)
    if algorithm is None or header.text_at("alg") != algorithm.name:
        raise RecordError(f"{place}: its algorithm is not that of its key")
    signed = f"{members['protected']}.{members['payload']}".encode("ascii")
    at = _instant_of_statement(statement)
    return SignatureEnvelope(statement, statement.text_at("name"), at, algorithm, public_key, chain, signed, signature)


def _decode_base64url(text: str, place: str) -> bytes:
    try:
        return decode_base64url(text)
    except ValueError:
        raise RecordError(f"{place}: is not base64url") from None


def _canonical_part(content: bytes, place: str) -> JsonPart:
    part = parse_json_bytes(content, place)
    if not isinstance(part.value, dict) or canonical_json(part.value) != content:
        raise RecordError(f"{place}: is not written canonically")
    return part


def _chain_of_header(header: JsonPart) -> tuple[Certificate, ...]:
    """Return the certificates of the header; none if it has a plain key. Other parameters are refused, ``crit`` too."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from agent.services.keys.x509_certificates import read_certificates

    if header.value.keys() not in ({"alg", "x5c"}, {"alg", "jwk"}):
        header.refuse_value("must have alg, and x5c or jwk")
    encoded = header.texts_at("x5c")
    if "x5c" in header.value and not 0 < len(encoded) <= CHAIN_MAX:
        header.refuse_value(f"must have 1 to {CHAIN_MAX} certificates")
    try:
        loaded = [x509.load_der_x509_certificate(base64.b64decode(one, validate=True)) for one in encoded]
        return tuple(c for one in loaded for c in read_certificates(one.public_bytes(Encoding.PEM)))
    except (ValueError, binascii.Error, x509.InvalidVersion):
        header.refuse_value("has a certificate that cannot be read")


def _key_of_header(header: JsonPart) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = header.part_at("jwk")
    if key is None or key.value.keys() != {"crv", "kty", "x"}:
        header.refuse_value("jwk must be an Ed25519 key (RFC 8037)")
    if (key.text_at("kty"), key.text_at("crv")) != ("OKP", "Ed25519"):
        header.refuse_value("jwk must be an Ed25519 key (RFC 8037)")
    try:
        return Ed25519PublicKey.from_public_bytes(_decode_base64url(key.text_at("x"), key.place))
    except ValueError:
        key.refuse_value("is no Ed25519 key")


def _instant_of_statement(statement: JsonPart) -> datetime:
    text = statement.text_at("at")
    try:
        instant = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        if not FIRST_YEAR <= instant.year <= LAST_YEAR:
            raise ValueError
        return instant
    except ValueError:
        raise RecordError(f"{statement.place}: at is no instant") from None


# --- judgements -------------------------------------------------------------------------------------------------------


def _statement_problems(
    envelope: SignatureEnvelope, role: str, record: AuditRecord, manifest: Manifest, now: datetime
) -> list[str]:
    statement, problems = envelope.statement, []
    try:
        stated = {key: statement.text_at(key) for key in ("purpose", "audit", "manifest_sha256", "role")}
        if statement.integer_at("format") != FORMAT or stated["purpose"] != PURPOSE:
            problems.append("the statement is no signature of an audit")
    except RecordError as e:
        return [str(e)]
    if stated["role"] != role:
        problems.append(f"it was signed as {stated['role'][:40]}, not as {role}")
    if stated["audit"] != manifest.audit_id:
        problems.append("it is for another audit")
    elif stated["manifest_sha256"] != manifest.sha256:
        problems.append("manifest.json was changed after it was signed")
    if len(envelope.name) > NAME_MAX or not envelope.name.strip():
        problems.append("the name of the signer is missing or too long")
    if envelope.at + EARLIEST_TOLERANCE < record.ended:
        problems.append("it says that it was signed before the audit ended")
    if envelope.at > now + EARLIEST_TOLERANCE:
        problems.append("it says that it was signed in the future")
    return problems


def _key_judgement(
    envelope: SignatureEnvelope, trust: TrustAnchors | None, now: datetime
) -> tuple[list[str], list[str]]:
    """Return problems and notes about who stands behind the key. The instant of the signature counts for dates."""
    from agent.services.keys.x509_certificates import out_of_date

    problems, notes = [], []
    for number, certificate in enumerate(envelope.chain, 1):
        if why := out_of_date(certificate, envelope.at):
            problems.append(f"certificate {number} {why}, not when it was signed")
        elif why := out_of_date(certificate, now):
            notes.append(f"certificate {number} {why}; it was valid when it was signed")
    if envelope.chain and (why := signing_use_problem(envelope.chain[0])):
        problems.append(f"certificate 1 {why}")
    problems += _broken_links(envelope.chain)
    if trust is None:
        notes.append("who owns this key was not judged: compare the fingerprint, or give --trust")
    elif why := _trust_problem(envelope, trust):
        problems.append(why)
    return problems, notes


def _broken_links(chain: Sequence[Certificate]) -> list[str]:
    from agent.services.keys.x509_certificates import is_issued_by

    pairs = itertools.pairwise(chain)
    return [
        f"certificate {n + 1} of the chain was not issued by the next one"
        for n, (one, issuer) in enumerate(pairs)
        if not is_issued_by(one, issuer, n)
    ]


def _trust_problem(envelope: SignatureEnvelope, trust: TrustAnchors) -> str:
    from agent.services.keys.x509_certificates import chain_problem, key_problem

    if public_key_bytes(envelope.public_key) in trust.public_keys:
        return ""
    if not envelope.chain:
        return "its key is none of those that are trusted"
    leaf = envelope.chain[0]
    if leaf in trust.certificates and not key_problem(leaf):
        return ""
    why = chain_problem(envelope.chain, trust.certificates, envelope.at)
    return why.replace("no installed root certificate has signed it", "no trusted certificate stands behind it")


def load_trust_anchors(path: Path) -> TrustAnchors:
    """Return the certificates and public keys of a PEM file. Raises ``RecordError``."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from agent.services.keys.x509_certificates import read_certificates

    content = read_file_bytes(path)
    begin, end = b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----"
    keys = [begin + part.partition(end)[0] + end + b"\n" for part in content.split(begin)[1:]]
    try:
        public_keys = tuple(public_key_bytes(load_pem_public_key(key)) for key in keys)
        certificates = tuple(read_certificates(content)) if b"-----BEGIN CERTIFICATE-----" in content else ()
    except (ValueError, UnsupportedAlgorithm) as e:
        raise RecordError(f"{path}: cannot be read: {e}") from None
    if not public_keys and not certificates:
        raise RecordError(f"{path}: has no certificate and no public key in PEM form")
    return TrustAnchors(certificates, public_keys)
