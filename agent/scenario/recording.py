"""A scenario made of what was done by hand: each deed, and after it a wait for what the frames have shown until the
next one. Pure: the caller reports what was done, and when."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from agent.model.fastclass import frozen, mutable
from agent.model.toml_text import format_value
from agent.scenario.frames import CALL, CALL_RESULT, FrameLog
from agent.scenario.matching import value_at
from agent.scenario.observation import Observation, StationView
from agent.scenario.run_state import WITHIN_S
from agent.scenario.versions import find_operation_form, read_frame

Values = dict[str, Any]

BOOT_S = 300.0
"""How long a start of the station may take."""
LEAST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 120.0
LEAST_WH = 2.0
"""Less energy shows nothing: a meter may count in steps of 1 Wh."""
STATUS_WORDS = (
    "available", "charging", "suspended_vehicle", "suspended_station", "reserved", "unavailable", "faulted",
)  # fmt: skip
"""The words that say it best, where a status has several."""
NEEDS_OF_KIND = {
    "pay": "payment_terminal", "scan": "payment_page", "fault": "fault_injection", "clear": "fault_injection",
    "link": "link_control", "mains": "backup_supply",
}  # fmt: skip
NEEDS_OF_OPERATION = {
    "reserve": "reservation", "cancel_reservation": "reservation", "local_list": "local_list",
    "empty_local_list": "local_list", "charging_profile": "smart_charging", "clear_profiles": "smart_charging",
    "composite_schedule": "smart_charging", "diagnostics": "firmware",
}  # fmt: skip


@frozen
class Deed:
    """What was done. ``values``: the step. ``mark``: the first frame after it. ``station_s``: when, in seconds of the
    station's time. ``connected``: whether the station had a connection just before."""

    kind: str
    values: Values
    mark: int
    station_s: float
    connected: bool


