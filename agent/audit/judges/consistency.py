"""Judges of who the station is: plate, file, kit and messages say the same, at each start."""

from __future__ import annotations

import itertools

from agent.audit.context import (
    AuditContext,
    Fact,
    Judge,
    JudgeParameter,
    JudgeResult,
    StationFact,
    failed_result,
    inapplicable_result,
    passed_result,
)
from agent.audit.plan_grammar import FACTS
from agent.audit.station_facts import BOOT_PATHS, boot_facts
from agent.scenario.grammar import Form

FIXED = tuple(key for key in BOOT_PATHS if key != "firmware")
"""What BootNotification says that never changes; firmware does with an update."""
UPDATES = ("UpdateFirmware", "SignedUpdateFirmware")


def judge_constant_identity(context: AuditContext) -> JudgeResult:
    """Judge that each BootNotification says the same; firmware may change after an update."""
    boots = context.requests("BootNotification")
    for before, after in itertools.pairwise(boots):
        said, says = boot_facts((before,)), boot_facts((after,))
        updated = any(f.seq < after.seq for f in context.requests(*UPDATES, sender="backend"))
        for key in FIXED if updated else BOOT_PATHS:
            old, new = said.get(key), says.get(key)
            if old is not None and new is not None and old.value != new.value:
                return failed_result(
                    f"{FACTS[key]} was {old.value} and is {new.value} at the next BootNotification",
                    evidence=(before, after),
                    advice="Check whether another station uses the same charge point id; if not, have the maker of the "
                    "controller send the numbers of its plate after each start.", advice_to="subcontractor",
                )  # fmt: skip
    if len(boots) < 2:
        return inapplicable_result("the station has started only once during the audit")
    return passed_result(f"{len(boots)} BootNotifications say the same")


def judge_agreeing_facts(context: AuditContext) -> JudgeResult:
    """Judge that plate, station file, kit and messages say the same of the station and its meter."""
    compared: list[Fact] = []
    for key in context.parameters.get("keys", COMPARED):
        claims = [claim for claim in context.claims.get(key, ()) if claim.value.strip()]
        first = claims[0] if claims else None
        other = next((c for c in claims[1:] if first is not None and not _are_alike(first, c)), None)
        if first is not None and other is not None:
            return failed_result(
                f"{FACTS.get(key, key)}: {_words_of(first)}, {_words_of(other)}",
                [Fact(FACTS.get(key, key), _words_of(c)) for c in claims], context.requests("BootNotification")[-1:],
                "Read the plate of the station and of its meter, and correct the one that is wrong: the station's "
                "settings, its station file or the kit. A meter that was exchanged has to be registered.", "client",
            )  # fmt: skip
        if len(claims) > 1 and first is not None:
            compared.append(Fact(FACTS.get(key, key), first.value))
    if not compared:
        return inapplicable_result("nothing is known from two sources")
    return passed_result(f"{len(compared)} facts are the same by each source", compared)


COMPARED = (
    "id", "vendor", "model", "serial", "firmware", "iccid", "imsi", "meter_type", "meter_serial", "meter_class",
    "meter_year", "seal",
)  # fmt: skip


def _are_alike(one: StationFact, other: StationFact) -> bool:
    """Compare two values: of a list of outlets' values, one that is said of the station must be among them."""
    left, right = _parts_of(one), _parts_of(other)
    return left <= right or right <= left


def _parts_of(fact: StationFact) -> set[str]:
    return {part.strip().lower() for part in fact.value.split(",")}


def _words_of(fact: StationFact) -> str:
    return f"{fact.source} says {fact.value}"


JUDGES = (
    Judge("identity_constant", "each BootNotification says the same", judge_constant_identity),
    Judge(
        "facts_agree",
        "plate, station file, kit and messages say the same",
        judge_agreeing_facts,
        {"keys": JudgeParameter(Form.LIST, COMPARED, "facts that are compared")},
    ),
)
