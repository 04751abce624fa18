"""What a backend has written into the settings of a station, and what it has read from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent.audit.message_paths import answer_status, table_at, tables_at, texts_in_list
from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.scenario.frames import CALL, CALL_RESULT, Frame


class SettingDeed(StrEnum):
    """WRITTEN_LATER: the station takes it at its next start. UNKNOWN: the station has no such setting."""

    WRITTEN = "written"
    WRITTEN_LATER = "written later"
    READ = "read"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@frozen
class SettingExchange:
    """One setting in one answer. ``frame``: the answer."""

    deed: SettingDeed
    name: str
    value: str
    frame: Frame


WRITE_DEEDS: Mapping[str, SettingDeed] = {
    "Accepted": SettingDeed.WRITTEN, "RebootRequired": SettingDeed.WRITTEN_LATER, "NotSupported": SettingDeed.UNKNOWN,
    "UnknownComponent": SettingDeed.UNKNOWN, "UnknownVariable": SettingDeed.UNKNOWN, "Rejected": SettingDeed.REFUSED,
}  # fmt: skip
HEARTBEAT_SETTINGS = ("HeartbeatInterval", "HeartBeatInterval", "OCPPCommCtrlr.HeartbeatInterval")
SAMPLE_INTERVALS = ("MeterValueSampleInterval", "SampledDataCtrlr.TxUpdatedInterval")
SAMPLED_MEASURANDS = ("MeterValuesSampledData", "SampledDataCtrlr.TxUpdatedMeasurands")


SECRET_NAME = re.compile(r"secret|passw|credential|(authorization|api|shared|private|encryption)_?key", re.IGNORECASE)


def setting_exchanges(frames: Iterable[Frame]) -> Iterator[SettingExchange]:
    """Yield what the answers of a station say about its settings, in the order of the answers.

    Settings that hold a secret are left out: a station does not show them, and neither does a report.
    """
    for frame in frames:
        asked = frame.answers
        if frame.kind != CALL_RESULT or not frame.from_station or asked is None:
            continue
        for one in (*_exchanges_of_keys(asked, frame), *_exchanges_of_variables(asked, frame)):
            if not SECRET_NAME.search(one.name):
                yield one


def _exchanges_of_keys(asked: Frame, answer: Frame) -> Iterator[SettingExchange]:
    """Read a configuration of keys (OCPP 1.x)."""
    if asked.action == "ChangeConfiguration":
        request, deed = table_at(asked.payload), WRITE_DEEDS.get(answer_status(answer))
        if deed is not None:
            yield SettingExchange(deed, str(request.get("key", "")), str(request.get("value", "")), answer)
    for entry in tables_at(answer.payload, "configurationKey"):
        if "value" in entry:
            yield SettingExchange(SettingDeed.READ, str(entry.get("key", "")), str(entry["value"]), answer)
    for name in texts_in_list(answer.payload, "unknownKey"):
        yield SettingExchange(SettingDeed.UNKNOWN, name, "", answer)


def _exchanges_of_variables(asked: Frame, answer: Frame) -> Iterator[SettingExchange]:
    """Read variables of a device model (OCPP 2.x). Only the attribute Actual is a setting."""
    written = [_variable_name(entry) for entry in tables_at(asked.payload, "setVariableData")]
    values = [str(entry.get("attributeValue", "")) for entry in tables_at(asked.payload, "setVariableData")]
    for entry in tables_at(answer.payload, "setVariableResult"):
        name, deed = _variable_name(entry), WRITE_DEEDS.get(str(entry.get("attributeStatus")))
        if deed is not None and name in written:
            yield SettingExchange(deed, name, values[written.index(name)], answer)
    for entry in tables_at(answer.payload, "getVariableResult"):
        if entry.get("attributeType", "Actual") == "Actual":
            status, value = str(entry.get("attributeStatus")), str(entry.get("attributeValue", ""))
            deed = SettingDeed.READ if status == "Accepted" else WRITE_DEEDS.get(status)
            if deed is not None:
                yield SettingExchange(deed, _variable_name(entry), value, answer)


def _variable_name(entry: Mapping[str, Any]) -> str:
    """Return ``Component.Variable``, with instances and EVSE where there are any."""
    component, variable = table_at(entry, "component"), table_at(entry, "variable")
    evse = table_at(component, "evse").get("id")
    parts = []
    for part in (component, variable):
        instance = f"[{part['instance']}]" if "instance" in part else ""
        parts.append(f"{part.get('name', '')}{instance}")
    return (f"EVSE:{evse}." if evse is not None else "") + ".".join(parts)


def value_before_frame(frames: Iterable[Frame], names: Iterable[str], seq: int) -> str | None:
    """Return the latest value of a setting that is known before a frame, None if none is.

    A value that is taken at the next start counts after a BootNotification.
    """
    wanted, found, later = set(names), None, None
    exchanges = {e.frame.seq: e for e in setting_exchanges(frames) if e.name in wanted}
    for frame in frames:
        if frame.seq >= seq:
            break
        one = exchanges.get(frame.seq)
        if one is not None and one.deed in (SettingDeed.WRITTEN, SettingDeed.READ):
            found, later = one.value, None
        elif one is not None and one.deed is SettingDeed.WRITTEN_LATER:
            later = one.value
        elif frame.kind == CALL and frame.from_station and frame.action == "BootNotification" and later is not None:
            found, later = later, None
    return found


def are_equal_settings(left: str, right: str) -> bool:
    """Compare two values. Case of true and false, form of a number, blanks and the order of a list do not matter."""
    if left.strip().lower() == right.strip().lower():
        return True
    try:
        return float(left) == float(right)
    except ValueError:
        parts = [sorted(part.strip() for part in value.split(",")) for value in (left, right)]
        return parts[0] == parts[1]
