"""OCPP-S: the transport of SOAP envelopes over HTTP (decision 59).

The station is client and server. A connection begins when the backend can be reached and the own port is open; it ends
with the first exchange that fails, or when the own address is another one. What is no answer of OCPP (an error page,
the fault of a gateway) is reported as such: the call channel finds out whether there is a backend behind it."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from agent.model.fastclass import frozen, replace
from agent.model.secret_texts import HIDDEN, mask_urls_in_value, names_secret
from agent.model.traffic import OTHER
from agent.ocpp.dialects.dialect import Dialect, NotExpressibleError
from agent.ocpp.transport import tls
from agent.ocpp.transport.basic_auth import authorization_header
from agent.ocpp.transport.connect_problems import VERSION_REFUSED, ConnectProblem, ProblemCode
from agent.ocpp.transport.ocpp_s.callers import allowed_callers
from agent.ocpp.transport.ocpp_s.http_exchange import HttpAnswer, HttpExchange, TooLarge
from agent.ocpp.transport.ocpp_s.port_security import PortSecurity, secure_port
from agent.ocpp.transport.ocpp_s.request_server import HttpReply, RequestServer
from agent.ocpp.transport.ocpp_s.soap_codec import FaultyRequest, SoapCodec, SoapRequest
from agent.ocpp.transport.ocpp_s.tried_versions import SpokenVersion, TriedVersions
from agent.ocpp.transport.tls_contexts import TlsContextCache
from agent.ocpp.transport.traffic import WireBytes
from agent.ocpp.transport.transport import (
    Closed,
    ConnectorContext,
    NoConnection,
    TransportFamily,
    is_tls,
    without_user_info,
)
from agent.ocpp.wire.calls import (
    Answered,
    AnswerError,
    Called,
    CallError,
    CallResult,
    Code,
    Dropped,
    Errored,
    Finding,
    SendNow,
    Unprocessed,
)
from agent.ocpp.wire.soap_envelope import AddressingHeaders, NotSoap, SoapFault
from agent.ports.pki import TrustedRoots
from agent.station_file.settings import Backend

log = logging.getLogger("agent.ocpp")

_Received: TypeAlias = tuple[Answered | Errored | Unprocessed, bytes]
"""What came of a request, with its octets."""

FROM_BEARER = "from bearer"
REQUESTS_MOST = 4
"""Requests of the backend that are worked on at a time. Others wait in their connections."""
DROPPED_MOST = 8
"""Messages without a use that may wait for the reader."""
LATE = 2.0
"""The answer to a call is still welcome until so many times its time-out."""
SENDER_STATUS, RECEIVER_STATUS = 400, 500
"""The status of HTTP of a fault (SOAP 1.2 part 2, table 20)."""
REGISTRATION = "BootNotification"
"""The call whose fault may mean the version. Before there was one any call may be the first: the doctor asks with a
heartbeat."""
PROVED_S = 600.0
"""So long after an accepted registration another fault in answer to the same action means the message at once."""
ANSWERING = (200, 202, SENDER_STATUS, RECEIVER_STATUS)
"""Statuses that an answer may have. Every other one is not from OCPP, whatever comes with it."""


class SoapTransport:
    """``agent.ocpp.transport.transport.Transport``."""

    def __init__(
        self, ctx: ConnectorContext, backend: Backend, spoken: SpokenVersion, exchange: HttpExchange,
        versions: TriedVersions,
    ) -> None:  # fmt: skip
        self._ctx, self._backend, self._exchange = ctx, backend, exchange
        self._dialect, self._codec = spoken.dialect, SoapCodec(spoken.service, backend.charge_point_id)
        self._versions = versions
        self._proved_until_s: dict[str, float] = {}
        """Until when a fault in answer to an action means the message, in monotonic seconds."""
        self.end_reason = "closed"
        self._findings: deque[tuple[Finding, int]] = deque()
        self._arrived, self._ended = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._asked: dict[str, _OpenRequest] = {}
        self._places = asyncio.Semaphore(REQUESTS_MOST)
        self._wire = WireBytes()
        self._traffic = ctx.traffic.open_connection(self._wire, None)
        self._server: RequestServer | None = None
        self._own_host = self._own_address = ""

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    @property
    def tls_root(self) -> bytes | None:
        return self._exchange.tls_root

    # --- opening and closing -----------------------------------------------------------------------------------------

    async def open_exchange(self) -> None:
        """Find the own address and listen on it. Raises ``OSError``, ``NoConnection``."""
        self._own_host = await self._exchange.reach_backend()
        await self._exchange.check_certificate()
        callers = allowed_callers(self._backend, self._exchange.peer_address)
        security = await _secure_own_port(self._backend)
        server = RequestServer(self._answer_envelope, callers.admits_caller, self._charge_request, security)
        try:
            port = await server.open_port(self._own_host, self._backend.soap_port, self._backend.interface or "")
        except OSError as e:
            raise NoConnection(
                f"{self._own_host}:{self._backend.soap_port}: the port for requests of the backend cannot be opened"
                f" ({e.strerror or e}): check [backend] soap_port",
                problem=ConnectProblem(ProblemCode.OWN_PORT),
            ) from e
        self._server = server
        scheme = "https" if security.context is not None else "http"
        self._own_address = own_address(self._backend.soap_address, self._own_host, port, scheme)
        self._exchange.open_session()

    async def close(self) -> None:
        self._end_connection("closed")
        for task in self._tasks:
            task.cancel()
        for request in self._asked.values():
            request.reply.cancel()
        try:
            if self._server is not None:
                await self._server.close_port()
        finally:  # also while the link is cancelled
            await self._exchange.close_session()
            self._ctx.traffic.close_connection(self._traffic)

    def _end_connection(self, reason: str) -> None:
        if not self._ended.is_set():
            self.end_reason = reason
            self._ended.set()
            self._arrived.set()

    # --- our calls ---------------------------------------------------------------------------------------------------

    async def send_call(self, id_: str, action: str, payload: Mapping[str, Any], timeout_s: float) -> None:
        try:
            envelope = self._write_call(id_, action, payload)
        except (KeyError, TypeError, AttributeError) as e:
            raise NotExpressibleError(f"not in the table of SOAP ({type(e).__name__})") from e
        if self._ended.is_set():
            return
        if action == REGISTRATION:
            self._versions.keep_registration(self._dialect.name, payload)
        self._trace_sent(envelope, payload, lambda shown: self._write_call(id_, action, shown))
        task = asyncio.create_task(self._run_exchange(id_, action, envelope, LATE * timeout_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _write_call(self, id_: str, action: str, payload: Mapping[str, Any]) -> bytes:
        return self._codec.write_call(id_, action, payload, self._backend.connection_url, self._own_address)

    async def send_unanswered(self, id_: str, action: str, payload: Mapping[str, Any]) -> None:
        raise NotExpressibleError("every message over SOAP is answered")

    async def send_answer_error(self, error: AnswerError) -> None:
        raise NotExpressibleError("no version over SOAP knows errors of answers")

    async def _run_exchange(self, id_: str, action: str, envelope: bytes, timeout_s: float) -> None:
        if (answered := await self._call_backend(id_, action, envelope, timeout_s)) is None:
            return
        finding, body = answered
        if isinstance(finding, Errored):
            if action == REGISTRATION or self._versions.known_registration(self._dialect.name) is None:
                if self._gives_way(action, body):
                    self._end_connection(_version_refusal(self._dialect, self._versions, self._backend))
                    return
            elif self._codec.is_version_fault(body) and (
                why := await self._find_version_refusal(id_, action, timeout_s)
            ):
                finding = Unprocessed(id_, action, why, is_fault=True, is_received=False)
        self._deliver_finding(finding, len(body))
        if isinstance(finding, Unprocessed) and not finding.is_received:
            self._end_connection(finding.why)

    def _gives_way(self, action: str, refusal: bytes) -> bool:
        """Return whether this refusal means the version, and the connection ends: another one is tried soon."""
        if not self._codec.refuses_version(action, refusal):
            return False
        if not self._versions.has_others and self._versions.takes_refusal_report():
            log.error("%s: %s", self._ctx.link, _version_refusal(self._dialect, self._versions, self._backend))
        return self._ended.is_set() or self._versions.note_refusal(self._backend.connection_url)

    async def _find_version_refusal(self, id_: str, action: str, timeout_s: float) -> str:
        """Register again, to find out whether the fault in answer to a message means the version or the message. Return
        why it does not count; "": it does."""
        registration = self._versions.known_registration(self._dialect.name)
        is_proved = time.monotonic() < self._proved_until_s.get(action, 0.0)
        if registration is None or is_proved:
            return ""
        id_ = f"{id_}-version"
        envelope = self._write_call(id_, REGISTRATION, registration)
        self._trace_envelope("out", envelope)
        answered = await self._call_backend(id_, REGISTRATION, envelope, timeout_s)
        if answered is None or isinstance(answered[0], Unprocessed):
            return "no answer to a registration after a fault"
        finding, body = answered
        if isinstance(finding, Answered):
            self._proved_until_s[action] = time.monotonic() + PROVED_S
            return ""
        if not self._codec.refuses_version(REGISTRATION, body):
            return ""
        if not self._ended.is_set():  # one connection refuses a version once
            self._versions.note_refusal(self._backend.connection_url)
        return _version_refusal(self._dialect, self._versions, self._backend)

    async def _call_backend(self, id_: str, action: str, envelope: bytes, timeout_s: float) -> _Received | None:
        """Return what came of a request, with its octets. None: nothing in time, or the connection has ended."""
        import aiohttp

        try:
            answer = await self._exchange.post_envelope(action, envelope, timeout_s)
        except TimeoutError:
            return None  # the call channel finds out whether the backend is still there
        except TooLarge:  # nothing shows that it is SOAP
            return Unprocessed(id_, action, "an answer that is too large"), b""
        except aiohttp.ClientConnectorError as e:
            return Unprocessed(id_, action, describe_failure(e), is_received=False), b""
        except (aiohttp.ClientError, OSError, ValueError) as e:
            self._end_connection(describe_failure(e))
            return None
        return self._read_answer(id_, action, answer)

    def _read_answer(self, id_: str, action: str, answer: HttpAnswer) -> _Received:
        try:
            if answer.status not in ANSWERING:
                raise NotSoap("an error page")
            finding = self._codec.read_answer(id_, action, answer.body)
        except NotSoap as e:  # a page of a proxy or of an application server neither acknowledges nor refuses a bill
            self._trace_text("in", f"<HTTP {answer.status} and no SOAP, {len(answer.body)} octets>")
            return Unprocessed(id_, action, f"HTTP {answer.status}, {e}", answer.status), answer.body
        self._trace_envelope("in", answer.body)
        if isinstance(finding, Unprocessed):
            finding = replace(finding, why=f"HTTP {answer.status}, {finding.why}", status=answer.status)
        elif isinstance(finding, Answered):
            self._versions.note_acceptance(self._backend.connection_url)
        return finding, answer.body

    # --- requests of the backend -------------------------------------------------------------------------------------

    async def _answer_envelope(self, octets: bytes) -> HttpReply:
        """Return the reply to the body of a POST."""
        try:
            request = self._codec.read_request(octets)
        except FaultyRequest as e:
            self._trace_text("in", f"<no request for this station, {len(octets)} octets>")
            if len(self._findings) < DROPPED_MOST:
                self._deliver_finding(Dropped(str(e)), len(octets))
            return self._fault_reply(e.fault, e.message_id)
        async with self._places:
            return await self._ask_station(request, octets)

    async def _ask_station(self, request: SoapRequest, octets: bytes) -> HttpReply:
        self._trace_request(request, octets)
        id_ = f"soap{next(self._numbers)}"
        reply: asyncio.Future[HttpReply] = asyncio.get_running_loop().create_future()
        self._asked[id_] = _OpenRequest(request, reply)
        try:
            self._deliver_finding(Called(id_, request.action, request.payload), len(octets))
            async with asyncio.timeout(2 * self._ctx.timeouts.answer_s):
                return await reply
        except TimeoutError:
            return self._fault_reply(SoapFault(False, "InternalError", "no answer in time"), request.message_id)
        finally:
            del self._asked[id_]

    async def send_response(self, response: CallResult | CallError | SendNow) -> None:
        asked = None if isinstance(response, SendNow) else self._asked.get(response.id)
        if isinstance(response, SendNow) or asked is None or asked.reply.done():
            return  # the caller has hung up
        status, envelope = 200, b""
        if isinstance(response, CallResult):
            envelope = self._write_answer(asked.request, response.payload)
        if not envelope:
            error = response if isinstance(response, CallError) else CallError(response.id, Code.INTERNAL)
            envelope, fault = self._codec.write_refusal(asked.request, error)
            status = _fault_status(fault)
            self._trace_envelope("out", envelope)
        asked.reply.set_result(HttpReply(status, envelope, asked.request.action))

    def _write_answer(self, request: SoapRequest, payload: Mapping[str, Any]) -> bytes:
        """Return the envelope of an answer; none if the payload does not fit the table."""
        try:
            envelope = self._codec.write_answer(request, payload)
            self._trace_sent(envelope, payload, lambda shown: self._codec.write_answer(request, shown))
            return envelope
        except (KeyError, TypeError, AttributeError):
            log.exception("%s: an answer to %s cannot be written: please report", self._ctx.link, request.action)
            return b""

    def _fault_reply(self, fault: SoapFault, message_id: str) -> HttpReply:
        envelope = self._codec.write_fault(fault, message_id)
        self._trace_envelope("out", envelope)
        return HttpReply(_fault_status(fault), envelope, OTHER)

    def _charge_request(self, action: str, received: int, sent: int) -> None:
        self._wire.received += received
        self._traffic.charge_message(action)
        self._wire.sent += sent
        self._traffic.charge_message(action)

    # --- what is read ------------------------------------------------------------------------------------------------

    def _deliver_finding(self, finding: Finding, size: int) -> None:
        self._findings.append((finding, size))
        self._arrived.set()

    async def receive_message(self) -> tuple[Finding, int]:
        while not self._findings:
            if self._ended.is_set():
                raise Closed(self.end_reason)
            self._arrived.clear()
            await self._arrived.wait()
        return self._findings.popleft()

    async def is_alive(self) -> bool:
        """Look whether the port of the backend can be reached, and whether the own address is still the same."""
        try:
            async with asyncio.timeout(self._ctx.timeouts.pong_s):
                own_host = await self._exchange.reach_backend()
        except OSError as e:  # TimeoutError is one
            self._end_connection(describe_failure(e))
            return False
        if own_host != self._own_host:
            self._end_connection(f"the own address is {own_host} now")
            return False
        return True

    # --- for people --------------------------------------------------------------------------------------------------

    def _trace_text(self, direction: str, text: str) -> None:
        self._ctx.trace(direction, self._ctx.link, self._dialect.name, text)

    def _trace_envelope(self, direction: str, envelope: bytes) -> None:
        text = envelope.decode("utf-8", "replace")
        self._trace_text(direction, HIDDEN if names_secret(text) and direction == "in" else text)

    def _trace_sent(
        self, envelope: bytes, payload: Mapping[str, Any], write_again: Callable[[Mapping[str, Any]], bytes]
    ) -> None:
        """Show a message of the station. One with the password of an address in it is written again."""
        masked = mask_urls_in_value(payload)
        self._trace_envelope("out", envelope if masked == payload else write_again(masked))

    def _trace_request(self, request: SoapRequest, octets: bytes) -> None:
        """Show a request. One in which something is hidden is written again."""
        text = octets.decode("utf-8", "replace")
        masked = mask_urls_in_value(self._dialect.mask_secrets(request.action, request.payload))
        if masked == request.payload and not names_secret(text):
            self._trace_text("in", text)
        elif _fits_schema(self._dialect, request):
            headers = AddressingHeaders(message_id=request.message_id, action=f"/{request.action}")
            self._trace_text("in", self._codec.write_shown_call(headers, request.action, masked).decode())
        else:
            self._trace_text("in", HIDDEN)


@frozen
class _OpenRequest:
    request: SoapRequest
    reply: asyncio.Future[HttpReply]


async def _secure_own_port(backend: Backend) -> PortSecurity:
    """Return how the own port is secured. Raises ``NoConnection``: a port that should be secured is not open."""
    try:
        return await asyncio.to_thread(secure_port, backend)
    except ValueError as e:
        line = f"the port for requests of the backend is not opened: [backend] {e}"
        raise NoConnection(line, problem=ConnectProblem(ProblemCode.OWN_PORT)) from e
    except OSError as e:
        raise NoConnection(
            "the port for requests of the backend is not opened: [backend] client_cert, client_key, soap_client_ca:"
            f" not usable ({e}): check the files",
            problem=ConnectProblem(ProblemCode.OWN_PORT),
        ) from e


def _fits_schema(dialect: Dialect, request: SoapRequest) -> bool:
    check = dialect.schemas.request_check(request.action) if dialect.schemas else None
    return check is not None and check(request.payload) is None


def _version_refusal(dialect: Dialect, versions: TriedVersions, backend: Backend) -> str:
    why = f"OCPP {dialect.name}: the {VERSION_REFUSED}"
    if versions.has_others:
        return why
    address = without_user_info(backend.connection_url)
    return f"{why} at {address}, and [backend] versions has no other one for SOAP: add what is spoken there"


def own_address(setting: str, host: str, port: int, scheme: str = "http") -> str:
    """Return the address at which the backend may call the station."""
    if setting != FROM_BEARER:
        return setting
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def _fault_status(fault: SoapFault) -> int:
    return SENDER_STATUS if fault.is_sender else RECEIVER_STATUS


def describe_failure(error: BaseException) -> str:
    """Return why an exchange has failed, as a part of a line, without an address in it."""
    if (failed := tls.ssl_error(error)) is not None:
        return f"TLS failed ({failed.reason or type(failed).__name__})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    reason = getattr(error, "strerror", None) if isinstance(error, OSError) else None
    return f"{type(error).__name__}{f': {reason}' if reason else ''}"


class SoapConnector:
    """``agent.ocpp.transport.transport.Connector``. It tries the versions that have tables for SOAP in turn, while a
    fault in answer to the registration means the version."""

    def __init__(self, ctx: ConnectorContext) -> None:
        self._ctx = ctx
        self._versions = TriedVersions(ctx.dialects)
        self._contexts = TlsContextCache()

    async def connect(self, backend: Backend, password: bytes | None, roots: TrustedRoots) -> SoapTransport:
        where = without_user_info(backend.connection_url)
        if (spoken := self._versions.current_version()) is None:
            raise NoConnection(f"{where}: no version in [backend] versions is spoken over SOAP: check versions and url")
        is_secured = is_tls(backend.connection_url)
        context = self._contexts.context_for(backend, roots, self._ctx.wire.one_key_share) if is_secured else None
        headers = {"User-Agent": "chargy-agent", **authorization_header(backend, password)}
        exchange = HttpExchange(backend, context, headers, self._ctx.wire.user_timeout_s, self._ctx.traffic)
        transport = SoapTransport(self._ctx, backend, spoken, exchange, self._versions)
        try:
            async with asyncio.timeout(self._ctx.timeouts.open_s):
                await transport.open_exchange()
        except BaseException as e:
            await transport.close()
            if isinstance(e, OSError):  # TimeoutError is one
                raise self._no_connection(backend, where, e) from e
            raise
        return transport

    def _no_connection(self, backend: Backend, where: str, error: OSError) -> NoConnection:
        failed = tls.ssl_error(error)
        self._ctx.traffic.count_failed_attempt(with_tls=failed is not None)
        line = f"{where}: {describe_failure(error)}: check [backend] soap_url, and that the backend runs"
        if failed is None:
            code = ProblemCode.REFUSED if isinstance(error, ConnectionRefusedError) else ProblemCode.UNREACHABLE
            return NoConnection(line, problem=ConnectProblem(code))
        is_certificate = isinstance(failed, ssl.SSLCertVerificationError)
        code = ProblemCode.CERTIFICATE if is_certificate else ProblemCode.TLS
        trouble = tls.classify_failure(failed, backend.security_profile == 3)
        return NoConnection(line, trouble=trouble, problem=ConnectProblem(code))


def preload_library() -> None:
    """Import what the first exchange will need."""
    for name in ("aiohttp.web", "defusedxml.ElementTree", "xml.etree.ElementTree"):
        importlib.import_module(name)


OCPP_S = TransportFamily(SoapConnector, preload_library)
