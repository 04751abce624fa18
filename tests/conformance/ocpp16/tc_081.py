"""SignedUpdateFirmware whose signature belongs to other bytes, or to a stranger: reported, and nothing is installed."""

from pathlib import Path

from tests.conformance.ocpp16.files_play import signed, signed_update, trusting
from tests.support.file_servers import web_server
from tests.support.firmware_signers import Maker, image


async def test_a_signature_of_other_bytes_and_of_a_stranger(tmp_path: Path) -> None:
    maker, stranger, content = Maker(), Maker("Stranger"), image("5.0.0")
    async with trusting(tmp_path, maker) as s:
        with web_server() as web:
            web.files["/fw.bin"] = content
            location = f"http://127.0.0.1:{web.port}/fw.bin"
            assert await signed_update(s, location, maker.certificate, maker.sign(b"other"), 12) == "Accepted"
            await s.heard(lambda: "InvalidSignature" in signed(s))
            assert signed(s) == ["Downloading", "Downloaded", "InvalidSignature"]
            s.begin()
            answer = await signed_update(s, location, stranger.certificate, stranger.sign(content), 13)
            assert answer == "InvalidCertificate"
            assert signed(s) == []
            assert len(web.asked) == 1
        assert s.payloads("BootNotification") == []
