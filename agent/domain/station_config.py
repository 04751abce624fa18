"""What the station file and the start fix for the life of the process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from agent.domain.backend_connection import BackendConfig
from agent.domain.web_payment import WebPaymentConfig
from agent.model.fastclass import frozen
from agent.model.types import EvseId

if TYPE_CHECKING:
    from agent.domain.bearers import BearerConfig
    from agent.domain.charging.external_limit import ExternalLimitConfig
    from agent.domain.payment import PaymentTerms
    from agent.domain.traffic import DataPlan


@frozen
class StationConfig:
    links: tuple[str, ...] = ("chargy",)
    """The backends by name; the first one authorizes."""
    backends: Mapping[str, BackendConfig] = field(default_factory=dict)
    """What the station file gives for each link."""
    io_s: float = 1.0
    """How much domain time may pass while a device answers (its real second times the clock's rate)."""
    feed_a: float | None = None
    """What each phase of the station's feed carries; None: enough for all EVSEs at once."""
    external_limit: ExternalLimitConfig | None = None
    """Of the energy manager; None: no external system limits the station."""
    mains_hold_s: float = 0.3
    """A shorter loss of mains is a glitch (real seconds)."""
    backup_s: float = 15.0
    """How long the back-up supply is good for (real seconds)."""
    free_vending: bool = False
    resume_within_s: float = 60.0
    languages: tuple[str, ...] = ("fr", "de", "lb", "en")
    number: str = ""
    hotline: str = ""
    price_line: str = ""
    qr_url: str = ""
    web_payment: WebPaymentConfig = field(default_factory=WebPaymentConfig)
    payment_terms: PaymentTerms | None = None
    """Of payment with a bank card; None: there is no terminal."""
    satellites: Mapping[str, tuple[EvseId, ...]] = field(default_factory=dict)
    """Of the payment master: by name, which numbers the outlets of each satellite have at the terminal."""
    is_satellite: bool = False
    """The terminal of another station, the payment master, serves the outlets."""
    limits_transactions: bool = False
    """The backend that authorizes may limit a transaction."""
    takes_tariffs: bool = False
    """The backend that authorizes may set tariffs by which the station computes costs."""
    informs_sinks: bool = False
    """There are sinks: they learn what has become of a card's money, whatever the backends can be sent."""
    tariff_station: str = ""
    """The station, as signed tariff files name it; "": it takes none."""
    reports_variables: bool = True
    """A backend may monitor variables and ask for what is known of a customer: versions since 2.0."""
    settlement_links: tuple[str, ...] = ()
    """The backends that can learn what has become of a card's money (NotifySettlement)."""
    bearers: tuple[BearerConfig, ...] = ()
    """In order of preference; empty: the routes of the kernel decide."""
    data_plan: DataPlan | None = None
    """What a month of traffic may be; None: as much as it takes."""
    sells_without_contract: bool = True
    """An outlet has a price of the station file, for drivers without a contract."""
    has_viewers: bool = True
    """Drivers see screens, lamps and live readings. False: nothing looks at a station of a fleet."""
    has_display: bool = False
    """There is a screen on which a person can be asked something."""
    has_updater: bool = False
    """Firmware can be installed here."""
    program_version: str = ""
    """As a record names it."""
    boot_reason: str = "Unknown"
    """BootReasonEnumType of 2.x: why the agent has started."""
