"""One rule says what a root is, for TLS, InstallCertificate, CertificateSigned and the signer of firmware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from agent.assembly.domain_setup import unusable_certificates
from agent.domain.backend_connection import ConnectFailure
from agent.domain.certificates import CertificateUse
from agent.services.keys import x509_certificates
from agent.services.keys.firmware_signature import signer_problem
from agent.services.keys.key_store import KeyStore, NamedFiles
from agent.station_file.settings import load_station_file
from tests.ocpp.test_link_tls import connects, trouble
from tests.support.certificate_authorities import Authority, OddAuthority, RootKind, pem, tls

TRUSTED = {RootKind.BASIC_CONSTRAINTS, RootKind.KEY_USAGE, RootKind.VERSION_1}
SERIAL = "SN-1"


def accepted_as_root(authority: Authority, folder: Path) -> dict[str, str]:
    """Why it is not, by who judges it; "" where it is accepted."""
    pki = KeyStore(folder / "pki", NamedFiles(((CertificateUse.CSMS_ROOT, authority.root),)))
    signed = authority.sign(pki.make_request(SERIAL, ""))
    signer = authority.certify(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Firmware")]),
        ec.generate_private_key(ec.SECP256R1()).public_key(),
    )
    return {
        "InstallCertificate": KeyStore(folder / "other").install_root(CertificateUse.CSMS_ROOT, authority.pem, 5, None),
        "CertificateSigned": pki.take_chain(signed, SERIAL, None).why,
        "firmware": signer_problem(pem(signer), [authority.pem.encode()]),
    }


@pytest.mark.parametrize("kind", RootKind)
async def test_a_root_that_tls_trusts_is_accepted_everywhere_and_no_other(tmp_path: Path, kind: RootKind) -> None:
    authority = OddAuthority(tmp_path, kind)
    server = tls(authority.server())
    if kind in TRUSTED:
        assert await connects(server, ca=authority.root)
        assert set(accepted_as_root(authority, tmp_path).values()) == {""}
    else:
        found, _ = await trouble(server, ca=authority.root)
        assert found is ConnectFailure.SERVER_CERTIFICATE
        assert all(accepted_as_root(authority, tmp_path).values())


WEAK: dict[str, Any] = {
    "RSA 1024": lambda: rsa.generate_private_key(65537, 1024),
    "RSA 2047": lambda: rsa.generate_private_key(65537, 2047),
    "DSA 2048": lambda: dsa.generate_private_key(2048),
    "P-192": lambda: ec.generate_private_key(ec.SECP192R1()),
}
STRONG: dict[str, Any] = {
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
    "P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
}


@pytest.mark.parametrize("name", WEAK)
async def test_a_root_with_a_weak_key_is_refused_everywhere(tmp_path: Path, name: str) -> None:
    authority = OddAuthority(tmp_path, RootKind.BASIC_CONSTRAINTS, WEAK[name]())
    for judge, why in accepted_as_root(authority, tmp_path).items():
        assert "has a" in why, judge
    file = tmp_path / "station.toml"
    for key in ("ca", "manufacturer_ca"):
        file.write_text(f'''
            [station]
            id = "CP-1"
            state_dir = "state"
            [backend]
            url = "wss://backend.example"
            security_profile = 2
            password = "secret"
            {key} = "{authority.root}"
            [[evse]]
            number = 1
        ''')
        (complaint,) = unusable_certificates(load_station_file(file))
        assert f"{key}: {authority.root}: certificate 1 has a" in complaint


async def test_tls_refuses_a_short_rsa_key_whatever_the_distribution_says(tmp_path: Path) -> None:
    authority = OddAuthority(tmp_path, RootKind.BASIC_CONSTRAINTS, WEAK["RSA 1024"]())
    found, _ = await trouble(tls(authority.server(), ciphers="DEFAULT:@SECLEVEL=0"), ca=authority.root)
    assert found is ConnectFailure.SERVER_CERTIFICATE


@pytest.mark.parametrize("name", STRONG)
def test_a_root_with_a_strong_key_is_accepted(tmp_path: Path, name: str) -> None:
    authority = OddAuthority(tmp_path, RootKind.BASIC_CONSTRAINTS, STRONG[name]())
    assert set(accepted_as_root(authority, tmp_path).values()) == {""}


@pytest.mark.parametrize("name", WEAK)
def test_a_signer_of_firmware_with_a_weak_key_is_refused(tmp_path: Path, name: str) -> None:
    authority = Authority(tmp_path)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Firmware")])
    weak = pem(authority.certify(subject, WEAK[name]().public_key()))
    assert "certificate 1 of its chain has a" in signer_problem(weak, [authority.pem.encode()])


def test_other_keys_of_today_are_strong(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Firmware")])
    assert (
        x509_certificates.key_problem(authority.certify(subject, ed25519.Ed25519PrivateKey.generate().public_key()))
        == ""
    )
