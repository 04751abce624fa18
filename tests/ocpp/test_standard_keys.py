"""The configuration keys against the standard (OCPP 1.6 9.1 to 9.4, security whitepaper 4), and against the program:
who offers a key reads it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from agent.domain.variables import OUTLETS_MOST, VARIABLES
from agent.ocpp.dialects.device_model_v2x import NAMES
from agent.ocpp.dialects.keys_v1x import COST, UNOFFERED_16, find_key_16, list_keys_16

STANDARD = """
Core AllowOfflineTxForUnknownId bool RW
Core AuthorizationCacheEnabled bool RW
Core AuthorizeRemoteTxRequests bool R|RW required
Lamp BlinkRepeat int RW
Core ClockAlignedDataInterval int RW required
Core ConnectionTimeOut int RW required
Core ConnectorPhaseRotation list RW required
Core ConnectorPhaseRotationMaxLength int R
Core GetConfigurationMaxKeys int R required
Core HeartbeatInterval int RW required
Lamp LightIntensity int RW
Core LocalAuthorizeOffline bool RW required
Core LocalPreAuthorize bool RW required
Core MaxEnergyOnInvalidId int RW
Core MeterValuesAlignedData list RW required
Core MeterValuesAlignedDataMaxLength int R
Core MeterValuesSampledData list RW required
Core MeterValuesSampledDataMaxLength int R
Core MeterValueSampleInterval int RW required
Core MinimumStatusDuration int RW
Core NumberOfConnectors int R required
Core ResetRetries int RW required
Core StopTransactionOnEVSideDisconnect bool R|RW required
Core StopTransactionOnInvalidId bool RW required
Core StopTxnAlignedData list RW required
Core StopTxnAlignedDataMaxLength int R
Core StopTxnSampledData list RW required
Core StopTxnSampledDataMaxLength int R
Core SupportedFeatureProfiles list R required
Core SupportedFeatureProfilesMaxLength int R
Core TransactionMessageAttempts int RW required
Core TransactionMessageRetryInterval int RW required
Core UnlockConnectorOnEVSideDisconnect bool R|RW required
Core WebSocketPingInterval int RW
LocalAuthListManagement LocalAuthListEnabled bool RW required
LocalAuthListManagement LocalAuthListMaxLength int R required
LocalAuthListManagement SendLocalListMaxLength int R required
Reservation ReserveConnectorZeroSupported bool R
SmartCharging ChargeProfileMaxStackLevel int R required
SmartCharging ChargingScheduleAllowedChargingRateUnit list R required
SmartCharging ChargingScheduleMaxPeriods int R required
SmartCharging ConnectorSwitch3to1PhaseSupported bool R
SmartCharging MaxChargingProfilesInstalled int R required
FirmwareManagement SupportedFileTransferProtocols list R
Core AdditionalRootCertificateCheck bool R
Core AuthorizationKey text RW
Core CertificateSignedMaxChainSize int R
Core CertificateStoreMaxLength int R
Core CpoName text RW
Core SecurityProfile int R|RW
"""
PAYMENT = ("WebPaymentsCtrlr.", "qrCodeURL", "PaymentCtrlr.", "AdhocTariff")
KEYS = {name: (profile, *row) for profile, name, *row in map(str.split, STANDARD.strip().splitlines())}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_of_the_standard_is_as_the_standard_says_or_has_an_excuse(name: str) -> None:
    profile, kind, access, *required = KEYS[name]
    key = find_key_16(name)
    if key is None:
        assert not required
        assert UNOFFERED_16[name]
        return
    assert key.key == name
    assert key.profile == profile
    assert kind == ("int" if key.count_of else key.own_variable.kind)
    assert ("R" if key.is_readonly else "RW") in access.split("|")


def test_there_are_no_keys_of_our_own() -> None:
    """The rest is of the application note on prices and of payment, which have tests of their own."""
    ours = [k.key for k in list_keys_16() if k.key not in KEYS and k.profile != COST and not k.key.startswith(PAYMENT)]
    assert ours == ["CustomDisplayCostAndPrice"]


# --- no dead key -----------------------------------------------------------------------------------------------------

AGENT = Path(__file__).resolve().parents[2] / "agent"
TABLES = {"domain/variables.py", "ocpp/dialects/keys_v1x.py", "ocpp/dialects/device_model_v2x.py"}
NOTES = {
    "connector_phase_rotation": "a note of the installer's for the backend: the station keeps it and converts nothing",
    "multi_language": "says what the screen can",
    "time_sources": "only one value is possible",
    **{f"web{n}_totp_version": "only one value is possible" for n in range(OUTLETS_MOST + 1)},
}


def readers(name: str) -> set[str]:
    """Modules that say this name outside the tables."""
    pattern = re.sub(r"\d", "{}", name)  # of an outlet: its number is filled in
    return {p for p, words in _said().items() if {name, pattern} & words or any(map(name.startswith, words))}


def _words(path: Path) -> set[str]:
    """Texts that are the name of a setting, or with which the name of one begins in an f-string."""
    tree = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    texts = {n.value for n in tree if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    begun = {n.values[0].value for n in tree if isinstance(n, ast.JoinedStr) and isinstance(n.values[0], ast.Constant)}
    holes = (
        "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in n.values)
        for n in tree
        if isinstance(n, ast.JoinedStr)
    )
    return (
        (texts & VARIABLES.keys()) | {str(b) for b in begun if str(b).count("_") > 1} | {h for h in holes if "{}_" in h}
    )


@cache
def _said() -> dict[str, set[str]]:
    """By module of the agent. Only when a test asks: it takes as long as collecting a thousand tests."""
    found = ((str(path.relative_to(AGENT)), path) for path in sorted(AGENT.rglob("*.py")))
    return {where: _words(path) for where, path in found if where not in TABLES}


def test_every_setting_with_a_name_is_read_by_a_person() -> None:
    """A setting that a backend may write is read outside ``initial.py``, which only fills in what the file says."""
    named = {k.setting for k in list_keys_16()} | {n.setting for n in NAMES if n.setting}
    written = {n for n in named if VARIABLES[n].writable}
    dead = {n for n in named if not readers(n)} | {n for n in written if readers(n) <= {"initial.py"}}
    assert dead == NOTES.keys()


# --- no key without a test of what it does ---------------------------------------------------------------------------

TESTS = AGENT.parent / "tests"
ALL_KEYS = {
    "test_standard_keys.py", "test_keys.py", "tc_019.py", "test_names.py", "test_v16_rows.py", "test_v201_model.py",
    "test_plays_settings.py", "test_record_and_variables.py", "declared.py", "conformance.py",
}  # fmt: skip
"""They look at keys as keys: they say nothing of what one does."""


def test_every_key_that_can_be_written_is_tried_by_a_test_of_its_effect() -> None:
    texts = [p.read_text("utf-8") for p in TESTS.rglob("*.py") if p.name not in ALL_KEYS]
    names = {
        k.key: rf"\b({re.escape(k.key)}|" + re.sub(r"\d", r"\\d", k.setting) + r")\b"
        for k in list_keys_16()
        if not k.is_readonly
    }
    names = {k: n for k, n in names.items() if not k.endswith(".TOTPVersion")}  # only one value is possible
    untried = [key for key, name in names.items() if not any(re.search(name, t) for t in texts)]
    assert set(untried) <= {"ConnectorPhaseRotation", "CpoName"}, "the one does nothing, the other goes with case 074"
