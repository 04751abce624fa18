"""Badges that prove themselves, from the simulated card's file to the bill; and no key in picture and log."""

import asyncio
import json
import os
from pathlib import Path

from tests.support.station_rig import station_text, street

MASTER = "00112233445566778899aabbccddeeff"
OWN = "2c7638621cbc45bc6340587cf94fa36e"
"""AN10922 of the UID below, F58840 and CHG."""

TEXT = "LU*CHG*C12345678*"
CARDS = f"""
[[card]]
uid = "04112233445566"
application = "F58840"
keys = ["{"00" * 16}", "{OWN}"]
files = [{{ number = 1, text = "{TEXT}" }}]
"""
READER = """
[[reader]]
driver = "reader_nfc"
mode = "secure"
secure = { application = "F58840", key_file = "badges.key", key_number = 1, diversify_input = ["uid", "application", "hex:434847"], file = 1, length = 17 }
"""  # noqa: E501


async def test_a_badge_charges_and_a_card_of_another_network_does_not(tmp_path: Path) -> None:
    (tmp_path / "cards.toml").write_text(CARDS)
    key = tmp_path / "badges.key"
    key.write_text(MASTER)
    os.chmod(key, 0o600)
    async with street(tmp_path, station_text(simulation='cards = "cards.toml"') + READER) as s:
        s.begin()
        await s.station.post("/cards/tap", {"uid": "04A1B2C3D4E5F6", "evse": 1, "hold_s": 1})
        await s.screen("refused")
        assert s.calls() == []
        await s.station.post("/cards/tap", {"uid": "04112233445566", "evse": 1, "hold_s": 1})
        await s.screen("plug_in")
        assert s.payloads("Authorize") == [{"idTag": "LU*CHG*C12345678*"}]
        said = json.dumps(await s.station.picture()) + await asyncio.to_thread(logs, tmp_path)
    assert "no such application" in said
    for secret in (MASTER, OWN, TEXT[-12:]):
        assert secret.lower() not in said.lower()


def logs(folder: Path) -> str:
    return "".join(p.read_text("utf-8", "replace") for p in folder.rglob("*.log"))
