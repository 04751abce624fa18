"""Who may sign firmware, and did they."""

from __future__ import annotations

import asyncio
import base64
import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.domain.events import Event, SignerJudged
from agent.domain.orders import JudgeSigner
from agent.services.files.orders import FileOrders
from agent.services.keys.firmware_signature import signature_problem, signer_problem
from tests.support.busy_machine import deadline
from tests.support.firmware_signers import Maker

CONTENT = b"firmware" * 1000


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fw"
    path.write_bytes(CONTENT)
    return path


def test_signed_by_elliptic_curve(maker: Maker, file: Path) -> None:
    assert signature_problem(file, maker.certificate, maker.sign(CONTENT)) == ""
    assert "not signed" in signature_problem(file, maker.certificate, maker.sign(CONTENT + b"!"))
    assert "not signed" in signature_problem(file, Maker().certificate, maker.sign(CONTENT))
    assert signature_problem(file, "nonsense", maker.sign(CONTENT))
    assert signature_problem(file.with_name("none"), maker.certificate, maker.sign(CONTENT))


@pytest.mark.parametrize("salt", [padding.PSS.DIGEST_LENGTH, padding.PSS.MAX_LENGTH, None])
def test_signed_by_rsa(file: Path, salt: object) -> None:
    key = rsa.generate_private_key(65537, 2048)
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    pem = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt) if salt is not None else padding.PKCS1v15()  # type: ignore[arg-type]
    said = base64.b64encode(key.sign(CONTENT, pss, hashes.SHA256())).decode()
    assert signature_problem(file, pem, said) == ""
    assert signature_problem(file, pem, said[:-8] + "AAAAAAA=") != ""


def test_only_an_installed_manufacturer_may_sign(maker: Maker) -> None:
    root = maker.root.encode()
    assert signer_problem(maker.certificate, [root]) == ""
    assert "no installed" in signer_problem(Maker("Stranger").certificate, [root])
    assert "is installed" in signer_problem(maker.certificate, [])
    assert "no PEM" in signer_problem("nonsense", [root])
    # a leaf is no authority: what it signs is not accepted
    other = Maker()
    forged = other._certificate("forged", other.key, "Maker firmware", maker.key, ca=False)
    assert signer_problem(forged + maker.certificate, [root]) != ""


def test_a_certificate_is_judged_at_the_time_of_the_station() -> None:
    """The board's real-time clock may say 1970, or any year."""
    begin = datetime.datetime(2031, 6, 1, tzinfo=datetime.UTC)
    maker, begin_s = Maker(begin=begin), begin.timestamp()
    root = [maker.root.encode()]
    assert signer_problem(maker.certificate, root, begin_s) == ""
    assert "is valid from 2031-05-31" in signer_problem(maker.certificate, root, begin_s - 2 * 86400)
    assert "is valid from 2031-05-31" in signer_problem(maker.certificate, root, begin_s + 366 * 86400)
    assert "is valid from" in signer_problem(Maker().certificate, [Maker().root.encode()], begin_s), "of today"


async def test_the_time_of_an_order_is_the_time_at_which_it_is_judged(tmp_path: Path) -> None:
    begin = datetime.datetime(2031, 6, 1, tzinfo=datetime.UTC)
    maker, heard = Maker(begin=begin), asyncio.Queue[Event]()
    files = FileOrders(tmp_path, heard.put_nowait, lambda order: dict, lambda: [maker.root.encode()])
    for job, utc_s, accepted in (("in 2031", begin.timestamp(), True), ("in 2030", begin.timestamp() - 3e7, False)):
        files.accept_order(JudgeSigner(job, maker.certificate, utc_s))
        async with deadline(30):
            assert await heard.get() == SignerJudged(job, accepted)


def key_usage(*named: str) -> x509.KeyUsage:
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: name in named for name in names})


SIGNS, AGREES, CERTIFIES = key_usage("digital_signature"), key_usage("key_agreement"), key_usage("key_cert_sign")
CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
CODE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.CODE_SIGNING])


@pytest.mark.parametrize(
    ("uses", "accepted"),
    [([SIGNS], True), ([CODE], True), ([SIGNS, CODE], True), ([AGREES, CODE], False), ([SIGNS, CLIENT], False)],
)
def test_what_the_manufacturer_signed_for_something_else_signs_no_firmware(
    maker: Maker, uses: list[x509.ExtensionType], accepted: bool
) -> None:
    why = signer_problem(maker.certificate_for(*uses), [maker.root.encode()])
    assert (why == "") is accepted
    assert accepted or "key usage" in why


@pytest.mark.parametrize(
    ("path_length", "uses", "accepted"),
    [(None, [], True), (1, [CERTIFIES], True), (0, [], False), (None, [SIGNS], False)],
)
def test_an_authority_signs_as_far_down_as_it_may(
    path_length: int | None, uses: list[x509.ExtensionType], accepted: bool
) -> None:
    top, middle = Maker("Top"), Maker("Middle")
    key, name = top.root_key, "Top"
    root = top._certificate(name, key, name, key, True, *uses, path_length=path_length)
    between = top._certificate("Middle", middle.root_key, name, key, True)
    why = signer_problem(middle.certificate + between, [root.encode()])
    assert why == ("" if accepted else "no installed root certificate has signed it")
    direct = signer_problem(top.certificate, [root.encode()])
    assert (direct == "") is (SIGNS not in uses)
