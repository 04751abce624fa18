"""Complete the orders that wait for a record of the station's own signer (decision 34).

The domain orders what is to be signed, and knows no key. The record and its number become part of the durable
transaction of the same event: a process that is killed has stored both or neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.domain.messages import with_signed_record
from agent.domain.ocmf import OcmfBill, ocmf_payload
from agent.domain.orders import Order, Persist, Send
from agent.domain.serialization import dump_record
from agent.model.fastclass import replace
from agent.model.types import SignedReading
from agent.services.keys.ocmf_signer import OcmfSigner


class RecordSigning:
    """Sign records, and number them without a gap (OCMF pagination).

    One bill has one record: the same bill again, in the orders of a later event, gets the record and the number that
    it got the first time. ``made``: how many records this station has made so far.
    """

    def __init__(self, signer: OcmfSigner, made: int) -> None:
        self._signer = signer
        self._made = made
        self._latest: dict[tuple[str, str], tuple[OcmfBill, SignedReading | None]] = {}
        """The latest bill of each EVSE and kind of record. A transaction that outlives its session names the bill of
        that session until it ends."""

    def complete_orders(self, orders: Sequence[Order]) -> list[Order]:
        """Return the orders with their records, and with the number of the last one to store."""
        before = self._made
        completed = [
            self._complete_order(o, o.to_sign) if isinstance(o, Send | Persist) and o.to_sign is not None else o
            for o in orders
        ]
        if self._made != before:
            completed.insert(0, Persist("ocmf", "made", {"number": self._made}))
        return completed

    def _complete_order(self, order: Send | Persist, bill: OcmfBill) -> Order:
        record = self._record_of_bill(bill)
        if record is None:  # the log says why; a bill never waits for its record
            return replace(order, to_sign=None)
        if isinstance(order, Send):
            return replace(order, message=with_signed_record(order.message, record), to_sign=None)
        value: dict[str, Any] = {**(order.value or {}), "signed": dump_record(record)}
        return replace(order, value=value, to_sign=None)

    def _record_of_bill(self, bill: OcmfBill) -> SignedReading | None:
        known, record = self._latest.get((bill.point, bill.only), (None, None))
        if known is bill:
            return record
        record = self._signer.sign_payload(ocmf_payload(bill, self._made + 1))
        self._made += record is not None
        self._latest[bill.point, bill.only] = bill, record
        return record
