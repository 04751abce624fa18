"""The devices of the station as people see and touch them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.model.types import STATION, Fault
from drivers.sim import card as cards
from drivers.sim.card_list import ListedCard
from drivers.sim.checked_values import Impossible, Unknown, checked_choice, checked_evse, checked_number
from drivers.sim.energy_manager import EnergyManager
from drivers.sim.evse import Evse
from drivers.sim.far_ends import StationFarEnds
from drivers.sim.faults import SAFETY
from drivers.sim.terminal import ACTIONS, CARD_BEHAVIOURS, Terminal, merge_ledgers

_LONGEST_TOKEN = 36


class StationDevices:
    """``far_ends`` is None while the world is a model without far ends. ``listed_cards`` by UID."""

    def __init__(self, evses: Mapping[int, Evse], listed_cards: Mapping[bytes, ListedCard], rng: random.Random) -> None:
        self.far_ends: StationFarEnds | None = None
        self._evses = evses
        self._cards = listed_cards
        self._rng = rng
        self._ledger: dict[str, list[Any]] = {"holds": [], "captures": [], "voids": []}

    # --- what can be seen -----------------------------------------------------------------------------------------

    def visible_state(self) -> tuple[Any, ...]:
        """Return everything that a change listener wants to know of."""
        if self.far_ends is not None and self.far_ends.front_panel.buzzer is not None:
            self.far_ends.front_panel.buzzer.read_tones()
        if self.far_ends is not None:
            self.far_ends.bearers.follow_conditions()
        return (
            self.lamp_colors(),
            self.link_conditions(),
            self.bank_ledger(),
            self.terminal_pictures(),
            self.modem_picture(),
        )

    @property
    def stored_ledger(self) -> dict[str, list[Any]]:
        """The bookings of the banks as they were last seen."""
        return self._ledger

    def restore_ledger(self, ledger: Mapping[str, list[Any]]) -> None:
        self._ledger |= ledger

    def lamp_colors(self) -> dict[str, str]:
        """Return the visible color at each outlet: of the agent's lamp, or of the lamp that the board drives."""
        fitted = self.far_ends.front_panel.lamps if self.far_ends is not None else {}
        return {str(n): fitted[n].seen_color() if n in fitted else _board_lamp_color(e) for n, e in self._evses.items()}

    def buzzer_tones(self) -> list[int]:
        """Return the tones of the buzzer in Hz; 0 marks the end of a tone."""
        buzzer = self.far_ends.front_panel.buzzer if self.far_ends is not None else None
        return list(buzzer.heard) if buzzer is not None else []

    def link_conditions(self) -> dict[str, Any]:
        proxies = self.far_ends.link_proxies if self.far_ends is not None else {}
        return {name: proxy.condition_picture() for name, proxy in proxies.items()}

    def bank_ledger(self) -> dict[str, list[Any]]:
        """Return the bookings of the banks behind the payment terminals."""
        terminals = self.far_ends.terminals if self.far_ends is not None else {}
        if any(t.known for t in terminals.values()):
            self._ledger = merge_ledgers(terminals.values())
        return {name: list(rows) for name, rows in self._ledger.items()}

    def terminal_pictures(self) -> list[dict[str, Any]]:
        """Return the picture of each payment terminal; ``evse`` 0: the station's."""
        terminals = self.far_ends.terminals if self.far_ends is not None else {}
        return [{"evse": place, **t.picture} for place, t in sorted(terminals.items())]

    def modem_picture(self) -> dict[str, Any] | None:
        """Return the picture of the modem; None: the station has none that is simulated."""
        return self.far_ends.bearers.modem_picture() if self.far_ends is not None else None

    def far_end_addresses(self) -> dict[str, str]:
        return dict(self.opened_far_ends().addresses)

    def display_panels(self) -> list[dict[str, Any]]:
        """Return the outlets that each simulated panel serves."""
        screens = self.far_ends.front_panel.screens if self.far_ends is not None else {}
        served: dict[Path, list[int]] = {}
        for n, screen in sorted(screens.items()):
            served.setdefault(screen.path, []).append(n)
        return [{"evses": numbers} for numbers in served.values()]

    def render_display_png(self, n: int) -> bytes:
        checked_evse(self._evses, n)
        screens = self.opened_far_ends().front_panel.screens
        if n not in screens:
            raise Unknown(f"EVSE {n} has no simulated display: the station file names its own")
        return screens[n].render_png()

    # --- what drivers do with their hands -------------------------------------------------------------------------

    def tap_contactless_card(
        self, uid: str, evse: int | None = None, card: str = "desfire_ev1", hold_s: float = 0.5
    ) -> None:
        """Hold a card to the contactless reader for ``hold_s``, then take it away."""
        kind = checked_choice(card, "card", cards.KINDS)
        seconds = checked_number(hold_s, "hold_s", 0.0, 3600.0)
        number_ = cards.parse_card_uid(uid, kind)
        fields = self.opened_far_ends().front_panel.fields
        field = fields.get(self._device_place(evse, fields))
        if field is None:
            raise Impossible("there is no simulated contactless reader here: the station file names its own")
        listed = self._cards.get(number_)
        field.present_card(listed.make_card(self._rng) if listed else cards.Card(number_, kind, self._rng), seconds)

    def tap_serial_token(self, token: str, evse: int | None = None) -> None:
        """Let the serial reader send this text as a line."""
        if not isinstance(token, str) or not 1 <= len(token) <= _LONGEST_TOKEN or not token.isprintable():
            raise ValueError(f"token: must be a printable text of 1 to {_LONGEST_TOKEN} characters, is {token!r}")
        readers = self.opened_far_ends().front_panel.line_readers
        reader = readers.get(self._device_place(evse, readers))
        if reader is None:
            raise Impossible("there is no simulated serial reader here: the station file names its own")
        reader.send_token(token)

    def tap_bank_card(self, pan_last4: str, behaviour: str = "approve", evse: int | None = None) -> None:
        """Hold a bank card to the payment terminal for a moment."""
        asked = checked_choice(behaviour, "behaviour", CARD_BEHAVIOURS)
        self._find_terminals(evse)[0].tap_bank_card(pan_last4, asked)

    def tap_terminal_badge(self, uid: str, evse: int | None = None) -> None:
        """Hold a badge to the payment terminal for a moment. Raises ``ValueError`` if no badge has such a UID."""
        cards.parse_card_uid(uid, cards.KINDS[0])
        self._find_terminals(evse)[0].tap_badge(uid)

    def act_on_terminals(self, action: str, evse: int | None = None) -> None:
        """Perform an action on all terminals, or on the one of an EVSE."""
        asked = checked_choice(action, "action", ACTIONS)
        for terminal in self._find_terminals(evse):
            terminal.perform_action(asked)

    def _find_terminals(self, evse: int | None) -> list[Terminal]:
        """Return the EVSE's own terminal or the station's; without an EVSE all of them, the station's first."""
        found = self.opened_far_ends().terminals
        places = sorted(found) if evse is None else [p for p in [self._device_place(evse, found)] if p in found]
        if not places:
            raise Unknown("there is no simulated payment terminal here: the station file names none, or its own")
        return [found[p] for p in places]

    def press_button(self, button: str) -> None:
        buttons = self.opened_far_ends().front_panel.buttons
        if buttons is None or button not in buttons.keys:
            raise Unknown(
                f"there is no button {button!r}; there is: {', '.join(buttons.keys if buttons else ()) or 'none'}"
            )
        buttons.press_button(button)

    def button_names(self) -> list[str]:
        """Return the names of the buttons."""
        buttons = self.far_ends.front_panel.buttons if self.far_ends is not None else None
        return list(buttons.keys) if buttons is not None else []

    def agent_restarted(self) -> None:
        """Discard the taps and presses from the time without an agent."""
        if self.far_ends is not None:
            self.far_ends.front_panel.discard_inputs()

    # --- links, mains and silences -------------------------------------------------------------------------------

    def set_link_condition(self, name: str, **settings: Any) -> None:
        proxies = self.opened_far_ends().link_proxies
        if name not in proxies:
            raise Unknown(f"there is no link {name!r}; there is: {', '.join(proxies) or 'none'}")
        proxies[name].set_condition(**settings)
        self.opened_far_ends().bearers.follow_conditions()

    def act_on_modem(
        self, fault: str | None = None, active: bool = True, signal: int | None = None, **network: str | None
    ) -> None:
        """Switch a fault of the modem, set its signal (in steps of +CSQ), or the ``apn`` that its network knows."""
        modem = next(iter(self.opened_far_ends().bearers.modems.values()), None)
        if modem is None:
            raise Unknown("there is no simulated modem here: the station file has no modem_at, or names its own")
        if signal is not None:
            modem.set_radio_signal(signal)
        if "apn" in network:
            apn = network["apn"]
            modem.set_network_rules(apns=None if apn is None else [apn])
        if fault is not None:
            modem.set_modem_fault(fault, active)
        self.opened_far_ends().bearers.follow_conditions()

    @property
    def energy_manager(self) -> EnergyManager | None:
        """The simulated energy manager that the agent reads."""
        return self.far_ends.energy_manager if self.far_ends is not None else None

    def require_energy_manager(self) -> EnergyManager:
        """Return the simulated energy manager. Raises ``Impossible``."""
        if self.energy_manager is None:
            raise Impossible("there is no simulated energy manager here: add [energy_manager] to the station file")
        return self.energy_manager

    def set_supply_online(self, mains: bool) -> None:
        """Let the power supply report mains or its loss."""
        if self.far_ends is not None and self.far_ends.supply is not None:
            self.far_ends.supply.set_online(mains)

    def apply_silences(self) -> None:
        """Apply the silences of readers and terminals. A shared reader is silent if any EVSE that it serves has the
        fault."""
        if self.far_ends is not None:
            own = [n for n in self._evses if n in self.far_ends.front_panel.line_readers]
            for n in own:
                self.far_ends.front_panel.silence_reader(n, Fault.READER_SILENT in self._evses[n].faults)
            for place, terminal in self.far_ends.terminals.items():
                mine = [self._evses[place]] if place else self._evses.values()
                terminal.set_terminal_power(not any(Fault.TERMINAL_SILENT in e.faults for e in mine))
            shared = [e for n, e in self._evses.items() if n not in own]
            if shared:
                self.far_ends.front_panel.silence_reader(STATION, any(Fault.READER_SILENT in e.faults for e in shared))

    def opened_far_ends(self) -> StationFarEnds:
        if self.far_ends is None:
            raise Impossible("this world has no far ends: it was not opened")
        return self.far_ends

    def _device_place(self, evse: int | None, readers: Mapping[int, Any]) -> int:
        """Return the place of the device: the EVSE's own if it has one, else the station's."""
        if evse is None:
            return STATION
        checked_evse(self._evses, evse)
        return evse if evse in readers else STATION


def _board_lamp_color(evse: Evse) -> str:
    if evse.faults & SAFETY or not evse.registers.available:
        return "red"
    if evse.contactor.closed:
        return "blue"
    return "yellow" if evse.cable or evse.car is not None else "green"
