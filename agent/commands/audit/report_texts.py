"""Figures and texts of the report as people read them, and how much of a long one is shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from agent.commands.audit.report_record import AuditRecord, EvidenceFrame, Obligation, StepRecord
from agent.model.fastclass import frozen

T = TypeVar("T")

LINE_CHARACTERS = 60
SAYS_MAX, CELL_MAX = 1500, 400
"""Characters of what was seen, and of a cell of a table."""
BAD_VERDICTS = ("FAIL", "ERROR", "PARTIAL")
VERDICT_WORDS = {
    "FAIL": "The station does not meet every obligation of this plan.",
    "ERROR": "The audit could not be carried out as a whole. It says nothing about what was not tried.",
    "PARTIAL": "Nothing failed, but not every obligation was exercised. The rest has to be shown before acceptance.",
    "PASS": "The station meets every obligation of this plan that applies to it.",
    "NOT APPLICABLE": "No obligation of this plan applies to the station.",
}
TARGET_WORDS = {
    "simulated": "simulated station",
    "station": "real station",
    "foreign": "station of another maker",
    "proxy": "station beside the real backend (recording proxy)",
}


@frozen
class EvidenceLimits:
    """How much evidence is shown: frames, and characters of each."""

    frames: int
    characters: int


@frozen
class ShownEvidence:
    """``omitted``: what is not shown, in words; "" if everything is."""

    frames: tuple[EvidenceFrame, ...]
    omitted: str


def shorten_text(text: str, characters: int) -> str:
    """Return the text, or its beginning and how much is left out. A line counts as ``LINE_CHARACTERS`` at least."""
    lines = text.split("\n", characters // LINE_CHARACTERS + 1)[: characters // LINE_CHARACTERS + 1]
    kept = "\n".join(lines)[:characters].rstrip()
    if len(kept) == len(text.rstrip()):
        return text
    return f"{kept} … [{len(text) - len(kept)} characters more]"


def shorten_label(text: str, characters: int) -> str:
    """Return a text for a place of limited width."""
    text = " ".join(text.split())
    return text if len(text) <= characters else text[: max(characters - 1, 1)].rstrip() + "…"


def limit_items(items: Sequence[T], most: int) -> tuple[tuple[T, ...], int]:
    """Return the items to show, and how many are left out."""
    return tuple(items[:most]), max(len(items) - most, 0)


def limit_evidence(frames: Sequence[EvidenceFrame], limits: EvidenceLimits) -> ShownEvidence:
    """Return the frames to show. The last ones are kept: what was wrong is at the end."""
    shown = [
        EvidenceFrame(f.clock, f.sender, shorten_text(f.frame, limits.characters)) for f in frames[-limits.frames :]
    ]
    left = len(frames) - len(shown)
    return ShownEvidence(tuple(shown), f"{left} earlier {plural_word('frame', left)} in trace.jsonl" if left else "")


def own_evidence(obligation: Obligation) -> tuple[EvidenceFrame, ...]:
    """Return the frames of an obligation that the steps of its scenario do not show already."""
    steps = obligation.scenario.steps if obligation.scenario else ()
    return () if any(step.evidence for step in steps) else obligation.evidence


def evidence_limits_of(judged: Obligation | StepRecord, full: EvidenceLimits, brief: EvidenceLimits) -> EvidenceLimits:
    """Return ``full`` for what went wrong, ``brief`` for the rest."""
    return full if judged.verdict in BAD_VERDICTS else brief


def plural_word(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def duration_text(seconds: float) -> str:
    """Return a duration like ``2 min 05 s``."""
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def instant_text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def milliseconds_text(ms: float) -> str:
    return f"{ms:.1f}" if ms < 10 else f"{ms:,.0f}".replace(",", " ")


def bytes_text(count: int) -> str:
    return f"{count:,}".replace(",", " ")


def audit_facts(record: AuditRecord) -> list[tuple[str, str]]:
    """Return what the report says about the audit itself."""
    edition = f", edition {record.plan_edition}" if record.plan_edition else ""
    speed = f", {record.speed:g} times faster than real time" if record.speed not in (0, 1) else ""
    return [
        ("Plan", f"{record.plan_title or record.plan_id} ({record.plan_id}{edition})"),
        ("Audited", f"{TARGET_WORDS.get(record.target, record.target or 'unknown')}, OCPP {record.ocpp or '-'}{speed}"),
        ("Began", instant_text(record.began)),
        ("Took", duration_text(record.took_s)),
        ("Program", record.program),
        ("Audit", record.audit_id),
    ]


def verdict_sentence(record: AuditRecord) -> str:
    """Return what the verdict means."""
    interrupted = "" if record.is_complete else " The audit was interrupted: it has to be resumed."
    return VERDICT_WORDS[record.verdict] + interrupted


def report_title(record: AuditRecord) -> str:
    return f"Audit report: charging station {shorten_label(record.station_name, 60)}"


def signing_lines(record: AuditRecord) -> list[str]:
    """Return what the report says about electronic signatures."""
    if record.required_roles:
        who = " and ".join(f"the {role}" for role in record.required_roles)
        wanted = f"This plan requires the signatures of {who}."
    else:
        wanted = "This plan requires no signature. Manufacturer and operator may sign."
    return [
        wanted,
        "An electronic signature is a file in the folder signatures; it covers the SHA-256 of manifest.json, and so"
        " each file of the audit. Sign: chargy-agent audit sign FOLDER --role ROLE --key FILE. Check all files and"
        " signatures: chargy-agent audit verify FOLDER.",
    ]
