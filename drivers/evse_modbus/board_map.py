"""A board as data: reads and checks ``boards/<name>.toml``. ``boards/charx_sec.toml`` shows and explains every key."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.kinds import Fault, Pilot

PICTURE = ("plugged_s", "errors", "inputs", "offered_a", "cable_a", "released", "locked")


class MapError(Exception):
    """What is wrong with a map, for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Code:
    """What a state text of the board means. ``power``: the board closes its contactor in this state."""

    pilot: Pilot
    pwm: bool
    power: bool


@dataclass(frozen=True, slots=True)
class Place:
    """``registers`` at ``at``, most significant word first, as an unsigned number."""

    at: int
    registers: int = 1


@dataclass(frozen=True, slots=True)
class Switch:
    at: int
    on: int
    off: int


@dataclass(frozen=True, slots=True)
class LimitRegister:
    """Amperes; ``pause`` offers none. The board takes ``least`` to ``most``."""

    at: int
    pause: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Unlock:
    """Writing ``on`` opens the lock; its failure shows within ``settle_s``, its success within ``within_s``."""

    at: int
    on: int
    settle_s: float
    within_s: float


@dataclass(frozen=True, slots=True)
class Watchdog:
    """Fallback amperes (``stop`` = none; ``least`` if the board refuses that) and after how many seconds."""

    fallback_at: int
    stop: int
    least: int
    seconds_at: int


@dataclass(frozen=True, slots=True)
class TraitRegisters:
    address: int
    count: int
    tethered: tuple[int, int] | None
    max_a: int | None
    min_a: int | None


@dataclass(frozen=True, slots=True)
class BoardMap:
    """All addresses are those of a charging point; ``stride`` x point is added on the wire."""

    name: str
    vendor: str
    model: str
    stride: int
    baud: int
    parity: str
    write_function: int
    poll_function: int
    poll_address: int
    poll_count: int
    state_at: int
    codes: Mapping[str, Code]
    picture: Mapping[str, Place]
    release: Switch
    limit: LimitRegister
    service: Switch | None
    unlock: Unlock | None
    hold: Switch | None
    watchdog: Watchdog
    traits: TraitRegisters | None
    errors: Mapping[int, Fault]
    lock_doubtful_bits: frozenset[int]
    lock_failed_bits: frozenset[int]


def find(name: str, folders: Sequence[Path]) -> BoardMap:
    """The first ``boards/<name>.toml`` of the folders. Raises ``MapError``."""
    for folder in folders:
        path = folder / "boards" / f"{name}.toml"
        if path.is_file():
            return load(path)
    known = sorted({p.stem for f in folders for p in (f / "boards").glob("*.toml")})
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    raise MapError(f"board map {name!r} not found in {', '.join(str(f / 'boards') for f in folders)}; {hint}")


def load(path: Path) -> BoardMap:
    """Read and check one map. Raises ``MapError``."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
        found = _build(raw, path.stem)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise MapError(f"{path}: {e}") from e
    except KeyError as e:
        raise MapError(f"{path}: {e.args[0]} is missing") from e
    except (TypeError, ValueError) as e:
        raise MapError(f"{path}: {e}") from e
    _judge(found, path)
    return found


def _build(raw: dict[str, Any], name: str) -> BoardMap:
    line, poll, control, lock = raw.get("line", {}), raw["poll"], raw["control"], raw.get("lock", {})
    return BoardMap(
        name=name,
        vendor=raw["vendor"],
        model=raw["model"],
        stride=raw.get("stride", 0),
        baud=line.get("baud", 9600),
        parity=line.get("parity", "N"),
        write_function=line.get("write_function", 16),
        poll_function=poll["function"],
        poll_address=poll["address"],
        poll_count=poll["count"],
        state_at=raw["state"]["at"],
        codes={k: Code(Pilot(c["pilot"]), c["pwm"], c.get("power", False)) for k, c in raw["state"]["codes"].items()},
        picture={k: Place(**v) for k, v in raw["picture"].items()},
        release=Switch(**control["release"]),
        limit=LimitRegister(**control["limit"]),
        service=Switch(**control["service"]) if "service" in control else None,
        unlock=Unlock(**control["unlock"]) if "unlock" in control else None,
        hold=Switch(**control["hold"]) if "hold" in control else None,
        watchdog=Watchdog(**control["watchdog"]),
        traits=_traits(raw["traits"]) if "traits" in raw else None,
        errors={int(bit): Fault(fault) for bit, fault in raw.get("errors", {}).items()},
        lock_doubtful_bits=frozenset(lock.get("doubtful_bits", ())),
        lock_failed_bits=frozenset(lock.get("failed_bits", ())),
    )


def _traits(raw: dict[str, Any]) -> TraitRegisters:
    tethered = raw.get("tethered")
    pair = (tethered["at"], tethered["value"]) if tethered else None
    return TraitRegisters(raw["address"], raw["count"], pair, raw.get("max_a"), raw.get("min_a"))


def _judge(found: BoardMap, path: Path) -> None:
    if unknown := set(found.picture) - set(PICTURE):
        raise MapError(f"{path}: picture: unknown {', '.join(sorted(unknown))}; known: {', '.join(PICTURE)}")
    if "released" not in found.picture:
        raise MapError(f"{path}: picture.released is missing: the agent must see whether release is withdrawn")
    end = found.poll_address + found.poll_count
    places = [(n, p.at, p.at + p.registers) for n, p in found.picture.items()]
    for name, first, after in [*places, ("state", found.state_at, found.state_at + 1)]:
        if first < found.poll_address or after > end:
            raise MapError(f"{path}: {name} at {first} lies outside of the poll block")
