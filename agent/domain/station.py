"""The domain of a whole station: its blocks in the order in which they see an event."""

from __future__ import annotations

from collections.abc import Callable

from agent.domain.block import Blocks
from agent.domain.blocks.access import AccessBlock
from agent.domain.blocks.authorisation import Authorisation
from agent.domain.blocks.availability import Availability
from agent.domain.blocks.certificates import Certificates
from agent.domain.blocks.charging import Charging
from agent.domain.blocks.choice import Choice
from agent.domain.blocks.clearing import Clearing
from agent.domain.blocks.contactor import Contactors
from agent.domain.blocks.costs import Costs
from agent.domain.blocks.customers import Customers
from agent.domain.blocks.display import Display
from agent.domain.blocks.early import Early
from agent.domain.blocks.firmware import Firmware
from agent.domain.blocks.inventory import Inventory
from agent.domain.blocks.kept_cables import KeptCables
from agent.domain.blocks.latches import Latches
from agent.domain.blocks.leaking import Leaking
from agent.domain.blocks.lists import Lists
from agent.domain.blocks.lock import Lock
from agent.domain.blocks.logs import Logs
from agent.domain.blocks.metering import Metering
from agent.domain.blocks.metrology import Metrology
from agent.domain.blocks.overcurrent import OverCurrent
from agent.domain.blocks.power import Power
from agent.domain.blocks.problems import Problems
from agent.domain.blocks.reckoning import Reckoning
from agent.domain.blocks.remote import Remote
from agent.domain.blocks.reservation import Reservations
from agent.domain.blocks.security import Security
from agent.domain.blocks.sessions import Sessions
from agent.domain.blocks.settings import SettingsBlock
from agent.domain.blocks.signals import Signals
from agent.domain.blocks.status import Status
from agent.domain.blocks.street import Street
from agent.domain.blocks.transactions import Transactions
from agent.domain.blocks.vending import Vending
from agent.domain.blocks.voltages import Voltages
from agent.domain.blocks.webpay import WebPayments
from agent.domain.blocks.wishes import Wishes
from agent.domain.evse import Site
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
    from agent.domain.blocks.adhoc import AdHoc
    from agent.domain.blocks.till import Till
    from agent.domain.payments import Journal

    journal = Journal(site.terms, site.io_s)
    adhoc = AdHoc(site, journal, choice)
    return (Till(site, journal),), (adhoc,), adhoc.checking
