"""Login and logout."""

from __future__ import annotations

import asyncio
import math
import secrets

from aiohttp import web

from agent.commands.page.markup import Content, html_element
from agent.commands.page.page_frame import action_form, notice, paragraph, whole_html_page
from agent.commands.page.page_users import PASSWORD_MOST, UNKNOWN_USER, PageUser, UserProblem, load_page_users
from agent.commands.page.roles import Role
from agent.commands.page.visit import PageRoute, PageSite, Visit, html_page_answer, redirect_answer, seconds_since_boot

FORM_COOKIE = "chargy-form"
WAITING_MOST = 4
"""Logins whose password waits to be hashed."""


def session_cookie(site: PageSite) -> str:
    """Return the name of the cookie. A browser takes ``__Host-`` from this host with TLS only (RFC 6265bis)."""
    return "__Host-chargy-session" if site.has_tls else "chargy-session"


async def show_login_form(site: PageSite, visit: Visit) -> web.StreamResponse:
    return redirect_answer("/") if visit.user is not None else _login_page_answer(site, visit)


def _login_page_answer(site: PageSite, visit: Visit, problem: str = "", status: int = 200) -> web.Response:
    texts = visit.texts
    visit.token = visit.token or secrets.token_urlsafe(16)
    fields: list[Content] = [
        _labelled_login_field(texts.text_of("login.user"), "user", autocomplete="username", autocapitalize="none"),
        _labelled_login_field(
            texts.text_of("login.password"), "password", type_="password", autocomplete="current-password"
        ),
    ]
    page = whole_html_page(
        site,
        visit,
        texts.text_of("login.title"),
        notice("bad", problem) if problem else None,
        action_form(visit, "/login", texts.text_of("login.submit"), *fields),
        paragraph(texts.text_of("login.help"), class_="help"),
    )
    response = html_page_answer(page, status)
    response.set_cookie(FORM_COOKIE, visit.token, httponly=True, samesite="Strict", secure=site.has_tls)
    return response


def _labelled_login_field(label: str, name: str, type_: str = "text", **attributes: str) -> Content:
    box = html_element(
        "input",
        id=name,
        name=name,
        type=type_,
        required=True,
        maxlength=PASSWORD_MOST,
        spellcheck="false",
        **attributes,
    )
    return html_element("p", html_element("label", label, for_=name), box)


async def accept_login_form(site: PageSite, visit: Visit) -> web.StreamResponse:
    name, password = visit.form.get("user", "")[:64].strip(), visit.form.get("password", "")
    pause_s = site.limits.remaining_pause_s(visit.address, name, seconds_since_boot())
    if pause_s > 0 or _too_many_logins_wait(site):
        return _login_pause_answer(site, visit, pause_s)
    try:
        user = await _user_of_right_password(site, visit.address, name, password[:PASSWORD_MOST])
    except LoginPaused as e:
        return _login_pause_answer(site, visit, e.pause_s)
    except UserProblem:
        return _login_page_answer(site, visit, visit.texts.text_of("login.no_users"), status=503)
    if user is None:
        known = name in load_page_users(site.file.field_page_users)  # else it may be a password in the wrong field
        site.activity.record_activity("login refused", name if known else "unknown", visit.address)
        return _login_page_answer(site, visit, visit.texts.text_of("login.wrong"), status=401)
    site.limits.record_success(name)
    site.activity.record_activity("login", user.name, visit.address, f"as {user.role}")
    response = redirect_answer("/")
    response.set_cookie(
        session_cookie(site), site.sessions.begin_session(user),
        httponly=True, samesite="Strict", secure=site.has_tls, path="/",
    )  # fmt: skip
    return response


def _too_many_logins_wait(site: PageSite) -> bool:
    return site.hashing_count >= WAITING_MOST


def _login_pause_answer(site: PageSite, visit: Visit, pause_s: float) -> web.Response:
    seconds = max(1, math.ceil(pause_s))
    response = _login_page_answer(site, visit, visit.texts.text_of("login.pause", seconds=seconds), status=429)
    response.headers["Retry-After"] = str(seconds)
    return response


class LoginPaused(Exception):
    """Logins before this one have failed while it waited. ``pause_s``: how long none is tried."""

    def __init__(self, pause_s: float) -> None:
        super().__init__(pause_s)
        self.pause_s = pause_s


async def _user_of_right_password(site: PageSite, address: str, name: str, password: str) -> PageUser | None:
    """Return the user if the password is right. A name that does not exist takes as long. Raises ``UserProblem``,
    ``LoginPaused``."""
    user = load_page_users(site.file.field_page_users).get(name)
    site.hashing_count += 1
    checking = asyncio.create_task(_check_password_in_turn(site, address, name, user or UNKNOWN_USER, password))
    checking.add_done_callback(lambda done: _end_password_check(site, done))
    is_right = await asyncio.shield(checking)  # its thread goes on when the browser has gone, and so does its turn
    return user if is_right else None


async def _check_password_in_turn(site: PageSite, address: str, name: str, user: PageUser, password: str) -> bool:
    async with site.hashing:
        pause_s = site.limits.remaining_pause_s(address, name, seconds_since_boot())
        if pause_s > 0:
            raise LoginPaused(pause_s)
        is_right = await asyncio.to_thread(user.is_password, password)
        if not is_right or user is UNKNOWN_USER:
            site.limits.record_failure(address, name, seconds_since_boot())
        return is_right


def _end_password_check(site: PageSite, done: asyncio.Task[bool]) -> None:
    site.hashing_count -= 1
    if not done.cancelled():
        done.exception()  # the visitor who would have got it may have gone


async def accept_logout_form(site: PageSite, visit: Visit) -> web.StreamResponse:
    site.sessions.end_session(visit.token)
    site.activity.record_activity("logout", visit.user_name, visit.address)
    response = redirect_answer("/login")
    response.del_cookie(session_cookie(site), path="/", secure=site.has_tls, httponly=True, samesite="Strict")
    return response


async def answer_whether_alive(site: PageSite, visit: Visit) -> web.StreamResponse:
    """Answer whether the agent is there and its devices were looked for: for a page that waits for a restart."""
    from agent.commands.page.agent_watch import AgentSilent

    try:
        is_ready = bool((await site.watch.current_picture()).get("ready"))
    except AgentSilent:
        is_ready = False
    return web.Response(status=204 if is_ready else 503)


ROUTES = (
    PageRoute("GET", "/login", None, show_login_form),
    PageRoute("POST", "/login", None, accept_login_form),
    PageRoute("POST", "/logout", Role.READER, accept_logout_form),
    PageRoute("GET", "/alive", Role.READER, answer_whether_alive),
)
