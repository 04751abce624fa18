"""How the own port for requests over SOAP is secured: TLS with the certificate of the station, the certificate that a
caller has to show, and the password of HTTP Basic. The station file decides about each."""

from __future__ import annotations

import base64
import hmac
import ssl

from agent.model import secret_file
from agent.model.fastclass import frozen
from agent.ocpp.transport.tls import CIPHERS, SECURITY_LEVEL
from agent.station_file.settings import Backend


@frozen
class PortSecurity:
    """``context`` None: the port speaks no TLS. ``login``: user, colon and password as HTTP Basic has them; b"": no
    password is needed."""

    context: ssl.SSLContext | None = None
    login: bytes = b""

    def admits_login(self, authorization: str) -> bool:
        """Return whether a request with this Authorization header is admitted (RFC 7617)."""
        if not self.login:
            return True
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except ValueError:
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, self.login)


OPEN_PORT = PortSecurity()


def secure_port(backend: Backend) -> PortSecurity:
    """Return how the own port of a backend is secured. Raises ``OSError`` (``ssl.SSLError`` is one) and ``ValueError``,
    whose text names the keys of the station file."""
    return PortSecurity(make_port_context(backend) if backend.soap_tls else None, _read_login(backend))


def make_port_context(backend: Backend) -> ssl.SSLContext:
    """Return the context of the own port: TLS 1.2 or newer, with the suites of OCPP. Raises ``OSError``."""
    if backend.client_cert is None:
        raise ValueError("soap_tls: the station has no certificate: give client_cert and client_key")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(f"{CIPHERS}:{SECURITY_LEVEL}")
    made.load_cert_chain(str(backend.client_cert), str(backend.client_key or backend.client_cert))
    if backend.soap_client_ca is not None:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(cafile=str(backend.soap_client_ca))
    return made


def _read_login(backend: Backend) -> bytes:
    password = backend.soap_password
    if backend.soap_password_file is not None:
        try:
            password = secret_file.read_secret_text(backend.soap_password_file, is_private=False)
        except secret_file.Unfit as e:
            raise ValueError(f"soap_password_file: cannot be read ({e})") from e
        if not password:
            raise ValueError("soap_password_file: is empty")
    return f"{backend.soap_user or backend.charge_point_id}:{password}".encode() if password else b""
