"""Every run-time setting, once: type, default, range, and what a change does. ``ocpp/dialects/keys_v1x.py`` says how
a version
calls it. Values travel as text in OCPP; here they are typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from agent.model.fastclass import frozen
from agent.model.types import FEATURE_PROFILES

Value: TypeAlias = bool | int | str | tuple[str, ...]
ValueChecks: TypeAlias = dict[str, Callable[[Value], bool]]
"""Of settings that more than their range is asked of, by name: may this value be set?"""

MEASURANDS = (
    "Current.Import",
    "Current.Offered",
    "Energy.Active.Export.Register",
    "Energy.Active.Import.Register",
    "Frequency",
    "Power.Active.Import",
    "Power.Factor",
    "Power.Offered",
    "SoC",
    "Voltage",
)
"""What an AC station can measure; a phase may follow (``Voltage.L1-N``, ``Current.Import.L2``)."""
PHASES = ("L1", "L2", "L3", "L1-N", "L2-N", "L3-N")


ROTATIONS = ("NotApplicable", "Unknown", "RST", "RTS", "SRT", "STR", "TRS", "TSR")
"""How the phases of a connector lie against those of its meter (OCPP 1.6 9.1, ConnectorPhaseRotation)."""


@frozen
class Variable:
    """``kind``: bool, int, text, list (comma separated). ``low``/``high``: range of an int, length of a text, count
    of a list. ``writable``: by a backend. ``reboot``: takes effect after a restart. ``secret``: never shown. ``own``:
    of the station and its first backend; another one may not set it."""

    name: str
    kind: str
    default: Value
    low: int = 0
    high: int = 2**31 - 1
    choices: tuple[str, ...] = ()
    writable: bool = True
    reboot: bool = False
    secret: bool = False
    own: bool = False
    pattern: str = ""
    """Of a text, or of each entry of a list: what it has to look like."""


def _make_variable(name: str, default: Value, low: int = 0, high: int = 2**31 - 1, **more: Any) -> Variable:
    kind = {bool: "bool", int: "int", str: "text", tuple: "list"}[type(default)]
    if kind == "text" and high == 2**31 - 1:
        high = 500
    return Variable(name, kind, default, low, high, **more)


POINTS = ("ParkingBayOccupancy", "EVConnected", "Authorized", "PowerPathClosed", "EnergyTransfer")
"""Where a transaction may begin or end (2.x; decision 9)."""
START_POINTS = (*POINTS, "DataSigned")
"""A signed register is a point to begin at, not to end at (decision 58)."""
AS_UPDATED = -1
"""Values for the end of a transaction are those that are sent while it lasts (1.x knows nothing
else); 0: none."""
ENERGY = ("Energy.Active.Import.Register",)
LANGUAGES = ("fr", "de", "lb", "en")
"""Those that texts of the screen are shipped for."""
AMOUNT = r"([0-9]{1,6}(\.[0-9]{1,6})?)?"
HUNDREDTHS = r"([0-9]{1,6}(\.[0-9]{1,2})?)?"
PAYMENT_DETAILS = ("CardLast4Digits", "PaymentBrand", "SessionRef")
"""What a terminal tells of a card and its payment, in the words of OCPP 2.1 (additionalInfo of a token)."""
PERCENT = r"100|[0-9]{1,2}(\.[0-9]{1,3})?"
HTTPS = r"(https://\S{1,480})?"
OFFSET = r"([+-]?[01][0-9]:[0-5][0-9])?"
SECRET = r"([!-~]{8,64})?"
CURRENCY = "[A-Z]{3}"
PHASE_ROTATION = rf"\d{{1,4}}\.({'|'.join(ROTATIONS)})"
FORMS = {
    AMOUNT: "an amount such as 0.59, or nothing", HUNDREDTHS: "an amount such as 5 or 0.25, or nothing",
    PERCENT: "a percentage from 0 to 100, with at most three decimals",
    HTTPS: "an address of at most 488 characters that begins with https://",
    OFFSET: "an offset such as +02:00, or nothing", SECRET: "8 to 64 printable characters without a space, or nothing",
    CURRENCY: "three capital letters of ISO 4217, such as EUR",
    PHASE_ROTATION: f"a connector and one of {', '.join(ROTATIONS)}, such as 1.RST",
}  # fmt: skip
"""What a value of each pattern looks like, in words."""
OFFLINE_PRICES = ("offline_kwh_price", "offline_hour_price", "offline_flat_price")
"""The backend's default price, per kWh, per hour, once (1.6: ``chargingPrice`` of DefaultPrice)."""
TEXT_MAX = 512
"""Of a text for a driver (MessageContentType of 2.x)."""
MONITORING_BASES = ("All", "FactoryDefault", "HardWiredOnly")
OUTLETS_MOST = 4
"""EVSEs that can have settings of their own for payment at a web page."""


