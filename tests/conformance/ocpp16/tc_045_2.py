"""GetDiagnostics to a server that refuses: reported as failed."""

from tests.conformance.ocpp16.play import Play
from tests.support.file_servers import web_server


async def test_refused(s: Play) -> None:
    with web_server() as web:
        web.status = 500
        await s.answer("GetDiagnostics", location=f"http://127.0.0.1:{web.port}/in/", retries=1, retryInterval=10)
        await s.heard(lambda: "UploadFailed" in uploads(s))
        assert len(web.asked) == 2
    assert uploads(s) == ["Uploading", "UploadFailed"]


def uploads(s: Play) -> list[str]:
    return [p["status"] for p in s.payloads("DiagnosticsStatusNotification")]
