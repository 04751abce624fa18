"""Golden lines of certificates and of the triggers of 1.6's security extension; what is said is judged by
jsonschema."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.certificate_orders import SigningAnswered
from agent.domain.certificates import CertificateUse, HashData, InstalledCertificate
from agent.domain.messages import CertificateSigningWanted
from agent.domain.requests import (
    BackendRequest,
    CertificateSignedRequest,
    DeleteCertificateRequest,
    InstallCertificateRequest,
    InstalledCertificatesRequest,
    MessageTrigger,
    TriggerMessageRequest,
)
from agent.ocpp.dialects.dialect import Dialect, MessageRow
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from tests.ocpp.ocpp_stand_ins import Central, decoded, desk, linked, until
from tests.ocpp.test_rows_lists import answered, judge, row

CERTIFICATE_ACTIONS = (
    "CertificateSigned",
    "DeleteCertificate",
    "GetInstalledCertificateIds",
    "InstallCertificate",
)
HASHES = {"hashAlgorithm": "SHA384", "issuerNameHash": "aa", "issuerKeyHash": "bb", "serialNumber": "1f"}
NAMED = HashData("SHA384", "aa", "bb", "1f")
CSMS, MAKER = (
    InstalledCertificate(CertificateUse.CSMS_ROOT, NAMED),
    InstalledCertificate(CertificateUse.MANUFACTURER_ROOT, NAMED),
)
OWN, V2G = "ChargingStationCertificate", "V2GCertificate"


@pytest.mark.parametrize(
    ("dialect", "action", "payload", "ask"),
    [
        (V16, "CertificateSigned", {"certificateChain": "PEM"}, CertificateSignedRequest("PEM")),
        (V201, "CertificateSigned", {"certificateChain": "PEM"}, CertificateSignedRequest("PEM")),
        (V201, "CertificateSigned", {"certificateChain": "PEM", "certificateType": OWN},
         CertificateSignedRequest("PEM")),
        (
            V16, "InstallCertificate", {"certificateType": "CentralSystemRootCertificate", "certificate": "PEM"},
            InstallCertificateRequest(CertificateUse.CSMS_ROOT, "PEM"),
        ),
        (
            V201, "InstallCertificate", {"certificateType": "ManufacturerRootCertificate", "certificate": "PEM"},
            InstallCertificateRequest(CertificateUse.MANUFACTURER_ROOT, "PEM"),
        ),
        (V16, "DeleteCertificate", {"certificateHashData": HASHES}, DeleteCertificateRequest(NAMED)),
        (V201, "DeleteCertificate", {"certificateHashData": HASHES}, DeleteCertificateRequest(NAMED)),
        (
            V16, "GetInstalledCertificateIds", {"certificateType": "ManufacturerRootCertificate"},
            InstalledCertificatesRequest((CertificateUse.MANUFACTURER_ROOT,)),
        ),
        (V201, "GetInstalledCertificateIds", {}, InstalledCertificatesRequest(None)),
        (
            V201, "GetInstalledCertificateIds", {"certificateType": ["V2GRootCertificate", "CSMSRootCertificate"]},
            InstalledCertificatesRequest((CertificateUse.CSMS_ROOT,)),
        ),
        (
            V201, "GetInstalledCertificateIds", {"certificateType": ["MORootCertificate"]},
            InstalledCertificatesRequest(()),
        ),
        (
            V16, "ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"},
            TriggerMessageRequest(MessageTrigger.SIGN, extended=True),
        ),
        (
            V16, "ExtendedTriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 2},
            TriggerMessageRequest(MessageTrigger.METER_VALUES, 2, extended=True),
        ),
        (
            V201, "TriggerMessage", {"requestedMessage": "SignChargingStationCertificate"},
            TriggerMessageRequest(MessageTrigger.SIGN),
        ),
    ],
)  # fmt: skip
def test_what_is_asked_of_the_domain(
    dialect: Dialect, action: str, payload: dict[str, Any], ask: BackendRequest
) -> None:
    judge(dialect, action + ("" if dialect is V16 else "Request"), payload)
    assert row(dialect, action).decode(payload, desk()) == ask


@pytest.mark.parametrize(
    "word",
    [
        "BootNotification", "FirmwareStatusNotification", "Heartbeat", "LogStatusNotification", "MeterValues",
        "SignChargePointCertificate", "StatusNotification",
    ],
)  # fmt: skip
def test_everything_that_can_be_triggered_in_1_6_is_extended(word: str) -> None:
    payload = {"requestedMessage": word}
    judge(V16, "ExtendedTriggerMessage", payload)
    ask = row(V16, "ExtendedTriggerMessage").decode(payload, desk())
    assert isinstance(ask, TriggerMessageRequest)
    assert ask.extended


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("CertificateSigned", {"certificateChain": "PEM", "certificateType": V2G}),
        ("InstallCertificate", {"certificateType": "V2GRootCertificate", "certificate": "PEM"}),
        ("InstallCertificate", {"certificateType": "MORootCertificate", "certificate": "PEM"}),
    ],
)
def test_nothing_of_iso_15118_is_kept(action: str, payload: dict[str, Any]) -> None:
    judge(V201, action + "Request", payload)
    assert decoded(row(V201, action), payload, desk()) == {"status": "Rejected"}


@pytest.mark.parametrize("dialect", [V16, V201])
@pytest.mark.parametrize(
    ("action", "status", "answer"),
    [
        ("CertificateSigned", "Accepted", "Accepted"),
        ("CertificateSigned", "Rejected", "Rejected"),
        ("CertificateSigned", "NotImplemented", "Rejected"),
        ("InstallCertificate", "Accepted", "Accepted"),
        ("InstallCertificate", "Failed", "Failed"),
        ("InstallCertificate", "NotImplemented", "Rejected"),
        ("DeleteCertificate", "Accepted", "Accepted"),
        ("DeleteCertificate", "NotFound", "NotFound"),
        ("DeleteCertificate", "NotImplemented", "Failed"),
        ("GetInstalledCertificateIds", "NotImplemented", "NotFound"),
    ],
)
def test_the_words_of_an_answer(dialect: Dialect, action: str, status: str, answer: str) -> None:
    assert answered(dialect, action, status) == {"status": answer}


def test_a_trigger_that_cannot_be_says_so() -> None:
    for status, answer in (("Accepted", "Accepted"), ("NotImplemented", "NotImplemented"), ("Failed", "Rejected")):
        assert answered(V16, "ExtendedTriggerMessage", status) == {"status": answer}


def test_installed_roots_are_named_by_their_hashes() -> None:
    data = {"roots": (CSMS, MAKER)}
    assert answered(V16, "GetInstalledCertificateIds", "Accepted", data) == {
        "status": "Accepted",
        "certificateHashData": [HASHES, HASHES],
    }
    assert answered(V201, "GetInstalledCertificateIds", "Accepted", data) == {
        "status": "Accepted",
        "certificateHashDataChain": [
            {"certificateType": "CSMSRootCertificate", "certificateHashData": HASHES},
            {"certificateType": "ManufacturerRootCertificate", "certificateHashData": HASHES},
        ],
    }


@pytest.mark.parametrize(
    ("dialect", "payload"),
    [(V16, {"csr": "PEM"}), (V201, {"csr": "PEM", "certificateType": "ChargingStationCertificate"})],
)
def test_a_request_to_sign_and_what_is_heard_of_it(dialect: Dialect, payload: dict[str, Any]) -> None:
    out = dialect.message_row(CertificateSigningWanted)
    assert isinstance(out, MessageRow)
    message = CertificateSigningWanted("PEM")
    assert out.encode(message, desk()) == payload
    judge(dialect, "SignCertificate" + ("" if dialect is V16 else "Request"), payload)
    for status in ("Accepted", "Rejected"):
        assert out.decode_response(message, {"status": status}, desk()).events == (
            SigningAnswered("chargy", status == "Accepted"),
        )


@pytest.mark.parametrize("status", ["Accepted", "Rejected"])
async def test_the_domain_hears_the_answer_to_a_request(status: str) -> None:
    central = Central(script={"SignCertificate": [{"status": status}]})
    async with linked(central) as room:
        room.link.send(CertificateSigningWanted("PEM"))
        await until(lambda: room.of(SigningAnswered))
        assert room.of(SigningAnswered) == [SigningAnswered("chargy", status == "Accepted")]
