"""Judges of the settings of a station, as it reports them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
from agent.model.fastclass import frozen
from agent.scenario.frames import CALL, CALL_RESULT, Frame
from agent.scenario.grammar import Form
from agent.scenario.matching import as_number

UNKNOWN = ("UnknownComponent", "UnknownVariable", "NotSupportedAttributeType")


@frozen
class ReportedSetting:
    """A setting as a message shows it. ``value`` None: the station does not show it; ``known`` False: it has none."""

    name: str
    value: str | None
    known: bool
    frame: Frame


def reported_settings(frames: Sequence[Frame]) -> dict[str, ReportedSetting]:
    """Return each setting as the station first reported it, before an audit changes any."""
    found: dict[str, ReportedSetting] = {}
    for frame in frames:
        if frame.from_station and isinstance(frame.payload, Mapping):
            for one in _settings_in_frame(frame, frame.payload):
                if one.name not in found or (one.known and not found[one.name].known):
                    found[one.name] = one
    return found


def _settings_in_frame(frame: Frame, payload: Mapping[str, Any]) -> Iterator[ReportedSetting]:
    try:
        if frame.kind == CALL_RESULT:
            for row in payload.get("configurationKey") or ():
                yield ReportedSetting(str(row["key"]), _value_text(row.get("value")), True, frame)
            for name in payload.get("unknownKey") or ():
                yield ReportedSetting(str(name), None, False, frame)
            for row in payload.get("getVariableResult") or ():
                known = row["attributeStatus"] not in UNKNOWN
                yield ReportedSetting(_variable_name(row), _value_text(row.get("attributeValue")), known, frame)
        elif frame.kind == CALL:
            for row in payload.get("reportData") or ():
                actual = [a for a in row["variableAttribute"] if a.get("type", "Actual") == "Actual"]
                if actual:
                    yield ReportedSetting(_variable_name(row), _value_text(actual[0].get("value")), True, frame)
    except (KeyError, TypeError, AttributeError):
        return


def _value_text(value: object) -> str | None:
    return None if value is None else str(value)


def _variable_name(row: Mapping[str, Any]) -> str:
    """Return the name as a kit writes it: ``Component.Variable[instance]``, ``EVSE:1.Component.Variable``."""
    component, variable = row["component"], row["variable"]
    evse = (component.get("evse") or {}).get("id")
    instance = f"[{variable['instance']}]" if variable.get("instance") else ""
    return f"{f'EVSE:{evse}.' if evse else ''}{component['name']}.{variable['name']}{instance}"


def judge_kit_settings(context: AuditContext) -> JudgeResult:
    """Each setting that the kit fixes has the kit's value, as the station reports it."""
    if context.kit is None:
        return inapplicable_result("there is no kit")
    reported = reported_settings(context.frames)
    wanted = _settings_of_version(context.kit.settings, reported)
    if not context.kit.settings:
        return inapplicable_result("the kit fixes no setting")
    if not reported or not wanted:
        return partial_result("the station has reported none of the settings that the kit fixes")
    wrong, facts, evidence = [], [], []
    for name, value in sorted(wanted.items()):
        one = reported.get(name)
        if one is None or not one.known:
            wrong.append(f"{name} is missing")
            facts.append(Fact(name, f"missing (kit: {value})"))
        elif one.value is not None and not same_setting(one.value, value):
            wrong.append(f"{name} is {one.value}, the kit says {value}")
            facts.append(Fact(name, f"{one.value} (kit: {value})"))
        else:
            facts.append(Fact(name, value if one.value is not None else "is there, and is not shown"))
        evidence += [one.frame] if one is not None else []
    if wrong:
        advice = "Set these values as in the kit (chargy-agent kit diff, kit apply), and restart the station."
        return failed_result("; ".join(wrong), facts, evidence[:3], advice)
    return passed_result(f"{len(wanted)} settings as in the kit", facts, evidence[:3])


def _settings_of_version(settings: Mapping[str, str], reported: Mapping[str, ReportedSetting]) -> dict[str, str]:
    """Return the settings of the kit in the names of the version that is spoken: those of OCPP 2.x have a component."""
    with_component = any("." in name and one.frame.kind == CALL for name, one in reported.items()) or any(
        "getVariableResult" in one.frame.payload for one in reported.values()
    )
    return {name: value for name, value in settings.items() if ("." in name) == with_component}


def same_setting(left: str, right: str) -> bool:
    """Return whether two values of a setting mean the same: numbers, truth and lists may be written otherwise."""
    numbers = as_number(left), as_number(right)
    if None not in numbers:
        return numbers[0] == numbers[1]
    plain = [",".join(part.strip() for part in value.split(",")).lower() for value in (left, right)]
    return plain[0] == plain[1]


def judge_required_settings(context: AuditContext) -> JudgeResult:
    """The station knows each setting that it has to know."""
    reported, required = reported_settings(context.frames), context.parameters["required"]
    if not reported:
        return partial_result("the station has reported no setting")
    missing = [name for name in required if name not in reported or not reported[name].known]
    seen = list({one.frame.seq: one.frame for one in reported.values()}.values())[:3]
    facts = [Fact(n, reported[n].value or "is not shown") for n in required if n in reported and reported[n].known]
    if missing:
        advice = "Bring the firmware to a version that has these settings."
        return failed_result(f"is missing: {', '.join(missing)}", facts, seen, advice, "subcontractor")
    return passed_result(f"{len(required)} settings are there", facts, seen)


JUDGES = (
    Judge("kit_settings", "each setting that the kit fixes has the kit's value", judge_kit_settings),
    Judge(
        "required_settings", "the station knows each setting that it has to know", judge_required_settings,
        {"required": JudgeParameter(Form.LIST, (), "names of the settings, as in OCPP")},
    ),
)  # fmt: skip
