"""The report as one HTML file: it loads nothing, runs no script, and can be printed."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from agent.commands.audit.chart_svg import drawing_svg
from agent.commands.audit.report_content import ReportContent
from agent.commands.audit.report_pictures import ShownPicture
from agent.commands.audit.report_record import ROLES, VERDICTS, Obligation, StepRecord
from agent.commands.audit.report_texts import (
    BAD_VERDICTS,
    SAYS_MAX,
    EvidenceLimits,
    ShownEvidence,
    audit_facts,
    bytes_text,
    duration_text,
    evidence_limits_of,
    instant_text,
    limit_evidence,
    milliseconds_text,
    own_evidence,
    plural_word,
    report_title,
    shorten_text,
    signing_lines,
    verdict_sentence,
)

FULL, BRIEF = EvidenceLimits(40, 4096), EvidenceLimits(12, 1500)


def report_html(content: ReportContent) -> str:
    """Return the page. Its style sheet is named by its hash, so a strict content security policy allows it alone."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=False
    )
    style = (folder / "report.css").read_text("utf-8")
    return environment.get_template("report.html").render(
        **_template_values(content),
        style=Markup(style),
        style_hash=Markup(base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()),
        svg=lambda drawing: Markup(drawing_svg(drawing)),
    )


def _template_values(content: ReportContent) -> dict[str, Any]:
    record = content.record
    return {
        "content": content,
        "record": record,
        "title": report_title(record),
        "audit_facts": audit_facts(record),
        "signing_lines": signing_lines(record),
        "signature_roles": record.required_roles or ROLES,
        "verdicts": VERDICTS,
        "verdict_sentence": verdict_sentence(record),
        "bad_verdicts": BAD_VERDICTS,
        "says_max": SAYS_MAX,
        "shorten": shorten_text,
        "plural": plural_word,
        "duration": duration_text,
        "instant": instant_text,
        "ms": milliseconds_text,
        "size": bytes_text,
        "evidence_of": _shown_evidence_of,
        "data_url": _data_url_of,
    }


def _shown_evidence_of(judged: Obligation | StepRecord) -> ShownEvidence:
    frames = own_evidence(judged) if isinstance(judged, Obligation) else judged.evidence
    return limit_evidence(frames, evidence_limits_of(judged, FULL, BRIEF))


def _data_url_of(picture: ShownPicture) -> str:
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.content).decode()}"
