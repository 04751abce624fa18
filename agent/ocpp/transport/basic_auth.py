"""HTTP Basic of OCPP security profiles 1 and 2."""

from __future__ import annotations

import base64

from agent.station_file.settings import Backend


def basic_auth(user: str, password: bytes) -> str:
    """Return the Authorization header of security profiles 1 and 2: the user is the charge
    point's id, the password may be any bytes (whitepaper 2.2)."""
    return "Basic " + base64.b64encode(user.encode() + b":" + password).decode("ascii")


def authorization_header(backend: Backend, password: bytes | None) -> dict[str, str]:
    """Return the header that the security profile asks for; none in the profiles without a password."""
    if password is None or backend.security_profile not in (1, 2):
        return {}
    return {"Authorization": basic_auth(backend.charge_point_id, password)}
