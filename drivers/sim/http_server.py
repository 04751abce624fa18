"""The HTTP server of simulated stations: control API and page, below a path of each station. Those of the first one are
at the root too."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from operator import attrgetter
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from drivers.sim.api_routes import API_ROUTES, V1, ApiRoute
from drivers.sim.checked_values import Impossible, Unknown
from drivers.sim.hosted_stations import NAME_IN_PATH, HostedStations, PageHandler
from drivers.sim.http_access import HEADERS, PAY, STATIONS, Access
from drivers.sim.supervisor import NotRunning

PAGE = Path(__file__).parent / "page"
API_PAGE_FILES = ("api.css", "api.js", "icon.svg")
"""What the description of the API needs, which is there without the page too."""
PAGE_FILES = (
    "app.js", "composer.css", "composer.js", "conversation.js", "plots.js", "stations.css", "stations.js", "style.css",
    "texts.js", "texts.json",
)  # fmt: skip
"""What the page needs besides."""
BASES = ("", f"{STATIONS}{{{NAME_IN_PATH}}}")
"""What stands before the paths of a station."""


def make_application(stations: HostedStations, with_page: bool, access: Access) -> web.Application:
    """Make the web application. ``with_page`` False: the API alone."""
    app = web.Application(middlewares=[_access_guard(access), _errors_as_json])
    for name in API_PAGE_FILES:
        app.router.add_get(f"/{name}", _file_handler(name))
    for base in BASES:
        for route in API_ROUTES:
            handler = _api_handler(route, stations)
            if route.method == "POST":
                app.router.add_post(base + V1 + route.path, handler)
            else:
                app.router.add_get(base + V1 + route.path, handler)
        app.router.add_get(base + PAY + "{rest:.*}", _pay_page_handler(stations))
        app.router.add_post(base + PAY + "{rest:.*}", _pay_page_handler(stations))
        app.router.add_get(f"{base}/", _index_handler(stations, with_page))
        if with_page:
            for name in PAGE_FILES:
                app.router.add_get(f"{base}/{name}", _file_handler(name))
    app.router.add_get(BASES[1], _lead_into_station(stations))
    return app


@contextlib.asynccontextmanager
async def serve_control_api(
    stations: HostedStations, listener: socket.socket, with_page: bool, access: Access | None = None
) -> AsyncIterator[None]:
    """Answer requests on ``listener`` (already bound) inside ``async with``."""
    app = make_application(stations, with_page, access or Access(port=listener.getsockname()[1]))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        stations.close_feeds()
        await runner.cleanup()


def _api_handler(route: ApiRoute, stations: HostedStations) -> PageHandler:
    find_handler = attrgetter(route.handler)
    if route.is_about_all:
        return find_handler(stations)  # type: ignore[no-any-return]

    async def handle_get(request: web.Request) -> web.StreamResponse:
        answer: web.StreamResponse = await find_handler(stations.find_control(request))(request)
        return answer

    async def handle_post(request: web.Request) -> web.Response:
        control = stations.find_control(request)
        recorder = control.tools.recorder
        before = recorder.mark_before_call()
        await find_handler(control)(request)
        path = request.path.removeprefix(_station_base(request)).removeprefix(V1)
        recorder.note_carried_out_call(path, await request.read(), before)
        return web.Response(status=202)

    return handle_post if route.method == "POST" else handle_get


def _pay_page_handler(stations: HostedStations) -> PageHandler:
    async def handle_pay_page(request: web.Request) -> web.StreamResponse:
        control, pay_page = stations.find_control(request), stations.find_station(request).pay_page
        if pay_page is None:
            raise Unknown("the payment page is that of the built-in central system, and the backend is another one")
        if request.method == "POST":
            control.tools.recorder.note_payment_page(request.path.removeprefix(_station_base(request)))
        return await pay_page(request)

    return handle_pay_page


def _station_base(request: web.Request) -> str:
    """Return what stands before the path of a call, decoded; "": no station is named."""
    name = request.match_info.get(NAME_IN_PATH)
    return "" if name is None else f"{STATIONS}{name}"


def _index_handler(stations: HostedStations, with_page: bool) -> PageHandler:
    """Without the page, the address that is printed leads a browser to the description of the API."""

    async def send_index(request: web.Request) -> web.StreamResponse:
        station = stations.find_station(request)
        if with_page:
            return web.FileResponse(PAGE / "index.html")
        base = station.path if NAME_IN_PATH in request.match_info else ""
        return web.Response(status=302, headers={"Location": f"{base}{V1}/"})

    return send_index


def _lead_into_station(stations: HostedStations) -> PageHandler:
    """The page finds its parts by relative addresses: the address of a station ends with a slash."""

    async def lead_into_station(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{stations.find_station(request).path}/"})

    return lead_into_station


def _file_handler(name: str) -> PageHandler:
    async def send_page_file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / name)

    return send_page_file


def _access_guard(access: Access) -> Middleware:
    @web.middleware
    async def check_access(request: web.Request, handler: PageHandler) -> web.StreamResponse:
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
async def _errors_as_json(request: web.Request, handler: PageHandler) -> web.StreamResponse:
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
