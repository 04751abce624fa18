"""Every run-time setting, once: type, default, range, and what a change does. ``ocpp/dialects/keys_v1x.py`` says how
a version
calls it. Values travel as text in OCPP; here they are typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from agent.model.fastclass import frozen
from agent.model.types import FEATURE_PROFILES

Value: TypeAlias = bool | int | str | tuple[str, ...]

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


def _v(name: str, default: Value, low: int = 0, high: int = 2**31 - 1, **more: Any) -> Variable:
    kind = {bool: "bool", int: "int", str: "text", tuple: "list"}[type(default)]
    if kind == "text" and high == 2**31 - 1:
        high = 500
    return Variable(name, kind, default, low, high, **more)


POINTS = ("ParkingBayOccupancy", "EVConnected", "Authorized", "PowerPathClosed", "EnergyTransfer")
"""Where a transaction may begin or end (2.x; decision 9)."""
AS_UPDATED = -1
"""Values for the end of a transaction are those that are told while it lasts (1.x knows nothing else); 0: none."""
ENERGY = ("Energy.Active.Import.Register",)
LANGUAGES = ("fr", "de", "lb", "en")
"""Those that texts of the screen are shipped for."""
AMOUNT = r"([0-9]{1,6}(\.[0-9]{1,6})?)?"
HTTPS = r"(https://\S{1,480})?"
OFFSET = r"([+-]?[01][0-9]:[0-5][0-9])?"
OFFLINE_PRICES = ("offline_kwh_price", "offline_hour_price", "offline_flat_price")
"""The backend's default price, per kWh, per hour, once (1.6: ``chargingPrice`` of DefaultPrice)."""
TEXT_MAX = 512
"""Of a text for a driver (MessageContentType of 2.x)."""
OUTLETS_MOST = 4
"""EVSEs that can have settings of their own for payment at a web page."""


def _web(n: int) -> tuple[Variable, ...]:
    """WebPaymentsCtrlr of OCPP 2.1 (2.4.2)."""
    return (
        _v(f"web{n}_enabled", False),
        _v(f"web{n}_template", ""),
        _v(f"web{n}_totp_version", "v1", choices=("v1",)),
        _v(f"web{n}_validity_s", 30, 6, 3600),
        _v(f"web{n}_secret", "", secret=True, own=True, pattern=r"([!-~]{8,64})?"),
        _v(f"web{n}_length", 8, 6, 64),
        _v(f"web{n}_roaming_id", "", 0, 64),
        _v(f"web{n}_quality", "Medium", choices=("Low", "Medium", "Quartile", "High")),
    )


