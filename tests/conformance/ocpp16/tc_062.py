"""DataTransfer of an unknown vendor."""

from tests.conformance.ocpp16.play import Play


async def test_an_unknown_vendor(s: Play) -> None:
    answered = await s.ask("DataTransfer", vendorId="org.example.unknown", messageId="hello", data="world")
    assert answered in ("Rejected", "UnknownVendorId", "UnknownMessageId")