def _web_payment_variables(n: int) -> tuple[Variable, ...]:
    """WebPaymentsCtrlr of OCPP 2.1 (2.4.2)."""
    return (
        _make_variable(f"web{n}_enabled", False),
        _make_variable(f"web{n}_template", ""),
        _make_variable(f"web{n}_totp_version", "v1", choices=("v1",)),
        _make_variable(f"web{n}_validity_s", 30, 6, 3600),
        _make_variable(f"web{n}_secret", "", secret=True, own=True, pattern=SECRET),
        _make_variable(f"web{n}_length", 8, 6, 64),
        _make_variable(f"web{n}_roaming_id", "", 0, 64),
        _make_variable(f"web{n}_quality", "Medium", choices=("Low", "Medium", "Quartile", "High")),
    )


VARIABLES: dict[str, Variable] = {
    v.name: v
    for v in (
        # authorization
        _make_variable("authorize_remote_start", False),
        _make_variable("auth_cache_enabled", True),
        _make_variable("auth_cache_lifetime_s", 0),
        _make_variable("cache_settles", False),
        _make_variable("local_authorize_offline", True),
        _make_variable("local_pre_authorize", False),
        _make_variable("local_authorization_only", False),
        _make_variable("master_group", "", 0, 36),
        _make_variable("offline_tx_for_unknown_id", False),
        _make_variable("local_list_enabled", True),
        _make_variable("list_max_entries", 10_000, writable=False),
        _make_variable("list_max_items", 1000, writable=False),
        _make_variable("list_settles", False),
        _make_variable("refused_cards_per_min", 10, 0, 1000, writable=False),
        # reservation
        _make_variable("reservation_enabled", True),
        _make_variable("reserve_any", True, writable=False),
        # transactions
        _make_variable("connection_timeout_s", 60, 1, 86400),
        _make_variable("stop_on_ev_disconnect", True),
        _make_variable("stop_on_invalid_id", True),
        _make_variable("max_energy_on_invalid_wh", 0),
        _make_variable("unlock_on_ev_disconnect", True),
        _make_variable("message_attempts", 3, 0, 1000),
        _make_variable("message_retry_interval_s", 60, 0, 86400),
        _make_variable("retry_start_while_charging", True, writable=False),
        _make_variable("tx_start_points", ("PowerPathClosed",), 1, 6, choices=START_POINTS),
        _make_variable("tx_stop_points", ("Authorized",), 1, 5, choices=POINTS),
        _make_variable("free_vending", False, writable=False),
        # metering
        _make_variable("sample_interval_s", 300, 0, 86400),
        _make_variable("sampled_measurands", ENERGY, 0, 20),
        _make_variable("clock_aligned_interval_s", 0, 0, 86400),
        _make_variable("aligned_measurands", ENERGY, 0, 20),
        _make_variable("aligned_when_idle", False),
        _make_variable("stop_sampled_measurands", (), 0, 20),
        _make_variable("stop_aligned_measurands", (), 0, 20),
        _make_variable("stop_sample_interval_s", AS_UPDATED, AS_UPDATED, 86400),
        _make_variable("stop_clock_interval_s", AS_UPDATED, AS_UPDATED, 86400),
        _make_variable("start_measurands", ENERGY, 0, 20),
        _make_variable("snapshot_interval_s", 300, 10, 3600, writable=False),
        _make_variable("meter_grace_s", 60, 0, 600, writable=False),
        _make_variable("sign_readings", False, writable=False),
        _make_variable("sign_samples", False),
        _make_variable("sign_aligned", False),
        _make_variable("public_key_told", False, writable=False),
        # what charging costs, for the screen
        _make_variable("cost_display", False, writable=False),
        _make_variable("cost_decimals", 2, 0, 4),
        _make_variable("currency", "EUR", 3, 3, pattern=CURRENCY),
        *(
            _make_variable(f"tariff_{when}{language and '_'}{language}", "", 0, TEXT_MAX)
            for when in ("fallback", "fallback_offline")
            for language in ("", *LANGUAGES)
        ),
        _make_variable("cost_fallback", "", 0, TEXT_MAX),
        *(_make_variable(name, "", 0, 13, pattern=AMOUNT, own=True) for name in OFFLINE_PRICES),
        _make_variable("idle_fee_after_stop", False),
        # the ad-hoc price
        _make_variable("adhoc_tariff", "", 0, 500, own=True),
        _make_variable("adhoc_tariff_in_force", "", 0, 2500, writable=False),
        _make_variable("report_adhoc_tariff", False, own=True),
        # payment with a bank card
        _make_variable("offline_payments", False),
        _make_variable("payment_authorize_first", False),
        _make_variable("payment_start", "tap", 0, 8, choices=("tap", "plug")),
        _make_variable("payment_token_type", "Local", 0, 20, choices=("Local", "Central")),
        _make_variable("payment_connect_timeout_s", 300, 1, 86400),
        _make_variable("payment_heed_start_verdict", "known", 0, 8, choices=("known", "all", "none")),
        _make_variable("payment_at_ceiling", "end", 0, 8, choices=("end", "suspend")),
        _make_variable("receipt_url", "", 0, 500, pattern=HTTPS),
        _make_variable("payment_amount", "", 0, 10, pattern=HUNDREDTHS, own=True),
        _make_variable("payment_increment", "", 0, 10, pattern=HUNDREDTHS, own=True),
        _make_variable("payment_increment_threshold", "", 0, 10, pattern=HUNDREDTHS, own=True),
        _make_variable("payment_details", PAYMENT_DETAILS, 0, 3, choices=PAYMENT_DETAILS),
        _make_variable("csms_settles", False, own=True),
        _make_variable("csms_receipts", False),
        _make_variable("settlement_vendor_id", "", 0, 255, writable=False),
        # the screen
        _make_variable("language", "", 0, 8),
        _make_variable("languages", LANGUAGES, writable=False),
        _make_variable("multi_language", True, writable=False),
        _make_variable("time_offset", "", 0, 6, pattern=OFFSET),
        _make_variable("time_offset_next", "", 0, 6, pattern=OFFSET),
        _make_variable("time_offset_next_at", "", 0, 40),
        # link
        _make_variable("heartbeat_interval_s", 900, 0, 86400),
        _make_variable("ping_interval_s", 240, 0, 86400),
        _make_variable("minimum_status_duration_s", 0, 0, 3600),
        _make_variable("reset_retries", 1, 0, 100),
        _make_variable("get_maximum", 100, writable=False),
        _make_variable("message_timeout_s", 30, 1, 3600, writable=False),
        _make_variable("time_sources", ("Heartbeat",), 1, 1, choices=("Heartbeat",)),
        _make_variable("offline_threshold_s", 600, 0, 30 * 86400),
        _make_variable("backoff_minimum_s", 10, 1, 3600),
        _make_variable("backoff_random_s", 10, 0, 3600),
        _make_variable("backoff_repeats", 5, 0, 10),
        _make_variable("network_attempts", 3, 1, 100, own=True),
        _make_variable("network_priority", ("1",), 1, 3, choices=("1", "2", "3"), reboot=True, own=True),
        _make_variable("network_slot", 1, 1, 3, writable=False),
        # smart charging
        _make_variable("profile_stack_level_max", 20, 0, 1000, writable=False),
        _make_variable("profile_periods_max", 100, 1, 1024, writable=False),
        _make_variable("profile_rate_units", ("Current", "Power"), 0, 2, writable=False),
        _make_variable("profiles_max", 40, 1, 1000, writable=False),
        _make_variable("phase_switching", False, writable=False),
        _make_variable("nominal_voltage_v", 230, 50, 500, writable=False),
        # monitoring of variables (2.x)
        _make_variable("monitoring_enabled", True),
        _make_variable("monitoring_base", "HardWiredOnly", 0, 20, choices=MONITORING_BASES, writable=False),
        _make_variable("monitoring_level", 9, 0, 9, writable=False),
        _make_variable("offline_event_severity", 3, 0, 9),
        _make_variable("limit_change_percent", "10", 1, 6, pattern=PERCENT),
        _make_variable("notify_limit_schedules", False),
        # files
        _make_variable("file_transfer_protocols", ("FTP", "FTPS", "HTTP", "HTTPS"), writable=False),
        _make_variable("signed_firmware_required", False, writable=False),
        _make_variable("sessions_before_update", False, own=True),
        # station
        _make_variable("connector_phase_rotation", ("0.RST",), 0, 50, pattern=PHASE_ROTATION),
        _make_variable("connector_count", 1, writable=False),
        _make_variable(
            "feature_profiles",
            FEATURE_PROFILES,
            0,
            len(FEATURE_PROFILES),
            writable=False,
        ),
        _make_variable("cpo_name", "", 0, 50),
        _make_variable("chain_max_size", 10_000, writable=False),
        _make_variable("certificates_max", 20, writable=False),
        _make_variable("signing_wait_s", 30, 0, 86400),
        _make_variable("signing_repeats", 3, 0, 10),
        _make_variable("authorization_key", "", 0, 45, secret=True, own=True),
        _make_variable("security_profile", 0, 0, 3, own=True),
        _make_variable("cpo_name", "", 0, 50, own=True),
        _make_variable("root_check", False, writable=False),
        # payment at a web page; 0: of the whole station
        *(v for n in range(OUTLETS_MOST + 1) for v in _web_payment_variables(n)),
        *(_make_variable(f"qr{n}_url", "") for n in range(1, OUTLETS_MOST + 1)),
        _make_variable("blink_repeat", 3, 0, 20),
        _make_variable("light_intensity", 100, 0, 100),
    )
}


