"""Read, set and store the run-time settings. A value that the backend sets wins over the station
file and survives restarts."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import SettingChanged, SettingRefused, Started
from agent.domain.evse import StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events
from agent.domain.local_time import parse_utc_seconds
from agent.domain.orders import Persist
from agent.domain.requests import GetVariablesRequest, SetVariablesRequest
from agent.domain.transaction import TxPoint
from agent.domain.variables import VARIABLES, ValueChecks, Variable, WrongValue, format_value, parse_value
from agent.model.types import Moment


class SettingsBlock:
    def __init__(self, site: StationState, value_checks: ValueChecks) -> None:
        """``value_checks``: of the blocks that own these settings."""
        self._site, self._value_checks = site, value_checks

    @handles_events(Started)
    def restore_settings(self, event: Started, now: Moment) -> Iterator[Yielded]:
        for name, record in event.remembered.get("setting", {}).items():
            variable = VARIABLES.get(name)
            try:
                if variable is not None:
                    self._site.settings.put_value(name, parse_value(variable, str(record["text"])))
            except (WrongValue, KeyError):
                yield Persist("setting", name, None)  # the range has become narrower: back to the station file's value

    @answers_requests(GetVariablesRequest)
    def answer_get_variables(self, request: GetVariablesRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        names = request.names or tuple(VARIABLES)
        data = {n: self._site.settings[n] for n in names if n in VARIABLES and not VARIABLES[n].secret}
        yield reply("Accepted", data)

    @answers_requests(SetVariablesRequest)
    def answer_set_variables(self, request: SetVariablesRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        """Store the settings before they are accepted. A setting that needs a restart is reported
        at once, and takes effect when its block starts."""
        results = {name: self._check_value(VARIABLES.get(name), text) for name, text in request.values.items()}
        if request.whole and not set(results.values()) <= {"Accepted", "RebootRequired"}:
            results = dict.fromkeys(results, "Rejected")
        for name, text in request.values.items():
            variable, status = VARIABLES.get(name), results[name]
            if status == "Rejected":
                yield SettingRefused(name, text)
            if variable is None or status == "Rejected" or status == "NotSupported":
                continue
            yield Persist("setting", name, {"text": format_value(variable, parse_value(variable, text))})
            self._site.settings.put_value(name, parse_value(variable, text))
            if status == "Accepted":
                yield SettingChanged(name)
        yield reply("Accepted", results)

    def _check_value(self, variable: Variable | None, text: str) -> str:
        if variable is None:
            return "NotSupported"
        if not (variable.writable and self._site.store_ok):
            return "Rejected"
        try:
            value = parse_value(variable, text)
        except WrongValue:
            return "Rejected"
        if variable.name == "language" and value not in ("", *self._site.config.languages):
            return "Rejected"
        if variable.name == "time_offset_next_at" and value and parse_utc_seconds(str(value)) is None:
            return "Rejected"
        sensed = any(e.config.bay_sensor for e in self._site.evses.values())
        if isinstance(value, tuple) and TxPoint.BAY in value and not sensed:
            return "Rejected"
        check = self._value_checks.get(variable.name)
        if check is not None and not check(value):
            return "Rejected"
        return "RebootRequired" if variable.reboot else "Accepted"
