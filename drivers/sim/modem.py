"""Far end of a modem: a pseudo terminal that understands AT commands, in a process of its own.

``python -m drivers.sim.modem --line LINK --control SOCKET``. What it does wrong is ordered at the control socket, one
JSON object a line: ``{"do": "fault", "name": "hang", "on": true}``, ``{"do": "set", "signal": 9}``; ``detach``,
``restart``, ``vanish``, ``return``, ``state`` are without values. Each is answered with the state.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.sim.pty_line import PtyLine

SPEEDS = {termios.B9600: 9600, termios.B19200: 19200, termios.B57600: 57600, termios.B115200: 115200}
NOISE = bytes((0xF8, 0x80, 0x1E, 0xE6, 0x00, 0x98, 0x86, 0x0D))
UNASKED = ("+CGREG: 2", "+CSQ: 3,99", "RING")
FAULTS = (
    "no_sim", "puk", "denied", "searching", "no_signal", "hang", "garbage", "unasked", "pieces", "busy", "no_carrier",
    "refuses_all", "pin_busy", "no_numbers", "no_tries",
)  # fmt: skip
"""``unasked``: reports arrive between echo and answer. ``pieces``: an answer arrives in parts. ``busy``: the SIM is.
``no_carrier``: a call is not answered. ``refuses_all``: every command but AT gives an error. ``pin_busy``: the SIM is
busy when it gets a PIN. ``no_numbers``: errors have none. ``no_tries``: the tries of a PIN cannot be read."""
PIECE, PIECE_S = 3, 0.005


class SimModem:
    """The modem's mind: bytes in, bytes out. ``line_speed``: how fast the other side talks; 0: unknown."""

    def __init__(self, baud: int, pin: str, line_speed: Callable[[], int]) -> None:
        self.baud, self._line_speed = baud, line_speed
        self.faults: set[str] = set()
        self.values: dict[str, Any] = {
            "pin": pin, "tries": 3, "locked": bool(pin), "signal": 17, "registered": 5, "operator": "LU POST",
            "iccid": "89352010000000000176", "imsi": "270991234567890", "technology": 3, "apn": "", "attached": 1,
            "functionality": 1,
        }  # fmt: skip
        self.pins_tried = 0
        self.commands: list[str] = []
        self.in_data_mode = False
        self._echoes, self._error_numbers = True, False
        self._rest = b""

    def restart(self) -> bytes:
        """Lose the supply for a moment: everything volatile is as at the start."""
        self.in_data_mode, self._echoes, self._error_numbers, self._rest = False, True, False, b""
        self.values["locked"] = bool(self.values["pin"])
        return b"\r\nRDY\r\n"

    def detach(self) -> bytes:
        """Lose the network."""
        lost, self.in_data_mode = self.in_data_mode, False
        self.faults.add("searching")
        return b"\r\nNO CARRIER\r\n" if lost else b"\r\n+CGEV: NW DETACH\r\n"

    def hear(self, data: bytes) -> bytes:
        if "hang" in self.faults:
            return b""
        if self._line_speed() not in (0, self.baud):
            return NOISE * max(1, len(data) // 4)
        if self.in_data_mode:
            if b"+++" not in data:
                return b""
            self.in_data_mode = False
            return b"\r\nOK\r\n"
        *commands, self._rest = (self._rest + data).split(b"\r")
        return b"".join(self._run_line(c.decode("ascii", "replace").strip()) for c in commands)

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

    def _dial(self) -> list[str]:
        if self._sim_failure() or self._registration() not in (1, 5) or "no_carrier" in self.faults:
            return ["NO CARRIER"]
        self.in_data_mode = True
        return ["CONNECT 115200"]

    def _registration(self) -> int:
        if self._sim_failure() or self.values["functionality"] != 1 or "no_signal" in self.faults:
            return 0
        if "denied" in self.faults:
            return 3
        return 2 if "searching" in self.faults else int(self.values["registered"])

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

    def _on_crsm(self, value: str | None) -> list[str]:
        if failure := self._sim_failure():
            return self._failure(failure)
        digits = self.values["iccid"].ljust(20, "F")
        return [f'+CRSM: 144,0,"{"".join(digits[i + 1] + digits[i] for i in range(0, 20, 2))}"', "OK"]

    def _on_cimi(self, value: str | None) -> list[str]:
        return self._failure(self._sim_failure()) if self._sim_failure() else [self.values["imsi"], "OK"]

    def _on_cgreg(self, value: str | None) -> list[str]:
        stat = self._registration()
        place = f',"00C3","0000A2F1",{self.values["technology"]}' if stat in (1, 5) else ""
        return [f"+CGREG: 2,{stat}{place}", "OK"]

    def _on_cops(self, value: str | None) -> list[str]:
        if self._registration() not in (1, 5):
            return ["+COPS: 0", "OK"]
        return [f'+COPS: 0,0,"{self.values["operator"]}",{self.values["technology"]}', "OK"]

    def _on_csq(self, value: str | None) -> list[str]:
        return [f"+CSQ: {99 if 'no_signal' in self.faults else self.values['signal']},99", "OK"]

    def _on_cgdcont(self, value: str | None) -> list[str]:
        if value is None:
            return [f'+CGDCONT: 1,"IP","{self.values["apn"]}","0.0.0.0",0,0', "OK"]
        self.values["apn"] = value.split(",")[2].strip('"')
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
        if value.endswith(",1"):
            return ["OK", *self.restart().decode().split()]
        return ["OK"]

    def _on_ceer(self, value: str | None) -> list[str]:
        return ["+CEER: PDP activation failed", "OK"]


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
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        server = await asyncio.start_unix_server(self._serve_control, control)
        await ended.wait()
        server.close()
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

    async def _serve_control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while text := await reader.readline():
            try:
                self._obey(json.loads(text))
                answer = self._state()
            except (KeyError, ValueError, TypeError) as e:
                answer = {"error": f"{type(e).__name__}: {e}"}
            writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    def _obey(self, order: dict[str, Any]) -> None:
        match order["do"]:
            case "fault":
                name = order["name"]
                if name not in FAULTS:
                    raise ValueError(f"no such fault: {name}; there are: {', '.join(FAULTS)}")
                (self._modem.faults.add if order.get("on", True) else self._modem.faults.discard)(name)
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

    def _state(self) -> dict[str, Any]:
        modem = self._modem
        return {
            "values": {k: v for k, v in modem.values.items() if k != "pin"},
            "faults": sorted(modem.faults),
            "pins_tried": modem.pins_tried,
            "in_data_mode": modem.in_data_mode,
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
