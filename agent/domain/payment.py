"""A payment with a bank card, from the card to the bank's last word: its record in the journal, and what the station
file says of payments (decision 21). Amounts are whole hundredths of the currency's unit (``_cents``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from agent.domain.events import Event
from agent.domain.serialization import dump_record, load_record
from agent.model.bank_card import AcquirerRecord, BankCard
from agent.model.fastclass import frozen, mutable
from agent.model.string_enum import StrEnum
from agent.model.types import EvseId, Stamp, Token

if TYPE_CHECKING:
    from agent.domain.payment_receipt import ReceiptTerms
    from agent.domain.session_usage import Usage
    from agent.domain.tariff import Tariff

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
SCHEDULE_S = (MINUTE_S,) * 5 + (HOUR_S,) * 24 + (DAY_S,) * 7
"""How long after each unanswered commit or void it is asked again, as the maker of the terminal publishes it."""
HOLD_HOURS = 48.0
"""Unless the station file says otherwise: a session ends so long after its card."""
CARD_S = 180 * DAY_S
"""How long the card and the words of its acquirer are kept, unless ``[payment.receipts]`` says otherwise."""
TOKEN_LENGTH = 20
"""Of an idTag of 1.6 (CiString20Type)."""
_BITS, _REFERENCE = 5, 12
MOST_CENTS = 100_000
"""Of a hold: more is a slip of the pen."""


class PayState(StrEnum):
    """Where a payment is. What comes before ``AUTH_PENDING`` holds nothing and is not on disk."""

    NEW = "New"
    CARD_READ = "CardRead"
    AUTH_PENDING = "AuthPending"
    AUTHORIZED = "Authorised"
    ACTIVE = "Active"
    FINAL_KNOWN = "FinalKnown"
    COMMIT_PENDING = "CommitPending"
    COMMITTED = "Committed"
    VOID_PENDING = "VoidPending"
    VOIDED = "Voided"
    DECLINED = "Declined"
    UNCERTAIN = "Uncertain"
    LEFT_TO_CSMS = "LeftToCsms"
    WRITTEN_OFF = "WrittenOff"


FINISHED = frozenset((
    PayState.COMMITTED, PayState.VOIDED, PayState.DECLINED, PayState.UNCERTAIN, PayState.LEFT_TO_CSMS,
    PayState.WRITTEN_OFF,
))  # fmt: skip
UNKEPT = frozenset((PayState.NEW, PayState.CARD_READ))


@frozen
class PaymentTerms:
    """What the station file says. ``amount_cents``: held by the bank before a session starts (0: no
    new payments here, what was begun is finished); ``least_cents``: a bank that holds less is let
    go. ``prefix``: of the token that is sent to a backend. ``reserve_s``: how far ahead of the
    ceiling energy ends, for the delay of meter and contactor (real seconds). ``hold_s``: a session
    ends no later than so long after its card, since the terminal releases by itself what is not
    settled. ``terminals``: the number of each terminal's EVSE (0: of the station) and the EVSEs
    that it serves. ``keep_s``: how long what is finished is kept, for receipts and the
    reconciliation. ``raise_cents``: by how much a hold is raised before it is used up (0: never); ``most_cents``: up to
    so much, which the screen shows before a card is read. ``vat_numbers``: drivers may enter a VAT number, which begins
    with ``vat_prefix`` unless they delete it."""

    amount_cents: int
    terminals: Mapping[EvseId, tuple[EvseId, ...]]
    least_cents: int = 100
    prefix: str = ""
    receipts: ReceiptTerms | None = None
    """None: this station issues no receipts."""
    reserve_s: float = 15.0
    schedule_s: tuple[float, ...] = SCHEDULE_S
    keep_s: float = 100 * DAY_S
    hold_s: float = HOLD_HOURS * HOUR_S
    raise_cents: int = 0
    most_cents: int = 0
    vat_numbers: bool = False
    vat_prefix: str = ""

    @property
    def released_s(self) -> float:
        """Return how long after its card the terminal releases the hold by itself at the earliest:
        what the station file demands of it."""
        return 1.5 * self.hold_s

    @property
    def alarm_s(self) -> float:
        """Return how long after its card a bill that is still not charged is reported."""
        return self.released_s / 2


@mutable
class Payment:
    """``acquirer``: what it has said of the approval. ``receipt``: the number of the receipt. ``settled_utc_s``: when
    the terminal has charged or released.

    ``tariff``: agreed when its card was read, before its bank is asked. ``held_cents``: what is held under the
    number ``reservation`` of the terminal ``serial``. ``cents``: what is captured of it, decided once; ``owed_cents``:
    what the session costs (more, if the ceiling was passed). ``tries``: how often the schedule has asked; ``asked``: at
    least one commit or void was sent and not answered, it may have happened. ``withdrawn``: no driver waits for it any
    more. ``guessed``: it is not known whether the bank holds something; ``reservation`` is the number that the
    hold would have, and it is let go if it is there. ``transaction``: what was begun with its token before a vehicle
    came; ``satellite``: the station of its outlet, "" if that is this one;
    ``csms_authorized``: a backend was asked and has accepted it. ``most_cents``: up to so much may be held, as
    the driver has seen (0: what is held is not raised); ``raising_cents``: the bank was asked to hold so much in all
    and has not answered, so perhaps it does; ``raise_refused``: it is not asked again. ``vat_number``: for the receipt;
    ``vat_verdict``: that of the backend (accepted, rejected, "": none yet); ``vat_company``: fields of its address.

    Of this process only: ``raise_under_way``, the answer to a raise is to come; ``raise_tries``, raises without an
    answer; ``raise_again_s``, when to ask again after one;
    ``under_way``, an answer is to come, nothing else is asked meanwhile;
    ``turn_s``, when the schedule asks next; ``again_s``, when it was asked again out of turn, or
    may be sought again; ``bank_until_s``, when its bank must have answered; ``prices``, of each
    outlet when its terminal began to wait for a card; ``kept``, it is on disk; ``crossed``, its hold was reported while
    a guess at it was under way."""

    id: str
    terminal: EvseId
    token: Token
    asked_cents: int
    at: Stamp
    state: PayState = PayState.NEW
    card: BankCard = field(default_factory=lambda: BankCard(""))
    evse: EvseId = 0
    satellite: str = ""
    movable: bool = False
    reservation: int | None = None
    serial: str = ""
    acquirer: AcquirerRecord = AcquirerRecord()
    receipt: str = ""
    settled_utc_s: float | None = None
    held_cents: int = 0
    session: str = ""
    tariff: Tariff | None = None
    usage: Usage | None = None
    cents: int | None = None
    owed_cents: int | None = None
    tries: int = 0
    asked: bool = False
    withdrawn: bool = False
    why: str = ""
    utc_s: float | None = None
    reviewed: bool = False
    guessed: bool = False
    transaction: str = ""
    csms_authorized: bool = False
    most_cents: int = 0
    raising_cents: int | None = None
    raise_refused: bool = False
    vat_number: str = ""
    vat_verdict: str = ""
    vat_company: tuple[tuple[str, str], ...] = ()
    language: str = ""
    under_way: bool = False
    raise_under_way: bool = False
    raise_tries: int = 0
    raise_again_s: float | None = None
    crossed: bool = False
    turn_s: float | None = None
    again_s: float | None = None
    bank_until_s: float | None = None
    prices: Mapping[EvseId, Tariff] = field(default_factory=dict)
    kept: bool = False

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist("payment", id, ...)``."""
        return {
            "terminal": self.terminal,
            "token": dump_record(self.token),
            "asked_cents": self.asked_cents,
            "at": dump_record(self.at),
            "state": _STORED_STATES.get(self.state, self.state).value,
            "card": [self.card.mark, self.card.last4, self.card.brand],
            "evse": self.evse,
            **({"satellite": self.satellite} if self.satellite else {}),
            "reservation": self.reservation,
            "serial": self.serial,
            **({"acquirer": self.acquirer.to_record()} if self.acquirer != AcquirerRecord() else {}),
            **({"receipt": self.receipt} if self.receipt else {}),
            **({} if self.settled_utc_s is None else {"settled_utc_s": self.settled_utc_s}),
            "held_cents": self.held_cents,
            "session": self.session,
            "tariff": self.tariff.to_record() if self.tariff else None,
            "usage": self.usage.to_record() if self.usage else None,
            "cents": self.cents,
            "owed_cents": self.owed_cents,
            "tries": self.tries,
            "asked": self.asked,
            "withdrawn": self.withdrawn,
            "why": self.why,
            "utc_s": self.utc_s,
            "reviewed": self.reviewed or self.state in _STORED_STATES,
            "guessed": self.guessed,
            **({"transaction": self.transaction} if self.transaction else {}),
            **({"csms_authorized": True} if self.csms_authorized else {}),
            **({"most_cents": self.most_cents} if self.most_cents else {}),
            **({} if self.raising_cents is None else {"raising_cents": self.raising_cents}),
            **({"raise_refused": True} if self.raise_refused else {}),
            **({"vat": [self.vat_number, self.vat_verdict, dict(self.vat_company)]} if self.vat_number else {}),
            **({"later_state": self.state.value} if self.state in _STORED_STATES else {}),
        }

    @classmethod
    def from_record(cls, key: str, r: Mapping[str, Any]) -> Payment:
        """Read back what ``to_record`` made. Raises ``UnreadableRecord``, ``KeyError``, ``TypeError``, ``ValueError``,
        ``OverflowError``."""
        from agent.domain.tariff import Tariff, Usage

        mark, last4, brand = (str(word) for word in r["card"])
        vat_number, vat_verdict, vat_company = r.get("vat", ("", "", {}))
        return cls(
            id=key,
            terminal=int(r["terminal"]),
            token=load_record(r["token"], Token),
            asked_cents=int(r["asked_cents"]),
            at=load_record(r["at"], Stamp),
            state=PayState(r.get("later_state", r["state"])),
            card=BankCard(mark, last4, brand),
            evse=int(r["evse"]),
            satellite=str(r.get("satellite", "")),
            reservation=_optional_number(r["reservation"]),
            serial=str(r.get("serial", "")),
            acquirer=AcquirerRecord.from_record(dict(r.get("acquirer", {}))),
            receipt=str(r.get("receipt", "")),
            settled_utc_s=None if r.get("settled_utc_s") is None else float(r["settled_utc_s"]),
            held_cents=int(r["held_cents"]),
            session=str(r["session"]),
            tariff=Tariff.from_record(r["tariff"]) if r["tariff"] else None,
            usage=Usage.from_record(r["usage"]) if r["usage"] else None,
            cents=_optional_number(r["cents"]),
            owed_cents=_optional_number(r["owed_cents"]),
            tries=int(r["tries"]),
            asked=bool(r["asked"]),
            withdrawn=bool(r["withdrawn"]),
            why=str(r["why"]),
            utc_s=None if r["utc_s"] is None else float(r["utc_s"]),
            reviewed=bool(r["reviewed"]),
            guessed=bool(r.get("guessed", False)),
            transaction=str(r.get("transaction", "")),
            csms_authorized=bool(r.get("csms_authorized", False)),
            most_cents=int(r.get("most_cents", 0)),
            raising_cents=_optional_number(r.get("raising_cents")),
            raise_refused=bool(r.get("raise_refused", False)),
            vat_number=str(vat_number),
            vat_verdict=str(vat_verdict),
            vat_company=tuple((str(name), str(text)) for name, text in dict(vat_company).items()),
            kept=True,
        )


