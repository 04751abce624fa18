"""Addresses of files: URLs whose user and password are never shown."""

from __future__ import annotations

import hashlib
from urllib.parse import quote, unquote, urlsplit

from agent.model.fastclass import frozen
from agent.services.files.transfer.progress import TransferFailed

PORTS = {"ftp": 21, "ftps": 21, "http": 80, "https": 443, "sftp": 22}


@frozen
class Address:
    """The parts of a URL that names a file."""

    scheme: str
    host: str
    port: int
    path: str
    """As it stands in the URL: percent-encoded, with its leading slash."""
    query: str = ""
    secret: tuple[str, str] | None = None
    """User and password, decoded. None: the URL names no user."""

    def __repr__(self) -> str:
        return self.shown_url

    @property
    def shown_url(self) -> str:
        """The URL for logs: without user, password and query, because a query may contain a signature."""
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"

    @property
    def request_target(self) -> str:
        """The target in the request line of HTTP."""
        return self.path + (f"?{self.query}" if self.query else "")

    @property
    def file_path(self) -> str:
        """The path, decoded."""
        return unquote(self.path)

    @property
    def address_digest(self) -> str:
        """A digest that is equal for equal addresses and does not reveal them."""
        return hashlib.sha256(repr((self.shown_url, self.query)).encode()).hexdigest()

    def with_name(self, name: str) -> Address:
        last = self.path.rpartition("/")[2]
        if self.query or "." in last:
            return self
        path = f"{self.path.rstrip('/')}/{quote(name)}"
        return Address(self.scheme, self.host, self.port, path, self.query, self.secret)


def parse_address(location: str) -> Address:
    """Return the address. Raise ``TransferFailed`` (BadMessage) if no file can have this URL."""
    try:
        url = urlsplit(location.strip())
        scheme, host, port = url.scheme.lower(), url.hostname, url.port
        user, password = unquote(url.username or ""), unquote(url.password or "")
    except ValueError as e:
        raise TransferFailed("BadMessage", "the location is no URL") from e
    controls = any(ord(c) < 32 or ord(c) == 127 for c in unquote(url.path))
    if scheme not in PORTS or not host or controls or any(ord(c) < 33 for c in url.path + url.query + user + password):
        raise TransferFailed("BadMessage", "the location is no URL of a file server")
    secret = (user, password) if url.username is not None else None
    path = quote(url.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return Address(scheme, host, port or PORTS[scheme], path, url.query, secret)
