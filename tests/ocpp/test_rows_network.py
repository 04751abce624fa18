"""Golden lines of SetNetworkProfile, and who may set what a station connects with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.assembly.domain_setup import initial_settings
from agent.domain.backend_connection import BearerDemand
from agent.domain.requests import SetNetworkProfileRequest, SetVariablesRequest
from agent.model.bearer import ApnAccess
from agent.model.pin_mark import make_pin_mark
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from agent.ocpp.v201.network_profile import is_acceptable_url
from agent.ocpp.v201.settings import mask_secrets
from agent.station_file.settings import parse_station_file
from tests.ocpp.ocpp_stand_ins import decoded, desk
from tests.ocpp.test_rows_lists import answered, judge, row

DATA = {
    "ocppVersion": "OCPP20", "ocppTransport": "JSON", "ocppCsmsUrl": "wss://new.example/ocpp", "messageTimeout": 30,
    "securityProfile": 2, "ocppInterface": "Wired0",
}  # fmt: skip
VPN = {"server": "v", "user": "u", "password": "geheim", "key": "k", "type": "IPSec"}


def asked(**data: Any) -> Any:
    payload = {"configurationSlot": 2, "connectionData": {**DATA, **data}}
    judge(V201, "SetNetworkProfileRequest", payload)
    return decoded(row(V201, "SetNetworkProfile"), payload, desk())


def test_a_network_profile_is_asked_of_the_domain() -> None:
    assert asked() == SetNetworkProfileRequest(2, "wss://new.example/ocpp", 2)
    assert asked(securityProfile=1, ocppCsmsUrl="ws://new.example") == SetNetworkProfileRequest(
        2, "ws://new.example", 1
    )


@pytest.mark.parametrize(
    "data",
    [
        {"ocppTransport": "SOAP"},
        {"ocppVersion": "OCPP15"},
        {"vpn": VPN},
        {"apn": {"apn": "internet", "apnAuthentication": "NONE"}},
        {"securityProfile": 4},
        {"ocppCsmsUrl": "ws://new.example"},
    ],
)
def test_what_this_station_cannot_do_is_rejected_as_a_whole(data: dict[str, Any]) -> None:
    assert asked(**data) == {"status": "Rejected"}


LAN = {"driver": "lan_static", "kind": "lan", "interface": "eth0"}
MODEM = {"driver": "modem_at", "kind": "gprs", "device": "/dev/ttyUSB0"}
PLAIN = {"apn": "new.m2m", "apnAuthentication": "NONE"}
FULL = {
    "apn": "new.m2m", "apnAuthentication": "CHAP", "apnUserName": "user", "apnPassword": "pass word", "simPin": 42,
    "preferredNetwork": "27001", "useOnlyPreferredNetwork": True,
}  # fmt: skip


def of_bearers(**data: Any) -> Any:
    """Asked of a station with LAN and a modem."""
    file = parse_station_file({"evse": [{"number": 1}], "bearer": [LAN, MODEM]}, Path("station.toml"))
    payload = {"configurationSlot": 2, "connectionData": {**DATA, **data}}
    judge(V201, "SetNetworkProfileRequest", payload)
    return decoded(row(V201, "SetNetworkProfile"), payload, desk(settings=initial_settings(file)))


def test_an_interface_and_an_apn_are_asked_of_the_domain() -> None:
    assert of_bearers(ocppInterface="Wired0").bearer == BearerDemand("Wired0")
    assert of_bearers(ocppInterface="Wireless0").bearer == BearerDemand("Wireless0")
    assert of_bearers(ocppInterface="Wireless0", apn=PLAIN).bearer.access == ApnAccess("new.m2m")
    access = of_bearers(ocppInterface="Wireless0", apn=FULL).bearer.access
    assert access == ApnAccess("new.m2m", "user", "pass word", "chap", "0042", make_pin_mark("0042"), "27001", True)


@pytest.mark.parametrize(("user", "auth"), [("", "none"), ("user", "auto")])
def test_authentication_as_the_network_asks_for_it_needs_a_user(user: str, auth: str) -> None:
    apn = {**PLAIN, "apnAuthentication": "AUTO", **({"apnUserName": user} if user else {})}
    assert of_bearers(ocppInterface="Wireless0", apn=apn).bearer.access.auth == auth


@pytest.mark.parametrize(
    ("interface", "apn"),
    [
        ("Wired1", None),
        ("Wireless1", PLAIN),
        ("Wired0", PLAIN),
        *(
            ("Wireless0", {**FULL, **wrong})
            for wrong in (
                {"apn": "a b"},
                {"apn": ""},
                {"apn": 'x"'},
                {"apn": "x\r"},
                {"apnUserName": ""},
                {"apnUserName": "a b"},
                {"apnUserName": 'a"'},
                {"apnPassword": 'a"'},
                {"apnPassword": "a\\b"},
                {"apnPassword": "a\nb"},
                {"simPin": -1},
                {"simPin": 123456789},
                {"preferredNetwork": "LUX"},
                {"preferredNetwork": ""},
            )
        ),
    ],
)
def test_what_no_bearer_can_do_is_rejected_as_a_whole(interface: str, apn: dict[str, Any] | None) -> None:
    more = {} if apn is None else {"apn": apn}
    assert of_bearers(ocppInterface=interface, **more) == {"status": "Rejected"}


@pytest.mark.parametrize(
    ("url", "profile", "taken"),
    [
        ("ws://h", 0, True),
        ("wss://h:8443/a?b=c", 3, True),
        ("ws://h", 2, False),
        ("http://h", 0, False),
        ("wss://", 2, False),
        ("wss://new..example", 2, False),
        ("wss://user:password@h", 2, False),
        ("wss://h:port", 2, False),
        ("wss://h/ a", 2, False),
        ("wss://h/\n", 2, False),
        ("wss://h/#x", 2, False),
        ("", 0, False),
    ],
)
def test_addresses(url: str, profile: int, taken: bool) -> None:
    assert is_acceptable_url(url, profile) == taken


@pytest.mark.parametrize("word", ["Accepted", "Rejected", "NotImplemented"])
def test_the_answer(word: str) -> None:
    said = "Accepted" if word == "Accepted" else "Rejected"
    assert answered(V201, "SetNetworkProfile", word) == {"status": said}


def test_a_password_in_it_is_written_nowhere() -> None:
    data = {**DATA, "vpn": VPN, "apn": {"apn": "x", "simPin": 1234}}
    hidden = {"vpn": {**VPN, "password": "***", "key": "***"}, "apn": {"apn": "x", "simPin": "***"}}
    assert mask_secrets("SetNetworkProfile", {"connectionData": data}) == {"connectionData": {**DATA, **hidden}}
    assert mask_secrets("SetNetworkProfile", {"connectionData": DATA}) == {"connectionData": DATA}


@pytest.mark.parametrize(("key", "value"), [("SecurityProfile", "2"), ("AuthorizationKey", "0123456789abcdef")])
def test_only_the_first_backend_sets_what_the_station_connects_with(key: str, value: str) -> None:
    ask = row(V16, "ChangeConfiguration").decode({"key": key, "value": value}, desk())
    assert isinstance(ask, SetVariablesRequest)
    second = desk()
    second.primary = False
    assert decoded(row(V16, "ChangeConfiguration"), {"key": key, "value": value}, second) == {"status": "Rejected"}


def test_in_2_0_1_too() -> None:
    where = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "NetworkConfigurationPriority"}}
    payload = {"setVariableData": [{**where, "attributeValue": "2,1"}]}
    assert row(V201, "SetVariables").decode(payload, desk()) == SetVariablesRequest({"network_priority": "2,1"})
    second = desk()
    second.primary = False
    assert row(V201, "SetVariables").decode(payload, second) == SetVariablesRequest({})
