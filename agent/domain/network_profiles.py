"""What one link may dial with, in which order, and whose turn it is (decision 12). ``blocks/backend_connection.py``
feeds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from agent.domain.backend_connection import (
    ANY_BEARER,
    BackendConfig,
    BearerDemand,
    ConnectionProfile,
    NetworkProfile,
)
from agent.model.fastclass import mutable, replace


@mutable
class NetworkProfiles:
    """``slots`` are in force, ``set`` will be after the next start; ``order``: of the slots, as it is in force.
    ``worked``: the last data that a WebSocket was agreed with, while ``worked_order`` was in force. ``tried``: what is
    wanted has failed since it last changed. ``tables``: check sums of the ``[[bearer]]`` tables of the station file."""

    given: BackendConfig
    tables: tuple[str, ...] = ()
    slots: dict[int, NetworkProfile] = field(default_factory=dict)
    set: dict[int, NetworkProfile] = field(default_factory=dict)
    order: tuple[int, ...] = (1,)
    key: str = field(default="", repr=False)
    certificate: str = ""
    worked: ConnectionProfile | None = None
    worked_order: tuple[int, ...] = (1,)
    using: ConnectionProfile | None = None
    tries: int = 0
    tried: bool = False

    @property
    def minimum_security_profile(self) -> int:
        """Return the lowest security profile that may be dialled."""
        return self.worked.profile if self.worked is not None else 0

    @property
    def profile_in_turn(self) -> ConnectionProfile:
        """Return the connection profile whose turn it is."""
        return self.using or self.profiles_in_turn()[0]

    def is_known_address(self, access: ConnectionProfile) -> bool:
        """Return whether the last connection was at this address, or there was none yet."""
        return self.worked is None or access.url == self.worked.url

    def wanted_profile(self, slot: int) -> ConnectionProfile:
        data = self.slots[slot]
        return ConnectionProfile(slot, data.url, data.profile, self.key, self.certificate, data.bearer)

    def profiles_in_turn(self) -> list[ConnectionProfile]:
        """Return all profiles that may be dialled, in turn: the wanted ones, then the one that
        worked. Never empty."""
        wanted = [
            self.wanted_profile(n)
            for n in self.order
            if n in self.slots and self.slots[n].profile >= self.minimum_security_profile
        ]
        if self.worked is not None and not any(self.worked.dials_like(a) for a in wanted):
            wanted.append(self.worked)
        return wanted or [self.station_file_profile]

    @property
    def station_file_profile(self) -> ConnectionProfile:
        """Return the profile of the station file, over any bearer. Its security profile is never lower than allowed."""
        profile = max(self.given.profile, self.minimum_security_profile)
        return ConnectionProfile(profile=profile, key=self.key, certificate=self.certificate)

    def restart_attempts(self, at_once: bool = True) -> None:
        """Restart the attempts, because key, certificate or profile of what is dialled has changed."""
        if at_once:
            slot = self.profile_in_turn.slot
            self.using = self.wanted_profile(slot) if slot in self.slots else self.profiles_in_turn()[0]
        self.tries, self.tried = 0, False

    def count_failed_attempt(self, access: ConnectionProfile, attempts: int, is_bearer_lost: bool = False) -> None:
        """Count a failed attempt; after ``attempts`` of them the next profile has its turn.

        ``is_bearer_lost``: the bearer that the profile demands needs a person, and another one is up. Then the station
        file's profile is the last in turn, if all others demand a bearer.
        """
        if not access.dials_like(self.profile_in_turn):
            return  # of before the change
        self.tried = self.tried or not access.dials_like(self.worked)
        self.tries += 1
        if self.tries < attempts:
            return
        row = self.profiles_in_turn()
        if is_bearer_lost and all(a.bearer != ANY_BEARER for a in row):
            row.append(self.station_file_profile)
        at = next((n for n, a in enumerate(row) if a.dials_like(access)), -1)
        self.using, self.tries = row[(at + 1) % len(row)], 0

    def has_fallen_back(self, access: ConnectionProfile) -> bool:
        """Return whether this profile worked before, and the wanted one has failed."""
        return self.tried and not self._is_wanted(access) and access.dials_like(self.worked)

    def _is_wanted(self, access: ConnectionProfile) -> bool:
        return any(access.dials_like(self.wanted_profile(n)) for n in self.order if n in self.slots)

    def restore_proven_profile(self, access: ConnectionProfile) -> None:
        """Make the profile that worked the wanted one again."""
        self.order, self.key, self.certificate = self.worked_order, access.key, access.certificate
        self.slots[access.slot] = self.set[access.slot] = NetworkProfile(access.url, access.profile, access.bearer)

    def confirm_connection(self, access: ConnectionProfile) -> None:
        """Note that a connection was made with this profile; no lower security profile is wanted
        any more. One that was made with the station file's profile as the last resort proves nothing about the others:
        it is used while it lasts."""
        if self._is_last_resort(access):
            self.using, self.tries, self.tried = access, 0, False
            return
        for slots in (self.slots, self.set):
            for n in [n for n, s in slots.items() if s.profile < access.profile]:
                del slots[n]
        self.order = tuple(n for n in self.order if n in self.slots) or (access.slot,)
        self.slots.setdefault(access.slot, NetworkProfile(access.url, access.profile, access.bearer))
        self.worked, self.worked_order = access, self.order
        self.tries, self.tried = 0, False
        self.using = access if self._is_wanted(access) else self.profiles_in_turn()[0]

    def _is_last_resort(self, access: ConnectionProfile) -> bool:
        is_in_turn = any(access.dials_like(profile) for profile in self.profiles_in_turn())
        return self.worked is not None and not is_in_turn and access.dials_like(self.station_file_profile)

    def forget_profiles_with_bearer(self) -> None:
        """Forget the profiles that name a bearer. Key, certificate and other profiles stay."""
        self.set = {n: slot for n, slot in self.set.items() if slot.bearer == ANY_BEARER}
        self.set.setdefault(1, NetworkProfile("", self.station_file_profile.profile))
        self.slots = dict(self.set)
        if self.worked is not None and self.worked.bearer != ANY_BEARER:
            self.worked, self.worked_order = replace(self.worked, slot=1, url="", bearer=ANY_BEARER), (1,)

    # --- on disk -------------------------------------------------------------------------------------------------

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist("access", link, ...)``."""
        return {
            "file": [self.given.url, self.given.profile],
            "slots": {str(n): [s.url, s.profile] for n, s in self.set.items()},
            "certificate": self.certificate,
            "worked": None if self.worked is None else _profile_to_record(self.worked),
            "worked_order": list(self.worked_order),
            **({"tables": list(self.tables)} if self.tables else {}),
            **({"bearers": bearers} if (bearers := self._bearer_records()) else {}),
        }

    def _bearer_records(self) -> dict[str, Any]:
        """Return the demands of the slots, and of the profile that worked (``worked``), as far as they have one."""
        demands = {str(n): slot.bearer for n, slot in self.set.items()}
        if self.worked is not None:
            demands["worked"] = self.worked.bearer
        return {name: demand.to_record() for name, demand in demands.items() if demand != ANY_BEARER}

    def load_record(self, record: Mapping[str, Any]) -> None:
        """Take over what ``to_record`` made. Raises ``KeyError``, ``TypeError``, ``ValueError``,
        ``AttributeError``, ``OverflowError``."""
        demands = {name: BearerDemand.of_record(r) for name, r in record.get("bearers", {}).items()}
        slots = {
            int(n): NetworkProfile(str(url), int(profile), demands.get(n, ANY_BEARER))
            for n, (url, profile) in record["slots"].items()
        }
        worked = record["worked"] and _profile_from_record(record["worked"], demands.get("worked", ANY_BEARER))
        self.worked_order = tuple(int(n) for n in record["worked_order"]) or (1,)
        self.slots, self.set, self.worked = slots, dict(slots), worked
        self.certificate = str(record["certificate"])
        if record.get("tables", list(self.tables)) != list(self.tables):
            self.forget_profiles_with_bearer()


