"""The station rig with an OCPP 2.0.1 central system behind it (``station_rig.py``)."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.simulated_station import Simulated
from tests.support.station_rig import SPEED, Backend, Street, station_text

CARD, FRIEND, STRANGER = "04AAAAAA", "04BBBBBB", "04CCCCCC"
GROUP = {"status": "Accepted", "groupIdToken": {"idToken": "FAMILY", "type": "Central"}}


def named(path: str) -> dict[str, Any]:
    """``Component.Variable@Instance``; ``EVSE/1.Power``, ``Connector/1/1.Available`` for parts of an EVSE."""
    place, _, variable = path.partition(".")
    component, *numbers = place.split("/")
    name, _, instance = variable.partition("@")
    found: dict[str, Any] = {"component": {"name": component}, "variable": {"name": name}}
    if numbers:
        found["component"]["evse"] = dict(zip(("id", "connectorId"), map(int, numbers), strict=False))
    if instance:
        found["variable"]["instance"] = instance
    return found


class Street201(Street):
    numbers = itertools.count(1000)

    async def get(self, path: str, **more: Any) -> tuple[str, str | None]:
        (result,) = (await self.csms.ask("GetVariables", {"getVariableData": [{**named(path), **more}]}))[
            "getVariableResult"
        ]
        return result["attributeStatus"], result.get("attributeValue")

    async def put(self, path: str, value: str, **more: Any) -> str:
        wanted = {**named(path), "attributeValue": value, **more}
        (result,) = (await self.csms.ask("SetVariables", {"setVariableData": [wanted]}))["setVariableResult"]
        return str(result["attributeStatus"])

    async def report(self, action: str, **more: Any) -> tuple[str, list[dict[str, Any]]]:
        """Status, and all entries of the parts that follow."""
        number = next(self.numbers)
        answer = await self.csms.ask(action, {"requestId": number, **more})
        if answer["status"] != "Accepted":
            return str(answer["status"]), []
        parts = self.csms.reports
        await self.heard(lambda: number in parts and not parts[number][-1].get("tbc", False))
        return "Accepted", [e for part in parts[number] for e in part.get("reportData", [])]

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        return [e for e in self.payloads("TransactionEvent") if kind in ("", e["eventType"])]

    async def event(self, what: Callable[[dict[str, Any]], Any], timeout_s: float = 60.0) -> dict[str, Any]:
        """The first transaction event since the mark that is so."""
        await self.heard(lambda: any(what(e) for e in self.events()), timeout_s)
        return next(e for e in self.events() if what(e))

    async def began(self) -> dict[str, Any]:
        return await self.event(lambda e: e["eventType"] == "Started")

    async def ended(self) -> dict[str, Any]:
        return await self.event(lambda e: e["eventType"] == "Ended")

    async def flows(self) -> dict[str, Any]:
        return await self.event(lambda e: e["transactionInfo"].get("chargingState") == "Charging")

    async def occupy(self, n: int = 1, **more: Any) -> None:
        await self.plug(n, **more)
        await self.status_reported("Occupied", n)

    async def session(self, token: str = CARD, n: int = 1) -> str:
        """Cable first, then the card. Returns the transaction's id once energy flows."""
        await self.occupy(n)
        await self.tap(token, n)
        event = await self.event(
            lambda e: e["evse"]["id"] == n and e["transactionInfo"].get("chargingState") == "Charging"
        )
        return str(event["transactionInfo"]["transactionId"])

    async def remote(self, n: int | None = 1, token: str = "APP", number: int = 77) -> str:
        wanted: dict[str, Any] = {"idToken": {"idToken": token, "type": "Central"}, "remoteStartId": number}
        answer = await self.csms.ask("RequestStartTransaction", {**wanted, **({"evseId": n} if n else {})})
        return str(answer["status"])

    async def rebooted(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """Until the station has booted again since the mark; its BootNotification."""
        await self.heard(lambda: self.payloads("BootNotification"), timeout_s)
        await self.station.until(lambda p: p["agent"]["up"] and p["backend"]["link"] == "up", timeout_s)
        await self.station.healthy()
        return self.payloads("BootNotification")[0]

    async def available(self, operative: bool, n: int = 0, connector: bool = False) -> str:
        wanted: dict[str, Any] = {"operationalStatus": "Operative" if operative else "Inoperative"}
        if n:
            wanted["evse"] = {"id": n, **({"connectorId": 1} if connector else {})}
        return str((await self.csms.ask("ChangeAvailability", wanted))["status"])

    async def list(self, version: int, full: bool = True, **entries: Any) -> str:
        """SendLocalList; ``entries``: token -> idTokenInfo, or None to take it off the list."""
        rows = [
            {"idToken": {"idToken": t, "type": "ISO14443"}, **({"idTokenInfo": info} if info else {})}
            for t, info in entries.items()
        ]
        wanted: dict[str, Any] = {"versionNumber": version, "updateType": "Full" if full else "Differential"}
        wanted |= {"localAuthorizationList": rows} if rows else {}
        return str((await self.csms.ask("SendLocalList", wanted))["status"])

    async def list_version(self) -> int:
        return int((await self.csms.ask("GetLocalListVersion", {}))["versionNumber"])

    async def instant(self, after_s: float = 0.0) -> str:
        """Now, by the station's own clock, which runs ``SPEED`` times as fast as the one on the wall, and so many
        of its seconds later."""
        before, asked = len(self.csms.sent_statuses), {"requestedMessage": "StatusNotification", "evse": {"id": 1}}
        await self.csms.ask("TriggerMessage", asked)
        await self.heard(lambda: len(self.csms.sent_statuses) > before)
        found = datetime.fromisoformat(self.csms.sent_statuses[before]["timestamp"]) + timedelta(seconds=after_s)
        return found.isoformat().replace("+00:00", "Z")

    async def reserve(self, n: int = 1, token: str = CARD, number: int = 7, after_s: float = 7200, **more: Any) -> str:
        """ReserveNow; ``n`` 0: any. ``after_s``: as for ``instant``."""
        wanted: dict[str, Any] = {"id": number, "idToken": {"idToken": token, "type": "ISO14443"}, **more}
        wanted |= {"expiryDateTime": await self.instant(after_s), **({"evseId": n} if n else {})}
        return str((await self.csms.ask("ReserveNow", wanted))["status"])

    async def cancel(self, number: int = 7) -> str:
        return str((await self.csms.ask("CancelReservation", {"reservationId": number}))["status"])

    async def refused(self, token: str, n: int = 1) -> None:
        """A tap, and the refusal that it brings (not one that is still on the screen)."""
        await self.until(lambda e: e["screen"] != "refused", n)
        await self.tap(token, n)
        await self.screen("refused", n)
        assert [e for e in self.events() if e["evse"]["id"] == n and e["eventType"] == "Started"] == []

    async def off_line(self) -> None:
        """The network is gone until ``on_line``."""
        await self.station.post("/links/backend", {"up": False})
        await self.station.until(lambda p: p["backend"]["link"] == "down")

    async def on_line(self) -> None:
        await self.station.post("/links/backend", {"up": True})
        await self.station.until(lambda p: p["backend"]["link"] == "up")
        await self.empty()


@asynccontextmanager
async def street201(
    folder: Path, evses: int = 2, speed: float = SPEED, backend_more: str = "", **more: str
) -> AsyncIterator[Street201]:
    text = station_text(evses, backend=f'versions = ["2.0.1", "1.6"]\n{backend_more}', **more)
    async with Backend(speaks=("2.0.1",)) as csms, Simulated(folder, text, csms.url, speed) as station:
        s = Street201(station, csms)
        await s.booted()
        yield s
