"""Security profile 2: TLS 1.2 or newer with the suites of the standard, a server that is checked, HTTP Basic."""

from tests.conformance.ocpp16.secure_play import FIRST, Guarded, back, shut_out
from tests.support.certificate_authorities import tls

ECDSA = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"}
RSA = {"AES128-GCM-SHA256", "AES256-GCM-SHA384"}


async def test_what_is_offered_and_what_is_refused(secured: Guarded) -> None:
    s, csms, ours = secured
    for wrong in (
        tls(ours.server(kind="rsa"), version="1.1"),
        tls(ours.server(("elsewhere.example",))),
        tls(ours.server(days=-1)),
        None,
    ):
        csms.become(wrong)
        await shut_out(s, csms)
    csms.become(tls(ours.server(), version="1.2", ciphers="ALL:@SECLEVEL=0"))
    await back(s, csms)
    assert csms.users == [("CP-1", FIRST)]
    offered = {name for name in csms.front.agreed["shared"] if not name.startswith("TLS_")}  # those are of 1.3
    assert offered >= ECDSA | RSA
    assert all("GCM" in name for name in offered)
    assert csms.front.agreed["version"] == "TLSv1.2"
    for kind in ("InvalidTLSVersion", "InvalidCentralSystemCertificate"):
        await s.heard(lambda k=kind: csms.events().count(k) == 1)  # one outage, many attempts
