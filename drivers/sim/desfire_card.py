"""The inside of a MIFARE DESFire EV1: applications, keys, files, and the authentication.

It is written from the card's side and with block ciphers only, so that it shares no code with the driver that it tests:
the card deciphers where the station enciphers, and chains its blocks by hand.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

PLAIN, MACED, ENCIPHERED = 0, 1, 3
EVERYBODY = 14
_FRAME = 59
"""Bytes of an answer that fit into one frame after the status."""
_LEGACY, _ISO, _AES = 0x0A, 0x1A, 0xAA
_VERSION = (bytes.fromhex("04010101001805"), bytes.fromhex("04010101041805"))
_PRODUCED = bytes.fromhex("ba112233441215")


class CardRefusal(Exception):
    """The card answers with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status:02x}")
        self.status = status


@dataclass
class File:
    """``key``: number of the key that may read the file (14: no key is needed). Key 0 may do everything."""

    content: bytes
    communication: int = ENCIPHERED
    key: int = 1


@dataclass
class Application:
    """``keys`` have 16 bytes (AES, or DES with two keys) or 24 bytes (DES with three keys)."""

    keys: list[bytes]
    files: dict[int, File]
    aes: bool = True


@dataclass
class Chip:
    """The chip. ``answer_command`` takes a native command and returns status and data.

    ``hidden``: the UID is readable only after an authentication.
    """

    uid: bytes
    applications: dict[int, Application] = field(default_factory=dict)
    hidden: bool = False
    rng: random.Random = field(default_factory=random.Random)
    _application: Application | None = field(default=None, init=False)
    _session: _Session | None = field(default=None, init=False)
    _next: Callable[[bytes], tuple[int, bytes]] | None = field(default=None, init=False)
    """Takes the data of a continuation (AF)."""

    def power_off(self) -> None:
        self._application = self._session = self._next = None

    def answer_command(self, command: bytes) -> tuple[int, bytes]:
        code, rest = command[:1], command[1:]
        try:
            if code == b"\xaf":
                following, self._next = self._next, None
                if following is None:
                    raise CardRefusal(0xCA)
                return following(rest)
            self._next = None
            return self._run_command(code[0] if code else 0, rest)
        except CardRefusal as e:
            self._session = self._next = None
            return e.status, b""

    def _run_command(self, code: int, rest: bytes) -> tuple[int, bytes]:
        commands: dict[int, tuple[int, Callable[[int, bytes], tuple[int, bytes]]]] = {
            0x5A: (3, self._select_application),
            _LEGACY: (1, self._start_authentication),
            _ISO: (1, self._start_authentication),
            _AES: (1, self._start_authentication),
            0x60: (0, self._get_version),
            0x51: (0, self._get_card_uid),
            0xF5: (1, self._get_file_settings),
            0xBD: (7, self._read_data),
        }
        if code not in commands:
            raise CardRefusal(0x1C)
        length, answer = commands[code]
        if len(rest) != length:
            raise CardRefusal(0x7E)
        if self._session is not None and code not in (0x5A, _LEGACY, _ISO, _AES):
            self._session.update_cmac(bytes((code,)) + rest)
        return answer(code, rest)

    def _select_application(self, code: int, rest: bytes) -> tuple[int, bytes]:
        self._session = None
        number = int.from_bytes(rest, "little")
        self._application = None if number == 0 else self.applications.get(number)
        if number and self._application is None:
            raise CardRefusal(0xA0)
        return 0, b""

    def _get_version(self, code: int, rest: bytes) -> tuple[int, bytes]:
        last = (bytes(7) if self.hidden else self.uid) + _PRODUCED
        signed = self._session.with_cmac(b"".join(_VERSION) + last)[28:] if self._session else b""
        return self._send_frames([*_VERSION, last + signed])

    def _get_card_uid(self, code: int, rest: bytes) -> tuple[int, bytes]:
        if self._session is None:
            raise CardRefusal(0xAE)
        return 0, self._session.encipher_data(self.uid)

    def _file_by_number(self, number: int) -> File:
        if self._application is None or number not in self._application.files:
            raise CardRefusal(0xF0)
        return self._application.files[number]

    def _get_file_settings(self, code: int, rest: bytes) -> tuple[int, bytes]:
        file = self._file_by_number(rest[0])
        rights = (file.key << 12).to_bytes(2, "little")
        settings = bytes((0, file.communication)) + rights + len(file.content).to_bytes(3, "little")
        return 0, self._session.with_cmac(settings) if self._session else settings

    def _read_data(self, code: int, rest: bytes) -> tuple[int, bytes]:
        file = self._file_by_number(rest[0])
        offset, length = int.from_bytes(rest[1:4], "little"), int.from_bytes(rest[4:7], "little")
        if offset + length > len(file.content) or offset >= len(file.content):
            raise CardRefusal(0xBE)
        data = file.content[offset : offset + length] if length else file.content[offset:]
        secured = self._secure_content(file, data, bool(length))
        return self._send_frames([secured[i : i + _FRAME] for i in range(0, len(secured), _FRAME)])

    def _secure_content(self, file: File, data: bytes, known: bool) -> bytes:
        session = self._session
        if file.key == EVERYBODY:
            return session.with_cmac(data) if session else data
        if session is None or session.key not in (file.key, 0):
            raise CardRefusal(0xAE)
        if file.communication == ENCIPHERED:
            return session.encipher_data(data, known)
        return session.with_cmac(data) if file.communication == PLAIN else session.with_mac(data)

    def _send_frames(self, frames: list[bytes]) -> tuple[int, bytes]:
        first, *others = frames
        if not others:
            return 0, first
        self._next = lambda rest: self._send_frames(others)
        return 0xAF, first

    # --- authentication ----------------------------------------------------------------------------------------------

    def _start_authentication(self, code: int, rest: bytes) -> tuple[int, bytes]:
        self._session = None
        application = self._application
        keys = application.keys if application else [bytes(16)]
        if rest[0] >= len(keys):
            raise CardRefusal(0x40)
        key, aes = keys[rest[0]], application.aes if application else False
        if aes != (code == _AES) or (code == _LEGACY and len(key) == 24):
            raise CardRefusal(0xAE)
        blocks = BlockCipher(key, aes)
        b = self.rng.randbytes(16 if aes or len(key) == 24 else 8)
        sent = blocks.encipher_chain(b, bytes(blocks.size))
        prove = self._finish_legacy_authentication if code == _LEGACY else self._finish_authentication
        self._next = lambda answer: prove(rest[0], blocks, key, b, sent, answer)
        return 0xAF, sent

    def _finish_authentication(
        self, number: int, blocks: BlockCipher, key: bytes, b: bytes, sent: bytes, answer: bytes
    ) -> tuple[int, bytes]:
        if len(answer) != 2 * len(b):
            raise CardRefusal(0x7E)
        opened = blocks.decipher_chain(answer, sent[-blocks.size :])
        a, turned = opened[: len(b)], opened[len(b) :]
        if turned != b[1:] + b[:1]:
            raise CardRefusal(0xAE)
        self._session = _Session(number, BlockCipher(_session_key(key, blocks.aes, a, b), blocks.aes), False)
        return 0, blocks.encipher_chain(a[1:] + a[:1], answer[-blocks.size :])

    def _finish_legacy_authentication(
        self, number: int, blocks: BlockCipher, key: bytes, b: bytes, sent: bytes, answer: bytes
    ) -> tuple[int, bytes]:
        """Check the station's answer. The station deciphers what it sends, so enciphering restores it."""
        if len(answer) != 16:
            raise CardRefusal(0x7E)
        a = blocks.encipher_block(answer[:8])
        if _xor_bytes(blocks.encipher_block(answer[8:]), answer[:8]) != b[1:] + b[:1]:
            raise CardRefusal(0xAE)
        self._session = _Session(number, BlockCipher(_session_key(key, False, a, b), False), True)
        return 0, blocks.encipher_block(a[1:] + a[:1])


