"""The serial reader: lines over a real pseudo terminal, and the line parser under any chunking."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.types import Token, TokenType
from agent.ports import Broken, Unreachable
from agent.ports.driver import Where
from agent.ports.reader import ReaderPort, Tap
from drivers.reader_serial import DRIVER
from drivers.reader_serial.parser import LINE_MAX_BYTES, LineParser
from drivers.reader_serial.settings import SerialReaderSettings
from drivers.testkit.reader import check_reader
from tests.support.busy_machine import stretched

WHERE = Where(1, "reader", lambda: (1, 0.0), ())
SETTINGS = SerialReaderSettings("/dev/null")
UNREADABLE = Tap(None, "unreadable")


class Line:
    """The reader's end of a serial line."""

    def __init__(self, link: Path) -> None:
        self.fd, self._slave = pty.openpty()
        tty.setraw(self.fd)
        self.path = str(link)
        link.symlink_to(os.ttyname(self._slave))

    def send(self, data: bytes) -> None:
        os.write(self.fd, data)

    def hang_up(self) -> None:
        """The slave side stays open: the number of the line is not given to another test's line meanwhile."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def __del__(self) -> None:
        self.hang_up()
        os.close(self._slave)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path / "reader")
    yield line
    line.hang_up()


def opened(line: Line, **keys: object) -> AbstractAsyncContextManager[ReaderPort]:
    return DRIVER.open(SerialReaderSettings(line.path, **keys), WHERE)  # type: ignore[arg-type]


async def next_tap(port: ReaderPort) -> Tap:
    return await asyncio.wait_for(anext(port.taps()), stretched(3))


def parsed(data: bytes, *cuts: int, settings: SerialReaderSettings = SETTINGS) -> list[Tap]:
    parser = LineParser(settings)
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    return [tap for a, b in pairwise(edges) for tap in parser.feed_chunk(data[a:b])]


# --- the parser --------------------------------------------------------------------------------------------------

TOKENS = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=36)


@given(st.lists(TOKENS), st.sampled_from([b"\r\n", b"\n", b"\r"]), st.lists(st.integers(0, 400), max_size=20))
def test_tokens_pass_unchanged_in_any_chunks(tokens: list[str], end: bytes, cuts: list[int]) -> None:
    data = b"".join(t.encode() + end for t in tokens)
    assert [t.token and t.token.value for t in parsed(data, *cuts)] == tokens


@given(st.binary(max_size=1500), st.lists(st.integers(0, 1500), max_size=20))
def test_noise_never_raises_and_chunks_never_matter(data: bytes, cuts: list[int]) -> None:
    data += b"\n"
    assert parsed(data, *cuts) == parsed(data)


def test_what_cannot_be_a_token() -> None:
    assert parsed(b"A" * 36 + b"\n") == [Tap(Token("A" * 36, TokenType.LOCAL))]
    assert parsed(b"A" * 37 + b"\n") == [UNREADABLE]
    assert parsed("é".encode() * 36 + b"\n") == [Tap(Token("é" * 36, TokenType.LOCAL))], "characters count, not bytes"
    assert parsed(b"AB\x02CD\n") == [UNREADABLE]
    assert parsed(b"\xff\xfe\n") == [UNREADABLE]
    assert parsed(b"\r\n\r\n   \r\n") == []
    assert parsed(b"unfinished") == []
    assert parsed(b"AB\n", settings=SerialReaderSettings("x", min_length=4)) == [UNREADABLE]


def test_a_line_without_end_is_reported_once_and_forgotten() -> None:
    data = b"x" * (LINE_MAX_BYTES * 3) + b"\nABC\n"
    assert parsed(data, *range(0, len(data), 100)) == [UNREADABLE, Tap(Token("ABC", TokenType.LOCAL))]


def test_blanks_are_dropped_only_on_request() -> None:
    assert parsed(b" ab cD \r\n") == [Tap(Token(" ab cD ", TokenType.LOCAL))]
    assert parsed(b" ab cD \r\n", settings=SerialReaderSettings("x", strip=True)) == [
        Tap(Token("ab cD", TokenType.LOCAL))
    ]


def test_encoding_and_type() -> None:
    assert parsed(b"\xe9\n", settings=SerialReaderSettings("x", encoding="latin-1")) == [
        Tap(Token("é", TokenType.LOCAL))
    ]
    assert parsed("é\n".encode(), settings=SerialReaderSettings("x", encoding="ascii")) == [UNREADABLE]
    (tap,) = parsed(b"A\n", settings=SerialReaderSettings("x", token_type="KeyCode"))
    assert tap.token == Token("A", TokenType.KEY_CODE)


@pytest.mark.parametrize(
    ("line", "settings", "kind"),
    [
        ("04A1B2C3", {}, TokenType.ISO14443),
        ("04a1b2c3d4e5f6", {}, TokenType.ISO14443),
        ("04A1B2C3D4E5F6071829", {}, TokenType.ISO14443),
        ("04A1B2C", {}, TokenType.LOCAL),
        ("MEMBER 17", {}, TokenType.LOCAL),
        ("4711", {"text_type": "KeyCode"}, TokenType.KEY_CODE),
        ("04A1B2C3", {"token_type": "KeyCode"}, TokenType.KEY_CODE),
        ("E004010012345678", {"token_type": "ISO15693", "text_type": "Central"}, TokenType.ISO15693),
        ("04A1B2C3", {"token_type": "ISO15693", "text_type": "Central"}, TokenType.CENTRAL),
        ("DE-8AA-123456789-X", {"token_type": "eMAID"}, TokenType.EMAID),
        ("LU8AA12345678", {"token_type": "eMAID"}, TokenType.LOCAL),
        ("00:1A:2b:3C:4D:5E", {"token_type": "MacAddress"}, TokenType.MAC_ADDRESS),
    ],
)
def test_a_text_is_of_the_expected_type_where_it_has_its_form(
    line: str, settings: dict[str, str], kind: TokenType
) -> None:
    """2.0.1 part 2, IdTokenEnumType: what claims to be the UID of a card is one."""
    (tap,) = parsed(line.encode() + b"\n", settings=SerialReaderSettings("x", **settings))
    assert tap.token == Token(line, kind)


# --- the line ----------------------------------------------------------------------------------------------------


async def test_contract(line: Line) -> None:
    async def tap(value: str) -> None:
        line.send(value.encode() + b"\r\n")

    def open_port() -> AbstractAsyncContextManager[ReaderPort]:
        return opened(line)

    values = ["04a1B2", "not hex, mixed Case", "x", "A" * 36]
    await check_reader(
        open_port, tap, values, timeout_s=stretched(5.0), quiet_s=0.1, lag_s=stretched(0.05), close_s=stretched(1.5)
    )


async def test_a_card_from_before_is_no_one(line: Line) -> None:
    line.send(b"OLD\n")
    async with opened(line) as port:
        line.send(b"NEW\n")
        assert await next_tap(port) == Tap(Token("NEW", TokenType.LOCAL))


async def test_unreadable_is_reported(line: Line) -> None:
    async with opened(line) as port:
        line.send(b"A" * 40 + b"\nOK\n")
        assert await next_tap(port) == UNREADABLE
        assert await next_tap(port) == Tap(Token("OK", TokenType.LOCAL))


async def test_a_reader_that_repeats_itself(line: Line) -> None:
    async with opened(line, repeat_holdoff_ms=60_000) as port:
        line.send(b"A\nA\nA\nB\nA\n")
        assert [(await next_tap(port)).token for _ in range(3)] == [
            Token("A", TokenType.LOCAL),
            Token("B", TokenType.LOCAL),
            Token("A", TokenType.LOCAL),
        ]


async def test_hang_up_and_back_again(line: Line) -> None:
    async with opened(line) as port:
        line.send(b"A\n")
        await next_tap(port)
        line.hang_up()
        for _ in range(2):
            with pytest.raises(Unreachable, match="check cable"):
                await next_tap(port)
    with pytest.raises(Unreachable, match="No such file"):
        async with opened(line):
            pass
    os.unlink(line.path)
    again = Line(Path(line.path))
    async with opened(again) as port:
        again.send(b"B\n")
        assert await next_tap(port) == Tap(Token("B", TokenType.LOCAL))
    again.hang_up()


async def test_wrong_devices_and_settings(tmp_path: Path) -> None:
    async def failing(**keys: object) -> None:
        async with DRIVER.open(SerialReaderSettings(**keys), WHERE):  # type: ignore[arg-type]
            pass

    plain = tmp_path / "plain"
    plain.touch()
    with pytest.raises(Broken, match="no serial line"):
        await failing(device=str(plain))
    with pytest.raises(Unreachable, match="No such file"):
        await failing(device=str(tmp_path / "none"))
    wrong: list[dict[str, object]] = [
        {"device": ""}, {"device": "x", "baud": 0}, {"device": "x", "encoding": "klingon"},
        {"device": "x", "max_length": 37}, {"device": "x", "token_type": "Badge"},
        {"device": "x", "text_type": "ISO14443"},
    ]  # fmt: skip
    for keys in wrong:
        assert len(DRIVER.check(SerialReaderSettings(**keys), WHERE)) == 1  # type: ignore[arg-type]
        with pytest.raises(Broken):
            await failing(**keys)
