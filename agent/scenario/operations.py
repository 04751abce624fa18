"""Operations of a backend in words that do not depend on the version of OCPP, as a table.

How an operation is written in a version is in the module of that version (``OperationForm``). ``"$name"`` in a payload
is the parameter of that name; a key whose parameter is not given is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from agent.model.fastclass import frozen
from agent.scenario.matching import MISSING, value_at


@frozen
class OperationForm:
    """An operation in one version. ``status``: where the answer has its status. ``words``: by parameter, what neutral
    values are called in this version, or a function that says it. ``results``: neutral names of values in the answer,
    and their paths."""

    action: str
    payload: Mapping[str, Any]
    status: str = "status"
    words: Mapping[str, Mapping[str, Any] | Callable[[Any], Any]] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)


@frozen
class Operation:
    """``required`` and ``optional``: names of its parameters, optional ones with their default (None: left out)."""

    name: str
    meaning: str
    required: tuple[str, ...]
    optional: Mapping[str, Any]

    def parameter_names(self) -> tuple[str, ...]:
        return (*self.required, *self.optional)


def build_payload(name: str, parameters: Mapping[str, Any], form: OperationForm) -> dict[str, Any]:
    """Return the payload of an operation in one version."""
    values = {**OPERATIONS[name].optional, **parameters}
    if "value" in values:
        values["value"] = _setting_text(values["value"])
    for parameter, words in form.words.items():
        given = values.get(parameter)
        if given is not None:
            values[parameter] = words(given) if callable(words) else words.get(str(given), given)
    payload = _fill_payload(form.payload, values)
    return {} if payload is _DROPPED else dict(payload)


_DROPPED = object()


def _setting_text(value: Any) -> str:
    """Return the value of a setting as OCPP writes it: always a text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fill_payload(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str) and template.startswith("$"):
        value = value_at(values, template[1:])
        return _DROPPED if value in (None, MISSING) else value
    if isinstance(template, Mapping):
        filled = {key: _fill_payload(inner, values) for key, inner in template.items()}
        kept = {key: inner for key, inner in filled.items() if inner is not _DROPPED}
        return _DROPPED if template and not kept else kept
    if isinstance(template, list):
        entries = [_fill_payload(inner, values) for inner in template]
        return [entry for entry in entries if entry is not _DROPPED]
    return template


_ROWS = (
    Operation("remote_start", "Start a transaction.", ("token",), {"evse": 1, "number": 1, "token_type": "Central"}),
    Operation("remote_stop", "End a transaction.", ("transaction",), {}),
    Operation("unlock", "Unlock the connector.", (), {"evse": 1}),
    Operation("reset", "Restart the station: `soft` in order, `hard` at once.", ("how",), {}),
    Operation(
        "availability",
        "Take an outlet out of service (`inoperative`), or back (`operative`). `evse` 0: the station.",
        ("availability",),
        {"evse": 1},
    ),
    Operation(
        "reserve",
        "Keep an outlet for a token until an instant.",
        ("id", "token", "until"),
        {"evse": 1, "token_type": "ISO14443"},
    ),
    Operation("cancel_reservation", "Give a reservation up.", ("id",), {}),
    Operation(
        "local_list",
        "Replace the local authorization list by one token.",
        ("version", "token"),
        {"token_status": "Accepted", "token_type": "ISO14443"},
    ),
    Operation("empty_local_list", "Empty the local authorization list.", ("version",), {}),
    Operation("local_list_version", "Ask for the version of the local authorization list. Result: `version`.", (), {}),
    Operation("clear_cache", "Empty the authorization cache.", (), {}),
    Operation("get_setting", "Read a setting. Result: `value`.", ("name",), {}),
    Operation("set_setting", "Write a setting.", ("name", "value"), {}),
    Operation(
        "charging_profile",
        "Limit the current. `purpose`: station, default or transaction.",
        ("limit_a",),
        {
            "evse": 1,
            "id": 1,
            "level": 0,
            "purpose": "default",
            "kind": "Relative",
            "transaction": None,
            "duration_s": None,
            "phases": None,
        },
    ),
    Operation("clear_profiles", "Remove charging profiles: the one with `id`, or all.", (), {"id": None}),
    Operation(
        "composite_schedule",
        "Ask for the limits that result. Result: `limit_a` of the first period.",
        ("duration_s",),
        {"evse": 1},
    ),
    Operation("trigger", "Ask the station to send a message.", ("message",), {"evse": None, "connector": None}),
    Operation("diagnostics", "Have the station upload its log.", ("location",), {"id": 1}),
    Operation(
        "data_transfer", "Send something that OCPP does not define.", ("vendor",), {"message": None, "data": None}
    ),
)
OPERATIONS: Mapping[str, Operation] = {row.name: row for row in _ROWS}
SETTINGS = (
    "sample_interval_s", "heartbeat_interval_s", "connection_timeout_s", "stop_on_unplug_at_vehicle",
    "authorize_remote", "offline_unknown", "local_list_enabled",
)  # fmt: skip
"""Settings with a name that does not depend on the version. A setting may be named as in OCPP as well."""
