"""The public control API of a simulated station (docs/control-api.md), as a scenario uses it."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from agent.scenario.target import CannotCarryOut, NotApplicable

HTTP_S = 30.0
RETRY_S = 0.1
CONFLICT, ABSENT, FORBIDDEN, GONE = 409, 404, 403, 410


class Refused(Exception):
    """The control API has refused a call. ``status``: of HTTP."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class ControlClient:
    """Calls of one simulated station."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") + "/api/v1"

    async def post_call(self, path: str, body: Mapping[str, Any]) -> None:
        """Send a call. Raises ``Refused``, ``CannotCarryOut``."""
        await asyncio.to_thread(self._request_control_api, path, json.dumps(body).encode())

    async def station_picture(self) -> dict[str, Any]:
        """Return the whole picture. Raises ``Refused``, ``CannotCarryOut``."""
        return dict(json.loads(await asyncio.to_thread(self._request_control_api, "/station", None)))

    async def frames_since(self, seq: int) -> list[dict[str, Any]]:
        """Return the frames of the agent after ``seq``."""
        text = await asyncio.to_thread(self._request_control_api, f"/trace?since={seq}", None)
        return [json.loads(line) for line in text.splitlines()]

    async def display_picture(self, evse: int) -> bytes:
        """Return what the display of an outlet shows, as PNG. Raises ``Refused``, ``CannotCarryOut``."""
        return await asyncio.to_thread(self._request_control_api, f"/display/{evse}.png", None)

    async def is_healthy(self) -> bool:
        try:
            await asyncio.to_thread(self._request_control_api, "/health", None)
        except (Refused, CannotCarryOut):
            return False
        return True

    def _request_control_api(self, path: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(self._url + path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=HTTP_S) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as e:
            raise Refused(e.code, _error_in_answer(e.read(1000))) from None
        except OSError as e:
            raise CannotCarryOut(f"the simulated station does not answer: {e}") from None


class SimulatedHands:
    """Does the deeds of a scenario by the control API."""

    def __init__(self, client: ControlClient) -> None:
        self._client = client

    async def perform_deed(self, kind: str, values: Mapping[str, Any], patience_s: float) -> str:
        if kind == "scan":
            return await self._scan_and_pay(values["scan"], patience_s)
        if kind == "pay":
            await self._wait_for_terminal(values["pay"], patience_s)
        for path, body in CALLS[kind](values):
            await self._post_patiently(path, body, patience_s)
        return "done by the control API"

    async def _post_patiently(self, path: str, body: Mapping[str, Any], patience_s: float) -> None:
        """Send a call. Where it is impossible as things stand (a locked plug), try again."""
        end_s = time.monotonic() + patience_s
        nothing_there = False
        while True:
            try:
                return await self._client.post_call(path, body)
            except Refused as e:
                waits = e.status == CONFLICT and path.endswith("/unplug") and not nothing_there
                if not waits or time.monotonic() > end_s:
                    raise CannotCarryOut(f"{path}: {e}") from None
            nothing_there = await self._has_nothing_to_pull(path)
            await asyncio.sleep(RETRY_S)

    async def _has_nothing_to_pull(self, path: str) -> bool:
        """Return whether an outlet has neither a vehicle nor a lock that may open: the cable is out already."""
        number = int(path.split("/")[2])
        evse = _evse_in_picture(await self._client.station_picture(), number)
        return not evse["car"] and not evse["locked"]

    async def _wait_for_terminal(self, evse: int, patience_s: float) -> None:
        """Wait until a terminal asks for a card."""

        def asks_for_card(picture: Mapping[str, Any]) -> bool:
            return any(t["evse"] in (0, evse) and t["state"] == "wait_card" for t in picture.get("terminals", ()))

        if not await self._wait_for_picture(asks_for_card, patience_s):
            raise CannotCarryOut("no payment terminal asks for a card")

    async def _wait_for_picture(self, judge: Callable[[Mapping[str, Any]], Any], patience_s: float) -> Any:
        end_s = time.monotonic() + patience_s
        while True:
            found = judge(await self._client.station_picture())
            if found or time.monotonic() > end_s:
                return found
            await asyncio.sleep(RETRY_S)

    async def _scan_and_pay(self, evse: int, patience_s: float) -> str:
        """Open the page to which the QR code on the display leads, choose the outlet, and pay.

        A code that is no longer valid, or not yet, is scanned again, as its page asks for.
        """
        end_s = time.monotonic() + patience_s
        while True:
            url = await self._wait_for_picture(lambda p: _evse_in_picture(p, evse).get("code"), patience_s)
            if not url:
                raise NotApplicable(f"outlet {evse} shows no QR code")
            try:
                return await self._pay_at_page(url)
            except CannotCarryOut as e:
                cause = e.__cause__
                if getattr(cause, "code", 0) not in (FORBIDDEN, GONE) or time.monotonic() > end_s:
                    raise
            await asyncio.sleep(RETRY_S)

    async def _pay_at_page(self, url: str) -> str:
        """Pay at the page of a code. Raises ``CannotCarryOut``."""
        try:
            page = await asyncio.to_thread(_fetch_payment_page, url, None)
            kept = await asyncio.to_thread(_fetch_payment_page, _address_of_first_form(url, page, ""), b"")
            await asyncio.to_thread(_fetch_payment_page, _address_of_first_form(url, kept, "do/"), b"")
        except (OSError, LookupError) as e:
            raise CannotCarryOut(f"the payment page does not work: {e}") from e
        return "paid at the page of the QR code"


class SimulatedEyes:
    """Looks at the picture of the simulated station."""

    def __init__(self, client: ControlClient) -> None:
        self._client = client

    async def screen_name(self, evse: int, expected: tuple[str, ...]) -> str:
        return str(_evse_in_picture(await self._client.station_picture(), evse).get("screen"))

    async def measured_value(self, quantity: str, evse: int) -> float | None:
        found = _evse_in_picture(await self._client.station_picture(), evse)
        if quantity == "current_a":
            return float(max(found["current_a"]))
        value = found.get(PICTURE_KEYS[quantity])
        return None if value is None else float(value)


PICTURE_KEYS = {"power_w": "power_w", "meter_wh": "meter_wh", "limit_a": "limit_a", "soc_percent": "soc"}


def _evse_in_picture(picture: Mapping[str, Any], evse: int) -> dict[str, Any]:
    found = next((e for e in picture["evses"] if e["number"] == evse), None)
    if found is None:
        raise CannotCarryOut(f"the station has no outlet {evse}")
    return dict(found)


def _plug_calls(values: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    body = {"ready": values.get("ready", True), "car": values.get("car")}
    return [(f"/evses/{values['plug']}/plug", body)]


def _unplug_calls(values: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    side = "ev" if values.get("side") == "vehicle" else "station"
    return [(f"/evses/{values['unplug']}/unplug", {"side": side})]


def _vehicle_calls(values: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    body = {key: values[key] for key in ("ready", "max_a") if key in values}
    return [(f"/evses/{values['vehicle']}/ev", body)]


def _bank_card_calls(values: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    body = {"behaviour": values.get("behaviour", "approve"), "pan_last4": values.get("last4", "1234")}
    return [("/terminal/card", {**body, "evse": values["pay"]})]


def _link_calls(values: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    more = {key: values[key] for key in ("latency_ms", "kbit_s", "loss") if key in values}
    state = values["link"]
    return [("/links/backend", {"up": state != "down", "stall": state == "stalled", **more})]


def _fault_calls(values: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    body = {"fault": values["fault"], "active": values.get("active", True)}
    return [(f"/evses/{values.get('evse', 1)}/fault", body)]


CALLS: Mapping[str, Callable[[Mapping[str, Any]], list[tuple[str, dict[str, Any]]]]] = {
    "plug": _plug_calls,
    "unplug": _unplug_calls,
    "vehicle": _vehicle_calls,
    "tap": lambda v: [("/cards/tap", {"token": v["tap"], "evse": v.get("evse", 1)})],
    "pay": _bank_card_calls,
    "press": lambda v: [(f"/buttons/{v['press']}", {})],
    "fault": _fault_calls,
    "clear": lambda v: [(f"/evses/{v['clear']}/clear", {})],
    "link": _link_calls,
    "mains": lambda v: [("/power", {"mains": v["mains"] == "on"})],
    "power_cut": lambda v: [("/agent", {"action": "kill"})],
}
"""By kind of step: path and body of the calls."""


def _fetch_payment_page(url: str, body: bytes | None) -> str:
    with urllib.request.urlopen(url, body, timeout=HTTP_S) as answer:
        return str(answer.read().decode("utf-8", "replace"))


def _address_of_first_form(url: str, page: str, below: str) -> str:
    """Return the address of the first form of a payment page that leads below a path."""
    found = re.search(rf'<form method=post action="(/pay/{below}[^"]+)"', page)
    if found is None:
        raise LookupError("it offers no button that was expected")
    return url.split("/pay/")[0] + found[1]


def _error_in_answer(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return body.decode("utf-8", "replace")[:200]
