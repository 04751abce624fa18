"""One card's key out of the master key: NXP AN10922 (AES-128, DES with two or three keys)."""

from __future__ import annotations

from drivers.reader_nfc.desfire.ciphers import Cipher, Key

MOST_BYTES = 31
"""Of diversification input for AES; DES takes 15."""
_CONSTANTS = {(True, 16): b"\x01", (False, 16): b"\x21\x22", (False, 24): b"\x31\x32\x33"}


def longest_message(key: Key) -> int:
    return MOST_BYTES if key.aes else 15


def diversify_an10922(master: Key, message: bytes) -> Key:
    """Derive the card's key. ``message``: 1 to 31 bytes (AES) or 15 (DES), by custom UID, application, name of the
    system. Raises ``ValueError``."""
    cipher = _message_cipher(master, message)
    k1, k2 = cipher.cmac_subkeys
    parts = []
    for constant in _CONSTANTS[master.aes, len(master.value)]:
        data = bytes((constant,)) + message
        short = 2 * cipher.block - len(data)  # always two blocks, which plain CMAC would not insist on
        padded = data + (b"\x80" + bytes(short - 1) if short else b"")
        parts.append(cipher.last_block(padded, k2 if short else k1))
    return Key(b"".join(parts), master.aes)


def diversify_plain_cmac(master: Key, message: bytes) -> Key:
    """Derive the card's key by a widespread reading of AN10922 that pads to whole blocks only. The keys are others
    where a message fits one block."""
    cipher = _message_cipher(master, message)
    constants = _CONSTANTS[master.aes, len(master.value)]
    return Key(b"".join(cipher.cmac_block(bytes((c,)) + message) for c in constants), master.aes)


def _message_cipher(master: Key, message: bytes) -> Cipher:
    if not 1 <= len(message) <= longest_message(master):
        raise ValueError(f"diversification input has 1 to {longest_message(master)} bytes, not {len(message)}")
    return Cipher(master.value, master.aes)