_STORED_STATES = dict.fromkeys((PayState.LEFT_TO_CSMS, PayState.WRITTEN_OFF), PayState.UNCERTAIN)
"""States that an earlier program refuses, and the one that it reads instead: such a payment is neither charged nor
released, nor is a review asked for. ``later_state`` has the true one."""


def _optional_number(value: Any) -> int | None:
    return None if value is None else int(value)


def parse_cents(text: str) -> int:
    """Return the cents of an amount with two decimals at most, as a setting has it (``HUNDREDTHS``)."""
    whole, _, part = text.partition(".")
    return 100 * int(whole) + int(part.ljust(2, "0") or 0)


def format_cents(cents: int) -> str:
    """Return the amount as a setting has it."""
    return f"{cents // 100}.{cents % 100:02}"


def payment_reference(prefix: str, payment: str) -> str:
    """Return the token by which a backend knows the payment: 60 bits of its id as digits and
    letters that are not mistaken for each other (Crockford's base 32), behind the prefix; at most
    ``TOKEN_LENGTH`` characters."""
    from hashlib import sha256

    number = int.from_bytes(sha256(payment.encode()).digest()[:8]) >> (64 - _BITS * _REFERENCE)
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    made = "".join(digits[number >> _BITS * place & 31] for place in reversed(range(_REFERENCE)))
    return (prefix + made)[:TOKEN_LENGTH]


# --- facts of the flow, for the table --------------------------------------------------------------------------------


@frozen
class PaymentFact(Event):
    payment: str


@frozen
class PaymentPlaced(PaymentFact):
    """The card that was read shall pay, at this outlet."""

    evse: EvseId
    movable: bool = False


@frozen
class PaymentWithdrawn(PaymentFact):
    """The payment is not needed any more. ``why``: for the journal."""

    why: str


@frozen
class PaymentSessionBegun(PaymentFact):
    """A session lives on it."""

    session: str
    start_wh: int


@frozen
class HoldSought(PaymentFact):
    """If its bank holds something, it does so under this number."""

    number: int


@frozen
class PaymentSessionEnded(PaymentFact):
    """Its session is over and costs this. ``by_csms``: the backend settles it with the bank (``SettlementByCSMS``)."""

    owed_cents: int
    why: str = ""
    by_csms: bool = False


@frozen
class PaymentResumed(PaymentFact):
    """It was unfinished when the agent went away."""


@frozen
class RaiseWanted(PaymentFact):
    """Its session will soon cost more than is held: so much shall be held in all."""

    total_cents: int
