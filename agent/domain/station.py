"""The domain of a whole station: its blocks in the order in which they see an event."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from agent.domain.blocks.authorization import AuthorizationBlock
from agent.domain.blocks.availability import Availability
from agent.domain.blocks.backend_connection import BackendConnectionBlock
from agent.domain.blocks.board_state import BoardStateBlock
from agent.domain.blocks.cable_lock import CableLock
from agent.domain.blocks.certificates import Certificates
from agent.domain.blocks.contactor_guard import ContactorGuard
from agent.domain.blocks.cost_triggers import CostTriggers
from agent.domain.blocks.data_budget import DataBudget
from agent.domain.blocks.device_model import DeviceModel
from agent.domain.blocks.display import Display, MessageValues, no_message_values
from agent.domain.blocks.evse_status import EvseStatus
from agent.domain.blocks.fault_latching import FaultLatching
from agent.domain.blocks.fault_reports import FaultReports
from agent.domain.blocks.fault_reset import FaultReset
from agent.domain.blocks.firmware_refusal import FirmwareRefusal
from agent.domain.blocks.free_vending import FreeVending
from agent.domain.blocks.kept_cables import KeptCables
from agent.domain.blocks.local_auth_list import LocalAuthListBlock
from agent.domain.blocks.log_upload import LogUpload
from agent.domain.blocks.mains_loss import MainsLoss
from agent.domain.blocks.meter_values import MeterValues
from agent.domain.blocks.metrology import Metrology
from agent.domain.blocks.outlet_selection import OutletSelection
from agent.domain.blocks.overcurrent import OverCurrent
from agent.domain.blocks.remote_control import RemoteControl
from agent.domain.blocks.reservation import Reservations
from agent.domain.blocks.security_events import SecurityEventsBlock
from agent.domain.blocks.session_cost import SessionCosts
from agent.domain.blocks.sessions import Sessions
from agent.domain.blocks.settings import SettingsBlock
from agent.domain.blocks.smart_charging import SmartCharging
from agent.domain.blocks.startup_taps import StartupTaps
from agent.domain.blocks.supply_voltage import SupplyVoltage
from agent.domain.blocks.transactions import Transactions
from agent.domain.blocks.unreleased_current import UnreleasedCurrent
from agent.domain.blocks.user_feedback import UserFeedback
from agent.domain.blocks.web_payment import WebPayments
from agent.domain.evse import StationState
from agent.domain.functional_block import Blocks, Watcher
from agent.domain.outlet_claims import OutletClaims
from agent.domain.screen_selection import ScreenSelection
from agent.domain.variables import DISPLAY_MESSAGES, ValueChecks

if TYPE_CHECKING:
    from agent.domain.blocks.adhoc_tariffs import AdhocTariffs
    from agent.domain.blocks.card_payment import CardPayments
    from agent.domain.blocks.firmware import FirmwareUpdate
    from agent.domain.blocks.payment_master import PaymentMaster
    from agent.domain.blocks.payment_settlement import PaymentSettlement
    from agent.domain.payment_receipt import ReceiptSeries
    from agent.domain.payment_table import PaymentJournal


T = TypeVar("T")


def assemble_blocks(site: StationState) -> Blocks:
    """Put the blocks in order: first the boards, which all others read; last the screen, which shows all changes."""
    claims = OutletClaims()
    choice, early = OutletSelection(site, claims), StartupTaps(site)
    settlement, payments, vat_values = _payment_blocks(site, choice, claims)
    authorization = AuthorizationBlock(site, choice, early, claims, _any_of([p.is_token_used_up for p in payments]))
    latches, lock, connection = FaultLatching(site), CableLock(site), BackendConnectionBlock(site)
    clearing, webpay, budget = FaultReset(site, latches), WebPayments(site, claims), DataBudget(site)
    watchers, event_numbers = list[Watcher](), itertools.count(1)
    status, firmware, logs, costs = EvseStatus(site), _firmware_block(site), LogUpload(site), SessionCosts(site)
    messages, message_values = _message_block(site, vat_values)
    screens = ScreenSelection(site, claims.is_asked_about, costs.message_for, webpay.idle_screen_values)
    return Blocks(
        (
            BoardStateBlock(site),
            Metrology(site),
            *_settings_blocks(site, connection, costs, webpay, *payments),
            SecurityEventsBlock(site),
            connection,
            *_bearer_blocks(site),
            budget,
            Certificates(site),
            LocalAuthListBlock(site),
            choice,
            authorization,
            FreeVending(site, authorization.is_closed),
            Sessions(site),
            KeptCables(site, lock),
            lock,
            early,
            Transactions(site),
            SmartCharging(site),
            latches,
            Availability(site),
            *_guarding_blocks(site),
            Reservations(site),
            MainsLoss(site),
            MeterValues(site, budget.withholds_sample),
            status,
            FaultReports(site, budget.is_exhausted, event_numbers),
            firmware,
            logs,
            RemoteControl(site, lock, status, firmware.current_status, logs, clearing),
            clearing,
            DeviceModel(site, status),
            *_report_blocks(site, status, watchers, event_numbers, budget, authorization),
            costs,
            *settlement,
            webpay,
            *_estimate_block(site),
            *(*_cost_blocks(site), *_external_limit_block(site, budget)),  # after all that reckons costs
            CostTriggers(site),
            UserFeedback(site),
            *messages,
            Display(site, screens, message_values),
            *payments,
        ),
        watchers,
    )


def _all_value_checks(*blocks: Any) -> ValueChecks:
    return dict(check for block in blocks for check in block.value_checks().items())


def _any_of(checks: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    """Return a check that is true where one of these is."""
    return lambda subject: any(check(subject) for check in checks)


def _joined_values(first: MessageValues, *others: MessageValues) -> MessageValues:
    """Return what a screen shows of all of these."""
    if not others:
        return first
    return lambda evse, now: {name: v for values in (first, *others) for name, v in values(evse, now).items()}


def _guarding_blocks(site: StationState) -> tuple[object, ...]:
    """Return the blocks that compare current, contactor and voltage with what may be."""
    return OverCurrent(site), ContactorGuard(site), UnreleasedCurrent(site), SupplyVoltage(site)


def _settings_blocks(site: StationState, *owners: Any) -> tuple[object, ...]:
    """Return the block of the settings, whose owners check values, and those of prices that are set from afar: only
    stations have them that sell without a contract."""
    if all(e.config.offer is None or e.config.offer.tariff is None for e in site.evses.values()):
        return (SettingsBlock(site, _all_value_checks(*owners)),)
    from agent.domain.blocks.adhoc_tariffs import AdhocTariffs

    prices = AdhocTariffs(site)
    files = _tariff_file_block(site, prices) if site.config.tariff_station else ()
    return SettingsBlock(site, _all_value_checks(*owners, prices)), prices, *files


def _tariff_file_block(site: StationState, prices: AdhocTariffs) -> tuple[object, ...]:
    from agent.domain.blocks.tariff_files import TariffFiles

    return (TariffFiles(site, prices),)


def _firmware_block(site: StationState) -> FirmwareUpdate | FirmwareRefusal:
    if not site.config.has_updater:
        return FirmwareRefusal(site)
    from agent.domain.blocks.firmware import FirmwareUpdate

    return FirmwareUpdate(site)


def _report_blocks(
    site: StationState, status: EvseStatus, watchers: list[Watcher], event_numbers: Iterator[int], budget: DataBudget,
    authorization: AuthorizationBlock,
) -> tuple[object, ...]:  # fmt: skip
    """Return the blocks that only versions since 2.0 have requests for."""
    if not site.config.reports_variables:
        return ()
    from agent.domain.blocks.customer_information import CustomerInformation
    from agent.domain.blocks.monitoring import Monitoring

    monitoring = Monitoring(site, status, watchers, event_numbers, budget.is_exhausted)
    return monitoring, CustomerInformation(site, authorization.cache)


def _estimate_block(site: StationState) -> tuple[object, ...]:
    """Return the block that estimates what a payment at the web page comes to, by the price of the station file."""
    if not site.config.sells_without_contract:
        return ()
    from agent.domain.blocks.web_payment_estimate import WebPaymentEstimate

    return (WebPaymentEstimate(site),)


def _tariff_blocks(site: StationState) -> tuple[object, ...]:
    if not site.config.takes_tariffs:
        return ()
    from agent.domain.blocks.backend_tariffs import BackendTariffs
    from agent.domain.blocks.tariff_session import TariffSessions

    tariffs = BackendTariffs(site)
    return tariffs, TariffSessions(site, tariffs)


def _cost_blocks(site: StationState) -> tuple[object, ...]:
    """Return the blocks that compute costs by the tariffs of a backend, and that keep its limits. Only versions since
    2.1 set any."""
    if not site.config.limits_transactions:
        return _tariff_blocks(site)
    from agent.domain.blocks.transaction_limits import TransactionLimits

    return *_tariff_blocks(site), TransactionLimits(site), *_driver_limit_block(site)


def _driver_limit_block(site: StationState) -> tuple[object, ...]:
    """Return the block of a station at which drivers choose limits: behind what makes them limits of a transaction."""
    if not site.config.web_payment.limit_choices:
        return ()
    from agent.domain.blocks.driver_limits import DriverLimits

    return (DriverLimits(site),)


def _bearer_blocks(site: StationState) -> tuple[object, ...]:
    """Return the blocks of a station with bearers: first what a network profile demands, then the selection, which
    keeps what they report."""
    if not site.config.bearers:
        return ()
    from agent.domain.blocks.bearer_selection import BearerSelection
    from agent.domain.blocks.interface_upkeep import InterfaceUpkeep
    from agent.domain.blocks.modem_recovery import ModemRecovery
    from agent.domain.blocks.network_bearer import NetworkBearer
    from agent.domain.blocks.radio_signal import RadioSignal
    from agent.domain.blocks.sim_cards import SimCards

    selection = BearerSelection(site)  # it makes the records of the bearers
    recovery = ModemRecovery(site), InterfaceUpkeep(site), RadioSignal()
    return NetworkBearer(site), selection, SimCards(site), *recovery


def _message_block(site: StationState, others: tuple[MessageValues, ...]) -> tuple[tuple[object, ...], MessageValues]:
    """Return the block of the messages for drivers, and what a screen shows of them and of ``others``. Most stations
    have none."""
    if not site.settings.offers_part(DISPLAY_MESSAGES):
        return (), _joined_values(no_message_values, *others)
    from agent.domain.blocks.display_messages import DisplayMessages
    from agent.domain.display_messages import message_values

    return (DisplayMessages(site),), _joined_values(partial(message_values, site), *others)


def _external_limit_block(site: StationState, budget: DataBudget) -> tuple[object, ...]:
    """Return the block of a station with an energy manager: behind the sessions, whose rates it reports, and behind the
    statuses, which know the links. Most stations have none."""
    if site.config.external_limit is None:
        return ()
    from agent.domain.blocks.external_limits import ExternalLimits

    return (ExternalLimits(site, site.config.external_limit, budget.is_exhausted),)


def _payment_blocks(
    site: StationState, choice: OutletSelection, claims: OutletClaims
) -> tuple[tuple[object, ...], tuple[CardPayments, ...], tuple[MessageValues, ...]]:
    """Return the settlement, whose bill the screen shows, the card payments, which use the language of the screen, and
    what else the screen shows. Most stations have no terminal."""
    if site.config.is_satellite:
        return _satellite_blocks(site, claims), (), ()
    if site.config.payment_terms is None:
        return (), (), ()
    from agent.domain.blocks.card_payment import CardPayments
    from agent.domain.blocks.csms_settlement import CsmsSettlement
    from agent.domain.blocks.payment_ceiling import PaymentCeiling
    from agent.domain.blocks.payment_documents import PaymentDocuments
    from agent.domain.blocks.payment_orders import PaymentOrders
    from agent.domain.blocks.payment_retention import PaymentRetention
    from agent.domain.blocks.payment_settlement import PaymentSettlement
    from agent.domain.blocks.payment_transaction import PaymentTransactions
    from agent.domain.blocks.terminal_devices import TerminalDevices
    from agent.domain.payment_table import PaymentJournal
    from agent.domain.settlement_reports import report_settlement

    report = partial(report_settlement, site)
    if site.config.satellites:
        from agent.domain.satellite_reports import report_at_master

        report = partial(report_at_master, site)
    journal = PaymentJournal(site.config.payment_terms, site.config.io_s, report)
    ceiling = PaymentCeiling(site, journal)
    numbers, series = _receipt_block(site)
    settlement = PaymentSettlement(site, journal, ceiling, series)
    behind = (
        PaymentOrders(journal),
        PaymentRetention(journal),
        PaymentDocuments(journal),
        PaymentTransactions(site, journal),
        TerminalDevices(site),
        CsmsSettlement(site),
    )
    blocks: tuple[object, ...] = (*numbers, settlement, ceiling, *behind)
    master = _master_block(site, journal, settlement, choice) if site.config.satellites else None
    blocks = (*blocks, *((master,) if master is not None else ()))
    cards = CardPayments(site, journal, choice, claims, master)
    values = (ceiling.screen_values,) if site.config.payment_terms.raise_cents else ()
    if not site.config.payment_terms.vat_numbers:
        return blocks, (cards,), values
    from agent.domain.blocks.vat_number import VatNumbers

    vat_numbers = VatNumbers(site, journal, choice)
    return (*blocks, vat_numbers), (cards,), (*values, vat_numbers.screen_values)


def _satellite_blocks(site: StationState, claims: OutletClaims) -> tuple[object, ...]:
    """Return the blocks of a station whose outlets the terminal of another station serves."""
    from agent.domain.blocks.satellite_grants import SatelliteGrants
    from agent.domain.blocks.satellite_sessions import SatelliteSessions
    from agent.domain.satellite_grant import GrantBook

    book = GrantBook()
    return SatelliteGrants(site, book, claims), SatelliteSessions(site, book)


def _master_block(
    site: StationState, journal: PaymentJournal, settlement: PaymentSettlement, choice: OutletSelection
) -> PaymentMaster:
    """Return the block of a station whose terminal serves other stations."""
    from agent.domain.blocks.payment_master import PaymentMaster

    return PaymentMaster(site, journal, settlement, choice)


def _receipt_block(site: StationState) -> tuple[tuple[object, ...], ReceiptSeries | None]:
    """Return the block that goes on with the numbers of receipts, and the series. Not every station issues receipts."""
    terms = site.config.payment_terms.receipts if site.config.payment_terms else None
    if terms is None:
        return (), None
    from agent.domain.blocks.payment_orders import ReceiptNumbers
    from agent.domain.payment_receipt import ReceiptSeries

    series = ReceiptSeries(terms)
    return (ReceiptNumbers(site, series),), series
