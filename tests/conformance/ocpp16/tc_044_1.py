"""UpdateFirmware with a good file: downloaded, installed, booted, and reported step by step."""

from tests.conformance.ocpp16.files_play import firmware, update
from tests.conformance.ocpp16.play import Play
from tests.support.file_servers import web_server
from tests.support.firmware_signers import image


async def test_good_firmware(s: Play) -> None:
    with web_server() as web:
        web.files["/fw.bin"] = image("2.0.0")
        await update(s, f"http://127.0.0.1:{web.port}/fw.bin")
        boot = await s.rebooted()
        await s.heard(lambda: "Installed" in firmware(s))
    assert firmware(s) == ["Downloading", "Downloaded", "Installing", "Installed"]
    assert boot["firmwareVersion"] == "2.0.0"
    await s.status_reported("Available")


async def test_a_session_ends_before_the_installation_and_none_begins(s: Play) -> None:
    number = await s.session()
    with web_server() as web:
        web.files["/fw.bin"] = image("2.0.1", reboot=False)
        await update(s, f"http://127.0.0.1:{web.port}/fw.bin")
        await s.status_reported("Unavailable", 2)
        await s.heard(lambda: firmware(s) == ["Downloading", "Downloaded"])
        assert await s.start(n=2) == "Rejected"
        assert await s.stop(number) == "Accepted"
        await s.heard(lambda: "Installed" in firmware(s))
    await s.status_reported("Available", 2)


async def test_new_firmware_that_does_not_come_up(s: Play) -> None:
    with web_server() as web:
        web.files["/fw.bin"] = image("3.0.0", boots=False)
        await update(s, f"http://127.0.0.1:{web.port}/fw.bin")
        boot = await s.rebooted()
        await s.heard(lambda: "InstallationFailed" in firmware(s))
    assert boot["firmwareVersion"] != "3.0.0"
    await s.status_reported("Available")


async def test_killed_while_it_downloads(s: Play) -> None:
    with web_server() as web:
        web.files["/fw.bin"] = image("2.0.2", reboot=False)
        web.hold.clear()
        await update(s, f"http://127.0.0.1:{web.port}/fw.bin")
        await s.heard(lambda: web.asked)
        await s.kill()
        web.hold.set()
        await s.heard(lambda: "Installed" in firmware(s))