def web_payment_part(n: int) -> str:
    """The name of the part that these settings belong to (``Settings.fitted``)."""
    return f"WebPayments{n}"


def terminal_part(place: int) -> str:
    """The name of the part that the payment terminal of this EVSE is (0: of the station)."""
    return f"{TERMINAL} {place}"


def web_limit_part(n: int, parameter: str = "") -> str:
    """The name of the part that a limit which drivers may choose is (``Settings.fitted``); without ``parameter``: any
    of them."""
    return f"WebPayments{n} {parameter or 'limits'}"


DATA_LINK = "DataLink"


def data_link_part(interface: str, has_sim: bool = False) -> str:
    """The name of the part that a bearer is, or the SIM of it (``Settings.fitted``)."""
    return f"{DATA_LINK} {interface} SIM" if has_sim else f"{DATA_LINK} {interface}"


def qr_code_part(n: int) -> str:
    return f"Code{n}"


LAMP = "Lamp"
"""A status lamp that the agent drives (``Settings.fitted``)."""
DISPLAY_MESSAGES = "DisplayMessages"
"""A display, and a version by which a backend puts messages on it (``Settings.fitted``)."""
TERMINAL = "Terminal"
"""Bank cards are taken (``Settings.fitted``)."""
TERMINAL_RAISES = "TerminalRaises"
"""What a bank holds is raised before it is used up (``Settings.fitted``)."""
TARIFFS = "BackendTariffs"
"""Costs are computed by the tariffs of a backend (``Settings.fitted``)."""
ADHOC_TARIFF = "AdhocTariff"
"""Energy is sold without a contract (``Settings.fitted``)."""
TARIFF_FILES = "TariffFiles"
"""Signed tariff files are taken (``Settings.fitted``)."""
ENERGY_MANAGER = "EnergyManager"
"""An external system limits the station."""
COST = "CostDisplay"
"""Price and cost are shown (``cost_display``)."""