VARIABLES: dict[str, Variable] = {
    v.name: v
    for v in (
        # authorisation
        _v("authorize_remote_start", False),
        _v("auth_cache_enabled", True),
        _v("auth_cache_lifetime_s", 0),
        _v("cache_settles", False),
        _v("local_authorize_offline", True),
        _v("local_pre_authorize", False),
        _v("local_authorization_only", False),
        _v("master_group", "", 0, 36),
        _v("offline_tx_for_unknown_id", False),
        _v("local_list_enabled", True),
        _v("list_max_entries", 10_000, writable=False),
        _v("list_max_items", 1000, writable=False),
        _v("list_settles", False),
        _v("refused_cards_per_min", 10, 0, 1000, writable=False),
        # reservation
        _v("reservation_enabled", True),
        _v("reserve_any", True, writable=False),
        # transactions
        _v("connection_timeout_s", 60, 1, 86400),
        _v("stop_on_ev_disconnect", True),
        _v("stop_on_invalid_id", True),
        _v("max_energy_on_invalid_wh", 0),
        _v("unlock_on_ev_disconnect", True),
        _v("message_attempts", 3, 0, 1000),
        _v("message_retry_interval_s", 60, 0, 86400),
        _v("retry_start_while_charging", True, writable=False),
        _v("tx_start_points", ("PowerPathClosed",), 1, 5, choices=POINTS),
        _v("tx_stop_points", ("Authorized",), 1, 5, choices=POINTS),
        _v("free_vending", False, writable=False),
        # metering
        _v("sample_interval_s", 300, 0, 86400),
        _v("sampled_measurands", ENERGY, 0, 20),
        _v("clock_aligned_interval_s", 0, 0, 86400),
        _v("aligned_measurands", ENERGY, 0, 20),
        _v("aligned_when_idle", False),
        _v("stop_sampled_measurands", (), 0, 20),
        _v("stop_aligned_measurands", (), 0, 20),
        _v("stop_sample_interval_s", AS_UPDATED, AS_UPDATED, 86400),
        _v("stop_clock_interval_s", AS_UPDATED, AS_UPDATED, 86400),
        _v("start_measurands", ENERGY, 0, 20),
        _v("snapshot_interval_s", 300, 10, 3600, writable=False),
        _v("meter_grace_s", 60, 0, 600, writable=False),
        _v("sign_readings", False, writable=False),
        _v("sign_samples", False),
        _v("sign_aligned", False),
        _v("public_key_told", False, writable=False),
        # what charging costs, for the screen
        _v("cost_display", False, writable=False),
        _v("cost_decimals", 2, 0, 4),
        _v("currency", "EUR", 3, 3, pattern="[A-Z]{3}"),
        *(
            _v(f"tariff_{when}{language and '_'}{language}", "", 0, TEXT_MAX)
            for when in ("fallback", "fallback_offline")
            for language in ("", *LANGUAGES)
        ),
        _v("cost_fallback", "", 0, TEXT_MAX),
        *(_v(name, "", 0, 13, pattern=AMOUNT, own=True) for name in OFFLINE_PRICES),
        _v("idle_fee_after_stop", False),
        # payment with a bank card
        _v("offline_payments", False),
        _v("payment_authorize_first", False),
        _v("payment_start", "tap", 0, 8, choices=("tap", "plug")),
        _v("payment_token_type", "Local", 0, 20, choices=("Local", "Central")),
        _v("payment_connect_timeout_s", 300, 1, 86400),
        _v("payment_at_ceiling", "end", 0, 8, choices=("end", "suspend")),
        _v("receipt_url", "", 0, 500, pattern=HTTPS),
        # the screen
        _v("language", "", 0, 8),
        _v("languages", LANGUAGES, writable=False),
        _v("multi_language", True, writable=False),
        _v("time_offset", "", 0, 6, pattern=OFFSET),
        _v("time_offset_next", "", 0, 6, pattern=OFFSET),
        _v("time_offset_next_at", "", 0, 40),
        # link
        _v("heartbeat_interval_s", 900, 0, 86400),
        _v("ping_interval_s", 240, 0, 86400),
        _v("minimum_status_duration_s", 0, 0, 3600),
        _v("reset_retries", 1, 0, 100),
        _v("get_maximum", 100, writable=False),
        _v("message_timeout_s", 30, 1, 3600, writable=False),
        _v("time_sources", ("Heartbeat",), 1, 1, choices=("Heartbeat",)),
        _v("offline_threshold_s", 600, 0, 30 * 86400),
        _v("backoff_minimum_s", 10, 1, 3600),
        _v("backoff_random_s", 10, 0, 3600),
        _v("backoff_repeats", 5, 0, 10),
        _v("network_attempts", 3, 1, 100, own=True),
        _v("network_priority", ("1",), 1, 3, choices=("1", "2", "3"), reboot=True, own=True),
        _v("network_slot", 1, 1, 3, writable=False),
        # smart charging
        _v("profile_stack_level_max", 20, 0, 1000, writable=False),
        _v("profile_periods_max", 100, 1, 1024, writable=False),
        _v("profile_rate_units", ("Current", "Power"), 0, 2, writable=False),
        _v("profiles_max", 40, 1, 1000, writable=False),
        _v("phase_switching", False, writable=False),
        _v("nominal_voltage_v", 230, 50, 500, writable=False),
        # files
        _v("file_transfer_protocols", ("FTP", "FTPS", "HTTP", "HTTPS"), writable=False),
        _v("signed_firmware_required", False, writable=False),
        # station
        _v("connector_phase_rotation", ("0.RST",), 0, 50, pattern=rf"\d{{1,4}}\.({'|'.join(ROTATIONS)})"),
        _v("connector_count", 1, writable=False),
        _v(
            "feature_profiles",
            FEATURE_PROFILES,
            0,
            len(FEATURE_PROFILES),
            writable=False,
        ),
        _v("cpo_name", "", 0, 50),
        _v("chain_max_size", 10_000, writable=False),
        _v("certificates_max", 20, writable=False),
        _v("signing_wait_s", 30, 0, 86400),
        _v("signing_repeats", 3, 0, 10),
        _v("authorization_key", "", 0, 45, secret=True, own=True),
        _v("security_profile", 0, 0, 3, own=True),
        _v("cpo_name", "", 0, 50, own=True),
        _v("root_check", False, writable=False),
        # payment at a web page; 0: of the whole station
        *(v for n in range(OUTLETS_MOST + 1) for v in _web(n)),
        *(_v(f"qr{n}_url", "") for n in range(1, OUTLETS_MOST + 1)),
        _v("blink_repeat", 3, 0, 20),
        _v("light_intensity", 100, 0, 100),
    )
}


