"""Every driver of ours (a row's name begins with it), the far end that it is verified against, and what must not pass:
far ends with a wrong scale, swapped words, a frozen value, a missing reply. A driver without a row fails
``tests/arch/test_verify_rows.py``."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from unittest import mock

from drivers.sim.board import ChargeController
from drivers.sim.meter import Meter
from drivers.sim.modbus_slave import NoAnswer
from drivers.sim.rest_meters import LemFarEnd
from drivers.sim.world import World
from tests.support.busy_machine import stretched
from tests.support.modem_process import SimulatedModem
from tests.support.network_services import SimulatedServices
from tests.support.rauc_board import RaucBoard, why_no_rauc
from tests.verify import panels

MUTANTS = ("wrong scale", "swapped words", "frozen value", "missing reply")


@dataclass(frozen=True)
class Mutant:
    """``spoil`` makes it of a good far end, before anything is opened; ``caught_by``: the checks that are run."""

    spoil: Callable[[Any], None]
    caught_by: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """``device``: as the report names it; ``tables``: of the simulated station. A mutant that is a text says why there
    is none of this kind."""

    device: str
    mutants: Mapping[str, Mutant | str]
    tables: Mapping[str, Any]
    beside: Callable[[], AbstractAsyncContextManager[Any]] | None = None
    """A far end that the simulated street does not have: its ``tables`` name the device, ``follow(world)`` runs beside
    the world, and it is what ``spoil`` gets."""
    references: Mapping[str, str] = field(default_factory=dict)
    why_not: Callable[[], str] = str
    """Why this machine cannot have the far end; "": it can."""
    speed: float = 1.0
    """Of the street: so much less patience have its hands."""


def wires(world: World) -> Any:
    assert world.devices.far_ends is not None
    return world.devices.far_ends


# --- Modbus: what is behind a slave is exchanged ----------------------------------------------------------------------


class Spoilt:
    """A device whose registers are read or written in another way."""

    def __init__(self, device: Any, read: Any = None, write: Any = None) -> None:
        self.read_registers = read or device.read_registers
        self.write_registers = write or device.write_registers


def behind(world: World, kind: type[Any], make: Callable[[Any], Any]) -> None:
    [slave] = [s for s in wires(world).outlets._slaves if isinstance(s._device, kind)]
    slave._device = make(slave._device)


def mute(*_: Any) -> Any:
    raise NoAnswer


def swapped(device: Any) -> Spoilt:
    def read(function: int, address: int, count: int) -> list[int]:
        words = device.read_registers(function, address, count)
        return [words[i ^ 1] if i ^ 1 < len(words) else words[i] for i in range(len(words))]

    return Spoilt(device, read)


def frozen(device: Any) -> Spoilt:
    known: dict[Any, list[int]] = {}

    def read(function: int, address: int, count: int) -> list[int]:
        return known.setdefault((function, address, count), device.read_registers(function, address, count))

    return Spoilt(device, read)


def deaf(device: Any) -> Spoilt:
    """No order is acknowledged."""
    return Spoilt(device, None, mute)


def asleep(world: World) -> None:
    world.evses[1]._step_watchdog = lambda real_s: None  # type: ignore[method-assign]


def meter_times_ten(meter: Any) -> Any:
    honest = meter._take_sample

    def sample() -> Any:
        s = honest()
        return replace(s, energy_wh=s.energy_wh * 10, voltage_v=tuple(10 * v for v in s.voltage_v))

    meter._take_sample = sample
    return meter


def energy_times_ten(meter: Any) -> Any:
    honest = meter._take_sample
    meter._take_sample = lambda: replace(honest(), energy_wh=honest().energy_wh * 10)
    return meter


def board_times_ten(board: Any) -> Any:
    honest = board._point_registers

    def point(evse: Any) -> dict[int, int]:
        image = honest(evse)
        return image | {a: 10 * image[a] for a in (101, 297)}

    board._point_registers = point
    return board


METER = {
    "driver": "meter_modbus", "line": "tcp", "map": "eastron_sdm630", "timeout_s": 0.4,
}  # fmt: skip
BOARD = {"driver": "evse_modbus", "watchdog_s": 2, "timeout_s": 0.4}

# --- what people touch ------------------------------------------------------------------------------------------------


def reversed_uid(world: World) -> None:
    honest = world.devices.tap_contactless_card
    world.devices.tap_contactless_card = lambda uid, *a, **k: honest(bytes.fromhex(uid)[::-1].hex(), *a, **k)  # type: ignore[method-assign]


def stuck_card(world: World) -> None:
    honest = world.devices.tap_contactless_card
    world.devices.tap_contactless_card = lambda uid, *a, **k: honest(uid, hold_s=600)  # type: ignore[method-assign]


def no_card(world: World) -> None:
    world.devices.tap_contactless_card = lambda *a, **k: None  # type: ignore[method-assign]


def text_of(change: Callable[[str], str]) -> Callable[[World], None]:
    def spoil(world: World) -> None:
        honest = world.devices.tap_serial_token
        world.devices.tap_serial_token = lambda text, *a, **k: honest(change(text))  # type: ignore[method-assign]

    return spoil


def pairs_swapped(text: str) -> str:
    return "".join(text[i : i + 2][::-1] for i in range(0, len(text), 2))


def once(world: World) -> None:
    """The line sends the first card and never another one."""
    honest, tapped = world.devices.tap_serial_token, []

    def tap(text: str, *a: Any, **k: Any) -> None:
        if not tapped:
            tapped.append(text)
            honest(text)

    world.devices.tap_serial_token = tap  # type: ignore[method-assign]


def no_text(world: World) -> None:
    world.devices.tap_serial_token = lambda *a, **k: None  # type: ignore[method-assign]


def wrong_stride(world: World) -> None:
    screen = wires(world).front_panel.screens[1]
    wires(world).front_panel.screens[1] = replace(screen, width=screen.width - 8)


def frozen_panel(world: World) -> None:
    first = world.devices.render_display_png(1)
    world.devices.render_display_png = lambda n: first  # type: ignore[method-assign]


def no_panel(world: World) -> None:
    wires(world).front_panel.screens[1].path.unlink()


def leds_exchanged(world: World) -> None:
    names = world.devices.far_ends.front_panel.lamps[1].names  # type: ignore[union-attr]
    names["green"], names["red"] = names["red"], names["green"]


def frozen_lamp(world: World) -> None:
    world.devices.lamp_colors = lambda: {"1": "green"}  # type: ignore[method-assign]


def no_led(world: World) -> None:
    lamp = wires(world).front_panel.lamps[1]
    (lamp.folder / lamp.names["red"] / "brightness").unlink()


def tones(*heard: int) -> Callable[[World], None]:
    def spoil(world: World) -> None:
        world.devices.buzzer_tones = lambda: list(heard)  # type: ignore[method-assign]

    return spoil


def keys_exchanged(world: World) -> None:
    buttons = wires(world).front_panel.buttons
    first, second, *_ = buttons.keys
    buttons.keys = {**buttons.keys, first: buttons.keys[second], second: buttons.keys[first]}


def pressed_once(world: World) -> None:
    honest, pressed = world.devices.press_button, set()

    def press(name: str) -> None:
        if name not in pressed:
            pressed.add(name)
            honest(name)

    world.devices.press_button = press  # type: ignore[method-assign]


def never_pressed(world: World) -> None:
    world.devices.press_button = lambda name: None  # type: ignore[method-assign]


def mains_exchanged(world: World) -> None:
    honest = world.set_mains_power
    honest(False)
    world.set_mains_power = lambda mains: honest(not mains)  # type: ignore[method-assign]


def frozen_mains(world: World) -> None:
    world.set_mains_power = lambda mains: None  # type: ignore[method-assign]


def no_mains(world: World) -> None:
    (wires(world).supply.folder / "online").unlink()


def spoil_manager(world: World, make: Callable[[Any], Any]) -> None:
    manager = wires(world).energy_manager
    manager.slave._device = make(manager)


def spoil_messages(world: World, payload: bytes) -> None:
    wires(world).energy_manager.encode_payload = lambda: payload


def limit_times_ten(world: World) -> None:
    wires(world).energy_manager._per_a *= 10


def says(*words: str) -> dict[str, Any]:
    return {"driver": "updater_command", "install": ["true", "{file}"], "running": list(words), "commit": ["true"]}


# --- a meter that is a server of its own ------------------------------------------------------------------------------


class LemBeside(LemFarEnd):
    """Counts while the outlet's contactor is closed. ``counts`` False: it stands still."""

    counts = True

    @property
    def tables(self) -> dict[str, Any]:
        table = {"model": self.model, "host": "127.0.0.1", "port": self.port, "timeout_s": 0.3}
        return {"meter": {"driver": "meter_rest", **table}}

    async def follow(self, world: World) -> None:
        self.current_a = 0.0
        while True:
            await asyncio.sleep(0.02)
            self.current_a = 100.0 if world.evses[1].contactor.closed else 0.0
            self.energy_wh += self.power_w * 0.02 / 3600 if self.counts else 0.0


