"""Access to the HTTP server of a simulated station: this machine, and with ``--host`` also requests with the token."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from agent.model.web_origin import LOOPBACK, host_name, is_foreign_origin, is_local_host

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
"""Of every answer that has none of its own."""
STATIONS = "/stations/"
PAY = "/pay/"
"""The payment page is open to every telephone that has scanned a code."""
_OF_STATION = rf"{STATIONS}[^/?]+"
_PAY_PAGE = re.compile(rf"({_OF_STATION})?{PAY}")
"""Of a path as it was sent: an encoded slash separates nothing."""
_ANYWHERE = ("0.0.0.0", "")
_DOCUMENTATION = ("192.0.2.1", 9)
"""An unused address (RFC 5737). The kernel names the local address that would reach it; nothing is sent."""


@dataclass(frozen=True, slots=True)
class Access:
    """``host``: the listening address. ``token``: what other machines must send; empty if they are not served."""

    host: str = "127.0.0.1"
    port: int = 0
    token: str = ""

    @classmethod
    def for_host(cls, host: str, port: int, folder: Path) -> Access:
        """Make the access rules. The token is stored, so that the address in a telephone stays valid after a restart.

        Raises ``OSError``.
        """
        if host in LOOPBACK:
            return cls(host, port)
        path = folder / "token"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(9))
        return cls(host, port, path.read_text("ascii").strip())

    @property
    def loopback_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def network_url(self) -> str:
        """Address for other machines on this network, if they are served."""
        return f"http://{_network_address(self.host)}:{self.port}" if self.token else self.loopback_url

    @property
    def network_host_name(self) -> str:
        return _network_address(self.host) if self.token else ""

    def refusal_reason(self, request: web.Request) -> str:
        """Return why this request is refused, or "" if it is allowed.

        Without the check a page of a foreign site could reach the station through the visitor's browser (cross-site
        POST, DNS rebinding).
        """
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        own = host_name(host) in LOOPBACK
        if is_foreign_origin(origin, host) or not (own or (self.token and is_local_host(host, self.host))):
            return f"this station is simulated for this machine only: use {self.loopback_url}"
        if not self.token or _PAY_PAGE.match(request.raw_path) or (own and request.remote in LOOPBACK):
            return ""
        return "" if self._has_token(request) else "open the address with the token that simulate has printed"

    def _has_token(self, request: web.Request) -> bool:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = (
            request.cookies.get(self._cookie_name, ""),
            request.query.get("token", ""),
            bearer if scheme.lower() == "bearer" else "",
        )
        return any(hmac.compare_digest(text.encode(), self.token.encode()) for text in given)

    def redirect_with_cookie(self, request: web.Request) -> web.Response:
        """Redirect to the page with the token in a cookie, so that a copied address does not contain it."""
        sent = request.rel_url.raw_path.lstrip("/\\")  # two of these would begin the address of another machine
        response = web.Response(status=303, headers={"Location": f"/{sent}"})
        response.set_cookie(self._cookie_name, self.token, httponly=True, samesite="Strict", max_age=30 * 86400)
        return response

    @property
    def _cookie_name(self) -> str:
        return f"chargy-{self.port}"


def path_below_station(raw_path: str) -> str:
    """Return a path without the station that it names: ``/stations/CP-2/pay/x`` is ``/pay/x``. ``raw_path``: as it was
    sent, with its query."""
    return re.sub(f"^{_OF_STATION}", "", raw_path)


def _network_address(host: str) -> str:
    if host not in _ANYWHERE:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_DOCUMENTATION)
        except OSError:  # no network at all
            return "127.0.0.1"
        return str(probe.getsockname()[0])
