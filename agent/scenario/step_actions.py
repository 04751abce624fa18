"""What each kind of step does. A function returns what it saw, or raises ``CheckFailed``, ``CannotCarryOut`` or
``NotApplicable``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agent.scenario.frames import CALL, Frame
from agent.scenario.matching import (
    MISSING,
    as_number,
    bounds_problem,
    describe_mismatch,
    equal_values,
    value_at,
    value_in_words,
)
from agent.scenario.observation import Observation
from agent.scenario.operations import OPERATIONS, OperationForm, build_payload
from agent.scenario.run_state import LOOK_S, WITHIN_S, Branch, RunState
from agent.scenario.scenario_model import Step
from agent.scenario.target import CheckFailed, NotApplicable
from agent.scenario.versions import find_operation_form

Values = Mapping[str, Any]
StepAction = Callable[[RunState, Step, Values, Branch], Awaitable[str]]
FORBID_S = 10.0
YES = ("yes", "y", "ja", "j", "oui", "o", "jo")
NO = ("no", "n", "nein", "non", "nee")


# --- at the station --------------------------------------------------------------------------------------------------


async def perform_deed(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    """Have something done at the station."""
    return await state.run_target.hands.perform_deed(step.kind.kind_name, values, _patience_seconds(state, values))


# --- observe ---------------------------------------------------------------------------------------------------------


async def wait_status(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    evse, wanted = values.get("evse", 1), set(_as_tuple_of_texts(values["wait_status"]))

    def find_status() -> str | None:
        if wanted & state.station_view.evse_view(evse).words:
            return state.station_view.evse_view(evse).status
        passed = [o for o in _observations_since_deed(state, branch, "status", evse) if wanted & o.words]
        return passed[-1].data.get("status", "") if passed else None

    found = await state.wait_until(find_status, _within_station_seconds(values))
    if found is None:
        view = state.station_view.evse_view(evse)
        now = f"{view.status or 'not reported'}{f', {view.charging_state}' if view.charging_state else ''}"
        raise CheckFailed(
            f"outlet {evse}: the status is {now}, expected {_joined_with_or(wanted)}; waited {_waited_seconds(values)}"
        )
    latest = [o for o in state.station_view.observations if o.kind == "status" and o.evse == evse]
    branch.matched += [o.frame for o in latest[-1:]]
    return f"outlet {evse}: {found}"


async def wait_transaction(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    evse, event = values.get("evse", 1), values["wait_transaction"]
    problems: list[str] = []

    def find_event() -> Observation | None:
        for seen in _observations_since_deed(state, branch, "transaction", evse):
            if event not in seen.words or (seen.frame.seq, "transaction") in branch.used:
                continue
            problem = describe_mismatch(values.get("where", {}), seen.data)
            if not problem:
                return seen
            problems.append(problem)
            if event != "updated":
                raise CheckFailed(f"outlet {evse}: the transaction has {event}, but {problem}")
        return None

    found = await state.wait_until(find_event, _within_station_seconds(values))
    if found is None:
        but = f"; the last one: {problems[-1]}" if problems else ""
        raise CheckFailed(f"outlet {evse}: no transaction has {event} within {_waited_seconds(values)}{but}")
    branch.used.add((found.frame.seq, "transaction"))
    branch.matched.append(found.frame)
    _set_variables(state, step, found.data, {})
    return ", ".join(f"{key} {value}" for key, value in found.data.items())


async def wait_message(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    action, sender = values["wait_message"], values.get("sender", "station")
    problems: list[str] = []

    def find_message() -> Frame | None:
        for frame in _requests_since_deed(state, branch, (action,), sender):
            if (frame.seq, "message") not in branch.used:
                problem = describe_mismatch(values.get("where", {}), frame.payload)
                if not problem:
                    return frame
                problems.append(problem)
        return None

    found = await state.wait_until(find_message, _within_station_seconds(values))
    if found is None:
        but = f"; it came, but {problems[-1]}" if problems else ""
        raise CheckFailed(f"no {action} as expected from the {sender} within {_waited_seconds(values)}{but}")
    branch.used.add((found.seq, "message"))
    branch.matched.append(found)
    _set_variables(state, step, found.payload, {})
    return f"{action} arrived"


async def forbid_message(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    actions, for_s = _as_tuple_of_texts(values["forbid_message"]), values.get("for_s", FORBID_S)

    def find_message() -> Frame | None:
        found = _requests_since_deed(state, branch, actions, "station")
        return next((f for f in found if not describe_mismatch(values.get("where", {}), f.payload)), None)

    end_s = time.monotonic() + for_s / state.run_target.speed
    while True:
        if (found := find_message()) is not None:
            branch.matched.append(found)
            raise CheckFailed(f"{found.action} arrived, which must not happen here")
        if (left_s := end_s - time.monotonic()) <= 0:
            return f"no {_joined_with_or(actions)} for {for_s:g} s"
        await state.run_target.frames.wait_for_change(left_s)


async def wait_energy(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    evse, wanted_wh = values.get("evse", 1), values["wait_energy"]

    def read_energy() -> dict[str, Any] | None:
        running = state.station_view.running_transaction(evse)
        return running.as_data() if running is not None else None

    def find_energy() -> dict[str, Any] | None:
        data = read_energy() or {}
        return data if data.get("energy_wh", -1.0) >= wanted_wh else None

    found = await state.wait_until(find_energy, _within_station_seconds(values))
    if found is None:
        data = read_energy()
        so_far = "no transaction runs" if data is None else f"{data.get('energy_wh', 0):g} Wh so far"
        raise CheckFailed(f"outlet {evse}: {so_far}, expected {wanted_wh:g} Wh; waited {_waited_seconds(values)}")
    _set_variables(state, step, found, {})
    return f"outlet {evse}: {found['energy_wh']:g} Wh"


async def wait_screen(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    evse, wanted = values.get("evse", 1), _as_tuple_of_texts(values["wait_screen"])
    end_s = time.monotonic() + state.run_target.real_wait_s(_within_station_seconds(values))
    while (name := await state.run_target.eyes.screen_name(evse, wanted)) not in wanted:
        if time.monotonic() >= end_s:
            raise CheckFailed(f"outlet {evse}: the display shows {name}, expected {_joined_with_or(wanted)}")
        await asyncio.sleep(LOOK_S)
    return f"outlet {evse}: the display shows {name}"


async def wait_connection(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    wanted = values["wait_connection"]
    found = await state.wait_until(
        lambda: state.run_target.frames.connected == (wanted == "up") or None, _within_station_seconds(values)
    )
    if not found:
        other = "down" if wanted == "up" else "up"
        raise CheckFailed(
            f"the connection to the backend is {other}, expected {wanted}; waited {_waited_seconds(values)}"
        )
    return f"the connection is {wanted}"


async def measure_quantity(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    evse, quantity = values.get("evse", 1), values["measure"]
    end_s = time.monotonic() + state.run_target.real_wait_s(_within_station_seconds(values))
    hold_s, good_since, problem = values.get("hold_s", 0.0) / state.run_target.speed, None, ""
    while True:
        value, now_s = await _measured_value(state, branch, quantity, evse), time.monotonic()
        if value is not None:
            value -= values.get("minus", 0)
            problem = bounds_problem(value, values.get("at_least"), values.get("at_most"))
            good_since = None if problem else now_s if good_since is None else good_since
            if good_since is not None and now_s - good_since >= hold_s:
                _set_measured(state, values, value)
                return f"outlet {evse}: {quantity} {value:g}"
        if now_s >= end_s:
            raise CheckFailed(
                f"outlet {evse}: {quantity}: {problem or _missing_value_words(value)}; waited {_waited_seconds(values)}"
            )
        await asyncio.sleep(LOOK_S)


async def check_value(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    value = values["check"]
    if "equals" in values and (problem := _difference_problem(value, values["equals"], values.get("tolerance"))):
        raise CheckFailed(problem)
    if "at_least" in values or "at_most" in values:
        number = as_number(value)
        if number is None:
            raise CheckFailed(f"{value_in_words(value)} is no number")
        if problem := bounds_problem(number, values.get("at_least"), values.get("at_most")):
            raise CheckFailed(problem)
    return f"{value_in_words(value)} is right"


# --- backend and person ----------------------------------------------------------------------------------------------


async def send_request(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    name, form = values["backend"], OperationForm("", {})
    if name in OPERATIONS:
        version = state.run_target.frames.version
        found = find_operation_form(version, name)
        if found is None:
            raise NotApplicable(f"{name}: there is no such operation in OCPP {version}")
        form, action = found, found.action
        payload = build_payload(name, values.get("with", {}), form)
    else:
        action, payload = name, values.get("payload", {})
    answer = await state.run_target.backend.send_request(action, payload, _patience_seconds(state, values))
    _judge_answer(state, action, answer, form, values)
    _set_variables(state, step, answer, form.results)
    return f"{action}: {value_in_words(value_at(answer, form.status)) if form.status in answer else 'answered'}"


def _judge_answer(state: RunState, action: str, answer: dict[str, Any], form: OperationForm, values: Values) -> None:
    """Judge the answer to a request. Raises ``CheckFailed``."""
    if "error" in answer and "error" not in values.get("answer", {}):
        needs = f" (if it does not offer this: --without {state.scenario.needs[0]})" if state.scenario.needs else ""
        words = answer.get("description", "")
        raise CheckFailed(
            f"{action} was answered with the error {answer['error']}{f': {words}' if words else ''}{needs}"
        )
    problems = []
    if "status" in values:
        problems.append(describe_mismatch(_one_or_list(values["status"]), value_at(answer, form.status), "status"))
    problems.append(describe_mismatch(values.get("answer", {}), answer))
    for name, expected in values.get("results", {}).items():
        problems.append(describe_mismatch(expected, value_at(answer, form.results.get(name, name)), name))
    if problem := next(filter(None, problems), ""):
        raise CheckFailed(f"answer to {action}: {problem}")


async def ask_person(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    answer = await state.run_target.person.answer_question(values["ask"], state.run_target.deed_patience_s)
    if answer is None:
        if "simulated" not in values:
            raise NotApplicable("there is no person here to ask")
        answer = str(values["simulated"])
    if "set" in values:
        state.variables[values["set"]] = answer
        return f"answered {answer}"
    expected = values.get("expect", "yes")
    if _plain_answer(answer) != _plain_answer(expected):
        raise CheckFailed(f"{values['ask']} The answer is {answer}, expected {expected}")
    return f"answered {answer}"


# --- order of steps --------------------------------------------------------------------------------------------------


async def let_time_pass(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    await state.pause_station_time(values["pause_s"])
    return f"{values['pause_s']:g} s have passed"


async def set_variables(state: RunState, step: Step, values: Values, branch: Branch) -> str:
    state.variables.update(values["set"])
    return ", ".join(f"{name} = {value_in_words(value)}" for name, value in values["set"].items())


ACTIONS: Mapping[str, StepAction] = {
    **dict.fromkeys(
        ("plug", "unplug", "vehicle", "tap", "pay", "scan", "press", "fault", "clear", "link", "mains", "power_cut"),
        perform_deed,
    ),
    "wait_status": wait_status,
    "wait_transaction": wait_transaction,
    "wait_message": wait_message,
    "forbid_message": forbid_message,
    "wait_energy": wait_energy,
    "wait_screen": wait_screen,
    "wait_connection": wait_connection,
    "measure": measure_quantity,
    "check": check_value,
    "backend": send_request,
    "ask": ask_person,
    "pause_s": let_time_pass,
    "set": set_variables,
}
"""By kind of step. ``repeat`` and ``parallel`` are the runner's own."""


