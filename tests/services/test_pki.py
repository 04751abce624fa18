"""Keys and certificates as files: what is made, what is taken, what is not, and what kill -9 leaves."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.domain.certificates import CertificateUse, HashData
from agent.domain.events import RequestReceived
from agent.domain.requests import DeviceReportRequest, SetVariablesRequest
from agent.model.root_certificates import certificate_fingerprint
from agent.services.keys import x509_certificates
from agent.services.keys.firmware_signature import signer_problem
from agent.services.keys.key_store import UNANSWERED_KEYS, KeyStore, NamedFiles
from agent.services.keys.root_counts import RootCounts
from tests.support.certificate_authorities import Authority, pem

CPO = Authority(name="CPO root")
STRANGER = Authority(name="Stranger")
SUB = Authority(name="CPO sub", above=CPO)
DAYS_S = 30 * 86400.0


@pytest.fixture
def pki(tmp_path: Path) -> KeyStore:
    made = KeyStore(tmp_path / "state" / "pki")
    assert made.install_root(CertificateUse.CSMS_ROOT, CPO.pem, 5, None) == ""
    return made


def folder(pki: KeyStore) -> Path:
    return pki._folder


def names(pki: KeyStore, tail: str) -> set[str]:
    return {p.name for p in folder(pki).iterdir() if p.name.endswith(tail)}


def named(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def leaf(chain: str) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain.encode())[0]


# --- requests --------------------------------------------------------------------------------------------------------


def test_a_request_says_who_the_station_is_and_its_key_fits(pki: KeyStore) -> None:
    request = x509.load_pem_x509_csr(pki.make_request("SN-1", "Chargy").encode())
    assert request.is_signature_valid
    assert [(a.oid, a.value) for a in request.subject] == [
        (NameOID.COMMON_NAME, "SN-1"),
        (NameOID.ORGANIZATION_NAME, "Chargy"),
    ]
    (path,) = folder(pki).glob("*.key")
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == request.public_key()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder(pki).stat().st_mode) == 0o700


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first", "second"])
def test_a_request_may_be_answered_after_a_later_one_was_made(pki: KeyStore, order: tuple[int, int]) -> None:
    """An authority may take longer than the day after which the station asks again."""
    requests = [pki.make_request("SN-1", "") for _ in range(2)]
    taken = [pki.take_chain(CPO.sign(requests[n]), "SN-1", None) for n in order]
    assert [t.why for t in taken] == ["", ""]
    assert names(pki, ".key") == {f"{t.id}.key" for t in taken}


@pytest.mark.parametrize("ahead_s", [0.0, 10 * DAYS_S], ids=["a good clock", "a clock that was set back"])
def test_the_keys_of_the_last_requests_without_an_answer_are_kept(pki: KeyStore, ahead_s: float) -> None:
    """``ahead_s``: the clock was ahead when the first key was made."""
    used = pki.take_chain(CPO.sign(pki.make_request("SN-1", "")), "SN-1", None)
    requests: list[str] = []
    made: set[str] = set()
    for _ in range(UNANSWERED_KEYS + 2):
        requests.append(pki.make_request("SN-1", ""))
        (new,) = names(pki, ".key") - made - {f"{used.id}.key"}
        made.add(new)
        if len(made) == 1:
            made_s = time.time() + ahead_s
            os.utime(folder(pki) / new, times=(made_s, made_s))
    assert len(set(requests)) == len(requests)
    assert len(names(pki, ".key")) == 1 + UNANSWERED_KEYS
    answers = [pki.take_chain(CPO.sign(request), "SN-1", None).why for request in requests]
    assert answers == ["it is of no key that this station has made"] * 2 + [""] * UNANSWERED_KEYS


def test_a_key_that_a_person_has_removed_ends_no_request(pki: KeyStore) -> None:
    pki.make_request("SN-1", "")
    (key,) = names(pki, ".key")
    (folder(pki) / key).unlink()
    assert pki.take_chain(CPO.sign(pki.make_request("SN-1", "")), "SN-1", None).why == ""


# --- chains ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_middle", [False, True])
def test_a_good_chain_becomes_a_client_certificate(pki: KeyStore, with_middle: bool) -> None:
    signer = SUB if with_middle else CPO
    chain = signer.sign(pki.make_request("SN-1", "Chargy")) + (SUB.pem if with_middle else "")
    taken = pki.take_chain(chain, "SN-1", None)
    assert taken.why == ""
    assert abs(taken.expires_utc_s - time.time() - DAYS_S) < 100
    files = pki.client_certificate(taken.id)
    assert files is not None
    assert files[0].read_text().count("BEGIN CERTIFICATE") == 1 + with_middle
    key = load_pem_private_key(files[1].read_bytes(), None)
    assert key.public_key() == leaf(chain).public_key()
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert KeyStore(folder(pki)).client_certificate(taken.id) == files  # another process finds it
    assert pki.client_certificate("unknown") is None


def _late(csr: str) -> str:
    return CPO.sign(csr, (-20, -10))


def _early(csr: str) -> str:
    return CPO.sign(csr, (10, 20))


def _of_another_key(csr: str) -> str:
    return pem(CPO.certify(named("SN-1"), ec.generate_private_key(ec.SECP256R1()).public_key()))


def _of_another_name(csr: str) -> str:
    return pem(CPO.certify(named("SN-2"), x509.load_pem_x509_csr(csr.encode()).public_key()))


def _by_a_leaf(csr: str) -> str:
    """A leaf certificate is no authority, whatever has signed it."""
    stranger = Authority(name="Stranger")
    middle = pem(CPO.certify(named("Stranger"), stranger.key.public_key()))
    return stranger.sign(csr) + middle


BAD = {
    "of a stranger": (STRANGER.sign, "no installed root"),
    "of a stranger with its root": (lambda csr: STRANGER.sign(csr) + STRANGER.pem, "no installed root"),
    "without its middle": (SUB.sign, "no installed root"),
    "signed by a leaf": (_by_a_leaf, "no installed root"),
    "over": (_late, "certificate 1 of its chain is valid from"),
    "not yet": (_early, "certificate 1 of its chain is valid from"),
    "of another key": (_of_another_key, "no key"),
    "of another station": (_of_another_name, "common name"),
    "no certificate": (lambda csr: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no PEM"),
    "no text": (lambda csr: "é", "no PEM"),
    "nothing": (lambda csr: "", "no PEM"),
}


@pytest.mark.parametrize("how", BAD)
def test_a_chain_that_does_not_fit_is_not_taken_and_says_why(pki: KeyStore, how: str) -> None:
    old = pki.take_chain(CPO.sign(pki.make_request("SN-1", "")), "SN-1", None)
    make, why = BAD[how]
    taken = pki.take_chain(make(pki.make_request("SN-1", "")), "SN-1", None)
    assert why in taken.why
    assert taken.id == ""
    assert pki.client_certificate(old.id) is not None
    assert names(pki, ".pem") == {f"{old.id}.pem", pki.installed_files(CertificateUse.CSMS_ROOT)[0].name}


def test_roots_of_the_station_file_are_as_good_as_installed_ones(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(STRANGER.pem)
    pki = KeyStore(tmp_path / "pki", NamedFiles(((CertificateUse.CSMS_ROOT, ca),)))
    assert pki.take_chain(STRANGER.sign(pki.make_request("SN-1", "")), "SN-1", None).why == ""


def test_the_time_is_the_station_s(pki: KeyStore) -> None:
    chain = CPO.sign(pki.make_request("SN-1", ""))
    assert "is valid from" in pki.take_chain(chain, "SN-1", time.time() + 2 * DAYS_S).why
    assert pki.take_chain(chain, "SN-1", time.time()).why == ""


def test_what_is_not_needed_any_more_goes_with_its_key(pki: KeyStore) -> None:
    ids = [pki.take_chain(CPO.sign(pki.make_request("SN-1", "")), "SN-1", None).id for _ in range(3)]
    pki.make_request("SN-1", "")
    pki.keep_certificates((ids[0], ids[2], ""))
    assert names(pki, ".pem") == {
        f"{ids[0]}.pem",
        f"{ids[2]}.pem",
        pki.installed_files(CertificateUse.CSMS_ROOT)[0].name,
    }
    assert len(names(pki, ".key")) == 3  # and the one that waits for its answer
    assert pki.client_certificate(ids[1]) is None


# --- roots -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (CPO.pem + STRANGER.pem, "one certificate is wanted, 2 came"),
        (SUB.pem, "no root"),
        (pem(CPO.certify(STRANGER.certificate.subject, STRANGER.key.public_key())), "no root"),
        (Authority(span=(-20, -10)).pem, "is valid from"),
        (Authority(span=(10, 20)).pem, "is valid from"),
        ("certificate", "no PEM"),
    ],
)
def test_what_is_no_root_is_not_installed(pki: KeyStore, pem: str, why: str) -> None:
    assert why in pki.install_root(CertificateUse.CSMS_ROOT, pem, 5, None)
    assert len(pki.installed_files(CertificateUse.CSMS_ROOT)) == 1


def test_so_many_and_no_more_but_the_same_again(pki: KeyStore) -> None:
    assert pki.install_root(CertificateUse.MANUFACTURER_ROOT, CPO.pem, 2, None) == ""
    assert sum(pki.count_trusted_roots().values()) == 2
    assert "2 roots are installed" in pki.install_root(CertificateUse.CSMS_ROOT, STRANGER.pem, 2, None)
    assert pki.install_root(CertificateUse.CSMS_ROOT, CPO.pem, 2, None) == ""
    assert [r.use for _, r in pki.installed_roots(tuple(CertificateUse))] == [
        CertificateUse.CSMS_ROOT,
        CertificateUse.MANUFACTURER_ROOT,
    ]


@pytest.mark.parametrize(("name", "algorithm"), [("SHA256", hashes.SHA256), ("SHA384", hashes.SHA384)])
def test_hashes_are_those_of_another_implementation(name: str, algorithm: type[hashes.HashAlgorithm]) -> None:
    own = CPO.certify(named("leaf"), STRANGER.key.public_key())
    request = ocsp.OCSPRequestBuilder().add_certificate(own, CPO.certificate, algorithm()).build()
    ours = x509_certificates.certificate_hash_data(own, CPO.certificate, name)
    assert ours.issuer_name == request.issuer_name_hash.hex()
    assert ours.issuer_key == request.issuer_key_hash.hex()
    assert ours.serial == f"{request.serial_number:x}"
    assert ours.names_same_certificate(
        HashData(name, ours.issuer_name.upper(), ours.issuer_key.upper(), "00" + ours.serial.upper())
    )


@pytest.mark.parametrize("algorithm", x509_certificates.ALGORITHMS)
def test_a_root_goes_by_its_hashes_once(pki: KeyStore, algorithm: str) -> None:
    named = x509_certificates.certificate_hash_data(CPO.certificate, CPO.certificate, algorithm)
    assert pki.delete_root(named, True) == "Failed"  # the last one that the connection hangs on
    pki.install_root(CertificateUse.CSMS_ROOT, STRANGER.pem, 5, None)
    pki.root_used("a", STRANGER.certificate.public_bytes(Encoding.DER))
    assert pki.delete_root(named, True) == "Accepted"
    assert pki.delete_root(named, False) == "NotFound"
    assert len(pki.installed_files(CertificateUse.CSMS_ROOT)) == 1
    assert len(KeyStore(folder(pki)).installed_files(CertificateUse.CSMS_ROOT)) == 1


@pytest.mark.parametrize("spare_last", [True, False])
def test_the_root_that_a_connection_hangs_on_stays(pki: KeyStore, spare_last: bool) -> None:
    pki.install_root(CertificateUse.CSMS_ROOT, STRANGER.pem, 5, None)
    ours, other = (x509_certificates.certificate_hash_data(a.certificate, a.certificate) for a in (CPO, STRANGER))
    pki.root_used("a", CPO.certificate.public_bytes(Encoding.DER))
    pki.root_used("b", STRANGER.certificate.public_bytes(Encoding.DER))
    assert [pki.delete_root(root, spare_last) for root in (ours, other)] == ["Failed", "Failed"]
    pki.root_used("b", CPO.certificate.public_bytes(Encoding.DER))
    assert [pki.delete_root(root, spare_last) for root in (ours, other)] == ["Failed", "Accepted"]


@pytest.mark.parametrize("roots", [(), (b"",), (None,)])
def test_while_no_one_knows_which_root_it_is_all_stay(pki: KeyStore, roots: tuple[bytes | None, ...]) -> None:
    pki.install_root(CertificateUse.CSMS_ROOT, STRANGER.pem, 5, None)
    for root in roots:
        pki.root_used("a", root)
    for authority in (CPO, STRANGER):
        assert (
            pki.delete_root(x509_certificates.certificate_hash_data(authority.certificate, authority.certificate), True)
            == "Failed"
        )
    assert (
        pki.delete_root(x509_certificates.certificate_hash_data(CPO.certificate, CPO.certificate), False) == "Accepted"
    )


def hashes_of(authority: Authority) -> HashData:
    return x509_certificates.certificate_hash_data(authority.certificate, authority.certificate)


@pytest.mark.parametrize("use", CertificateUse)
@pytest.mark.parametrize("installed_too", [False, True])
def test_a_root_of_the_station_file_is_listed_deleted_and_comes_back_by_installing(
    tmp_path: Path, use: CertificateUse, installed_too: bool
) -> None:
    """It is like an installed one. What was deleted stays so over a restart, although the file still names it."""
    file = tmp_path / "ca.pem"
    file.write_text(STRANGER.pem + CPO.pem)
    named = NamedFiles(((use, file),))
    pki = KeyStore(tmp_path / "pki", named)
    if installed_too:
        assert pki.install_root(use, CPO.pem, 5, None) == ""
    assert {r.hashes.serial for _, r in pki.installed_roots((use,))} == {hashes_of(a).serial for a in (STRANGER, CPO)}
    assert sum(pki.count_trusted_roots().values()) == 2
    pki.root_used("a", CPO.certificate.public_bytes(Encoding.DER))
    assert pki.delete_root(hashes_of(CPO), True) == ("Failed" if use is CertificateUse.CSMS_ROOT else "Accepted")
    pki.root_used("a", STRANGER.certificate.public_bytes(Encoding.DER))
    if use is CertificateUse.CSMS_ROOT:
        assert pki.delete_root(hashes_of(CPO), True) == "Accepted"
    for again in (pki, KeyStore(tmp_path / "pki", named)):
        assert again.delete_root(hashes_of(CPO), True) == "NotFound"
        assert [r.hashes for _, r in again.installed_roots((use,))] == [hashes_of(STRANGER)]
        assert again.trusted_pems(use) == [STRANGER.pem.strip()]
    assert pki.install_root(use, CPO.pem, 5, None) == ""
    assert {r.hashes.serial for _, r in pki.installed_roots((use,))} == {hashes_of(a).serial for a in (STRANGER, CPO)}
    assert (pki.trusted_roots().withdrawn, sum(pki.count_trusted_roots().values())) == (frozenset(), 2)


def test_the_last_root_stays_whether_a_file_names_it_or_not(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(CPO.pem)
    pki = KeyStore(tmp_path / "pki", NamedFiles(((CertificateUse.CSMS_ROOT, file),)))
    pki.root_used("a", b"")
    assert pki.delete_root(hashes_of(CPO), True) == "Failed"
    pki.install_root(CertificateUse.CSMS_ROOT, STRANGER.pem, 5, None)
    assert pki.delete_root(hashes_of(CPO), True) == "Failed", "it is not known which one is used"
    pki.root_used("a", STRANGER.certificate.public_bytes(Encoding.DER))
    assert pki.delete_root(hashes_of(CPO), True) == "Accepted"
    assert pki.delete_root(hashes_of(STRANGER), True) == "Failed"


# --- roots that replace others (AdditionalRootCertificateCheck) ------------------------------------------------------

NEW = Authority(name="New root", above=CPO)
ROOTS = CertificateUse.CSMS_ROOT


def der(authority: Authority) -> bytes:
    return authority.certificate.public_bytes(Encoding.DER)


def replace_by(pki: KeyStore, authority: Authority, most: int = 5) -> str:
    return pki.install_root(ROOTS, authority.pem, most, None, replaces=True)


def trusted(pki: KeyStore) -> set[str]:
    """The serial numbers of the roots of central systems."""
    return {root.hashes.serial for _, root in pki.installed_roots((ROOTS,))}


def serials(*authorities: Authority) -> set[str]:
    return {f"{a.certificate.serial_number:x}" for a in authorities}


def marks(*authorities: Authority) -> set[str]:
    return {certificate_fingerprint(a.pem) for a in authorities}


@pytest.mark.parametrize(
    ("pem_text", "why"),
    [
        (STRANGER.pem, "none of the roots that it would replace has signed it"),
        (Authority(name="Other", above=STRANGER).pem, "none of the roots that it would replace has signed it"),
        (Authority(name="Late", above=CPO, span=(-20, -10)).pem, "is valid from"),
        (NEW.pem + CPO.pem, "one certificate is wanted, 2 came"),
        (pem(CPO.certify(named("a server"), STRANGER.key.public_key())), "not an authority"),
    ],
)
def test_a_root_that_no_trusted_one_has_signed_replaces_none(pki: KeyStore, pem_text: str, why: str) -> None:
    """M05.FR.10, M05.FR.11."""
    before = names(pki, "")
    assert why in pki.install_root(ROOTS, pem_text, 5, None, replaces=True)
    assert names(pki, "") == before
    assert pki.trusted_roots().first is None


def test_an_old_root_that_has_ended_signs_no_new_one(tmp_path: Path) -> None:
    old = Authority(name="Old", span=(-20, -10))
    file = tmp_path / "ca.pem"
    file.write_text(old.pem)
    pki = KeyStore(tmp_path / "pki", NamedFiles(((ROOTS, file),)))
    assert "none of the roots" in replace_by(pki, Authority(name="New", above=old))


def test_a_new_root_is_tried_alone_and_the_old_one_is_the_way_back(pki: KeyStore) -> None:
    """M05.FR.12, M05.FR.14. It is the same after a restart."""
    assert replace_by(pki, NEW) == ""
    for again in (pki, KeyStore(folder(pki))):
        roots = again.trusted_roots()
        assert roots.first is not None
        assert [p.read_text() for p in roots.first.installed] == [NEW.pem]
        assert roots.first.is_pinned
        assert [p.read_text() for p in roots.installed] == [CPO.pem]
        assert trusted(again) == serials(CPO, NEW)
        assert {p.read_text() for p in roots.all_together().installed} == {CPO.pem, NEW.pem}
    assert replace_by(pki, NEW) == "", "once more is no change"
    assert replace_by(pki, CPO) == ""
    assert pki.trusted_roots() == roots


def test_the_old_root_goes_when_a_connection_hangs_on_the_new_one(pki: KeyStore) -> None:
    """M05.FR.13."""
    replace_by(pki, NEW)
    pki.root_used("a", der(CPO))
    assert not pki.confirm_replacement("a")
    assert trusted(pki) == serials(CPO, NEW)
    pki.root_used("a", der(NEW))
    pki.root_used("b", der(CPO))
    assert not pki.confirm_replacement("a"), "another link hangs on the old one"
    assert pki.trusted_roots().first is not None
    pki.root_used("b", None)
    assert pki.confirm_replacement("a")
    for again in (pki, KeyStore(folder(pki))):
        assert trusted(again) == serials(NEW)
        assert (again.trusted_roots().first, again.trusted_roots().is_pinned) == (None, True)
    assert not pki.confirm_replacement("a")


def test_the_hashes_of_a_new_root_are_made_with_the_key_of_the_old_one(pki: KeyStore) -> None:
    """Also when that is not trusted any more (RFC 6960): a backend names the root by them."""
    replace_by(pki, NEW)
    pki.root_used("a", der(NEW))
    assert pki.confirm_replacement("a")
    ((_, root),) = pki.installed_roots((ROOTS,))
    made = ocsp.OCSPRequestBuilder().add_certificate(NEW.certificate, CPO.certificate, hashes.SHA256()).build()
    assert (root.hashes.issuer_name, root.hashes.issuer_key) == (
        made.issuer_name_hash.hex(),
        made.issuer_key_hash.hex(),
    )
    assert pki.delete_root(root.hashes, False) == "Failed", "the connection hangs on it"
    pki.root_used("a", None)
    assert pki.delete_root(root.hashes, False) == "Accepted"
    assert names(pki, "") == set()


def test_the_way_back_is_not_deleted_and_the_new_root_may_be(pki: KeyStore) -> None:
    replace_by(pki, NEW)
    pki.root_used("a", der(CPO))
    assert pki.delete_root(hashes_of(CPO), False) == "Failed"
    (new,) = [r.hashes for _, r in pki.installed_roots((ROOTS,)) if r.hashes.serial in serials(NEW)]
    assert pki.delete_root(new, False) == "Accepted"
    assert (trusted(pki), pki.trusted_roots().first) == (serials(CPO), None)
    assert names(pki, ".issuer") | names(pki, ".first") == set()


@pytest.mark.parametrize("above", [CPO, NEW], ids=["by the old one", "by the new one"])
def test_a_second_new_root_takes_the_place_of_one_that_was_never_proven(pki: KeyStore, above: Authority) -> None:
    newer = Authority(name="Newer root", above=above)
    replace_by(pki, NEW)
    assert replace_by(pki, newer) == ""
    assert trusted(pki) == serials(CPO, newer)
    pki.root_used("a", der(newer))
    assert pki.confirm_replacement("a")
    assert trusted(pki) == serials(newer)


def test_a_root_of_the_station_file_is_replaced_too(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(CPO.pem)
    stores = [KeyStore(tmp_path / "pki", NamedFiles(((ROOTS, file),))) for _ in range(2)]
    assert replace_by(stores[0], NEW) == ""
    roots = KeyStore(tmp_path / "pki", NamedFiles(((ROOTS, file),))).trusted_roots()
    assert roots.first is not None
    assert (roots.first.withdrawn, roots.withdrawn) == (marks(CPO), frozenset())
    stores[0].root_used("a", der(NEW))
    assert stores[0].confirm_replacement("a")
    roots = KeyStore(tmp_path / "pki", NamedFiles(((ROOTS, file),))).trusted_roots()
    assert (roots.withdrawn, roots.first) == (marks(CPO), None)


def test_the_first_root_replaces_none_and_a_full_store_takes_none(tmp_path: Path) -> None:
    pki = KeyStore(tmp_path / "pki")
    assert replace_by(pki, CPO) == ""
    assert pki.trusted_roots().first is None
    assert "1 roots are installed already" in replace_by(pki, NEW, most=1)
    assert trusted(pki) == serials(CPO)


def test_without_the_check_all_roots_count_alike_again(pki: KeyStore) -> None:
    replace_by(pki, NEW)
    assert pki.install_root(ROOTS, STRANGER.pem, 5, None) == ""
    assert pki.trusted_roots().first is None
    assert len(pki.trusted_roots().installed) == 3


@pytest.mark.parametrize("kept", [(".issuer",), (".issuer", ".first"), (".issuer", ".first", ".pem")])
def test_a_process_that_ends_while_a_root_is_replaced(pki: KeyStore, kept: tuple[str, ...]) -> None:
    """Until the root itself is there nothing has changed."""
    replace_by(pki, NEW)
    for path in folder(pki).glob(f"csms-{certificate_fingerprint(NEW.pem)}.*"):
        if path.suffix not in kept:
            path.unlink()
    roots = KeyStore(folder(pki)).trusted_roots()
    assert (roots.first is None, roots.is_pinned) == ((False, True) if ".pem" in kept else (True, False))


@pytest.mark.parametrize("issuer_is_known", [False, True])
def test_the_own_certificate_of_the_station_file_cannot_be_deleted(tmp_path: Path, issuer_is_known: bool) -> None:
    own = CPO.certify(named("SN-1"), STRANGER.key.public_key())
    file = tmp_path / "client.pem"
    file.write_text(pem(own))
    pki = KeyStore(tmp_path / "pki", NamedFiles(own=(file,)))
    if issuer_is_known:
        pki.install_root(CertificateUse.CSMS_ROOT, CPO.pem, 5, None)
    assert pki.delete_root(x509_certificates.certificate_hash_data(own, CPO.certificate), False) == "Failed"
    other = CPO.certify(named("SN-2"), STRANGER.key.public_key())
    assert pki.delete_root(x509_certificates.certificate_hash_data(other, CPO.certificate), False) == "NotFound"


@pytest.mark.parametrize("signer", [CPO, SUB])
def test_its_own_certificate_cannot_be_deleted(pki: KeyStore, signer: Authority) -> None:
    chain = signer.sign(pki.make_request("SN-1", "")) + (SUB.pem if signer is SUB else "")
    taken = pki.take_chain(chain, "SN-1", None)
    assert pki.delete_root(x509_certificates.certificate_hash_data(leaf(chain), signer.certificate), False) == "Failed"
    assert pki.client_certificate(taken.id) is not None


def test_a_damaged_root_is_left_out_and_reported(pki: KeyStore, caplog: pytest.LogCaptureFixture) -> None:
    pki.installed_files(CertificateUse.CSMS_ROOT)[0].write_text("damaged")
    assert pki.installed_roots(tuple(CertificateUse)) == []
    assert "cannot be read" in caplog.text
    assert "no installed root" in pki.take_chain(CPO.sign(pki.make_request("SN-1", "")), "SN-1", None).why


CUT = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----"
"""A certificate that has both its first and its last line, and lost octets between them."""


@pytest.mark.parametrize("use", CertificateUse)
def test_a_cut_root_of_the_station_file_ends_nothing(
    tmp_path: Path, use: CertificateUse, caplog: pytest.LogCaptureFixture
) -> None:
    """The roots are counted in the task that handles all events: an error there would end the process."""
    with pytest.raises(ValueError, match="padding"):
        certificate_fingerprint(CUT)
    file = tmp_path / "ca.pem"
    file.write_text(CUT + "\n" + STRANGER.pem)
    keys = KeyStore(tmp_path / "pki", NamedFiles(((use, file),), (file,)))
    counts = RootCounts(keys)
    counts.before_event(RequestReceived("chargy", "1", SetVariablesRequest({"security_profile": "2"})))
    assert counts.all_roots == 1
    assert f"{file}: a certificate in it cannot be read" in caplog.text
    assert keys.trusted_pems(use) == [STRANGER.pem.strip()]
    assert keys.delete_root(hashes_of(CPO), False) == "NotFound"
    assert keys.install_root(use, CPO.pem, 5, None) == ""
    assert keys.delete_root(hashes_of(CPO), False) == "Accepted"
    assert keys.take_chain("damaged", "SN-1", None).why


def test_a_cut_installed_root_is_not_counted(pki: KeyStore) -> None:
    pki.installed_files(CertificateUse.CSMS_ROOT)[0].write_text(CUT)
    counts = RootCounts(pki)
    counts.before_event(RequestReceived("chargy", "1", DeviceReportRequest()))
    assert counts.all_roots == 0


# --- against a model, and kill -9 ------------------------------------------------------------------------------------

MADE = [Authority(name=f"Root {n}") for n in range(3)]
STEPS = st.lists(
    st.tuples(st.sampled_from(["install", "delete", "sign", "keep", "again"]), st.integers(0, 2)), max_size=12
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_whatever_is_done_what_is_there_is_complete(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    pki = KeyStore(tmp_path_factory.mktemp("pki"))
    roots: set[int] = set()
    own: list[str] = []
    for what, n in steps:
        if what == "install":
            full = len(roots) >= 2 and n not in roots
            assert (pki.install_root(CertificateUse.CSMS_ROOT, MADE[n].pem, 2, None) == "") is not full
            roots |= set() if full else {n}
        elif what == "delete":
            named = x509_certificates.certificate_hash_data(MADE[n].certificate, MADE[n].certificate)
            assert pki.delete_root(named, False) == ("Accepted" if n in roots else "NotFound")
            roots -= {n}
        elif what == "sign":
            taken = pki.take_chain(MADE[n].sign(pki.make_request("SN-1", "")), "SN-1", None)
            assert (taken.why == "") is (n in roots)
            own += [taken.id] if taken.id else []
        elif what == "keep":
            own = own[-1:]
            pki.keep_certificates(tuple(own))
        else:
            pki = KeyStore(folder(pki))
        assert len(pki.installed_files(CertificateUse.CSMS_ROOT)) == len(roots)
        assert all(pki.client_certificate(id_) for id_ in own)
        assert sum(pki.count_trusted_roots().values()) == len(roots)
        for id_ in own:
            files = pki.client_certificate(id_)
            assert files is not None
            key = load_pem_private_key(files[1].read_bytes(), None)
            assert key.public_key() == leaf(files[0].read_text()).public_key()


DER = CPO.certificate.public_bytes(Encoding.DER)
UNUSED_BITS_AT = len(DER) - len(CPO.certificate.signature) - 1
"""How many bits of the last octet of the signature do not count: with another number it is the same certificate."""
PLACES = st.integers(0, len(DER) - 1).filter(lambda at: at != UNUSED_BITS_AT)
CHANGES = st.lists(st.tuples(PLACES, st.integers(0, 255)), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(CHANGES)
@example([(DER.index(b"\xa0\x03\x02\x01\x02") + 4, 1)])  # of a version that does not exist
def test_whatever_a_backend_sends_is_an_answer_and_no_end(changes: list[tuple[int, int]]) -> None:
    """A certificate with some other bytes is taken for what it is, or refused, in words."""
    changed = bytearray(DER)
    for at, byte in changes:
        changed[at] = byte
    text = "-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(bytes(changed)).decode() + "-----END CERTIFICATE-----\n"
    with tempfile.TemporaryDirectory() as folder:
        pki = KeyStore(Path(folder))
        same = bytes(changed) == DER
        assert (pki.install_root(CertificateUse.CSMS_ROOT, text, 5, None) == "") is same
        assert (signer_problem(text, [CPO.pem.encode()]) == "") is same
        assert pki.take_chain(text, "SN-1", None).why


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[2]]
from tests.support.certificate_authorities import Authority, pem
from agent.domain.certificates import CertificateUse
from agent.services.keys.key_store import NamedFiles, KeyStore
root, pki = Authority(), KeyStore(Path(sys.argv[1]))
pki.install_root(CertificateUse.CSMS_ROOT, root.pem, 5, None)
print(flush=True)
while True:
    taken = pki.take_chain(root.sign(pki.make_request("SN-1", "O")), "SN-1", None)
    print(taken.id, flush=True)  # it is promised
    pki.keep_certificates((taken.id,))
"""