@mutable
class ScenarioRecording:
    """One recording. Frames are added from before its beginning, so that the state of the station is known.

    ``direct_current``: outlets of that kind. ``left_out``: what was done and has no word in the language.
    """

    title: str
    direct_current: frozenset[int] = frozenset()
    frames: FrameLog = field(default_factory=FrameLog)
    view: StationView = field(default_factory=StationView)
    deeds: list[Deed] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    begin_mark: int = 0
    end: Deed | None = None
    _statuses: dict[int, str] = field(default_factory=dict)
    _running: frozenset[Any] = frozenset()
    _station_s: list[float] = field(default_factory=list)

    def add_frame(self, from_station: bool, version: str, text: str, station_s: float) -> None:
        self.frames.add_text(from_station, version, text)
        self._station_s.append(station_s)
        read_frame(self.view, self.frames.frames[-1])

    def mark_beginning(self) -> None:
        """What comes from now on is recorded."""
        self.begin_mark = self.frames.next_seq
        self._statuses = {n: _best_status_word(evse.words) for n, evse in self.view.evses.items() if n}
        self._running = frozenset(t.id for t in self.view.transactions.values() if not t.ended)

    def add_carried_out_deed(
        self, kind: str, values: Values, station_s: float, connected: bool, mark: int | None = None
    ) -> None:
        """Add what was done. ``mark`` None: at this moment."""
        at = self.frames.next_seq if mark is None else mark
        self.deeds.append(Deed(kind, values, at, station_s, connected))

    def finish_recording(self, station_s: float, connected: bool) -> None:
        self.end = Deed("", {}, self.frames.next_seq, station_s, connected)

    # --- the file ----------------------------------------------------------------------------------------------------

    def format_scenario(self, station_s: float, connected: bool) -> str:
        """Return the scenario as a file, as far as it is: until the end, or until this moment."""
        end = self.end or Deed("", {}, self.frames.next_seq, station_s, connected)
        names = _Names()
        steps = list(self._build_steps(end, names))
        head = {
            "title": self.title,
            "purpose": "Recorded by hand. Each wait is for what was seen before the next deed; energy: half of it.",
            "versions": [self.frames.version] if self.frames.version else None,
            "needs": self._needed_means() or None,
        }
        lines = [f"{name} = {format_value(value)}" for name, value in head.items() if value is not None]
        if names.tokens:
            lines += ["", f"variables = {format_value({name: token for token, name in names.tokens.items()})}"]
        lines += ["", "steps = [", *(f"  {format_value(step)}," for step in steps), "]"]
        if restoring := list(self._restoring_steps()):
            lines += ["finally = [", *(f"  {format_value(step)}," for step in restoring), "]"]
        return "\n".join([*lines, *(f"# left out: {' '.join(note.split())}" for note in self.left_out)]) + "\n"

    def _needed_means(self) -> list[str]:
        evses = {deed.values.get("evse", deed.values.get(deed.kind)) for deed in self.deeds}
        needs = [NEEDS_OF_KIND.get(deed.kind) for deed in self.deeds]
        needs += [NEEDS_OF_OPERATION.get(str(deed.values.get("backend"))) for deed in self.deeds]
        needs += ["stop_button" for deed in self.deeds if deed.values.get("press") == "stop"]
        needs += ["two_outlets"] if evses & {2, 3, 4} else []
        needs += ["dc"] if {n for n in evses if type(n) is int} & self.direct_current else []
        return list(dict.fromkeys(need for need in needs if need))

    def _build_steps(self, end: Deed, names: _Names) -> Iterator[Values]:
        yield from self._first_steps()
        shown, road = dict(self._statuses), _Road()
        ordered = sorted(self.deeds, key=lambda deed: deed.mark)
        for deed, following in zip(ordered, [*ordered, end][1:], strict=True):
            yield names.with_variables({**deed.values, **self._backend_status(deed)})
            yield from self._waits_after(deed, following, shown, names)
            yield from road.waits_for_connection(deed, following)

    def _first_steps(self) -> Iterator[Values]:
        """Yield a wait for each outlet that was free at the beginning and is used."""
        used = {
            o.evse for o in self.view.observations if o.frame.seq >= self.begin_mark and o.kind == "transaction"
        } | {deed.values[deed.kind] for deed in self.deeds if deed.kind in ("plug", "scan", "pay")}
        for n in sorted(used):
            if self._statuses.get(n) == "available":
                yield {"wait_status": "available", **_evse_option_of_step(n)}

    def _backend_status(self, deed: Deed) -> Values:
        """Return the status with which the station has answered a request of the backend."""
        if deed.kind != "backend":
            return {}
        name = str(deed.values["backend"])
        form = find_operation_form(self.frames.version, name)
        action, path = (form.action, form.status) if form else (name, "status")
        for frame in self.frames.frames[deed.mark :]:
            asked = frame.answers
            if asked is None or asked.seq < deed.mark or asked.from_station or asked.action != action:
                continue
            status = value_at(frame.payload, path)
            is_status = frame.kind == CALL_RESULT and isinstance(status, str) and path.lower().endswith("status")
            return {"status": status} if is_status else {}
        return {}

    # --- waits -------------------------------------------------------------------------------------------------------

    def _waits_after(self, deed: Deed, following: Deed, shown: dict[int, str], names: _Names) -> Iterator[Values]:
        seen = [o for o in self.view.observations if deed.mark <= o.frame.seq < following.mark]
        found = [
            *self._status_waits(deed, seen, shown),
            *self._transaction_waits(deed, seen, names),
            *self._boot_waits(deed, following),
        ]
        yield from (step for _, step in sorted(found, key=lambda row: row[0]))
        yield from self._energy_waits(deed, seen)

    def _status_waits(
        self, deed: Deed, seen: Sequence[Observation], shown: dict[int, str]
    ) -> Iterator[tuple[int, Values]]:
        """Yield the last status of each outlet, if it is another one than before."""
        latest = {o.evse: o for o in seen if o.kind == "status" and o.evse}
        for evse, o in latest.items():
            word = _best_status_word(o.words)
            if word and word != shown.get(evse):
                shown[evse] = word
                yield (
                    o.frame.seq,
                    {"wait_status": word, **_evse_option_of_step(evse), **self._time_limit_of_wait(deed, o)},
                )

    def _transaction_waits(
        self, deed: Deed, seen: Sequence[Observation], names: _Names
    ) -> Iterator[tuple[int, Values]]:
        for o in seen:
            event = next(iter(o.words & {"started", "ended"}), "")
            if o.kind != "transaction" or not event:
                continue
            step: Values = {"wait_transaction": event, **_evse_option_of_step(o.evse)}
            if event == "started":
                token = names.tokens.get(o.data.get("token", ""))
                step |= {"where": {"token": f"${{{token}}}"}} if token else {}
                step |= {"set": {names.transaction_name(o.data["id"]): "id"}}
            else:
                known = {} if o.data["id"] in self._running else {"id": f"${{{names.transaction_name(o.data['id'])}}}"}
                step |= {"where": {**known, "reason": o.data["reason"]}}
            yield o.frame.seq, {**step, **self._time_limit_of_wait(deed, o)}

    def _boot_waits(self, deed: Deed, following: Deed) -> Iterator[tuple[int, Values]]:
        for frame in self.frames.frames[deed.mark : following.mark]:
            if frame.kind == CALL and frame.from_station and frame.action == "BootNotification":
                yield frame.seq, {"wait_message": "BootNotification", "within_s": BOOT_S}
                return

    def _energy_waits(self, deed: Deed, seen: Sequence[Observation]) -> Iterator[Values]:
        """Yield half of the energy that each transaction had reached, if it went on until the next deed."""
        latest = {o.data["id"]: o for o in seen if o.kind == "transaction"}
        for o in latest.values():
            energy_wh = o.data.get("energy_wh", 0.0)
            if "ended" not in o.words and o.data["id"] not in self._running and energy_wh >= LEAST_WH:
                yield {
                    "wait_energy": _half_energy_rounded(energy_wh),
                    **_evse_option_of_step(o.evse),
                    **self._time_limit_of_wait(deed, o),
                }

    def _time_limit_of_wait(self, deed: Deed, observation: Observation) -> Values:
        return _within_seconds(self._station_s[observation.frame.seq] - deed.station_s)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _restoring_steps(self) -> Iterator[Values]:
        """Yield what puts the station back, also after a failure in the middle."""
        done: list[Values] = []
        for deed in self.deeds:
            values = deed.values
            match values:
                case {"fault": name} if values.get("active", True):
                    done.append({"fault": name, **{k: v for k, v in values.items() if k == "evse"}, "active": False})
                case {"link": _}:
                    done.append({"link": "up"})
                case {"mains": "off"}:
                    done.append({"mains": "on"})
                case {"backend": "availability", "with": {"availability": "inoperative", **rest}}:
                    done.append({"backend": "availability", "with": {"availability": "operative", **rest}})
                case {"backend": "charging_profile"}:
                    done.append({"backend": "clear_profiles"})
        yield from {format_value(step): step for step in done}.values()


