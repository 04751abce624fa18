"""The field page: which page answers a request, who may see it, and how long it runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from agent.commands.page import (
    audit_pages,
    card_pages,
    commission_pages,
    doctor_pages,
    kit_pages,
    log_pages,
    login_pages,
    meter_pages,
    state_pages,
)
from agent.commands.page.http_service import (
    BODY_S,
    BoundedServer,
    bind_listener,
    plain_answer,
    serve_requests,
    tls_context,
)
from agent.commands.page.login_sessions import is_expected_form_token
from agent.commands.page.page_frame import problem_answer
from agent.commands.page.page_texts import LANGUAGES, texts_of_language
from agent.commands.page.page_users import PageUser, UserProblem, load_page_users
from agent.commands.page.visit import PageRoute, PageSite, UploadedFile, Visit, redirect_answer
from agent.model.accepted_language import accepted_language
from agent.station_file.settings import StationFile

log = logging.getLogger(__name__)

ROUTES: Mapping[tuple[str, str], PageRoute] = {
    (route.method, route.path): route
    for pages in (
        login_pages, state_pages, commission_pages, doctor_pages, kit_pages, meter_pages, card_pages, audit_pages,
        log_pages,
    )
    for route in pages.ROUTES
}  # fmt: skip
STATIC = Path(__file__).parent / "static"
STATIC_FILES = {"/style.css": "text/css", "/app.js": "text/javascript", "/icon.svg": "image/svg+xml"}
LANGUAGE_COOKIE = "chargy-language"
LANGUAGE_KEPT_S = 365 * 86400


class PageServer:
    """Answers the requests of one station."""

    def __init__(self, site: PageSite) -> None:
        self.site = site
        self._static = {path: (STATIC / path[1:]).read_bytes() for path in STATIC_FILES}

    async def answer_request(self, request: web.BaseRequest) -> web.StreamResponse:
        path, method = request.path, "GET" if request.method == "HEAD" else request.method
        if path in self._static and method == "GET":
            return web.Response(body=self._static[path], content_type=STATIC_FILES[path], charset="utf-8")
        if path == "/language" and method == "GET":
            return self._choose_language(request)
        route = ROUTES.get((method, path))
        if route is None:
            others = [m for m, p in ROUTES if p == path]
            return problem_answer(self.site, self._begin_visit_of_request(request, "/state"), 405 if others else 404)
        visit = self._begin_visit_of_request(request, path)
        if route.role is not None and visit.user is None:
            return plain_answer(401) if visit.asks_for_live_part or method == "POST" else redirect_answer("/login")
        if route.role is not None and not visit.user_may_act_as(route.role):
            return problem_answer(self.site, visit, 403)
        if method == "POST":
            if (request.content_length or 0) > route.body_bytes:
                return problem_answer(self.site, visit, 413)
            async with asyncio.timeout(BODY_S):
                await _read_submitted_form(request, visit)
            if not is_expected_form_token(visit.form_key, visit.token, visit.form.get("form", "")):
                return problem_answer(self.site, visit, 403)
        return await route.handler(self.site, visit)

    def _begin_visit_of_request(self, request: web.BaseRequest, path: str) -> Visit:
        chosen = request.cookies.get(LANGUAGE_COOKIE, "")
        accepted = accepted_language(request.headers.get("Accept-Language", ""), LANGUAGES)
        texts = texts_of_language(chosen if chosen in LANGUAGES else accepted or "en")
        visit = Visit(request, path, texts, form_key=self.site.sessions.form_key)
        token = request.cookies.get(login_pages.session_cookie(self.site), "")
        user = self._user_from_entry(token, touch=not visit.asks_for_live_part) if token else None
        if user is not None:
            visit.token, visit.user = token, user
        else:
            visit.token = request.cookies.get(login_pages.FORM_COOKIE, "")
        return visit

    def _user_from_entry(self, token: str, touch: bool) -> PageUser | None:
        session = self.site.sessions.find_session(token, touch)
        if session is None:
            return None
        try:
            user = load_page_users(self.site.file.field_page_users).get(session.user)
        except UserProblem as e:
            log.error("%s", e)
            return None
        return user if user is not None and user.password_mark == session.mark else None

    def _choose_language(self, request: web.BaseRequest) -> web.Response:
        back = request.query.get("back", "")
        response = redirect_answer(back if ("GET", back) in ROUTES else "/")
        if (chosen := request.query.get("to", "")) in LANGUAGES:
            response.set_cookie(
                LANGUAGE_COOKIE, chosen,
                max_age=LANGUAGE_KEPT_S, httponly=True, samesite="Strict", secure=self.site.has_tls,
            )  # fmt: skip
        return response


async def _read_submitted_form(request: web.BaseRequest, visit: Visit) -> None:
    """Read the fields and files of a form into the visit. Their size was judged before."""
    if request.content_type not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise web.HTTPUnsupportedMediaType
    try:
        fields = await request.post()
    except (ValueError, AssertionError, UnicodeDecodeError):  # what aiohttp raises for a multipart that is none
        raise web.HTTPBadRequest from None
    visit.form = {name: value for name, value in fields.items() if isinstance(value, str)}
    files = [value for value in fields.values() if isinstance(value, web.FileField)]
    contents = [(f.filename, await asyncio.to_thread(f.file.read)) for f in files if f.filename]
    visit.files = tuple(UploadedFile(name, content) for name, content in contents)


class CannotServe(Exception):
    """``str()``: why, and what to do."""


async def serve_field_page(file: StationFile, port: int | None, with_agent: bool) -> None:
    """Serve until SIGTERM, or until standard input ends (``with_agent``). Raises ``CannotServe``."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    page = file.field_page
    try:
        users = load_page_users(file.field_page_users)
        if not users:
            raise CannotServe(f"there is no user yet: chargy-agent page user add {file.path} NAME")
        tls = tls_context(page.tls_cert, page.tls_key) if page.tls_cert and page.tls_key else None
        listener = bind_listener(page.host, page.port if port is None else port, page.interface)
    except UserProblem as e:
        raise CannotServe(str(e)) from None
    except OSError as e:
        raise CannotServe(f"[field_page] {page.host} port {port or page.port}: {e.strerror or e}") from None
    site = PageSite(file)
    server = BoundedServer(PageServer(site).answer_request, page.allowed_hosts)
    if with_agent:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _end_with_input, stop)
    async with serve_requests(server, listener, tls):
        log.info("field page at %s", page_address(file, listener.getsockname()[1]))
        idle = asyncio.create_task(site.watch.end_when_unused())
        await stop.wait()
        idle.cancel()
        await site.watch.close()
        await site.doctor.cancel_examination()


def page_address(file: StationFile, port: int) -> str:
    page = file.field_page
    host = f"[{page.host}]" if ":" in page.host else page.host
    return f"{'https' if page.tls_cert else 'http'}://{host}:{port}/"


def _end_with_input(stop: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        if os.read(sys.stdin.fileno(), 1024):
            return
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    stop.set()
