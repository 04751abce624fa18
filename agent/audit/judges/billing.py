"""Judges of what is billed: each transaction has one begin and one end, in order, with the right reason, and no energy
flows outside of one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping

from agent.audit.context import (
    AuditContext,
    Judge,
    JudgeParameter,
    JudgeResult,
    failed_result,
    inapplicable_result,
    partial_result,
    passed_result,
)
from agent.audit.message_paths import answer_status, instant_of_text, table_at, transaction_in_request
from agent.audit.sampled_values import sampled_values
from agent.audit.transaction_history import TransactionHistory, connection_numbers, read_transactions, station_lives
from agent.scenario.frames import Frame
from agent.scenario.grammar import Form
from agent.scenario.observation import ENERGY

NO_TRANSACTION = "the conversation has no transaction"
QUEUE_ADVICE = (
    "Have the maker of the controller correct the queue of transaction messages: each is kept until it is answered, is "
    "sent in order, and never again after its answer."
)
NO_NUMBER = (0, -1)
"""Ids of transactions that stations send when they never got one."""


# --- begin and end ---------------------------------------------------------------------------------------------------


def judge_every_end(context: AuditContext) -> JudgeResult:
    """Judge that each transaction that began has ended, if its outlet is free again or has begun another one."""
    history = read_transactions(context.frames)
    begun = [t for t in history if t.starts and not _is_repeated_start(t, history)]
    if not begun:
        return inapplicable_result(NO_TRANSACTION)
    lives = station_lives(context)
    last_life = lives[context.frames[-1].seq]
    # A simulated station that was replaced by a fresh one ends nothing any more.
    running = [t for t in begun if not t.ends and lives[t.starts[-1].seq] == last_life]
    for one in running:
        if proof := _proof_of_end(context, one, begun):
            return failed_result(
                f"{one.words} was never ended, although {proof[0]}", evidence=(one.starts[0], proof[1]),
                advice="Have the maker of the controller look for the lost end of the transaction: StopTransaction (or "
                "TransactionEvent Ended) must be kept until the backend has answered it.",
                advice_to="subcontractor",
            )  # fmt: skip
    if running:
        return partial_result(f"{running[0].words} still runs at the end of the audit", evidence=running[0].starts)
    return passed_result(f"{_count_words(len(begun))} began, and each has ended")


def _is_repeated_start(one: TransactionHistory, history: Iterable[TransactionHistory]) -> bool:
    """Return whether a start without an answer came again later, and was answered."""
    return one.id is None and any(
        other is not one and any(_are_alike(frame, one.starts[0]) for frame in other.starts) for other in history
    )


def _proof_of_end(
    context: AuditContext, one: TransactionHistory, begun: Iterable[TransactionHistory]
) -> tuple[str, Frame] | None:
    """Return what shows that a transaction is over, and the frame that does."""
    first_seq = one.starts[-1].seq
    for other in begun:
        if other is not one and other.evse == one.evse and other.starts[0].seq > first_seq:
            return f"outlet {one.evse} has begun another one", other.starts[0]
    statuses = [o for o in context.view.observations if o.kind == "status" and o.evse == one.evse]
    later = [o for o in statuses if o.frame.seq > first_seq]
    if later and "available" in later[-1].words:
        return f"outlet {one.evse} is available again", later[-1].frame
    return None


def judge_repeated_ends(context: AuditContext) -> JudgeResult:
    """Judge that no end is sent again once it was answered."""
    return _judge_repetitions(context, "end", [t.ends for t in read_transactions(context.frames)])


def judge_repeated_starts(context: AuditContext) -> JudgeResult:
    """Judge that no start is sent again once it was answered. A backend may give the repetition another id."""
    groups: dict[str, list[Frame]] = {}
    for frame in context.requests("StartTransaction", "TransactionEvent"):
        if frame.action == "StartTransaction" or frame.payload.get("eventType") == "Started":
            groups.setdefault(_content_of(frame), []).append(frame)
    return _judge_repetitions(context, "start", list(groups.values()))


def _judge_repetitions(context: AuditContext, part: str, groups: list[list[Frame]]) -> JudgeResult:
    if not any(groups):
        return inapplicable_result(f"the conversation has no {part} of a transaction")
    connections, answers = connection_numbers(context), answers_by_request(context)
    for group in groups:
        for first, second in itertools.pairwise(group):
            if problem := _repetition_problem(first, second, connections, answers):
                number = transaction_in_request(second.payload)
                name = "transaction" if number is None else f"transaction {number}"
                return failed_result(
                    f"the {part} of {name} came again, {problem}", evidence=(first, second),
                    advice=QUEUE_ADVICE, advice_to="subcontractor",
                )  # fmt: skip
    return passed_result(f"each {part} of a transaction was sent once")


def answers_by_request(context: AuditContext) -> Mapping[int, Frame]:
    """Return the answers by the numbers of their requests."""
    return {frame.answers.seq: frame for frame in context.frames if frame.answers is not None}


def _repetition_problem(
    first: Frame, second: Frame, connections: Mapping[int, int], answers: Mapping[int, Frame]
) -> str:
    """Return why a message must not come again, "" if it may: its answer may have been lost with the connection."""
    if not _are_alike(first, second):
        return "and says something else"
    answer = answers.get(first.seq)
    answered = answer is not None and answer.seq < second.seq
    return "after it was answered" if answered and connections[first.seq] == connections[second.seq] else ""


def _are_alike(one: Frame, other: Frame) -> bool:
    return _content_of(one) == _content_of(other)


def _content_of(frame: Frame) -> str:
    return json.dumps([frame.action, frame.payload], sort_keys=True)


def judge_start_order(context: AuditContext) -> JudgeResult:
    """Judge that the start of a transaction is the first that the backend hears of it."""
    history = read_transactions(context.frames)
    if not history:
        return inapplicable_result(NO_TRANSACTION)
    unknown = ""
    for one in history:
        problem = _start_problem(context, one)
        if problem:
            return failed_result(
                f"{one.words}: {problem}", evidence=one.all_requests[:2], advice=QUEUE_ADVICE,
                advice_to="subcontractor",
            )  # fmt: skip
        unknown = unknown or ("" if one.starts else one.words)
    if unknown:
        return partial_result(f"{unknown} began before the audit")
    return passed_result("each transaction began with its start")


def _start_problem(context: AuditContext, one: TransactionHistory) -> str:
    first = one.all_requests[0]
    if one.starts and first is one.starts[0]:
        return ""
    what = "its end" if first in one.ends else "a message about it"
    if one.starts:
        return f"{what} came before its start"
    if one.id in NO_NUMBER:
        return f"{what} came with the id {one.id}, which no backend gave"
    if _were_all_free_before(context, first.seq):
        return f"{what} came, but the station never started it"
    return ""


def _were_all_free_before(context: AuditContext, seq: int) -> bool:
    """Return whether each outlet had been available before, so that a transaction must have begun in this audit."""
    statuses = [o for o in context.view.observations if o.kind == "status" and o.evse]
    evses = {o.evse for o in statuses}
    free = {o.evse for o in statuses if o.frame.seq < seq and "available" in o.words}
    return bool(evses) and evses == free


def judge_message_numbers(context: AuditContext) -> JudgeResult:
    """Judge that the numbers of the messages of a transaction have no gap (OCPP 2.x)."""
    numbered = [t for t in read_transactions(context.frames) if any("seqNo" in f.payload for f in t.all_requests)]
    if not numbered:
        return inapplicable_result("the messages of transactions have no numbers in this version of OCPP")
    for one in numbered:
        numbers = sorted({n for f in one.all_requests if isinstance(n := f.payload.get("seqNo"), int)})
        missing = [before + 1 for before, after in itertools.pairwise(numbers) if after != before + 1]
        if missing:
            return failed_result(
                f"{one.words}: the message with number {missing[0]} never came", evidence=one.all_requests[-2:],
                advice=QUEUE_ADVICE, advice_to="subcontractor",
            )  # fmt: skip
    return passed_result("the numbers of the messages have no gap")


# --- reasons ---------------------------------------------------------------------------------------------------------

REMOTE_STOPS = ("RemoteStopTransaction", "RequestStopTransaction")
RESET_REASONS: Mapping[str, frozenset[str]] = {
    "Soft": frozenset({"SoftReset"}),
    "Hard": frozenset({"HardReset", "Reboot", "PowerLoss"}),
    "Immediate": frozenset({"ImmediateReset", "Reboot", "PowerLoss"}),
}
"""By type of the reset. A station that is cut off at once may only find out later that it was not a loss of power."""


def judge_stop_reasons(context: AuditContext) -> JudgeResult:
    """Judge that the reason of an end names what the backend has just had done."""
    history = read_transactions(context.frames)
    answers, judged = answers_by_request(context), 0
    for request in context.requests(*REMOTE_STOPS, "Reset", "UnlockConnector", sender="backend"):
        answer = answers.get(request.seq)
        for one in history if answer is not None else ():
            right = _right_reasons(request, answer_status(answer), one)
            if not right or not one.contains_seq(request.seq) or not one.ends:
                continue
            judged += 1
            if one.stop_reason not in right:
                return failed_result(
                    f"{one.words} ended after {request.action} with the reason {one.stop_reason}, "
                    f"expected {' or '.join(sorted(right))}", evidence=(request, one.ends[0]),
                    advice="Have the maker of the controller report why a transaction ends by the words of OCPP: the "
                    "reason of a stop decides how the driver is billed and helped.", advice_to="subcontractor",
                )  # fmt: skip
            break
    if not judged:
        return inapplicable_result("no transaction was ended by the backend")
    return passed_result(f"{_count_words(judged)} ended by the backend had the right reason")


def _right_reasons(request: Frame, status: str, one: TransactionHistory) -> frozenset[str]:
    """Return the reasons that are right for an end after a request, none if the request does not end it."""
    payload = table_at(request.payload)
    if request.action in REMOTE_STOPS:
        concerns = status == "Accepted" and transaction_in_request(payload) == one.id
        return frozenset({"Remote"}) if concerns else frozenset()
    if request.action == "UnlockConnector":
        concerns = status == "Unlocked" and payload.get("connectorId") == one.evse and "evseId" not in payload
        return frozenset({"UnlockCommand"}) if concerns else frozenset()
    concerns = status == "Accepted" and payload.get("evseId") in (None, one.evse)
    return RESET_REASONS.get(str(payload.get("type")), frozenset()) if concerns else frozenset()


# --- energy and time -------------------------------------------------------------------------------------------------


def judge_energy_between(context: AuditContext) -> JudgeResult:
    """Judge that the register stands still between two transactions of an outlet: energy that flowed there belongs to
    a transaction that the backend never got."""
    most_wh, pairs = float(context.parameters.get("tolerance_wh", TOLERANCE_WH)), 0
    for before, after in _successive_registers(context):
        pairs += 1
        gap_wh = after[1] - before[1]
        if gap_wh > most_wh:
            return failed_result(
                f"{after[0].words} begins {gap_wh:.0f} Wh above the end of {before[0].words}: this energy was not "
                "billed", evidence=(before[0].ends[0], after[0].starts[0]),
                advice="Have the maker of the controller look for a transaction that was never sent, for example one "
                "that ran while the link was down, and for energy that flows outside of a transaction.",
                advice_to="subcontractor",
            )  # fmt: skip
    if not pairs:
        return inapplicable_result("no outlet had two transactions with registers")
    return passed_result(f"the register stood still between {_count_words(pairs + 1)}")


TOLERANCE_WH = 20.0
"""What may flow after a bill is closed: contactor and last reading are not simultaneous."""

Bill = tuple[TransactionHistory, float]
"""A transaction and its register in Wh, at the end or at the begin."""


def _successive_registers(context: AuditContext) -> Iterator[tuple[Bill, Bill]]:
    """Yield the end of a transaction and the begin of the next one on the same outlet."""
    registers: dict[int, list[float]] = {}
    for value in sampled_values(context.frames):
        if value.measurand == ENERGY and not value.phase and value.number is not None:
            registers.setdefault(value.frame.seq, []).append(value.number)
    ended: dict[tuple[int, int], Bill] = {}
    lives = station_lives(context)
    for one in read_transactions(context.frames):
        meter = (lives[one.all_requests[0].seq], one.evse)
        first = registers.get(one.starts[0].seq) if one.starts else None
        before = ended.pop(meter, None)
        if first and before is not None:
            yield before, (one, min(first))
        last = registers.get(one.ends[0].seq) if one.ends else None
        if last:
            ended[meter] = (one, max(last))


def judge_transaction_times(context: AuditContext) -> JudgeResult:
    """Judge that a transaction ends after it began, and its readings lie between."""
    history = [t for t in read_transactions(context.frames) if t.started_s is not None and t.ended_s is not None]
    if not history:
        return inapplicable_result("no transaction has begun and ended")
    slack_s = max(60.0, 3 * context.speed)
    for one in history:
        started_s, ended_s = one.started_s or 0.0, one.ended_s or 0.0
        if ended_s < started_s:
            return _time_failure(f"{one.words} ended {started_s - ended_s:.0f} s before it began", one.ends[0])
        for frame in one.middles:
            at_s = instant_of_text(_first_sample_time(frame))
            if at_s is not None and not started_s - slack_s <= at_s <= ended_s + slack_s:
                return _time_failure(f"{one.words} has a reading of a time at which it did not run", frame)
    return passed_result(f"the times of {_count_words(len(history))} are in order")


def _first_sample_time(frame: Frame) -> str:
    samples = frame.payload.get("meterValue")
    return str(table_at(samples[0]).get("timestamp", "")) if isinstance(samples, list) and samples else ""


def _time_failure(says: str, frame: Frame) -> JudgeResult:
    return failed_result(
        says, evidence=(frame,), advice_to="subcontractor",
        advice="Have the maker of the controller keep one clock for all timestamps, and correct those that were taken "
        "before the clock was set.",
    )  # fmt: skip


def _count_words(count: int) -> str:
    return f"{count} transaction" + ("" if count == 1 else "s")


TOLERANCE = JudgeParameter(Form.NUMBER, TOLERANCE_WH, "Wh that may flow between two transactions")
JUDGES = (
    Judge("every_start_has_stop", "each transaction that began has ended", judge_every_end),
    Judge("stop_sent_once", "no end of a transaction is sent again after its answer", judge_repeated_ends),
    Judge("start_sent_once", "no start of a transaction is sent again after its answer", judge_repeated_starts),
    Judge("start_before_stop", "a transaction is not heard of before its start", judge_start_order),
    Judge("message_numbers", "the numbers of the messages of a transaction have no gap", judge_message_numbers),
    Judge("stop_reasons", "the reason of an end is what the backend has had done", judge_stop_reasons),
    Judge(
        "energy_without_transaction",
        "no energy flows between two transactions",
        judge_energy_between,
        {"tolerance_wh": TOLERANCE},
    ),
    Judge("transaction_times", "a transaction ends after it began, with its readings between", judge_transaction_times),
)
