"""The rungs of the backend: HTTP upgrade, SOAP, BootNotification, clock, latency and loss, large packets."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator

from agent.assembly.doctor import known_rungs
from agent.assembly.doctor.agent_knowledge import unprocessed_to_row
from agent.assembly.doctor.findings import Finding, make_finding
from agent.assembly.doctor.known_rungs import BOOT_CODES, HTTP_CODES
from agent.assembly.doctor.soap_findings import (
    connect_finding,
    fault_finding,
    is_soap_address,
    known_soap_finding,
    unprocessed_finding,
)
from agent.commands.doctor.examination import BackendExamination
from agent.commands.doctor.plain_request import PADDING_OCTETS, send_plain_request
from agent.ocpp.backend_trial import BackendTrial, BootOutcome, BootResult
from agent.ocpp.transport.connect_problems import VERSION_REFUSED, ProblemCode
from agent.ocpp.transport.transport import NoConnection
from agent.ocpp.wire.calls import Code

SAMPLES = 3
SLOW_S = 2.0
RESULT_CODES = {
    BootResult.REFUSED: "boot_error",
    BootResult.WRONG: "boot_wrong_answer",
    BootResult.UNANSWERED: "boot_silent",
    BootResult.CLOSED: "boot_closed",
    BootResult.UNPROCESSED: "boot_error",
}
SOAP_CODES = {
    BootResult.WRONG: "soap_wrong_answer",
    BootResult.UNANSWERED: "soap_silent",
    BootResult.CLOSED: "soap_closed",
}


# --- HTTP upgrade ----------------------------------------------------------------------------------------------------


async def judge_upgrade(exam: BackendExamination) -> AsyncIterator[Finding]:
    """Judge the upgrade to a WebSocket: what the running agent has seen, or a connection with its own connector."""
    if is_soap_address(exam.target.url):
        yield make_finding("http_not_used", exam.name)
        return
    if exam.link_row is not None:
        yield known_rungs.upgrade_finding(exam.link_row, exam.backend)
        return
    assert exam.trial is not None
    try:
        transport = await exam.of.resources.enter_async_context(exam.trial.open_connection())
    except NoConnection as e:
        is_earlier = HTTP_CODES[e.problem.code] == "http_earlier"  # although the rungs before have passed
        code = ProblemCode.OTHER if is_earlier else e.problem.code
        problem = {"code": code, "status": e.problem.status, "location": e.problem.location}
        yield known_rungs.upgrade_problem(problem, str(e), exam.backend)
    else:
        yield make_finding("http_good", exam.name, version=transport.dialect.name)


# --- SOAP ------------------------------------------------------------------------------------------------------------


async def judge_soap(exam: BackendExamination) -> AsyncIterator[Finding]:
    """Judge an exchange over SOAP: what the running agent has seen, or a heartbeat of the doctor's own."""
    if exam.link_row is not None:
        is_spoken = is_soap_address(exam.link_row["url"])
        known = known_soap_finding(exam.link_row, exam.backend) if is_spoken else None
        yield known or make_finding("soap_not_used", exam.name)
        return
    assert exam.trial is not None
    if not is_soap_address(exam.trial.connector.url):
        yield make_finding("soap_not_used", exam.name)
        return
    try:
        outcome = await _ask_over_soap(exam, exam.trial)
    except NoConnection as e:
        yield connect_finding({"code": e.problem.code}, str(e), exam.backend)
        return
    if outcome.utc_s is not None:
        exam.utc_offset_s = outcome.utc_s + outcome.seconds / 2 - time.time()
    yield _soap_finding(exam, exam.trial, outcome)


async def _ask_over_soap(exam: BackendExamination, trial: BackendTrial) -> BootOutcome:
    """Send a heartbeat, in the next version if the backend ends the connection at one. Raises ``NoConnection``."""
    outcome = BootOutcome(BootResult.CLOSED)
    for attempt in range(max(1, trial.soap_versions)):
        if attempt and trial.transport is not None:
            await trial.transport.close()  # its port is that of the next one
        if attempt or trial.transport is None:
            await exam.of.resources.enter_async_context(trial.open_connection())
        outcome = await trial.ask_heartbeat()
        if outcome.result is not BootResult.CLOSED:
            break
    return outcome