class RaucBeside(RaucBoard):
    """The real RAUC, on a bus of its own."""

    @property
    def tables(self) -> dict[str, Any]:
        return {"updater": {**self.table, "answer_s": stretched(2.0)}}

    async def follow(self, world: World) -> None:
        """Nothing of the street matters to it."""


class ModemBeside:
    """A modem in its own process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="modem-")
        self._modem = SimulatedModem(Path(self._folder.name))
        device = str(self._modem.line)
        self.tables = {"bearer": [{"driver": "modem_at", "kind": "gprs", "device": device, "pppd": ["true"]}]}

    async def __aenter__(self) -> Self:
        await self._modem.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._modem.down()
        self._folder.cleanup()

    async def follow(self, world: World) -> None:
        """It has no part in the world."""

    def order(self, **order: Any) -> None:
        order_far_end(self._modem.control, order)


class ServicesBeside:
    """ModemManager and NetworkManager with a modem, in their own process with their own bus."""

    def __init__(self) -> None:
        self._services = SimulatedServices()
        self._patch = mock.patch.dict(os.environ, {"DBUS_SYSTEM_BUS_ADDRESS": self._services.bus_address})
        self.tables = {"bearer": [{"driver": "network_manager", "kind": "gprs", "apn": "chargy.m2m"}]}

    async def __aenter__(self) -> Self:
        self._patch.start()
        await self._services.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._services.down()
        self._patch.stop()

    async def follow(self, world: World) -> None:
        """They have no part in the world."""

    def order(self, **order: Any) -> None:
        order_far_end(self._services.control, order)


def order_far_end(control_path: str, order: dict[str, Any]) -> None:
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(control_path)
        control.sendall(json.dumps(order).encode() + b"\n")
        assert "error" not in json.loads(control.makefile().readline())


def stands_still(far: LemBeside) -> None:
    far.counts = False


def lem_times_ten(far: LemBeside) -> None:
    far.energy_wh *= 10


def lem_deaf(far: LemBeside) -> None:
    far.ways.extend(["deaf"] * 10_000)


# --- a serial board, a payment terminal -------------------------------------------------------------------------------


def rapi(change: Callable[[bytes], bytes]) -> Callable[[World], None]:
    def spoil(world: World) -> None:
        wires(world).outlets.serial_boards[1].spoil = change

    return spoil


def no_vehicle(world: World) -> None:
    """It never notices a vehicle."""
    world.plug_in_vehicle = lambda *a, **k: None  # type: ignore[method-assign]


def never_stops(world: World) -> None:
    """It says that it will, and goes on."""
    everest = wires(world).outlets.everest[1]
    everest.api._commands = {**everest.api._commands, ("evse_manager_consumer", "stop_transaction"): lambda _: True}


def cards_declined(world: World) -> None:
    honest = world.devices.tap_bank_card
    world.devices.tap_bank_card = lambda last4, *a, **k: honest(last4, "partial")  # type: ignore[method-assign]


def no_bank_card(world: World) -> None:
    world.devices.tap_bank_card = lambda *a, **k: None  # type: ignore[method-assign]


def terminal_off(world: World) -> None:
    wires(world).terminals[0].set_terminal_power(False)


NO_NUMBERS = "no number comes from it"
COLOURS = "wrong colours, which a person sees: on the checklist"
ROWS: dict[str, Row] = {
    "meter_modbus": Row(
        "evse[1].meter",
        {
            "wrong scale": Mutant(lambda w: behind(w, Meter, meter_times_ten), ("units",)),
            "wrong scale of the register alone": Mutant(lambda w: behind(w, Meter, energy_times_ten), ("reference",)),
            "swapped words": Mutant(lambda w: behind(w, Meter, swapped), ("identity", "units")),
            "frozen value": Mutant(lambda w: behind(w, Meter, frozen), ("units", "counts")),
            "missing reply": Mutant(lambda w: behind(w, Meter, lambda m: Spoilt(m, mute)), ("identity",)),
        },
        {"meter": METER, "simulation": {"evse": [{"number": 1, "meter_wh": 1_234_567}]}},
    ),
    "evse_modbus": Row(
        "evse[1].board",
        {
            "wrong scale": Mutant(lambda w: behind(w, ChargeController, board_times_ten), ("release",)),
            "swapped words": Mutant(lambda w: behind(w, ChargeController, swapped), ("traits", "vehicle")),
            "frozen value": Mutant(lambda w: behind(w, ChargeController, frozen), ("vehicle",)),
            "missing reply": Mutant(lambda w: behind(w, ChargeController, deaf), ("traits",)),
            "a watchdog that sleeps": Mutant(asleep, ("watchdog",)),
        },
        {"board": BOARD},
    ),
    "reader_nfc": Row(
        "reader[0]",
        {
            "wrong scale": NO_NUMBERS,
            "swapped words": Mutant(reversed_uid, ("taps",)),
            "frozen value": Mutant(stuck_card, ("taps",)),
            "missing reply": Mutant(no_card, ("taps",)),
        },
        {"reader": [{"driver": "reader_nfc", "same_card_holdoff_ms": 300}]},
    ),
    "reader_serial": Row(
        "reader[0]",
        {
            "wrong scale": NO_NUMBERS,
            "swapped words": Mutant(text_of(pairs_swapped), ("taps",)),
            "frozen value": Mutant(once, ("taps",)),
            "missing reply": Mutant(no_text, ("taps",)),
        },
        {"reader": [{"driver": "reader_serial"}]},
    ),
    "display_framebuffer": Row(
        "evse[1].display",
        {
            "wrong scale": Mutant(wrong_stride, ("qr",)),
            "swapped words": COLOURS,
            "frozen value": Mutant(frozen_panel, ("screens",)),
            "missing reply": Mutant(no_panel, ("screens",)),
        },
        {},
    ),
    "lamp_leds": Row(
        "evse[1].lamp",
        {
            "wrong scale": "brightness is judged by eye: on the checklist",
            "swapped words": Mutant(leds_exchanged, ("colours",)),
            "frozen value": Mutant(frozen_lamp, ("colours",)),
            "missing reply": Mutant(no_led, ("colours",)),
        },
        {},
    ),
    "buzzer_evdev": Row(
        "buzzer",
        {
            "wrong scale": "the pitch is judged by ear",
            "swapped words": NO_NUMBERS,
            "frozen value": Mutant(tones(2400), ("tone",)),
            "missing reply": Mutant(tones(), ("tone",)),
        },
        {"buzzer": {"driver": "buzzer_evdev"}},
    ),
    "buttons_evdev": Row(
        "buttons",
        {
            "wrong scale": NO_NUMBERS,
            "swapped words": Mutant(keys_exchanged, ("presses",)),
            "frozen value": Mutant(pressed_once, ("presses",)),
            "missing reply": Mutant(never_pressed, ("presses",)),
        },
        {},
    ),
    "power_sysfs": Row(
        "power",
        {
            "wrong scale": NO_NUMBERS,
            "swapped words": Mutant(mains_exchanged, ("mains",)),
            "frozen value": Mutant(frozen_mains, ("mains",)),
            "missing reply": Mutant(no_mains, ("mains",)),
        },
        {"power": {"driver": "power_sysfs"}},
    ),
    "limit_modbus": Row(
        "energy_manager",
        {
            "wrong scale": Mutant(limit_times_ten, ("limit",)),
            "swapped words": Mutant(lambda w: spoil_manager(w, swapped), ("limit",)),
            "frozen value": Mutant(lambda w: spoil_manager(w, frozen), ("reports",)),
            "missing reply": Mutant(lambda w: w.set_energy_manager_silent(True), ("reports",)),
        },
        {
            "energy_manager": {
                "driver": "limit_modbus",
                "register": 4,
                "type": "u32",
                "rate_unit": "W",
                "alive": 9,
                "alive_s": 1.0,
                "poll_s": 0.05,
                "timeout_s": 0.3,
            }
        },
    ),
    "limit_mqtt": Row(
        "energy_manager",
        {
            "wrong scale": Mutant(limit_times_ten, ("limit",)),
            "swapped words": Mutant(lambda w: spoil_messages(w, b"[13]"), ("reports",)),
            "frozen value": Mutant(lambda w: spoil_messages(w, b'{"watts": 13}'), ("limit",)),
            "missing reply": Mutant(lambda w: w.set_energy_manager_silent(True), ("reports",)),
        },
        {
            "energy_manager": {
                "driver": "limit_mqtt",
                "topic": "site/cp1",
                "key": "watts",
                "rate_unit": "W",
                "every_s": 0.4,
                "timeout_s": 0.5,
            }
        },
    ),
    "updater_command": Row(
        "updater",
        {
            "wrong scale": NO_NUMBERS,
            "swapped words": NO_NUMBERS,
            "frozen value": "what it says does not change unless something is installed",
            "missing reply": Mutant(lambda w: None, ("running",)),
        },
        {"updater": {"driver": "updater_command"}},
    ),
}
ROWS |= {
    "updater_rauc": Row(
        "updater",
        {
            "wrong scale": NO_NUMBERS,
            "swapped words": NO_NUMBERS,
            "frozen value": "what it says does not change unless something is installed",
            "missing reply": Mutant(lambda far: far.end_rauc(), ("running",)),
        },
        {},
        RaucBeside,
        why_not=why_no_rauc,
    ),
    "evse_everest": Row(
        "evse[1].board",
        {
            "wrong scale": "it takes limits as they are written: only a vehicle sees the offer",
            "swapped words": "its values have names",
            "frozen value": Mutant(no_vehicle, ("vehicle",)),
            "missing reply": Mutant(lambda w: w.set_fault_state(1, "BoardSilent"), ("traits",)),
        },
        {"board": {"driver": "evse_everest", "timeout_s": 1.0}},
    ),
    "evse_everest, direct current": Row(
        "evse[1].board",
        {
            "wrong scale": "it takes limits as they are written: only a vehicle sees the offer",
            "swapped words": "its values have names",
            "frozen value": Mutant(no_vehicle, ("vehicle",)),
            "missing reply": Mutant(lambda w: w.set_fault_state(1, "BoardSilent"), ("traits",)),
            "a charger that does not stop": Mutant(never_stops, ("release",)),
        },
        {
            "evse": [{"number": 1, "kind": "DC", "outlet": "tethered", "power_kw": 150.0, "max_a": 350.0}],
            "board": {"driver": "evse_everest", "timeout_s": 1.0, "stop_s": 2.0},
        },
        speed=20.0,
    ),
    "evse_openevse": Row(
        "evse[1].board",
        {
            "wrong scale": "it tells amperes back as they were written: only a vehicle sees the offer",
            "swapped words": Mutant(rapi(lambda data: data[::-1]), ("traits",)),
            "frozen value": Mutant(no_vehicle, ("vehicle",)),
            "missing reply": Mutant(rapi(lambda data: b""), ("traits",)),
        },
        {"board": {"driver": "evse_openevse", "heartbeat_s": 5, "timeout_s": 0.4}},
    ),
    "meter_rest": Row(
        "meter",
        {
            "wrong scale": Mutant(lem_times_ten, ("reference",)),
            "swapped words": "its numbers are texts",
            "frozen value": Mutant(stands_still, ("counts",)),
            "missing reply": Mutant(lem_deaf, ("identity",)),
        },
        {},
        LemBeside,
        {"meter.energy_kwh": "1234.6"},
    ),
    "display_png": Row(
        "display",
        {
            "wrong scale": Mutant(panels.half, ("qr",)),
            "swapped words": COLOURS,
            "frozen value": Mutant(panels.stuck, ("screens",)),
            "missing reply": Mutant(panels.no_folder, ("timing",)),
        },
        {},
        panels.Viewer,
    ),
    "display_spi": Row(
        "display",
        {
            "wrong scale": Mutant(panels.half, ("qr",)),
            "swapped words": Mutant(panels.bytes_swapped, ("qr",)),
            "frozen value": Mutant(panels.stuck, ("screens",)),
            "missing reply": Mutant(panels.no_bus, ("screens",)),
        },
        {},
        panels.SpiPanel,
    ),
    "terminal_payter": Row(
        "terminal",
        {
            "wrong scale": Mutant(cards_declined, ("hold",)),
            "swapped words": NO_NUMBERS,
            "frozen value": Mutant(no_bank_card, ("hold",)),
            "missing reply": Mutant(terminal_off, ("identity",)),
        },
        {"terminal": {"driver": "terminal_payter"}},
    ),
    "lan_static": Row(
        "bearer[0]",
        {
            "wrong scale": NO_NUMBERS,
            "swapped words": NO_NUMBERS,
            "frozen value": "only a network that changes shows it: on the checklist",
            "missing reply": Mutant(lambda w: None, ("state",)),
        },
        {"bearer": [{"driver": "lan_static", "kind": "lan", "interface": "lo"}]},
    ),
    "modem_at": Row(
        "bearer[0]",
        {
            "wrong scale": "the signal is for people: on the checklist",
            "swapped words": Mutant(lambda far: far.order(do="set", iccid="893520"), ("sim",)),
            "frozen value": "only a network that changes shows it: on the checklist",
            "missing reply": Mutant(lambda far: far.order(do="fault", name="hang"), ("state",)),
            "no SIM": Mutant(lambda far: far.order(do="fault", name="no_sim"), ("sim",)),
        },
        {},
        ModemBeside,
    ),
    "network_manager": Row(
        "bearer[0]",
        {
            "wrong scale": "the signal is for people: on the checklist",
            "swapped words": Mutant(lambda far: far.order(do="set", iccid="893520"), ("sim",)),
            "frozen value": "only a network that changes shows it: on the checklist",
            "missing reply": Mutant(lambda far: far.order(do="fault", name="no_modem"), ("state",)),
            "no SIM": Mutant(lambda far: far.order(do="fault", name="no_sim"), ("sim",)),
        },
        {},
        ServicesBeside,
    ),
}
SPOILT_TABLES: dict[tuple[str, str], dict[str, Any]] = {
    ("lan_static", "missing reply"): {"bearer": [{"driver": "lan_static", "kind": "lan", "interface": "absent0"}]},
    ("updater_command", "missing reply"): {"updater": says("true")},
}
"""Mutants that are another program, named in the station file."""
