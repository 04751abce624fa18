"""The profile of a run: when vehicles come, how long they stay, when the network goes away, what fails.

A profile is a file (``config/fleets``). Its times are seconds of the stations' clocks: with ``rate = 60`` a minute of
theirs lasts a second. It begins when all stations are accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from agent.model.fastclass import frozen
from agent.model.key_rules import Between, Entries, OneLine, OneOf
from agent.model.types import Fault
from agent.station_file.parser import SettingsError, build_table, did_you_mean

Instant: TypeAlias = Annotated[float, Between(0, 604_800, "seconds")]
Share: TypeAlias = Annotated[float, Between(0, 1)]
Range: TypeAlias = Annotated[tuple[Annotated[float, Between(0, 1_000_000)], ...], Entries(2, 2)]
PerHour: TypeAlias = Annotated[float, Between(0, 100_000)]

BOARD_FAULTS = tuple(
    fault.value
    for fault in (
        Fault.EMERGENCY_STOP, Fault.GROUND_FAILURE, Fault.OVER_CURRENT, Fault.LOCK_FAILURE, Fault.PILOT_FAULT,
        Fault.HIGH_TEMPERATURE,
    )
)  # fmt: skip
"""Faults that a board reports, and that end by themselves."""


@frozen
class Peak:
    """``per_hour`` visits of each station from ``from_s`` to ``to_s``, in place of the usual number."""

    from_s: Instant
    to_s: Instant
    per_hour: PerHour


@frozen
class Wave:
    """``share`` of the stations get a vehicle at ``at_s``, spread over ``within_s``: buses that come to a depot."""

    at_s: Instant
    within_s: Instant = 0.0
    share: Share = 1.0


@frozen
class Outage:
    """``share`` of the stations lose their network at ``at_s`` for ``for_s``. A short one of all of them is the restart
    of a back office: they come back as their settings say, in a storm."""

    at_s: Instant
    for_s: Instant
    share: Share = 1.0


@frozen
class Visits:
    """``per_hour``: vehicles of each station; ``stay_s``, ``energy_kwh``: from, to; ``max_a``: what a vehicle can take,
    one of these; ``phases`` likewise."""

    per_hour: PerHour = 1.0
    stay_s: Range = (600.0, 3600.0)
    energy_kwh: Range = (5.0, 40.0)
    max_a: Annotated[tuple[Annotated[float, Between(6, 80, "amperes")], ...], Entries(1, 20)] = (16.0, 32.0)
    phases: Annotated[tuple[Annotated[int, OneOf((1, 3))], ...], Entries(1, 20)] = (3, 3, 1)


@frozen
class FaultRate:
    """``per_hour``: faults of each station; ``for_s``: from, to; ``kinds``: one of these, in the station's words."""

    per_hour: PerHour = 0.0
    for_s: Range = (10.0, 60.0)
    kinds: Annotated[tuple[Annotated[str, OneOf(BOARD_FAULTS)], ...], Entries(1, 50)] = ("GroundFailure",)


@frozen
class FleetProfile:
    """``ramp_per_s``: stations that are switched on per real second. ``versions``: which share speaks which version
    of OCPP; empty: all speak the one of the command line."""

    about: OneLine = ""
    duration_s: Annotated[float, Between(1, 604_800, "seconds")] = 600.0
    rate: Annotated[float, Between(0.1, 1000)] = 1.0
    ramp_per_s: Annotated[float, Between(0.1, 100_000)] = 500.0
    visits: Visits = Visits()
    peak: tuple[Peak, ...] = ()
    wave: tuple[Wave, ...] = ()
    outage: tuple[Outage, ...] = ()
    faults: FaultRate = FaultRate()
    versions: Mapping[str, Any] = field(default_factory=dict)

    def visits_per_hour(self, at_s: float) -> float:
        """Return how many vehicles come to a station per hour at this time."""
        peaks = [peak.per_hour for peak in self.peak if peak.from_s <= at_s < peak.to_s]
        return max(peaks) if peaks else self.visits.per_hour

    @property
    def most_per_hour(self) -> float:
        return max([self.visits.per_hour, *(peak.per_hour for peak in self.peak)])


def parse_profile(raw: Mapping[str, Any], path: Path) -> FleetProfile:
    """Judge the tables of a profile. Raises ``SettingsError`` with every mistake."""
    wrong: list[str] = []
    profile = build_table(FleetProfile, raw, "profile", wrong)
    if not wrong:
        wrong += [f"profile.{problem}" for problem in _profile_problems(profile)]
    if wrong:
        raise SettingsError([f"{path}: {w.removeprefix('profile.')}" for w in wrong])
    return profile


def _profile_problems(profile: FleetProfile) -> Iterator[str]:
    ranges = {
        "visits.stay_s": profile.visits.stay_s,
        "visits.energy_kwh": profile.visits.energy_kwh,
        "faults.for_s": profile.faults.for_s,
    }
    for name, (low, high) in ranges.items():
        if low > high:
            yield f"{name}: the first number must not be greater than the second, are {low:g} and {high:g}"
    for number, peak in enumerate(profile.peak):
        if peak.from_s >= peak.to_s:
            yield f"peak[{number}].to_s: must be after from_s ({peak.from_s:g}), is {peak.to_s:g}"
    for version, share in profile.versions.items():
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share <= 1_000_000:
            yield f"versions.{version}: must be a share greater than 0, is {share!r}"


def load_profile(name: str) -> FleetProfile:
    """Return the profile of this file, or of this name in ``config/fleets``. Raises ``SettingsError``."""
    import tomllib

    path = profile_path(name)
    try:
        return parse_profile(tomllib.loads(path.read_text("utf-8")), path)
    except OSError as e:
        raise SettingsError([f"{path}: cannot be read: {e.strerror or e}"]) from e
    except ValueError as e:
        raise SettingsError([f"{path}: is not valid TOML: {e}"]) from e


def profile_path(name: str) -> Path:
    """Return where a profile is. Raises ``SettingsError`` for a name that there is not."""
    if name.endswith(".toml"):
        return Path(name)
    shipped = shipped_profiles()
    if name not in shipped:
        raise SettingsError([f"--profile: no profile is called {name!r}{did_you_mean(name, shipped, 'there are')}"])
    return shipped[name]


def shipped_profiles() -> dict[str, Path]:
    """Return the profiles that come with the program, by name."""
    import config

    folder = Path(next(iter(config.__path__))) / "fleets"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}
