"""Commission this station: kit, devices, doctor, test card, done - one step at a time, with what to do now."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from agent.commands.page.agent_watch import AgentSilent
from agent.commands.page.card_pages import list_of_card_taps, newest_card_taps
from agent.commands.page.doctor_pages import doctor_content
from agent.commands.page.kit_pages import kit_choice_panels
from agent.commands.page.markup import Content, html_element, join_markup
from agent.commands.page.page_frame import (
    action_form,
    connection_badge,
    fact_list,
    hidden_field,
    link_as_button,
    live_page_section,
    notice,
    paragraph,
    verdict_badge,
    whole_html_page,
)
from agent.commands.page.roles import Role
from agent.commands.page.state_pages import device_badge, device_name_in_words, silent_agent_content
from agent.commands.page.visit import PageRoute, PageSite, Visit, html_page_answer, redirect_answer

STEPS = ("kit", "devices", "doctor", "card", "finish")
Row = dict[str, Any]


async def show_commissioning(site: PageSite, visit: Visit) -> web.StreamResponse:
    texts = visit.texts
    picture = await _picture_or_none(site)
    step = _first_open_step(site, picture)
    if visit.asks_for_live_part:
        shown = visit.request.query.get("step", "")
        shown = shown if shown in STEPS[1:] else step
        content = await _content_of_one_step(site, visit, shown, picture)
        return html_page_answer(join_markup(_way_to_next_step(site, visit, shown), content))
    content = await _content_of_one_step(site, visit, step, picture)
    number, title = STEPS.index(step) + 1, texts.text_of(f"commission.{step}.title")
    label, is_finished = texts.text_of("commission.progress"), "finish" in site.commissioning.done
    about = "commission.finish.recorded" if is_finished else f"commission.{step}.about"
    heading = f"{texts.text_of('commission.step', number=number, of=len(STEPS))} {title}"
    page = whole_html_page(
        site,
        visit,
        texts.text_of("pages.commission"),
        _list_of_all_steps(site, visit, step),
        html_element("progress", value=number - 1 + is_finished, max=len(STEPS), aria_label=label),
        html_element("h2", heading),
        paragraph(texts.text_of(about)),
        kit_choice_panels(site, visit) if step == "kit" else live_page_section(visit, content, title, step),
        _actions_of_present_step(site, visit, step),
    )
    return html_page_answer(page)


async def _picture_or_none(site: PageSite) -> Row | None:
    try:
        return await site.watch.current_picture()
    except AgentSilent:
        return None


def _first_open_step(site: PageSite, picture: Row | None) -> str:
    """Return the first step that is not done. Devices are looked at each time: what has gone silent is a step again."""
    done = site.commissioning.done
    if "kit" not in done:
        return "kit"
    if picture is None or not _all_devices_work(picture):
        return "devices"
    return next((step for step in ("devices", "doctor", "card") if step not in done), "finish")


def _all_devices_work(picture: Row) -> bool:
    return bool(picture.get("ready")) and all(device["open"] for device in picture["devices"])


def _list_of_all_steps(site: PageSite, visit: Visit, present: str) -> Content:
    texts, items = visit.texts, []
    for number, step in enumerate(STEPS, 1):
        is_done = STEPS.index(step) < STEPS.index(present) or (step == "finish" and "finish" in site.commissioning.done)
        kind, word = ("good", "commission.done") if is_done else ("info", "commission.open")
        if step == present and not is_done:
            kind, word = "now", "commission.now"
        title = texts.text_of(f"commission.{step}.title")
        badge = verdict_badge(kind, texts.text_of(word))
        items.append(html_element("li", f"{number}. {title} ", badge, aria_current="step" if step == present else None))
    return html_element("ol", items, class_="steps", aria_label=texts.text_of("commission.progress"))


async def _content_of_one_step(site: PageSite, visit: Visit, step: str, picture: Row | None) -> Content:
    if picture is None:
        return silent_agent_content(site, visit)
    texts = visit.texts
    if step == "devices":
        rows: list[tuple[str, Content]] = [
            (device_name_in_words(texts, d["name"]), device_badge(texts, d)) for d in picture["devices"]
        ]
        return [_device_notice(site, visit, picture), fact_list(rows)]
    if step == "doctor":
        return doctor_content(site, visit)
    if step == "card":
        return await _content_of_card_step(site, visit)
    return _content_of_final_step(site, visit, picture)


async def _content_of_card_step(site: PageSite, visit: Visit) -> Content:
    """Return what the readers have read. A card that was read well since the step before was done ends this step."""
    since_s = site.commissioning.seconds_since_newest_step()
    try:
        taps = await newest_card_taps(site)
    except AgentSilent:
        return silent_agent_content(site, visit)
    if "devices" in site.commissioning.done and any(tap["token"] and tap["ago_s"] < since_s for tap in taps):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        site.commissioning.mark_step_as_done("card", f"{at} {visit.user_name}")
    return list_of_card_taps(visit.texts, taps)


def _way_to_next_step(site: PageSite, visit: Visit, shown: str) -> Content:
    """Return the way on, once the step that the page shows is done."""
    if shown not in ("doctor", "card") or shown not in site.commissioning.done:
        return None
    link = link_as_button(visit.texts.text_of("commission.next"), "/commission", "button primary")
    return notice("good step-done", verdict_badge("good", visit.texts.text_of("commission.step_done")), link)


def _device_notice(site: PageSite, visit: Visit, picture: Row) -> Content:
    if _all_devices_work(picture):
        on = action_form(visit, "/commission", visit.texts.text_of("commission.on"), hidden_field("step", "devices"))
        return notice("good", verdict_badge("good", visit.texts.text_of("commission.devices.good")), on)
    if not picture.get("ready"):
        return notice("info", verdict_badge("info", visit.texts.text_of("state.starting")))
    return notice("bad", verdict_badge("bad", visit.texts.text_of("commission.devices.bad")))


def _content_of_final_step(site: PageSite, visit: Visit, picture: Row) -> Content:
    texts, done = visit.texts, site.commissioning.done
    link = connection_badge(texts, picture["backend"]["link"] == "up", otherwise="warn")
    rows: list[tuple[str, Content]] = [
        *((texts.text_of(f"commission.{step}.title"), done.get(step)) for step in STEPS[:-1]),
        (texts.text_of("state.link"), link),
    ]
    said = notice("good", verdict_badge("good", texts.text_of("commission.finished"))) if "finish" in done else None
    return [said, fact_list(rows)]


def _actions_of_present_step(site: PageSite, visit: Visit, step: str) -> Content:
    texts, done = visit.texts, site.commissioning.done
    actions: list[Content] = []

    def offer_step_button(label: str, name: str, class_: str = "quiet") -> None:
        form = action_form(visit, "/commission", texts.text_of(label), hidden_field("step", name), class_=class_)
        actions.append(form)

    if step == "kit":
        offer_step_button("commission.kit.skip", "kit")
    elif step == "doctor":
        label = texts.text_of("doctor.again" if site.doctor.is_finished else "doctor.start")
        actions.append(action_form(visit, "/doctor", label, hidden_field("back", "commission")))
    elif step == "finish" and "finish" not in done:
        offer_step_button("commission.finish.do", "finish", "primary")
    if step in ("doctor", "card"):
        offer_step_button("commission.without", step, "quiet without")
    if done:
        offer_step_button("commission.again", "again")
    return html_element("div", actions, class_="actions")


async def accept_commissioning_step(site: PageSite, visit: Visit) -> web.StreamResponse:
    step = visit.form.get("step", "")
    if step == "again":
        site.commissioning.start_commissioning_over()
    elif step == _first_open_step(site, await _picture_or_none(site)) and step not in site.commissioning.done:
        was_left_out = " (left out)" if step in ("kit", "doctor", "card") else ""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        site.commissioning.mark_step_as_done(step, f"{at} {visit.user_name}{was_left_out}")
        site.activity.record_activity("commissioning", visit.user_name, visit.address, f"{step}{was_left_out}")
    return redirect_answer("/commission")


ROUTES = (
    PageRoute("GET", "/commission", Role.TECHNICIAN, show_commissioning),
    PageRoute("POST", "/commission", Role.TECHNICIAN, accept_commissioning_step),
)
