"""Bytes to taps: whatever the chunks, one line is one tap. Pure."""

from __future__ import annotations

import re
import unicodedata

from agent.model.types import Token, TokenType
from agent.ports.reader import Tap
from drivers.reader_serial.settings import SerialReaderSettings

_END = re.compile(rb"[\r\n]+")
LINE_MAX_BYTES = 512
"""A line longer than this is noise: it is reported once, and skipped up to its end."""


class LineParser:
    """CR, LF or both end a line; blank lines mean nothing. What cannot be a token is reported as ``unreadable``: too
    short, too long, undecodable, or with control characters inside."""

    def __init__(self, settings: SerialReaderSettings) -> None:
        self._settings = settings
        self._rest = b""
        self._skip = False

    def feed_chunk(self, chunk: bytes) -> list[Tap]:
        """Return the taps that ``chunk`` completes, in order."""
        *lines, self._rest = _END.split(self._rest + chunk)
        taps = []
        for line in lines:
            tap = None if self._skip else self._parse_tap(line)
            self._skip = False
            if tap:
                taps.append(tap)
        if len(self._rest) > LINE_MAX_BYTES:
            if not self._skip:
                taps.append(Tap(None, "unreadable"))
            self._rest, self._skip = b"", True
        return taps

    def _parse_tap(self, line: bytes) -> Tap | None:
        if len(line) > LINE_MAX_BYTES:
            return Tap(None, "unreadable")
        try:
            text = line.decode(self._settings.encoding)
        except UnicodeDecodeError:
            return Tap(None, "unreadable")
        if self._settings.strip:
            text = text.strip(" \t")
        if not text.strip(" \t"):
            return None
        fits = self._settings.min_length <= len(text) <= self._settings.max_length
        if not fits or any(unicodedata.category(c) == "Cc" for c in text):
            return Tap(None, "unreadable")
        return Tap(Token.of_text(text, *map(TokenType, (self._settings.token_type, self._settings.text_type))))
