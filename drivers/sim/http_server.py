"""The HTTP server of a simulated station: control API and page."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from aiohttp import web
from aiohttp.typedefs import Middleware

from drivers.sim.control import HEADERS, Control
from drivers.sim.http_access import PAY, Access
from drivers.sim.supervisor import NotRunning
from drivers.sim.world import Impossible, Unknown

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGE = Path(__file__).parent / "page"
V1 = "/api/v1"


def application(control: Control, with_page: bool, access: Access, pay_page: Handler | None) -> web.Application:
    """``with_page`` False: the API alone. ``pay_page`` answers what is below ``/pay/``."""
    app = web.Application(middlewares=[_guarded(access), _errors])
    gets: dict[str, Handler] = {
        "/health": control.health,
        "/station": control.get_station,
        "/display/{n}.png": control.get_display,
        "/trace": control.get_trace,
        "/events": control.get_events,
    }
    posts: dict[str, Callable[[web.Request], Awaitable[None]]] = {
        "/evses/{n}/plug": control.plug,
        "/evses/{n}/unplug": control.unplug,
        "/evses/{n}/ev": control.ev,
        "/evses/{n}/fault": control.fault,
        "/evses/{n}/clear": control.clear,
        "/evses/{n}/meter": control.meter,
        "/evses/{n}/bay": control.bay,
        "/cards/tap": control.tap,
        "/terminal/card": control.bank_card,
        "/terminal": control.terminal,
        "/modem": control.no_modem,
        "/clock": control.clock,
        "/buttons/{name}": control.press,
        "/links/{name}": control.link,
        "/limits": control.limits,
        "/power": control.power,
        "/agent": control.act,
        "/time": control.time,
    }
    for path, get in gets.items():
        app.router.add_get(V1 + path, get)
    for path, post in posts.items():
        app.router.add_post(V1 + path, _accepted(post))
    if pay_page is not None:
        app.router.add_get(PAY + "{rest:.*}", pay_page)
        app.router.add_post(PAY + "{rest:.*}", pay_page)
    if with_page:
        app.router.add_get("/", _file("index.html"))
        for name in ("app.js", "style.css", "icon.svg"):
            app.router.add_get(f"/{name}", _file(name))
    return app


@contextlib.asynccontextmanager
async def served(
    control: Control,
    listener: socket.socket,
    with_page: bool,
    access: Access | None = None,
    pay_page: Handler | None = None,
) -> AsyncIterator[None]:
    """Answers on ``listener`` (already bound) until left."""
    app = application(control, with_page, access or Access(port=listener.getsockname()[1]), pay_page)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        control.closing = True
        control.feed.changed()
        await runner.cleanup()


def _accepted(post: Callable[[web.Request], Awaitable[None]]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        await post(request)
        return web.Response(status=202)

    return handle


def _file(name: str) -> Handler:
    async def handle(request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / name)

    return handle


def _guarded(access: Access) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if refusal := access.refusal(request):
            return _wrong(403, refusal)
        if access.token and "token" in request.query and request.method == "GET":
            return access.admitted(request)
        response = await handler(request)
        if not response.prepared:
            response.headers.update({k: v for k, v in HEADERS.items() if k not in response.headers})
        return response

    return guard


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValueError as e:
        return _wrong(400, str(e))
    except Unknown as e:
        return _wrong(404, str(e))
    except (Impossible, NotRunning) as e:
        return _wrong(409, str(e))
    except web.HTTPException as e:
        if e.status < 400:
            raise
        return _wrong(e.status, f"{request.method} {request.path}: {e.reason}")


def _wrong(status: int, error: str) -> web.Response:
    return web.json_response({"error": error}, status=status)
