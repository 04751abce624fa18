"""From the terminal's card data to what may be known of a card."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from agent.model import secret_file
from agent.model.bank_card import AcquirerRecord, BankCard
from agent.ports import Broken
from drivers.terminal_payter import commands, messages, tlv
from drivers.terminal_payter.card_numbers import LONGEST_PRINT, mask_card_numbers, mask_known_card_number

SALT_NAME = "terminal.salt"
SALT_BYTES = 32
ACQUIRER_TEXT_MAX = 200
RECEIPT_TEXT_MAX = 1200
_MARK_BYTES = 16


def bank_card_of_tags(data: bytes, hash_tag: str, salt: bytes) -> BankCard:
    """Build the bank card from its tags. ``mark`` is "" when the terminal gave no hash: such a card cannot be
    recognized again."""
    fields = tlv.parse_tlv(data)
    digest = fields.get(hash_tag, b"")
    mark = hmac.digest(salt, digest, hashlib.sha256)[:_MARK_BYTES].hex() if digest else ""
    pan = fields.get(commands.MASKED_PAN, b"").decode("utf-8", "replace").strip()
    last4 = pan[-4:] if pan[-4:].isascii() and pan[-4:].isdigit() and len(pan) >= 4 else ""
    brand = fields.get(commands.BRAND_NAME, b"").decode("utf-8", "replace").strip("\0 ")
    return BankCard(mark, last4, brand[:30] if brand.isprintable() else "")


def acquirer_record_of_tags(data: bytes, last4: str = "") -> AcquirerRecord:
    """Return what the acquirer has said of an approval. A whole card number is masked wherever it stands. ``last4``: of
    the card, as far as it is known."""
    fields = tlv.parse_tlv(data)
    reference, response, said = (
        _plain_text(fields.get(tag, b""))
        for tag in (commands.HOST_REFERENCE, commands.HOST_RESPONSE, commands.ACQUIRER_DATA)
    )
    reference = mask_known_card_number(reference, last4)
    return AcquirerRecord(
        reference[:ACQUIRER_TEXT_MAX], _masked_text(response, ACQUIRER_TEXT_MAX), _masked_text(said, ACQUIRER_TEXT_MAX)
    )


def acquirer_record_of_words(answer: bytes) -> AcquirerRecord:
    """Return what the answer to Get Receipt or Get Transaction Record says. Its layout is not public: a text is the
    terminal's receipt; anything else is read as tags."""
    text = messages.plain_text(answer)
    if text is None:
        return acquirer_record_of_tags(answer)
    lines = (line.strip() for line in text.replace("\0", "\n").splitlines())
    return AcquirerRecord(receipt=_masked_text("\n".join(line for line in lines if line), RECEIPT_TEXT_MAX))


def _plain_text(value: bytes) -> str:
    text = value.decode("utf-8", "replace").strip("\0 ")
    return "".join(c for c in text if c.isprintable())


def _masked_text(text: str, longest: int) -> str:
    """Mask, then cut: a card number that is cut is no card number any more, but most of one."""
    return mask_card_numbers(text[: longest + LONGEST_PRINT])[:longest]


def salt_of(file: Path | None, state_dir: Path | None) -> bytes:
    """Return the station's own secret: the file that is named, or one that is made once in ``state_dir`` and that only
    its owner can read. Raises ``Broken``."""
    path = file or (state_dir / SALT_NAME if state_dir is not None else None)
    if path is None:
        return secrets.token_bytes(SALT_BYTES)
    try:
        return _read_salt(path) if file is not None else _create_salt(path)
    except secret_file.Unfit as e:
        raise Broken(f"terminal_payter: {path}: {e}") from e
    except OSError as e:
        raise Broken(f"terminal_payter: {path}: {e.strerror or e}; the agent's user must be able to write it") from e


def salt_file_problem(file: Path | None) -> str:
    """Return what is wrong with the file that is named, for ``check``; empty for nothing."""
    try:
        if file is not None and not secret_file.is_credential_to_come(file):
            _read_salt(file)
    except secret_file.Unfit as e:
        return f"{file}: {e}"
    return ""


def _read_salt(path: Path) -> bytes:
    salt = secret_file.read_secret(path).strip()
    if len(salt) < 16:
        raise secret_file.Unfit("must hold a random secret of 16 bytes or more")
    return salt


def _create_salt(path: Path) -> bytes:
    """Write the salt beside and link it: it is never half there, and the first one wins."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(fd, secrets.token_hex(SALT_BYTES).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        beside.replace(path)
    return _read_salt(path)
