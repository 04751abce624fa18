"""The HTTP server of a simulated station: control API and page."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from operator import attrgetter
from pathlib import Path
from typing import TypeAlias

from aiohttp import web
from aiohttp.typedefs import Middleware

from drivers.sim.api_routes import API_ROUTES, V1
from drivers.sim.checked_values import Impossible, Unknown
from drivers.sim.control import Control
from drivers.sim.http_access import HEADERS, PAY, Access
from drivers.sim.scenario_recorder import ScenarioRecorder
from drivers.sim.supervisor import NotRunning

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGE = Path(__file__).parent / "page"
API_PAGE_FILES = ("api.css", "api.js", "icon.svg")
"""What the description of the API needs, which is there without the page too."""
PAGE_FILES = ("app.js", "style.css", "texts.js", "texts.json")
"""What the page needs besides."""


def make_application(control: Control, with_page: bool, access: Access, pay_page: Handler | None) -> web.Application:
    """Make the web application. ``with_page`` False: the API alone. ``pay_page`` answers requests below ``/pay/``."""
    app = web.Application(middlewares=[_access_guard(access), _errors_as_json])
    for route in API_ROUTES:
        handler = attrgetter(route.handler)(control)
        if route.method == "POST":
            app.router.add_post(V1 + route.path, _accept_post(handler, control.tools.recorder))
        else:
            app.router.add_get(V1 + route.path, handler)
    for name in API_PAGE_FILES:
        app.router.add_get(f"/{name}", _file_handler(name))
    if pay_page is not None:
        app.router.add_get(PAY + "{rest:.*}", pay_page)
        app.router.add_post(PAY + "{rest:.*}", _recorded_page(pay_page, control.tools.recorder))
    if not with_page:
        app.router.add_get("/", _lead_to_description)
        return app
    app.router.add_get("/", _file_handler("index.html"))
    for name in PAGE_FILES:
        app.router.add_get(f"/{name}", _file_handler(name))
    return app


@contextlib.asynccontextmanager
async def serve_control_api(
    control: Control,
    listener: socket.socket,
    with_page: bool,
    access: Access | None = None,
    pay_page: Handler | None = None,
) -> AsyncIterator[None]:
    """Answer requests on ``listener`` (already bound) inside ``async with``."""
    app = make_application(control, with_page, access or Access(port=listener.getsockname()[1]), pay_page)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        control.feed.close_feed()
        await runner.cleanup()


def _accept_post(post: Callable[[web.Request], Awaitable[None]], recorder: ScenarioRecorder) -> Handler:
    async def handle_post(request: web.Request) -> web.Response:
        before = recorder.mark_before_call()
        await post(request)
        recorder.note_carried_out_call(request.path.removeprefix(V1), await request.read(), before)
        return web.Response(status=202)

    return handle_post


def _recorded_page(pay_page: Handler, recorder: ScenarioRecorder) -> Handler:
    async def handle_page(request: web.Request) -> web.StreamResponse:
        recorder.note_payment_page(request.path)
        return await pay_page(request)

    return handle_page


async def _lead_to_description(request: web.Request) -> web.Response:
    """Answer a browser at the address that is printed when there is no page."""
    return web.Response(status=302, headers={"Location": f"{V1}/"})


def _file_handler(name: str) -> Handler:
    async def send_page_file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / name)

    return send_page_file


def _access_guard(access: Access) -> Middleware:
    @web.middleware
    async def check_access(request: web.Request, handler: Handler) -> web.StreamResponse:
        if refusal := access.refusal_reason(request):
            return _error_response(403, refusal)
        if access.token and "token" in request.query and request.method == "GET":
            return access.redirect_with_cookie(request)
        response = await handler(request)
        if not response.prepared:
            response.headers.update({k: v for k, v in HEADERS.items() if k not in response.headers})
        return response

    return check_access


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValueError as e:
        return _error_response(400, str(e))
    except Unknown as e:
        return _error_response(404, str(e))
    except (Impossible, NotRunning) as e:
        return _error_response(409, str(e))
    except web.HTTPException as e:
        if e.status < 400:
            raise
        return _error_response(e.status, f"{request.method} {request.path}: {e.reason}")


def _error_response(status: int, error: str) -> web.Response:
    return web.json_response({"error": error}, status=status)
