"""Far end of an OpenEVSE board: its own program over the outlet's model, and RAPI on a pseudo terminal.

It behaves like the firmware 8.2: it has states of its own, locks itself when a vehicle leaves and when it starts,
lowers its offer to a set current when no heartbeat comes, and offers its maximum again after an over-temperature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from agent.model.types import Fault
from drivers.sim.evse import LEAST_A, Evse
from drivers.sim.pty_line import PtyLine

BOOT_S = 0.3
_BUFFER_BYTES = 32
_AUTH, _RELAY, _CONNECTED, _BOOT, _MANUAL = 0x0008, 0x0040, 0x0100, 0x4000, 0x8000
_HARD = 0x0002
_TOLD_FLAGS = _AUTH | _CONNECTED | _HARD
_VERSION = "8.2.3.EU"
_COOKIE = "165"
STATES: dict[Fault, int] = {
    Fault.CONTACTOR_WELDED: 0x08,
    Fault.RCD_TEST_FAILED: 0x09,
    Fault.GROUND_FAILURE: 0x06,
    Fault.HIGH_TEMPERATURE: 0x0A,
    Fault.OVER_CURRENT: 0x0B,
    Fault.CONTACTOR_STUCK_OPEN: 0x0E,
    Fault.PROXIMITY_FAULT: 0x0F,
    Fault.DIODE_FAULT: 0x05,
    Fault.VENTILATION_REFUSED: 0x04,
}
"""The faults that this board can report; the first that applies is reported. It has no codes for the others."""
_HARD_FAULTS = frozenset({0x04, 0x05, 0x09, 0x0A, 0x0B})


class Mode(Enum):
    AWAKE = "awake"
    ASLEEP = "asleep"
    DISABLED = "disabled"


@dataclass
class Build:
    """How the firmware was built and set up. ``flags``: settings as ``$GE`` reports them."""

    auth_lock: bool = True
    boot_lock: bool = True
    heartbeat: bool = True
    lock_motor: bool = True
    flags: int = 0x0061
    configured_a: int = 32


class RapiBoard:
    """The board. ``address``: its line. ``spoil``: changes the bytes that it sends, for tests."""

    def __init__(self, evse: Evse, link: Path, build: Build | None = None) -> None:
        self.address = str(link)
        self.build = build or Build(configured_a=int(evse.fitted.max_a))
        self.spoil: Callable[[bytes], bytes] = lambda data: data
        self.beat_interval_s, self.fallback_a = 0, 0
        self._evse = evse
        self._line = PtyLine(link, self._receive_bytes)
        self._buffer = b""
        self._boots_s = 0.0
        self._reset_state()
        evse.program = self.step

    def _reset_state(self) -> None:
        self.mode = Mode.AWAKE
        self.auth_locked, self.boot_locked = self.build.auth_lock, self.build.boot_lock
        self.offer_a = self.build.configured_a
        self.manual = False
        self._trigger, self._unfed_s = 0, 0.0
        self._was_here, self._hot = self._evse.car is not None, False
        self._pilot = 1
        self._reported_state: tuple[int, ...] = ()
        self._apply_to_outlet()

    # --- the line -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._line.open()

    def hang_up(self) -> None:
        self._line.hang_up()

    def reboot(self) -> None:
        """Restart as after a dip of the supply: the volatile state is lost, the line stays up."""
        self._reset_state()
        self._boots_s = BOOT_S

    @property
    def _is_mute(self) -> bool:
        return self._boots_s > 0 or Fault.BOARD_SILENT in self._evse.faults

    def _send_rapi_text(self, text: str) -> None:
        if not self._is_mute:
            self._line.send(self.spoil(_frame_text(text)))

    def _receive_bytes(self, data: bytes) -> bytes:
        for byte in data:
            if byte == ord("$"):
                self._buffer = b"$"
            elif byte == ord("\r"):
                text, self._buffer = self._buffer, b""
                self._handle_line(text)
            elif self._buffer:
                self._buffer = self._buffer + bytes([byte]) if len(self._buffer) < _BUFFER_BYTES else b""
        return b""

    def _handle_line(self, raw: bytes) -> None:
        if self._is_mute or not raw:
            return
        body, mark, digits = raw.decode("ascii", "replace").partition("^")
        if mark and digits.upper() != _checksum_digits(body):
            self._send_rapi_text("NK")
            return
        words = body[1:].split(" ")
        echo = words.pop() if len(words) > 1 and words[-1].startswith(":") else ""
        ok, answer = self._run_command(words[0], words[1:])
        self._send_rapi_text(" ".join(filter(None, ("OK" if ok else "NK", answer, echo))))
        self._apply_to_outlet()
        self._report_changes()

    # --- commands -------------------------------------------------------------------------------------------------

    def _run_command(self, name: str, given: list[str]) -> tuple[bool, str]:
        if name == "FR":
            self.reboot()
            return True, ""
        if name in ("FE", "FS", "FD"):
            self._change_mode(name)
            return True, ""
        if name == "SC" and given:
            return self._change_offer(int(given[0]), volatile=len(given) > 1)
        if name in ("SY", "GY") and self.build.heartbeat:
            return self._feed_heartbeat(
                given
            ) if name == "SY" else True, f"{self.beat_interval_s} {self.fallback_a} " + str(self._trigger)
        if name in ("S4", "G4") and self.build.auth_lock:
            self.auth_locked = given[0] == "1" if name == "S4" else self.auth_locked
            return True, str(int(self.auth_locked)) if name == "G4" else ""
        if name == "SB" and self.build.boot_lock:
            self.boot_locked = self.boot_locked and self.fault_code is not None
            return True, str(int(self.fault_code is not None))
        if name in ("S5", "G5") and self.build.lock_motor:
            return self._set_plug_lock(given[0]) if name == "S5" else True, (
                f"{int(self._evse.lock.locked)} {'M' if self.manual else 'A'}" if name == "G5" else ""
            )
        return self._answer_query(name)

    def _answer_query(self, name: str) -> tuple[bool, str]:
        match name:
            case "GS":
                return (
                    True,
                    f"{self.state_code:02x} {int(self._evse.charging_s)} {self._pilot:02x} {self.state_flags:04x}",
                )
            case "GC":
                return True, f"{LEAST_A} {self.build.configured_a} {self.offer_a} {self._offer_ceiling_a}"
            case "GE":
                return True, f"{self.offer_a} {self.build.flags:04x}"
            case "GV":
                return True, f"{_VERSION} 5.2.1"
            case _:
                return False, ""

    def _change_mode(self, name: str) -> None:
        if name == "FE" and self.mode is not Mode.AWAKE:
            self._was_here = self._evse.car is not None
        self.mode = {"FE": Mode.AWAKE, "FS": Mode.ASLEEP, "FD": Mode.DISABLED}[name]

    def _change_offer(self, amps: int, volatile: bool) -> tuple[bool, str]:
        ok = True
        if not (self._hot and amps > self.offer_a):
            ok = LEAST_A <= amps <= self._offer_ceiling_a
            self.offer_a = max(LEAST_A, min(amps, self._offer_ceiling_a))
        else:
            ok = False
        if not volatile:
            self.build.configured_a = self.offer_a
        return ok, str(self.offer_a)

    def _feed_heartbeat(self, given: list[str]) -> bool:
        self._unfed_s = 0.0
        if len(given) == 2:
            self.beat_interval_s, self.fallback_a, self._trigger = int(given[0]), int(given[1]), 0
        elif given == [_COOKIE] and self._trigger == 2:
            self.offer_a, self._trigger = self._offer_ceiling_a, 1
        return self._trigger != 2

    def _set_plug_lock(self, how: str) -> bool:
        self.manual = how != "A"
        if how == "0":
            self._evse.force_unlock()
        self._evse.registers.lock = how == "1"
        return how in "AM01"

    # --- what it does by itself -----------------------------------------------------------------------------------

    def step(self, real_s: float) -> None:
        if self._boots_s > 0:
            self._boots_s -= real_s
            if self._boots_s <= 0:
                self._send_rapi_text(f"AB {self.fault_code or 0:02x} {_VERSION}")
            return
        self._watch_heartbeat(real_s)
        self._watch_temperature()
        self._watch_vehicle()
        self._apply_to_outlet()
        self._report_changes()

    def _watch_heartbeat(self, real_s: float) -> None:
        self._unfed_s += real_s
        if self.beat_interval_s and self._unfed_s > self.beat_interval_s:
            self.offer_a = min(self.offer_a, max(LEAST_A, self.fallback_a))
            self._trigger, self._unfed_s = 2, 0.0

    def _watch_temperature(self) -> None:
        hot = Fault.TEMPERATURE_DERATING in self._evse.reported_faults(mains_on=True)
        if hot and not self._hot:
            self.offer_a = max(LEAST_A, self._offer_ceiling_a // 2)
        elif self._hot and not hot:
            self.offer_a = self._offer_ceiling_a
        self._hot = hot

    def _watch_vehicle(self) -> None:
        here = self._evse.car is not None
        if self.mode is Mode.AWAKE and self._was_here and not here:
            self.auth_locked = self.build.auth_lock
        if self.mode is Mode.AWAKE and self.fault_code is None:
            self._pilot = (3 if self._evse.car.asks else 2) if self._evse.car else 1
            self._was_here = here
        self.offer_a = min(self.offer_a, self._offer_ceiling_a)

    def _apply_to_outlet(self) -> None:
        evse = self._evse
        evse.set_release(self.mode is Mode.AWAKE and not self.auth_locked and not self.boot_locked)
        evse.registers.limit_a = self.offer_a
        evse.registers.available = self.mode is not Mode.DISABLED

    def _report_changes(self) -> None:
        now = (self.state_code, self._pilot, self.offer_a, self.state_flags & _TOLD_FLAGS)
        if now != self._reported_state:
            self._reported_state = now
            self._send_rapi_text(f"AT {self.state_code:02x} {self._pilot:02x} {self.offer_a} {self.state_flags:04x}")

    # --- its reports ----------------------------------------------------------------------------------------------

    @property
    def fault_code(self) -> int | None:
        return next(
            (code for fault, code in STATES.items() if fault in self._evse.reported_faults(mains_on=True)), None
        )

    @property
    def state_code(self) -> int:
        if self.mode is Mode.DISABLED:
            return 0xFF
        if self.mode is Mode.ASLEEP:
            return 0xFE
        if self.fault_code is not None:
            return self.fault_code
        if self._evse.car is None:
            return 0x01
        return 0x03 if self._evse.car.asks and self._evse.pwm else 0x02

    @property
    def state_flags(self) -> int:
        coil = self._evse.contactor.wanted or (
            self._evse.contactor.closed and Fault.CONTACTOR_WELDED not in self._evse.faults
        )
        bits = {
            _AUTH: self.auth_locked, _RELAY: coil, _CONNECTED: self._evse.car is not None, _BOOT: self.boot_locked,
            _MANUAL: self.manual, _HARD: self.mode is Mode.AWAKE and self.fault_code in _HARD_FAULTS,
        }  # fmt: skip
        return sum(bit for bit, on in bits.items() if on)

    @property
    def _offer_ceiling_a(self) -> int:
        """The greatest offer. The cable's rating counts while a vehicle is connected."""
        reads = self.build.flags & 0x0040 and self.mode is Mode.AWAKE and self._evse.car is not None
        cable_a = self._evse.cable_rating_a if reads else 0
        return min(self.build.configured_a, cable_a) if cable_a else self.build.configured_a


def _checksum_digits(text: str) -> str:
    value = 0
    for character in text:
        value ^= ord(character) & 0xFF
    return f"{value:02X}"


def _frame_text(text: str) -> bytes:
    return f"${text}^{_checksum_digits('$' + text)}\r".encode()