def test_kill_9_never_leaves_half_a_key_or_certificate(tmp_path: Path) -> None:
    draw = random.Random(12)
    tests = str(Path(__file__).parents[2])
    for n in range(4):
        path = tmp_path / str(n)
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), tests], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"\n"
        promised = [writer.stdout.readline().decode().strip()]
        time.sleep(draw.uniform(0.0, 0.05))  # whatever it is doing then
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        promised += writer.stdout.read().decode().splitlines()
        pki = KeyStore(path)
        for key in path.glob("*.key"):
            load_pem_private_key(key.read_bytes(), None)
        for chain in path.glob("*.pem"):
            x509.load_pem_x509_certificates(chain.read_bytes())
        whole = [p.stem for p in path.glob("*.pem") if pki.client_certificate(p.stem)]
        assert promised[-1] in whole  # the one that is in use; perhaps the one before, or the next
        assert len(whole) <= 2
        pki.make_request("SN-1", "O")
        assert not list(path.glob("*.new"))
        writer.stdout.close()


def test_nothing_of_a_key_is_said(pki: KeyStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    pki.take_chain(STRANGER.sign(pki.make_request("SN-1", "")), "SN-1", None)
    secrets = [line for p in folder(pki).glob("*.key") for line in p.read_text().splitlines()[1:-1]]
    said = caplog.text + json.dumps(repr(pki.__dict__))
    assert secrets
    assert not any(line in said for line in secrets)