class BlockCipher:
    """A block cipher. The chaining of blocks is done by hand."""

    def __init__(self, key: bytes, aes: bool) -> None:
        self.aes, self.size = aes, 16 if aes else 8
        whole = key if aes else (key * 3)[:24] if len(key) < 24 else key
        engine = Cipher(AES(whole) if aes else TripleDES(whole), ECB())
        self._in, self._out = engine.encryptor(), engine.decryptor()

    def encipher_block(self, block: bytes) -> bytes:
        return self._in.update(block)

    def encipher_chain(self, data: bytes, before: bytes) -> bytes:
        out = b""
        for i in range(0, len(data), self.size):
            before = self.encipher_block(_xor_bytes(data[i : i + self.size], before))
            out += before
        return out

    def decipher_chain(self, data: bytes, before: bytes) -> bytes:
        out = b""
        for i in range(0, len(data), self.size):
            block = data[i : i + self.size]
            out += _xor_bytes(self._out.update(block), before)
            before = block
        return out


@dataclass
class _Session:
    """An authenticated session. ``key``: number of the key used.

    Each legacy message has a checksum of its own. The others form one chain of CMACs.
    """

    key: int
    blocks: BlockCipher
    legacy: bool
    before: bytes = b""

    def __post_init__(self) -> None:
        self.before = bytes(self.blocks.size)

    def update_cmac(self, command: bytes) -> None:
        if not self.legacy:
            self.before = self._chained_cmac(command)

    def with_cmac(self, data: bytes) -> bytes:
        if self.legacy:
            return data
        self.before = self._chained_cmac(data + b"\0")
        return data + self.before[:8]

    def with_mac(self, data: bytes) -> bytes:
        if not self.legacy:
            return self.with_cmac(data)
        padded = data + bytes(-len(data) % 8)
        return data + self.blocks.encipher_chain(padded, bytes(8))[-8:-4]

    def encipher_data(self, data: bytes, known: bool = True) -> bytes:
        """Encipher an answer. ``known``: the station has requested a number of bytes."""
        check = _crc_a(data) if self.legacy else _crc_32(data + b"\0")
        whole = data + check + (b"" if known else b"\x80")
        whole += bytes(-len(whole) % self.blocks.size)
        sealed = self.blocks.encipher_chain(whole, bytes(8) if self.legacy else self.before)
        self.before = sealed[-self.blocks.size :]
        return sealed

    def _chained_cmac(self, data: bytes) -> bytes:
        """Return the CMAC, chained to the last one."""
        size = self.blocks.size
        modulus, bits = (0x87, 128) if size == 16 else (0x1B, 64)
        twice = int.from_bytes(self.blocks.encipher_block(bytes(size)), "big")
        whole = len(data) % size == 0 and data != b""
        for _ in range(1 if whole else 2):
            twice = (twice * 2) % (1 << bits) ^ (modulus if twice >> (bits - 1) else 0)
        if not whole:
            data += b"\x80"
            data += bytes(-len(data) % size)
        masked = data[:-size] + _xor_bytes(data[-size:], twice.to_bytes(size, "big"))
        return self.blocks.encipher_chain(masked, self.before)[-size:]


def _session_key(key: bytes, aes: bool, a: bytes, b: bytes) -> bytes:
    if aes:
        spans = [slice(0, 4), slice(12, 16)]
    elif len(key) == 24:
        spans = [slice(0, 4), slice(6, 10), slice(12, 16)]
    elif [x >> 1 for x in key[:8]] == [x >> 1 for x in key[8:]]:
        spans = [slice(0, 4)]
    else:
        spans = [slice(0, 4), slice(4, 8)]
    return b"".join(a[s] + b[s] for s in spans)


def _xor_bytes(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _crc_32(data: bytes) -> bytes:
    return (~zlib.crc32(data) & 0xFFFFFFFF).to_bytes(4, "little")


def _crc_a(data: bytes) -> bytes:
    """Return CRC_A, computed bit by bit: polynomial 8408 reflected, initial value 6363."""
    crc = 0x6363
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return crc.to_bytes(2, "little")
