"""Block ciphers and check sums as a DESFire uses them. ``cryptography`` is imported when a cipher is made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from zlib import crc32 as _crc32

AES_BLOCK, DES_BLOCK = 16, 8


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """``value``: 16 bytes (AES, or DES with two keys) or 24 (DES with three keys). A repr ends in tracebacks."""

    value: bytes
    aes: bool = True

    def __post_init__(self) -> None:
        if len(self.value) not in ((16,) if self.aes else (16, 24)):
            raise ValueError(f"a key has 16 bytes{'' if self.aes else ' or 24'}, not {len(self.value)}")

    def __repr__(self) -> str:
        return f"Key({'AES' if self.aes else 'DES'}, {len(self.value)} bytes)"

    @property
    def single_des(self) -> bool:
        """Two halves that differ in parity bits only (which hold the key's version): plain DES to the card."""
        if self.aes or len(self.value) != 16:
            return False
        halves = [bytes(b & 0xFE for b in half) for half in (self.value[:8], self.value[8:])]
        return halves[0] == halves[1]


class Cipher:
    """CBC with explicit initial vectors. ``key``: 16 bytes with ``aes``; 8, 16 or 24 bytes of DES without."""

    def __init__(self, key: bytes, aes: bool) -> None:
        from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
        from cryptography.hazmat.primitives.ciphers.algorithms import AES

        self.block = AES_BLOCK if aes else DES_BLOCK
        self.zero = bytes(self.block)
        # the library warns of anything but three keys, and means to end it
        whole = {8: key * 3, 16: key + key[:8], 24: key}.get(len(key), key)
        self._algorithm = AES(key) if aes else TripleDES(whole)

    def encrypt_blocks(self, data: bytes, iv: bytes | None = None) -> bytes:
        """Encrypt whole blocks. ``iv`` None: zero."""
        from cryptography.hazmat.primitives.ciphers import Cipher as Engine
        from cryptography.hazmat.primitives.ciphers.modes import CBC

        engine = Engine(self._algorithm, CBC(iv or self.zero)).encryptor()
        return engine.update(data) + engine.finalize()

    def decrypt_blocks(self, data: bytes, iv: bytes | None = None) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher as Engine
        from cryptography.hazmat.primitives.ciphers.modes import CBC

        engine = Engine(self._algorithm, CBC(iv or self.zero)).decryptor()
        return engine.update(data) + engine.finalize()

    @cached_property
    def cmac_subkeys(self) -> tuple[bytes, bytes]:
        """Return K1 and K2 of NIST SP 800-38B, 6.1."""
        first = self._double_subkey(self.encrypt_blocks(self.zero))
        return first, self._double_subkey(first)

    def cmac_block(self, data: bytes, iv: bytes | None = None) -> bytes:
        """Return the CMAC as one whole block. This is NIST SP 800-38B, 6.2, but for ``iv``: a card goes on from its
        last check sum."""
        k1, k2 = self.cmac_subkeys
        short = -len(data) % self.block if data else self.block
        padded = data + (b"\x80" + bytes(short - 1) if short else b"")
        return self.last_block(padded, k2 if short else k1, iv)

    def last_block(self, padded: bytes, mask: bytes, iv: bytes | None = None) -> bytes:
        """Return the CBC check sum over whole blocks, the last of them masked."""
        masked = xor_bytes(padded[-self.block :], mask)
        return self.encrypt_blocks(padded[: -self.block] + masked, iv)[-self.block :]

    def _double_subkey(self, block: bytes) -> bytes:
        number = int.from_bytes(block, "big") << 1
        if number >> 8 * self.block:
            number ^= 0x87 if self.block == AES_BLOCK else 0x1B
        return (number & (1 << 8 * self.block) - 1).to_bytes(self.block, "big")


def xor_bytes(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def rotate_left(data: bytes) -> bytes:
    """Rotate by one byte to the left."""
    return data[1:] + data[:1]


def desfire_crc32(data: bytes) -> bytes:
    """Return the check sum of EV1 messages: CRC-32 without the last inversion, least significant byte first."""
    return (_crc32(data) ^ 0xFFFFFFFF).to_bytes(4, "little")


def desfire_crc16(data: bytes) -> bytes:
    """Return the check sum of legacy messages: CRC_A of ISO/IEC 14443-3, annex B, least significant byte first."""
    crc = 0x6363
    for byte in data:
        low = (byte ^ crc) & 0xFF
        low = (low ^ (low << 4)) & 0xFF
        crc = (crc >> 8) ^ (low << 8) ^ (low << 3) ^ (low >> 4)
    return crc.to_bytes(2, "little")