def _soap_finding(exam: BackendExamination, trial: BackendTrial, outcome: BootOutcome) -> Finding:
    transport = trial.transport
    if outcome.result is BootResult.ANSWERED:
        return make_finding("soap_good", exam.name, version=transport.dialect.name if transport is not None else "?")
    if outcome.result is BootResult.UNPROCESSED:
        return unprocessed_finding(unprocessed_to_row(trial.unprocessed) or {}, exam.backend)
    if outcome.result is BootResult.REFUSED:
        return fault_finding(outcome.code, exam.backend)
    if outcome.result is BootResult.CLOSED and transport is not None and VERSION_REFUSED in transport.end_reason:
        return fault_finding(Code.NOT_SUPPORTED, exam.backend)
    return make_finding(SOAP_CODES[outcome.result], exam.name)


# --- BootNotification ------------------------------------------------------------------------------------------------


async def judge_boot(exam: BackendExamination) -> AsyncIterator[Finding]:
    if exam.link_row is not None:
        yield known_rungs.boot_finding(exam.link_row, exam.backend)
        return
    if not exam.of.options.boot:
        yield make_finding("boot_not_asked", exam.name)
        return
    assert exam.trial is not None
    outcome = await exam.trial.register()
    if outcome.utc_s is not None:
        exam.utc_offset_s = outcome.utc_s + outcome.seconds / 2 - time.time()
    yield make_finding(_boot_code(outcome), exam.name, identity=exam.backend.charge_point_id, error=outcome.code)


def _boot_code(outcome: BootOutcome) -> str:
    if outcome.answer is None:
        return RESULT_CODES[outcome.result]
    return BOOT_CODES.get(outcome.answer.status, "boot_wrong_answer")


# --- clock, latency, large packets -----------------------------------------------------------------------------------


async def judge_clock(exam: BackendExamination) -> AsyncIterator[Finding]:
    """Compare the clocks: by the answer to BootNotification, by what the agent has learnt, or by HTTP."""
    offset_s = exam.utc_offset_s
    agent = exam.of.agent
    if offset_s is None and agent is not None:
        offset_s = known_rungs.clock_offset_s(agent)
    if offset_s is None:
        await _sample_answers(exam)
        offset_s = next((a.utc_offset_s for a in exam.answers if a is not None and a.utc_offset_s is not None), None)
    yield known_rungs.clock_finding(offset_s, exam.name)


async def _sample_answers(exam: BackendExamination) -> None:
    """Send the small requests once for all rungs. A server that does not answer the first one gets no other."""
    while len(exam.answers) < SAMPLES and exam.answers[:1] != [None]:
        exam.answers.append(await send_plain_request(exam))


async def judge_latency(exam: BackendExamination) -> AsyncIterator[Finding]:
    await _sample_answers(exam)
    times_s = [a.seconds for a in exam.answers if a is not None]
    if not times_s:
        yield make_finding("latency_unknown", exam.name)
        return
    median_ms = round(1000 * statistics.median(times_s))
    lost = len(exam.answers) - len(times_s)
    if lost:
        yield make_finding("answers_lost", exam.name, lost=lost, count=len(exam.answers))
    code = "latency_high" if median_ms > 1000 * SLOW_S else "latency_good"
    yield make_finding(code, exam.name, ms=median_ms)


async def judge_large_packets(exam: BackendExamination) -> AsyncIterator[Finding]:
    """Judge whether large packets pass: a padded request is answered where a small one is."""
    await _sample_answers(exam)
    if exam.answers[:1] in ([], [None]):
        yield make_finding("mtu_unknown", exam.name)
        return
    for _ in range(2):
        if await send_plain_request(exam, PADDING_OCTETS) is not None:
            yield make_finding("mtu_good", exam.name, octets=PADDING_OCTETS)
            return
    yield make_finding("mtu_large_lost", exam.name, octets=PADDING_OCTETS)