class WrongValue(ValueError):
    """The text is not a value of this setting; ``str()`` says why."""


def parse_value(variable: Variable, text: str) -> Value:
    """Text from the wire to a typed value. Raises ``WrongValue``."""
    text = text.strip()
    if variable.kind == "bool":
        if text.lower() not in ("true", "false"):
            raise WrongValue(f"{variable.name}: must be true or false, is {text!r}")
        return text.lower() == "true"
    if variable.kind == "int":
        digits = text[1:] if text[:1] in "+-" else text
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 12:
            raise WrongValue(f"{variable.name}: must be a whole number, is {text!r}")
        number = int(text)
        if not variable.low <= number <= variable.high:
            raise WrongValue(f"{variable.name}: must be {variable.low} to {variable.high}, is {number}")
        return number
    if variable.kind == "list":
        return _parse_list(variable, text)
    if variable.choices and text not in variable.choices:
        raise WrongValue(f"{variable.name}: must be one of {', '.join(map(repr, variable.choices))}")
    if variable.pattern and re.fullmatch(variable.pattern, text) is None:
        raise WrongValue(f"{variable.name}: must be {FORMS[variable.pattern]}")
    if not variable.low <= len(text) <= variable.high:
        raise WrongValue(f"{variable.name}: must have {variable.low} to {variable.high} characters, has {len(text)}")
    return text