# --- parts -----------------------------------------------------------------------------------------------------------


def _observations_since_deed(state: RunState, branch: Branch, kind: str, evse: int) -> list[Observation]:
    """Return what has been observed since the latest deed."""
    return [
        o for o in state.station_view.observations if o.kind == kind and o.evse == evse and o.frame.seq >= branch.mark
    ]


def _requests_since_deed(state: RunState, branch: Branch, actions: tuple[str, ...], sender: str) -> list[Frame]:
    return [
        f
        for f in state.run_target.frames.frames[branch.mark :]
        if f.kind == CALL and f.action in actions and f.from_station == (sender == "station")
    ]


async def _measured_value(state: RunState, branch: Branch, quantity: str, evse: int) -> float | None:
    """Return a value of the station's own meter, else the latest one of the messages. Raises ``NotApplicable``.

    A power counts only if a message has brought it since the latest deed: an older one says nothing of now.
    """
    value = await state.run_target.eyes.measured_value(quantity, evse)
    if value is not None:
        return value
    if quantity == "limit_a":
        raise NotApplicable("no message of OCPP says which limit is in force")
    at_this_moment = quantity in ("power_w", "current_a")
    if at_this_moment and state.station_view.running_transaction(evse) is None:
        raise NotApplicable(f"no message says the {quantity} while no transaction runs")
    number, seq = state.station_view.readings.get(evse, {}).get(quantity, (None, -1))
    return number if seq >= branch.mark or not at_this_moment else None


