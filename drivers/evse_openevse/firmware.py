"""Check that a firmware is fit for public use. A stock one charges any vehicle, without being asked."""

from __future__ import annotations

from dataclasses import dataclass

from agent.ports import Broken
from drivers.evse_openevse.frames import parse_numbers
from drivers.evse_openevse.line import RapiLine

PP_READ, BOOT_LOCK_OFF = 0x0040, 0x2000
"""Bits of the settings (``$GE``)."""
CHECKS_OFF = {
    0x0002: "the diode check",
    0x0004: "the check for vehicles that need ventilation",
    0x0008: "the check of protective earth",
    0x0010: "the check for a stuck relay",
    0x0200: "the self test of the residual current device",
    0x0400: "the temperature monitoring",
    0x4000: "the over-current check",
}


@dataclass(frozen=True, slots=True)
class Found:
    """``most_a``: greatest current that is configured. ``boot_unlocked`` False: not while a fault is there."""

    most_a: int
    locks: bool
    reads_cable: bool
    boot_unlocked: bool


async def check_firmware(line: RapiLine, socket: bool) -> Found:
    """Lock the board and find out what it is. Raises ``Broken`` for a firmware that is not fit."""
    if (
        not (await line.send_command("S4 1", urgent=True, no=True))[0]
        or not (await line.send_command("G4", no=True))[0]
    ):
        raise Broken(f"{line.name}: the firmware has no AUTH_LOCK: it would charge any vehicle; build it with "
                     "AUTH_LOCK=1")  # fmt: skip
    _, words = await line.send_command("GE")
    _, settings = parse_numbers(words, (10, 16))
    _check_settings(line.name, settings, socket)
    if not (await line.send_command("GY", no=True))[0]:
        raise Broken(f"{line.name}: the firmware has no HEARTBEAT_SUPERVISION: it would not notice our silence")
    locks = (await line.send_command("G5", no=True))[0]
    if socket and not locks:
        raise Broken(f"{line.name}: a socket needs a lock; build the firmware with MENNEKES_LOCK")
    _, words = await line.send_command("GC")
    _, greatest_a, _, configured_a = parse_numbers(words, (10, 10, 10, 10))
    reads_cable = socket and bool(settings & PP_READ)
    return Found(min(greatest_a, configured_a), locks, reads_cable, await clear_boot_lock(line))


def _check_settings(name: str, settings: int, socket: bool) -> None:
    off = [what for bit, what in CHECKS_OFF.items() if settings & bit]
    if off:
        raise Broken(f"{name}: switched off: {', '.join(off)}; switch it on ($FF) and restart the board")
    if settings & BOOT_LOCK_OFF:
        raise Broken(f"{name}: its boot lock is switched off; switch it on ($FF L 1)")
    if socket and not settings & PP_READ:
        raise Broken(f"{name}: it does not read the cable's rating; build it with PP_AUTO_AMPACITY and switch it on "
                     "($FF P 1), or set outlet = \"tethered\"")  # fmt: skip


async def clear_boot_lock(line: RapiLine) -> bool:
    """Clear the boot lock. Return False if the board stays locked because a fault is there. Raises ``Broken``: the
    firmware has no such lock."""
    ok, words = await line.send_command("SB", no=True)
    if not ok:
        raise Broken(f"{line.name}: the firmware has no BOOTLOCK: after a restart it would charge any vehicle")
    return words[:1] != ("1",)
