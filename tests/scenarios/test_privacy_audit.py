"""Everything that leaves a station for a technician's eyes, after people have used it in every way on OCPP 2.0.1: the
journal at level DEBUG, both archives of GetLog, the dead letters, and what the commands say. No whole card number, no
password, no key. (On 1.6: ``test_journal.py``. The trace and the picture of the status socket are no such thing: they
are for the agent's group only, and have what went over the wire; ``docs/operations.md`` says so.)"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import zipfile
from pathlib import Path

from tests.scenarios.control_rig import ROOT
from tests.scenarios.test_journal import Bench, agent, spellings, trace
from tests.support.busy_machine import deadline
from tests.support.file_servers import WebServer, web_server
from tests.support.station_rig import Backend, station_text
from tests.support.station_rig_v201 import Street201

PASSWORD, NEW_KEY, UPLOADS = "Fifteen-And-One!", "AnotherSecretKey42", "UploadPass-77"
SIGNATURE = "5ff0c1d2e3a4b596"
READ, UID, REMOTE, GROUP, BAD, LISTED, RESERVED = (
    "READ-4711-CARD", "04A1B2C3D4E5F6", "REMOTE-0815-TAG", "FAMILY-0042-GROUP", "BAD-6666-CARD", "LISTED-1234-TAG",
    "RESERVED-5555-TAG",
)  # fmt: skip
ENDS = {"Uploaded", "UploadFailure", "BadMessage", "PermissionDenied"}
USED = (PASSWORD, NEW_KEY, UPLOADS, SIGNATURE, READ, UID, REMOTE, GROUP, BAD, LISTED, RESERVED)


async def used_in_every_way(s: Street201) -> None:
    family = {"status": "Accepted", "groupIdToken": {"idToken": GROUP, "type": "Central"}}
    s.csms.infos |= {READ: family, UID: family}
    s.csms.infos[BAD] = {"status": "Blocked", "personalMessage": {"format": "UTF8", "content": f"{BAD} is blocked"}}
    assert await s.list(1, **{LISTED: family}) == "Accepted"
    await s.tap(BAD)
    await s.heard(lambda: s.payloads("Authorize"))
    await s.session(READ)
    s.csms.instead["TransactionEvent"] = lambda i: json.dumps([4, i, READ, f"{READ} of {GROUP}?", {READ: UID}])
    await s.tap(READ)
    await s.heard(lambda: s.events("Ended"))
    await s.until(lambda e: not e["session"])
    await journal_says(s, "dead letters")
    s.csms.instead.clear()
    await s.leave()
    assert await s.reserve(token=RESERVED) == "Accepted"
    assert await s.cancel() == "Accepted"
    await s.occupy()
    assert await s.remote(token=REMOTE) == "Accepted"
    await s.until(lambda e: e["session"] and e["contactor"])
    await s.unplug(side="ev")
    await s.leave()
    await s.station.post("/cards/tap", {"uid": UID, "evse": 1, "hold_s": 1})
    await s.heard(lambda: UID in [p["idToken"]["idToken"] for p in s.payloads("Authorize")])
    await s.tap(LISTED)
    assert await s.put("SecurityCtrlr.BasicAuthPassword", NEW_KEY) in ("Accepted", "RebootRequired")
    await journal_says(s, "disconnected (1000)")  # and connects with the new one


async def journal_says(s: Street201, text: str) -> None:
    async with deadline(60):
        while text not in (s.station.folder / "journal").read_text():
            await asyncio.sleep(0.05)


def statuses(s: Street201, number: int) -> set[str]:
    return {x["status"] for x in s.payloads("LogStatusNotification") if x.get("requestId") == number}


async def archives(s: Street201, web: WebServer) -> str:
    """All that is in them; the first upload fails, with a password in its address."""
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    where = f"http://chargy:{UPLOADS}@127.0.0.1"
    for number, kind, port in ((1, "DiagnosticsLog", 1), (2, "DiagnosticsLog", web.port), (3, "SecurityLog", web.port)):
        log = {"remoteLocation": f"{where}:{port}/logs" + (f"?sig={SIGNATURE}" if port == 1 else "")}
        await s.csms.ask("GetLog", {"logType": kind, "requestId": number, "log": log, "retries": 0})
        await s.heard(lambda n=number: ENDS & statuses(s, n))
    assert len(web.got) == 2
    texts = []
    for *_, content in web.got:
        archive = zipfile.ZipFile(io.BytesIO(content))
        texts += [f"--- {name}\n{archive.read(name).decode()}" for name in archive.namelist()]
    return "\n".join(texts)


def misspelt(file: Path) -> Path:
    wrong = file.with_name("wrong.toml")
    wrong.write_text(file.read_text().replace("\npassword = ", "\npasswort = 1\npassword = "))
    return wrong


async def said(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agent",
        *words,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return out.decode()


async def test_nothing_of_it_is_in_anything_a_technician_sees(tmp_path: Path) -> None:
    text = station_text(
        backend='versions = ["2.0.1"]\nsecurity_profile = 1\n' + f'password = "{PASSWORD}"',
        settings="sample_interval_s = 5\nmessage_attempts = 1",
    )
    seen: dict[str, str] = {}
    with web_server() as web:
        async with Backend(speaks=("2.0.1",)) as csms:
            text = text.replace("[backend]", f'[backend]\nurl = "{csms.url}"')
            async with Bench(tmp_path, text) as world, agent(tmp_path) as journal:
                file = str(tmp_path / "world" / "derived.toml")
                await world.until(lambda p: p["backend"]["boot"] == "Accepted")
                await world.until(lambda p: p["evses"][0]["screen"] == "idle")
                s = Street201(world, csms)
                s.begin()
                try:
                    await used_in_every_way(s)
                    seen["archives"] = await archives(s, web)
                    seen["dead list"] = await said("dead", "list", file)
                    seen["dead show"] = await said("dead", "show", file)
                    seen["check"] = await said("check", file)
                    frames, picture = json.dumps(await trace(world)), json.dumps(await world.picture())
                except BaseException as e:
                    e.add_note(journal.read_text()[-3000:])
                    raise
            seen["journal"] = journal.read_text()
            seen["dead show, stopped"] = await said("dead", "show", file)
            seen["check of a wrong file"] = await said("check", str(misspelt(Path(file))))
    assert READ in frames
    assert "/logs" in frames
    for secret in (NEW_KEY, UPLOADS, SIGNATURE):
        assert secret not in frames + picture
    judge(seen)


def judge(seen: dict[str, str]) -> None:
    """None of it, in any spelling; and what is there instead, so that an empty text is no good one."""
    found = [
        f"{where}: {line[:300]}"
        for where, text in seen.items()
        for line in text.splitlines()
        for secret in USED
        if any(spelling in line.casefold() for spelling in spellings(secret))
    ]
    assert not found, "\n".join(found)
    assert "…CARD" in seen["journal"]
    assert "…CARD" in seen["dead show"]
    assert seen["dead show, stopped"] == seen["dead show"]
    assert "…CARD" in seen["archives"]
    for name in ("wire.jsonl", "agent.log", "station.json", "settings.json", "security.json"):
        assert name in seen["archives"]
    assert "did you mean 'password'?" in seen["check of a wrong file"]
