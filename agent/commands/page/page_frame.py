"""What every page of the field page has: head, navigation_of_roles, language, and the parts that pages are built of."""

from __future__ import annotations

from aiohttp import web

from agent.commands.page.http_service import plain_answer
from agent.commands.page.markup import Content, Markup, html_element
from agent.commands.page.page_texts import LANGUAGES, PageTexts
from agent.commands.page.roles import Role
from agent.commands.page.visit import PageSite, Visit, html_page_answer

NAVIGATION = (
    ("/state", Role.READER),
    ("/commission", Role.TECHNICIAN),
    ("/doctor", Role.TECHNICIAN),
    ("/kit", Role.TECHNICIAN),
    ("/meters", Role.READER),
    ("/cards", Role.READER),
    ("/audits", Role.READER),
    ("/logs", Role.READER),
)
LIVE_EVERY_S = 2


def whole_html_page(site: PageSite, visit: Visit, title: str, *content: Content) -> Markup:
    """Return a page. ``title``: its heading."""
    texts = visit.texts
    station = site.file.station
    name = " ".join(filter(None, (station.id, f"({station.number})" if station.number else "")))
    head = html_element(
        "head",
        html_element("meta", charset="utf-8"),
        html_element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        html_element("title", f"{title} - {name}"),
        html_element("link", rel="stylesheet", href="/style.css"),
        html_element("link", rel="icon", href="/icon.svg"),
        html_element("script", src="/app.js", defer=True),
    )
    body = html_element(
        "body",
        html_element("a", texts.text_of("frame.skip"), class_="skip", href="#main"),
        html_element(
            "header",
            html_element("p", html_element("strong", name), " ", texts.text_of("frame.title"), class_="station"),
            _language_links(visit),
        ),
        _navigation_of_roles(visit),
        html_element(
            "p", texts.text_of("frame.unreachable"), id="offline", role="status", hidden=True, class_="notice bad"
        ),
        html_element("main", html_element("h1", title), *content, id="main", tabindex=-1),
        _logged_in_user_part(visit),
    )
    return Markup("<!doctype html>" + html_element("html", head, body, lang=texts.language))


def _language_links(visit: Visit) -> Markup:
    links = [
        html_element("span", _language_word(code, label), lang=code, aria_current="true")
        if code == visit.texts.language
        else html_element(
            "a", _language_word(code, label), href=f"/language?to={code}&back={visit.path}", lang=code, hreflang=code
        )
        for code, label in LANGUAGES.items()
    ]
    return html_element("nav", links, class_="languages", aria_label=visit.texts.text_of("frame.language"))


def _language_word(code: str, label: str) -> Markup:
    return html_element("abbr", code.upper(), title=label)


def _logged_in_user_part(visit: Visit) -> Markup | None:
    if visit.user is None:
        return None
    role = visit.texts.text_of(f"roles.{visit.user.role}")
    return html_element(
        "footer",
        html_element("span", f"{visit.user.name} ({role})"),
        action_form(visit, "/logout", visit.texts.text_of("frame.logout"), class_="quiet"),
    )


def _navigation_of_roles(visit: Visit) -> Markup | None:
    if visit.user is None:
        return None
    items = [
        html_element(
            "li",
            html_element(
                "a",
                visit.texts.text_of(f"pages.{path[1:]}"),
                href=path,
                aria_current="page" if visit.path.startswith(path) else None,
            ),
        )
        for path, role in NAVIGATION
        if visit.user_may_act_as(role)
    ]
    here = next((path for path, _ in NAVIGATION if visit.path.startswith(path)), "")
    texts = visit.texts
    label = texts.text_of("frame.menu_at", page=texts.text_of(f"pages.{here[1:]}")) if here else None
    menu = html_element(
        "details",
        html_element("summary", label or texts.text_of("frame.menu")),
        html_element("ul", items),
        id="menu",
    )
    return html_element("nav", menu, class_="pages", aria_label=texts.text_of("frame.menu"))


def live_page_section(visit: Visit, content: Content, label: str, step: str = "") -> Markup:
    """Return a part of the page that its script replaces every few seconds. ``step``: which one it is about."""
    address = f"{visit.path}?part=live" + (f"&step={step}" if step else "")
    return html_element(
        "section",
        html_element("div", content, data_live=address, data_every=LIVE_EVERY_S),
        aria_label=label,
    )


def action_form(
    visit: Visit, path: str, label: str, *content: Content, class_: str = "primary", has_files: bool = False
) -> Markup:
    """Return a form with a button. Each form sends back the token of the session."""
    return html_element(
        "form",
        hidden_field("form", visit.expected_form_token),
        *content,
        html_element("button", label, type="submit", class_=class_),
        method="post",
        action=path,
        enctype="multipart/form-data" if has_files else None,
    )


def hidden_field(name: str, value: str) -> Markup:
    return html_element("input", type="hidden", name=name, value=value)


def labelled_check_box(name: str, label: str, required: bool = False) -> Markup:
    """Return a box to tick, whose value is ``yes``."""
    box = html_element("input", type="checkbox", id=name, name=name, value="yes", required=required)
    return html_element("p", box, html_element("label", label, for_=name), class_="check")


def link_as_button(label: str, href: str, class_: str = "button") -> Markup:
    return html_element("p", html_element("a", label, href=href, class_=class_))


def connection_badge(texts: PageTexts, is_up: bool, otherwise: str = "bad") -> Markup:
    word = texts.text_of("state.connected" if is_up else "state.disconnected")
    return verdict_badge("good" if is_up else otherwise, word)


def problem_answer(site: PageSite, visit: Visit, status: int) -> web.Response:
    """Return the page for a request that is not answered; for a script, or without a login, one line."""
    if visit.user is None or visit.asks_for_live_part:
        return plain_answer(status)
    texts = visit.texts
    said = notice("bad", verdict_badge("bad", texts.text_or(f"problem.{status}", str(status))))
    back = link_as_button(texts.text_of("problem.back"), "/state")
    return html_page_answer(whole_html_page(site, visit, texts.text_of("problem.title"), said, back), status)


def notice(kind: str, *content: Content) -> Markup:
    """Return a notice. ``kind``: good, warn, bad or info; a word or sign says it too, not the colour alone."""
    return html_element("div", content, class_=f"notice {kind}", role="alert" if kind == "bad" else None)


def fact_list(rows: list[tuple[str, Content]]) -> Markup:
    """Return names and values as a list of descriptions; rows without a value are left out."""
    shown = [html_element("div", html_element("dt", name), html_element("dd", value)) for name, value in rows if value]
    return html_element("dl", shown)


SIGNS = {"good": "✓", "bad": "✗", "warn": "!", "info": "·", "now": "→"}


def verdict_badge(kind: str, word: str) -> Markup:
    sign = SIGNS[kind]
    return html_element("span", html_element("span", sign, aria_hidden="true"), " ", word, class_=f"badge {kind}")


def panel(title: str, *content: Content) -> Markup:
    return html_element("section", html_element("h2", title), *content, class_="panel")


def paragraph(text: Content, class_: str | None = None) -> Markup:
    return html_element("p", text, class_=class_)


def command_line(text: str) -> Markup:
    return html_element("pre", html_element("code", text), tabindex=0)
