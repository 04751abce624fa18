"""Settings that a board needs once, before it may release anything: its own, and what to do without the agent."""

from __future__ import annotations

import logging
from dataclasses import replace

from agent.model.board import EvseTraits
from agent.ports import Broken, Refused
from drivers.bus import Priority
from drivers.evse_modbus.board_map import HOLDING, LimitRegister, Setting, TraitRegisters, Watchdog
from drivers.evse_modbus.decoded_state import Poll
from drivers.evse_modbus.registers import BoardRegisters

log = logging.getLogger(__name__)

NO_WATCHDOG = (
    "this board has no watchdog: when the agent or its computer dies while a vehicle charges, the board goes on until "
    "the agent runs again"
)


async def apply_setup(board: BoardRegisters) -> None:
    """Write or check the setup of the map. Raises ``Refused`` if the board does not take it, ``Broken`` when a person
    has to set it."""
    for setting in board.map.setup:
        if setting.hand:
            await _verify_hand_setting(board, setting)
        else:
            await write_if_different(board, setting.at, setting.value)


async def _verify_hand_setting(board: BoardRegisters, setting: Setting) -> None:
    try:
        found = await board.read_value(setting.at)
    except Refused as e:
        log.warning("%s: does not report whether it is set up: %s (%s)", board.name, setting.hand, e)
        return
    if found != setting.value:
        raise Broken(f"register {setting.at} has {found} instead of {setting.value}: {setting.hand}")


async def write_if_different(board: BoardRegisters, at: int, value: int) -> None:
    """Write a register only if its value differs (its memory may wear out), and read it back.
    Raises ``Refused``."""
    if await board.read_value(at) == value:
        return
    await board.write_value(at, value)
    if (kept := await board.read_value(at)) != value:
        raise Refused(f"register {at} was set to {value}, but the board has {kept}")


async def arm_watchdog(board: BoardRegisters, watchdog_s: float) -> bool:
    """Set what the board does when the agent falls silent. Return False if it goes on with a small current, or with
    the last limit. Raises ``Refused`` when it takes neither of the two, or not the time."""
    dog = board.map.watchdog
    if dog is None:
        log.warning("%s: %s", board.name, NO_WATCHDOG)
        return False
    stops = await _set_fallback_current(board, dog)
    await write_if_different(board, dog.seconds_at, round(watchdog_s * dog.per_s))
    return stops


async def _set_fallback_current(board: BoardRegisters, dog: Watchdog) -> bool:
    try:
        await write_if_different(board, dog.fallback_at, dog.stop * dog.per_a)
        return True
    except Refused as e:
        await write_if_different(board, dog.fallback_at, dog.least * dog.per_a)
        log.warning(
            "%s: does not stop when the agent falls silent, it goes on with %d A (%s)", board.name, dog.least, e
        )
        return False


def watchdog_registers(board: BoardRegisters, poll: Poll) -> tuple[int, ...]:
    """Return the watchdog's registers from the poll; empty where the poll does not cover them."""
    dog = board.map.watchdog
    places = (dog.fallback_at, dog.seconds_at) if dog is not None else ()
    return tuple(poll.words[HOLDING, at] for at in places if (HOLDING, at) in poll.words)


async def read_traits(board: BoardRegisters, traits: EvseTraits) -> EvseTraits:
    place = board.map.traits
    if place is None:
        return traits
    try:
        words = await board.read_registers(HOLDING, place.address, place.count, Priority.IDENTITY)
    except Refused as e:
        log.info("%s: does not report its traits: %s", board.name, e)
        return traits
    if place.tethered is not None:
        at, value = place.tethered
        if (words[at - place.address] == value) != traits.tethered:
            log.warning("%s: outlet in the station file and in the board's settings differ", board.name)
    return _traits_within_limits(traits, place, words, board.map.limit)


def _traits_within_limits(
    traits: EvseTraits, place: TraitRegisters, words: list[int], limit: LimitRegister
) -> EvseTraits:
    max_a = words[place.max_a - place.address] if place.max_a is not None else 0
    min_a = words[place.min_a - place.address] if place.min_a is not None else 0
    return replace(
        traits,
        max_a=min(traits.max_a, float(max_a)) if limit.least <= max_a <= limit.most else traits.max_a,
        min_a=float(min_a) if limit.least <= min_a <= traits.max_a else traits.min_a,
    )
