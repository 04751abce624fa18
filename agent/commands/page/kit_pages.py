"""The integration kit: choose or upload it, see what it says and what it changes, apply it, undo it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from agent.commands.page.agent_watch import AgentSilent
from agent.commands.page.kit_store import MOST_BYTES, KitRefused, KitStore, foreign_files_of_kit
from agent.commands.page.markup import Content, html_element
from agent.commands.page.page_frame import (
    action_form,
    command_line,
    fact_list,
    hidden_field,
    labelled_check_box,
    link_as_button,
    notice,
    panel,
    paragraph,
    verdict_badge,
    whole_html_page,
)
from agent.commands.page.page_texts import PageTexts
from agent.commands.page.roles import Role
from agent.commands.page.visit import BODY_BYTES, PageRoute, PageSite, Visit, html_page_answer, redirect_answer
from agent.station_file.settings import SettingsError

if TYPE_CHECKING:
    from agent.commands.kit.kit_file import Kit
    from agent.commands.kit.station_changes import KeyChange

KEY_NAMES = {
    "station.number": "kit.number",
    "station.hotline": "kit.hotline",
    "station.price_line": "kit.price",
    "station.qr_url": "kit.qr",
    "backend.charge_point_id": "kit.id",
    "backend.url": "kit.backend",
    "backend.versions": "kit.versions",
    "backend.security_profile": "kit.security",
}
"""What the keys of the station file are called in words."""
UPLOAD_BYTES = MOST_BYTES + BODY_BYTES


def kit_store_of_site(site: PageSite) -> KitStore:
    return KitStore(site.folder / "kits", site.file.field_page.kits)


async def show_kit_choices(site: PageSite, visit: Visit) -> web.StreamResponse:
    return _kit_choices_answer(site, visit)


def _kit_choices_answer(site: PageSite, visit: Visit, problem: Content = None, status: int = 200) -> web.Response:
    texts = visit.texts
    page = whole_html_page(
        site,
        visit,
        texts.text_of("pages.kit"),
        problem,
        paragraph(texts.text_of("kit.about")),
        kit_choice_panels(site, visit),
        _undo_last_kit_panel(visit),
    )
    return html_page_answer(page, status)


def kit_choice_panels(site: PageSite, visit: Visit) -> Content:
    """Return the ways to bring a kit: the folder of kits, an upload, and what was brought before."""
    texts, store = visit.texts, kit_store_of_site(site)
    upload = html_element(
        "input", type="file", id="kit", name="kit", required=True, accept=".toml,.zip", aria_describedby="kit-help"
    )
    offered, copies = store.names_of_offered_kits(), store.names_of_kit_copies()
    return [
        panel(
            texts.text_of("kit.choose"),
            paragraph(texts.text_of("kit.choose_about")),
            [_kit_choice_form(visit, "/kit/choose", name) for name in offered],
        )
        if offered
        else None,
        panel(
            texts.text_of("kit.upload"),
            action_form(
                visit,
                "/kit/upload",
                texts.text_of("kit.upload_do"),
                html_element("p", html_element("label", texts.text_of("kit.file"), for_="kit"), upload),
                html_element("p", texts.text_of("kit.upload_about"), id="kit-help", class_="help"),
                has_files=True,
            ),
        ),
        panel(
            texts.text_of("kit.brought"),
            [link_as_button(name, f"/kit/view?kit={name}") for name in copies],
        )
        if copies
        else None,
    ]


def _kit_choice_form(visit: Visit, path: str, name: str) -> Content:
    return action_form(
        visit,
        path,
        visit.texts.text_of("kit.take", name=name),
        hidden_field("kit", name),
    )


def _undo_last_kit_panel(visit: Visit) -> Content:
    texts = visit.texts
    discard: Content = None
    if visit.user_may_act_as(Role.MANUFACTURER):
        discard = [labelled_check_box("discard", texts.text_of("kit.discard")), _leave_bills_box(texts)]
    return panel(
        texts.text_of("kit.undo"),
        paragraph(texts.text_of("kit.undo_about")),
        action_form(visit, "/kit/undo", texts.text_of("kit.undo_do"), discard, class_="danger"),
    )


def _leave_bills_box(texts: PageTexts) -> Content:
    return labelled_check_box("leave_bills", texts.text_of("kit.leave_bills"))


def _may_leave_bills(visit: Visit) -> bool:
    return visit.form.get("leave_bills") == "yes" and visit.user_may_act_as(Role.MANUFACTURER)


async def accept_chosen_kit(site: PageSite, visit: Visit) -> web.StreamResponse:
    store = kit_store_of_site(site)
    try:
        name = await asyncio.to_thread(store.copy_offered_kit, visit.form.get("kit", ""))
    except (KitRefused, OSError) as e:
        return _refused_kit_answer(site, visit, e)
    return redirect_answer(f"/kit/view?kit={name}")


async def accept_uploaded_kit(site: PageSite, visit: Visit) -> web.StreamResponse:
    store = kit_store_of_site(site)
    try:
        if not visit.files:
            raise KitRefused("no_file")
        name = await asyncio.to_thread(store.store_uploaded_kit, visit.files[0])
    except (KitRefused, OSError) as e:
        return _refused_kit_answer(site, visit, e)
    site.activity.record_activity(
        "kit uploaded", visit.user_name, visit.address, f"{len(visit.files[0].content)} bytes"
    )
    return redirect_answer(f"/kit/view?kit={name}")


def _refused_kit_answer(site: PageSite, visit: Visit, error: KitRefused | OSError) -> web.Response:
    texts = visit.texts
    said = texts.text_of(f"kit.refused.{error}") if isinstance(error, KitRefused) else error.strerror or str(error)
    return _kit_choices_answer(site, visit, notice("bad", verdict_badge("bad", said)), 400)


async def show_one_kit_copy(site: PageSite, visit: Visit) -> web.StreamResponse:
    texts = visit.texts
    name = visit.request.query.get("kit", "")
    path = kit_store_of_site(site).path_of_kit_copy(name)
    if path is None:
        return _refused_kit_answer(site, visit, KitRefused("unknown"))
    try:
        kit = await asyncio.to_thread(_load_kit_of_the_page, site, path)
        content = await asyncio.to_thread(_content_of_kit_page, site, visit, kit, name)
    except SettingsError as e:
        content = _list_of_kit_problems(texts, "kit.wrong", e.problems, str(path))
    return html_page_answer(whole_html_page(site, visit, texts.text_of("kit.view"), content))


def _content_of_kit_page(site: PageSite, visit: Visit, kit: Kit, name: str) -> Content:
    """Return what the kit says and what it changes. Raises ``SettingsError``."""
    from agent.commands.kit.station_changes import (
        changed_names,
        planned_changes,
        read_station_tables,
        sends_password_elsewhere,
    )

    texts = visit.texts
    tables = read_station_tables(site.file.path)
    changes = planned_changes(kit, tables, site.file.path.resolve().parent)
    renamed = changed_names(changes)
    return [
        panel(texts.text_of("kit.says"), fact_list(_facts_of_the_kit(texts, kit))),
        panel(texts.text_of("kit.changes"), _table_of_kit_changes(texts, changes)),
        _apply_kit_panel(visit, name, changes, renamed, sends_password_elsewhere(kit, changes, tables)),
    ]


def _facts_of_the_kit(texts: PageTexts, kit: Kit) -> list[tuple[str, Content]]:
    station, backend, sim = kit.station, kit.backend, kit.sim
    return [
        (texts.text_of("kit.number"), station.number),
        (texts.text_of("kit.type"), kit.header.station_type),
        (texts.text_of("kit.hotline"), station.hotline),
        (texts.text_of("kit.id"), backend.charge_point_id),
        (texts.text_of("kit.backend"), html_element("span", backend.url, class_="breakable")),
        (texts.text_of("kit.versions"), ", ".join(f"OCPP {v}" for v in backend.versions)),
        (texts.text_of("kit.security"), texts.text_of(f"kit.profile.{backend.security_profile}")),
        (texts.text_of("kit.sim"), None if sim is None else f"APN {sim.apn}, ICCID {sim.iccid or '-'}"),
        (texts.text_of("kit.price"), station.price_line),
        (texts.text_of("kit.qr"), html_element("span", kit.sticker_url, class_="breakable")),
    ]


def _table_of_kit_changes(texts: PageTexts, changes: list[KeyChange]) -> Content:
    from agent.commands.kit.station_changes import ABSENT, value_text

    if not changes:
        return notice("good", verdict_badge("good", texts.text_of("kit.no_change")))
    rows: list[tuple[str, Content]] = []
    for change in changes:
        old = texts.text_of("kit.unset") if change.old is ABSENT else value_text(change.path, change.old)
        new = texts.text_of("kit.removed") if change.new is ABSENT else value_text(change.path, change.new)
        value = [html_element("del", old), " → ", html_element("ins", new)]
        rows.append((_name_of_key(texts, change.name), html_element("span", value, class_="breakable")))
    return fact_list(rows)


def _name_of_key(texts: PageTexts, name: str) -> str:
    return f"{texts.text_of(KEY_NAMES[name])} ({name})" if name in KEY_NAMES else name


def _apply_kit_panel(
    visit: Visit, name: str, changes: list[KeyChange], renamed: list[str], sends_password: bool
) -> Content:
    texts = visit.texts
    if not changes:
        return link_as_button(texts.text_of("kit.on"), "/commission")
    rename: Content = None
    if sends_password and not visit.user_may_act_as(Role.MANUFACTURER):
        return notice("warn", verdict_badge("warn", texts.text_of("kit.sends_password")))
    if renamed:
        other = verdict_badge("warn", texts.text_of("kit.other_station"))
        if not visit.user_may_act_as(Role.MANUFACTURER):
            return notice("warn", other, paragraph(texts.text_of("kit.only_manufacturer")))
        rename = [notice("warn", other), labelled_check_box("rename", texts.text_of("kit.rename"), required=True)]
    return panel(
        texts.text_of("kit.apply"),
        paragraph(texts.text_of("kit.apply_about")),
        action_form(
            visit,
            "/kit/apply",
            texts.text_of("kit.apply_do"),
            hidden_field("kit", name),
            rename,
            _leave_bills_box(texts) if visit.user_may_act_as(Role.MANUFACTURER) else None,
        ),
    )


async def apply_kit_copy(site: PageSite, visit: Visit) -> web.StreamResponse:
    from agent.commands.kit.station_writer import apply_kit

    store, name = kit_store_of_site(site), visit.form.get("kit", "")
    path = store.path_of_kit_copy(name)
    if path is None:
        return _refused_kit_answer(site, visit, KitRefused("unknown"))
    if (refusal := await _drain_or_refuse(site, visit)) is not None:
        return refusal
    rename = visit.form.get("rename") == "yes" and visit.user_may_act_as(Role.MANUFACTURER)
    try:
        kit = await asyncio.to_thread(_load_kit_of_the_page, site, path)
        if not visit.user_may_act_as(Role.MANUFACTURER):
            await asyncio.to_thread(_refuse_password_for_another_host, site, visit, kit)
        applied = await asyncio.to_thread(apply_kit, kit, site.file.path, rename, _may_leave_bills(visit))
    except (SettingsError, OSError) as e:
        return await _failed_change(site, visit, e, str(path))
    keys = ", ".join(change.name for change in applied.changes)
    site.activity.record_activity(
        "kit applied", visit.user_name, visit.address, f"station {kit.station.number}: {keys}"
    )
    store.remove_kit_copy(name)
    site.commissioning.start_commissioning_over()
    site.commissioning.mark_step_as_done(
        "kit", f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {visit.user_name}"
    )
    return await _restart_answer(site, visit, "kit.applied")


def _load_kit_of_the_page(site: PageSite, path: Path) -> Kit:
    """Load a kit that may name files of its own only. A user of the page may not have the agent read any other file of
    its user, and send it to a backend or an access point. Raises ``SettingsError``."""
    from agent.commands.kit.kit_file import load_kit
    from agent.commands.kit.station_changes import read_station_tables

    if wrong := foreign_files_of_kit(path, read_station_tables(site.file.path)):
        raise SettingsError(wrong)
    return load_kit(path)


def _refuse_password_for_another_host(site: PageSite, visit: Visit, kit: Kit) -> None:
    """Raises ``SettingsError``."""
    from agent.commands.kit.station_changes import planned_changes, read_station_tables, sends_password_elsewhere

    tables = read_station_tables(site.file.path)
    changes = planned_changes(kit, tables, site.file.path.resolve().parent)
    if sends_password_elsewhere(kit, changes, tables):
        raise SettingsError([visit.texts.text_of("kit.sends_password")])


async def undo_last_kit(site: PageSite, visit: Visit) -> web.StreamResponse:
    from agent.commands.kit.station_writer import undo_kit

    if (refusal := await _drain_or_refuse(site, visit)) is not None:
        return refusal
    discard = visit.form.get("discard") == "yes" and visit.user_may_act_as(Role.MANUFACTURER)
    try:
        may_rename = visit.user_may_act_as(Role.MANUFACTURER)
        edits = await asyncio.to_thread(undo_kit, site.file.path, discard, may_rename, _may_leave_bills(visit))
    except (SettingsError, OSError) as e:
        return await _failed_change(site, visit, e, "")
    site.activity.record_activity("kit undone", visit.user_name, visit.address, ", ".join(edits))
    site.commissioning.start_commissioning_over()
    return await _restart_answer(site, visit, "kit.undone")


async def _drain_or_refuse(site: PageSite, visit: Visit) -> web.Response | None:
    """Refuse a change while a driver is served: the agent has to be restarted for it. Otherwise let no driver begin
    until then."""
    try:
        busy = _list_of_outlets(await site.watch.ask_running_agent("field_page", do="drain"))
    except AgentSilent:
        return None
    if not busy:
        return None
    said = visit.texts.text_of("kit.busy", outlets=busy)
    return _kit_choices_answer(site, visit, notice("bad", verdict_badge("bad", said)), 409)


def _list_of_outlets(said: Mapping[str, Any]) -> str:
    return ", ".join(str(number) for number in said.get("evses", ()))


async def _failed_change(site: PageSite, visit: Visit, error: SettingsError | OSError, hidden: str) -> web.Response:
    """Show that nothing was changed. Drivers may begin again."""
    with contextlib.suppress(AgentSilent):
        await site.watch.ask_running_agent("field_page", do="admit")
    texts = visit.texts
    if isinstance(error, SettingsError):
        return _kit_choices_answer(
            site, visit, _list_of_kit_problems(texts, "kit.not_changed", error.problems, hidden), 409
        )
    said = [
        notice("bad", verdict_badge("bad", texts.text_of("kit.not_writable", error=error.strerror or str(error)))),
        paragraph(texts.text_of("kit.by_command")),
        command_line(f"chargy-agent kit apply KIT.toml {site.file.path}"),
    ]
    return _kit_choices_answer(site, visit, said, 409)


def _list_of_kit_problems(texts: PageTexts, heading: str, problems: list[str], hidden: str) -> Content:
    """Return the problems that the commands find. ``hidden``: the path of the copy, which says nothing to a person."""
    items = [html_element("li", said.replace(hidden, "kit.toml") if hidden else said) for said in problems]
    return notice("bad", verdict_badge("bad", texts.text_of(heading)), html_element("ul", items, lang="en"))


async def _restart_answer(site: PageSite, visit: Visit, key: str) -> web.Response:
    """Restart the agent, and show a page that waits for it."""
    texts = visit.texts
    try:
        said = await site.watch.ask_running_agent("field_page", do="restart")
    except AgentSilent:
        said = {"error": "silent"}
    if busy := _list_of_outlets(said):  # a driver has come since the form was judged
        page = whole_html_page(
            site,
            visit,
            texts.text_of("kit.view"),
            notice("good", verdict_badge("good", texts.text_of(key))),
            notice("info", verdict_badge("info", texts.text_of("restart.later", outlets=busy))),
        )
        return html_page_answer(page)
    if "error" in said:
        page = whole_html_page(
            site,
            visit,
            texts.text_of("kit.view"),
            notice("good", verdict_badge("good", texts.text_of(key))),
            notice("warn", verdict_badge("warn", texts.text_of("kit.restart_by_hand"))),
            command_line("systemctl restart chargy-agent"),
        )
        return html_page_answer(page)
    return redirect_answer(f"/restarting?done={key.partition('.')[2]}")


async def show_restarting(site: PageSite, visit: Visit) -> web.StreamResponse:
    """Show that the agent restarts. The script of the page goes on when it is back; a link does the same."""
    texts = visit.texts
    done = "undone" if visit.request.query.get("done") == "undone" else "applied"
    page = whole_html_page(
        site,
        visit,
        texts.text_of("restart.title"),
        notice("good", verdict_badge("good", texts.text_of(f"kit.{done}"))),
        html_element(
            "div",
            paragraph(texts.text_of("restart.wait")),
            html_element("progress", aria_label=texts.text_of("restart.wait")),
            data_wait_for="/alive",
            data_next="/commission",
            role="status",
        ),
        link_as_button(texts.text_of("restart.on"), "/commission"),
    )
    return html_page_answer(page)


ROUTES = (
    PageRoute("GET", "/kit", Role.TECHNICIAN, show_kit_choices),
    PageRoute("POST", "/kit/choose", Role.TECHNICIAN, accept_chosen_kit),
    PageRoute("POST", "/kit/upload", Role.TECHNICIAN, accept_uploaded_kit, UPLOAD_BYTES),
    PageRoute("GET", "/kit/view", Role.TECHNICIAN, show_one_kit_copy),
    PageRoute("POST", "/kit/apply", Role.TECHNICIAN, apply_kit_copy),
    PageRoute("POST", "/kit/undo", Role.TECHNICIAN, undo_last_kit),
    PageRoute("GET", "/restarting", Role.TECHNICIAN, show_restarting),
)
