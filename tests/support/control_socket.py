"""The control socket of a simulated far end in a process of its own: one line of JSON each way."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from tests.support.busy_machine import deadline

Json = dict[str, Any]
START_S = 120.0
"""For the process to start, on a machine that is busy with other things."""


async def send_control_order(path: str, what: str, **more: Any) -> Json:
    """Send an order. Return the state afterwards."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(json.dumps({"do": what, **more}).encode() + b"\n")
        answer: Json = json.loads(await reader.readline())
        assert "error" not in answer, answer
        return answer
    finally:
        writer.close()


async def wait_for_control_socket(process: asyncio.subprocess.Process, path: str, what: str) -> None:
    """Wait until the process answers the order ``what``, which changes nothing."""
    async with deadline(START_S):
        while True:
            with contextlib.suppress(OSError):
                await send_control_order(path, what)
                return
            assert process.returncode is None, f"the far end ended by itself: {process.returncode}"
            await asyncio.sleep(0.02)
