"""The far ends of what people see and touch: readers, displays, buttons, lamps and the buzzer."""

from __future__ import annotations

from typing import Any

from agent.model.types import STATION
from agent.station_file.satellites import satellite_numbers
from agent.station_file.settings import Device, Evse
from drivers.sim.buttons import VAT_BUTTONS, Buttons, button_key_codes, limit_button_names
from drivers.sim.buzzer import Buzzer
from drivers.sim.derived_file import Table, chosen_options, lacks_address, with_absolute_paths
from drivers.sim.installation import Installation
from drivers.sim.lamp import Lamp
from drivers.sim.line_reader import LineReader
from drivers.sim.rf_field import RfField
from drivers.sim.screen import Screen

_READERS = (Device("reader_nfc", {"same_card_holdoff_ms": 200}), Device("reader_serial"))
"""Used where the station file names no reader. A simulated hand does not tremble, so the hold-off is short and the next
tap of the same card counts."""


class FrontPanelFarEnds:
    """The open devices, by the number of their EVSE or ``STATION``."""

    def __init__(self, station: Installation) -> None:
        self.fields: dict[int, RfField] = {}
        self.line_readers: dict[int, LineReader] = {}
        self.screens: dict[int, Screen] = {}
        self.buttons: Buttons | None = None
        self.lamps: dict[int, Lamp] = {}
        self.buzzer: Buzzer | None = None
        self._station = station

    def close(self) -> None:
        for reader in self.line_readers.values():
            reader.close()
        for field in self.fields.values():
            field.close()
        if self.buttons is not None:
            self.buttons.close()
        if self.buzzer is not None:
            self.buzzer.close()
        for lamp in self.lamps.values():
            lamp.close()

    def discard_inputs(self) -> None:
        """Discard the taps and presses that the agent has not read because it was away."""
        for reader in self.line_readers.values():
            reader.discard_taps()
        if self.buttons is not None:
            self.buttons.discard_presses()

    def silence_reader(self, evse: int, silent: bool) -> None:
        """Silence the EVSE's own line reader, or the station's if the EVSE has none."""
        reader = self.line_readers.get(evse) or self.line_readers.get(STATION)
        if reader is not None:
            reader.set_silent(silent)

    async def open_readers(self) -> None:
        """Open the shared readers, and with several EVSEs a pair at each. Readers of the station file are kept."""
        shared = tuple(self._station.file.devices.of_role("reader").values())
        self._station.tables.station["reader"] = [await self._open_reader(d, STATION) for d in shared or _READERS]
        several = len(self._station.file.evses) > 1 and not shared
        for evse in self._station.file.evses:
            own = tuple(evse.devices.of_role("reader").values()) or (_READERS if several else ())
            if own:
                self._station.tables.evses[evse.number]["reader"] = [
                    await self._open_reader(d, evse.number) for d in own
                ]

    async def _open_reader(self, device: Device, place: int) -> Table:
        table: Table = {"driver": device.driver, **with_absolute_paths(device.options, self._station.file.path.parent)}
        name = f"{place}" if place else "shared"
        if lacks_address(device, "reader_nfc") and place not in self.fields:
            field = self.fields[place] = RfField()
            await field.start()
            table["path"] = self._station.addresses[f"reader_nfc {name}"] = f"udp:127.0.0.1:{field.port}"
        elif lacks_address(device, "reader_serial") and place not in self.line_readers:
            reader = self.line_readers[place] = LineReader(self._station.folder / f"reader-{name}")
            reader.start()
            table["device"] = self._station.addresses[f"reader_serial {name}"] = reader.address
        return table

    def open_screens(self) -> None:
        """Open the panels. A display of the station is one panel for all outlets without a display of their own. If the
        file names no display at all, each outlet has a panel."""
        shared = self._station.file.devices.get("display")
        for evse in self._station.file.evses:
            if "display" in evse.devices or shared is None:
                name, path = f"display {evse.number}", f"evse[{evse.number}].display"
                if table := self._open_screen(name, path, evse.devices.get("display"), (evse.number,)):
                    self._station.tables.evses[evse.number]["display"] = table
        served = tuple(e.number for e in self._station.file.evses if "display" not in e.devices)
        if shared is not None:
            table = self._open_screen("display shared", "display", shared, served)
            if table is not None:
                self._station.tables.station["display"] = table

    def _open_screen(self, name: str, place: str, device: Device | None, served: tuple[int, ...]) -> Table | None:
        """Open a panel. Return None if the station file gives its address."""
        if not lacks_address(device, "display_framebuffer"):
            return None
        asked: Table = {"width": 800, "height": 480, "format": "RGB565", **chosen_options(device)}
        path = self._station.folder / name.replace(" ", "-")
        try:
            screen = Screen(path, asked["width"], asked["height"], asked["format"])
        except ValueError as e:
            raise ValueError(f"{place}.{e}") from None
        screen.start()
        self.screens |= dict.fromkeys(served, screen)
        self._station.addresses[name] = f"{path} ({screen.width}x{screen.height}, {screen.format})"
        return {"driver": "display_framebuffer", **asked, "path": str(path)}

    def open_buttons(self) -> None:
        device = self._station.file.devices.get("buttons")
        if not lacks_address(device, "buttons_evdev"):
            return
        keys: dict[str, int] = chosen_options(device).get("keys") or self._default_keys()
        self.buttons = Buttons(self._station.folder / "buttons", keys)
        self.buttons.start()
        table: dict[str, Any] = {
            "driver": "buttons_evdev",
            **chosen_options(device),
            "path": str(self.buttons.path),
            "keys": keys,
        }
        self._station.tables.station["buttons"] = table
        self._station.addresses["buttons"] = str(self.buttons.path)

    def _default_keys(self) -> dict[str, int]:
        """Return the keys of a station file that names none."""
        file = self._station.file
        web = file.web_payment
        kinds = {"energy": web.max_energy_kwh, "time": web.max_time_min, "cost": web.max_cost}
        more = limit_button_names(len(file.evses), [kind for kind, choices in kinds.items() if choices])
        if (file.payment or {}).get("vat_numbers"):
            more += VAT_BUTTONS
        if file.payment_master is not None:
            more += [f"outlet-{n}" for numbers in satellite_numbers(file, []).values() for n in numbers]
        return button_key_codes(len(file.evses), more)

    def open_lamp(self, evse: Evse) -> None:
        if not lacks_address(evse.devices.get("lamp"), "lamp_leds"):
            return
        lamp = self.lamps[evse.number] = Lamp(self._station.folder / "leds", evse.number)
        lamp.start()
        table: Table = {"driver": "lamp_leds", "folder": str(lamp.folder), **lamp.names}
        where = f"{lamp.folder} ({', '.join(lamp.names.values())})"
        self._station.add_outlet_device(evse.number, "lamp", table, where)

    def open_buzzer(self) -> None:
        device = self._station.file.devices.get("buzzer")
        if not lacks_address(device, "buzzer_evdev"):
            return
        buzzer = self.buzzer = Buzzer(self._station.folder / "buzzer")
        buzzer.start()
        self._station.tables.station["buzzer"] = {"driver": "buzzer_evdev", "path": str(buzzer.path)}
        self._station.addresses["buzzer"] = str(buzzer.path)
