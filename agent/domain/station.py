"""The domain of a whole station: its blocks in the order in which they see an event."""

from __future__ import annotations

from collections.abc import Callable

from agent.domain.blocks.authorization import Authorisation
from agent.domain.blocks.availability import Availability
from agent.domain.blocks.backend_connection import AccessBlock
from agent.domain.blocks.board_state import Street
from agent.domain.blocks.cable_lock import Lock
from agent.domain.blocks.certificates import Certificates
from agent.domain.blocks.contactor import Contactors
from agent.domain.blocks.cost_triggers import Wishes
from agent.domain.blocks.customer_information import Customers
from agent.domain.blocks.device_model import Inventory
from agent.domain.blocks.display import Display
from agent.domain.blocks.evse_status import Status
from agent.domain.blocks.fault_latching import Latches
from agent.domain.blocks.fault_reports import Problems
from agent.domain.blocks.fault_reset import Clearing
from agent.domain.blocks.firmware import Firmware
from agent.domain.blocks.free_vending import Vending
from agent.domain.blocks.kept_cables import KeptCables
from agent.domain.blocks.local_auth_list import Lists
from agent.domain.blocks.log_upload import Logs
from agent.domain.blocks.mains_loss import Power
from agent.domain.blocks.meter_values import Metering
from agent.domain.blocks.metrology import Metrology
from agent.domain.blocks.outlet_selection import Choice
from agent.domain.blocks.overcurrent import OverCurrent
from agent.domain.blocks.remote_control import Remote
from agent.domain.blocks.reservation import Reservations
from agent.domain.blocks.security_events import Security
from agent.domain.blocks.session_cost import Costs
from agent.domain.blocks.sessions import Sessions
from agent.domain.blocks.settings import SettingsBlock
from agent.domain.blocks.smart_charging import Charging
from agent.domain.blocks.startup_taps import Early
from agent.domain.blocks.supply_voltage import Voltages
from agent.domain.blocks.transactions import Transactions
from agent.domain.blocks.unreleased_current import Leaking
from agent.domain.blocks.user_feedback import Signals
from agent.domain.blocks.web_payment import WebPayments
from agent.domain.blocks.web_payment_estimate import Reckoning
from agent.domain.evse import Site
from agent.domain.functional_block import Blocks
from agent.model.types import EvseId


def assemble(site: Site) -> Blocks:
    """The street first (it keeps the picture that the others read), the screen last (it shows what they made of it)."""
    choice, early, lists = Choice(site), Early(site), Lists(site)
    authorisation = Authorisation(site, choice, early)
    latches, lock = Latches(site), Lock(site)
    clearing = Clearing(site, latches)
    status, firmware, logs, costs = Status(site), Firmware(site), Logs(site), Costs(site)
    till, adhoc, paying = _payments(site, choice)
    webpay = WebPayments(site)
    return Blocks(
        (
            Street(site),
            Metrology(site),
            SettingsBlock(site),
            Security(site),
            AccessBlock(site),
            Certificates(site),
            lists,
            choice,
            authorisation,
            Vending(site, authorisation.is_closed),
            Sessions(site),
            KeptCables(site, lock),
            lock,
            early,
            Transactions(site),
            Charging(site),
            latches,
            Availability(site),
            OverCurrent(site),
            Contactors(site),
            Leaking(site),
            Voltages(site),
            Reservations(site),
            Power(site),
            Metering(site),
            status,
            Problems(site),
            firmware,
            logs,
            Remote(site, lock, status, firmware, logs, clearing),
            clearing,
            Inventory(site, status),
            Customers(site, authorisation.cache, lists),
            costs,
            *till,
            webpay,
            Reckoning(site),
            Wishes(site),
            Signals(site),
            Display(site, lambda evse: authorisation.checking(evse) or paying(evse), costs.message_for, webpay.shown),
            *adhoc,
        )
    )


def _payments(site: Site, choice: Choice) -> tuple[tuple[object, ...], tuple[object, ...], Callable[[EvseId], bool]]:
    """The till, whose bill the screen shows; the offers, which speak the screen's language; and whether a bank is being
    asked. Most stations have no terminal."""
    if site.terms is None:
        return (), (), lambda evse: False
    from agent.domain.blocks.card_payment import AdHoc
    from agent.domain.blocks.payment_settlement import Till
    from agent.domain.payment_table import Journal

    journal = Journal(site.terms, site.io_s)
    adhoc = AdHoc(site, journal, choice)
    return (Till(site, journal),), (adhoc,), adhoc.checking
