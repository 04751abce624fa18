"""Change of the OCPP version in the middle of a session (decision 8): what must be sent again in
the new version, and what the old version may have sent already."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from agent.domain.events import Event, TransactionAcknowledged
from agent.domain.messages import TransactionEnded, is_first_with_token
from agent.domain.serialization import UnreadableRecord, load_record
from agent.model.fastclass import frozen, replace
from agent.model.types import AuthorizationStatus
from agent.ocpp.dialects.dialect import ResponseEffects, RowContext
from agent.ocpp.outbound.transaction_openings import (
    FACT,
    OpeningMessage,
    TransactionRecord,
    decode_record,
    encode_record,
    is_opening_message,
)
from agent.ports.store import OutboxRow, Put

log = logging.getLogger("agent.ocpp")

NOTHING = TransactionRecord(numbers_from=0)


@frozen
class VersionInUse:
    """What the queue of billed messages must know of the version of the connection. ``name``: that under which its
    transactions are recorded (``Dialect.book_name``). ``dialect_name``: what it can express."""

    name: str = ""
    backend_assigns_ids: bool = True
    silence_is_attempt: bool = False
    dialect_name: str = ""


class VersionHandover:
    def __init__(self, ctx: RowContext) -> None:
        self._link, self._outbox = ctx.link, ctx.outbox
        self._first_sent = 0
        self._read: tuple[Mapping[str, Any], TransactionRecord] = ({}, NOTHING)

    def _record_of(self, session: str) -> TransactionRecord:
        """Return the record of a session. Each row asks for the latest one several times."""
        value = self._outbox.transaction_record(self._link, session)
        if not value:
            return NOTHING
        if value is not self._read[0]:
            self._read = value, decode_record(value, session)
        return self._read[1]

    # --- messages owed to a version ----------------------------------------------------------------------------------

    def messages_owed_before(self, row: OutboxRow, version: str) -> list[OutboxRow]:
        """Return what must be sent before this row. All of the opening is requeued together: it
        is numbered as one."""
        unsaid = self._unsent_messages(row.session, version)
        return self._rows_to_resend(row.session, unsaid) if any(k.seq < row.seq for k in unsaid) else []

    async def unsent_openings(self, version: str) -> list[list[OutboxRow]]:
        """Return the openings of the running sessions that this version has not sent. Raises
        ``StoreError``."""
        going_on = await self._outbox.open_sessions(self._link)
        return [rows for s in going_on if (rows := self._rows_to_resend(s, self._unsent_messages(s, version)))]

    def _unsent_messages(self, session: str, version: str) -> Sequence[OpeningMessage]:
        return self._record_of(session).unsent_messages(version) if session else ()

    def _rows_to_resend(self, session: str, kept: Sequence[OpeningMessage]) -> list[OutboxRow]:
        """Return the messages as rows, marked as offline: this version was not connected when
        they happened."""
        rows = []
        for k in kept:
            try:
                message = replace(load_record(k.body), offline=True)
            except UnreadableRecord as e:
                log.error("%s: the opening of session %s cannot be sent: %s", self._link, session, e)
                continue
            rows.append(OutboxRow(k.seq, self._link, session, message, 0, k.number))
        return rows

    def is_new_to_version(self, session: str, version: str) -> bool:
        return version not in self._record_of(session).sent_in_versions

    def renumber_opening(self, rows: Sequence[OutboxRow]) -> tuple[list[OutboxRow], list[Put]]:
        """Number the opening from 0 and store the numbers: part of it may be sent now, and the
        rest when this version comes back."""
        session, places = rows[0].session, {row.seq: place for place, row in enumerate(rows)}
        known = self._record_of(session)
        opening = tuple(replace(k, number=places.get(k.seq, k.number)) for k in known.opening)
        known = replace(known, opening=opening, numbers_saved=0, numbers_from=None)
        fact = encode_record(self._link, session, known)
        return [replace(row, number=places[row.seq]) for row in rows], [fact]

    # --- places in the session ---------------------------------------------------------------------------------------

    def with_wire_number(self, row: OutboxRow) -> OutboxRow:
        """Return the row with the place that it has on the wire."""
        number = self._record_of(row.session).number_on_wire(row.number) if row.session else row.number
        return row if number == row.number else replace(row, number=number)

    def can_save_numbers(self, row: OutboxRow) -> bool:
        """Return whether samples may travel with this row where each message has its place."""
        return self._record_of(row.session).can_save_numbers(row.number)

    # --- what was sent already ---------------------------------------------------------------------------------------

    def has_left_queue(self, row: OutboxRow, version: str) -> bool:
        return bool(row.session) and self._record_of(row.session).has_left_queue(row, version)

    def doubt_about_end(self, row: OutboxRow, version: str) -> str:
        """Return why this end must not be sent here without a person; "" if it may be sent, or
        is not billed."""
        if not isinstance(row.message, TransactionEnded) or not row.message.authorized:
            return ""
        if not self._record_of(row.session).is_doubtful(version):
            return ""
        return f"not sent in OCPP {version}: the backend may have it"

    def resolved_doubts(self, in_use: VersionInUse) -> dict[str, list[Put]]:
        """Return the sessions, with a fact each, whose end became a dead letter when another
        version came into use and may be sent now. It was sent in this version, where it may be
        repeated, or the other version could not express its token."""
        found = {}
        for session, value in self._outbox.transaction_records(self._link).items():
            if not (value.get("asked") or value.get("mute")):  # decoding costs, and there may be thousands
                continue
            known = self._record_of(session)
            if known.left_to_person and known.ending == in_use.name:
                found[session] = [encode_record(self._link, session, replace(known, left_to_person=False))]
            elif known.mute not in ("", in_use.dialect_name) and not known.left_to_person:
                found[session] = [encode_record(self._link, session, replace(known, mute=""))]
        return found

    def dead_letter_reason(self, rows: Sequence[OutboxRow], why: str, no: bool, mute: str = "") -> str:
        """Return the reason for dead letters of a session: who resends an end must know that it
        may have arrived. ``no``: the backend has just refused the first of them. ``mute``: the
        version that cannot express them."""
        if mute or any(self._record_of(r.session).mute for r in rows if r.session):
            why = f"{why}; sent automatically when the backend uses another version"
        ending = next((self._record_of(r.session).ending for r in rows if isinstance(r.message, TransactionEnded)), "")
        if not ending or (no and rows[0].seq == self._first_sent):
            return why
        return f"{why}; it was sent in OCPP {ending} and not answered: look there first"

    def is_start_refused(self, row: OutboxRow, version: str) -> bool:
        """Return whether the backend has refused the session's start for good, so that the rest
        is sent without a number."""
        return bool(row.session) and self._record_of(row.session).refused == version

    def lacks_number(self, row: OutboxRow, in_use: VersionInUse) -> bool:
        """Return whether the row goes without the number of its transaction: its start was refused
        for good."""
        is_unnamed = in_use.backend_assigns_ids and not self._is_named(row, in_use.name)
        return is_unnamed and self.is_start_refused(row, in_use.name)

    def is_unnumbered_start(self, row: OutboxRow, in_use: VersionInUse) -> bool:
        """Return whether the row is a start that still needs its number. Where the backend
        assigns the ids, no message of a session can be sent without its start."""
        is_start = in_use.backend_assigns_ids and is_first_with_token(row.message)
        return is_start and not self._is_named(row, in_use.name)

    def _is_named(self, row: OutboxRow, version: str) -> bool:
        """Return whether the backend has given the row's session an id."""
        return self._outbox.transaction_id(self._link, row.session, version) is not None

    def is_start_required(self, row: OutboxRow, version: str) -> bool:
        """Return whether the rest of the session must not be sent without this start: the
        backend has the end without a number already, or may have it in another version."""
        known = self._record_of(row.session)
        return known.closed or known.ending not in ("", version)

    def facts_of_refused_start(self, row: OutboxRow, version: str) -> list[Put]:
        """Return the facts for a start that becomes a dead letter alone."""
        known = replace(self._record_of(row.session), refused=version)
        known = self._with_row_left(known, row, version, dead=True)
        return [encode_record(self._link, row.session, known)]

    def facts_of_unnumbered_end(self, row: OutboxRow) -> list[Put]:
        """Return the facts for an end that was accepted without a number. It stays beside its
        start for a person."""
        return [
            encode_record(
                self._link,
                row.session,
                replace(self._record_of(row.session), closed=True, ending="", left_to_person=False),
            )
        ]

    def facts_of_sending(self, row: OutboxRow, version: str) -> list[Put]:
        """Return the facts that must be on disk before an end is sent."""
        known = self._record_of(row.session) if isinstance(row.message, TransactionEnded) else None
        if known is None or known.ending == version:
            self._first_sent = 0
            return []
        self._first_sent = row.seq
        return [encode_record(self._link, row.session, replace(known, ending=version, left_to_person=False))]

    def events_of_answer(self, row: OutboxRow, effects: ResponseEffects) -> list[Event]:
        """Return the events to report to the domain."""
        if not effects.events:
            return []
        is_retold = any(version != effects.version for version in self._record_of(row.session).sent_in_versions)
        return [_without_own_conflict(e) if is_retold else e for e in effects.events]

    # --- what is remembered ------------------------------------------------------------------------------------------

    def facts_of_delivery(self, row: OutboxRow, effects: ResponseEffects, in_use: VersionInUse) -> list[Put]:
        """Return the facts of a row that leaves the queue with its followers: those of its answer,
        what is kept of it, and how many places were saved."""
        if row.followers and not in_use.backend_assigns_ids:
            known = self._record_of(row.session).with_numbers_left(row.followers[-1].number, len(row.followers))
            return [encode_record(self._link, row.session, known)]
        if not is_opening_message(row.message) and not effects.facts:
            return []
        return self._collect_facts((effects,), row)

    @staticmethod
    def _with_row_left(known: TransactionRecord, row: OutboxRow, version: str, dead: bool = False) -> TransactionRecord:
        """Return the record after a row has left the queue, which is kept with its place on the
        wire."""
        on_wire = replace(row, number=known.number_on_wire(row.number))
        known = known.with_message_left(on_wire, version, dead)
        return known.with_numbers_left(row.number) if known.numbers_saved or dead else known

    def facts_of_late_answers(self, effects: Sequence[ResponseEffects]) -> list[Put]:
        """Return the facts of late answers to rows that are dead letters."""
        return self._collect_facts(effects)

    def _collect_facts(self, effects: Sequence[ResponseEffects], leaving: OutboxRow | None = None) -> list[Put]:
        changed: dict[str, TransactionRecord] = {}
        puts: list[Put] = []
        for one in effects:
            for fact in one.facts:
                session = fact.key.removeprefix(self._link + "/")
                if fact.kind != FACT or fact.value is None:
                    puts.append(fact)
                else:
                    known = changed.get(session) or self._record_of(session)
                    changed[session] = known.with_transaction_id(str(fact.value["id"]), one.version)
        if leaving is not None and leaving.session:
            known = changed.get(leaving.session) or self._record_of(leaving.session)
            changed[leaving.session] = self._with_row_left(known, leaving, effects[0].version)
        return puts + [
            encode_record(self._link, s, known) for s, known in changed.items() if known != self._record_of(s)
        ]

    def facts_of_refusal(self, row: OutboxRow) -> list[Put]:
        """Return the facts of a refusal: the backend does not have the end, unless it refused a
        repetition."""
        if row.seq != self._first_sent:
            return []
        known = self._record_of(row.session)
        return [encode_record(self._link, row.session, replace(known, ending="", left_to_person=False))]

    def facts_of_dead_letters(
        self, rows: Sequence[OutboxRow], in_use: VersionInUse, elsewhere: bool = False
    ) -> list[Put]:
        """Return the facts of rows that become dead letters. A person decides about an end from
        now on, or the version that may have sent it comes back. An opening may still be sent in
        another version, and so may all of a session that this version cannot express
        (``elsewhere``)."""
        version = in_use.name
        changed: dict[str, TransactionRecord] = {}
        for row in rows:
            if row.session:
                known = changed.get(row.session) or self._record_of(row.session)
                if isinstance(row.message, TransactionEnded):
                    in_doubt = known.ending not in ("", version)  # even if it is resent, it was not sent here
                    known = replace(known, ending=known.ending if in_doubt else "", left_to_person=in_doubt)
                known = replace(known, mute=in_use.dialect_name) if elsewhere else known
                changed[row.session] = self._with_row_left(known, row, version, dead=True)
        return [encode_record(self._link, s, known) for s, known in changed.items() if known != self._record_of(s)]


def _without_own_conflict(event: Event) -> Event:
    """Drop a ConcurrentTx answer: the other transaction of that backend is this session, in the
    version before."""
    if not isinstance(event, TransactionAcknowledged) or event.verdict is None:
        return event
    is_itself = event.verdict.status is AuthorizationStatus.CONCURRENT_TX
    return replace(event, verdict=None) if is_itself else event
