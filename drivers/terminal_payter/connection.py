"""From settings to a terminal that is enabled."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from agent.ports import Unreachable
from drivers.terminal_payter.apollo_terminal import ApolloTerminal
from drivers.terminal_payter.dialogue import Dialogue
from drivers.terminal_payter.lines import name_of, open_line
from drivers.terminal_payter.link import TerminalLink

if TYPE_CHECKING:
    from agent.ports.driver import Where
    from drivers.terminal_payter.settings import PayterSettings

PROBED = (115200, 57600, 38400, 19200, 9600)
PROBE_S = 2.0


async def open_terminal(settings: PayterSettings, salt: bytes, where: Where) -> ApolloTerminal:
    """Connect to the terminal and prepare it. Raises ``Unreachable``, ``Refused``, ``Broken``."""
    if settings.line != "serial" or settings.baud:
        return await _open_at_baud(settings, salt, where, settings.baud, settings.sync_s)
    for baud in PROBED:
        try:
            return await _open_at_baud(settings, salt, where, baud, PROBE_S)
        except Unreachable as e:
            silent = e
    raise silent


async def _open_at_baud(
    settings: PayterSettings, salt: bytes, where: Where, baud: int, patience_s: float
) -> ApolloTerminal:
    link: TerminalLink
    terminal: ApolloTerminal | None = None
    link = TerminalLink(
        name_of(settings), settings.gap_ms / 1000, lambda f: terminal.receive_event(f) if terminal else None
    )
    link.attach_line(await open_line(settings, baud, link.receive_bytes, link.fail_link))
    with contextlib.ExitStack() as stack:
        stack.callback(link.close_line)
        dialogue = Dialogue(settings, link)
        terminal = ApolloTerminal(settings, salt, link, dialogue, where)
        await terminal.wait_for_earlier_session()
        await dialogue.synchronize_terminal(patience_s)
        await terminal.start_watching()
        stack.pop_all()
    return terminal
