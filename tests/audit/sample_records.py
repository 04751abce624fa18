"""Records of audits as the command writes them: a good AC station, a bad one, a DC station that has to be signed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

BEGAN_S = 1773135000.0
"""2026-03-10 09:30:00 UTC."""
Record = dict[str, Any]
SECTIONS = (
    ("identity", "Identity and parameters"),
    ("bearer", "Bearer"),
    ("ladder", "Connection"),
    ("commands", "Command series"),
    ("vehicle", "Charging a vehicle"),
    ("energy", "Energy"),
)
OBLIGATIONS = {
    "identity": (
        ("identity.serial", "The serial number in BootNotification is that of the type plate", "judge"),
        ("identity.iccid", "ICCID and IMSI of the SIM are reported", "judge"),
        ("identity.meter_class", "The meter has class B or better (MID)", "judge"),
        ("identity.keys", "Each required key of the kit has its value", "scenario"),
        ("identity.sticker", "Both stickers are on the station", "ask"),
    ),
    "bearer": (
        ("bearer.private_network", "The station connects in the private network of the operator", "judge"),
        ("bearer.volume", "The data volume of a day stays within the plan of the SIM", "judge"),
    ),
    "ladder": (
        ("ladder.accepted", "The backend accepts the station", "judge"),
        ("ladder.clock", "The clock of the station differs by less than 10 s", "judge"),
        ("ladder.heartbeat", "The interval of the backend is followed", "judge"),
    ),
    "commands": (
        ("commands.round_trip", "A configuration key keeps the value that was set", "scenario"),
        ("commands.triggers", "Each message that can be triggered is sent", "scenario"),
        ("commands.availability", "An outlet is taken out of service and back", "scenario"),
        ("commands.reservation", "A reservation keeps the outlet for its card", "scenario"),
        ("commands.reset", "A soft reset while charging ends the transaction in order", "scenario"),
    ),
    "vehicle": (
        ("vehicle.badge", "A badge starts and stops charging", "scenario"),
        ("vehicle.remote", "The backend starts and stops charging", "scenario"),
        ("vehicle.power_loss", "A loss of power loses no transaction", "scenario"),
        ("vehicle.link_loss", "A stop without a link is delivered later", "scenario"),
    ),
    "energy": (
        ("energy.sum", "The sum of the backend is the difference of the register, to the Wh", "judge"),
        ("energy.error", "The error of the meter is within its class", "judge"),
    ),
}
STATION = (
    ("number", "Station number", "0042", "kit"),
    ("id", "Charge point id", "LU-CHARGY-0042", "kit"),
    ("vendor", "Vendor", "Example Mobility", "BootNotification"),
    ("model", "Model", "Twin 22 AC", "BootNotification"),
    ("serial", "Serial number", "EM-22-004711", "BootNotification"),
    ("firmware", "Firmware", "3.4.1+b77", "BootNotification"),
    ("iccid", "ICCID", "8935201234567890123", "BootNotification"),
    ("imsi", "IMSI", "270011234567890", "BootNotification"),
    ("meter_type", "Meter", "ABB B23 112-100", "station file"),
    ("meter_serial", "Meter's serial number", "00012345", "station file"),
    ("meter_class", "Accuracy class", "B (MID)", "asked"),
    ("meter_year", "Year of the meter", "2025", "asked"),
    ("seal", "Seal", "LU 118 intact", "asked"),
)


def call(message_id: str, action: str, payload: Any, sender: str = "station", at_s: float = 0.0) -> Record:
    text = json.dumps([2, message_id, action, payload], separators=(",", ":"))
    return {"seq": 1, "utc_s": BEGAN_S + at_s, "sender": sender, "frame": text}


def answer(message_id: str, payload: Any, sender: str = "backend", at_s: float = 0.0) -> Record:
    text = json.dumps([3, message_id, payload], separators=(",", ":"))
    return {"seq": 2, "utc_s": BEGAN_S + at_s, "sender": sender, "frame": text}


def meter_values(wh: int, w: int, at_s: float) -> Record:
    sampled = [
        {"value": str(wh), "measurand": "Energy.Active.Import.Register", "unit": "Wh", "location": "Outlet"},
        {"value": str(w), "measurand": "Power.Active.Import", "unit": "W"},
    ]
    value = {"timestamp": "2026-03-10T09:31:00Z", "sampledValue": sampled}
    return call("m1", "MeterValues", {"connectorId": 1, "transactionId": 17, "meterValue": [value]}, at_s=at_s)


def scenario_steps() -> list[Record]:
    """The steps of a scenario that passes."""
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Preparing"}
    started = {"connectorId": 1, "idTag": "04A1B2C3", "meterStart": 1204560, "timestamp": "2026-03-10T09:30:20Z"}
    rows: list[tuple[str, str, str, list[Record]]] = [
        ("plug", "Plug the cable into outlet 1", "done by the simulation", []),
        ("preparing", "Wait for status Preparing of outlet 1", "Preparing after 0.4 s",
         [call("s1", "StatusNotification", status, at_s=1), answer("s1", {}, at_s=1.1)]),
        ("tap", "Present card alice", "done by the simulation", []),
        ("started", "Wait for the start of a transaction at outlet 1", "transaction 17 began with 1 204 560 Wh",
         [call("t1", "StartTransaction", started, at_s=2),
          answer("t1", {"transactionId": 17, "idTagInfo": {"status": "Accepted"}}, at_s=2.1)]),
        ("energy", "Wait for 500 Wh at outlet 1", "1 205 103 Wh after 31 s", [meter_values(1205103, 11040, 33)]),
    ]  # fmt: skip
    return [
        {
            "id": id_, "number": n, "line": n + 8, "kind": "wait", "title": title, "verdict": "PASS", "says": says,
            "began_s": n * 1.5, "took_s": 0.4 + n, "references": ["OCPP 1.6 5.3"], "evidence": frames,
        }
        for n, (id_, title, says, frames) in enumerate(rows, 1)
    ]  # fmt: skip


def obligation(obligation_id: str, title: str, kind: str) -> Record:
    """An obligation that is met."""
    made: Record = {
        "id": obligation_id, "title": title, "kind": kind, "verdict": "PASS", "says": "as required", "took_s": 1.25,
        "references": ["OCPP 1.6 edition 2, 4.2"], "facts": [], "evidence": [], "scenario": None, "pictures": [],
        "finding": None,
    }  # fmt: skip
    if kind == "scenario":
        made["scenario"] = {
            "id": obligation_id.partition(".")[2], "title": f"{title}, step by step", "file": "config/scenarios/x.toml",
            "version": "1.6", "target": "simulated", "verdict": "PASS", "says": "", "took_s": 14.2,
            "references": [], "steps": scenario_steps(), "not_reached": [],
        }  # fmt: skip
        made["says"] = "each of 5 steps was seen"
    elif kind == "judge":
        boot = {
            "chargePointVendor": "Example Mobility",
            "chargePointModel": "Twin 22 AC",
            "iccid": "8935201234567890123",
        }
        made["evidence"] = [
            call("b1", "BootNotification", boot, at_s=0.2),
            answer("b1", {"status": "Accepted", "currentTime": "2026-03-10T09:30:01Z", "interval": 300}, at_s=0.3),
        ]
        made["facts"] = [{"title": "Required", "value": "as in the kit"}, {"title": "Seen", "value": "the same"}]
    return made


def sequence_of(seconds: float) -> list[Record]:
    entries: list[Record] = []

    def exchange(at_s: float, sender: str, action: str, label: str, said: str = "Accepted") -> None:
        other = "backend" if sender == "station" else "station"
        entries.append({"at_s": at_s, "sender": sender, "kind": "call", "action": action, "label": label})
        entries.append({"at_s": at_s + 0.1, "sender": other, "kind": "result", "action": action, "label": said})

    exchange(0.2, "station", "BootNotification", "Example Mobility Twin 22 AC")
    exchange(0.4, "station", "StatusNotification", "outlet 1 Available", "")
    exchange(0.5, "station", "StatusNotification", "outlet 2 Available", "")
    exchange(2.0, "backend", "GetConfiguration", "all keys", "61 keys")
    for n, key in enumerate(("HeartbeatInterval", "MeterValueSampleInterval", "ConnectionTimeOut")):
        exchange(3.0 + n, "backend", "ChangeConfiguration", key)
    exchange(8.0, "station", "Authorize", "04A1B2C3")
    exchange(8.4, "station", "StartTransaction", "outlet 1, 1 204 560 Wh", "transaction 17")
    for n in range(24):
        exchange(9.0 + n, "station", "MeterValues", f"{1204560 + 130 * n} Wh", "")
    exchange(34.0, "station", "StopTransaction", "transaction 17, 1 207 700 Wh")
    for n in range(int(seconds // 10)):
        exchange(40.0 + 10 * n, "backend", "TriggerMessage", ("Heartbeat", "MeterValues", "StatusNotification")[n % 3])
        exchange(41.0 + 10 * n, "station", "Heartbeat", "", "2026-03-10T09:31:00Z")
    return entries


def curve(transaction: str, kw: float, with_soc: bool) -> Record:
    points = []
    wh = 0.0
    for n in range(0, 1800, 20):
        power = kw * 1000 * min(1, n / 60) * (1 if n < 1200 else max(0.12, (1800 - n) / 600))
        wh += power * 20 / 3600
        soc = min(100.0, 34 + n / 30) if with_soc else None
        points.append({"t_s": n, "power_w": round(power), "energy_wh": 1204560 + round(wh), "soc_percent": soc})
    return {"transaction": transaction, "evse": 1, "title": f"Transaction {transaction}, outlet 1", "points": points}


LATENCY = (
    ("BootNotification", "station", 3, 4.1, 9.0, 11.2), ("StatusNotification", "station", 61, 2.2, 7.4, 24.0),
    ("MeterValues", "station", 148, 2.0, 6.1, 31.0), ("StartTransaction", "station", 9, 5.5, 12.0, 14.0),
    ("StopTransaction", "station", 9, 6.0, 15.0, 16.5), ("ChangeConfiguration", "backend", 31, 8.0, 22.0, 41.0),
    ("GetConfiguration", "backend", 4, 35.0, 61.0, 64.0), ("Reset", "backend", 2, 12.0, 13.0, 13.0),
    ("UpdateFirmware", "backend", 1, 9.0, 9.0, 9.0), ("RemoteStartTransaction", "backend", 6, 11.0, 1240.0, 2210.0),
)  # fmt: skip


def good_ac_record() -> Record:
    """An AC station that meets each obligation."""
    sections = [
        {"id": id_, "title": title, "verdict": "PASS", "obligations": [obligation(*one) for one in OBLIGATIONS[id_]]}
        for id_, title in SECTIONS
    ]
    record: Record = {
        "format": 1, "id": "5f0c6c2e-3c86-4d8e-9a52-6a3d6f1f2a10",
        "program": {"name": "chargy-agent", "version": "0.1.0"},
        "plan": {"id": "chargy-ac", "title": "Chargy AC station, on site", "edition": "1"},
        "began": "2026-03-10T09:30:00+00:00", "ended": "2026-03-10T09:32:41+00:00", "took_s": 161.4, "ocpp": "1.6",
        "target": "simulated", "speed": 20.0,
        "station": [{"key": k, "title": t, "value": v, "source": s} for k, t, v, s in STATION],
        "verdict": "PASS", "counts": {}, "sections": sections, "findings": [],
        "charge_curves": [curve("17", 11.0, False)],
        "latency": [
            {"action": a, "sender": s, "count": n, "p50_ms": p50, "p95_ms": p95, "max_ms": most}
            for a, s, n, p50, p95, most in LATENCY
        ],
        "sequence": sequence_of(120),
        "pictures": [
            {"path": f"pictures/{name}-1.png", "title": f"Screen of outlet 1: {title}", "evse": 1}
            for name, title in (("idle", "free"), ("charging", "charging"), ("price", "amount and energy"))
        ],
        "signing": {"required": []},
    }  # fmt: skip
    record["sections"][4]["obligations"][0]["pictures"] = ["pictures/charging-1.png", "pictures/price-1.png"]
    return count_again(record)


def bad_ac_record() -> Record:
    """An AC station with eight findings, among them what could not be carried out or not be exercised."""
    record = good_ac_record()
    record["target"], record["speed"] = "station", 1.0
    faults = (
        ("identity.meter_class", "FAIL", "the meter has class A; class B is required",
         "Replace the meter with one of class B or better.", "subcontractor"),
        ("identity.keys", "FAIL", "MeterValueSampleInterval is 60, the kit asks for 900",
         "Set MeterValueSampleInterval to 900 (chargy-agent kit apply).", "client"),
        ("identity.sticker", "PARTIAL", "the person has not answered", "Confirm both stickers with a photo.", "client"),
        ("ladder.clock", "FAIL", "the clock of the station is 3 601 s ahead: local time instead of UTC",
         "Set the clock of the station to UTC, and let it follow the time of BootNotification.", "subcontractor"),
        ("commands.reset", "FAIL", "StopTransaction was not sent after the reset (60 s)",
         "Send StopTransaction with the reason SoftReset before the station restarts.", "subcontractor"),
        ("vehicle.badge", "FAIL", "the id tag is in lower case: 04a1b2c3",
         "Send id tags in upper case, as they are in the list of the backend.", "subcontractor"),
        ("vehicle.link_loss", "ERROR", "the link could not be cut: the far end did not answer",
         "Repeat this part of the audit: chargy-agent audit --resume.", "client"),
        ("energy.error", "FAIL", "the energy is off by 2.04 %; class B allows 1.00 %",
         "Check the ratio of the current transformers and the seal of the meter.", "subcontractor"),
    )  # fmt: skip
    by_id = {o["id"]: o for section in record["sections"] for o in section["obligations"]}
    for id_, verdict, says, action, to in faults:
        by_id[id_].update(verdict=verdict, says=says, finding={"action": action, "to": to})
        if by_id[id_]["scenario"]:
            _break_scenario(by_id[id_]["scenario"], verdict, says)
    by_id["bearer.volume"].update(verdict="NOT APPLICABLE", says="the station has a wired bearer", evidence=[])
    by_id["energy.error"]["facts"] = [
        {"title": "Reference meter", "value": "10 000 Wh"}, {"title": "Meter of the station", "value": "10 204 Wh"},
        {"title": "Error", "value": "+2.04 %"}, {"title": "Allowed (class B)", "value": "1.00 %"},
    ]  # fmt: skip
    by_id["energy.error"]["evidence"] = [meter_values(1204560 + 510 * n, 11040, 60.0 * n) for n in range(20)]
    record["sequence"][10:10] = [
        {"at_s": 4.5, "sender": "backend", "kind": "call", "action": "UnlockConnector", "label": "outlet 7"},
        {"at_s": 4.6, "sender": "station", "kind": "error", "action": "UnlockConnector", "label": "InternalError"},
    ]  # fmt: skip
    return count_again(record)


def _break_scenario(scenario: Record, verdict: str, says: str) -> None:
    scenario["verdict"] = verdict
    scenario["steps"] = scenario["steps"][:4]
    scenario["steps"][3].update(verdict=verdict, says=says)
    scenario["not_reached"] = ["energy: Wait for 500 Wh at outlet 1", "stop: Present card alice"]


def dc_record() -> Record:
    """A DC station that leaves billing to the network. Manufacturer and operator have to sign."""
    record = good_ac_record()
    record["id"] = "0b9c9a0e-7a2e-4b61-a7a0-1f7f8f1c2d3e"
    record["plan"] = {"id": "chargy-dc", "title": "Chargy DC station, remote", "edition": "1"}
    record["ocpp"], record["signing"] = "2.0.1", {"required": ["manufacturer", "operator"]}
    record["charge_curves"] = [curve("c0ffee-1", 50.0, True), curve("c0ffee-2", 150.0, True)]
    dc = [
        ("dc.billing_only", "Only billing messages are left to the network", "judge"),
        ("dc.signed_record", "The signed meter record is verified", "judge"),
    ]
    section = {
        "id": "dc",
        "title": "Direct current",
        "verdict": "PASS",
        "obligations": [obligation(*one) for one in dc],
    }
    section["obligations"][1]["facts"] = [  # type: ignore[index]
        {"title": "Format", "value": "OCMF"}, {"title": "Public key", "value": "3059301306072a86" + "ab12" * 30},
        {"title": "Signature", "value": "verified with the key that is registered for the meter"},
    ]  # fmt: skip
    record["sections"].append(section)
    return count_again(record)


def count_again(record: Record) -> Record:
    """Verdicts of sections, counts and findings, as the obligations make them."""
    weight = ("FAIL", "ERROR", "PARTIAL", "PASS", "NOT APPLICABLE")
    found = [o for section in record["sections"] for o in section["obligations"]]
    for section in record["sections"]:
        section["verdict"] = _heaviest([o["verdict"] for o in section["obligations"]], weight)
    record["verdict"] = _heaviest([o["verdict"] for o in found], weight)
    record["counts"] = {v: sum(o["verdict"] == v for o in found) for v in weight}
    record["findings"] = [
        {"obligation": o["id"], "title": o["title"], "verdict": o["verdict"], "says": o["says"], **o["finding"]}
        for o in found if o["finding"]
    ]  # fmt: skip
    return record


def _heaviest(verdicts: list[str], weight: tuple[str, ...]) -> str:
    return next((v for v in weight if v in verdicts), "NOT APPLICABLE")


def large_record(count: int = 400) -> Record:
    """A record with many obligations, every fourth of them with a finding."""
    record = bad_ac_record()
    for number in range(count - len(OBLIGATIONS) * 3):
        made = obligation(
            f"more.number_{number:03}", f"Obligation {number} of a very long plan", ("judge", "scenario")[number % 2]
        )
        if number % 4 == 0:
            made.update(
                verdict="FAIL", says="something else was seen", finding={"action": "Repair it.", "to": "client"}
            )
        record["sections"][number % 6]["obligations"].append(made)
    return count_again(record)


def write_folder(folder: Path, record: Record) -> Path:
    """The folder of an audit without its reports."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "audit.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    frames = [f for s in record["sections"] for o in s["obligations"] for f in o["evidence"]]
    lines = (json.dumps({"at_s": n / 10, "sender": f["sender"], "frame": f["frame"]}) for n, f in enumerate(frames))
    (folder / "trace.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "junit.xml").write_text("<testsuites/>\n", "utf-8")
    for picture in record["pictures"]:
        paint_screen(folder / picture["path"], picture["title"])
    return folder


def paint_screen(path: Path, words: str) -> None:
    image = Image.new("RGB", (480, 320), (16, 48, 96))
    draw = ImageDraw.Draw(image)
    draw.rectangle((24, 24, 456, 296), outline=(255, 255, 255), width=3)
    draw.text((48, 140), words, fill=(255, 255, 255), font_size=22)
    image.save(path)
