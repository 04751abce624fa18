"""The border to transports, which may come from other distributions: whatever one does, the link and the charging
sessions go on (decision 35).

An error while a transport opens is a failed attempt to connect. Any later error is the end of its connection. No step
takes for ever: a transport that does not close in time is abandoned. This is foreign code of any kind, so every
``Exception`` is caught here."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from agent.ocpp.dialects.dialect import Dialect, NotExpressibleError
from agent.ocpp.transport.families import load_family
from agent.ocpp.transport.timeouts import Timeouts
from agent.ocpp.transport.transport import (
    Closed,
    Connector,
    ConnectorContext,
    NoConnection,
    Transport,
    without_user_info,
)
from agent.ocpp.wire.calls import AnswerError, CallError, CallResult, Finding, SendNow
from agent.ports.pki import TrustedRoots
from agent.station_file.settings import Backend

log = logging.getLogger("agent.ocpp")
T = TypeVar("T")
MARGIN = 2
"""A transport keeps the time-outs itself, and knows best what was late: here they are so many times as long."""


class GuardedTransport:
    """``agent.ocpp.transport.transport.Transport`` around another one. It keeps the contract if that one does not."""

    def __init__(self, inside: Transport, timeouts: Timeouts) -> None:
        self._inside, self._timeouts = inside, timeouts
        self._failure = ""
        self.dialect, self.tls_root = inside.dialect, inside.tls_root
        if not isinstance(self.dialect, Dialect) or not isinstance(self.tls_root, bytes | None):
            raise TypeError("its dialect is no Dialect, or its tls_root is not bytes")

    @property
    def end_reason(self) -> str:
        try:
            return self._failure or str(self._inside.end_reason)
        except Exception as e:  # noqa: BLE001  foreign code
            return _describe_error(e)

    async def _run_inside(self, limit_s: float, work: Callable[[], Awaitable[T]]) -> T:
        """Raises ``TimeoutError`` after ``limit_s``, ``NotExpressibleError`` as it comes, and ``Closed`` for every
        other error."""
        try:
            return await _run_limited(limit_s, work)
        except (Closed, NotExpressibleError, TimeoutError):
            raise
        except Exception as e:  # foreign code
            raise self._closed_by(e) from e

    def _closed_by(self, error: Exception) -> Closed:
        self._failure = _describe_error(error)
        return Closed(self._failure)

    async def send_call(self, id_: str, action: str, payload: Mapping[str, Any], timeout_s: float) -> None:
        """Send a request. One that is not written in time is like one without an answer: a slow line may still carry
        it. Raises ``NotExpressibleError``, and ``Closed``."""
        try:
            await self._run_inside(timeout_s, lambda: self._inside.send_call(id_, action, payload, timeout_s))
        except TimeoutError:
            log.debug("%s %s was not written within %g s", action, id_, timeout_s)

    async def send_unanswered(self, id_: str, action: str, payload: Mapping[str, Any]) -> None:
        try:
            await self._run_inside(
                MARGIN * self._timeouts.answer_s, lambda: self._inside.send_unanswered(id_, action, payload)
            )
        except TimeoutError as e:
            raise self._closed_by(e) from e

    async def send_answer_error(self, error: AnswerError) -> None:
        try:
            await self._run_inside(MARGIN * self._timeouts.answer_s, lambda: self._inside.send_answer_error(error))
        except TimeoutError:
            log.debug("the error of an answer was not written in time")
        except NotExpressibleError as e:
            raise self._closed_by(e) from e

    async def send_response(self, response: CallResult | CallError | SendNow) -> None:
        try:
            await self._run_inside(MARGIN * self._timeouts.answer_s, lambda: self._inside.send_response(response))
        except TimeoutError:
            log.debug("a response was not written in time")
        except NotExpressibleError as e:
            raise self._closed_by(e) from e

    async def receive_message(self) -> tuple[Finding, int]:
        try:
            finding, size = await self._inside.receive_message()
        except Closed:
            raise
        except Exception as e:  # foreign code
            raise self._closed_by(e) from e
        return finding, size

    async def is_alive(self) -> bool:
        try:
            return await self._run_inside(MARGIN * self._timeouts.pong_s, lambda: self._inside.is_alive())
        except (Closed, NotExpressibleError, TimeoutError):
            return False

    async def close(self) -> None:
        """Close the connection. A transport that does not close within the time for opening is abandoned."""
        try:
            await self._run_inside(self._timeouts.open_s, lambda: self._inside.close())
        except (Closed, NotExpressibleError, TimeoutError) as e:
            log.warning(
                "the transport %s cannot be closed (%s): abandoned", type(self._inside).__name__, _describe_error(e)
            )


class GuardedConnector:
    """Opens the connections of one link over the transport ``entry`` (``module:attribute`` of its family). Raises
    ``NoConnection`` if there is no such transport, or it fails."""

    def __init__(self, entry: str, ctx: ConnectorContext) -> None:
        self._entry, self._timeouts = entry, ctx.timeouts
        family = load_family(entry)
        try:
            self._inside: Connector = family.make_connector(ctx)
        except Exception as e:  # foreign code
            raise self._no_connection("", e) from e

    async def connect(self, backend: Backend, password: bytes | None, roots: TrustedRoots) -> GuardedTransport:
        """Open a connection. Raises ``NoConnection``, and nothing else."""
        where = f"{without_user_info(backend.connection_url)}: "
        try:
            opened = await _run_limited(
                MARGIN * self._timeouts.open_s, lambda: self._inside.connect(backend, password, roots)
            )
        except NoConnection:
            raise
        except Exception as e:  # foreign code
            raise self._no_connection(where, e) from e
        try:
            return GuardedTransport(opened, self._timeouts)
        except Exception as e:  # foreign code
            await self._close_unusable(opened)
            raise self._no_connection(where, e) from e

    async def _close_unusable(self, opened: Transport) -> None:
        """Close a transport that cannot be used, as far as it can be closed."""
        try:
            await _run_limited(self._timeouts.open_s, lambda: opened.close())
        except Exception as e:  # noqa: BLE001  foreign code; its first error is the one to report
            log.debug("%s cannot be closed (%s): abandoned", self._entry, _describe_error(e))

    def _no_connection(self, where: str, error: Exception) -> NoConnection:
        why = _describe_error(error)
        return NoConnection(f"{where}the transport {self._entry} has failed ({why}): check the package that brings it")


async def _run_limited(limit_s: float, work: Callable[[], Awaitable[T]]) -> T:
    """Run a step of a transport. Raises ``TimeoutError`` after ``limit_s``. A cancellation by a task of the transport
    itself, and not by the link, is an error like any other."""
    try:
        async with asyncio.timeout(limit_s):
            return await work()
    except asyncio.CancelledError as e:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("cancelled from inside") from e


def _describe_error(error: Exception) -> str:
    """Return the error as a part of a line. Its text may have an address with a password in it. The place where it was
    raised is logged for the author of the transport."""
    log.debug("%s was raised here:\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    text = ascii(without_user_info(str(error)))[1:-1][:120]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
