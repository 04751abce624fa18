"""The rung of TLS: a handshake with the context of the real link, on a socket of the doctor's own."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import time
from collections.abc import AsyncIterator

from agent.assembly.doctor.findings import Finding, make_finding
from agent.commands.doctor.certificates import end_of_certificate, explain_refused_certificate, show_time
from agent.commands.doctor.examination import BackendExamination
from agent.commands.doctor.network_rungs import open_tcp
from agent.domain.backend_connection import ConnectFailure
from agent.ocpp.transport import tls
from agent.ocpp.transport.transport import is_tls

ALERT_S = 0.5
"""In TLS 1.3 a server refuses a client certificate after the handshake: its alert is waited for so long, and as long as
the handshake has taken."""
ENDS_SOON = dt.timedelta(days=14)
NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
FAILURE_CODES = {ConnectFailure.TLS_VERSION: "tls_version", ConnectFailure.TLS_CIPHER: "tls_cipher"}


class NotingObject(ssl.SSLObject):
    """Notes in an error whether the server had chosen a cipher suite before: then a failure is not about suites."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLError as e:
            e.had_cipher = self.cipher() is not None  # type: ignore[attr-defined]
            raise


async def judge_tls(exam: BackendExamination) -> AsyncIterator[Finding]:
    target = exam.target
    if not is_tls(target.connection_url):
        code = "tls_needed" if target.security_profile >= 2 else "tls_not_used"
        yield make_finding(code, exam.name, profile=target.security_profile)
        return
    try:
        context = await asyncio.to_thread(tls.build_context, target, exam.roots)
    except OSError as e:
        yield make_finding("tls_files", exam.name, error=e)
        return
    context.sslobject_class = NotingObject
    own = target.client_cert if target.security_profile == 3 else None
    if own is not None and (end := end_of_certificate(own)) is not None and end < dt.datetime.now(dt.UTC):
        yield make_finding("tls_own_certificate_ended", exam.name, end=show_time(end))
    finding = await _try_handshake(exam, context)
    if finding.code in ("tls_good", "tls_ends_soon"):
        exam.tls_context = context
    yield finding


async def _try_handshake(exam: BackendExamination, context: ssl.SSLContext) -> Finding:
    try:
        began_s = time.monotonic()
        async with asyncio.timeout(exam.of.options.timeout_s):
            connection = await open_tcp(exam.address, exam.port, exam.of.interface)
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=context, server_hostname=exam.server_name
            )
        try:
            made = writer.get_extra_info("ssl_object")
            await _wait_for_alert(reader, ALERT_S + time.monotonic() - began_s)
            return _good_finding(exam, made)
        finally:
            writer.transport.abort()
    except ssl.SSLCertVerificationError as e:
        return await explain_refused_certificate(exam, e)
    except ssl.SSLError as e:
        return _failed_finding(exam, e)
    except TimeoutError:
        return make_finding("tls_silent", exam.name)
    except ConnectionError:
        return make_finding("tls_hung_up", exam.name)
    except OSError as e:
        return make_finding("tls_failed", exam.name, error=e.strerror or e)


async def _wait_for_alert(reader: asyncio.StreamReader, patience_s: float) -> None:
    """Raise what the server says about our certificate, or that it hangs up. A good server says nothing."""
    try:
        async with asyncio.timeout(patience_s):
            octets = await reader.read(1)
    except TimeoutError:
        return
    if not octets:
        raise ConnectionResetError


def _good_finding(exam: BackendExamination, made: ssl.SSLObject) -> Finding:
    certificate = made.getpeercert() or {}
    end = dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), dt.UTC)
    if end - dt.datetime.now(dt.UTC) < ENDS_SOON:
        return make_finding("tls_ends_soon", exam.name, end=show_time(end))
    return make_finding("tls_good", exam.name, version=made.version() or "TLS", end=show_time(end))


def _failed_finding(exam: BackendExamination, error: ssl.SSLError) -> Finding:
    reason = (error.reason or "").upper()
    shows_own = exam.target.security_profile == 3 and exam.target.client_cert is not None
    failure = tls.classify_failure(error, shows_own)
    is_late_refusal = failure is ConnectFailure.TLS_CIPHER and getattr(error, "had_cipher", False)
    if failure is ConnectFailure.OWN_CERTIFICATE or is_late_refusal:
        code = "tls_client_certificate_refused" if shows_own else "tls_client_certificate_demanded"
        return make_finding(code, exam.name, error=error.reason or error)
    if any(word in reason for word in NOT_TLS):
        return make_finding("tls_not_tls", exam.name)
    if "EOF" in reason:
        return make_finding("tls_hung_up", exam.name)
    return make_finding(FAILURE_CODES.get(failure, "tls_failed"), exam.name, error=error.reason or error)
