"""The receipt of a card payment: numbered without a gap, and on disk in the transaction in which its session ends
(decision 67). It is issued once and does not change: what has become of the money is in the record of the payment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from agent.domain.local_time import clock_s, passed_s
from agent.domain.orders import Persist
from agent.domain.payment import CARD_S, Payment, payment_reference
from agent.domain.tariff_cost import cap_bill_parts
from agent.model.fastclass import frozen
from agent.model.types import Moment, SignedReading, Stamp

if TYPE_CHECKING:
    from agent.domain.ocmf import OcmfBill
    from agent.domain.session_records import EndedSession
    from agent.domain.session_usage import Usage
    from agent.domain.tariff import Tariff

KIND, SERIES_KIND = "receipt", "receipts"
"""Kinds of facts: each receipt by the reference of its payment; the series with the number of its last receipt."""
TAG_LENGTH, DIGITS = 4, 6


@frozen
class ReceiptTerms:
    """What the station file says of receipts. ``seller``: who sells the energy, by the words of the receipt (``name``,
    ``address``, ``vat_number``, ``registration``, ``contact``). ``series``: what the numbers begin with. ``card_s``:
    how long the card and what the acquirer said of it are kept; ``keep_s``: how long the receipt is."""

    seller: Mapping[str, Any]
    series: str
    station: str = ""
    places: Mapping[int, str] = field(default_factory=dict)
    """What roaming calls each outlet."""
    card_s: float = CARD_S
    keep_s: float = 400 * 86400.0


@frozen
class SuppliedEnergy:
    """What was supplied in the session. Registers are in Wh; a time is None if no clock was known, ``signed``
    None if no meter has signed the register (``to_sign``: what the station itself signs)."""

    begin_wh: int
    end_wh: int
    began: Stamp | None
    ended: Stamp
    signed: SignedReading | None = None
    to_sign: OcmfBill | None = None
    began_utc_s: float | None = None
    """Of a session at a satellite, whose stamps are of another clock; likewise ``ended_utc_s``."""
    ended_utc_s: float | None = None


class ReceiptSeries:
    """Issues receipts with consecutive numbers. A number is stored in the transaction that stores its receipt and the
    amount that is settled: a process that is killed has used all three or none."""

    def __init__(self, terms: ReceiptTerms) -> None:
        self._terms = terms
        self._tag, self._number = "", 0

    def resume_series(self, remembered: Mapping[str, Any], new_id: Callable[[], str]) -> Iterator[Persist]:
        """Go on with the stored series, or begin a new one. A store that may have lost something forgets its series,
        since it may not know the last numbers: no number is given twice."""
        made = remembered.get(SERIES_KIND, {}).get("made", {})
        tag, number = made.get("tag"), made.get("number")
        if isinstance(tag, str) and tag and type(number) is int:
            self._tag, self._number = tag, number
            return
        self._tag, self._number = payment_reference("", new_id())[:TAG_LENGTH], 0
        yield self._persist_series()

    def issue_receipt(self, p: Payment, supplied: SuppliedEnergy, now: Moment) -> Iterator[Persist]:
        """Issue the receipt of what the session has cost, if it has cost anything. ``p.receipt`` becomes its number."""
        assert p.tariff is not None
        assert p.usage is not None
        cents = min(p.tariff.total_cents(p.usage), p.held_cents)
        if not cents or p.receipt:
            return
        self._number += 1
        p.receipt = receipt_number(self._terms.series, self._tag, self._number)
        yield self._persist_series()
        record = {
            "number": p.receipt,
            "reference": p.token.value,
            "payment": p.id,
            "issued_utc_s": now.utc_s,
            "seller": dict(self._terms.seller),
            "station": self._terms.station,
            "outlet": p.evse,
            "place": self._terms.places.get(p.evse, ""),
            **({"satellite": p.satellite} if p.satellite else {}),
            "session": p.session,
            "language": p.language,
            **_buyer_words(p),
            **_energy_words(p, supplied, now),
            **bill_words(p.tariff, p.usage, cents),
            "held_cents": p.held_cents,
            "card": {"last4": p.card.last4, "brand": p.card.brand},
            "acquirer": p.acquirer.to_record(),
            "terminal": {"evse": p.terminal, "serial": p.serial, "hold": p.reservation},
        }
        yield Persist(KIND, p.token.value, record, supplied.to_sign)

    def _persist_series(self) -> Persist:
        return Persist(SERIES_KIND, "made", {"tag": self._tag, "number": self._number})


def receipt_number(series: str, tag: str, number: int) -> str:
    """Return the number of a receipt as it is printed: the station's series, a tag that is new with each begin of a
    series, and the consecutive number."""
    return "-".join(part for part in (series, tag, f"{number:0{DIGITS}}") if part)


def energy_supplied(p: Payment, session: EndedSession | None, at: Stamp) -> SuppliedEnergy:
    """Return what was supplied to a session that has ended, as it was reported to the backends; of a session whose
    record is lost (None), what its usage says."""
    assert p.usage is not None
    if session is None or session.id != p.session:
        return SuppliedEnergy(p.usage.wh - p.usage.energy_wh, p.usage.wh, None, at)
    return SuppliedEnergy(
        session.start_wh, session.start_wh + session.energy_wh, session.started, session.ended, session.signed,
        session.to_sign,
    )  # fmt: skip


def bill_words(tariff: Tariff, usage: Usage, cents: int) -> dict[str, Any]:
    """Return amount, VAT and components of a bill by the one engine of the tariff. ``components``: kind and cents, and
    what was counted at which rate (``Tariff.rated_quantities``)."""
    vat_cents = tariff.vat_cents(cents)
    known = tariff.vat_percent is not None
    return {
        "currency": tariff.currency,
        "cents": cents,
        "vat_percent": str(tariff.vat_percent) if known else "",
        "vat_cents": vat_cents if known else None,
        "net_cents": cents - vat_cents if known else None,
        "components": [
            {"kind": kind, "cents": part, "rates": [list(rate) for rate in tariff.rated_quantities(usage, kind)]}
            for kind, part in cap_bill_parts(tariff.parts_in_cents(usage), cents)
        ],
        "other_name": tariff.other_name,
        "tariff": tariff.to_record(),
    }


def _buyer_words(p: Payment) -> dict[str, Any]:
    """Return who buys, if the driver has entered a VAT number that the backend has not rejected."""
    if not p.vat_number or p.vat_verdict == "rejected":
        return {}
    return {"buyer": {"vat_number": p.vat_number, "company": dict(p.vat_company)}}


def _energy_words(p: Payment, supplied: SuppliedEnergy, now: Moment) -> dict[str, Any]:
    """Return what was supplied and when. The begin of a session that outlives the process is that of its card."""
    assert p.usage is not None
    usage, signed = p.usage, supplied.signed
    began_utc_s, ended_utc_s = supplied.began_utc_s, supplied.ended_utc_s
    if began_utc_s is None and supplied.began is not None:
        began_utc_s = _utc_seconds_of(supplied.began, now)
    return {
        "began_utc_s": p.utc_s if began_utc_s is None else began_utc_s,
        "ended_utc_s": _utc_seconds_of(supplied.ended, now) if ended_utc_s is None else ended_utc_s,
        "energy_wh": usage.energy_wh,
        "begin_wh": supplied.begin_wh,
        "end_wh": supplied.end_wh,
        "charging_s": sum(s.charging_ms for s in usage.sums) // 1000,
        "idle_s": sum(s.idle_ms for s in usage.sums) // 1000,
        **({"signed": _signed_words(signed)} if signed is not None else {}),
    }


def _signed_words(signed: SignedReading) -> dict[str, Any]:
    from agent.domain.serialization import dump_record

    return dict(dump_record(signed))


def _utc_seconds_of(at: Stamp, now: Moment) -> float | None:
    """Return when that was, if a clock is known and this process has seen it."""
    if now.utc_s is None or at.boot != now.stamp.boot:
        return None
    return clock_s(now) - passed_s(at, now)
