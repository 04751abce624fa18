"""The maker's protocol: a question, and one line of JSON as the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from agent.ports import Garbled, Refused, Unreachable


class JsonLine:
    """One question at a time. It is composed when its turn has come, so that an order is never older than its level."""

    def __init__(self, name: str, host: str, port: int, timeout_s: float) -> None:
        self._name = name
        self._address = host, port
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, question: str | Callable[[], str]) -> dict[str, Any]:
        """Return the answer. Raises ``Unreachable``, ``Garbled``, ``Refused``. An error closes the connection, so that
        a late answer never meets the next question."""
        async with self._turn:
            try:
                raw = await self._exchange(question if isinstance(question, str) else question())
                answer = json.loads(raw)
                if not isinstance(answer, dict):
                    raise ValueError("no object")
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as e:
                self.hang_up()
                raise Unreachable(f"{self._name}: no answer ({type(e).__name__}); check power and network") from e
            except (ValueError, asyncio.LimitOverrunError) as e:
                self.hang_up()
                raise Garbled(f"{self._name}: the answer is no line of JSON") from e
            except asyncio.CancelledError:
                self.hang_up()
                raise
        if "refused" in answer:
            raise Refused(f"{self._name}: {answer['refused']}")
        return answer

    async def _exchange(self, question: str) -> bytes:
        async with asyncio.timeout(self._timeout_s):
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._address)
            reader, writer = self._streams
            writer.write(question.encode() + b"\n")
            return await reader.readuntil(b"\n")

    def hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def number_of(answer: dict[str, Any], key: str) -> float:
    """Return a number of the answer. Raises ``Garbled``."""
    value = answer.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Garbled(f"{key} is no number, but {value!r}")
    return float(value)
