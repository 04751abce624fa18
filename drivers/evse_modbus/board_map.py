"""A board as data: reads and checks ``boards/<name>.toml``. The maps that come along show and explain every key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.model.board import Pilot
from agent.model.fastclass import frozen
from agent.model.types import Fault
from drivers.device_maps import MapError, find_map_file

TABLES = {
    *("vendor", "model", "unproven", "stride", "line", "poll", "state", "picture", "control", "setup", "memory"),
    *("traits", "errors", "lock"),
}
PICTURE = ("plugged_s", "errors", "inputs", "offered_a", "cable_a", "released", "locked", "contactor")
STATE_WORDS = ("text", "letter", "number")
"""How a state register is written: two characters, one in the low byte, or a number."""
HOLDING = 3
"""The function that reads what can also be written."""
BY_LIMIT = "limit"
"""In place of a switch: the limit itself gives and withdraws release."""


@frozen
class Block:
    """So many registers or bits, read in one transfer."""

    function: int
    address: int
    count: int

    def covers_range(self, function: int, at: int, registers: int) -> bool:
        return function == self.function and self.address <= at and at + registers <= self.address + self.count


@frozen
class Code:
    """What a state word of the board means. ``pwm`` None: the word does not show whether current is offered.
    ``power``: the board closes its contactor in this state, while released. ``fault``: what the word reports beside."""

    pilot: Pilot
    pwm: bool | None
    power: bool
    fault: Fault | None


@frozen
class Place:
    """``registers`` at ``at``, read with ``function``, most significant word first, as an unsigned number; so many
    to the unit (``per`` = 10: tenths). ``absent``: a value that means nothing."""

    at: int
    function: int
    registers: int = 1
    per: int = 1
    absent: int | None = None


@frozen
class Switch:
    """A register, or with ``coil`` a single bit."""

    at: int
    on: int
    off: int
    coil: bool = False


@frozen
class LimitRegister:
    """Amperes, ``per_a`` to the ampere. The board takes ``least`` to ``most``; ``pause`` offers none, and a board
    that has no such value (None) pauses by its release."""

    at: int
    least: int
    most: int
    pause: int | None = None
    per_a: int = 1


@frozen
class Unlock:
    """Writing ``on`` opens the lock; its failure shows within ``settle_s``, its success within ``within_s``."""

    at: int
    on: int
    settle_s: float
    within_s: float


@frozen
class Watchdog:
    """Fallback amperes (``stop`` = none; ``least`` if the board refuses that), ``per_a`` to the ampere, and after how
    many seconds, ``per_s`` to the second."""

    fallback_at: int
    stop: int
    least: int
    seconds_at: int
    per_a: int = 1
    per_s: int = 1


@frozen
class Setting:
    """What the board must be set to, so that the other registers mean what the map has. ``hand``: how a person sets
    it; the agent only looks."""

    at: int
    value: int
    hand: str = ""


@frozen
class TraitRegisters:
    address: int
    count: int
    tethered: tuple[int, int] | None
    max_a: int | None
    min_a: int | None


@frozen
class LineFacts:
    """How the board is reached, unless the station file has another way. ``write_function`` holds on a line of
    ``kind``."""

    kind: str = "tcp"
    port: int = 502
    baud: int = 9600
    parity: str = "N"
    unit: int = 1
    gap_s: float = 0.0
    write_function: int = 16


@frozen
class BoardMap:
    """All addresses are those of a charging point; ``stride`` x point is added on the wire. ``release`` None: the
    limit gives and withdraws it. ``kept``: registers in a memory that wears out."""

    name: str
    vendor: str
    model: str
    unproven: tuple[str, ...]
    stride: int
    line: LineFacts
    blocks: tuple[Block, ...]
    state: Place
    state_word: str
    codes: Mapping[str, Code]
    picture: Mapping[str, Place]
    release: Switch | None
    limit: LimitRegister
    service: Switch | None
    unlock: Unlock | None
    hold: Switch | None
    watchdog: Watchdog | None
    setup: tuple[Setting, ...]
    kept: frozenset[int]
    traits: TraitRegisters | None
    errors: Mapping[int, Fault]
    lock_doubtful_bits: frozenset[int]
    lock_failed_bits: frozenset[int]

    @property
    def tells_welding(self) -> bool:
        """Something on the board looks at the contactor: its state can be read, or a welded one is an error."""
        return "contactor" in self.picture or Fault.CONTACTOR_WELDED in self.errors.values()


def find_board_map(name: str, folders: Sequence[Path]) -> BoardMap:
    """Read the first ``boards/<name>.toml`` of the folders. Raises ``MapError``."""
    return load_board_map(find_map_file("board", name, folders))


def load_board_map(path: Path) -> BoardMap:
    """Read and check one map. Raises ``MapError``."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
        if unknown := set(raw) - TABLES:
            raise ValueError(f"unknown {', '.join(sorted(unknown))}; known: {', '.join(sorted(TABLES))}")
        found = _build_map(raw, path.stem)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise MapError(f"{path}: {e}") from e
    except KeyError as e:
        raise MapError(f"{path}: {e.args[0]} is missing") from e
    except (TypeError, ValueError) as e:
        raise MapError(f"{path}: {e}") from e
    _check_map(found, path)
    return found


