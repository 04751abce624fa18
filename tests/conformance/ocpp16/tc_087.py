"""Security profile 3: the station's certificate is made out to its serial number; no password is sent."""

from pathlib import Path

from cryptography import x509

from tests.conformance.ocpp16.secure_play import back, shut_out, with_tls
from tests.support.certificate_authorities import Authority, tls


async def test_the_certificate_names_the_station(tmp_path: Path) -> None:
    async with with_tls(tmp_path, 3) as (s, csms, ours):
        assert csms.users == [None]
        shown = x509.load_der_x509_certificate(csms.front.agreed["certificate"])
        common = shown.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        assert common == s.payloads("BootNotification")[0]["chargePointSerialNumber"]
        assert shown.public_key().key_size >= 224  # type: ignore[union-attr]
        other = tmp_path / "other"
        other.mkdir()
        right = csms.tls
        for version in ("1.2", "1.3"):
            wants = Authority(other, f"Other Root {version}")
            csms.become(tls(ours.server(), wants.root, version))
            await shut_out(s, csms)
        csms.become(right)
        await back(s, csms)
        await s.heard(lambda: csms.events().count("FailedToAuthenticateAtCentralSystem") == 1)
