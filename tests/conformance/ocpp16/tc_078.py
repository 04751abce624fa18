"""The server's certificate is of an unknown authority: no connection; reported once the right server is back."""

from pathlib import Path

from tests.conformance.ocpp16.secure_play import Guarded, back, shut_out
from tests.support.certificate_authorities import Authority, tls


async def test_a_foreign_server_is_reported_to_the_right_one(secured: Guarded, tmp_path: Path) -> None:
    s, csms, ours = secured
    csms.become(tls(Authority(tmp_path, "Foreign Root").server()))
    await shut_out(s, csms)
    await s.kill()  # what happened is on disk
    csms.become(tls(ours.server()))
    await back(s, csms)
    await s.heard(lambda: "InvalidCentralSystemCertificate" in csms.events())
    assert csms.events().count("InvalidCentralSystemCertificate") <= 2  # one per outage and start, of many attempts