def web_part(n: int) -> str:
    """The name of the part that these settings belong to (``Settings.fitted``)."""
    return f"WebPayments{n}"


def code_part(n: int) -> str:
    return f"Code{n}"


LAMP = "Lamp"
"""A status lamp that the agent drives (``Settings.fitted``)."""
TERMINAL = "Terminal"
"""Bank cards are taken (``Settings.fitted``)."""
COST = "CostDisplay"
"""Price and cost are shown (``cost_display``)."""


class WrongValue(ValueError):
    """The text is not a value of this setting; ``str()`` says why."""


def read(variable: Variable, text: str) -> Value:
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
        return _list(variable, text)
    unlike = bool(variable.pattern) and re.fullmatch(variable.pattern, text) is None
    if not variable.low <= len(text) <= variable.high or (variable.choices and text not in variable.choices) or unlike:
        raise WrongValue(f"{variable.name}: is not acceptable")
    return text


def _list(variable: Variable, text: str) -> tuple[str, ...]:
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
            if not known_measurand(item):
                raise WrongValue(f"{variable.name}: {item!r} is not measured here")
    if variable.pattern and any(re.fullmatch(variable.pattern, i, re.ASCII) is None for i in items):
        raise WrongValue(f"{variable.name}: an entry is not acceptable")
    return items


def known_measurand(item: str) -> bool:
    if item in MEASURANDS:
        return True
    head, _, phase = item.rpartition(".")
    return phase in PHASES and head in ("Current.Import", "Power.Active.Import", "Voltage")


def write(variable: Variable, value: Value) -> str:
    """A typed value to text for the wire."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


class Settings:
    """Present values. Reading is attribute-like (``settings["sample_interval_s"]``); only the settings block writes."""

    def __init__(self, initial: Mapping[str, Value] | None = None) -> None:
        self.fitted: frozenset[str] = frozenset()
        """Parts that not every station has and that settings belong to (``LAMP``)."""
        self._values: dict[str, Value] = {n: v.default for n, v in VARIABLES.items()}
        for name, value in (initial or {}).items():
            self.put(name, value)

    def put(self, name: str, value: Value) -> None:
        if name not in VARIABLES:
            raise KeyError(f"no setting is called {name!r}")
        self._values[name] = value

    def offers(self, what: str) -> bool:
        """A profile that this station offers, or a part that it has: names that belong to others do not exist here."""
        if what == COST:
            return self.flag("cost_display")
        return what in self.fitted or what in self.items_of("feature_profiles")

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def flag(self, name: str) -> bool:
        return bool(self._values[name])

    def number(self, name: str) -> int:
        value = self._values[name]
        return value if isinstance(value, int) else 0

    def text(self, name: str) -> str:
        return str(self._values[name])

    def items_of(self, name: str) -> tuple[str, ...]:
        value = self._values[name]
        return value if isinstance(value, tuple) else ()
