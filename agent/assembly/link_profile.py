"""The link profile of the station file: first settings, the way connections are made, and the data plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agent.domain.variables import VARIABLES, Settings
from agent.model.fastclass import replace
from agent.ocpp.transport.timeouts import Timeouts
from agent.ocpp.transport.transport import WireOptions
from agent.station_file.settings import StationFile

if TYPE_CHECKING:
    from agent.domain.traffic import DataPlan
    from agent.station_file.link_profile import LinkProfile

MEGABYTE = 1_000_000
SILENCE_S = 65.0
"""Silence over a bearer that is not metered is found within this time. A look over another one takes 15 s, and a
connection some more: a network that swallows everything is left within 90 s."""


def link_profile(file: StationFile) -> LinkProfile | None:
    """Return the profile of the file; None: the defaults of the program."""
    if not (file.link.profile or file.bearers):
        return None
    from agent.station_file.link_profile import find_link_profile

    return find_link_profile(file)


def profile_settings(file: StationFile) -> Mapping[str, int]:
    """Return the first values that the profile gives to settings."""
    profile = link_profile(file)
    return profile.settings if profile is not None else {}


def wire_conditions(file: StationFile) -> dict[str, Any]:
    """Return ``wire`` and ``timeouts`` for the links."""
    profile, wire, timeouts = link_profile(file), WireOptions(), Timeouts()
    if profile is not None:
        names = ("compress", "one_key_share", "keepalive_idle_s", "saves_pings", "user_timeout_s")
        wire = WireOptions(**{name: getattr(profile, name) for name in names})
        timeouts = replace(timeouts, pong_s=profile.pong_s)
    if file.link.compression is not None:
        wire = replace(wire, compress=file.link.compression)
    return {"wire": wire, "timeouts": timeouts}


def unmetered_kinds(file: StationFile) -> tuple[str, ...]:
    """Return the kinds of the file's bearers whose bytes cost nothing."""
    return tuple(sorted({keys.kind for keys in file.bearers.values()} - {*file.link.metered}))


def unmetered_ping_s(file: StationFile, settings: Settings) -> float | None:
    """Return after how much silence a ping goes over a bearer that is not metered. None: there is no such bearer, or
    the station file or a backend has set another interval than the profile: that one is used."""
    usual = profile_settings(file).get("ping_interval_s", VARIABLES["ping_interval_s"].default)
    if settings["ping_interval_s"] != usual or not unmetered_kinds(file):
        return None
    pong_s: float = wire_conditions(file)["timeouts"].pong_s
    return SILENCE_S - pong_s


def data_plan(file: StationFile) -> DataPlan | None:
    """Return the monthly limits of the file. They are about all traffic of a station without bearers."""
    soft, hard = file.link.monthly_mb_soft, file.link.monthly_mb_hard
    if soft is None and hard is None:
        return None
    from agent.domain.traffic import DataPlan
    from agent.model.traffic import DEFAULT_BEARER

    metered = frozenset(file.link.metered) if file.bearers else frozenset({DEFAULT_BEARER})
    return DataPlan(metered, *(None if mb is None else round(mb * MEGABYTE) for mb in (soft, hard)))


def explain_profile(file: StationFile, settings: Settings) -> Iterator[str]:
    """Yield what the profile sets and what the file sets instead, for a technician. ``settings``: the initial ones."""
    profile = link_profile(file)
    if profile is not None:
        chosen = "[link] profile" if file.link.profile else "a bearer is gprs"
        yield f"link profile {profile.name} ({chosen}):"
        for name, value in profile.settings.items():
            present = settings.int_value(name)
            yield f"  {name} = {present}" + (f" ([settings]; the profile has {value})" if present != value else "")
        if ping_s := unmetered_ping_s(file, settings):
            yield f"  over {' and '.join(unmetered_kinds(file))} a ping goes after {ping_s:g} s of silence"
        compress = wire_conditions(file)["wire"].compress
        instead = file.link.compression not in (None, profile.compress)
        yield f"  compression is {'offered' if compress else 'not offered'}" + (" ([link] compression)" * instead)
    plan = data_plan(file)
    if plan is not None:
        limits = [(n, b) for n, b in (("soft", plan.soft_bytes), ("hard", plan.hard_bytes)) if b is not None]
        words = ", ".join(f"{name} limit {limit / MEGABYTE:g} MB" for name, limit in limits)
        yield f"data budget of a month over {', '.join(sorted(plan.metered)) or 'no bearer'}: {words}"
