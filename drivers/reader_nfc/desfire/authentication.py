"""Mutual proof that card and station know the same key, and the session that comes out of it.

Three schemes: AES (AuthenticateAES), DES in one CBC chain (AuthenticateISO), and the legacy one of the first DESFire
(Authenticate). ``Ask`` sends one native command and returns status and data.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import TypeAlias

from drivers.reader_nfc.desfire import MORE, OK, NotGenuine, Refusal
from drivers.reader_nfc.desfire.ciphers import Cipher, Key, rotate_left, xor_bytes
from drivers.reader_nfc.desfire.sessions import Ev1Session, LegacySession, Session

Ask: TypeAlias = Callable[[bytes], tuple[int, bytes]]
Random: TypeAlias = Callable[[int], bytes]
SCHEMES = {"legacy": 0x0A, "iso": 0x1A, "aes": 0xAA}


def authenticate_card(ask: Ask, scheme: str, key: Key, number: int, random: Random) -> Session:
    """Authenticate the card with the key. ``number``: of the key in the selected application. Raises ``Refusal``,
    ``NotGenuine``."""
    command = SCHEMES[scheme]
    if key.aes != (scheme == "aes") or (scheme == "legacy" and len(key.value) != 16):
        raise ValueError(f"{key!r} is no key for the scheme {scheme}")
    size = 16 if key.aes or len(key.value) == 24 else 8
    challenge = _expect_answer(ask, bytes((command, number)), MORE, size)
    a = random(size)
    proof = _prove_legacy if scheme == "legacy" else _prove_chained
    b = proof(ask, Cipher(key.value, key.aes), challenge, a)
    made = session_key(key, a, b)
    return LegacySession(made) if scheme == "legacy" else Ev1Session(made, key.aes)


def _prove_chained(ask: Ask, cipher: Cipher, challenge: bytes, a: bytes) -> bytes:
    """Prove the key with one CBC chain through the whole exchange. Return the card's random number."""
    b = cipher.decrypt_blocks(challenge)
    token = cipher.encrypt_blocks(a + rotate_left(b), challenge[-cipher.block :])
    answer = _expect_answer(ask, bytes((MORE,)) + token, OK, len(a))
    _check_proof(cipher.decrypt_blocks(answer, token[-cipher.block :]), a)
    return b


def _prove_legacy(ask: Ask, cipher: Cipher, challenge: bytes, a: bytes) -> bytes:
    """Prove the key in the legacy way: the station only ever deciphers, the card only ever enciphers. Each block starts
    a new chain."""
    b = cipher.decrypt_blocks(challenge)
    first = cipher.decrypt_blocks(a)
    token = first + cipher.decrypt_blocks(xor_bytes(rotate_left(b), first))
    answer = _expect_answer(ask, bytes((MORE,)) + token, OK, len(a))
    _check_proof(cipher.decrypt_blocks(answer), a)
    return b


def _expect_answer(ask: Ask, command: bytes, wanted: int, size: int) -> bytes:
    status, data = ask(command)
    if status not in (OK, MORE):
        raise Refusal(command[0], status)
    if status != wanted or len(data) != size:
        raise NotGenuine("an answer in the authentication has the wrong form; is the key of this kind?")
    return data


def _check_proof(answer: bytes, a: bytes) -> None:
    if not hmac.compare_digest(answer, rotate_left(a)):
        raise NotGenuine("the card does not know the key")


def session_key(key: Key, a: bytes, b: bytes) -> bytes:
    """Derive the session key from the random numbers of station and card, by kind of key."""
    if key.aes:
        return a[:4] + b[:4] + a[12:] + b[12:]
    if key.single_des:
        return a[:4] + b[:4]
    if len(key.value) == 16:
        return a[:4] + b[:4] + a[4:8] + b[4:8]
    return a[:4] + b[:4] + a[6:10] + b[6:10] + a[12:] + b[12:]