def _set_measured(state: RunState, values: Values, value: float) -> None:
    if "set" in values:
        state.variables[values["set"]] = value


def _missing_value_words(value: float | None) -> str:
    return "no message has brought a value" if value is None else "has not stayed in its bounds long enough"


def _set_variables(state: RunState, step: Step, message: Any, results: Mapping[str, str]) -> None:
    """Set variables from a message. Raises ``CheckFailed`` if a value is not there."""
    wanted = step.values.get("set")
    for name, path in wanted.items() if isinstance(wanted, Mapping) else ():
        value = value_at(message, results.get(str(path), str(path)))
        if value is MISSING:
            raise CheckFailed(f"{name} cannot be set: {path} is missing in the message")
        state.variables[name] = value


def _difference_problem(value: Any, expected: Any, tolerance: float | None) -> str:
    left, right = as_number(value), as_number(expected)
    if tolerance is not None and left is not None and right is not None:
        difference = abs(left - right)
        return (
            f"{left:g} differs from {right:g} by {difference:g}, more than {tolerance:g}"
            if difference > tolerance
            else ""
        )
    return "" if equal_values(expected, value) else f"{value_in_words(value)} is not {value_in_words(expected)}"


def _as_tuple_of_texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value))


def _one_or_list(value: Any) -> Any:
    return value if isinstance(value, str) else list(value)


def _joined_with_or(names: Any) -> str:
    return " or ".join(sorted(names))


def _within_station_seconds(values: Values) -> float:
    return float(values.get("within_s", WITHIN_S))


def _patience_seconds(state: RunState, values: Values) -> float:
    """Return how many real seconds a person, a command or the station has for a deed."""
    within_s = state.run_target.real_wait_s(values["within_s"]) if "within_s" in values else 0.0
    return max(within_s, state.run_target.deed_patience_s)


def _waited_seconds(values: Values) -> str:
    return f"{_within_station_seconds(values):g} s of the station's time"


def _plain_answer(answer: str) -> str:
    plain = answer.strip().lower()
    return "yes" if plain in YES else "no" if plain in NO else plain
