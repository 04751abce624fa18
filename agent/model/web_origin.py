"""Which web pages may use an HTTP server of ours: the pages that this server has sent itself.

A browser lets every page send requests to every address. It adds the page's ``Origin`` to each POST
and to each WebSocket upgrade, and sends the name that it was given as ``Host``. A page of a foreign
name that was bound to our address (DNS rebinding) has the right Origin, but a Host that can belong
to another site.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def host_name(host: str) -> str:
    """The name in a ``Host`` header, without its port; "" if there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_foreign_origin(origin: str | None, host: str) -> bool:
    """Whether a page of another server has sent this request. A program that is no browser sends no Origin."""
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc != host
    except ValueError:
        return True


def is_local_host(host: str, own_name: str = "") -> bool:
    """Whether no foreign web site can have this ``Host``: an address, a name without a dot, or ``own_name``."""
    name = host_name(host)
    if not name or name == own_name:
        return bool(name)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name
    return True
