"""Judges of what a station says of itself."""

from __future__ import annotations

import re

from agent.audit.context import (
    AuditContext,
    Fact,
    Judge,
    JudgeParameter,
    JudgeResult,
    failed_result,
    inapplicable_result,
    partial_result,
    passed_result,
)
from agent.audit.plan_grammar import FACTS
from agent.audit.station_facts import BOOT_PATHS, boot_facts
from agent.scenario.grammar import Form


def judge_boot_identity(context: AuditContext) -> JudgeResult:
    """BootNotification names the station (OCPP 1.6 4.2, OCPP 2.0.1 B01)."""
    boots = context.requests("BootNotification")
    if not boots:
        return partial_result("the station has sent no BootNotification during the audit")
    found, required = boot_facts(context.frames), context.parameters["required"]
    facts = [Fact(found[key].title, found[key].value) for key in BOOT_PATHS if key in found]
    missing = [FACTS[key] for key in required if key not in found]
    if missing:
        return failed_result(
            f"BootNotification does not say: {', '.join(missing)}", facts, boots[-1:],
            "Set these values in the configuration of the station.",
        )  # fmt: skip
    return passed_result(f"BootNotification says {', '.join(FACTS[key] for key in required)}", facts, boots[-1:])


def judge_station_facts(context: AuditContext) -> JudgeResult:
    """What the operator has to know of the station is known, and in its form."""
    patterns = context.parameters["matches"]
    wanted = dict.fromkeys([*context.parameters["required"], *patterns])
    facts = [Fact(context.facts[key].title, context.facts[key].value) for key in wanted if key in context.facts]
    missing = [key for key in wanted if key not in context.facts or not context.facts[key].value.strip()]
    if missing and context.parameters["required_of_all"]:
        return failed_result(f"is not known: {', '.join(FACTS.get(key, key) for key in missing)}", facts)
    for key, pattern in patterns.items():
        if key not in missing and not re.fullmatch(str(pattern), context.facts[key].value):
            fact = context.facts[key]
            return failed_result(f"{fact.title} is {fact.value!r} ({fact.source}), which is not {pattern}", facts)
    if missing:
        return partial_result(f"is not known: {', '.join(FACTS.get(key, key) for key in missing)}", facts)
    return passed_result(", ".join(f"{f.title}: {f.value}" for f in facts), facts)


def judge_kit_identity(context: AuditContext) -> JudgeResult:
    """The station is the one that the kit was made for."""
    kit = context.kit
    if kit is None:
        return inapplicable_result("there is no kit")
    shown = {
        "id": (kit.charge_point_id, context.station_id),
        "model": (kit.station_type, _value_of(context, "model")),
        "iccid": (kit.iccid, _value_of(context, "iccid", "BootNotification")),
        "evses": (", ".join(map(str, kit.evses)), _value_of(context, "evses")),
    }
    rows = [(FACTS[key], wanted, seen) for key, (wanted, seen) in shown.items() if wanted and seen]
    if kit.versions:
        wanted = context.version if context.version in kit.versions else " or ".join(kit.versions)
        rows.append((FACTS["ocpp"], wanted, context.version))
    wrong = [f"{title} is {seen}, the kit says {wanted}" for title, wanted, seen in rows if wanted != seen]
    facts = [Fact(title, f"{seen} (kit: {wanted})") for title, wanted, seen in rows]
    if wrong:
        return failed_result(
            "; ".join(wrong), facts, context.requests("BootNotification")[-1:],
            "Compare the station with its kit (chargy-agent kit diff), and apply the kit of this station.",
        )  # fmt: skip
    return passed_result(f"{len(rows)} values as in the kit", facts, context.requests("BootNotification")[-1:])


def _value_of(context: AuditContext, key: str, source: str = "") -> str:
    fact = context.facts.get(key)
    return fact.value if fact is not None and source in ("", fact.source) else ""


REQUIRED = ("vendor", "model", "serial", "firmware")
JUDGES = (
    Judge(
        "boot_identity", "BootNotification says who the station is", judge_boot_identity,
        {"required": JudgeParameter(Form.LIST, REQUIRED, "facts that it has to say")},
    ),
    Judge(
        "station_facts", "what has to be known of the station is known, and in its form", judge_station_facts,
        {
            "required": JudgeParameter(Form.LIST, (), "facts that have to be known"),
            "matches": JudgeParameter(Form.TABLE, {}, "by fact: a regular expression that it fits as a whole"),
            "required_of_all": JudgeParameter(
                Form.FLAG, False, "true: a fact that is not known is FAIL; else PARTIAL, as it was not asked"
            ),
        },
    ),
    Judge("kit_identity", "the station is the one that the kit was made for", judge_kit_identity),
)  # fmt: skip
