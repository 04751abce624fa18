"""The terminal itself: its states, its commands and the card in front of it.

A command that is not allowed in the present state is refused.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drivers.sim.apollo.bank_records import NO_SESSION, Bank
from drivers.sim.apollo.blocks import BlockParser, encode_data_objects, parse_tag_list
from drivers.sim.apollo.papers import approval_objects
from drivers.sim.apollo.screens import HostScreen, StartTexts, parse_start_texts
from drivers.sim.apollo.services import CONNECTION, IDENTITY, LANGUAGE, RECEIPT, RECORD, UI, HostServices

OFFLINE, ONLINE, DISABLED, ENABLED, WAIT_CARD, WAIT_AUTH = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NAMES = {1: "offline", 2: "online", 4: "disabled", 8: "enabled", 16: "wait_card", 32: "wait_auth"}
EVENTS, DOL, WIDE, DETAILS = 0x01, 0x02, 0x04, 0x08
UNKNOWN, INCORRECT, BAD_SUM, WRONG_STATE, TWICE = 0x02, 0x03, 0x04, 0x05, 0x0B
ALL_METHODS, EMV = (0x00, 0xFF), 0x02
DEFAULT_TAGS = ["DFF006", "DFCA0B", "DFCA09", "DFF002", "DFF003", "DFCA03"]
DECLINES = {
    "not_set": 0x00, "card_read_failure": 0x01, "card_read_timeout": 0x02, "host_error": 0x03, "invalid_merchant": 0x04,
    "refer_to_issuer": 0x05, "invalid_account": 0x06, "pin_failure": 0x07, "host_timeout": 0x08,
    "insufficient_funds": 0x09, "withdrawal_limit": 0x0A, "withdrawal_frequency": 0x0B, "database_unreachable": 0x0C,
    "other": 0xFF,
}  # fmt: skip
RAISES = {"raise_part": "part", "raise_none": "none"}
"""Cards whose bank holds what is asked for at first, and later half of what more is asked for, or nothing."""
BEHAVIOURS = ("approve", "decline", "partial", "timeout", "slow", "cross", *RAISES, *DECLINES)
READ_S, SLOW_S, HOLD_S, SHOW_S, OFFLINE_S = 0.1, 90.0, 3.0, 3.0, 0.5
"""Time to read a card, of a slow bank, a card is held, a result stays on the screen, and an offline bank gives up."""
DETECT_S = 60.0
Sending = Callable[[int, bytes], None]
Later = Callable[[float, Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class BankCard:
    """A bank card."""

    last4: str = "1234"
    behaviour: str = "approve"
    bank_s: float | None = None
    """How long its bank takes to answer. None: the usual time."""
    said_as: str = ""
    """Last digits of the card that the approval names, if it is a late approval for another card."""


@dataclass(frozen=True, slots=True)
class Badge:
    """A card that is no bank card."""

    uid: bytes


class TerminalMachine:
    """The state machine of the terminal. ``send`` sends a message to the host, ``later`` starts a timer."""

    def __init__(
        self, bank: Bank, ear: BlockParser, send: Sending, later: Later, *, polls: int, bank_s: float, answers: bool,
        bare: bool, nameless: bool = False,
    ) -> None:  # fmt: skip
        self.bank, self._ear, self._send, self._wait = bank, ear, send, later
        self._polls, self._bank_s, self._answers = polls, bank_s, answers
        self._bare, self.last_word = bare, ""
        self.services = HostServices(bank, nameless)
        self._held: BankCard | Badge | None = None
        self._life = 0
        self.lose_state()

    def lose_state(self) -> None:
        """Start as after power-up: only the data on disk are kept."""
        self.state, self.options, self._timeout_s, self._void = OFFLINE, 0, 0, True
        self._ear.wide = False
        self._left = self._polls
        self.services.screen = HostScreen()
        self._clear_transaction()

    def go_offline(self) -> None:
        """Go offline because the host left. The host must synchronize again; the terminal itself stays up."""
        self.lose_state()
        self._left = 0

    def _clear_transaction(self) -> None:
        """Forget the transaction. A request that is on its way to a bank is not stopped."""
        self._life += 1
        self._card: BankCard | None = None
        self._paying = self._reading = self._only_reads = False
        self._amount = 0
        self._methods = ALL_METHODS[0]
        self._tags: list[str] = []
        self._texts = StartTexts()

    @property
    def in_transaction(self) -> bool:
        return self.state in (WAIT_CARD, WAIT_AUTH)

    # --- commands ----------------------------------------------------------------------------------------------------

    def handle_command(self, code: int, body: bytes) -> None:
        if code == 0x24:
            self._synchronize_host()
        elif code == 0x26:
            self._send(0x00, bytes([self.state, self.in_transaction]))
        elif code not in _ALLOWED:
            self.refuse_command(UNKNOWN)
        elif not self.state & _ALLOWED[code]:
            self.refuse_command(WRONG_STATE)
        else:
            try:
                self._carry_out_command(code, body)
            except (struct.error, IndexError):
                self.refuse_command(INCORRECT)

    def _carry_out_command(self, code: int, body: bytes) -> None:
        if code in _COMMANDS:
            _COMMANDS[code][1](self, body)
            return
        answer = self.services.answer_request(code, body)
        if isinstance(answer, int):
            self._acknowledge_command(answer)
        else:
            self._send(code, answer)

    def refuse_command(self, detail: int) -> None:
        self._send(0x00, bytes([1, detail]) if self.options & DETAILS else b"\x01")

    def _acknowledge_command(self, detail: int = 0) -> None:
        if detail:
            self.refuse_command(detail)
        else:
            self._send(0x00, b"\x00")

    def _synchronize_host(self) -> None:
        if self._left > 0:
            self._left -= 1
            return
        self._clear_transaction()
        self.state, self.options = ONLINE, 0
        self._ear.wide = False
        self._send(0x24, b"")

    def _set_protocol(self, body: bytes) -> None:
        version, options = struct.unpack(">BI", body)
        if version != 3:
            self.refuse_command(INCORRECT)
            return
        self._acknowledge_command()
        self.options = options
        self._ear.wide = bool(options & WIDE)

    def _set_up_sessions(self, body: bytes) -> None:
        self._timeout_s, action = struct.unpack(">IB", body)
        self._void = action == 1
        self.state = DISABLED
        self._acknowledge_command()

    def _enable_reader(self, body: bytes) -> None:
        self.state = max(self.state, ENABLED)
        self._acknowledge_command()

    def _disable_reader(self, body: bytes) -> None:
        self.state = DISABLED
        self._acknowledge_command()

    def _start_session(self, body: bytes) -> None:
        self._clear_transaction()
        self._amount = struct.unpack_from(">I", body)[0]
        self._wait_for_card(body[8:])

    def _read_card_only(self, body: bytes) -> None:
        self._clear_transaction()
        struct.unpack_from(">I", body)
        self._only_reads = True
        self._wait_for_card(body[4:])

    def _wait_for_card(self, fields: bytes) -> None:
        count = fields[0] if fields else 0
        self._tags = parse_tag_list(fields[1 : 1 + count]) or DEFAULT_TAGS
        self._methods = fields[1 + count] if len(fields) > 1 + count else ALL_METHODS[0]
        self._texts = parse_start_texts(fields[2 + count :])
        self.state = WAIT_CARD
        if self._answers:
            self._acknowledge_command()
        self._send_event(0x00)
        self._call_in_transaction(DETECT_S, self._time_out_card_wait)
        self._start_reading()

    def _authorize_session(self, body: bytes) -> None:
        if self._card is None or self._paying or self._only_reads:
            self.refuse_command(WRONG_STATE)
            return
        self._paying = True
        if self._answers:
            self._acknowledge_command()
        card, amount, life = self._card, self._amount, self._life
        if card.behaviour == "cross":
            return
        slow_s = SLOW_S if card.behaviour == "slow" else self._bank_s
        wait_s = slow_s if card.bank_s is None else card.bank_s
        self._wait(wait_s if self.bank.online else OFFLINE_S, lambda: self._finish_authorization(card, amount, life))

    def _cancel_session(self, body: bytes) -> None:
        if self._paying:
            if self._card is not None and self._card.behaviour == "cross":
                self._finish_authorization(self._card, self._amount, self._life)
            self.refuse_command(WRONG_STATE)
            return
        self._end_session(0x33, b"")

    def _commit_session(self, body: bytes) -> None:
        self._acknowledge_command(self.bank.commit_session(*struct.unpack(">II", body)))

    def _update_session(self, body: bytes) -> None:
        number, total = struct.unpack(">II", body)
        if number not in self.bank.open:
            self.refuse_command(NO_SESSION)
            return
        if self._answers:
            self._acknowledge_command()
        self._wait(self._bank_s if self.bank.online else OFFLINE_S, lambda: self._finish_update(number, total))

    def _finish_update(self, number: int, total: int) -> None:
        """Take the bank's answer. A session that was settled meanwhile holds nothing."""
        if number not in self.bank.open:
            self._send(0x43, struct.pack(">BIIIB", 2, number, 0, 0, DECLINES["other"]))
            return
        before = self.bank.open[number]["cents"]
        held = self.bank.update_hold(number, total)
        outcome = 0 if held == total else 1 if held > before else 2
        reason = 0 if outcome < 2 else DECLINES["insufficient_funds" if self.bank.online else "host_error"]
        self._send(0x43, struct.pack(">BIIIB", outcome, number, held, abs(held - before), reason))

    def _void_session(self, body: bytes) -> None:
        self._acknowledge_command(self.bank.void_session(*struct.unpack(">I", body)))

    # --- card and bank -----------------------------------------------------------------------------------------------

    def present_card(self, card: BankCard | Badge) -> None:
        """Hold a card to the reader for ``HOLD_S``. A session that waits for a card in that time reads it."""
        self._held = card
        self._wait(HOLD_S, lambda: self._remove_card(card))
        self._start_reading()

    def _remove_card(self, card: BankCard | Badge) -> None:
        if self._held is card:
            self._held = None

    def _start_reading(self) -> None:
        if self.state == WAIT_CARD and self._held is not None and not self._reading and self._accepts(self._held):
            card, self._held, self._reading = self._held, None, True
            self._send_event(0x01)
            self._call_in_transaction(READ_S, lambda: self._finish_reading(card))

    def _accepts(self, card: BankCard | Badge) -> bool:
        if self._methods in ALL_METHODS:
            return True
        return bool(self._methods & EMV) if isinstance(card, BankCard) else bool(self._methods & ~EMV)

    def _finish_reading(self, card: BankCard | Badge) -> None:
        if isinstance(card, Badge):
            self.state, self._reading = WAIT_AUTH, False
            self._send_event(0x02)
            found = {"DFF002": card.uid, "DFF006": b"\x03"}
            self._send(0x40, self._with_length(encode_data_objects([(t, found[t]) for t in self._tags if t in found])))
            return
        if card.behaviour == "timeout":
            self._end_session(0x32, b"\x02" if self.options & DETAILS else b"")
            return
        self._card, self.state, self._reading = card, WAIT_AUTH, False
        self._send_event(0x02)
        self._send(0x34, self._with_length(encode_data_objects(self._card_data_objects(card, self._tags))))

    def _finish_authorization(self, card: BankCard, amount: int, life: int) -> None:
        """Take the bank's answer. If the transaction is over, the hold stays and the host gets no message."""
        here = life == self._life
        if not self.bank.online:
            reason: int | None = DECLINES["host_error"]
        else:
            reason = DECLINES.get("other" if card.behaviour == "decline" else card.behaviour)
        if reason is not None:
            if here:
                self._end_session(0x32, bytes([reason]) if self.options & DETAILS else b"", "Declined")
            return
        held = amount // 2 if card.behaviour == "partial" else amount
        number = self.bank.place_hold(held, self._timeout_s or 86400, self._void, RAISES.get(card.behaviour, ""))
        if here:
            shown_card = BankCard(card.said_as or card.last4)
            more = [*approval_objects(number), *self._card_data_objects(shown_card, ["DFAA70", "DFCA0B", "DFCA0A"])]
            dol = self._with_length(encode_data_objects(more)) if self.options & DOL and not self._bare else b""
            if held < amount:
                self._end_session(0x35, struct.pack(">II", number, held) + dol, "Approved")
            else:
                self._end_session(0x31, struct.pack(">I", number) + dol, "Approved")

    def _card_data_objects(self, card: BankCard, wanted: list[str]) -> list[tuple[str, bytes]]:
        pan = f"411111******{card.last4}"
        has = {
            "DFAA70": hashlib.sha256(f"a card of {pan}".encode()).digest(), "DFCA0B": pan.encode(), "DFCA0A": b"VISA",
            "DFCA09": b"\x00\x01", "DFF002": hashlib.sha1(pan.encode(), usedforsecurity=False).digest(),
            "DFF006": b"\x01",
        }  # fmt: skip
        return [(tag, has[tag]) for tag in wanted if tag in has]

    def _time_out_card_wait(self) -> None:
        if self.state == WAIT_CARD:
            self._end_session(0x33, b"")

    def _end_session(self, code: int, body: bytes, word: str = "") -> None:
        self._clear_transaction()
        self.state = ENABLED
        self._send_event(0x03)
        self._send(code, body)
        if word:
            self.last_word = word
            self._wait(SHOW_S, self._clear_last_word)

    def _clear_last_word(self) -> None:
        self.last_word = ""

    def _send_event(self, what: int) -> None:
        if self.options & EVENTS:
            self._send(0x38, bytes([what]))

    def _with_length(self, dol: bytes) -> bytes:
        return struct.pack(">H" if self._ear.wide else ">B", len(dol)) + dol

    def _call_in_transaction(self, seconds: float, call: Callable[[], None]) -> None:
        """Call later, if this transaction still runs then."""
        life = self._life
        self._wait(seconds, lambda: call() if life == self._life else None)

    # --- what is seen ------------------------------------------------------------------------------------------------

    def screen_lines(self) -> list[str]:
        amount = f"{self._amount // 100}.{self._amount % 100:02} EUR"
        if self.state == WAIT_CARD:
            shown = [] if self._only_reads or self._texts.hides_amount else [amount]
            return ["Present card", *shown, *filter(None, [self._texts.card_message])]
        if self.state == WAIT_AUTH:
            return ["Asking the bank" if self._paying else "Please wait", amount]
        if self.last_word:
            return [self.last_word]
        if self.state == ENABLED:
            return self.services.screen.shown_lines()
        return ["Out of order"]

    def terminal_picture(self) -> dict[str, Any]:
        is_hosts = self.state == ENABLED and not self.last_word
        return {
            "state": NAMES[self.state], "screen": self.screen_lines(), "language": self.services.language,
            "qr": self.services.screen.qr if is_hosts else self._texts.qr,
            "online": self.bank.online,
        }  # fmt: skip


