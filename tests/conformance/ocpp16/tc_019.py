"""GetConfiguration without and with a list of keys: every standard key of the claimed profiles, rightly writable."""

from tests.conformance.ocpp16.play import Play

READ, WRITE, EITHER = (True,), (False,), (True, False)
KEYS = {
    "Core": {
        "AuthorizeRemoteTxRequests": EITHER,
        "ClockAlignedDataInterval": WRITE,
        "ConnectionTimeOut": WRITE,
        "ConnectorPhaseRotation": WRITE,
        "GetConfigurationMaxKeys": READ,
        "HeartbeatInterval": WRITE,
        "LocalAuthorizeOffline": WRITE,
        "LocalPreAuthorize": WRITE,
        "MeterValuesAlignedData": WRITE,
        "MeterValuesSampledData": WRITE,
        "MeterValueSampleInterval": WRITE,
        "NumberOfConnectors": READ,
        "ResetRetries": WRITE,
        "StopTransactionOnEVSideDisconnect": EITHER,
        "StopTransactionOnInvalidId": WRITE,
        "StopTxnAlignedData": WRITE,
        "StopTxnSampledData": WRITE,
        "SupportedFeatureProfiles": READ,
        "TransactionMessageAttempts": WRITE,
        "TransactionMessageRetryInterval": WRITE,
        "UnlockConnectorOnEVSideDisconnect": EITHER,
    },
    "LocalAuthListManagement": {
        "LocalAuthListEnabled": WRITE,
        "LocalAuthListMaxLength": READ,
        "SendLocalListMaxLength": READ,
    },
    "Reservation": {"ReserveConnectorZeroSupported": READ},
    "SmartCharging": {
        "ChargeProfileMaxStackLevel": READ,
        "ChargingScheduleAllowedChargingRateUnit": READ,
        "ChargingScheduleMaxPeriods": READ,
        "MaxChargingProfilesInstalled": READ,
    },
}


async def test_all_keys(s: Play) -> None:
    rows, unknown = await s.keys()
    assert unknown == []
    profiles = rows["SupportedFeatureProfiles"]["value"].split(",")
    assert "Core" in profiles
    for profile in profiles:
        for key, readonly in KEYS.get(profile, {}).items():
            assert key in rows, f"{key} of {profile} is missing"
            assert rows[key]["readonly"] in readonly, rows[key]
            assert "value" in rows[key], key
    for profile in KEYS.keys() - set(profiles):
        assert not KEYS[profile].keys() & rows.keys(), f"{profile} is not claimed, its keys are"


async def test_keys_in_the_order_asked_for(s: Play) -> None:
    names = ["ResetRetries", "Nonsense", "HeartbeatInterval", "AuthorizeRemoteTxRequests", "MoreNonsense"]
    answer = await s.answer("GetConfiguration", key=names)
    assert [row["key"] for row in answer["configurationKey"]] == [names[0], names[2], names[3]]
    assert answer["unknownKey"] == ["Nonsense", "MoreNonsense"]


async def test_more_keys_than_may_be_asked_for_at_once(s: Play) -> None:
    most = int(await s.get("GetConfigurationMaxKeys"))
    assert await s.ask("GetConfiguration", key=[f"Key{n}" for n in range(most + 1)]) == "OccurenceConstraintViolation"
    answer = await s.answer("GetConfiguration", key=[f"Key{n}" for n in range(most)])
    assert len(answer["unknownKey"]) == most
