"""Let a driver who pays with a bank card enter a VAT number for the receipt (OCPP 2.1 C18.FR.08), by keys: ``vat``
begins and ends the entry, ``key-0`` to ``key-9`` and ``key-A`` to ``key-Z`` type, ``key-delete`` takes the last
character back, ``key-ok`` sends the number to the backend. It belongs to the payment that is under way: to the only
one, otherwise to that of the outlet whose button was pressed a moment ago."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.domain.blocks.outlet_selection import OutletSelection
from agent.domain.cost_screen import Values
from agent.domain.events import ButtonPressed, NoticeShown, SituationChanged, TimeCame
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import Send, WakeMe
from agent.domain.payment import Payment, PayState
from agent.domain.payment_table import PaymentJournal
from agent.domain.timers import Timer, TimerKind
from agent.domain.vat_messages import VatNumberGiven, VatNumberJudged
from agent.model.fastclass import mutable
from agent.model.types import EvseId, Moment

BEGIN, KEY, DELETE, OK = "vat", "key-", "key-delete", "key-ok"
NUMBER = re.compile(r"[A-Z]{2}[0-9A-Z]{2,18}")
"""Two letters of the country and what that gives: at most 20 characters (VatNumberValidation)."""
LONGEST = 20
ENTRY_S, SHOWN_S = 60.0, 20.0
"""How long an entry waits for the next key, and how long its verdict is shown (real seconds)."""
ENTERING, INCOMPLETE, ASKED, ACCEPTED, REJECTED = "entry", "incomplete", "asked", "accepted", "rejected"


@mutable
class VatEntry:
    """What the screen of an EVSE shows of a VAT number. ``text``: the number, or the name of its company."""

    payment: str
    state: str
    text: str
    until_s: float

    @property
    def is_open(self) -> bool:
        return self.state in (ENTERING, INCOMPLETE)


class VatNumbers:
    def __init__(self, site: StationState, journal: PaymentJournal, outlets: OutletSelection) -> None:
        self._site, self._journal, self._outlets = site, journal, outlets
        self._entries: dict[EvseId, VatEntry] = {}

    def screen_values(self, evse: EvseRecord, now: Moment) -> Values:
        entry = self._entries.get(evse.number)
        return {} if entry is None else {"vat_state": entry.state, "vat_text": entry.text}

    # --- keys ----------------------------------------------------------------------------------------------------

    @handles_events(ButtonPressed)
    def enter_by_key(self, event: ButtonPressed, now: Moment) -> Iterator[Yielded]:
        number = next((n for n, entry in self._entries.items() if entry.is_open), None)
        if number is None:
            if event.name == BEGIN:
                yield from self._begin_entry(now)
            return
        entry = self._entries[number]
        if event.name == BEGIN:
            yield from self._end_entry(number)
        elif event.name == OK:
            yield from self._finish_entry(number, entry, now)
        elif event.name == DELETE:
            yield from self._show_entry(number, ENTERING, entry.text[:-1], ENTRY_S, now)
        elif event.name.startswith(KEY) and len(event.name) == len(KEY) + 1:
            typed = event.name[-1].upper()
            if typed.isascii() and typed.isalnum():
                yield from self._show_entry(number, ENTERING, (entry.text + typed)[:LONGEST], ENTRY_S, now)

    def _begin_entry(self, now: Moment) -> Iterator[Yielded]:
        paying = {p.evse: p for p in self._journal.payments.values() if _may_have_number(p)}
        evses = [e for e in self._site.evses.values() if e.number in paying]
        chosen = evses[0] if len(evses) == 1 else self._outlets.find_chosen_outlet(evses, now)
        if chosen is not None:
            self._entries[chosen.number] = VatEntry(paying[chosen.number].id, ENTERING, "", 0.0)
            yield from self._show_entry(chosen.number, ENTERING, self._journal.terms.vat_prefix, ENTRY_S, now)
        elif evses:
            yield NoticeShown(tuple(e.number for e in evses), "choose_outlet")

    def _finish_entry(self, number: EvseId, entry: VatEntry, now: Moment) -> Iterator[Yielded]:
        """Keep the number with its payment, and have it judged. One that can be none is to be corrected."""
        p = self._journal.payments.get(entry.payment)
        if p is None or not _may_have_number(p):
            yield from self._end_entry(number)
        elif NUMBER.fullmatch(entry.text) is None:
            yield from self._show_entry(number, INCOMPLETE, entry.text, ENTRY_S, now)
        else:
            p.vat_number, p.vat_verdict, p.vat_company = entry.text, "", ()
            yield self._journal.persist_payment(p)
            yield from self._show_entry(number, ASKED, entry.text, SHOWN_S, now)
            for link in self._site.config.settlement_links[:1]:
                yield Send(link, VatNumberGiven(p.id, number, entry.text))

    # --- the answer ----------------------------------------------------------------------------------------------

    @handles_events(VatNumberJudged)
    def keep_verdict(self, event: VatNumberJudged, now: Moment) -> Iterator[Yielded]:
        """Keep the verdict until the settlement reports it. A number that was entered since has its own."""
        p = self._journal.payments.get(event.payment)
        if p is None or p.vat_number != event.number or event.link not in self._site.config.settlement_links:
            return
        p.vat_verdict, p.vat_company = ACCEPTED if event.accepted else REJECTED, event.company if event.accepted else ()
        yield self._journal.persist_payment(p)
        if p.evse in self._site.evses and not getattr(self._entries.get(p.evse), "is_open", False):
            text = dict(p.vat_company).get("name", "") or p.vat_number
            self._entries[p.evse] = VatEntry(p.id, p.vat_verdict, text, 0.0)
            yield from self._show_entry(p.evse, p.vat_verdict, text, SHOWN_S, now)

    # --- the screen ----------------------------------------------------------------------------------------------

    def _show_entry(self, number: EvseId, state: str, text: str, wait_s: float, now: Moment) -> Iterator[Yielded]:
        entry = self._entries[number]
        entry.state, entry.text, entry.until_s = state, text, now.t_s + wait_s * self._site.config.io_s
        yield WakeMe(Timer(TimerKind.VAT_ENTRY, number), entry.until_s)
        yield SituationChanged(number)

    @handles_timer(TimerKind.VAT_ENTRY)
    def end_entry_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        entry = self._entries.get(event.timer.evse)
        if entry is not None and now.t_s >= entry.until_s:
            yield from self._end_entry(event.timer.evse)

    def _end_entry(self, number: EvseId) -> Iterator[Yielded]:
        del self._entries[number]
        yield WakeMe(Timer(TimerKind.VAT_ENTRY, number), None)
        yield SituationChanged(number)


def _may_have_number(p: Payment) -> bool:
    """Return whether the payment is one that a driver has begun and that is not settled yet."""
    return p.state in (PayState.AUTHORIZED, PayState.ACTIVE)
