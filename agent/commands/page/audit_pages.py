"""Audits that were done at this station: their verdicts, and their reports to take along."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from agent.commands.page.markup import Content, html_element
from agent.commands.page.page_frame import command_line, fact_list, panel, paragraph, verdict_badge, whole_html_page
from agent.commands.page.roles import Role
from agent.commands.page.visit import PageRoute, PageSite, Visit, html_page_answer, plain_text_answer

RECORD = "audit.json"
FILES = {
    "report.pdf": "application/pdf",
    "report.html": "text/html",
    "junit.xml": "application/xml",
    RECORD: "application/json",
}
"""What is offered; all else in the folder stays there."""
MOST_RECORD_BYTES = 8 * 1024 * 1024
SHOWN = 30
KINDS = {"PASS": "good", "FAIL": "bad", "ERROR": "bad", "PARTIAL": "warn", "NOT APPLICABLE": "info"}


def audit_folder(site: PageSite) -> Path:
    return site.file.field_page.audits or site.file.station.state_dir / "audits"


def finished_audit_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders of audits, the newest first. A link that leads elsewhere is none."""
    if not folder.is_dir():
        return
    found = [f for f in folder.iterdir() if f.is_dir() and not f.is_symlink() and (f / RECORD).is_file()]
    yield from sorted(found, key=lambda f: (f / RECORD).stat().st_mtime, reverse=True)[:SHOWN]


async def show_finished_audits(site: PageSite, visit: Visit) -> web.StreamResponse:
    texts, folder = visit.texts, audit_folder(site)
    audits = list(finished_audit_folders(folder))
    command = f"chargy-agent audit {site.file.path} --plan chargy-ac-remote --listen 0.0.0.0:9000 --out {folder}"
    page = whole_html_page(
        site,
        visit,
        texts.text_of("pages.audits"),
        paragraph(texts.text_of("audits.about")),
        [_panel_of_one_audit(visit, audit) for audit in audits]
        or paragraph(texts.text_of("audits.none", folder=folder)),
        panel(texts.text_of("audits.start"), paragraph(texts.text_of("audits.start_about")), command_line(command)),
    )
    return html_page_answer(page)


def _panel_of_one_audit(visit: Visit, folder: Path) -> Content:
    texts, record = visit.texts, _read_record(folder / RECORD)
    verdict = str(record.get("verdict", "?"))
    plan = record.get("plan") if isinstance(record.get("plan"), dict) else {}
    counts = record.get("counts") if isinstance(record.get("counts"), dict) else {}
    findings = record.get("findings")
    rows: list[tuple[str, Content]] = [
        (texts.text_of("audits.verdict"), verdict_badge(KINDS.get(verdict, "info"), verdict)),
        (texts.text_of("audits.began"), str(record.get("began", ""))),
        (texts.text_of("audits.counts"), ", ".join(f"{k} {v}" for k, v in (counts or {}).items())),
        (texts.text_of("audits.findings"), str(len(findings)) if isinstance(findings, list) else None),
    ]
    links = [
        html_element(
            "li",
            html_element(
                "a",
                name,
                href=f"/audits/file?{urlencode({'audit': folder.name, 'name': name})}",
                download=True,
                class_="button",
            ),
        )
        for name in FILES
        if is_offered_file(folder, name)
    ]
    title = str((plan or {}).get("title") or folder.name)
    return panel(title, fact_list(rows), html_element("ul", links, class_="buttons"))


def _address_of_audit_file(folder: Path, name: str) -> str:
    return f"/audits/file?{urlencode({'audit': folder.name, 'name': name})}"


def _read_record(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_RECORD_BYTES:
            return {}
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def is_offered_file(folder: Path, name: str) -> bool:
    path = folder / name
    return name in FILES and path.is_file() and not path.is_symlink()


async def send_audit_file(site: PageSite, visit: Visit) -> web.StreamResponse:
    """Send a file of an audit. Both names are looked up in what is offered, so that no path leads elsewhere."""
    wanted, name = visit.request.query.get("audit", ""), visit.request.query.get("name", "")
    folder = next((f for f in finished_audit_folders(audit_folder(site)) if f.name == wanted), None)
    if folder is None or not is_offered_file(folder, name):
        return plain_text_answer(visit.texts.text_of("audits.unknown"), 404)
    site.activity.record_activity("audit report", visit.user_name, visit.address, f"{folder.name}/{name}")
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Type": FILES[name]}
    return web.FileResponse(folder / name, headers=headers)


ROUTES = (
    PageRoute("GET", "/audits", Role.READER, show_finished_audits),
    PageRoute("GET", "/audits/file", Role.READER, send_audit_file),
)
