"""Judges of bank cards: what is charged is what is owed and was shown, once, and the backend can find the payment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agent.audit.context import (
    AuditContext,
    Fact,
    Judge,
    JudgeParameter,
    JudgeResult,
    WireRecord,
    failed_result,
    inapplicable_result,
    partial_result,
    passed_result,
)
from agent.audit.message_paths import table_at
from agent.audit.transaction_history import TransactionHistory, read_transactions
from agent.model.fastclass import frozen
from agent.scenario.grammar import Form
from agent.scenario.matching import as_number

MAKER = "subcontractor"
SHOWN_FACT, CAPTURED_FACT = "shown_total", "captured_total"
"""Facts that a person may be asked for, in euro."""


@frozen
class CardPayment:
    """What a bank has charged, and what it was for. None: it is not known."""

    name: str
    captured_cents: int
    shown_cents: int | None
    owed_cents: int | None


def card_payments(context: AuditContext) -> Iterator[CardPayment]:
    """Yield what was charged, each with the session that it was for: the nearest one in time of those that are left."""
    sessions = list(_ended_sessions(context))
    for capture in _payment_records(context, "capture"):
        session = min(sessions, key=lambda s: abs(s.at_s - capture.at_s), default=None)
        name = f"payment {capture.data.get('terminal_session', '')}".strip()
        if session is None:
            yield CardPayment(name, int(capture.data.get("cents", 0)), None, None)
            continue
        sessions.remove(session)
        shown, owed = session.data.get("cost_cents"), _owed_cents(context, session)
        yield CardPayment(name, int(capture.data.get("cents", 0)), shown if isinstance(shown, int) else None, owed)
    asked = [_asked_cents(context, key) for key in (CAPTURED_FACT, SHOWN_FACT)]
    if asked[0] is not None:
        yield CardPayment("the payment on the receipt", asked[0], asked[1], None)


def _payment_records(context: AuditContext, what: str) -> list[WireRecord]:
    return [r for r in context.records if r.kind == "payment" and r.data.get("what") == what]


def _ended_sessions(context: AuditContext) -> Iterator[WireRecord]:
    """Yield the last record of each session that was paid by a bank card."""
    prefix, latest = str(context.parameters.get("prefix", "")), {}
    for record in context.records:
        if record.kind == "last_session" and str(record.data.get("token") or "").startswith(prefix):
            latest[record.data.get("transaction_id"), record.data.get("evse")] = record
    yield from latest.values()


def _owed_cents(context: AuditContext, session: WireRecord) -> int | None:
    """Return what the energy of a session costs by the tariff of the kit, None where time or a fee counts too."""
    tariff: Mapping[str, Any] = context.kit.tariff if context.kit else {}
    price, energy_wh = as_number(tariff.get("kwh")), as_number(session.data.get("energy_wh"))
    if price is None or energy_wh is None or set(tariff) - {"kwh", "vat_percent", "currency"}:
        return None
    return int(energy_wh * price / 10 + 0.5)


def _asked_cents(context: AuditContext, key: str) -> int | None:
    fact = context.facts.get(key)
    found = re.search(r"\d+([.,]\d{1,2})?", fact.value) if fact else None
    return round(float(found[0].replace(",", ".")) * 100) if found else None


def judge_captured_amount(context: AuditContext) -> JudgeResult:
    """Judge that each card was charged what was shown and owed."""
    payments = list(card_payments(context))
    for one in payments:
        facts = [Fact("Charged to the card", _euro_text(one.captured_cents))]
        facts += [Fact("Shown", _euro_text(one.shown_cents))] if one.shown_cents is not None else []
        facts += [Fact("Owed by the tariff", _euro_text(one.owed_cents))] if one.owed_cents is not None else []
        for cents, what in ((one.shown_cents, "was shown"), (one.owed_cents, "is owed by the tariff")):
            slack = 1 if what != "was shown" else 0
            if cents is not None and abs(one.captured_cents - cents) > slack:
                more = "more" if one.captured_cents > cents else "less"
                return failed_result(
                    f"{one.name}: {_euro_text(one.captured_cents)} were captured, {more} than {what} "
                    f"({_euro_text(cents)})", facts=facts, advice_to=MAKER,
                    advice="Stop taking bank cards until it is clear where the amounts part: compare tariff, register "
                    "and the amount that is sent to the terminal, and refund what was charged too much.",
                )  # fmt: skip
    if not payments:
        return inapplicable_result("no bank card was charged")
    known = [p for p in payments if p.shown_cents is not None or p.owed_cents is not None]
    if not known:
        return partial_result("it is not known what was shown or owed")
    return passed_result(f"{len(known)} payments captured what was shown and owed")


def judge_captured_once(context: AuditContext) -> JudgeResult:
    """Judge that no hold is charged twice, charged and given back, or charged above what it holds."""
    holds = {r.data.get("terminal_session"): r.data.get("cents") for r in _payment_records(context, "hold")}
    voided = {r.data.get("terminal_session") for r in _payment_records(context, "void")}
    seen: set[Any] = set()
    for record in _payment_records(context, "capture"):
        number, cents = record.data.get("terminal_session"), as_number(record.data.get("cents")) or 0.0
        held = as_number(holds.get(number))
        problem = (
            "was captured twice" if number in seen else
            "was captured and given back" if number in voided else
            f"captured {_euro_text(int(cents))}, but only {_euro_text(int(held))} were held" if held is not None
            and cents > held else ""
        )  # fmt: skip
        if problem:
            return failed_result(
                f"payment {number} {problem}", advice_to=MAKER,
                advice="Look at the acquirer's list and refund the driver, then have the maker of the controller keep "
                "the state of each payment on disk before it asks the terminal.",
            )  # fmt: skip
        seen.add(number)
    if not seen and not holds:
        return inapplicable_result("no bank card was used")
    return passed_result(f"{len(seen)} payments were captured once, within what was held")


def _euro_text(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d} euro"


# --- tokens ----------------------------------------------------------------------------------------------------------


def judge_payment_token(context: AuditContext) -> JudgeResult:
    """Judge that each transaction says who pays, a bank card by a token of its own and never by its number."""
    history, prefix = read_transactions(context.frames), str(context.parameters.get("prefix", ""))
    paid: dict[str, TransactionHistory] = {}
    for one in history:
        problem = _token_problem(one)
        if not problem and prefix and one.token.startswith(prefix):
            problem = f"has the token {one.token} of another payment" if one.token in paid else ""
            paid[one.token] = one
        if problem:
            return _token_failure(f"{one.words} {problem}", one)
    charged = len(_payment_records(context, "capture"))
    if prefix and charged > len(paid):
        others = [one for one in history if one.token not in paid]
        words = f"{charged} bank cards were charged, but only {len(paid)} transactions have a token with {prefix}"
        return _token_failure(words, others[-1] if others else None)
    if not history:
        return inapplicable_result("the conversation has no transaction")
    return passed_result(f"each of {len(history)} transactions names who pays")


def _token_problem(one: TransactionHistory) -> str:
    free = any(table_at(f.payload, "idToken").get("type") == "NoAuthorization" for f in one.all_requests)
    if one.starts and one.ends and not one.token and not free:
        return "has no token: the backend cannot tell who pays"
    return "has the number of a bank card as its token" if is_card_number(one.token) else ""


def is_card_number(token: str) -> bool:
    """Return whether a token looks like the number of a bank card: 13 to 19 digits with the right check digit (ISO/IEC
    7812), whose first one is that of a payment scheme."""
    if not re.fullmatch(r"[2-6]\d{12,18}", token):
        return False
    doubled = [int(d) * (1 + n % 2) for n, d in enumerate(reversed(token))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _token_failure(says: str, one: TransactionHistory | None) -> JudgeResult:
    return failed_result(
        says, evidence=one.all_requests[:1] if one else (), advice_to="client",
        advice="Set the prefix of payment tokens as agreed with the network, and have the controller send the token of "
        "the payment with the start: without it the backend bills the session to the wrong account or to none.",
    )  # fmt: skip


PREFIX = {"prefix": JudgeParameter(Form.TEXT, "", "how the tokens of bank cards begin")}
JUDGES = (
    Judge("captured_as_shown", "each card is charged what was shown and owed", judge_captured_amount, PREFIX),
    Judge("captured_once", "no payment is captured twice, or above what is held", judge_captured_once),
    Judge("payment_token", "each transaction says who pays, never by a card's number", judge_payment_token, PREFIX),
)
