"""UpdateFirmware with a file that is no firmware: reported, nothing installed, the station stays in service."""

from tests.conformance.ocpp16.files_play import firmware, update
from tests.conformance.ocpp16.play import Play
from tests.support.file_servers import web_server


async def test_no_firmware(s: Play) -> None:
    with web_server() as web:
        web.files["/fw.bin"] = b"a holiday picture"
        await update(s, f"http://127.0.0.1:{web.port}/fw.bin")
        await s.heard(lambda: "InstallationFailed" in firmware(s))
    assert firmware(s) == ["Downloading", "Downloaded", "Installing", "InstallationFailed"]
    assert s.payloads("BootNotification") == []
    await s.status_reported("Available")
    await s.session()
