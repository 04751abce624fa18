"""The dialogue with a card: whether it is of the right make and knows its key, and what its file contains.

There is no fallback to the UID: a card that cannot prove its identity gets no token.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from agent.model.secret_file import Unfit
from agent.model.types import Token, TokenType
from agent.ports import Broken
from agent.ports.reader import Tap
from drivers.reader_nfc.cards import NOT_GENUINE, RANDOM, UNREADABLE, Card, format_number, tap_of
from drivers.reader_nfc.desfire import NotGenuine, Refusal
from drivers.reader_nfc.desfire.ciphers import Cipher, Key
from drivers.reader_nfc.desfire.diversify import diversify_an10922, diversify_plain_cmac
from drivers.reader_nfc.desfire.picc import ENCIPHERED, MACED, PLAIN, Picc
from drivers.reader_nfc.key_file import read_key
from drivers.reader_nfc.secure_settings import SecureSettings
from drivers.reader_nfc.settings import EV1_4K, NfcSettings

log = logging.getLogger(__name__)

Exchange: TypeAlias = Callable[[bytes], bytes]

_COMMUNICATION = {"plain": PLAIN, "maced": MACED, "enciphered": ENCIPHERED}
_DIVERSIFIED = {"an10922": diversify_an10922, "cmac": diversify_plain_cmac}
_LONGEST_TOKEN = 36
_UID_BYTES = 7


class CardTalk:
    """One per reader. Raises ``Broken`` when a key file cannot be used."""

    def __init__(self, settings: NfcSettings) -> None:
        self._settings = settings
        self._keys = _MasterKeys(settings.secure) if settings.secure else None

    def preload_ciphers(self) -> None:
        """Import the ciphers before a card waits for them."""
        if self._keys is not None:
            self._keys.key_of_card(bytes(_UID_BYTES))
            Cipher(bytes(16), aes=True).encrypt_blocks(bytes(16))

    def identify_card(self, exchange: Exchange, card: Card) -> Tap:
        """Identify an activated card. Raises ``Gone``: the card was taken away too soon, or fell silent."""
        try:
            return self._identify_by_settings(Picc(exchange), card)
        except (Refusal, NotGenuine) as e:
            log.info("reader %s: a card is refused: %s", self._settings.path, e)
            return Tap(None, NOT_GENUINE)

    def identify_without_talk(self, card: Card) -> Tap:
        """Return the tap of a card that does not speak ISO/IEC 14443-4."""
        return Tap(None, RANDOM if card.has_random_uid else UNREADABLE)

    def _identify_by_settings(self, picc: Picc, card: Card) -> Tap:
        if self._settings.accept == EV1_4K and not _claims_ev1_4k(picc, card):
            return Tap(None, UNREADABLE)
        if self._keys is None:
            return tap_of(card, self._settings)
        return self._identify_by_key(picc, card, self._keys)

    def _identify_by_key(self, picc: Picc, card: Card, keys: _MasterKeys) -> Tap:
        s = keys.settings
        picc.select_application(int(s.application, 16))
        uid = card.uid
        if card.has_random_uid and s.needs_uid:
            if keys.uid_key is None:
                return Tap(None, RANDOM)
            picc.authenticate_key(s.auth, keys.uid_key, s.uid_key_number)
            uid = picc.get_card_uid()
        if s.needs_uid and len(uid) != _UID_BYTES:
            return Tap(None, UNREADABLE)  # no DESFire
        picc.authenticate_key(s.auth, keys.key_of_card(uid), s.key_number)
        if s.token == "uid":
            return self._token_of_uid(
                picc.get_card_uid(), card, b"" if card.has_random_uid and not s.needs_uid else uid
            )
        return self._token_of_file(picc, s)

    def _token_of_uid(self, uid: bytes, card: Card, claimed: bytes) -> Tap:
        """Return the tap of a proven UID. ``claimed``: the UID that the card claimed before and that its key was made
        of, empty for none. A key proves no other UID."""
        if claimed and uid != claimed:
            raise NotGenuine("the card proves another UID than it has shown")
        return tap_of(Card(uid, card.sak), self._settings)

    def _token_of_file(self, picc: Picc, s: SecureSettings) -> Tap:
        communication = _COMMUNICATION.get(s.communication)
        if communication is None:
            communication = picc.get_file_settings(s.file).read_communication(s.key_number)
        value = self._decode_text(picc.read_data(s.file, s.offset, s.length, communication), s.encoding)
        return (
            Tap(Token.of_text(value, *map(TokenType, (s.token_type, s.text_type)))) if value else Tap(None, UNREADABLE)
        )

    def _decode_text(self, data: bytes, encoding: str) -> str:
        """Return the text of the data, empty for anything that could not be a token."""
        if encoding == "hex":
            text = format_number(data, self._settings)
        else:
            text = data.rstrip(b"\0\xff").decode("latin-1").strip()
        fits = 1 <= len(text) <= _LONGEST_TOKEN and text.isascii() and text.isprintable()
        return text if fits and any(data) else ""


class _MasterKeys:
    """Master keys in memory; a card's own key is made when it comes."""

    def __init__(self, settings: SecureSettings) -> None:
        self.settings = settings
        aes = settings.auth == "aes"
        try:
            self._master = Key(read_key(settings.key_file, settings.auth), aes)
            self.uid_key = Key(read_key(settings.uid_key_file, settings.auth), aes) if settings.uid_key_file else None
        except Unfit as e:
            raise Broken(f"a key file of the reader: {e}") from None

    def key_of_card(self, uid: bytes) -> Key:
        diversified = _DIVERSIFIED.get(self.settings.diversify)
        return diversified(self._master, self.settings.diversification_input(uid)) if diversified else self._master


def _claims_ev1_4k(picc: Picc, card: Card) -> bool:
    """Return whether the card claims to be an EV1 with 4 KB. The claim costs a forger nothing, but most forgers forget
    to change it with the UID."""
    try:
        version = picc.get_version()
    except (Refusal, NotGenuine):
        return False
    return version.is_ev1_4k and (card.has_random_uid or version.uid == card.uid)
