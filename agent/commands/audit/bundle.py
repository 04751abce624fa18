"""The folder of an audit. What is known is written at once, so that an audit which ends early can be continued."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.audit.context import MeterReading, WireRecord
from agent.audit.obligation_outcome import KeptOutcome
from agent.audit.record import audit_junit
from agent.audit.verdicts import AuditVerdict
from agent.model.fastclass import field_specs
from agent.scenario.frames import Frame, FrameLog
from agent.station_file.settings import SettingsError

RECORD, TRACE, RECORDS, JUNIT, PICTURES = "audit.json", "trace.jsonl", "records.jsonl", "junit.xml", "pictures"
KEPT = (AuditVerdict.PASS, AuditVerdict.NOT_APPLICABLE)
"""Verdicts after which an obligation is not exercised again."""


class AuditBundle:
    """One folder. ``begin_s``: ``time.time()`` of the beginning of the audit."""

    def __init__(self, folder: Path, begin_s: float) -> None:
        self.folder, self.begin_s = folder, begin_s
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)

    # --- writing -----------------------------------------------------------------------------------------------------

    def append_frame(self, frame: Frame, masked: str) -> None:
        sender = "station" if frame.from_station else "backend"
        at = datetime.fromtimestamp(frame.utc_s, UTC).isoformat(timespec="milliseconds")
        self._append_line(TRACE, {
            "seq": frame.seq, "at": at, "at_s": round(frame.utc_s - self.begin_s, 4), "sender": sender,
            "version": frame.version, "frame": masked,
        })  # fmt: skip

    def append_entry(self, entry: MeterReading | WireRecord, utc_s: float) -> None:
        """Write a reading or a record. ``utc_s``: when it was."""
        content = {name: getattr(entry, name) for name in field_specs(type(entry)) if name != "at_s"}
        self._append_line(RECORDS, {"at_s": round(utc_s - self.begin_s, 4), **content})

    def _append_line(self, name: str, content: Mapping[str, Any]) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(content, ensure_ascii=False) + "\n")

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace ``audit.json``: whenever the program is ended, it is the old one or the new one."""
        self._replace_file(RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    def finish_bundle(self, record: Mapping[str, Any]) -> None:
        """Write what stands in the folder of a complete audit."""
        self._replace_file(JUNIT, audit_junit(record))

    def _replace_file(self, name: str, text: str) -> None:
        beside = self.folder / f"{name}.new"
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.folder / name)

    def add_picture(self, name: str, content: bytes) -> str:
        """Keep a picture. Returns its path within the folder."""
        (self.folder / PICTURES / name).write_bytes(content)
        return f"{PICTURES}/{name}"

    # --- continuing --------------------------------------------------------------------------------------------------

    def replay_frames(self, log: FrameLog) -> None:
        """Add the frames of the earlier runs to a log."""
        shift_s = time.monotonic() - time.time()
        for row in self._read_lines_of_file(TRACE):
            utc_s = self.begin_s + row["at_s"]
            log.add_text(row["sender"] == "station", row["version"], row["frame"], utc_s, utc_s + shift_s)

    def earlier_entries(self) -> Iterator[MeterReading | WireRecord]:
        """Yield the readings and the records of the earlier runs."""
        shift_s = self.begin_s + time.monotonic() - time.time()
        for row in self._read_lines_of_file(RECORDS):
            at_s = row.pop("at_s") + shift_s
            if "kind" in row:
                yield WireRecord(at_s, **row)
            else:
                yield MeterReading(at_s, **{**row, "currents_a": tuple(row["currents_a"])})

    def _read_lines_of_file(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of a file. The last one may be cut, if the program was killed while it was written."""
        path = self.folder / name
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            try:
                yield dict(json.loads(line))
            except ValueError:
                return


def create_bundle(out: Path, station_id: str, begin_s: float) -> AuditBundle:
    """Make the folder of a new audit below ``out``. Raises ``OSError``."""
    name = re.sub(r"[^A-Za-z0-9._*-]+", "_", station_id).strip(".") or "station"
    stem = f"AUDIT-{name}-{datetime.fromtimestamp(begin_s, UTC):%Y%m%d-%H%M}"
    for number in range(1, 1000):
        folder = out / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return AuditBundle(folder, begin_s)
    raise FileExistsError(17, "there are too many audits of this minute", str(out / stem))


def load_bundle(folder: Path) -> tuple[AuditBundle, dict[str, Any]]:
    """Return the folder of an audit that was begun, and its record. Raises ``SettingsError``."""
    path = folder / RECORD
    try:
        record = dict(json.loads(path.read_text("utf-8")))
        begin_s = datetime.fromisoformat(record["began"]).timestamp()
        assert record["format"] == 1
    except OSError as e:
        raise SettingsError([f"{path}: cannot be read: {e.strerror}"]) from None
    except (ValueError, KeyError, TypeError, AssertionError):
        raise SettingsError([f"{path}: is no record of an audit of format 1"]) from None
    return AuditBundle(folder, begin_s), record


def kept_outcomes(record: Mapping[str, Any]) -> dict[str, KeptOutcome]:
    """Return the obligations of an earlier run that need not be exercised again, by id. A judge always judges again."""
    rows = [one for section in record["sections"] for one in section["obligations"]]
    return {
        one["id"]: KeptOutcome(one) for one in rows if AuditVerdict(one["verdict"]) in KEPT and one["kind"] != "judge"
    }
