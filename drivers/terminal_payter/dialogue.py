"""Requests that every part of the driver makes: asked one at a time, judged, asked again when the sum was wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.model.bank_card import TerminalIdentity
from agent.model.fastclass import replace
from agent.ports import Garbled, Refused, Unreachable
from drivers.terminal_payter import commands, messages
from drivers.terminal_payter.commands import From, To
from drivers.terminal_payter.frames import Frame
from drivers.terminal_payter.link import NoAnswer, TerminalLink

if TYPE_CHECKING:
    from drivers.terminal_payter.settings import PayterSettings

AGAIN = 3
"""Times that a request is sent while the terminal reports that its checksum was wrong."""
NOT_READY_S = 30.0
"""How long a terminal that is starting may report that it is not ready."""


class Dialogue:
    """Not re-entrant: its owner holds a lock. Raises ``Unreachable``, ``Garbled``, ``Refused``."""

    def __init__(self, settings: PayterSettings, link: TerminalLink) -> None:
        self._settings = settings
        self.link = link

    async def request_result(
        self, header: int, payload: bytes = b"", wait_s: float = 0.0, signs: frozenset[int] = frozenset()
    ) -> int:
        """Send a request and return ``commands.OK`` or the detail of a refusal."""
        if self.link.unsure:
            await self.request_status()
        code = commands.OK
        for _ in range(AGAIN):
            frame = await self._send_request(header, payload, wait_s or self._settings.reply_s, signs)
            code = commands.OK if frame is None else messages.parse_result(frame.payload)
            if code != commands.BAD_CHECKSUM:
                break
        return code

    async def require_ok(self, header: int, payload: bytes, what: str) -> None:
        """Make a step of the start. A terminal that is not ready is given time."""
        end_s = asyncio.get_running_loop().time() + NOT_READY_S
        while (code := await self.request_result(header, payload)) == commands.NOT_READY:
            if asyncio.get_running_loop().time() > end_s:
                break
            await asyncio.sleep(self._settings.sync_every_s)
        if code != commands.OK:
            raise Refused(f"terminal {self.link.name}: {what}: {result_text(code)}")

    async def request_status(self) -> messages.Status:
        """Request the status, twice if there is no answer. A late result is recognized and dropped."""
        for _ in range(2):
            try:
                frame = await self.link.request_answer(
                    To.GET_STATUS,
                    b"",
                    self._settings.reply_s,
                    judge=lambda f: messages.parse_status(f.payload) is not None,
                )
            except NoAnswer:
                continue
            assert frame is not None
            self.link.unsure = False
            found = messages.parse_status(frame.payload)
            assert found is not None
            return found
        raise self._no_answer_error("Get Status")

    async def probe_status(self) -> messages.Status | None:
        """Request the status before anything else, twice in the frame format of the settings, then in the plain one.
        None: no answer. An answer may come too late while other drivers are imported."""
        formats = (True, True, False) if self._settings.extended else (False, False)
        for extended in formats:
            self.link.extended = extended
            try:
                frame = await self.link.request_answer(
                    To.GET_STATUS,
                    b"",
                    self._settings.sync_every_s,
                    judge=lambda f: messages.parse_status(f.payload) is not None,
                )
            except NoAnswer:
                continue
            return messages.parse_status(frame.payload) if frame is not None else None
        return None

    async def request_identity(self) -> TerminalIdentity:
        """Return the identity that the terminal reports. If it does not know the question, or not the answer, the
        station file or its certificate gives it. Without an answer the question is repeated once: the money of a
        terminal is its own by the serial number. Silence is no reason to identify it by its certificate: what it holds
        under the number reported before would be another's."""
        wanted = frozenset({From.IDS, From.RESULT})
        found = TerminalIdentity("Payter")
        for _ in range(2):
            try:
                frame = await self.link.request_answer(To.REQUEST_IDS, b"", self._settings.reply_s, wanted)
            except NoAnswer:
                await self.request_status()
                continue
            if frame is not None and frame.header == From.IDS:
                found = messages.parse_identity(frame.payload)
            return replace(found, serial=found.serial or self._settings.serial or self.link.peer_certificate)
        return replace(found, serial=self._settings.serial)

    async def request_words(self, header: int, payload: bytes = b"") -> bytes | None:
        """Request what is answered under the same header. None: the terminal refuses, or does not answer."""
        if self.link.unsure:
            await self.request_status()
        wanted = frozenset({header, From.RESULT})
        try:
            frame = await self.link.request_answer(header, payload, self._settings.reply_s, wanted)
        except NoAnswer:
            await self.request_status()
            return None
        return frame.payload if frame is not None and frame.header == header else None

    async def synchronize_terminal(self, patience_s: float) -> None:
        """Bring the terminal from any state to ENABLED: Synchronize until it echoes, then Protocol, Setup, Enable.
        Both frame formats are tried in turn, since the present one is unknown."""
        end_s = asyncio.get_running_loop().time() + patience_s
        tries = 0
        while not await self._echoes_synchronize(tries):
            tries += 1
            if asyncio.get_running_loop().time() > end_s:
                raise self._no_answer_error("Synchronize")
        self.link.extended = self.link.unsure = False
        await self.require_ok(To.PROTOCOL, messages.protocol_payload(self._protocol_options()), "Protocol")
        self.link.extended = self._settings.extended
        await self.require_ok(To.SETUP, messages.setup_payload(self._settings.session_timeout_s), "Setup")
        await self.require_ok(To.ENABLE, b"", "Enable")

    async def _echoes_synchronize(self, tries: int) -> bool:
        self.link.extended = self._settings.extended and tries % 3 > 0  # twice: the plain one may spoil the next
        try:
            await self.link.request_answer(
                To.SYNCHRONIZE, b"", self._settings.sync_every_s, frozenset({From.SYNCHRONIZE})
            )
        except NoAnswer:
            return False
        return True

    def _protocol_options(self) -> int:
        options = commands.OPTION_EVENTS | commands.OPTION_DOL | commands.OPTION_DETAILS | commands.OPTION_DECLINED_DOL
        return options | (commands.OPTION_EXTENDED if self._settings.extended else 0)

    async def _send_request(self, header: int, payload: bytes, wait_s: float, signs: frozenset[int]) -> Frame | None:
        try:
            return await self.link.request_answer(header, payload, wait_s, signs=signs, judge=messages.is_result)
        except NoAnswer:
            raise self._no_answer_error(f"message {header:02X}") from None

    def _no_answer_error(self, what: str) -> Unreachable:
        return Unreachable(
            f"terminal {self.link.name}: no answer to {what}; check power, cable and that its mode is PSP; "
            "it is tried again"
        )


def result_text(code: int) -> str:
    return commands.RESULTS.get(code, "it refuses") + (f" ({code:02X})" if code else "")


def garbled_error(name: str, what: str) -> Garbled:
    return Garbled(f"terminal {name}: {what}; its own time-out voids what was held; the agent reconnects")