_SETTLING = DISABLED | ENABLED | WAIT_CARD | WAIT_AUTH
_ANY = OFFLINE | ONLINE | _SETTLING
_COMMANDS: dict[int, tuple[int, Callable[[TerminalMachine, bytes], None]]] = {
    0x11: (DISABLED | ENABLED, TerminalMachine._disable_reader),
    0x12: (DISABLED | ENABLED, TerminalMachine._enable_reader),
    0x13: (ONLINE, TerminalMachine._set_protocol),
    0x23: (ONLINE, TerminalMachine._set_up_sessions),
    0x33: (_SETTLING, TerminalMachine._void_session),
    0x34: (ENABLED, TerminalMachine._start_session),
    0x35: (_SETTLING, TerminalMachine._commit_session),
    0x36: (WAIT_AUTH, TerminalMachine._authorize_session),
    0x37: (WAIT_CARD | WAIT_AUTH, TerminalMachine._cancel_session),
    0x41: (ENABLED, TerminalMachine._read_card_only),
    0x42: (_SETTLING, TerminalMachine._update_session),
}
_ALLOWED = {
    **{code: states for code, (states, _) in _COMMANDS.items()},
    IDENTITY: _ANY & ~OFFLINE,
    UI: ENABLED | WAIT_CARD | WAIT_AUTH,
    LANGUAGE: _ANY,
    CONNECTION: _ANY & ~OFFLINE,
    RECEIPT: _SETTLING,
    RECORD: _SETTLING,
}
"""The states in which each request is allowed."""
