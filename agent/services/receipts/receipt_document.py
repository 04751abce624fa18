"""A receipt in words: what page and print have in common, so that they cannot differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from agent.domain.payment import PayState
from agent.model.fastclass import frozen
from agent.services.receipts.receipt_texts import ReceiptTexts, receipt_texts

Row = tuple[str, str]
"""Label and value."""
COMPANY_FIELDS = ("name", "address1", "address2", "postalCode", "city", "country")
"""Of a buyer (AddressType of OCPP 2.1), in the order of a letter."""
_STATES = {
    PayState.VOID_PENDING.value: "released",
    PayState.VOIDED.value: "released",
    PayState.WRITTEN_OFF.value: "written_off",
    PayState.UNCERTAIN.value: "uncertain",
}


@frozen
class Component:
    """One line of the bill: what, how much of it at which price, and the amount."""

    title: str
    counted: tuple[str, ...]
    amount: str


@frozen
class ReceiptDocument:
    """A whole receipt in one language. ``made_utc_s``: when it was issued."""

    language: str
    title: str
    number: str
    seller: tuple[str, ...]
    facts: tuple[Row, ...]
    heads: Row
    components: tuple[Component, ...]
    totals: tuple[Row, ...]
    state: str
    card: tuple[Row, ...]
    signed: tuple[Row, ...] = ()
    """What was signed, and by what; the signed record is the last one."""
    made_utc_s: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def receipt_document(
    receipt: Mapping[str, Any], payment: Mapping[str, Any] | None, language: str, timezone: str
) -> ReceiptDocument:
    """Return the document of a stored receipt. ``payment``: the record of its payment, None if it is not kept any more.
    Raises ``KeyError``, ``TypeError``, ``ValueError`` for a record that is none."""
    texts = receipt_texts(language)
    return ReceiptDocument(
        texts.language,
        texts.text_of("title"),
        str(receipt["number"]),
        tuple(_seller_lines(receipt["seller"], texts)),
        tuple(row for row in _fact_rows(receipt, texts, timezone) if row[1]),
        (texts.text_of("description"), texts.text_of("amount")),
        tuple(_component_of(one, receipt, texts) for one in receipt["components"]),
        tuple(_total_rows(receipt, texts)),
        _state_text(payment, texts, timezone),
        tuple(row for row in _card_rows(receipt, texts) if row[1]),
        tuple(_signed_rows(receipt.get("signed"), texts)),
        receipt.get("issued_utc_s"),
        {"pdf": texts.text_of("pdf"), "signed": texts.text_of("signed")},
    )


def _seller_lines(seller: Mapping[str, Any], texts: ReceiptTexts) -> Iterator[str]:
    yield str(seller["name"])
    yield from map(str, seller.get("address", ()))
    yield f"{texts.text_of('vat_number')} {seller['vat_number']}"
    for name in ("registration", "contact"):
        if seller.get(name):
            yield f"{texts.text_of(name)}: {seller[name]}"


def _fact_rows(receipt: Mapping[str, Any], texts: ReceiptTexts, timezone: str) -> Iterator[Row]:
    yield texts.text_of("number"), str(receipt["number"])
    yield texts.text_of("issued"), texts.time_text(receipt["issued_utc_s"], timezone)
    yield texts.text_of("reference"), str(receipt["reference"])
    buyer = receipt.get("buyer", {})
    yield texts.text_of("buyer"), ", ".join(filter(None, (buyer.get("company", {}).get(n) for n in COMPANY_FIELDS)))
    yield texts.text_of("buyer_vat_number"), str(buyer.get("vat_number", ""))
    yield texts.text_of("station"), str(receipt["station"])
    yield texts.text_of("outlet"), str(receipt["outlet"])
    yield texts.text_of("place"), str(receipt["place"])
    yield texts.text_of("began"), texts.time_text(receipt["began_utc_s"], timezone)
    yield texts.text_of("ended"), texts.time_text(receipt["ended_utc_s"], timezone)
    yield texts.text_of("energy"), texts.energy_text(int(receipt["energy_wh"]))
    registers = (texts.energy_text(int(receipt[name])) for name in ("begin_wh", "end_wh"))
    yield texts.text_of("registers"), " – ".join(registers)
    yield texts.text_of("charging"), _duration_text(int(receipt["charging_s"]))
    yield texts.text_of("idle"), _duration_text(int(receipt["idle_s"]))


def _duration_text(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}" if seconds else ""


def _component_of(one: Mapping[str, Any], receipt: Mapping[str, Any], texts: ReceiptTexts) -> Component:
    kind, currency = str(one["kind"]), str(receipt["currency"])
    title = str(receipt.get("other_name") or "") if kind == "other" else ""
    counted = tuple(_counted_text(rate, texts, currency) for rate in one["rates"])
    return Component(title or texts.text_of(f"kinds.{kind}"), counted, texts.amount_text(int(one["cents"]), currency))


def _counted_text(rate: Sequence[Any], texts: ReceiptTexts, currency: str) -> str:
    price, count, unit = str(rate[0]), int(rate[1]), str(rate[2])
    said = f"{texts.rate_text(price)} {currency}"
    if unit == "Wh":
        return f"{texts.energy_text(count)} × {said}/kWh"
    minutes = texts.text_of("minutes")
    if unit == "ms":
        seconds = count // 1000
        return f"{seconds // 60}:{seconds % 60:02} {minutes} × {said}/{minutes}"
    return f"{texts.text_of('each')} {said}"


def _total_rows(receipt: Mapping[str, Any], texts: ReceiptTexts) -> Iterator[Row]:
    currency = str(receipt["currency"])
    yield texts.text_of("total"), texts.amount_text(int(receipt["cents"]), currency)
    if receipt["vat_cents"] is not None:
        rate = str(receipt["vat_percent"]).replace(".", texts.text_of("decimal"))
        yield texts.text_of("net"), texts.amount_text(int(receipt["net_cents"]), currency)
        yield texts.text_of("vat", rate=rate), texts.amount_text(int(receipt["vat_cents"]), currency)


def _state_text(payment: Mapping[str, Any] | None, texts: ReceiptTexts, timezone: str) -> str:
    if payment is None:
        return ""
    state = str(payment.get("later_state", payment["state"]))
    if state == PayState.COMMITTED:
        time = texts.time_text(payment.get("settled_utc_s"), timezone)
        return texts.text_of("states.paid", time=time) if time else texts.text_of("states.paid_undated")
    if state == PayState.UNCERTAIN and payment["cents"] == 0:  # given up: only its release is uncertain
        state = PayState.WRITTEN_OFF
    return texts.text_of(f"states.{_STATES.get(state, 'pending')}")


def _card_rows(receipt: Mapping[str, Any], texts: ReceiptTexts) -> Iterator[Row]:
    card, acquirer = receipt.get("card", {}), receipt.get("acquirer", {})
    tail = f"**** {card['last4']}" if card.get("last4") else ""
    yield texts.text_of("card"), " ".join(part for part in (str(card.get("brand", "")), tail) if part)
    yield texts.text_of("host_reference"), str(acquirer.get("reference", ""))
    yield texts.text_of("host_response"), str(acquirer.get("response", ""))
    yield texts.text_of("acquirer"), str(acquirer.get("data", ""))
    yield texts.text_of("terminal_receipt"), " / ".join(str(acquirer.get("receipt", "")).splitlines())


def _signed_rows(signed: Mapping[str, Any] | None, texts: ReceiptTexts) -> Iterator[Row]:
    if not signed or not signed.get("data"):
        return
    maker = "station" if signed.get("maker") == "station" else "meter"
    yield texts.text_of("signed"), texts.text_of(f"signed_{maker}")
    if signed.get("public_key"):
        yield texts.text_of("public_key"), str(signed["public_key"])
    yield str(signed.get("encoding", "OCMF")), str(signed["data"])