@mutable
class _Road:
    """The network between station and backend. A connection that comes and goes for another reason, as when the agent
    starts again, is too short to be waited for."""

    is_cut: bool = False
    shown: str = "up"

    def waits_for_connection(self, deed: Deed, following: Deed) -> Iterator[Values]:
        """Yield a wait for the connection that a step ``link`` has ended or brought back, or a pause: without a
        connection nothing shows that time has passed."""
        if deed.kind == "link":
            self.is_cut = deed.values["link"] != "up"
        now, took_s = "up" if following.connected else "down", following.station_s - deed.station_s
        if now != self.shown and (now == "down") == self.is_cut:
            self.shown = now
            yield {"wait_connection": now, **_within_seconds(took_s)}
        elif self.is_cut and now == "down" and took_s >= LEAST_PAUSE_S:
            yield {"pause_s": round(min(took_s, LONGEST_PAUSE_S))}


@mutable
class _Names:
    """The variables of the file: tokens of cards, and ids of transactions."""

    tokens: dict[str, str] = field(default_factory=dict)
    transactions: dict[Any, str] = field(default_factory=dict)

    def transaction_name(self, number: Any) -> str:
        return self.transactions.setdefault(number, f"transaction_{len(self.transactions) + 1}")

    def _token_variable_name(self, token: str) -> str:
        return self.tokens.setdefault(token, "card" if not self.tokens else f"card_{len(self.tokens) + 1}")

    def with_variables(self, values: Values) -> Values:
        """Return a step with the variables in place of tokens and transactions."""
        changed = dict(values)
        if "tap" in changed:
            changed["tap"] = f"${{{self._token_variable_name(changed['tap'])}}}"
        given = dict(changed["with"]) if isinstance(changed.get("with"), Mapping) else {}
        if "token" in given:
            given["token"] = f"${{{self._token_variable_name(str(given['token']))}}}"
        if (name := self.transactions.get(given.get("transaction"))) is not None:
            given["transaction"] = f"${{{name}}}"
        return {**changed, "with": given} if given else changed


def _best_status_word(words: frozenset[str]) -> str:
    """Return one word for a status. Before and after a session OCPP 2.x does not tell the one from the other."""
    for word in STATUS_WORDS:
        if word in words:
            return word
    between = words & {"preparing", "finishing"}
    return next(iter(between)) if len(between) == 1 else "occupied" if "occupied" in words else ""


def _evse_option_of_step(evse: int) -> Values:
    return {} if evse == 1 else {"evse": evse}


def _within_seconds(seconds: float) -> Values:
    """Return twice what it took, if that is more than a wait has anyway."""
    return {} if 2 * seconds <= WITHIN_S else {"within_s": 30 * math.ceil(2 * seconds / 30)}


def _half_energy_rounded(energy_wh: float) -> int:
    """Return half of an energy with one digit that is not zero: the next run need not be as long."""
    half = energy_wh / 2
    step = 10 ** max(0, math.floor(math.log10(half)))
    return int(half // step * step)
