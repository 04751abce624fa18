"""What a station of any maker offers, by its own settings: what it does not offer is NOT APPLICABLE, and no FAIL."""

from __future__ import annotations

import contextlib

from agent.scenario.matching import MISSING, value_at
from agent.scenario.operations import build_payload
from agent.scenario.run_state import Conversation
from agent.scenario.target import CannotCarryOut, CheckFailed
from agent.scenario.versions import find_operation_form, load_version_words


async def detect_lacks(conversation: Conversation) -> tuple[dict[str, str], list[str]]:
    """Ask the station for the settings that say what it offers.

    Returns what it lacks with the reason, and what it offers, by needs of the scenario language. A station that does
    not say it lacks nothing: the scenarios show it.
    """
    words = load_version_words(conversation.frame_log.version)
    lacks: dict[str, str] = {}
    offers: list[str] = []
    values: dict[str, str | None] = {}
    for need, (setting, word) in (words.capabilities if words is not None else {}).items():
        if setting not in values:
            values[setting] = await _read_setting(conversation, setting)
        value = values[setting]
        if value is None:
            continue
        if word.lower() in [part.strip().lower() for part in value.split(",")]:
            offers.append(need)
        else:
            lacks[need] = f"{setting} is {value!r}"[:200]
    outlets = [number for number in conversation.view.evses if number]
    if len(outlets) == 1:
        lacks["two_outlets"] = "it has reported one outlet"
    return lacks, offers


async def _read_setting(conversation: Conversation, name: str) -> str | None:
    """Return the value of a setting, None if the station does not say it."""
    form = find_operation_form(conversation.frame_log.version, "get_setting")
    if form is None:
        return None
    with contextlib.suppress(CannotCarryOut, CheckFailed):
        payload = build_payload("get_setting", {"name": name}, form)
        answer = await conversation.target.backend.send_request(form.action, payload, 0.0)
        value = value_at(answer, form.results["value"])
        return None if value is MISSING or value is None else str(value)
    return None
