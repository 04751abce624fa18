"""The OCPP 2.x names of our settings and of the parts of the station: (component, variable,
instance) of its device model.

Source: OCPP 2.0.1 part 2, appendix 3 (standardised components and variables). Settings:
``domain/variables.py`` has each once. Only what works has a name; ``UNNAMED_2`` says why a
setting has none here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent.domain.transaction import TxPoint
from agent.domain.variables import (
    ADHOC_TARIFF,
    AS_UPDATED,
    COST,
    DISPLAY_MESSAGES,
    ENERGY_MANAGER,
    LAMP,
    MEASURANDS,
    MONITORING_BASES,
    OFFLINE_PRICES,
    OUTLETS_MOST,
    POINTS,
    START_POINTS,
    TERMINAL,
    TEXT_MAX,
    VARIABLES,
    Value,
    Variable,
    WrongValue,
    format_value,
    parse_value,
    qr_code_part,
    terminal_part,
    web_payment_part,
)
from agent.model.fastclass import frozen, replace
from agent.model.string_enum import StrEnum
from agent.ocpp.dialects.dialect import Identity
from agent.ocpp.dialects.keys_v1x import PAYMENT_NAMES, WEB_NAMES

ITEMS_MAX = 100
BYTES_MAX = 65536
LIST_BYTES_MAX = 1024 * 1024
LOCK = "ConnectorPlugRetentionLock"
PRICES_2 = dict(zip(("KWhPrice", "HourPrice", "FlatFee"), OFFLINE_PRICES, strict=True))
"""Variables of our own: 2.0.1 has none for a price. Decimal numbers, or "" for none."""
LISTS, RESERVATION = "LocalAuthListManagement", "Reservation"


class Of(StrEnum):
    """Where a component belongs."""

    STATION = "station"
    EVSE = "evse"
    CONNECTOR = "connector"


@frozen
class ReportFacts:
    """The facts from which values are made. ``evses``: number -> its state
    (``blocks/device_model.py``), 0 for the station; ``now``: UTC in the form of the wire, "" if
    it is not known."""

    settings: Mapping[str, Value]
    evses: Mapping[int, Mapping[str, Any]]
    identity: Identity
    now: str = ""
    parts: frozenset[str] = frozenset()
    """``Settings.fitted``."""


@frozen
class Name:
    """One variable. Either it is a ``setting`` of ours, or ``value`` computes its text (of the
    EVSE with this number, 0: of the station). ``watched``: the name under which the domain knows this
    value, for monitors (``domain/monitoring/watched_values.py``). ``kind``: DataEnumType. ``shown``: a setting that
    cannot be written under this name. ``profile``: the variable exists only where the station
    offers this profile (``feature_profiles``) or has this part (``LAMP``). ``only``: of this
    EVSE and of no other. ``component_instance``: of which of several components of this name."""

    component: str
    variable: str
    setting: str = ""
    instance: str = ""
    of: Of = Of.STATION
    value: Callable[[ReportFacts, int], str] | None = None
    kind: str = ""
    unit: str = ""
    choices: str | Callable[[ReportFacts], str] = ""
    shown: bool = False
    constant: bool = False
    high: Callable[[ReportFacts, int], float] | None = None
    profile: str = ""
    only: int = 0
    component_instance: str = ""
    watched: str = ""

    @property
    def watched_name(self) -> str:
        """Return the name under which the domain knows the value; "": it cannot be monitored."""
        if self.watched or self.constant or self.value is not None:
            return self.watched
        return self.setting

    @property
    def own_variable(self) -> Variable | None:
        return VARIABLES[self.setting] if self.setting else None

    @property
    def is_secret(self) -> bool:
        return self.own_variable is not None and self.own_variable.secret

    @property
    def is_writable(self) -> bool:
        return self.own_variable is not None and self.own_variable.writable and not self.shown

    @property
    def data_type(self) -> str:
        kinds = {"bool": "boolean", "int": "integer", "text": "string", "list": "MemberList"}
        return self.kind or kinds[self.own_variable.kind if self.own_variable else "text"]

    def present_text(self, facts: ReportFacts, evse: int) -> str:
        """Return the present value; at most 2500 characters, cut at a comma."""
        if self.value is not None:
            return self.value(facts, evse)
        assert self.own_variable is not None
        text = format_value(self.own_variable, facts.settings.get(self.setting, ""))
        return text if len(text) <= 2500 else text[:2501].rpartition(",")[0]


def _fixed(text: str) -> Callable[[ReportFacts, int], str]:
    return lambda facts, evse: text


def _evse_fact(key: str) -> Callable[[ReportFacts, int], str]:
    return lambda facts, evse: str(facts.evses[evse][key])


def _has_problem(facts: ReportFacts, evse: int) -> str:
    return "true" if facts.evses[evse]["problem"] else "false"


def _has_lock(facts: ReportFacts, evse: int) -> str:
    return "true" if facts.evses[evse]["lockable"] else "false"


def _has_lock_problem(facts: ReportFacts, evse: int) -> str:
    return "true" if facts.evses[evse]["lock_problem"] else "false"


def _connector_type(facts: ReportFacts, evse: int) -> str:
    return str(facts.evses[evse]["connector"])


def _present_power(facts: ReportFacts, evse: int) -> str:
    return f"{facts.evses[evse]['power_w']:.0f}"


def _most_power(facts: ReportFacts, evse: int) -> float:
    return float(facts.evses[evse]["max_power_w"])


def _energy_register(facts: ReportFacts, evse: int) -> str:
    """Return the register of the meter (Wh); "" before it was read."""
    energy_wh = facts.evses[evse]["energy_wh"]
    return "" if energy_wh is None else str(energy_wh)


def _has_store_problem(facts: ReportFacts, evse: int) -> str:
    return "true" if facts.evses[evse]["store_problem"] else "false"


def _list_entry_count(facts: ReportFacts, evse: int) -> str:
    return str(len(facts.evses[evse]["list"].entries))


def _list_bytes(facts: ReportFacts, evse: int) -> str:
    return str(facts.evses[evse]["list"].size_bytes)


def _most_entries(facts: ReportFacts, evse: int) -> float:
    return float(str(facts.settings.get("list_max_entries", 0)))


def _certificate_count(facts: ReportFacts, evse: int) -> str:
    return str(facts.evses.get(0, {}).get("certificates", 0))


def _most_certificates(facts: ReportFacts, evse: int) -> float:
    return float(str(facts.settings.get("certificates_max", 0)))


def _smart_charging_offered(facts: ReportFacts, evse: int) -> str:
    offered = facts.settings.get("feature_profiles", ())
    return "true" if isinstance(offered, tuple) and "SmartCharging" in offered else "false"


def _rate_units(facts: ReportFacts, evse: int) -> str:
    units = facts.settings.get("profile_rate_units", ())
    return ",".join(u for u, word in (("A", "Current"), ("W", "Power")) if isinstance(units, tuple) and word in units)


def _possible_points(points: tuple[str, ...]) -> Callable[[ReportFacts], str]:
    """Make the list of the possible points. A parking bay counts only where there is a sensor."""

    def list_possible_points(facts: ReportFacts) -> str:
        sensed = any(evse.get("bay") for evse in facts.evses.values())
        return ",".join(p for p in points if sensed or p != TxPoint.BAY)

    return list_possible_points


_STATES = "Available,Occupied,Reserved,Unavailable,Faulted"
_MEASURED = ",".join(MEASURANDS)
_PRIORITIES = "AlwaysFront,InFront,NormalCycle"
_BASES = ",".join(MONITORING_BASES)


_TERMINAL_FACTS = {"Model": "model", "SerialNumber": "serial", "FirmwareVersion": "firmware", "Connected": "connected"}


def _of_terminal(place: int) -> Iterator[Name]:
    """Yield what PaymentCtrlr of 2.1 says of the terminal itself; of this EVSE, or (0) of the station."""
    of = Of.EVSE if place else Of.STATION
    for variable, fact in _TERMINAL_FACTS.items():
        kind = "boolean" if variable == "Connected" else "string"
        yield Name(
            "PaymentCtrlr", variable, of=of, only=place, value=_terminal_fact(fact), kind=kind,
            profile=terminal_part(place),
        )  # fmt: skip


def _terminal_fact(fact: str) -> Callable[[ReportFacts, int], str]:
    def fact_text(facts: ReportFacts, evse: int) -> str:
        value = facts.evses[evse].get("terminal", {}).get(fact, False if fact == "connected" else "")
        return str(value).lower() if isinstance(value, bool) else str(value)

    return fact_text


def _part_variables(component: str, of: Of) -> tuple[Name, ...]:
    return (
        Name(component, "Available", of=of, value=_fixed("true"), kind="boolean", constant=True),
        Name(
            component, "AvailabilityState", of=of, value=_evse_fact("status"), kind="OptionList", choices=_STATES,
            watched="status",
        ),
        Name(component, "SupplyPhases", of=of, value=_evse_fact("phases"), kind="integer", constant=True),
        Name(component, "Problem", of=of, value=_has_problem, kind="boolean", watched="problem"),
    )  # fmt: skip


def _interval_or_updated(own: str, as_updated: str) -> Callable[[ReportFacts, int], str]:
    def interval_text(facts: ReportFacts, evse: int) -> str:
        settings = facts.settings
        return str(settings.get(as_updated if settings.get(own) == AS_UPDATED else own, 0))

    return interval_text


_sample_interval = _interval_or_updated("stop_sample_interval_s", "sample_interval_s")
_clock_interval = _interval_or_updated("stop_clock_interval_s", "clock_aligned_interval_s")


def _measurand_list(component: str, variable: str, setting: str) -> Name:
    return Name(component, variable, setting, choices=_MEASURED)


def _choices_or_unit(setting: str) -> dict[str, Any]:
    """Return the list of choices of a text, or the unit of a time."""
    choices = ",".join(VARIABLES[setting].choices)
    unit = {"unit": "s"} if setting.endswith("_s") else {}
    return {"kind": "OptionList", "choices": choices} if choices else unit


def _of_web(n: int, variable: str, setting: str) -> Name:
    """Return a variable of OCPP 2.1's WebPaymentsCtrlr (C25): of one EVSE, or (0) of the whole
    station. It knows no fixed address: ``QRCodeURL`` is our own."""
    of = Of.EVSE if n else Of.STATION
    return Name(
        "WebPaymentsCtrlr", variable, setting, of=of, profile=web_payment_part(n), only=n, **_choices_or_unit(setting)
    )


def _message_count(facts: ReportFacts, evse: int) -> str:
    return str(facts.evses.get(0, {}).get("messages", 0))


def _most_messages(facts: ReportFacts, evse: int) -> float:
    from agent.domain.display_messages import MESSAGES_MAX

    return float(MESSAGES_MAX)


_LAMP = "ChargingStatusIndicator"
DISPLAY = "Display"
"""The component that a message for drivers may name."""


def _lamp_is_lit(facts: ReportFacts, evse: int) -> str:
    return "false" if facts.evses[evse]["lamp"] == "off" else "true"


NAMES: tuple[Name, ...] = (
    *_part_variables("ChargingStation", Of.STATION),
    Name("ChargingStation", "AllowNewSessionsPendingFirmwareUpdate", "sessions_before_update"),
    Name("ChargingStation", "Model", value=lambda f, n: f.identity.model, kind="string", constant=True),
    Name("ChargingStation", "VendorName", value=lambda f, n: f.identity.vendor, kind="string", constant=True),
    Name("ChargingStation", "SerialNumber", value=lambda f, n: f.identity.serial, kind="string", constant=True),
    Name("ChargingStation", "FirmwareVersion", value=lambda f, n: f.identity.firmware, kind="string", constant=True),
    *_part_variables("EVSE", Of.EVSE),
    Name("EVSE", "AllowReset", of=Of.EVSE, value=_fixed("true"), kind="boolean", constant=True),
    *(
        Name(part, "Power", of=of, value=_present_power, kind="decimal", unit="W", high=_most_power, watched="power_w")
        for part, of in (("ChargingStation", Of.STATION), ("EVSE", Of.EVSE))
    ),
    Name(
        "FiscalMetering", "EnergyImportRegister", of=Of.EVSE, value=_energy_register, kind="decimal", unit="Wh",
        watched="energy_wh",
    ),
    *_part_variables("Connector", Of.CONNECTOR),
    Name("Connector", "ConnectorType", of=Of.CONNECTOR, value=_connector_type, kind="string", constant=True),
    Name(LOCK, "Available", of=Of.CONNECTOR, value=_has_lock, kind="boolean", constant=True),
    Name(LOCK, "Problem", of=Of.CONNECTOR, value=_has_lock_problem, kind="boolean", watched="lock_problem"),
    # the lamp
    Name(_LAMP, "Active", of=Of.EVSE, value=_lamp_is_lit, kind="boolean", profile=LAMP),
    Name(_LAMP, "Color", of=Of.EVSE, value=_evse_fact("lamp"), kind="string", profile=LAMP, watched="lamp"),
    Name(_LAMP, "Percent", "light_intensity", profile=LAMP),
    # messages for drivers
    *(replace(name, profile=DISPLAY_MESSAGES) for name in (
        Name(DISPLAY, "Available", value=_fixed("true"), kind="boolean", constant=True),
        Name("DisplayMessageCtrlr", "Available", value=_fixed("true"), kind="boolean", constant=True),
        Name("DisplayMessageCtrlr", "DisplayMessages", value=_message_count, kind="integer", high=_most_messages),
        Name("DisplayMessageCtrlr", "Enabled", value=_fixed("true"), kind="boolean", constant=True),
        Name("DisplayMessageCtrlr", "PersonalMessageSize", value=_fixed(str(TEXT_MAX)), kind="integer", constant=True),
        Name(
            "DisplayMessageCtrlr", "SupportedFormats", value=_fixed("ASCII,UTF8"), kind="MemberList",
            choices="ASCII,HTML,URI,UTF8", constant=True,
        ),
        Name(
            "DisplayMessageCtrlr", "SupportedPriorities", value=_fixed(_PRIORITIES), kind="MemberList",
            choices=_PRIORITIES, constant=True,
        ),
    )),
    # metering
    Name("AlignedDataCtrlr", "Interval", "clock_aligned_interval_s", unit="s"),
    _measurand_list("AlignedDataCtrlr", "Measurands", "aligned_measurands"),
    Name("AlignedDataCtrlr", "SendDuringIdle", "aligned_when_idle"),
    Name("AlignedDataCtrlr", "SignReadings", "sign_aligned"),
    Name("AlignedDataCtrlr", "TxEndedInterval", "stop_clock_interval_s", value=_clock_interval, unit="s"),
    _measurand_list("AlignedDataCtrlr", "TxEndedMeasurands", "stop_aligned_measurands"),
    Name("SampledDataCtrlr", "SignReadings", "sign_samples"),
    Name("SampledDataCtrlr", "TxEndedInterval", "stop_sample_interval_s", value=_sample_interval, unit="s"),
    _measurand_list("SampledDataCtrlr", "TxEndedMeasurands", "stop_sampled_measurands"),
    _measurand_list("SampledDataCtrlr", "TxStartedMeasurands", "start_measurands"),
    Name("SampledDataCtrlr", "TxUpdatedInterval", "sample_interval_s", unit="s"),
    _measurand_list("SampledDataCtrlr", "TxUpdatedMeasurands", "sampled_measurands"),
    # authorization
    Name("AuthCtrlr", "AuthorizeRemoteStart", "authorize_remote_start"),
    Name("AuthCtrlr", "DisableRemoteAuthorization", "local_authorization_only"),
    Name("AuthCtrlr", "LocalAuthorizeOffline", "local_authorize_offline"),
    Name("AuthCtrlr", "LocalPreAuthorize", "local_pre_authorize"),
    Name("AuthCtrlr", "MasterPassGroupId", "master_group"),
    Name("AuthCtrlr", "OfflineTxForUnknownIdEnabled", "offline_tx_for_unknown_id"),
    Name("AuthCacheCtrlr", "Available", value=_fixed("true"), kind="boolean", constant=True),
    Name("AuthCacheCtrlr", "DisablePostAuthorize", "cache_settles"),
    Name("AuthCacheCtrlr", "Enabled", "auth_cache_enabled"),
    Name("AuthCacheCtrlr", "LifeTime", "auth_cache_lifetime_s", unit="s"),
    *(replace(name, profile=LISTS) for name in (
        Name("LocalAuthListCtrlr", "Available", value=_fixed("true"), kind="boolean", constant=True),
        Name("LocalAuthListCtrlr", "BytesPerMessage", value=_fixed(str(LIST_BYTES_MAX)), kind="integer", constant=True),
        Name("LocalAuthListCtrlr", "DisablePostAuthorize", "list_settles"),
        Name("LocalAuthListCtrlr", "Enabled", "local_list_enabled"),
        Name(
            "LocalAuthListCtrlr", "Entries", value=_list_entry_count, kind="integer", high=_most_entries,
            watched="list_entries",
        ),
        Name("LocalAuthListCtrlr", "ItemsPerMessage", "list_max_items", constant=True),
        Name("LocalAuthListCtrlr", "Storage", value=_list_bytes, kind="integer", unit="B"),
    )),
    *(replace(name, profile=RESERVATION) for name in (
        Name("ReservationCtrlr", "Available", value=_fixed("true"), kind="boolean", constant=True),
        Name("ReservationCtrlr", "Enabled", "reservation_enabled"),
        Name("ReservationCtrlr", "NonEvseSpecific", "reserve_any", constant=True),
    )),
    # clock
    Name("ClockCtrlr", "DateTime", value=lambda f, n: f.now, kind="dateTime"),
    *(replace(name, profile=COST) for name in (
        Name("ClockCtrlr", "NextTimeOffsetTransitionDateTime", "time_offset_next_at", kind="dateTime"),
        Name("ClockCtrlr", "TimeOffset", "time_offset"),
        Name("ClockCtrlr", "TimeOffset", "time_offset_next", "NextTransition"),
    )),
    Name("ClockCtrlr", "TimeSource", "time_sources", kind="SequenceList", choices="Heartbeat"),
    # device model
    *(
        Name("DeviceDataCtrlr", variable, instance=of, value=_fixed(str(most)), kind="integer", constant=True)
        for variable, most in (("BytesPerMessage", BYTES_MAX), ("ItemsPerMessage", ITEMS_MAX))
        for of in ("GetReport", "GetVariables", "SetVariables")
    ),
    Name("DeviceDataCtrlr", "Problem", value=_has_store_problem, kind="boolean", watched="store_problem"),
    # monitoring
    Name("MonitoringCtrlr", "ActiveMonitoringBase", "monitoring_base", kind="OptionList", choices=_BASES),
    Name("MonitoringCtrlr", "ActiveMonitoringLevel", "monitoring_level"),
    Name("MonitoringCtrlr", "Available", value=_fixed("true"), kind="boolean", constant=True),
    *(
        Name("MonitoringCtrlr", variable, instance=of, value=_fixed(str(most)), kind="integer", constant=True)
        for variable, most in (("BytesPerMessage", BYTES_MAX), ("ItemsPerMessage", ITEMS_MAX))
        for of in ("ClearVariableMonitoring", "SetVariableMonitoring")
    ),
    Name("MonitoringCtrlr", "Enabled", "monitoring_enabled"),
    Name("MonitoringCtrlr", "OfflineQueuingSeverity", "offline_event_severity"),
    # communication
    Name("OCPPCommCtrlr", "ActiveNetworkProfile", "network_slot"),
    Name(
        "OCPPCommCtrlr", "Entries", instance="MessageQueue", value=_evse_fact("queued"), kind="integer",
        watched="queued_messages",
    ),
    Name("OCPPCommCtrlr", "FileTransferProtocols", "file_transfer_protocols", choices="FTP,FTPS,HTTP,HTTPS,SFTP"),
    Name("OCPPCommCtrlr", "HeartbeatInterval", "heartbeat_interval_s", unit="s"),
    Name("OCPPCommCtrlr", "MessageAttemptInterval", "message_retry_interval_s", "TransactionEvent", unit="s"),
    Name("OCPPCommCtrlr", "MessageAttempts", "message_attempts", "TransactionEvent"),
    Name("OCPPCommCtrlr", "MessageTimeout", "message_timeout_s", "Default", unit="s"),
    Name("OCPPCommCtrlr", "NetworkConfigurationPriority", "network_priority", kind="SequenceList", choices="1,2,3"),
    Name("OCPPCommCtrlr", "NetworkProfileConnectionAttempts", "network_attempts"),
    Name("OCPPCommCtrlr", "OfflineThreshold", "offline_threshold_s", unit="s"),
    Name("OCPPCommCtrlr", "ResetRetries", "reset_retries"),
    Name("OCPPCommCtrlr", "RetryBackOffRandomRange", "backoff_random_s", unit="s"),
    Name("OCPPCommCtrlr", "RetryBackOffRepeatTimes", "backoff_repeats"),
    Name("OCPPCommCtrlr", "RetryBackOffWaitMinimum", "backoff_minimum_s", unit="s"),
    Name("OCPPCommCtrlr", "UnlockOnEVSideDisconnect", "unlock_on_ev_disconnect"),
    Name("OCPPCommCtrlr", "WebSocketPingInterval", "ping_interval_s", unit="s"),
    # security
    Name("SecurityCtrlr", "AdditionalRootCertificateCheck", "root_check"),
    Name("SecurityCtrlr", "BasicAuthPassword", "authorization_key", kind="string"),
    Name("SecurityCtrlr", "CertificateEntries", value=_certificate_count, kind="integer", high=_most_certificates),
    Name("SecurityCtrlr", "CertSigningRepeatTimes", "signing_repeats"),
    Name("SecurityCtrlr", "CertSigningWaitMinimum", "signing_wait_s", unit="s"),
    Name("SecurityCtrlr", "MaxCertificateChainSize", "chain_max_size", constant=True),
    Name("SecurityCtrlr", "OrganizationName", "cpo_name"),
    Name("SecurityCtrlr", "SecurityProfile", "security_profile", shown=True),
    # smart charging
    Name("SmartChargingCtrlr", "Available", value=_smart_charging_offered, kind="boolean", constant=True),
    Name("SmartChargingCtrlr", "Enabled", value=_smart_charging_offered, kind="boolean", constant=True),
    Name(
        "SmartChargingCtrlr", "Entries", instance="ChargingProfiles",
        value=lambda f, n: str(f.evses.get(0, {}).get("profiles", 0)), kind="integer", watched="profile_count",
        high=lambda f, n: float(str(f.settings.get("profiles_max", 0))),
    ),
    *(replace(name, profile=ENERGY_MANAGER) for name in (
        Name("SmartChargingCtrlr", "ExternalControlSignalsEnabled", value=_fixed("true"), kind="boolean"),
        Name("SmartChargingCtrlr", "NotifyChargingLimitWithSchedules", "notify_limit_schedules"),
    )),
    Name(
        "SmartChargingCtrlr", "LimitChangeSignificance", "limit_change_percent", kind="decimal", unit="Percent",
        high=lambda f, n: 100.0,
    ),
    Name("SmartChargingCtrlr", "PeriodsPerSchedule", "profile_periods_max"),
    Name("SmartChargingCtrlr", "Phases3to1", "phase_switching"),
    Name("SmartChargingCtrlr", "ProfileStackLevel", "profile_stack_level_max"),
    Name("SmartChargingCtrlr", "RateUnit", "profile_rate_units", value=_rate_units, choices="A,W"),
    # cost and tariff
    *(replace(name, profile=COST) for name in (
        *(
            Name("TariffCostCtrlr", variable, instance=what, value=_fixed("true"), kind="boolean", constant=True)
            for variable in ("Available", "Enabled")
            for what in ("Cost", "Tariff")
        ),
        Name("TariffCostCtrlr", "Currency", "currency"),
        *(Name("TariffCostCtrlr", name, setting) for name, setting in PRICES_2.items()),
        Name("TariffCostCtrlr", "TariffFallbackMessage", "tariff_fallback"),
        Name("TariffCostCtrlr", "TotalCostFallbackMessage", "cost_fallback"),
    )),
    # the ad-hoc price
    Name("TariffCostCtrlr", "AdhocTariff", "adhoc_tariff", profile=ADHOC_TARIFF),
    Name("TariffCostCtrlr", "AdhocTariffInForce", "adhoc_tariff_in_force", profile=ADHOC_TARIFF),
    # payment with a bank card
    *(
        Name("PaymentCtrlr", variable, setting, profile=TERMINAL, **_choices_or_unit(setting))
        for variable, setting in PAYMENT_NAMES.items()
    ),
    *(name for place in range(OUTLETS_MOST + 1) for name in _of_terminal(place)),
    # payment at a web page
    *(_of_web(n, variable, f"web{n}_{ours}") for n in range(OUTLETS_MOST + 1) for variable, ours in WEB_NAMES.items()),
    *(
        Name("WebPaymentsCtrlr", "QRCodeURL", f"qr{n}_url", of=Of.EVSE, profile=qr_code_part(n), only=n)
        for n in range(1, OUTLETS_MOST + 1)
    ),
    # transactions
    Name("TxCtrlr", "EVConnectionTimeOut", "connection_timeout_s", unit="s"),
    Name("TxCtrlr", "MaxEnergyOnInvalidId", "max_energy_on_invalid_wh", unit="Wh"),
    Name("TxCtrlr", "StopTxOnEVSideDisconnect", "stop_on_ev_disconnect"),
    Name("TxCtrlr", "StopTxOnInvalidId", "stop_on_invalid_id"),
    Name("TxCtrlr", "TxStartPoint", "tx_start_points", choices=_possible_points(START_POINTS)),
    Name("TxCtrlr", "TxStopPoint", "tx_stop_points", choices=_possible_points(POINTS)),
)  # fmt: skip

UNNAMED_2: Mapping[str, str] = {
    "blink_repeat": "1.x only",
    "report_adhoc_tariff": "1.x only; in 2.x the price in force can be monitored",
    "certificates_max": "shown as the limit of SecurityCtrlr.CertificateEntries",
    "connector_count": "the device model itself says it",
    "connector_phase_rotation": "optional in 2.x; not used here",
    "feature_profiles": "1.x only; in 2.x the controllers that are there say it",
    "free_vending": "a matter of the station file, not of a backend",
    "get_maximum": "ItemsPerMessage is fixed here",
    "list_max_entries": "shown as the limit of LocalAuthListCtrlr.Entries",
    "minimum_status_duration_s": "1.x only",
    "nominal_voltage_v": "a matter of the installation: what W and A are to each other",
    "retry_start_while_charging": "1.x only; in 2.x the station numbers the transactions",
    "profiles_max": "reported as the limit of SmartChargingCtrlr.Entries",
    **dict.fromkeys(
        (
            "cost_display",
            "cost_decimals",
            "idle_fee_after_stop",
            "language",
            "languages",
            "multi_language",
            *(
                n
                for n in VARIABLES
                if n.startswith(("tariff_", "offline_"))
                and n
                not in (
                    "offline_event_severity",
                    "offline_threshold_s",
                    "offline_tx_for_unknown_id",
                    "tariff_fallback",
                    "offline_payments",
                    *OFFLINE_PRICES,
                )
            ),
        ),
        "what charging costs: no name of 2.0.1",
    ),
    **dict.fromkeys(
        (
            "payment_amount",
            "payment_increment",
            "payment_increment_threshold",
            "payment_details",
            "csms_settles",
            "csms_receipts",
        ),
        "of PaymentCtrlr in 2.1 alone (agent/ocpp/v21/payments.py)",
    ),
    "settlement_vendor_id": "1.x only; in 2.1 there is NotifySettlement",
    "snapshot_interval_s": "inner matter of the station",
    "meter_grace_s": "a matter of the station's metrology",
    "refused_cards_per_min": "a matter of the place where the readers are",
    "sign_readings": "one record at the end of a transaction; SignReadings promises every sample",
    "public_key_told": "of that record",
    "signed_firmware_required": "2.x takes no firmware without a signature (L01.FR.11)",
}
"""Settings that have no name in 2.x, and why."""


def parse_settings(table: Mapping[str, Any]) -> tuple[dict[str, Value], list[str]]:
    """Parse ``[settings.ocpp2]`` of a station file: keys ``Component.Variable``
    (``Component.Variable[Instance]``; of EVSE 1 ``Component.1.Variable``), or a table per
    component. Return typed values by our own names, and one line per problem."""
    values: dict[str, Value] = {}
    problems = []
    for key, given in _flatten_tables(table):
        name = next((n for n in NAMES if n.is_writable and key.lower() in _accepted_spellings(n)), None)
        if name is None or name.own_variable is None:
            problems.append(f"settings.ocpp2.{key}: no such OCPP 2.x variable can be set")
            continue
        try:
            values[name.setting] = parse_value(name.own_variable, _format_given(given))
        except WrongValue as e:
            problems.append(f"settings.ocpp2.{key}: {e}")
    return values, problems


def _flatten_tables(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for key, value in table.items():
        out += [(f"{key}.{k}", v) for k, v in value.items()] if isinstance(value, Mapping) else [(key, value)]
    return out


def _accepted_spellings(name: Name) -> set[str]:
    plain = f"{name.component}.{f'{name.only}.' if name.only else ''}{name.variable}".lower()
    return {plain, f"{plain}[{name.instance.lower()}]"}


def _format_given(given: Any) -> str:
    if isinstance(given, bool):
        return "true" if given else "false"
    return ",".join(map(str, given)) if isinstance(given, list) else str(given)
