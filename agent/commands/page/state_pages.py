"""The first page: how the station is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from agent.commands.fault_texts import MREC_SYNONYMS, describe_fault, without_markdown
from agent.commands.page.agent_watch import AgentSilent
from agent.commands.page.markup import Content, html_element, join_markup
from agent.commands.page.page_frame import (
    command_line,
    connection_badge,
    fact_list,
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
from agent.commands.page.visit import PageRoute, PageSite, Visit, html_page_answer, redirect_answer
from agent.model.types import Fault

GOOD_REPORTS = (
    "Available",
    "Preparing",
    "Charging",
    "SuspendedEV",
    "SuspendedEVSE",
    "Finishing",
    "Reserved",
    "Occupied",
)
WEAK_DBM = -100
"""Below it a modem loses its connection now and then (3GPP TS 27.007, +CSQ 6)."""
Row = dict[str, Any]


async def redirect_to_state(site: PageSite, visit: Visit) -> web.StreamResponse:
    return redirect_answer("/state")


async def show_station_state(site: PageSite, visit: Visit) -> web.StreamResponse:
    content = await _state_content(site, visit)
    if visit.asks_for_live_part:
        return html_page_answer(join_markup(content))
    title = visit.texts.text_of("pages.state")
    return html_page_answer(whole_html_page(site, visit, title, live_page_section(visit, content, title)))


async def _state_content(site: PageSite, visit: Visit) -> Content:
    try:
        picture = await site.watch.current_picture()
        faults = (await site.watch.ask_running_agent("faults", do="list", evses=None)).get("faults", [])
        undelivered = await site.watch.ask_running_agent("undelivered")
    except AgentSilent:
        return silent_agent_content(site, visit)
    texts = visit.texts
    return [
        _overall_notice(texts, picture, faults),
        _way_to_commissioning(site, visit),
        [_fault_notice(texts, row) for row in faults],
        [_outlet_panel(texts, evse) for evse in picture["evses"]],
        _backend_link_panel(texts, picture),
        [_panel_of_one_bearer(texts, row) for row in picture.get("bearers", ())],
        _store_panel(texts, picture, undelivered),
        _device_panel(texts, picture),
    ]


def silent_agent_content(site: PageSite, visit: Visit) -> Content:
    """Return what is shown where no agent runs."""
    texts = visit.texts
    return [
        notice(
            "bad", verdict_badge("bad", texts.text_of("state.no_agent")), paragraph(texts.text_of("state.no_agent_do"))
        ),
        command_line("systemctl start chargy-agent"),
    ]


def _overall_notice(texts: PageTexts, picture: Row, faults: list[Row]) -> Content:
    if not picture.get("ready"):
        return notice("warn", verdict_badge("warn", texts.text_of("state.starting")))
    if faults or any(not device["open"] for device in picture["devices"]):
        return notice("bad", verdict_badge("bad", texts.text_of("state.has_faults")))
    if picture["backend"]["link"] != "up":
        return notice("warn", verdict_badge("warn", texts.text_of("state.no_link")))
    return notice("good", verdict_badge("good", texts.text_of("state.all_good")))


def _way_to_commissioning(site: PageSite, visit: Visit) -> Content:
    """Return where a technician begins, at a station that was not commissioned with this page."""
    if "finish" in site.commissioning.done or not visit.user_may_act_as(Role.TECHNICIAN):
        return None
    link = link_as_button(visit.texts.text_of("state.begin_do"), "/commission", "button primary")
    return notice("info", visit.texts.text_of("state.begin"), link)


def _fault_notice(texts: PageTexts, row: Row) -> Content:
    fault = Fault(row["fault"])
    named = MREC_SYNONYMS.get(fault, fault)
    place = texts.text_of("state.outlet", number=row["evse"]) if row["evse"] else texts.text_of("state.station")
    what, to_do = map(without_markdown, describe_fault(fault))
    return notice(
        "bad",
        html_element("h2", verdict_badge("bad", f"{place}: {texts.text_or(f'faults.{named.value}', fault.value)}")),
        html_element("p", what, ". ", to_do, class_="technical", lang="en"),
        [html_element("p", str(said), class_="technical", lang="en") for said in row["trouble"]],
    )


def _outlet_panel(texts: PageTexts, evse: Row) -> Content:
    reported = str((evse["reported"] or {}).get("status", ""))
    session, last = evse["session"], evse["last_session"]
    kind = "good" if reported in GOOD_REPORTS else "bad" if reported == "Faulted" else "warn"
    rows: list[tuple[str, Content]] = [
        (texts.text_of("state.status"), verdict_badge(kind, texts.text_or(f"status.{reported}", reported or "-"))),
    ]
    if session is not None:
        rows += [
            (texts.text_of("state.session"), _session_in_words(texts, session)),
            (texts.text_of("state.transaction"), str(session["transaction_id"] or "-")),
        ]
    elif last is not None:
        rows.append((texts.text_of("state.last_session"), _session_in_words(texts, last)))
    if error := evse["metrology"]["error"]:
        rows.append((texts.text_of("state.meter"), verdict_badge("bad", str(error))))
    return panel(texts.text_of("state.outlet", number=evse["number"]), fact_list(rows))


def _session_in_words(texts: PageTexts, session: Row) -> str:
    energy = f"{texts.number_text(session['energy_wh'] / 1000, 3)} kWh"
    cents = session.get("cost_cents")
    cost = "" if cents is None else f", {texts.number_text(cents / 100, 2)} EUR"
    return f"{energy}{cost}, {texts.text_of('state.card')} {masked_token(str(session['token']))}"


def masked_token(value: str) -> str:
    """Return a token with its last four characters at most."""
    return "…" + value[-4:] if len(value) > 6 else "…"


def _backend_link_panel(texts: PageTexts, picture: Row) -> Content:
    backend = picture["backend"]
    rows: list[tuple[str, Content]] = [
        (texts.text_of("state.link"), connection_badge(texts, backend["link"] == "up")),
        (texts.text_of("state.address"), html_element("span", str(backend["url"]), class_="breakable")),
        (texts.text_of("state.version"), f"OCPP {backend['ocpp']}" if backend["ocpp"] else None),
        (texts.text_of("state.boot"), str(backend["boot"] or "")),
        (texts.text_of("state.error"), str(backend.get("error") or "")),
    ]
    return panel(texts.text_of("state.backend"), fact_list(rows))


def _panel_of_one_bearer(texts: PageTexts, row: Row) -> Content:
    signal = row.get("signal_dbm")
    weak = signal is not None and signal < WEAK_DBM
    shown = None if signal is None else verdict_badge("warn" if weak else "good", f"{signal:g} dBm")
    rows: list[tuple[str, Content]] = [
        (texts.text_of("state.status"), connection_badge(texts, row.get("state") == "up", otherwise="warn")),
        (texts.text_of("state.in_use"), texts.text_of("state.yes" if row.get("in_use") else "state.no")),
        (texts.text_of("state.error"), str(row.get("reason") or "")),
        (texts.text_of("state.own_address"), str(row.get("address") or "")),
        (texts.text_of("state.operator"), str(row.get("operator") or "")),
        (texts.text_of("state.signal"), shown),
    ]
    return panel(f"{texts.text_of('state.bearer')}: {row['name']}", fact_list(rows))


def _store_panel(texts: PageTexts, picture: Row, undelivered: Row) -> Content:
    store = picture["store"]
    disk = ("bad", str(store["ailing"])) if store["ailing"] else ("good", texts.text_of("state.saves"))
    rows: list[tuple[str, Content]] = [
        (texts.text_of("state.queue"), str(picture["agent"]["queue"])),
        *_undelivered_rows(texts, undelivered),
        (texts.text_of("state.disk"), verdict_badge(*disk)),
    ]
    return panel(texts.text_of("state.store"), fact_list(rows))


def _undelivered_rows(texts: PageTexts, undelivered: Row) -> Iterator[tuple[str, Content]]:
    counts: dict[str, int] = {}
    for row in undelivered.get("undelivered", ()):
        counts[row["what"]] = counts.get(row["what"], 0) + row["count"]
    shown = ", ".join(f"{texts.text_or(f'undelivered.{what}', what)}: {count}" for what, count in counts.items())
    yield texts.text_of("state.undelivered"), shown or texts.text_of("state.nothing")


def _device_panel(texts: PageTexts, picture: Row) -> Content:
    rows: list[tuple[str, Content]] = [
        (device_name_in_words(texts, device["name"]), device_badge(texts, device)) for device in picture["devices"]
    ]
    agent = picture["agent"]
    rows.append((texts.text_of("state.program"), f"chargy-agent {agent['version']}"))
    return panel(texts.text_of("state.devices"), fact_list(rows))


def device_name_in_words(texts: PageTexts, name: str) -> str:
    """Return the place of a device in the station file, in words: ``evse[1].reader[0]`` is "Outlet 1: reader 1"."""
    found = re.fullmatch(r"(?:evse\[(\d+)\]\.)?(\w+?)(?:\[(\d+)\])?", name)
    if found is None:
        return name
    evse, role, place = found.groups()
    outlet = f"{texts.text_of('state.outlet', number=evse)}: " if evse else ""
    count = f" {int(place) + 1}" if place else ""
    return f"{outlet}{texts.text_or(f'devices.{role}', role)}{count}"


def device_badge(texts: PageTexts, device: Row) -> Content:
    if device["open"]:
        return verdict_badge("good", texts.text_of("state.device_works"))
    return [verdict_badge("bad", texts.text_of("state.device_silent")), " ", str(device.get("error") or "")]


ROUTES = (
    PageRoute("GET", "/", Role.READER, redirect_to_state),
    PageRoute("GET", "/state", Role.READER, show_station_state),
)
