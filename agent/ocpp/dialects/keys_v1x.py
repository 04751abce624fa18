"""The OCPP 1.x names of our settings and faults. Settings: ``domain/variables.py`` has each once;
here is its 1.x key.

1.x keys: OCPP 1.6 9.1-9.3 and the security whitepaper. Faults: OCPP 1.6 7.6
(ChargePointErrorCode); the minimum required error codes of ChargeX/INL (CXnnn, or a board's MREC
name as it is) travel as ``vendorErrorCode`` with ``VENDOR_ID``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from agent.domain.variables import (
    ADHOC_TARIFF,
    COST,
    LAMP,
    LANGUAGES,
    OUTLETS_MOST,
    TERMINAL,
    VARIABLES,
    Value,
    Variable,
    WrongValue,
    format_value,
    parse_value,
    qr_code_part,
    web_payment_part,
)
from agent.model.fastclass import frozen
from agent.model.types import Fault
from agent.ocpp.dialects.price_keys import JsonParts, default_price, price_in_force, price_text

# --- settings --------------------------------------------------------------------------------------------------------

CORE, SECURITY, LISTS = "Core", "Security", "LocalAuthListManagement"
RESERVATION, CHARGING = "Reservation", "SmartCharging"
FIRMWARE = "FirmwareManagement"


@frozen
class Key:
    """One 1.x key. ``profile``: the key is listed only where the station offers this profile
    (Core always), or has this part (``LAMP``). ``count_of``: the read-only ``...MaxLength``
    neighbour of this list setting. ``parts``: the value is made of several settings.
    ``language``: the key exists only where the display has this language."""

    key: str
    setting: str
    profile: str = CORE
    count_of: bool = False
    parts: JsonParts | None = None
    language: str = ""
    blank: bool = False
    """A secret that is listed as an empty text: so the list shows that the key exists."""

    @property
    def own_variable(self) -> Variable:
        """The setting behind this key."""
        return VARIABLES[self.setting]

    @property
    def is_readonly(self) -> bool:
        """Whether a backend must not change this key."""
        return self.count_of or not self.own_variable.writable


WEB_NAMES = {
    "Enabled": "enabled", "Length": "length", "QRCodeQuality": "quality", "RoamingEvseId": "roaming_id",
    "SharedSecret": "secret", "TOTPVersion": "totp_version", "URLTemplate": "template",
    "ValidityTime": "validity_s",
}  # fmt: skip


def _web_payment_keys(n: int) -> Iterator[Key]:
    """Return the keys of the published back-port of OCPP 2.1's WebPaymentsCtrlr: of one EVSE, or
    (0) of the station."""
    place = f"WebPaymentsCtrlr.{n}." if n else "WebPaymentsCtrlr."
    return (
        Key(place + name, f"web{n}_{ours}", web_payment_part(n), blank=ours == "secret")
        for name, ours in WEB_NAMES.items()
    )


PAYMENT_NAMES = {
    "AuthorizeDirectPayment": "payment_authorize_first",
    "ReceiptServerUrl": "receipt_url",
    "EVConnectionTimeOut": "payment_connect_timeout_s",
    "OfflinePayments": "offline_payments",
    "StartBy": "payment_start",
    "TokenType": "payment_token_type",
    "AtCostLimit": "payment_at_ceiling",
    "HeedStartVerdict": "payment_heed_start_verdict",
}
"""Variables of PaymentCtrlr: the first two are of OCPP 2.1, the others our own. In 1.6 they are keys with the component
in front, as the published back-port of web payments has its own."""


def _core_keys_16() -> tuple[Key, ...]:
    """Return the keys that every station has."""
    return (
        Key("AdditionalRootCertificateCheck", "root_check"),
        Key("AllowOfflineTxForUnknownId", "offline_tx_for_unknown_id"),
        Key("AuthorizationCacheEnabled", "auth_cache_enabled"),
        Key("AuthorizationKey", "authorization_key"),
        Key("AuthorizeRemoteTxRequests", "authorize_remote_start"),
        Key("CertificateSignedMaxChainSize", "chain_max_size"),
        Key("CertificateStoreMaxLength", "certificates_max"),
        Key("ClockAlignedDataInterval", "clock_aligned_interval_s"),
        Key("ConnectionTimeOut", "connection_timeout_s"),
        Key("ConnectorPhaseRotation", "connector_phase_rotation"),
        Key("ConnectorPhaseRotationMaxLength", "connector_phase_rotation", count_of=True),
        Key("CpoName", "cpo_name"),
        Key("GetConfigurationMaxKeys", "get_maximum"),
        Key("HeartbeatInterval", "heartbeat_interval_s"),
        Key("LocalAuthorizeOffline", "local_authorize_offline"),
        Key("LocalPreAuthorize", "local_pre_authorize"),
        Key("MaxEnergyOnInvalidId", "max_energy_on_invalid_wh"),
        Key("MeterValuesAlignedData", "aligned_measurands"),
        Key("MeterValuesAlignedDataMaxLength", "aligned_measurands", count_of=True),
        Key("MeterValuesSampledData", "sampled_measurands"),
        Key("MeterValuesSampledDataMaxLength", "sampled_measurands", count_of=True),
        Key("MeterValueSampleInterval", "sample_interval_s"),
        Key("MinimumStatusDuration", "minimum_status_duration_s"),
        Key("NumberOfConnectors", "connector_count"),
        Key("ResetRetries", "reset_retries"),
        Key("SecurityProfile", "security_profile"),
        Key("StopTransactionOnEVSideDisconnect", "stop_on_ev_disconnect"),
        Key("StopTransactionOnInvalidId", "stop_on_invalid_id"),
        Key("StopTxnAlignedData", "stop_aligned_measurands"),
        Key("StopTxnAlignedDataMaxLength", "stop_aligned_measurands", count_of=True),
        Key("StopTxnSampledData", "stop_sampled_measurands"),
        Key("StopTxnSampledDataMaxLength", "stop_sampled_measurands", count_of=True),
        Key("SupportedFeatureProfiles", "feature_profiles"),
        Key("SupportedFeatureProfilesMaxLength", "feature_profiles", count_of=True),
        Key("TransactionMessageAttempts", "message_attempts"),
        Key("TransactionMessageRetryInterval", "message_retry_interval_s"),
        Key("UnlockConnectorOnEVSideDisconnect", "unlock_on_ev_disconnect"),
        Key("WebSocketPingInterval", "ping_interval_s"),
    )


def _profile_keys_16() -> tuple[Key, ...]:
    """Return the keys of feature profiles, and of a lamp."""
    return (
        Key("ChargeProfileMaxStackLevel", "profile_stack_level_max", CHARGING),
        Key("ChargingScheduleAllowedChargingRateUnit", "profile_rate_units", CHARGING),
        Key("ChargingScheduleMaxPeriods", "profile_periods_max", CHARGING),
        Key("BlinkRepeat", "blink_repeat", LAMP),
        Key("ConnectorSwitch3to1PhaseSupported", "phase_switching", CHARGING),
        Key("LightIntensity", "light_intensity", LAMP),
        Key("LocalAuthListEnabled", "local_list_enabled", LISTS),
        Key("LocalAuthListMaxLength", "list_max_entries", LISTS),
        Key("MaxChargingProfilesInstalled", "profiles_max", CHARGING),
        Key("ReserveConnectorZeroSupported", "reserve_any", RESERVATION),
        Key("SendLocalListMaxLength", "list_max_items", LISTS),
        Key("SupportedFileTransferProtocols", "file_transfer_protocols", FIRMWARE),
    )


def _payment_keys_16() -> tuple[Key, ...]:
    """Return the keys about prices, costs and ways to pay."""
    return (
        Key("AdhocTariff", "adhoc_tariff", ADHOC_TARIFF),
        Key("AdhocTariffInForce", "adhoc_tariff_in_force", ADHOC_TARIFF, parts=price_in_force()),
        Key("AdhocTariffReports", "report_adhoc_tariff", ADHOC_TARIFF),
        Key("CustomDisplayCostAndPrice", "cost_display"),
        Key("CustomIdleFeeAfterStop", "idle_fee_after_stop", COST),
        Key("CustomMultiLanguageMessages", "multi_language", COST),
        Key("DefaultPrice", "tariff_fallback", COST, parts=default_price()),
        *(
            Key(f"DefaultPriceText,{code}", f"tariff_fallback_{code}", COST, parts=price_text(code), language=code)
            for code in LANGUAGES
        ),
        Key("Language", "language", COST),
        Key("NextTimeOffsetTransitionDateTime", "time_offset_next_at", COST),
        Key("NumberOfDecimalsForCostValues", "cost_decimals", COST),
        Key("SupportedLanguages", "languages", COST),
        Key("TimeOffset", "time_offset", COST),
        Key("TimeOffsetNextTransition", "time_offset_next", COST),
        *(
            Key(f"PaymentCtrlr.{variable}", setting, TERMINAL)
            for variable, setting in PAYMENT_NAMES.items()
            if setting != "payment_token_type"
        ),
        *(key for n in range(OUTLETS_MOST + 1) for key in _web_payment_keys(n)),
        *(Key(f"qrCodeURL{n}", f"qr{n}_url", qr_code_part(n)) for n in range(1, OUTLETS_MOST + 1)),
    )


@cache
def list_keys_16() -> tuple[Key, ...]:
    """Return the keys of OCPP 1.6 in alphabetical order; those of the same name with a language in the order of the
    languages. A start does without them: they are made when a backend asks for one."""
    keys = (*_core_keys_16(), *_profile_keys_16(), *_payment_keys_16())
    return tuple(sorted(keys, key=lambda k: k.key.partition(",")[0].lower()))


UNNAMED_16: Mapping[str, str] = {
    "payment_token_type": "2.x only; an idTag has no type",
    **dict.fromkeys(
        (
            "payment_amount",
            "payment_increment",
            "payment_increment_threshold",
            "payment_details",
            "csms_settles",
            "csms_receipts",
        ),
        "2.1 only: 1.6 has no message about the money of a card",
    ),
    "settlement_vendor_id": "a matter between operator and backend: the station file says it (docs/payments.md)",
    "aligned_when_idle": "2.x only",
    "auth_cache_lifetime_s": "2.x only; 1.6 lets the entries expire by their expiryDate",
    "cache_settles": "2.x only; 1.6 asks about a card that is cached as not accepted (4.1)",
    "list_settles": "2.x only; 1.6 asks about a card that is listed as not accepted (4.1)",
    "local_authorization_only": "2.x only",
    "limit_change_percent": "2.x only; 1.6 has no message for an external limit",
    "notify_limit_schedules": "2.x only",
    "master_group": "2.x only",
    "reservation_enabled": "2.x only",
    "cost_fallback": "2.x only",
    "currency": "2.x only; in 1.6 the price texts say it",
    "free_vending": "a matter of the station file, not of a backend",
    "network_attempts": "2.x only",
    "network_priority": "2.x only; in 1.6 the station file has the address",
    "network_slot": "2.x only",
    "nominal_voltage_v": "a matter of the installation: what W and A are to each other",
    "snapshot_interval_s": "inner matter of the station",
    "meter_grace_s": "a matter of the station's metrology",
    "refused_cards_per_min": "a matter of the place where the readers are",
    "retry_start_while_charging": "a matter of the station file: what a bill is worth to the operator",
    "sign_readings": "one record at the end of a transaction; the note's key promises every sample",
    "public_key_told": "of that record",
    "sessions_before_update": "2.x only; in 1.6 no session begins while new firmware waits",
    "signed_firmware_required": "1.6 has no key for it; UpdateFirmware is answered by DownloadFailed",
    "sign_samples": "2.0.1 has it; the keys of the OCA's note on signed values are not offered",
    "sign_aligned": "as sign_samples",
    "start_measurands": "2.x only; StartTransaction carries the register and nothing else",
    "stop_clock_interval_s": "2.x only; 1.6 has one interval for both",
    "stop_sample_interval_s": "2.x only; 1.6 has one interval for both",
    **dict.fromkeys(
        ("monitoring_enabled", "monitoring_base", "monitoring_level", "offline_event_severity"),
        "2.x only; 1.6 has no monitors",
    ),
    "time_sources": "2.x only",
    "tx_start_points": "2.x only; 1.6 begins when there is a token (decision 9)",
    "tx_stop_points": "2.x only",
    "message_timeout_s": "2.x only",
    "signing_repeats": "2.x only; a signing request is repeated as by default",
    "signing_wait_s": "2.x only",
    "offline_threshold_s": "2.x only; 1.6 sends what has changed",
    "backoff_minimum_s": "2.x only",
    "backoff_random_s": "2.x only",
    "backoff_repeats": "2.x only",
}
"""Settings that have no 1.x key, and why."""

UNOFFERED_16: Mapping[str, str] = dict.fromkeys(
    (
        "CentralContractValidationAllowed", "CertSigningRepeatTimes", "CertSigningWaitMinimum",
        "ContractValidationOffline", "ISO15118PnCEnabled",
    ),
    "no ISO 15118: AC by IEC 61851-1",
)  # fmt: skip
"""Keys of the standard, its whitepapers and application notes that this station does not have, and why."""


@cache
def _keys_by_name() -> Mapping[str, Key]:
    return {k.key.lower(): k for k in list_keys_16()}


def find_key_16(name: str) -> Key | None:
    """Return the key of this name. Keys are CiStrings: case does not matter."""
    return _keys_by_name().get(name.lower())


def format_value_16(key: Key, value: Value) -> str:
    """Format a value for GetConfiguration; at most 500 characters, cut at a comma."""
    if key.count_of:
        return str(key.own_variable.high)
    text = format_value(key.own_variable, value)
    return text if len(text) <= 500 else text[:501].rpartition(",")[0]


def parse_value_16(key: Key, text: str) -> dict[str, str]:
    """Return the settings, as texts, that this value of a key sets. Raises ``WrongValue``."""
    return {key.setting: text} if key.parts is None else key.parts.split(text)


def parse_settings(table: Mapping[str, Any]) -> tuple[dict[str, Value], list[str]]:
    """Parse ``[settings.ocpp16]`` of a station file: typed values by our own names, and one line
    per problem."""
    values: dict[str, Value] = {}
    problems = []
    for name, given in table.items():
        key = find_key_16(name)
        if key is None or key.count_of:
            problems.append(f"settings.ocpp16.{name}: no such OCPP 1.6 key can be set")
            continue
        text = str(given).lower() if isinstance(given, bool) else str(given)
        try:
            values |= {name: parse_value(VARIABLES[name], part) for name, part in parse_value_16(key, text).items()}
        except WrongValue as e:
            problems.append(f"settings.ocpp16.{name}: {e}")
    return values, problems


PLAIN = "text:"


def authorization_key_bytes(text: str) -> bytes:
    """Return the password of HTTP Basic. The whitepaper has the key in hexadecimal (32-40
    digits); raw text occurs too. A text set by 2.x is never hexadecimal: it is kept with
    ``PLAIN`` before it."""
    if text.startswith(PLAIN):
        return text.removeprefix(PLAIN).encode()
    if 32 <= len(text) <= 40 and len(text) % 2 == 0:
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass  # not hexadecimal: the text itself is the password
    return text.encode("utf-8", "replace")


def is_authorization_key(text: str) -> bool:
    """Return whether the key has 16 to 20 bytes (security whitepaper, 2.2), raw or in
    hexadecimal."""
    return text.isprintable() and " " not in text and 16 <= len(authorization_key_bytes(text)) <= 20


# --- faults ----------------------------------------------------------------------------------------------------------

VENDOR_ID = "https://chargex.inl.gov"


@frozen
class Error16:
    """An error of StatusNotification. ``info`` is "" where the code alone is exact;
    ``vendor_code``: CXnnn, otherwise our name."""

    code: str
    info: str = ""
    vendor_code: str = ""


def error_vendor_id(vendor_code: str) -> str:
    """Return the owner of the code (vendorId)."""
    return VENDOR_ID if vendor_code.startswith(("MREC", "CX")) else "chargy"


_CX: Mapping[Fault, int] = {
    Fault.LOCK_FAILURE: 1,
    Fault.UNLOCK_FAILURE: 1,
    Fault.GROUND_FAILURE: 2,
    Fault.RCD_TEST_FAILED: 2,
    Fault.TEMPERATURE_DERATING: 3,
    Fault.OVER_CURRENT: 4,
    Fault.OVER_VOLTAGE: 5,
    Fault.UNDER_VOLTAGE: 6,
    Fault.WEAK_SIGNAL: 7,
    Fault.EMERGENCY_STOP: 8,
    Fault.PILOT_FAULT: 14,
    Fault.DIODE_FAULT: 14,
    Fault.POWER_LOSS: 15,
    Fault.CONTACTOR_WELDED: 17,
    Fault.CONTACTOR_STUCK_OPEN: 17,
    Fault.CONTACTOR_STUCK_CLOSED: 17,
    Fault.PLUG_DERATING: 18,
    Fault.HIGH_TEMPERATURE: 19,
    Fault.PLUG_HOT: 19,
    Fault.PROXIMITY_FAULT: 23,
}
"""Minimum required error codes (ChargeX/INL) of our own faults."""


def chargex_code(fault: Fault) -> str:
    """Return the minimum required error code of a fault; "" where the list has none."""
    if fault.value.startswith("MREC"):
        return f"CX{int(''.join(c for c in fault.value[4:6] if c.isdecimal())):03d}"
    return f"CX{_CX[fault]:03d}" if fault in _CX else ""


_CODES_16: Mapping[Fault, str] = {
    Fault.GROUND_FAILURE: "GroundFailure",
    Fault.OVER_CURRENT: "OverCurrentFailure",
    Fault.OVER_VOLTAGE: "OverVoltage",
    Fault.UNDER_VOLTAGE: "UnderVoltage",
    Fault.LOCK_FAILURE: "ConnectorLockFailure",
    Fault.HIGH_TEMPERATURE: "HighTemperature",
    Fault.READER_SILENT: "ReaderFailure",
    Fault.METER_SILENT: "PowerMeterFailure",
    Fault.WEAK_SIGNAL: "WeakSignal",
    Fault.RESET_FAILURE: "ResetFailure",
    Fault.INTERNAL_ERROR: "InternalError",
    Fault.OTHER_ERROR: "OtherError",
}
"""Faults with a code of the same meaning in 1.6."""

_NEAREST_16: Mapping[Fault, str] = {
    Fault.DIODE_FAULT: "GroundFailure",
    Fault.RCD_TEST_FAILED: "GroundFailure",
    Fault.UNLOCK_FAILURE: "ConnectorLockFailure",
    Fault.CONTACTOR_WELDED: "PowerSwitchFailure",
    Fault.CONTACTOR_STUCK_OPEN: "PowerSwitchFailure",
    Fault.CONTACTOR_STUCK_CLOSED: "PowerSwitchFailure",
    Fault.PILOT_FAULT: "EVCommunicationError",
    Fault.TEMPERATURE_DERATING: "HighTemperature",
    Fault.PLUG_HOT: "HighTemperature",
    Fault.PLUG_DERATING: "HighTemperature",
    Fault.METER_IMPLAUSIBLE: "PowerMeterFailure",
    Fault.METER_EXCHANGED: "PowerMeterFailure",
    Fault.METER_UNFIT: "PowerMeterFailure",
    Fault.METER_DISAGREES: "PowerMeterFailure",
    Fault.BOARD_SILENT: "InternalError",
    Fault.BOARD_CONFIG: "InternalError",
    Fault.STORE_FAILED: "InternalError",
    Fault.RECORD_POISONED: "InternalError",
    Fault.TERMINAL_SILENT: "ReaderFailure",
}
"""Faults for which 1.6 has only a wider code; the name is sent with it."""


@cache
def nearest_error_16(fault: Fault) -> Error16:
    """Return the error of a fault. A MREC name stays the name that the board has given it. What has no nearer code is
    OtherError with the name."""
    code = _CODES_16.get(fault) or _NEAREST_16.get(fault, "OtherError")
    name = fault.value
    vendor_code = name if name.startswith("MREC") else chargex_code(fault)
    return Error16(code, "", vendor_code) if fault in _CODES_16 else Error16(code, name, vendor_code or name)
