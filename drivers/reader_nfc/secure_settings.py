"""What a station knows of its network's cards: application, key, file. One table in the station file, no key in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from agent.model.key_rules import Between, OneOf, Text
from agent.model.types import TokenType
from drivers.reader_nfc.key_file import key_file_problem


@dataclass(frozen=True, slots=True)
class SecureSettings:
    """``application``: six hex digits, the highest byte first. ``key_file``: 0600, or a credential of systemd; what is
    in it: ``key_file.py``. ``auth``: ``aes``, ``iso`` (DES) or ``legacy`` (DES of the first DESFire). ``diversify``:
    ``an10922`` (NXP), ``cmac`` (the same without padding to two blocks) or ``none``; ``diversify_input``: a list of
    ``uid``, ``application`` (as written here), ``application_reversed`` (as over the air), ``hex:...``.

    ``uid_key_file``, ``uid_key_number``: a key that all cards share, to ask a card with a random UID for its true one
    before its own key can be made.

    ``token``: ``file`` (the content of the file) or ``uid`` (what the card proves to be its UID). ``file``, ``offset``,
    ``length`` (bytes; 0: to the end), ``communication`` (``enciphered``, ``maced``, ``plain``, or ``auto``: asked
    first), ``encoding`` (``ascii`` or ``hex``), ``token_type`` (of OCPP 2.x, where the
    text has the form of this type; a UID is one of ``ISO14443``), ``text_type`` (of every other text)."""

    application: Annotated[str, Text(6, form="[0-9a-fA-F]{6}", like='six hex digits like "F58840"')]
    key_file: Path
    key_number: Annotated[int, Between(0, 13)] = 0
    auth: Annotated[str, OneOf(("aes", "iso", "legacy"))] = "aes"
    diversify: Annotated[str, OneOf(("an10922", "cmac", "none"))] = "an10922"
    diversify_input: tuple[Annotated[str, Text(100)], ...] = ("uid", "application")
    uid_key_file: Path | None = None
    uid_key_number: Annotated[int, Between(0, 13)] = 0
    token: Annotated[str, OneOf(("file", "uid"))] = "file"
    file: Annotated[int, Between(0, 31)] = 0
    offset: Annotated[int, Between(0, 8191, "bytes")] = 0
    length: Annotated[int, Between(0, 256, "bytes")] = 0
    communication: Annotated[str, OneOf(("enciphered", "maced", "plain", "auto"))] = "enciphered"
    encoding: Annotated[str, OneOf(("ascii", "hex"))] = "ascii"
    token_type: Annotated[str, OneOf(tuple(map(str, TokenType)))] = "ISO14443"
    text_type: Annotated[str, OneOf(("Central", "KeyCode", "Local"))] = "Local"

    @property
    def needs_uid(self) -> bool:
        """The key depends on the card's true UID."""
        return self.diversify != "none" and "uid" in self.diversify_input

    def diversification_input(self, uid: bytes) -> bytes:
        """Diversification input for this card."""
        application = bytes.fromhex(self.application)
        parts = {"uid": uid, "application": application, "application_reversed": application[::-1]}
        return b"".join(parts[i] if i in parts else bytes.fromhex(i[4:]) for i in self.diversify_input)


_INPUT = re.compile(r"uid|application|application_reversed|hex:([0-9a-fA-F]{2})+")
_DES_INPUT_BYTES, _AES_INPUT_BYTES = 15, 31
_UID_BYTES = 7


def list_complaints(s: SecureSettings) -> list[str]:
    """List what is wrong, one line each, without touching a reader; the key files are looked at."""
    return [f"secure.{line}" for line in (*_input_complaints(s), *_proof_complaints(s), *_key_file_complaints(s))]


def _input_complaints(s: SecureSettings) -> Iterator[str]:
    if s.diversify == "none":
        return
    wrong = [i for i in s.diversify_input if not _INPUT.fullmatch(i)]
    if wrong:
        yield f"diversify_input: must be uid, application, application_reversed or hex:..., is {wrong[0]!r}"
        return
    sizes = {"uid": _UID_BYTES, "application": 3, "application_reversed": 3}
    size = sum(sizes.get(i) or len(i[4:]) // 2 for i in s.diversify_input)
    most = _AES_INPUT_BYTES if s.auth == "aes" else _DES_INPUT_BYTES
    if not 1 <= size <= most:
        yield f"diversify_input: must be 1 to {most} bytes for {s.auth} keys, is {size}"


def _proof_complaints(s: SecureSettings) -> Iterator[str]:
    """Check that the file is protected: else an attacker in between could replace it, with any genuine card."""
    if s.auth == "legacy" and s.token == "file" and s.communication in ("plain", "auto"):
        yield f"communication: must be enciphered or maced with auth = legacy, is {s.communication!r}: no proof"


def _key_file_complaints(s: SecureSettings) -> Iterator[str]:
    for key in ("key_file", "uid_key_file"):
        path = getattr(s, key)
        if path is not None and (why := key_file_problem(path, s.auth)):
            yield f"{key}: {path}: {why}"
