"""Release as EVerest knows it: a token of ours is provided, and EVerest asks us back whether it is good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

from drivers.evse_everest.decoded_state import OF_THE_VEHICLE
from drivers.evse_everest.mqtt_link import PROVIDER, EverestLink
from drivers.evse_everest.reports import EverestReports


class ReleaseToken:
    """``released`` is the level that is wanted now. ``_token`` stands for it. ``_vehicle_gone``: the vehicle that it
    was given for has gone. ``connector``: how EVerest's authorization numbers this EVSE. ``connected_link`` returns the
    link or raises ``Unreachable``."""

    def __init__(self, connector: int, reports: EverestReports, connected_link: Callable[[], EverestLink]) -> None:
        self.released = False
        self._connector = connector
        self._reports = reports
        self._connected_link = connected_link
        self._token = ""
        self._vehicle_gone = False

    def set_level(self, on: bool) -> None:
        self.released, self._vehicle_gone = on, False

    def discard_token(self) -> None:
        self._token = ""

    def end_for_vehicle(self) -> None:
        """End the release that was given for the vehicle that has left."""
        self._token, self._vehicle_gone = "", True

    @property
    def is_in_effect(self) -> bool | None:
        """Whether release is in effect. None: the vehicle ended its session itself, so it is unknown."""
        session = self._reports.session
        if not self.released:
            return None if session.transaction else False
        if session.transaction:
            return True
        return None if not session.stopped_for or session.stopped_for in OF_THE_VEHICLE else False

    async def provide_token(self) -> None:
        """Provide our token to EVerest. A repeat does no harm: a running transaction is not authorized again. Without
        a vehicle no token is sent: EVerest would keep it for the next one. The token names no driver: who pays is not
        EVerest's affair."""
        session = self._reports.session
        if session.transaction or not self.released or self._vehicle_gone or not session.plugged:
            return
        self._reports.session = replace(session, stopped_for="")
        token = self._token = self._token or uuid4().hex[:20]
        await self._connected_link().publish_variable(PROVIDER, "provided_token", {
            "id_token": {"value": token, "type": "Central"},
            "authorization_type": "OCPP",
            "connectors": [self._connector],
        })  # fmt: skip

    async def answer_questions(self, paused: bool) -> None:
        """Accept only the token of our release, and only while release is wanted. Any other token (a vehicle's own
        identity, a reader of EVerest's) has not been judged by any backend."""
        while self._reports.questions:
            topic, value = self._reports.questions.pop(0)
            good = self.released and not paused and bool(self._token) and value == self._token
            status = "Accepted" if good else "Invalid"
            await self._connected_link().send_answer(topic, {"authorization_status": status, "tariff_messages": []})
