"""The SIM of a modem of ModemManager: its numbers, and the one use of a PIN."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent.model.bearer import BearerStatus, SimState
from agent.model.fastclass import replace
from agent.ports import Refused
from agent.ports.bearer import PinNotPresented
from drivers.mobile_modem import check_ordered_pin
from drivers.network_manager.connection import Connection
from drivers.network_manager.modem_reading import Interfaces, pin_tries_of, sim_state_of
from drivers.network_manager.names import MM, MODEM, NOTHING, SIM, WRONG_PIN
from drivers.system_bus import CallFailed, NoReply, NotAllowed, ObjectGone, Properties, ServiceAbsent, SystemBus

PIN_S = 25.0

FoundModem = tuple[str, Interfaces, str]
"""Path and properties of the modem, or why there is none."""


class ModemSim:
    """``find_modem``: looks for the modem."""

    def __init__(
        self,
        name: str,
        pin: str,
        bus: SystemBus,
        connection: Connection,
        find_modem: Callable[[], Awaitable[FoundModem]],
    ) -> None:
        self._name, self._pin = name, pin
        self._bus, self._connection, self._find_modem = bus, connection, find_modem
        self._is_pin_refused = False
        self._stale_tries: tuple[str, int | None] | None = None
        """Path of a modem and its tries before a use of the PIN that was not answered: ModemManager counts them when
        it gets the answer of the SIM, and reports the old figure until then."""
        self._numbers: tuple[str, Properties] = "", {}
        """Path and properties of the SIM that was read last, when it had both numbers."""

    def use_other_pin(self, pin: str) -> None:
        """Use this PIN from now on. What the SIM said of another one does not count for it."""
        if pin != self._pin:
            self._is_pin_refused = False
        self._pin = pin

    async def read_numbers(self, interfaces: Interfaces) -> Properties:
        path = interfaces[MODEM].get("Sim", NOTHING)
        if path == NOTHING or sim_state_of(interfaces[MODEM]) is not SimState.READY:
            self._numbers = "", {}
            return {}
        if path != self._numbers[0]:
            try:
                sim = await self._bus.read_properties(MM, path, SIM)
            except ObjectGone:
                return {}
            if not (sim.get("SimIdentifier") and sim.get("Imsi")):
                return sim
            self._numbers = path, sim
        return self._numbers[1]

    def judge_status(self, known: BearerStatus, modem: str) -> BearerStatus:
        """Return the state with what the driver knows of the PIN beside it."""
        if known.sim is SimState.READY:
            self._is_pin_refused, self._stale_tries = False, None
        elif known.sim is SimState.PIN_REQUIRED and self._is_pin_refused:
            known = replace(known, sim=SimState.PIN_REFUSED, reason=f"SIM: {SimState.PIN_REFUSED}")
        if self._stale_tries == (modem, known.pin_tries):
            return replace(known, pin_tries=None)
        self._stale_tries = None
        return known

    # --- the PIN -----------------------------------------------------------------------------------------------------

    async def present_ordered_pin(self, pin_mark: str) -> None:
        """``agent.ports.bearer.BearerPort.unlock_sim``."""
        check_ordered_pin(self._name, self._pin, pin_mark)
        if self._is_pin_refused:
            raise PinNotPresented(f"{self._name}: the SIM has refused this PIN")
        try:
            modem, sim, tries = await self._find_locked_sim()
        except (Refused, ServiceAbsent) as e:
            raise PinNotPresented(str(e)) from e
        try:
            await self._bus.call(MM, sim, f"{SIM}.SendPin", "s", self._pin, timeout_s=PIN_S)
        except (ObjectGone, ServiceAbsent) as e:
            raise PinNotPresented(str(e)) from e
        except Refused as e:
            if isinstance(e, NoReply):
                self._stale_tries = modem, tries
            await self._judge_error(e, tries)

    async def _find_locked_sim(self) -> tuple[str, str, int | None]:
        """Return the paths of the modem and of the SIM that waits for the PIN, and its tries. Raises ``Refused``."""
        if other := await self._connection.find_foreign_dialler():
            raise Refused(
                f"{self._name}: the profile {other!r} of NetworkManager dials by itself, and may try a PIN of its own:"
                f" remove it (nmcli connection delete {other!r}), or set its autoconnect to no"
            )
        path, interfaces, problem = await self._find_modem()
        if not interfaces:
            raise Refused(f"{self._name}: {problem}")
        modem = interfaces[MODEM]
        if sim_state_of(modem) is not SimState.PIN_REQUIRED:
            raise Refused(f"{self._name}: the SIM needs no PIN")
        return path, modem["Sim"], pin_tries_of(modem)

    async def _judge_error(self, error: Refused, tries: int | None) -> None:
        """Raise what the error means: the SIM has not got the PIN, or has refused it, or neither is known.

        A refusal for want of rights is believed if the tries are known and unchanged: the SIM has errors that are
        named like it. ``tries``: before the PIN was sent.
        """
        _, interfaces, _ = await self._find_modem()
        left = pin_tries_of(interfaces[MODEM]) if interfaces else None
        if isinstance(error, NotAllowed) and tries is not None and left == tries:
            raise PinNotPresented(str(error)) from error
        is_wrong = isinstance(error, CallFailed) and error.name == WRONG_PIN
        self._is_pin_refused = is_wrong or (tries is not None and left is not None and left < tries)
        if self._is_pin_refused:
            raise Refused(f"{self._name}: the SIM does not accept the PIN: correct pin") from error
        raise Refused(f"{error}: whether the SIM has accepted the PIN is not known") from error
