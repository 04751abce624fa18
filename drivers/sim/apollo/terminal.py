"""The terminal itself: states, commands, a card in front of it. Whatever is not allowed in a state is refused."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drivers.sim.apollo.bank_records import Bank
from drivers.sim.apollo.blocks import Ear, data_objects, tags

OFFLINE, ONLINE, DISABLED, ENABLED, WAIT_CARD, WAIT_AUTH = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NAMES = {1: "offline", 2: "online", 4: "disabled", 8: "enabled", 16: "wait_card", 32: "wait_auth"}
EVENTS, DOL, WIDE, DETAILS = 0x01, 0x02, 0x04, 0x08
UNKNOWN, INCORRECT, BAD_SUM, WRONG_STATE, TWICE = 0x02, 0x03, 0x04, 0x05, 0x0B
DEFAULT_TAGS = ["DFF006", "DFCA0B", "DFCA09", "DFF002", "DFF003", "DFCA03"]
DECLINES = {
    "not_set": 0x00, "card_read_failure": 0x01, "card_read_timeout": 0x02, "host_error": 0x03, "invalid_merchant": 0x04,
    "refer_to_issuer": 0x05, "invalid_account": 0x06, "pin_failure": 0x07, "host_timeout": 0x08,
    "insufficient_funds": 0x09, "withdrawal_limit": 0x0A, "withdrawal_frequency": 0x0B, "database_unreachable": 0x0C,
    "other": 0xFF,
}  # fmt: skip
BEHAVIOURS = ("approve", "decline", "partial", "timeout", "slow", "cross", *DECLINES)
READ_S, SLOW_S, HOLD_S, SHOW_S, OFFLINE_S = 0.1, 90.0, 3.0, 3.0, 0.5
"""Reading a card; a bank that takes its time; how long a person holds a card; a last word on the screen; giving up."""
DETECT_S = 60.0
Sending = Callable[[int, bytes], None]
Later = Callable[[float, Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class Card:
    """``bank_s``: how long its bank thinks; None: as banks do. ``said_as``: the card that the approval is told for
    (last digits), if it is the late one for somebody else."""

    last4: str = "1234"
    behaviour: str = "approve"
    bank_s: float | None = None
    said_as: str = ""


class Machine:
    """``send`` takes messages for the host, ``later`` timers (which die with what they were for)."""

    def __init__(
        self, bank: Bank, ear: Ear, send: Sending, later: Later, *, polls: int, bank_s: float, answers: bool,
        bare: bool, nameless: bool = False,
    ) -> None:  # fmt: skip
        self.bank, self._ear, self._send, self._wait = bank, ear, send, later
        self._polls, self._bank_s, self._answers = polls, bank_s, answers
        self._bare, self._nameless = bare, nameless
        self.qr = self.ui = self.last_word = ""
        self.language, self.serial = "", "APO0042SIM"
        self._held: Card | None = None
        self._life = 0
        self.lose_state()

    def lose_state(self) -> None:
        """As after power-up: only what is on disk is still there."""
        self.state, self.options, self._timeout_s, self._void = OFFLINE, 0, 0, True
        self._ear.wide = False
        self._left = self._polls
        self._idle()

    def go_offline(self) -> None:
        """The host went: it has to synchronise again; the terminal itself is up."""
        self.lose_state()
        self._left = 0

    def _idle(self) -> None:
        """No transaction. What is on its way to a bank is not stopped by that."""
        self._life += 1
        self._card: Card | None = None
        self._paying = self._reading = False
        self._amount = 0
        self._tags: list[str] = []
        self.qr = ""

    @property
    def running(self) -> bool:
        return self.state in (WAIT_CARD, WAIT_AUTH)

    # --- commands ----------------------------------------------------------------------------------------------------

    def command(self, code: int, body: bytes) -> None:
        if code == 0x24:
            self._synchronise()
        elif code == 0x26:
            self._send(0x00, bytes([self.state, self.running]))
        elif code not in _COMMANDS:
            self.refuse(UNKNOWN)
        elif not self.state & _COMMANDS[code][0]:
            self.refuse(WRONG_STATE)
        else:
            try:
                _COMMANDS[code][1](self, body)
            except (struct.error, IndexError):
                self.refuse(INCORRECT)

    def refuse(self, detail: int) -> None:
        self._send(0x00, bytes([1, detail]) if self.options & DETAILS else b"\x01")

    def _fine(self, detail: int = 0) -> None:
        if detail:
            self.refuse(detail)
        else:
            self._send(0x00, b"\x00")

    def _synchronise(self) -> None:
        if self._left > 0:
            self._left -= 1
            return
        self._idle()
        self.state, self.options = ONLINE, 0
        self._ear.wide = False
        self._send(0x24, b"")

    def _protocol(self, body: bytes) -> None:
        version, options = struct.unpack(">BI", body)
        if version != 3:
            self.refuse(INCORRECT)
            return
        self._fine()
        self.options = options
        self._ear.wide = bool(options & WIDE)

    def _setup(self, body: bytes) -> None:
        self._timeout_s, action = struct.unpack(">IB", body)
        self._void = action == 1
        self.state = DISABLED
        self._fine()

    def _enable(self, body: bytes) -> None:
        self.state = max(self.state, ENABLED)
        self._fine()

    def _disable(self, body: bytes) -> None:
        self.state = DISABLED
        self._fine()

    def _ids(self, body: bytes) -> None:
        if self._nameless:
            self.refuse(UNKNOWN)
            return
        self._send(0x27, self.serial.encode() + b"\0APOLLO\0platform 1.2\0psp 3.1\0")

    def _start(self, body: bytes) -> None:
        self._idle()
        fields = body[8:]
        self._amount = struct.unpack_from(">I", body)[0]
        count = fields[0] if fields else 0
        self._tags = tags(fields[1 : 1 + count]) or DEFAULT_TAGS
        texts = fields[2 + count :].split(b"\0", 1)[-1][1:].split(b"\0") if len(fields) > 2 + count else []
        self.qr = texts[0].decode() if texts else ""
        self.state = WAIT_CARD
        if self._answers:
            self._fine()
        self._event(0x00)
        self._later(DETECT_S, self._nobody_came)
        self._look()

    def _auth(self, body: bytes) -> None:
        if self._card is None or self._paying:
            self.refuse(WRONG_STATE)
            return
        self._paying = True
        if self._answers:
            self._fine()
        card, amount, life = self._card, self._amount, self._life
        if card.behaviour == "cross":
            return
        slow_s = SLOW_S if card.behaviour == "slow" else self._bank_s
        wait_s = slow_s if card.bank_s is None else card.bank_s
        self._wait(wait_s if self.bank.online else OFFLINE_S, lambda: self._judged(card, amount, life))

    def _cancel(self, body: bytes) -> None:
        if self._paying:
            if self._card is not None and self._card.behaviour == "cross":
                self._judged(self._card, self._amount, self._life)
            self.refuse(WRONG_STATE)
            return
        self._over(0x33, b"")

    def _commit(self, body: bytes) -> None:
        self._fine(self.bank.commit(*struct.unpack(">II", body)))

    def _give_back(self, body: bytes) -> None:
        self._fine(self.bank.void(*struct.unpack(">I", body)))

    def _ui(self, body: bytes) -> None:
        self.ui = body.split(b"\0")[0].decode("utf-8", "replace")
        self._fine()

    def _speak(self, body: bytes) -> None:
        self.language = body.split(b"\0")[0].decode("utf-8", "replace")
        self._fine()

    # --- card and bank -----------------------------------------------------------------------------------------------

    def tap(self, card: Card) -> None:
        """Held to the reader for ``HOLD_S``; whatever waits for a card in that time reads it."""
        self._held = card
        self._wait(HOLD_S, lambda: self._gone(card))
        self._look()

    def _gone(self, card: Card) -> None:
        if self._held is card:
            self._held = None

    def _look(self) -> None:
        if self.state == WAIT_CARD and self._held is not None and not self._reading:
            card, self._held, self._reading = self._held, None, True
            self._event(0x01)
            self._later(READ_S, lambda: self._read(card))

    def _read(self, card: Card) -> None:
        if card.behaviour == "timeout":
            self._over(0x32, b"\x02" if self.options & DETAILS else b"")
            return
        self._card, self.state, self._reading = card, WAIT_AUTH, False
        self._event(0x02)
        self._send(0x34, self._sized(data_objects(self._data(card, self._tags))))

    def _judged(self, card: Card, amount: int, life: int) -> None:
        """The bank has spoken. If the transaction is no more, a hold stays and nobody is told."""
        here = life == self._life
        if not self.bank.online:
            reason: int | None = DECLINES["host_error"]
        else:
            reason = DECLINES.get("other" if card.behaviour == "decline" else card.behaviour)
        if reason is not None:
            if here:
                self._over(0x32, bytes([reason]) if self.options & DETAILS else b"", "Declined")
            return
        held = amount // 2 if card.behaviour == "partial" else amount
        number = self.bank.hold(held, self._timeout_s or 86400, self._void)
        if here:
            said = Card(card.said_as or card.last4)
            more = [("DFCA02", b"00"), *self._data(said, ["DFAA70", "DFCA0B", "DFCA0A"])]
            dol = self._sized(data_objects(more)) if self.options & DOL and not self._bare else b""
            if held < amount:
                self._over(0x35, struct.pack(">II", number, held) + dol, "Approved")
            else:
                self._over(0x31, struct.pack(">I", number) + dol, "Approved")

    def _data(self, card: Card, wanted: list[str]) -> list[tuple[str, bytes]]:
        pan = f"411111******{card.last4}"
        has = {
            "DFAA70": hashlib.sha256(f"a card of {pan}".encode()).digest(), "DFCA0B": pan.encode(), "DFCA0A": b"VISA",
            "DFCA09": b"\x00\x01", "DFF002": hashlib.sha1(pan.encode(), usedforsecurity=False).digest(),
            "DFF006": b"\x01",
        }  # fmt: skip
        return [(tag, has[tag]) for tag in wanted if tag in has]

    def _nobody_came(self) -> None:
        if self.state == WAIT_CARD:
            self._over(0x33, b"")

    def _over(self, code: int, body: bytes, word: str = "") -> None:
        self._idle()
        self.state = ENABLED
        self._event(0x03)
        self._send(code, body)
        if word:
            self.last_word = word
            self._wait(SHOW_S, self._forget_word)

    def _forget_word(self) -> None:
        self.last_word = ""

    def _event(self, what: int) -> None:
        if self.options & EVENTS:
            self._send(0x38, bytes([what]))

    def _sized(self, dol: bytes) -> bytes:
        return struct.pack(">H" if self._ear.wide else ">B", len(dol)) + dol

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        """For this transaction only."""
        life = self._life
        self._wait(seconds, lambda: call() if life == self._life else None)

    # --- what is seen ------------------------------------------------------------------------------------------------

    def screen(self) -> list[str]:
        amount = f"{self._amount // 100}.{self._amount % 100:02} EUR"
        if self.state == WAIT_CARD:
            return ["Present card", amount]
        if self.state == WAIT_AUTH:
            return ["Asking the bank" if self._paying else "Please wait", amount]
        if self.last_word:
            return [self.last_word]
        if self.state == ENABLED:
            return [self.ui or "Welcome"]
        return ["Out of order"]

    def picture(self) -> dict[str, Any]:
        return {
            "state": NAMES[self.state], "screen": self.screen(), "language": self.language, "qr": self.qr,
            "online": self.bank.online,
        }  # fmt: skip


_SETTLING = DISABLED | ENABLED | WAIT_CARD | WAIT_AUTH
_ANY = OFFLINE | ONLINE | _SETTLING
_COMMANDS: dict[int, tuple[int, Callable[[Machine, bytes], None]]] = {
    0x11: (DISABLED | ENABLED, Machine._disable),
    0x12: (DISABLED | ENABLED, Machine._enable),
    0x13: (ONLINE, Machine._protocol),
    0x23: (ONLINE, Machine._setup),
    0x27: (_ANY & ~OFFLINE, Machine._ids),
    0x28: (ENABLED | WAIT_CARD | WAIT_AUTH, Machine._ui),
    0x33: (_SETTLING, Machine._give_back),
    0x34: (ENABLED, Machine._start),
    0x35: (_SETTLING, Machine._commit),
    0x36: (WAIT_AUTH, Machine._auth),
    0x37: (WAIT_CARD | WAIT_AUTH, Machine._cancel),
    0x41: (_ANY, Machine._speak),
}
