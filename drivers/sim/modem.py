"""Far end of a modem: a pseudo terminal that understands AT commands, in a process of its own.

``python -m drivers.sim.modem --line LINK --control SOCKET``. What it does wrong is ordered at the control socket, one
JSON object a line: ``{"do": "fault", "name": "hang", "on": true}``, ``{"do": "set", "signal": 9}``; ``detach``,
``restart``, ``vanish``, ``return``, ``state`` are without values. Each is answered with the state.

No PPP goes over the line: once a call is answered, the program in the place of ``pppd`` (``ppp_stand_in.py``) asks for
the connection by a line of text, and looks for a sign of life by another.
"""

from __future__ import annotations

import argparse
import asyncio
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.sim.control_socket import ControlOrder, ControlSocket, switch_fault
from drivers.sim.modem_catalog import EF_ICCID, FIXED_ANSWERS, PIN_COUNTER
from drivers.sim.pty_line import PtyLine

SPEEDS = {termios.B9600: 9600, termios.B19200: 19200, termios.B57600: 57600, termios.B115200: 115200}
NOISE = bytes((0xF8, 0x80, 0x1E, 0xE6, 0x00, 0x98, 0x86, 0x0D))
UNASKED = ("+CGREG: 2", "+CSQ: 3,99", "RING")
FAULTS = (
    "no_sim", "puk", "denied", "searching", "no_signal", "hang", "garbage", "unasked", "pieces", "busy", "no_carrier",
    "refuses_all", "pin_busy", "no_numbers", "no_tries", "no_apn", "detached", "no_network", "auth_refused",
    "ipcp_refused", "cops_fails",
)  # fmt: skip
"""``unasked``: reports arrive between echo and answer. ``pieces``: an answer arrives in parts. ``busy``: the SIM is.
``no_carrier``: a call is not answered. ``refuses_all``: every command but AT gives an error. ``pin_busy``: the SIM is
busy when it gets a PIN. ``no_numbers``: errors have none. ``no_tries``: the tries of a PIN cannot be read. ``no_apn``:
the network does not know the APN. ``detached``: it has detached the modem. ``no_network``: its cell is gone.
``auth_refused``, ``ipcp_refused``: it refuses user and password, or an address.
``cops_fails``: the choice of an operator gives an error."""
SEARCHING = {"searching", "detached", "no_network"}
NO_CONNECTION = SEARCHING | {"no_sim", "puk", "denied", "no_signal"}
"""Faults that end a connection."""
MOST_UNREAD_BYTES = 1000
PIECE, PIECE_S = 3, 0.005
OPERATOR_NUMBER = "27001"
RESET_FUNCTION = "15"
"""What +CFUN=1,1 is to modems of Fibocom."""


