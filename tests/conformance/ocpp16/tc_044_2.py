"""UpdateFirmware of a file that does not exist: reported, and the station stays in service."""

from tests.conformance.ocpp16.files_play import firmware, update
from tests.conformance.ocpp16.play import Play
from tests.support.file_servers import web_server
from tests.support.firmware_signers import image


async def test_no_such_file(s: Play) -> None:
    with web_server() as web:
        await update(s, f"http://127.0.0.1:{web.port}/does_not_exist_1", retries=0)
        await s.heard(lambda: "DownloadFailed" in firmware(s))
    assert firmware(s) == ["Downloading", "DownloadFailed"]
    assert s.payloads("BootNotification") == []
    await s.session()


async def test_tried_again_as_often_as_wanted(s: Play) -> None:
    with web_server() as web:
        await update(s, f"http://127.0.0.1:{web.port}/late", retries=2, retryInterval=10)
        await s.heard(lambda: len(web.asked) == 2)
        web.files["/late"] = image("2.1.0", reboot=False)
        await s.heard(lambda: "Installed" in firmware(s))
    assert firmware(s) == ["Downloading", "Downloaded", "Installing", "Installed"]


async def test_an_address_that_is_not_spoken(s: Play) -> None:
    await update(s, "gopher://127.0.0.1/fw")
    await s.heard(lambda: firmware(s) == ["DownloadFailed"])
