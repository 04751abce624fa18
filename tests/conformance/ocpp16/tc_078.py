"""The server's certificate is of an unknown authority: no connection; told once the right server is back."""

from pathlib import Path

from authorities import Authority, tls

from ocpp16.secure_play import back, shut_out, with_tls


async def test_a_foreign_server_is_told_to_the_right_one(tmp_path: Path) -> None:
    async with with_tls(tmp_path) as (s, csms, _):
        other = tmp_path / "other"
        other.mkdir()
        right = csms.tls
        csms.become(tls(Authority(other, "Foreign Root").server()))
        await shut_out(s, csms)
        csms.become(right)
        await back(s, csms)
        await s.heard(lambda: "InvalidCentralSystemCertificate" in csms.events())
        assert csms.events().count("InvalidCentralSystemCertificate") == 1  # one outage, many attempts
