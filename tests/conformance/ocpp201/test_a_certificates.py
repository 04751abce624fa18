"""Block A, the station's own certificate: a new one on request, a bad one refused, a request without an answer."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from cryptography import x509

from tests.support.certificate_authorities import Authority, hash_data, serial_of, shown
from tests.support.security_csms_v201 import Guarded, at_home

pytestmark = pytest.mark.asyncio(loop_scope="module")

YEAR = (-1, 365)
EVENT = "InvalidChargingStationCertificate"
SIGN = {"requestedMessage": "SignChargingStationCertificate"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    async with at_home(tmp_path_factory.mktemp("certificates"), 3) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Guarded) -> AsyncIterator[Guarded]:
    opened.begin()
    opened.csms.signing = "Accepted"
    yield opened
    await opened.up()


async def request(s: Guarded) -> str:
    s.begin()
    assert (await s.csms.ask("TriggerMessage", SIGN))["status"] == "Accepted"
    await s.heard(lambda: s.payloads("SignCertificate"))
    asked = s.payloads("SignCertificate")[0]
    assert asked["certificateType"] == "ChargingStationCertificate"
    return str(asked["csr"])


async def sent_s(s: Guarded, action: str) -> list[float]:
    """When the station has sent these, by its own clock: when they arrive says how busy the machine is."""
    async with s.station.http.get("/api/v1/trace") as answer:
        frames = [json.loads(line) for line in (await answer.text()).splitlines()]
    return [f["t"] for f in frames if f["dir"] == "out" and json.loads(f["frame"])[2] == action]


async def signed(s: Guarded, chain: str) -> str:
    kind = "ChargingStationCertificate"
    answer = await s.csms.ask("CertificateSigned", {"certificateChain": chain, "certificateType": kind})
    return str(answer["status"])


async def test_TC_A_11_CS(s: Guarded) -> None:
    """A new key pair and certificate on request; used from the next connection on."""
    first = shown(s.csms.front)
    assert await s.put("SecurityCtrlr.OrganizationName", "The Operator") == "Accepted"
    csr = await request(s)
    subject = x509.load_pem_x509_csr(csr.encode()).subject.rfc4514_string()
    serial = (await s.get("ChargingStation.SerialNumber"))[1]
    assert subject == f"O=The Operator,CN={serial}"
    chain = s.ours.sign(csr, YEAR)
    assert await signed(s, chain) == "Accepted"
    await s.heard(lambda: shown(s.csms.front) == serial_of(chain))
    await s.up()
    assert shown(s.csms.front) != first


async def test_TC_A_14_CS(s: Guarded) -> None:
    """A certificate of a foreign authority is refused and reported; the old one stays in use."""
    before, other = shown(s.csms.front), Authority(name="Foreign Root")
    event_count = s.csms.events().count(EVENT)
    assert await signed(s, other.sign(await request(s), YEAR) + other.pem) == "Rejected"
    await s.heard(lambda: s.csms.events().count(EVENT) == event_count + 1)
    await s.csms.drop()
    await s.up()
    assert shown(s.csms.front) == before


async def test_TC_A_15_CS(s: Guarded) -> None:
    """The central system rejects the request: the station carries on with its old certificate, and does not insist."""
    before = shown(s.csms.front)
    assert await s.put("SecurityCtrlr.CertSigningWaitMinimum", "2") == "Accepted"
    s.csms.signing = "Rejected"
    await request(s)
    assert await s.put("SecurityCtrlr.CertSigningWaitMinimum", "2") == "Accepted"  # the answer before it was heard
    await s.csms.drop()
    await s.up()
    await asyncio.sleep(30 / s.station.speed)
    assert len(s.payloads("SignCertificate")) == 1
    assert shown(s.csms.front) == before


async def test_TC_A_23_CS(s: Guarded) -> None:
    """No CertificateSigned comes: the request is repeated as often as configured, with growing waits; the last one may
    still be answered."""
    assert await s.put("SecurityCtrlr.CertSigningWaitMinimum", "20") == "Accepted"
    assert await s.put("SecurityCtrlr.CertSigningRepeatTimes", "2") == "Accepted"
    csr = await request(s)
    await s.heard(lambda: len(s.payloads("SignCertificate")) == 3)
    await asyncio.sleep(100 / s.station.speed)
    assert len(s.payloads("SignCertificate")) == 3
    waits_s = [b - a for a, b in itertools.pairwise((await sent_s(s, "SignCertificate"))[-3:])]
    assert waits_s[0] >= 18
    assert waits_s[1] >= 38
    assert {p["csr"] for p in s.payloads("SignCertificate")} == {csr}  # a repeat is the same request
    chain = s.ours.sign(csr, YEAR)
    assert await signed(s, chain) == "Accepted"
    await s.heard(lambda: shown(s.csms.front) == serial_of(chain))


async def test_TC_M_23_CS(s: Guarded) -> None:
    """The station's own certificate cannot be deleted this way."""
    chain = s.ours.sign(await request(s), YEAR)
    assert await signed(s, chain) == "Accepted"
    await s.heard(lambda: shown(s.csms.front) == serial_of(chain))
    await s.up()
    named = hash_data(x509.load_pem_x509_certificate(chain.encode()), s.ours.certificate)
    answer = await s.csms.ask("DeleteCertificate", {"certificateHashData": named})
    assert answer["status"] == "Failed"
    await s.csms.drop()
    await s.up()
    assert shown(s.csms.front) == serial_of(chain)
