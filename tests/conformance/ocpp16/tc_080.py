"""SignedUpdateFirmware, all good: downloaded, verified, installed, booted, and reported step by step, with its id."""

from pathlib import Path

from tests.conformance.ocpp16.files_play import in_s, signed, signed_update, trusting
from tests.support.file_servers import web_server
from tests.support.firmware_signers import Maker, image


async def test_all_good(tmp_path: Path) -> None:
    maker, content = Maker(), image("4.0.0")
    async with trusting(tmp_path, maker) as s:
        with web_server() as web:
            web.files["/fw.bin"] = content
            location = f"http://127.0.0.1:{web.port}/fw.bin"
            assert await signed_update(s, location, maker.certificate, maker.sign(content), 11) == "Accepted"
            boot = await s.rebooted()
            await s.heard(lambda: "Installed" in signed(s))
        assert signed(s) == [
            "Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting", "Installed",
        ]  # fmt: skip
        assert {p.get("requestId") for p in s.payloads("SignedFirmwareStatusNotification")} == {11}
        assert s.payloads("FirmwareStatusNotification") == []
        assert boot["firmwareVersion"] == "4.0.0"


async def test_later_download_and_later_installation(tmp_path: Path) -> None:
    maker, content = Maker(), image("4.1.0", reboot=False)
    async with trusting(tmp_path, maker) as s:
        with web_server() as web:
            web.files["/fw.bin"] = content
            location = f"http://127.0.0.1:{web.port}/fw.bin"
            soon, later = await in_s(s, 100), await in_s(s, 250)
            answer = await signed_update(
                s, location, maker.certificate, maker.sign(content), retrieveDateTime=soon, installDateTime=later
            )
            assert answer == "Accepted"
            await s.heard(lambda: "Installed" in signed(s))
        assert signed(s) == [
            "DownloadScheduled", "Downloading", "Downloaded", "SignatureVerified", "InstallScheduled", "Installing",
            "Installed",
        ]  # fmt: skip
