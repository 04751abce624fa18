"""What a fleet is to be: how many stations, of which versions, with which profile, at which backend."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent import __version__
from agent.fleet.profile_file import FleetProfile
from agent.model.fastclass import frozen, replace
from agent.model.types import Token


@frozen
class FleetPlan:
    """``first``: the number of the first station; a fleet on several machines is a plan for each of them.
    ``versions``: shares by version. ``station_file``: what all stations have; None: the built-in station."""

    count: int
    url: str
    versions: Mapping[str, float]
    profile: FleetProfile
    cards: tuple[Token, ...]
    first: int = 1
    prefix: str = "FLEET"
    seed: int = 1
    name: str = ""
    """Of the profile."""
    station_file: Path | None = None
    store_folder: Path | None = None
    """Where journals are; None: nothing outlives the process."""
    settle_s: float = 60.0
    """Real seconds for the end: sessions end, queues empty."""
    least_wait_s: float = 15.0
    """Real seconds that a driver waits for energy at least."""
    accept_within_s: float = 120.0
    """Real seconds, after the last station was switched on, until all must have been accepted."""

    def describe_plan(self) -> dict[str, Any]:
        """Return the plan for the report."""
        total = sum(self.versions.values())
        shares = ", ".join(f"OCPP {v}: {100 * share / total:.0f} %" for v, share in self.versions.items())
        return {
            "backend": self.url, "profile": self.name, "about": self.profile.about, "versions": shares,
            "rate": self.profile.rate, "duration_s": self.profile.duration_s, "seed": self.seed, "program": __version__,
        }  # fmt: skip

    def station_ids(self) -> list[str]:
        return [f"{self.prefix}-{number:05d}" for number in range(self.first, self.first + self.count)]

    def versions_of_stations(self) -> list[str]:
        """Return the version of each station: the shares are kept as exactly as the count allows, in an order that
        mixes them."""
        total = sum(self.versions.values())
        given = dict.fromkeys(self.versions, 0)
        chosen: list[str] = []
        for number in range(1, self.count + 1):
            owed = {v: share / total * number - given[v] for v, share in self.versions.items()}
            version = max(owed, key=lambda v: owed[v])
            given[version] += 1
            chosen.append(version)
        return chosen

    def random_source(self) -> random.Random:
        """Return the source of all that is drawn at random. Each part of a fleet has its own."""
        return random.Random(f"{self.seed}/{self.first}")

    def split_plan(self, parts: int) -> Iterator[FleetPlan]:
        """Yield a plan for each part of the fleet. Together they switch on as many stations per second as the whole
        would."""
        done = 0
        for part in range(parts):
            count = (self.count - done) // (parts - part)
            if count:
                profile = replace(self.profile, ramp_per_s=self.profile.ramp_per_s * count / self.count)
                yield replace(self, first=self.first + done, count=count, profile=profile)
            done += count
