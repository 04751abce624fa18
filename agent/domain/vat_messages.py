"""The VAT number of a driver on its way to the backend and back (OCPP 2.1 C18.FR.08)."""

from __future__ import annotations

from agent.domain.events import Event
from agent.domain.messages import Message
from agent.model.fastclass import frozen
from agent.model.types import EvseId


@frozen
class VatNumberGiven(Message):
    """A driver has entered this VAT number for a payment: the backend is asked whether it is valid. It is kept in
    memory only: without an answer the receipt has the number, and no company."""

    payment: str
    evse: EvseId
    number: str


@frozen
class VatNumberJudged(Event):
    """The backend has answered. ``company``: fields of AddressType and their texts, if it knows them."""

    link: str
    payment: str
    number: str
    accepted: bool
    company: tuple[tuple[str, str], ...] = ()
