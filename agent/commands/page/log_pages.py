"""The log of the agent, the archive of diagnostics, and what was done on this page."""

from __future__ import annotations

import base64
import time
from typing import Any

from aiohttp import web

from agent.commands.page.agent_watch import AgentSilent
from agent.commands.page.markup import Content, html_element, join_markup
from agent.commands.page.page_frame import action_form, live_page_section, panel, paragraph, whole_html_page
from agent.commands.page.roles import Role
from agent.commands.page.state_pages import silent_agent_content
from agent.commands.page.visit import PageRoute, PageSite, Visit, html_page_answer, plain_text_answer

ACTIVITIES = 50
KINDS = {"WARNING": "warn", "ERROR": "bad", "CRITICAL": "bad"}


async def show_newest_log_lines(site: PageSite, visit: Visit) -> web.StreamResponse:
    content = await _content_of_log_page(site, visit)
    if visit.asks_for_live_part:
        return html_page_answer(join_markup(content))
    texts = visit.texts
    archive: Content = None
    if visit.user_may_act_as(Role.TECHNICIAN):
        archive = panel(
            texts.text_of("logs.archive"),
            paragraph(texts.text_of("logs.archive_about")),
            action_form(visit, "/logs/archive", texts.text_of("logs.download")),
        )
    page = whole_html_page(
        site,
        visit,
        texts.text_of("pages.logs"),
        paragraph(texts.text_of("logs.about")),
        archive,
        live_page_section(visit, content, texts.text_of("pages.logs")),
        _activity_panel(site, visit) if visit.user_may_act_as(Role.TECHNICIAN) else None,
    )
    return html_page_answer(page)


async def _content_of_log_page(site: PageSite, visit: Visit) -> Content:
    try:
        lines: list[str] = (await site.watch.ask_running_agent("field_page", do="logs")).get("lines", [])
    except AgentSilent:
        return silent_agent_content(site, visit)
    items = [html_element("li", line, class_=_severity_of_line(line)) for line in reversed(lines)]
    label = visit.texts.text_of("logs.lines")
    return html_element("ol", items, class_="log", tabindex=0, aria_label=label, lang="en")


def _severity_of_line(line: str) -> str | None:
    return next((kind for word, kind in KINDS.items() if f" {word} " in line[:60]), None)


def _activity_panel(site: PageSite, visit: Visit) -> Content:
    rows: list[dict[str, Any]] = list(site.activity.newest_activities(ACTIVITIES))
    items = [
        html_element("li", " · ".join(filter(None, (r.get("at"), r.get("user"), r.get("did"), r.get("detail")))))
        for r in rows
    ]
    return panel(visit.texts.text_of("logs.activity"), html_element("ol", items, class_="plain", lang="en"))


async def send_diagnostics_archive(site: PageSite, visit: Visit) -> web.StreamResponse:
    try:
        said = await site.watch.ask_running_agent("field_page", do="diagnostics")
    except AgentSilent:
        said = {}
    if "zip" not in said:
        return plain_text_answer(visit.texts.text_of("state.no_agent"), 503)
    site.activity.record_activity("diagnostics archive", visit.user_name, visit.address)
    name = f"diagnostics-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=base64.b64decode(said["zip"]), content_type="application/zip", headers=headers)


ROUTES = (
    PageRoute("GET", "/logs", Role.READER, show_newest_log_lines),
    PageRoute("POST", "/logs/archive", Role.TECHNICIAN, send_diagnostics_archive),
)
