"""What a TLS server shows, read without believing it: why its chain is refused is said in words about certificates."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.assembly.doctor.findings import Finding, make_finding
from agent.commands.doctor.examination import BackendExamination
from agent.commands.doctor.plain_request import read_answer_head, request_text

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

EXPIRED, NOT_YET_VALID, REVOKED, CRL_MISSING = 10, 9, 23, 3
SELF_SIGNED_LEAF, SELF_SIGNED_TOP, NO_ISSUER, LEAF_ALONE = 18, 19, 20, 21
WRONG_NAME, WRONG_ADDRESS = 62, 64
"""Codes of OpenSSL (``X509_V_ERR_...``)."""
CLOCK_DIFFERS_S = 3600.0


async def explain_refused_certificate(exam: BackendExamination, error: ssl.SSLCertVerificationError) -> Finding:
    """Return the finding for a certificate that was not accepted."""
    chain, utc_offset_s = await _read_unverified(exam)
    leaf = chain[0] if chain else None
    number = error.verify_code
    if number in (EXPIRED, NOT_YET_VALID):
        return _date_finding(exam, number, chain, utc_offset_s)
    if number in (WRONG_NAME, WRONG_ADDRESS):
        return make_finding("tls_wrong_name", exam.name, host=exam.server_name, names=_names_of(leaf))
    if number == REVOKED:
        return make_finding("tls_revoked", exam.name)
    if number in (SELF_SIGNED_LEAF, SELF_SIGNED_TOP):
        return make_finding("tls_root_unknown", exam.name, issuer=_issuer_of(chain[-1:]))
    if number in (NO_ISSUER, LEAF_ALONE):
        code = "tls_issuer_unknown" if len(chain) <= 1 else "tls_root_unknown"
        return make_finding(code, exam.name, issuer=_issuer_of(chain[-1:]))
    return make_finding("tls_certificate_wrong", exam.name, error=error.verify_message)


async def _read_unverified(exam: BackendExamination) -> tuple[list[Certificate], float | None]:
    """Return the chain that the server shows, and its clock minus ours. The request has no secret and no id in it."""
    from cryptography import x509

    from agent.commands.doctor.network_rungs import open_tcp

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    chain: list[Certificate] = []
    try:
        async with asyncio.timeout(exam.of.options.timeout_s):
            connection = await open_tcp(exam.address, exam.port, exam.of.interface)
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=context, server_hostname=exam.server_name
            )
            try:
                chain = [x509.load_der_x509_certificate(c) for c in _chain_der(writer.get_extra_info("ssl_object"))]
                writer.write(request_text("HEAD", exam.server_name))
                answer = await read_answer_head(reader)
                return chain, answer.utc_offset_s
            finally:
                writer.transport.abort()
    except (OSError, ValueError, asyncio.IncompleteReadError):  # TimeoutError and SSLError are OSErrors
        return chain, None


def _chain_der(connection: Any) -> list[bytes]:
    """Return the certificates that the server has sent (DER), its own one first. The public method is of 3.13."""
    found = getattr(getattr(connection, "_sslobj", None), "get_unverified_chain", None)
    if found is not None:
        return [ssl.PEM_cert_to_DER_cert(c.public_bytes()) for c in found() or ()]
    own = connection.getpeercert(binary_form=True)
    return [own] if own else []


def _date_finding(
    exam: BackendExamination, number: int, chain: list[Certificate], utc_offset_s: float | None
) -> Finding:
    """Tell an ended certificate from a wrong clock of this machine: by the clock of the server it may be valid."""
    now = dt.datetime.now(dt.UTC)
    if chain and utc_offset_s is not None and abs(utc_offset_s) > CLOCK_DIFFERS_S:
        there = now + dt.timedelta(seconds=utc_offset_s)
        if all(c.not_valid_before_utc <= there <= c.not_valid_after_utc for c in chain):
            return make_finding("tls_station_clock", exam.name, clock=show_time(now), server_clock=show_time(there))
    if number == EXPIRED:
        ended = min((c.not_valid_after_utc for c in chain), default=None)
        return make_finding("tls_certificate_expired", exam.name, end=show_time(ended), clock=show_time(now))
    begins = max((c.not_valid_before_utc for c in chain), default=None)
    return make_finding("tls_not_yet_valid", exam.name, begin=show_time(begins), clock=show_time(now))


def show_time(moment: dt.datetime | None) -> str:
    return "?" if moment is None else moment.strftime("%Y-%m-%d %H:%M UTC")


def _issuer_of(chain: list[Certificate]) -> str:
    return chain[0].issuer.rfc4514_string() if chain else "?"


def _names_of(leaf: Certificate | None) -> str:
    from cryptography import x509

    if leaf is None:
        return "?"
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return leaf.subject.rfc4514_string()
    names = found.get_values_for_type(x509.DNSName) + [str(a) for a in found.get_values_for_type(x509.IPAddress)]
    return ", ".join(names) or "?"


def end_of_certificate(path: Path) -> dt.datetime | None:
    """Return when the certificate in this file ends; None: it cannot be read."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None