def _build_map(raw: dict[str, Any], name: str) -> BoardMap:
    poll, control, lock, state = raw["poll"], raw["control"], raw.get("lock", {}), raw["state"]
    blocks = tuple(Block(**b) for b in (poll if isinstance(poll, list) else [poll]))
    return BoardMap(
        name=name,
        vendor=raw["vendor"],
        model=raw["model"],
        unproven=tuple(raw.get("unproven", ())),
        stride=raw.get("stride", 0),
        line=LineFacts(**raw.get("line", {})),
        blocks=blocks,
        state=Place(state["at"], state.get("function", blocks[0].function)),
        state_word=state.get("word", "text"),
        codes={str(k): _parse_state_code(c) for k, c in state["codes"].items()},
        picture={k: Place(**{"function": blocks[0].function, **v}) for k, v in raw["picture"].items()},
        release=None if control["release"] == BY_LIMIT else Switch(**control["release"]),
        limit=LimitRegister(**control["limit"]),
        service=_parse_switch(control, "service"),
        unlock=Unlock(**control["unlock"]) if "unlock" in control else None,
        hold=_parse_switch(control, "hold"),
        watchdog=Watchdog(**control["watchdog"]) if control["watchdog"] else None,
        setup=tuple(Setting(**s) for s in raw.get("setup", ())),
        kept=frozenset(raw.get("memory", {}).get("kept", ())),
        traits=_parse_trait_registers(raw["traits"]) if "traits" in raw else None,
        errors={int(bit): Fault(fault) for bit, fault in raw.get("errors", {}).items()},
        lock_doubtful_bits=frozenset(lock.get("doubtful_bits", ())),
        lock_failed_bits=frozenset(lock.get("failed_bits", ())),
    )


def _parse_switch(control: Mapping[str, Any], name: str) -> Switch | None:
    return Switch(**control[name]) if name in control else None


def _parse_state_code(raw: Mapping[str, Any]) -> Code:
    fault = Fault(raw["fault"]) if "fault" in raw else None
    return Code(Pilot(raw["pilot"]), raw.get("pwm"), raw.get("power", False), fault)


def _parse_trait_registers(raw: dict[str, Any]) -> TraitRegisters:
    tethered = raw.get("tethered")
    pair = (tethered["at"], tethered["value"]) if tethered else None
    return TraitRegisters(raw["address"], raw["count"], pair, raw.get("max_a"), raw.get("min_a"))


def _check_map(found: BoardMap, path: Path) -> None:
    if unknown := set(found.picture) - set(PICTURE):
        raise MapError(f"{path}: picture: unknown {', '.join(sorted(unknown))}; known: {', '.join(PICTURE)}")
    if found.state_word not in STATE_WORDS:
        raise MapError(f"{path}: state.word: must be one of {', '.join(STATE_WORDS)}, is {found.state_word!r}")
    if "released" not in found.picture:
        raise MapError(f"{path}: picture.released is missing: the agent must see whether release is withdrawn")
    if found.release is None and found.limit.pause is None:
        raise MapError(f"{path}: limit.pause is missing: release is the limit, and nothing would withdraw it")
    orders = {s.at for s in (found.release, found.service, found.hold) if s is not None and not s.coil}
    if worn := found.kept & (orders | {found.limit.at}):
        raise MapError(
            f"{path}: memory.kept: {min(worn)} is written all day and would wear out; no board for this agent"
        )
    for name, p in {**found.picture, "state": found.state}.items():
        if not any(b.covers_range(p.function, p.at, p.registers) for b in found.blocks):
            raise MapError(f"{path}: {name} at {p.at} lies outside of the poll blocks")
