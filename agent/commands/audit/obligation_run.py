"""Exercise the obligations of a plan one after the other, on one station and in one conversation."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from agent.audit.context import AuditContext, KitFacts, StationFact
from agent.audit.judge_table import known_judges
from agent.audit.obligation_outcome import (
    FinishedObligation,
    KeptOutcome,
    ObligationOutcome,
    outcome_of_judge,
    outcome_of_scenario,
)
from agent.audit.plan_model import Obligation, ObligationKind, Plan
from agent.audit.record import AuditHeader, build_record
from agent.audit.station_facts import boot_facts, gather_claims, gather_facts, kit_facts, make_fact
from agent.audit.verdicts import AuditVerdict
from agent.commands.audit.answers import PreparedPerson
from agent.commands.audit.bundle import AuditBundle
from agent.commands.audit.recorder import AuditRecorder
from agent.commands.scenario.terminal import Terminal
from agent.model.fastclass import mutable
from agent.scenario.outcome import Verdict
from agent.scenario.run_state import Conversation
from agent.scenario.runner import ScenarioRun
from agent.scenario.scenario_model import Scenario
from agent.scenario.target import CannotCarryOut, NotApplicable

YES = ("yes", "y", "ja", "j", "oui", "o", "jo")
MOST_PICTURE_BYTES = 20_000_000


class Seat(Protocol):
    """The station of an audit, at its place."""

    conversation: Conversation

    async def prepare_next(self, failed: bool) -> None:
        """Leave the station free for the next scenario; after a failure it may be replaced by a fresh one. Raises
        ``CannotCarryOut``."""
        ...

    async def note_scenario_end(self) -> None:
        """Record what is to be seen of the station after a scenario, before its outcome is kept."""
        ...

    async def finish_scenarios(self) -> None:
        """Leave the station free, and record what is settled late."""
        ...


@mutable
class AuditWork:
    """What an audit works with. ``finished``: obligations by id. ``chosen``: None, or the ids that are exercised."""

    plan: Plan
    header: AuditHeader
    find_scenario: Callable[[str], Scenario | None]
    bundle: AuditBundle
    recorder: AuditRecorder
    terminal: Terminal
    person: PreparedPerson
    finished: dict[str, FinishedObligation]
    kit: KitFacts | None = None
    known_facts: Mapping[str, StationFact] | None = None
    variables: Mapping[str, Any] | None = None
    chosen: frozenset[str] | None = None
    patience_s: float = 120.0


class AuditRun:
    """One run of a plan. ``lacks`` of the target says what the station, or this place, has not."""

    def __init__(self, work: AuditWork, seat: Seat) -> None:
        self._work, self._seat = work, seat
        self._station_used = False

    @property
    def _frame_log(self) -> Any:
        return self._seat.conversation.frame_log

    async def run_plan(self) -> dict[str, Any]:
        """Exercise everything that is not finished, and write the record after each. Returns the last record."""
        self._write_record(complete=False)
        for obligation in self._work.plan.all_obligations():
            if obligation.kind is not ObligationKind.JUDGE and self._is_to_exercise(obligation):
                self._work.finished[obligation.id] = await self._exercise_obligation(obligation)
                self._write_record(complete=False)
        if self._station_used:
            await self._seat.finish_scenarios()
        for obligation in self._work.plan.all_obligations():
            if obligation.kind is ObligationKind.JUDGE and self._is_to_exercise(obligation):
                self._work.finished[obligation.id] = self._judge_conversation(obligation)
                self._print_obligation_end(obligation)
        record = self._write_record(complete=True)
        self._work.bundle.finish_bundle(record)
        return record

    def _is_to_exercise(self, obligation: Obligation) -> bool:
        chosen = self._work.chosen is None or obligation.id in self._work.chosen
        return chosen and obligation.id not in self._work.finished

    async def _exercise_obligation(self, obligation: Obligation) -> ObligationOutcome:
        left_out = self._reason_to_leave_out(obligation)
        if left_out is not None:
            outcome = left_out
        elif obligation.kind is ObligationKind.SCENARIO:
            outcome = await self._run_scenario(obligation)
        else:
            outcome = await self._ask_person(obligation)
        if obligation.kind is not ObligationKind.SCENARIO or left_out is not None:
            self._print_obligation_end(obligation, outcome)
        return outcome

    def _print_obligation_end(self, obligation: Obligation, outcome: ObligationOutcome | None = None) -> None:
        found = outcome or self._work.finished[obligation.id]
        says = "" if found.verdict is AuditVerdict.PASS else f": {found.as_json()['says']}"
        self._work.terminal.done_steps += 1
        self._work.terminal.print_line(f"{found.verdict} {obligation.id}{says}")

    def _reason_to_leave_out(self, obligation: Obligation) -> ObligationOutcome | None:
        """Return the outcome of an obligation that is not exercised here, None if it is."""
        version, lacks = self._frame_log.version, self._seat.conversation.target.lacks
        if obligation.versions and version not in obligation.versions:
            says = f"is owed in OCPP {', '.join(obligation.versions)}; the station speaks {version}"
            return ObligationOutcome(obligation, AuditVerdict.NOT_APPLICABLE, says)
        for need in obligation.needs:
            if need in lacks:
                verdict = AuditVerdict.PARTIAL if need == "person" else AuditVerdict.NOT_APPLICABLE
                return ObligationOutcome(obligation, verdict, f"needs {need}: {lacks[need]}")
        return None

    # --- scenarios ---------------------------------------------------------------------------------------------------

    async def _run_scenario(self, obligation: Obligation) -> ObligationOutcome:
        scenario = self._work.find_scenario(obligation.subject)
        assert scenario is not None, obligation.subject  # the plan's reader has found it
        conversation, first, began_s = self._seat.conversation, self._frame_log.next_seq, time.monotonic()
        self._work.person.obligation_id = obligation.id
        try:
            if self._station_used:
                await self._seat.prepare_next(self._last_failed())
        except CannotCarryOut as e:
            return ObligationOutcome(obligation, AuditVerdict.ERROR, str(e), time.monotonic() - began_s)
        self._station_used, first = True, self._frame_log.next_seq
        given = {**self._work.plan.variables, **(self._work.variables or {}), **obligation.given}
        variables = {name: value for name, value in given.items() if name in scenario.variables}
        found = await ScenarioRun(scenario, conversation, self._work.terminal, variables).run_scenario()
        await self._seat.note_scenario_end()
        lacks = conversation.target.lacks
        return outcome_of_scenario(obligation, found, lacks, range(first, self._frame_log.next_seq))

    def _last_failed(self) -> bool:
        exercised = [
            o
            for o in self._work.finished.values()
            if isinstance(o, ObligationOutcome) and o.scenario is not None and o.scenario["steps"]
        ]
        last = exercised[-1].scenario if exercised else None
        return last is not None and last["verdict"] in (Verdict.FAIL, Verdict.ERROR)

    # --- questions ---------------------------------------------------------------------------------------------------

    async def _ask_person(self, obligation: Obligation) -> ObligationOutcome:
        began_s, source = time.monotonic(), "asked"
        self._work.person.obligation_id = obligation.id
        try:
            answer = await self._work.person.answer_question(_question_in_words(obligation), self._work.patience_s)
        except NotApplicable as e:
            return ObligationOutcome(obligation, AuditVerdict.PARTIAL, str(e), time.monotonic() - began_s)
        except CannotCarryOut as e:
            return ObligationOutcome(obligation, AuditVerdict.ERROR, str(e), time.monotonic() - began_s)
        if answer is None and self._work.header.target == "simulated" and obligation.simulated is not None:
            answer, source = obligation.simulated, "simulated answer"
        took_s = time.monotonic() - began_s
        if answer is None:
            return ObligationOutcome(obligation, AuditVerdict.PARTIAL, "there is no person here to ask", took_s)
        if obligation.fact:
            self._work.recorder.asked[obligation.fact] = make_fact(obligation.fact, answer, source)
        if obligation.picture and source == "asked":
            return self._keep_photograph(obligation, answer, took_s)
        problem = answer_problem(obligation, answer)
        verdict = AuditVerdict.FAIL if problem else AuditVerdict.PASS
        return ObligationOutcome(obligation, verdict, problem or f"{source}: {answer}", took_s, answer=answer)

    def _keep_photograph(self, obligation: Obligation, answer: str, took_s: float) -> ObligationOutcome:
        """Take over the photograph that the person names. The answer no says that there is nothing to photograph."""
        path = Path(answer).expanduser()
        if not path.is_file():
            what = "the answer is no" if answer.strip().lower() in ("no", "n", "nein", "non") else f"no file {answer}"
            return ObligationOutcome(obligation, AuditVerdict.FAIL, f"there is no photograph: {what}", took_s)
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg") or path.stat().st_size > MOST_PICTURE_BYTES:
            says = f"{path.name}: must be a PNG or JPEG of at most {MOST_PICTURE_BYTES // 1_000_000} MB"
            return ObligationOutcome(obligation, AuditVerdict.ERROR, says, took_s)
        name = f"{obligation.id.replace('.', '-')}{path.suffix.lower()}"
        kept = self._work.recorder.add_picture(name, path.read_bytes(), obligation.title, None)
        return ObligationOutcome(
            obligation, AuditVerdict.PASS, f"photograph {path.name}", took_s, pictures=(kept,), answer=path.name
        )

    # --- judges ------------------------------------------------------------------------------------------------------

    def _judge_conversation(self, obligation: Obligation) -> ObligationOutcome:
        left_out = self._reason_to_leave_out(obligation)
        if left_out is not None:
            return left_out
        judge, began_s = known_judges()[obligation.subject], time.monotonic()
        parameters = {name: p.default for name, p in judge.parameters.items()} | dict(obligation.given)
        try:
            result = judge.function(self._context_of(obligation, parameters))
        except Exception as e:  # noqa: BLE001  a defect of one judge must not cost the record of a whole audit
            says = f"the judge {judge.name} has failed: {type(e).__name__}: {e}"
            return ObligationOutcome(obligation, AuditVerdict.ERROR, says, time.monotonic() - began_s)
        found = outcome_of_judge(obligation, result, self._frame_log.frames, self._seat.conversation.target.mask)
        found_s = time.monotonic() - began_s
        return ObligationOutcome(
            obligation, found.verdict, found.says, found_s, facts=found.facts, evidence=found.evidence,
            advice=found.advice, advice_to=found.advice_to,
        )  # fmt: skip

    def _context_of(self, obligation: Obligation, parameters: Mapping[str, Any]) -> AuditContext:
        conversation, spans = self._seat.conversation, self._spans_of_obligations()
        frames = tuple(self._frame_log.frames)
        if obligation.of:
            wanted = [
                span for name, span in spans.items() if name in obligation.of or name.split(".")[0] in obligation.of
            ]
            frames = tuple(f for f in frames if any(f.seq in span for span in wanted))
        return AuditContext(
            self._frame_log.version, conversation.target.station_id, self._work.header.target, frames,
            conversation.view, conversation.target.speed, self._station_facts(),
            gather_claims(*self._fact_sources()), self._work.kit, tuple(self._work.recorder.readings),
            tuple(self._work.recorder.records), spans, parameters,
        )  # fmt: skip

    def _spans_of_obligations(self) -> dict[str, range]:
        return {name: one.span for name, one in self._work.finished.items() if one.span}

    def _station_facts(self) -> dict[str, StationFact]:
        return gather_facts(*self._fact_sources())

    def _fact_sources(self) -> tuple[Mapping[str, StationFact], ...]:
        """Return what is known of the station by source, the one that counts most first."""
        log, target = self._frame_log, self._seat.conversation.target
        own = {
            "id": make_fact("id", target.station_id, "connection"),
            "ocpp": make_fact("ocpp", log.version, "connection"),
        }
        evses = sorted(n for n in self._seat.conversation.view.evses if n)
        if evses:
            own["evses"] = make_fact("evses", ", ".join(map(str, evses)), "StatusNotification")
        kept = {
            one.fact: make_fact(one.fact, found.answer, "asked")
            for one in self._work.plan.all_obligations()
            if one.fact and isinstance(found := self._work.finished.get(one.id), KeptOutcome) and found.answer
        }
        known = self._work.known_facts or {}
        return self._work.recorder.asked, kept, own, boot_facts(log.frames), known, kit_facts(self._work.kit)

    # --- the record --------------------------------------------------------------------------------------------------

    def _write_record(self, complete: bool) -> dict[str, Any]:
        log, now = self._frame_log, datetime.now(UTC)
        record = build_record(
            self._work.header, self._work.plan, self._work.finished, self._station_facts(), log.frames,
            self._seat.conversation.view, log.version, now.isoformat(timespec="seconds"),
            now.timestamp() - self._work.bundle.begin_s, self._work.recorder.pictures, complete,
        )  # fmt: skip
        self._work.bundle.write_record(record)
        return record


def _question_in_words(obligation: Obligation) -> str:
    return f"{obligation.subject} (path of the photograph)" if obligation.picture else obligation.subject


def answer_problem(obligation: Obligation, answer: str) -> str:
    """Return how an answer is not the right one, or ""."""
    plain = answer.strip()
    if obligation.matches:
        fits = re.fullmatch(obligation.matches, plain) is not None
        return "" if fits else f"the answer is {plain!r}, which does not fit {obligation.matches}"
    if obligation.fact and obligation.expect == "yes":
        return "" if plain else "the answer is empty"
    if plain.lower() == obligation.expect.lower() or (obligation.expect == "yes" and plain.lower() in YES):
        return ""
    return f"the answer is {plain!r}, expected {obligation.expect}"
