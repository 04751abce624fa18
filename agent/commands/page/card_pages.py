"""The test of cards: what the readers have read, with the token masked."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from agent.commands.page.agent_watch import AgentSilent
from agent.commands.page.markup import Content, html_element, join_markup
from agent.commands.page.page_frame import (
    action_form,
    link_as_button,
    live_page_section,
    notice,
    panel,
    paragraph,
    verdict_badge,
    whole_html_page,
)
from agent.commands.page.page_texts import PageTexts
from agent.commands.page.roles import Role
from agent.commands.page.state_pages import silent_agent_content
from agent.commands.page.visit import PageRoute, PageSite, Visit, html_page_answer

Row = dict[str, Any]


async def show_card_test(site: PageSite, visit: Visit) -> web.StreamResponse:
    content = await content_of_card_test(site, visit)
    if visit.asks_for_live_part:
        return html_page_answer(join_markup(content))
    texts = visit.texts
    title = texts.text_of("pages.cards")
    page = whole_html_page(
        site,
        visit,
        title,
        paragraph(texts.text_of("cards.about")),
        live_page_section(visit, content, title),
        [lamp_test_panel(visit), screen_test_panel(visit)] if visit.user_may_act_as(Role.TECHNICIAN) else None,
    )
    return html_page_answer(page)


async def content_of_card_test(site: PageSite, visit: Visit) -> Content:
    try:
        return list_of_card_taps(visit.texts, await newest_card_taps(site))
    except AgentSilent:
        return silent_agent_content(site, visit)


async def newest_card_taps(site: PageSite) -> list[Row]:
    """Return what the readers have read, the newest first. Raises ``AgentSilent``."""
    taps: list[Row] = (await site.watch.ask_running_agent("field_page", do="taps")).get("taps", [])
    return taps


def list_of_card_taps(texts: PageTexts, taps: list[Row]) -> Content:
    if not taps:
        return notice("info", texts.text_of("cards.none"))
    return [
        _newest_notice(texts, taps[0]),
        html_element("ol", [_card_tap_item(texts, tap) for tap in taps], class_="plain"),
    ]


def _newest_notice(texts: PageTexts, tap: Row) -> Content:
    if not tap["token"]:
        return notice("warn", verdict_badge("warn", texts.text_of("cards.unreadable", reason=tap["reason"] or "-")))
    return notice("good", verdict_badge("good", texts.text_of("cards.read", token=tap["token"])))


def _card_tap_item(texts: PageTexts, tap: Row) -> Content:
    place = texts.text_of("state.outlet", number=tap["evse"]) if tap["evse"] else texts.text_of("state.station")
    ago = texts.text_of("cards.ago", seconds=texts.number_text(tap["ago_s"], 0))
    return html_element("li", html_element("code", tap["token"] or "?"), f", {place}, {ago}")


def lamp_test_panel(visit: Visit) -> Content:
    texts = visit.texts
    return panel(
        texts.text_of("lamps.title"),
        paragraph(texts.text_of("lamps.about")),
        action_form(visit, "/cards/lamps", texts.text_of("lamps.start")),
    )


def screen_test_panel(visit: Visit) -> Content:
    texts = visit.texts
    return panel(
        texts.text_of("screens.title"),
        paragraph(texts.text_of("screens.about")),
        action_form(visit, "/cards/screen", texts.text_of("screens.start")),
    )


async def begin_screen_test(site: PageSite, visit: Visit) -> web.StreamResponse:
    texts = visit.texts
    try:
        has_display = (await site.watch.ask_running_agent("field_page", do="screen")).get("display")
    except AgentSilent:
        has_display = False
    site.activity.record_activity("screen test", visit.user_name, visit.address)
    kind, key = ("good", "screens.running") if has_display else ("warn", "screens.none")
    shown = notice(kind, verdict_badge(kind, texts.text_of(key)))
    back = link_as_button(texts.text_of("commission.on"), "/cards")
    return html_page_answer(whole_html_page(site, visit, texts.text_of("screens.title"), shown, back))


async def begin_lamp_test(site: PageSite, visit: Visit) -> web.StreamResponse:
    texts = visit.texts
    try:
        tested = (await site.watch.ask_running_agent("field_page", do="lamps")).get("evses")
    except AgentSilent:
        tested = None
    site.activity.record_activity("lamp test", visit.user_name, visit.address)
    said = verdict_badge("good", texts.text_of("lamps.running"))
    shown = notice("good", said) if tested else notice("warn", verdict_badge("warn", texts.text_of("lamps.none")))
    back = link_as_button(texts.text_of("commission.on"), "/cards")
    return html_page_answer(whole_html_page(site, visit, texts.text_of("lamps.title"), shown, back))


ROUTES = (
    PageRoute("GET", "/cards", Role.READER, show_card_test),
    PageRoute("POST", "/cards/screen", Role.TECHNICIAN, begin_screen_test),
    PageRoute("POST", "/cards/lamps", Role.TECHNICIAN, begin_lamp_test),
)
