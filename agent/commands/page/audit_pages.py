"""Audits that were done at this station: their verdicts, and their reports to take along."""

from __future__ import annotations

import asyncio
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
MOST_RECORD_BYTES = 512 * 1024
"""The page takes no more memory for a record, however long it is: what is shown stands at its head."""
SHOWN = 30
SHOWN_MEMBERS = ("verdict", "plan", "began", "counts", "findings")
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
    async with site.reading_audits:
        audits = await asyncio.to_thread(_audits_with_records, folder)
    command = f"chargy-agent audit {site.file.path} --plan chargy-ac-remote --listen 0.0.0.0:9000 --out {folder}"
    page = whole_html_page(
        site,
        visit,
        texts.text_of("pages.audits"),
        paragraph(texts.text_of("audits.about")),
        [_panel_of_one_audit(visit, audit, record) for audit, record in audits]
        or paragraph(texts.text_of("audits.none", folder=folder)),
        panel(texts.text_of("audits.start"), paragraph(texts.text_of("audits.start_about")), command_line(command)),
    )
    return html_page_answer(page)


def _audits_with_records(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    return [(audit, _read_head_of_record(audit / RECORD)) for audit in finished_audit_folders(folder)]


def _panel_of_one_audit(visit: Visit, folder: Path, record: dict[str, Any]) -> Content:
    texts = visit.texts
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
            "li", html_element("a", name, href=_address_of_audit_file(folder, name), download=True, class_="button")
        )
        for name in FILES
        if is_offered_file(folder, name)
    ]
    title = str((plan or {}).get("title") or folder.name)
    return panel(title, fact_list(rows), html_element("ul", links, class_="buttons"))


def _address_of_audit_file(folder: Path, name: str) -> str:
    return f"/audits/file?{urlencode({'audit': folder.name, 'name': name})}"


def _read_head_of_record(path: Path) -> dict[str, Any]:
    """Return what the page shows of a record, as far as it stands in its first ``MOST_RECORD_BYTES``."""
    try:
        with path.open("rb") as file:
            head = file.read(MOST_RECORD_BYTES).decode("utf-8", "replace")
    except OSError:
        return {}
    return {name: value for name, value in _whole_members_of_object(head) if name in SHOWN_MEMBERS}


def _whole_members_of_object(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the members of a JSON object (RFC 8259, 4) one by one, until one is cut off or wrong."""
    decoder, at = json.JSONDecoder(), _skip_space(text, 0)
    opening = "{"
    try:
        while text[at] == opening:
            name, at = decoder.raw_decode(text, _skip_space(text, at + 1))
            at = _skip_space(text, at)
            if not isinstance(name, str) or text[at] != ":":
                return
            value, at = decoder.raw_decode(text, _skip_space(text, at + 1))
            yield name, value
            at, opening = _skip_space(text, at), ","
    except (IndexError, ValueError, RecursionError):
        return


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\n", "\r"):
        at += 1
    return at


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
