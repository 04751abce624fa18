"""The picture of the whole station: the state of the world, and beside it what the agent reports of itself.

These are pure functions over plain JSON values. The shape is a public interface (``GET /api/v1/station``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Json: TypeAlias = dict[str, Any]


class DevicesView(Protocol):
    """The part of the devices that the picture needs."""

    def lamp_colors(self) -> Json: ...
    def link_conditions(self) -> Json: ...
    def bank_ledger(self) -> Json: ...
    def terminal_pictures(self) -> list[Json]: ...
    def button_names(self) -> list[str]: ...
    def display_panels(self) -> list[Json]: ...
    def modem_picture(self) -> Json | None: ...


class WorldView(Protocol):
    """The part of the world that the picture needs."""

    evses: Mapping[int, Any]
    mains_on: bool

    @property
    def devices(self) -> DevicesView: ...
    def evse_picture(self, number: int, /) -> Json: ...
    def limit_picture(self) -> Json | None: ...


@dataclass(frozen=True, slots=True)
class Child:
    """The agent as a process. ``pid`` is None while there is none, ``restarts`` counts starts after the first."""

    pid: int | None
    restarts: int


def station_picture(
    world: WorldView,
    child: Child,
    agent_picture: Json | None,
    now: str,
    last_sessions: Mapping[int, Json] | None = None,
) -> Json:
    """Compose the picture of the station.

    ``agent_picture`` is the newest picture of the agent's status socket, None while it is down. ``now`` is UTC in
    ISO 8601. ``last_sessions`` holds, by outlet, the sessions that ended in an earlier process of the agent.
    """
    agent = {} if agent_picture is None else agent_picture.get("agent", {})
    own = {} if agent_picture is None else {e["number"]: e for e in agent_picture.get("evses", ())}
    return {
        "agent": {
            "up": agent_picture is not None,
            "pid": child.pid,
            "restarts": child.restarts,
            **{key: agent.get(key) for key in ("version", "queue", "screen_language")},
        },
        "backend": None if agent_picture is None else agent_picture.get("backend"),
        "links": world.devices.link_conditions(),
        "traffic": None if agent_picture is None else agent_picture.get("traffic"),
        "mains": world.mains_on,
        "time": now,
        "lamps": {**{str(n): e["lamp"] for n, e in own.items() if e.get("lamp")}, **world.devices.lamp_colors()},
        "evses": [
            _merge_evse(world.evse_picture(n), own.get(n, {}), (last_sessions or {}).get(n))
            for n in sorted(world.evses)
        ],
        "buttons": world.devices.button_names(),
        "ledger": world.devices.bank_ledger(),
        "displays": world.devices.display_panels(),
        **({"limits": limits} if (limits := world.limit_picture()) else {}),
        **({"terminals": terminals} if (terminals := world.devices.terminal_pictures()) else {}),
        **({"modem": modem} if (modem := world.devices.modem_picture()) else {}),
        **({"bearers": bearers} if (bearers := (agent_picture or {}).get("bearers")) else {}),
    }


def _merge_evse(truth: Json, own: Json, last_session: Json | None) -> Json:
    shown = ("screen", "reported", "told", "session_state", "session", "code", "messages")
    known = {key: own.get(key) for key in shown}
    return {**truth, **known, "last_session": last_session, "latched": own.get("latched") or []}


def is_agent_ready(agent_picture: Json | None) -> bool:
    """Return whether the agent has opened its devices."""
    return agent_picture is not None and bool(agent_picture.get("ready"))


def describe_changes(before: Json | None, after: Json) -> Iterator[str]:
    """Describe a change for a person at a terminal, one line for each event."""
    yield from _describe_backend((before or {}).get("backend") or {}, after["backend"] or {})
    yield from _describe_outage((before or {}).get("backend") or {}, after["backend"] or {}, after["links"])
    if before is None or not after["agent"]["up"] or not before["agent"]["up"]:
        return
    earlier = {e["number"]: e for e in before["evses"]}
    for evse in after["evses"]:
        for line in _describe_evse(earlier.get(evse["number"], {}), evse):
            yield f"outlet {evse['number']}: {line}"


def _describe_backend(before: Json, after: Json) -> Iterator[str]:
    if after and before.get("link", "down") != after.get("link"):
        version = f" (OCPP {after['ocpp']})" if after.get("link") == "up" and after.get("ocpp") else ""
        yield f"backend: link {after.get('link')}{version}"
    if after.get("boot") and before.get("boot") != after["boot"]:
        yield f"backend: boot {after['boot']}"


def _describe_outage(before: Json, after: Json, links: Mapping[str, Json]) -> Iterator[str]:
    """Describe an outage once, unless the control API has cut the link."""
    road = next(iter(links.values()), {})
    cut = not road.get("up", True) or road.get("stall") or road.get("loss", 0) >= 1
    if after.get("error") and not before.get("error") and not cut:
        why = f"{after['url']}: {road['error']}" if road.get("error") else after["error"]
        yield f"backend: no connection, {why}"
        yield (
            "backend: the station works off-line and keeps trying; is the central system running, and is the address "
            "right (--backend, or [backend] url of the station file)?"
        )


def _describe_evse(before: Json, after: Json) -> Iterator[str]:
    reported, reported_before = after.get("reported") or {}, before.get("reported") or {}
    if reported and reported != reported_before:
        error = reported.get("error")
        yield str(reported.get("status")) + (f", {error}" if error and error != "NoError" else "")
    session, session_before = after.get("session") or {}, before.get("session") or {}
    if session_before and session_before.get("id") != session.get("id"):
        yield from _describe_session_end(after.get("last_session") or {}, session_before["id"])
    if session and session.get("id") != session_before.get("id"):
        yield "session started"


def _describe_session_end(last: Json, session: str) -> Iterator[str]:
    if last.get("id") != session:  # the agent went away before it reported how much it was
        yield "session ended"
        return
    cents = last.get("cost_cents") if last.get("cost_final") else None
    yield f"session ended, {last['energy_wh'] / 1000:.3f} kWh" + (f", {cents / 100:.2f}" if cents is not None else "")
