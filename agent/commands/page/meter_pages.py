"""The billing meters: what they are, and what they measure now."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from agent.commands.page.agent_watch import AgentSilent
from agent.commands.page.markup import Content, html_element, join_markup
from agent.commands.page.page_frame import (
    fact_list,
    live_page_section,
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


async def show_meter_readings(site: PageSite, visit: Visit) -> web.StreamResponse:
    content = await _content_of_meter_page(site, visit)
    if visit.asks_for_live_part:
        return html_page_answer(join_markup(content))
    title = visit.texts.text_of("pages.meters")
    return html_page_answer(whole_html_page(site, visit, title, live_page_section(visit, content, title)))


async def _content_of_meter_page(site: PageSite, visit: Visit) -> Content:
    try:
        picture = await site.watch.current_picture()
        said = await site.watch.ask_running_agent("field_page", do="meters")
    except AgentSilent:
        return silent_agent_content(site, visit)
    rows = {row["evse"]: row for row in said.get("meters", ())}
    return [_panel_of_one_meter(visit.texts, evse, rows.get(evse["number"], {})) for evse in picture["evses"]]


def _panel_of_one_meter(texts: PageTexts, evse: Row, row: Row) -> Content:
    metrology, reading = evse["metrology"], row.get("reading")
    meter = metrology["meter"] or {}
    rows: list[tuple[str, Content]] = [
        (texts.text_of("meters.state"), _metrology_state_badge(texts, metrology, reading)),
        *(_reading_rows(texts, reading) if reading is not None else ()),
        (texts.text_of("meters.type"), " ".join(filter(None, (meter.get("vendor"), meter.get("model"))))),
        (texts.text_of("meters.serial"), str(meter.get("serial") or "")),
        (texts.text_of("meters.firmware"), str(meter.get("firmware") or "")),
        (texts.text_of("meters.class"), metrology["class"] or texts.text_of("meters.class_none")),
        (texts.text_of("meters.mid_year"), str(metrology["mid_year"] or "")),
        (texts.text_of("meters.certificate"), str(metrology["certificate"] or "")),
    ]
    return panel(
        texts.text_of("state.outlet", number=evse["number"]),
        fact_list(rows) if meter or reading is not None else paragraph(texts.text_of("meters.none")),
        _public_key_part(texts, row.get("public_key", "")),
    )


def _metrology_state_badge(texts: PageTexts, metrology: Row, reading: Row | None) -> Content:
    if metrology["error"]:
        return verdict_badge("bad", str(metrology["error"]))
    if reading is None:
        return verdict_badge("warn", texts.text_of("meters.no_reading"))
    return verdict_badge("good", texts.text_of("meters.good"))


def _reading_rows(texts: PageTexts, reading: Row) -> list[tuple[str, Content]]:
    power_w = reading["power_w"]
    return [
        (texts.text_of("meters.register"), f"{texts.number_text(reading['energy_wh'] / 1000, 3)} kWh"),
        (texts.text_of("meters.power"), None if power_w is None else f"{texts.number_text(power_w / 1000, 2)} kW"),
        (texts.text_of("meters.voltage"), _values_of_phases_text(texts, reading["voltage_v"], 1, "V")),
        (texts.text_of("meters.current"), _values_of_phases_text(texts, reading["current_a"], 2, "A")),
        (texts.text_of("meters.age"), f"{texts.number_text(reading['ago_s'], 0)} s"),
    ]


def _values_of_phases_text(texts: PageTexts, values: list[float], digits: int, unit: str) -> str:
    return f"{' / '.join(texts.number_text(v, digits) for v in values)} {unit}" if values else ""


def _public_key_part(texts: PageTexts, key: str) -> Content:
    if not key:
        return None
    shown = html_element("code", key, class_="breakable")
    return [html_element("h3", texts.text_of("meters.public_key")), paragraph(shown)]


ROUTES = (PageRoute("GET", "/meters", Role.READER, show_meter_readings),)