class SimModem:
    """The modem's mind: bytes in, bytes out. ``line_speed``: how fast the other side talks; 0: unknown."""

    def __init__(self, baud: int, pin: str, line_speed: Callable[[], int]) -> None:
        self.baud, self._line_speed = baud, line_speed
        self.faults: set[str] = set()
        self.values: dict[str, Any] = {
            "pin": pin, "tries": 3, "locked": bool(pin), "signal": 17, "registered": 5, "operator": "LU POST",
            "iccid": "89352010000000000176", "imsi": "270991234567890", "technology": 3, "apn": "", "attached": 1,
            "functionality": 1, "apns": None, "login": None,
            "chosen": "", "operator_mode": 0,
        }  # fmt: skip
        self.pins_tried = 0
        self.commands: list[str] = []
        self.in_data_mode = False
        self.carries_data = False
        """The network has agreed to a connection in data mode, and carries it."""
        self._contexts = {"1": ""}
        """The APN of each context; ``apn`` is the one that was set last."""
        self._connected_context = ""
        """What its network interface carries (+GTRNDIS), without data mode; "": nothing."""
        self._echoes, self._error_numbers = True, False
        self._reports_registration = False
        self._names_operator_by_number = False
        self._rest = b""

    def make_data_port(self) -> SimModem:
        """Return the second line of the same modem."""
        port = SimModem(self.baud, "", lambda: 0)
        port.faults, port.values, port.commands = self.faults, self.values, self.commands
        return port

    def restart(self) -> bytes:
        """Lose the supply for a moment: everything volatile is as at the start."""
        said = self.lose_connection()
        self._echoes, self._error_numbers, self._rest = True, False, b""
        self._reports_registration, self._names_operator_by_number = False, False
        self.values["locked"] = bool(self.values["pin"])
        return said + b"\r\nRDY\r\n"

    def detach(self) -> bytes:
        """Lose the network."""
        self.faults.add("searching")
        return (self.lose_connection() or b"\r\n+CGEV: NW DETACH\r\n") + self.report_registration()

    def lose_connection(self) -> bytes:
        """End the connection, if there is one. Return what the line says of it."""
        lost, self.in_data_mode, self.carries_data, self._connected_context = self.in_data_mode, False, False, ""
        return b"\r\nNO CARRIER\r\n" if lost else b""

    @property
    def is_connected(self) -> bool:
        return bool(self._connected_context)

    def report_registration(self) -> bytes:
        """Return the reports of a changed registration, if they were asked for (+CREG=1)."""
        stat = self.registration()
        reports = f"\r\n+CREG: {stat}\r\n\r\n+CGREG: {stat}\r\n"
        return reports.encode() if self._reports_registration and "hang" not in self.faults else b""

    def hear(self, data: bytes) -> bytes:
        if "hang" in self.faults:
            return b""
        if self._line_speed() not in (0, self.baud):
            return NOISE * max(1, len(data) // 4)
        if self.in_data_mode:
            return self._hear_data(data)
        *commands, self._rest = (self._rest + data).split(b"\r")
        return b"".join(self._run_line(c.decode("ascii", "replace").strip()) for c in commands)

    def _hear_data(self, data: bytes) -> bytes:
        """Answer the program in the place of pppd. What is not from it is lost, as without a network."""
        if b"+++" in data:
            self.in_data_mode = self.carries_data = False
            return b"\r\nOK\r\n"
        *lines, self._rest = (self._rest + data).split(b"\r")
        self._rest = self._rest[-MOST_UNREAD_BYTES:]
        return b"".join(self._answer_data(line.decode("ascii", "replace")) for line in lines)

    def _answer_data(self, line: str) -> bytes:
        match line.split(" "):
            case ["connect", user, password]:
                refusal = self._refusal_of_connection(bytes.fromhex(user).decode(), bytes.fromhex(password).decode())
                self.carries_data = not refusal
                return f"refused {refusal}\r".encode() if refusal else b"connected\r"
            case ["echo"]:
                return b"echo\r" if self.carries_data else b""
            case ["close"]:  # DTR has dropped
                self.in_data_mode = self.carries_data = False
        return b""

    def _refusal_of_connection(self, user: str, password: str) -> str:
        """Return why the network refuses the connection; "": it does not."""
        login = self.values["login"]
        if "auth_refused" in self.faults or (login is not None and login != [user, password]):
            return "login"
        return "address" if "ipcp_refused" in self.faults else ""

    def _run_line(self, line: str) -> bytes:
        if not line.upper().startswith("AT"):
            return b""
        command = line[2:]
        self.commands.append(command.split("=")[0] if command.startswith("+CPIN=") else command)
        if "garbage" in self.faults:
            return NOISE
        echo = line.encode() + b"\r" if self._echoes else b""
        reports = [f"\r\n{text}\r\n" for text in UNASKED] if "unasked" in self.faults else []
        answer = self._answer_command(command)
        return echo + "".join([*reports, *(f"\r\n{text}\r\n" for text in answer)]).encode()

    def _answer_command(self, command: str) -> list[str]:
        if command == "":
            return ["OK"]
        if "refuses_all" in self.faults:
            return self._failure(100)
        if command in FIXED_ANSWERS:
            return [*FIXED_ANSWERS[command], "OK"]
        name, equals, value = command.partition("=")
        if command.startswith("D"):
            return self._dial()
        if command in ("E0", "E1", "H"):
            self._echoes = command == "E1" if command != "H" else self._echoes
            return ["OK"]
        handler = getattr(self, "_on_" + name.rstrip("?").lstrip("+").lower(), None)
        if handler is None or not name.startswith("+"):
            return self._failure(4)
        found: list[str] = handler(value if equals else None)
        return found

    def _failure(self, number: int) -> list[str]:
        return [f"+CME ERROR: {number}" if self._error_numbers and "no_numbers" not in self.faults else "ERROR"]

    def _sim_failure(self) -> int:
        """Return the error of everything that needs the SIM; 0: there is none."""
        if "no_sim" in self.faults:
            return 10
        if "busy" in self.faults:
            return 14
        if "puk" in self.faults or self.values["tries"] == 0:
            return 12
        return 11 if self.values["locked"] else 0

    @property
    def _can_connect(self) -> bool:
        is_there = not self._sim_failure() and self.registration() in (1, 5)
        return is_there and "no_carrier" not in self.faults and self._is_apn_known()

    def _dial(self) -> list[str]:
        if not self._can_connect:
            return ["NO CARRIER"]
        self.in_data_mode = True
        return ["CONNECT 115200"]

    def _is_apn_known(self) -> bool:
        """Return whether the network knows the APN. ``apns``: those that it knows; None: all."""
        known = self.values["apns"]
        return "no_apn" not in self.faults and (known is None or self.values["apn"] in known)

    def registration(self) -> int:
        """Return the state of the registration by its number in +CGREG."""
        if self._sim_failure() or self.values["functionality"] != 1 or "no_signal" in self.faults:
            return 0
        if "denied" in self.faults:
            return 3
        is_elsewhere = self.values["operator_mode"] == 1 and self.values["chosen"] != OPERATOR_NUMBER
        return 2 if is_elsewhere or self.faults & SEARCHING else int(self.values["registered"])

    # --- commands ----------------------------------------------------------------------------------------------------

    def _on_cmee(self, value: str | None) -> list[str]:
        self._error_numbers = value == "1"
        return ["OK"]

    def _on_cpin(self, value: str | None) -> list[str]:
        failure = self._sim_failure()
        if value is None:
            if failure in (10, 14):
                return self._failure(failure)
            return [{12: "+CPIN: SIM PUK", 11: "+CPIN: SIM PIN"}.get(failure, "+CPIN: READY"), "OK"]
        self.pins_tried += 1
        if failure != 11:
            return self._failure(failure or 3)
        if "pin_busy" in self.faults:
            return self._failure(14)
        if value.strip('"') != self.values["pin"]:
            self.values["tries"] -= 1
            return self._failure(16)
        self.values["locked"], self.values["tries"] = False, 3
        return ["OK"]

    def _on_cpinr(self, value: str | None) -> list[str]:
        if "no_tries" in self.faults:
            return self._failure(4)
        return self._failure(10) if "no_sim" in self.faults else [f"+CPINR: SIM PIN,{self.values['tries']},3", "OK"]

    def _on_csim(self, value: str | None) -> list[str]:
        if PIN_COUNTER not in (value or "") or self.faults & {"no_sim", "no_tries"}:
            return self._failure(4)
        return [f'+CSIM: 4,"63C{self.values["tries"]}"', "OK"]

    def _on_crsm(self, value: str | None) -> list[str]:
        if failure := self._sim_failure():
            return self._failure(failure)
        if f",{EF_ICCID}," not in (value or ""):
            return ['+CRSM: 106,130,""', "OK"]
        digits = self.values["iccid"].ljust(20, "F")
        return [f'+CRSM: 144,0,"{"".join(digits[i + 1] + digits[i] for i in range(0, 20, 2))}"', "OK"]

    def _on_cimi(self, value: str | None) -> list[str]:
        return self._failure(self._sim_failure()) if self._sim_failure() else [self.values["imsi"], "OK"]

    def _on_creg(self, value: str | None) -> list[str]:
        if value is not None:
            return self._order_reports(value)
        return [f"+CREG: 1,{self.registration()}", "OK"]

    def _order_reports(self, value: str) -> list[str]:
        self._reports_registration = value != "0"
        return ["OK"]

    def _on_cgreg(self, value: str | None) -> list[str]:
        if value is not None:
            return self._order_reports(value)
        stat = self.registration()
        place = f',"00C3","0000A2F1",{self.values["technology"]}' if stat in (1, 5) else ""
        return [f"+CGREG: 2,{stat}{place}", "OK"]

    def _on_cops(self, value: str | None) -> list[str]:
        if value is not None:
            return self._choose_operator(*value.replace('"', "").split(","))
        mode = self.values["operator_mode"]
        if self.registration() not in (1, 5):
            return [f"+COPS: {mode}", "OK"]
        form, name = (2, OPERATOR_NUMBER) if self._names_operator_by_number else (0, self.values["operator"])
        return [f'+COPS: {mode},{form},"{name}",{self.values["technology"]}', "OK"]

    def _choose_operator(self, mode: str, form: str = "", number: str = "") -> list[str]:
        """Obey +COPS=: 0 any operator, 1 this one alone, 4 this one if it is there, 3 how operators are named."""
        if mode == "3":
            self._names_operator_by_number = form == "2"
            return ["OK"]
        if "cops_fails" in self.faults or (mode == "1" and number != OPERATOR_NUMBER):
            return self._failure(30)
        self.values["chosen"], self.values["operator_mode"] = number, int(mode)
        return ["OK"]

    def _on_csq(self, value: str | None) -> list[str]:
        return [f"+CSQ: {99 if 'no_signal' in self.faults else self.values['signal']},99", "OK"]

    def _on_cgdcont(self, value: str | None) -> list[str]:
        if value is None:
            return [*(f'+CGDCONT: {n},"IP","{apn}","0.0.0.0",0,0' for n, apn in self._contexts.items()), "OK"]
        number, _, apn = value.split(",")[:3]
        self._contexts[number] = self.values["apn"] = apn.strip('"')
        return ["OK"]

    def _on_cgatt(self, value: str | None) -> list[str]:
        if value is None:
            return [f"+CGATT: {self.values['attached']}", "OK"]
        self.values["attached"] = int(value)
        return ["OK"]

    def _on_cfun(self, value: str | None) -> list[str]:
        if value is None:
            return [f"+CFUN: {self.values['functionality']}", "OK"]
        self.values["functionality"] = int(value.partition(",")[0])
        if self.values["functionality"] != 1:
            self._connected_context = ""
        if value.endswith(",1") or value == RESET_FUNCTION:
            self.values["functionality"] = 1
            return ["OK", *self.restart().decode().split()]
        return ["OK"]

    def _on_gtrndis(self, value: str | None) -> list[str]:
        """Connect the network interface of the modem, as those of Fibocom do."""
        if value is None:
            number = self._connected_context
            return [f"+GTRNDIS: 1,{number}" if number else "+GTRNDIS: 0", "OK"]
        wanted, _, number = value.partition(",")
        if wanted == "1" and not self._can_connect:
            return self._failure(133 if "no_apn" in self.faults else 30)
        self._connected_context = number if wanted == "1" else ""
        return ["OK"]

    def _on_ceer(self, value: str | None) -> list[str]:
        return [f"+CEER: {'PDP activation failed' if self._is_apn_known() else 'unknown APN'}", "OK"]


class ModemProcess:
    """The line and the control socket around a modem."""

    def __init__(self, link: Path, baud: int, pin: str) -> None:
        self._modem = SimModem(baud, pin, self._speed_of_line)
        self._line = PtyLine(link, self._hear_bytes)
        self._delays: list[float] = []
        """How late the next answers come, in seconds."""
        self._free_s = 0.0
        """When the last piece of an answer is on the line."""

    async def run(self, control: str) -> None:
        self._line.open()
        await ControlSocket(self._obey_order, self._read_state).serve_until_signal(control)
        self._line.hang_up()

    def _hear_bytes(self, data: bytes) -> bytes:
        answer = self._modem.hear(data)
        if self._delays:
            asyncio.get_running_loop().call_later(self._delays.pop(0), self._line.send, answer)
            return b""
        if "pieces" not in self._modem.faults:
            return answer
        loop = asyncio.get_running_loop()
        for n in range(0, len(answer), PIECE):
            self._free_s = max(self._free_s, loop.time()) + PIECE_S
            loop.call_at(self._free_s, self._line.send, answer[n : n + PIECE])
        return b""

    def _speed_of_line(self) -> int:
        """Return the speed that the other side has set on the pseudo terminal."""
        speed: int = termios.tcgetattr(self._line.slave)[5]
        return SPEEDS.get(speed, speed)

    def _obey_order(self, order: ControlOrder) -> None:
        match order["do"]:
            case "fault":
                switch_fault(self._modem.faults, order, FAULTS)
                self._line.send(self._modem.report_registration())
            case "set":
                self._modem.values |= {k: order[k] for k in order.keys() & self._modem.values.keys()}
                self._modem.baud = order.get("baud", self._modem.baud)
                self._delays = order.get("delays_s", self._delays)
            case "restart":
                self._line.send(b"\r\nUNDER-VOLTAGE WARNNING\r\n" + self._modem.restart())
            case "detach":
                self._line.send(self._modem.detach())
            case "vanish":
                self._line.hang_up()
            case "return":
                self._modem.restart()
                self._line.open()
            case "state":
                pass
            case other:
                raise ValueError(f"no such order: {other}")

    def _read_state(self) -> ControlOrder:
        modem = self._modem
        return {
            "values": {k: v for k, v in modem.values.items() if k != "pin"},
            "faults": sorted(modem.faults),
            "pins_tried": modem.pins_tried,
            "in_data_mode": modem.in_data_mode,
            "is_connected": modem.is_connected,
            "commands": modem.commands,
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="drivers.sim.modem")
    parser.add_argument("--line", type=Path, required=True, help="name of the pseudo terminal")
    parser.add_argument("--control", required=True, help="path of the Unix socket for faults and the state")
    parser.add_argument("--baud", type=int, default=115_200)
    parser.add_argument("--pin", default="", help="PIN of the SIM; without one it is not locked")
    args = parser.parse_args()
    asyncio.run(ModemProcess(args.line, args.baud, args.pin).run(args.control))


if __name__ == "__main__":
    main()