def _parse_list(variable: Variable, text: str) -> tuple[str, ...]:
    items = tuple(i.strip() for i in text.split(",") if i.strip())
    if len(items) < variable.low:
        raise WrongValue(f"{variable.name}: needs at least {variable.low} entry")
    if len(items) > variable.high:
        raise WrongValue(f"{variable.name}: has {len(items)} entries, at most {variable.high} are possible")
    unknown = [i for i in items if variable.choices and i not in variable.choices]
    if unknown or (variable.choices and len(set(items)) < len(items)):
        raise WrongValue(f"{variable.name}: {', '.join(unknown) or 'an entry twice'} is not possible here")
    if variable.name.endswith("_measurands"):
        for item in items:
            if not is_known_measurand(item):
                raise WrongValue(f"{variable.name}: {item!r} is not measured here")
    if variable.pattern and any(re.fullmatch(variable.pattern, i, re.ASCII) is None for i in items):
        raise WrongValue(f"{variable.name}: each entry must be {FORMS[variable.pattern]}")
    return items


def is_known_measurand(item: str) -> bool:
    if item in MEASURANDS:
        return True
    head, _, phase = item.rpartition(".")
    return phase in PHASES and head in ("Current.Import", "Power.Active.Import", "Voltage")


def format_value(variable: Variable, value: Value) -> str:
    """A typed value to text for the wire."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


class Settings:
    """Present values. Reading is attribute-like (``settings["sample_interval_s"]``); only the settings block writes."""

    def __init__(self, initial: Mapping[str, Value] | None = None, fitted: frozenset[str] = frozenset()) -> None:
        self.fitted = fitted
        """Parts that not every station has and that settings belong to (``LAMP``)."""
        self._values: dict[str, Value] = {}
        """What is not the default: of ten thousand stations in a process, each would have 200 values of its own."""
        for name, value in (initial or {}).items():
            self.put_value(name, value)

    def put_value(self, name: str, value: Value) -> None:
        if name not in VARIABLES:
            raise KeyError(f"no setting is called {name!r}")
        self._values[name] = value

    def offers_part(self, what: str) -> bool:
        """A profile that this station offers, or a part that it has: names that belong to others do not exist here."""
        if what == COST:
            return self.bool_value("cost_display")
        return what in self.fitted or what in self.list_value("feature_profiles")

    def __contains__(self, name: object) -> bool:
        return name in VARIABLES

    def __getitem__(self, name: str) -> Value:
        value = self._values.get(name)
        return VARIABLES[name].default if value is None else value

    def bool_value(self, name: str) -> bool:
        return bool(self[name])

    def int_value(self, name: str) -> int:
        value = self[name]
        return value if isinstance(value, int) else 0

    def text_value(self, name: str) -> str:
        return str(self[name])

    def list_value(self, name: str) -> tuple[str, ...]:
        value = self[name]
        return value if isinstance(value, tuple) else ()
