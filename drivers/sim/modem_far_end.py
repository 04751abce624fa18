"""A modem of a simulated station: its two lines, its SIM, and what the control API does to it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drivers.sim.derived_file import Table
from drivers.sim.modem import FAULTS, NO_CONNECTION, SPEEDS, SimModem
from drivers.sim.pty_line import PtyLine

BAUD, WRONG_BAUD = 115_200, 9600
OTHER_SIM = {"iccid": "89352020000000000990", "imsi": "270770009876543"}
PINS = ("0000", "9999")
MOST_SIGNAL, NO_SIGNAL = 31, 99
"""In +CSQ; the latter: not known."""
REGISTRATIONS = {0: "not searching", 1: "home", 2: "searching", 3: "denied", 5: "roaming"}
EVENTS = ("brown_out",)
"""Faults that are over at once."""
_STATES = ("wrong_pin", "other_sim", "wrong_baud", "vanish")
_NAMES = {"detached": "detach", "no_apn": "wrong_apn"}
MODEM_FAULTS = tuple(sorted({_NAMES.get(f, f) for f in FAULTS if f != "no_network"} | {*_STATES, *EVENTS}))
"""Names of the control API."""


class ModemFarEnd:
    """``command_line_path``: the name of the line for commands."""

    def __init__(self, folder: Path, name: str, options: Mapping[str, Any]) -> None:
        self._pin = str(options.get("pin", ""))
        self._commands = SimModem(BAUD, self._pin, lambda: self._line_speed())
        self._data = self._commands.make_data_port()
        if iccid := options.get("iccid"):
            self._commands.values["iccid"] = str(iccid)
        self._sim = {key: self._commands.values[key] for key in OTHER_SIM}
        self._lines = (
            PtyLine(folder / f"modem-{name}", self._commands.hear),
            PtyLine(folder / f"modem-{name}-data", self._data.hear),
        )
        self._states: set[str] = set()

    @property
    def command_line_path(self) -> Path:
        return self._lines[0].link.absolute()

    @property
    def chosen_operator(self) -> str:
        """The operator that was chosen by +COPS; "": the modem chooses."""
        return str(self._commands.values["chosen"])

    @property
    def is_connected(self) -> bool:
        """Whether the network carries the data of this modem."""
        return self._data.carries_data and self._lines[1].is_up and "hang" not in self._commands.faults

    def open(self, network_folder: Path) -> Table:
        """Switch the modem on. Return the keys of its table in the derived station file."""
        for line in self._lines:
            line.open()
        return {
            "device": str(self.command_line_path),
            "data_device": str(self._lines[1].link.absolute()),
            "baud": BAUD,
            "pppd": [sys.executable, "-m", "drivers.sim.ppp_stand_in", str(network_folder)],
            "power": [],
        }

    def close(self) -> None:
        for line in self._lines:
            line.hang_up()

    # --- what happens to it ------------------------------------------------------------------------------------------

    def set_cell_presence(self, on: bool) -> None:
        """Take the cell away, or bring it back."""
        if on == ("no_network" in self._commands.faults):
            self._set_modem_flag("no_network", not on)

    def set_radio_signal(self, signal: int) -> None:
        """Set the signal in the steps of +CSQ."""
        self._commands.values["signal"] = signal

    def set_network_rules(self, **rules: list[str] | None) -> None:
        """Set what the network accepts: ``apns``, ``login`` (user and password); None: everything."""
        self._commands.values |= rules

    def set_modem_fault(self, name: str, active: bool) -> None:
        """Switch a fault of ``MODEM_FAULTS``."""
        own: Mapping[str, Callable[[bool], None]] = {
            "wrong_pin": self._change_pin,
            "other_sim": self._change_sim,
            "wrong_baud": self._change_baud,
            "vanish": self._change_presence,
        }
        if name in EVENTS:
            if active:
                self._restart_modem()
        elif name in own:
            if active != (name in self._states):
                (self._states.add if active else self._states.discard)(name)
                own[name](active)
        else:
            self._set_modem_flag(next((flag for flag, word in _NAMES.items() if word == name), name), active)

    def _set_modem_flag(self, flag: str, on: bool) -> None:
        (self._commands.faults.add if on else self._commands.faults.discard)(flag)
        if on and flag in NO_CONNECTION:
            self._lines[1].send(self._data.lose_connection())
            self._lines[0].send(b"\r\n+CGEV: NW DETACH\r\n")

    def _change_pin(self, is_other: bool) -> None:
        """Lock the SIM with another PIN, or with that of the station file and all its tries."""
        other = next(pin for pin in PINS if pin != self._pin)
        self._commands.values |= {"pin": other if is_other else self._pin, "tries": 3}
        self._restart_modem()

    def _change_sim(self, is_other: bool) -> None:
        self._commands.values |= OTHER_SIM if is_other else self._sim
        self._restart_modem()

    def _change_baud(self, is_other: bool) -> None:
        self._commands.baud = WRONG_BAUD if is_other else BAUD

    def _change_presence(self, is_away: bool) -> None:
        for port, line in zip((self._commands, self._data), self._lines, strict=True):
            port.restart()
            line.hang_up() if is_away else line.open()

    def _restart_modem(self) -> None:
        for port, line in zip((self._commands, self._data), self._lines, strict=True):
            line.send(port.restart())

    def _line_speed(self) -> int:
        """Return the speed that the agent has set. 0: the line is away."""
        import termios

        if not self._lines[0].is_up:
            return 0
        speed: int = termios.tcgetattr(self._lines[0].slave)[5]
        return SPEEDS.get(speed, speed)

    # --- what it is --------------------------------------------------------------------------------------------------

    def describe_modem(self) -> dict[str, Any]:
        values, faults = self._commands.values, self._commands.faults
        signal = NO_SIGNAL if "no_signal" in faults else values["signal"]
        flags = {_NAMES.get(flag, flag) for flag in faults - {"no_network"}}
        return {
            "faults": sorted(flags | self._states),
            "signal": signal,
            "signal_dbm": None if signal == NO_SIGNAL else -113 + 2 * signal,
            "registration": REGISTRATIONS[self._commands.registration()],
            "operator": values["operator"],
            "iccid": values["iccid"],
            "pin_tries": values["tries"],
            "apn": values["apn"],
            "connected": self.is_connected,
        }
