"""Secure messaging: what an authenticated card adds to its answers, and what that proves.

Call ``note_command`` with each command, then one of the others with its answer: ``check_plain`` for plain answers,
``check_maced`` for data with a check sum, ``decipher_data`` for enciphered data. All raise ``NotGenuine``.
"""

from __future__ import annotations

import hmac
from typing import Protocol

from drivers.reader_nfc.desfire import NotGenuine
from drivers.reader_nfc.desfire.ciphers import Cipher, desfire_crc16, desfire_crc32

MAC_BYTES = 8


class Session(Protocol):
    def note_command(self, command: bytes) -> None: ...

    def check_plain(self, data: bytes) -> bytes: ...

    def check_maced(self, data: bytes) -> bytes: ...

    def decipher_data(self, data: bytes, length: int) -> bytes:
        """Decipher the answer. ``length``: bytes of data in it; 0: up to the padding."""
        ...


class Unauthenticated:
    """Before an authentication: everything is plain and proves nothing."""

    def note_command(self, command: bytes) -> None:
        pass

    def check_plain(self, data: bytes) -> bytes:
        return data

    def check_maced(self, data: bytes) -> bytes:
        raise NotGenuine("not authenticated: nothing proves this data")

    def decipher_data(self, data: bytes, length: int) -> bytes:
        return self.check_maced(data)


class Ev1Session:
    """After AuthenticateAES or AuthenticateISO: one chain of check sums over all commands and answers."""

    def __init__(self, session_key: bytes, aes: bool) -> None:
        self._cipher = Cipher(session_key, aes)
        self._iv = self._cipher.zero

    def note_command(self, command: bytes) -> None:
        """Move the chain on: every command does, whether or not it carries a check sum."""
        self._iv = self._cipher.cmac_block(command, self._iv)

    def check_plain(self, data: bytes) -> bytes:
        answer, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
        self._iv = self._cipher.cmac_block(answer + b"\0", self._iv)
        if not hmac.compare_digest(mac, self._iv[:MAC_BYTES]):
            raise NotGenuine("the check sum of an answer is wrong")
        return answer

    check_maced = check_plain

    def decipher_data(self, data: bytes, length: int) -> bytes:
        iv, self._iv = self._iv, data[-self._cipher.block :]
        return _verify_checksum(_decrypt_blocks(self._cipher, data, iv), length, 4, lambda d: desfire_crc32(d + b"\0"))


class LegacySession:
    """After Authenticate (D40): every message stands alone, and plain answers prove nothing."""

    def __init__(self, session_key: bytes) -> None:
        self._cipher = Cipher(session_key, aes=False)

    def note_command(self, command: bytes) -> None:
        pass

    def check_plain(self, data: bytes) -> bytes:
        return data

    def check_maced(self, data: bytes) -> bytes:
        answer, mac = data[:-4], data[-4:]
        padded = answer + bytes(-len(answer) % self._cipher.block)
        if not answer or not hmac.compare_digest(mac, self._cipher.encrypt_blocks(padded)[-self._cipher.block :][:4]):
            raise NotGenuine("the check sum of the data is wrong")
        return answer

    def decipher_data(self, data: bytes, length: int) -> bytes:
        return _verify_checksum(_decrypt_blocks(self._cipher, data, self._cipher.zero), length, 2, desfire_crc16)


class _Sum(Protocol):
    def __call__(self, data: bytes, /) -> bytes: ...


def _decrypt_blocks(cipher: Cipher, data: bytes, iv: bytes) -> bytes:
    if not data or len(data) % cipher.block:
        raise NotGenuine("enciphered data is not of whole blocks")
    return cipher.decrypt_blocks(data, iv)


def _verify_checksum(plain: bytes, length: int, sum_bytes: int, checksum: _Sum) -> bytes:
    """Return the data of data, check sum and padding. Without a ``length`` the end is looked for from behind: a check
    sum may itself end in zeros, so the padding must not be stripped first."""
    longest = len(plain) - sum_bytes
    for n in [length] if length else range(longest, max(0, longest - 17), -1):
        data, mark, padding = plain[:n], plain[n : n + sum_bytes], plain[n + sum_bytes :]
        padded = padding[:1] in (b"", b"\0", b"\x80") and not any(padding[1:])
        if padded and len(data) == n and hmac.compare_digest(mark, checksum(data)):
            return data
    raise NotGenuine("the check sum of enciphered data is wrong")