def belongs_to_station_file(record: Mapping[str, Any], given: BackendConfig) -> bool:
    """Return whether the record belongs to this very address and profile of the station file, or
    the file now has what was set over the air. The address may have got TLS with the profile."""
    if record.get("file") == [given.url, given.profile]:
        return True
    match record:
        case {"file": [str(url), int()], "worked": {"slot": 1, "url": "", "profile": profile}}:
            return bool(profile == given.profile and _is_same_or_secured(given.url, url))
    return False


def _is_same_or_secured(url: str, before: str) -> bool:
    """Return whether an address is the one of before, or that one with TLS. Without the TLS that it had it is another
    one: the key that a backend has set is not sent there."""
    scheme, _, rest = url.partition(":")
    scheme_before, _, rest_before = before.partition(":")
    return rest == rest_before and (scheme == scheme_before or scheme.lower() in ("wss", "https"))


def _profile_to_record(access: ConnectionProfile) -> dict[str, Any]:
    return {
        "slot": access.slot,
        "url": access.url,
        "profile": access.profile,
        "key": access.key,
        "certificate": access.certificate,
    }


def _profile_from_record(r: Mapping[str, Any], bearer: BearerDemand) -> ConnectionProfile:
    return ConnectionProfile(
        int(r["slot"]), str(r["url"]), int(r["profile"]), str(r["key"]), str(r["certificate"]), bearer
    )
