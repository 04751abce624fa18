"""What a quirk does to a dialect: a neighbour with other rows, other words, or other ears. Each takes the dialect and
the choice, and gives the dialect that speaks so."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from agent.domain.messages import SecurityHappened, StatusChanged
from agent.domain.requests import AskStart
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import Desk, Dialect, In, Mute, Payload, Told
from agent.ocpp.dialects.wrapping import Said, hearing, saying

# --- what is heard --------------------------------------------------------------------------------------------------


def nulls_absent(dialect: Dialect, choice: object) -> Dialect:
    return hearing(dialect, lambda action, is_answer, payload: _without_nulls(payload))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


def unknown_fields_ignored(dialect: Dialect, choice: object) -> Dialect:
    return replace(dialect, tolerates_unknown=True)


def start_without_verdict(dialect: Dialect, choice: object) -> Dialect:
    def change(action: str, is_answer: bool, payload: Payload) -> Payload:
        if action != "StartTransaction" or not is_answer or "idTagInfo" in payload:
            return payload
        return {**payload, "idTagInfo": {"status": "Accepted"}}

    return hearing(dialect, change)


def connector_0_is_any(dialect: Dialect, choice: object) -> Dialect:
    def change(action: str, is_answer: bool, payload: Payload) -> Payload:
        if action != "RemoteStartTransaction" or is_answer or payload.get("connectorId") != 0:
            return payload
        return {k: v for k, v in payload.items() if k != "connectorId"}

    return hearing(dialect, change)


def remote_start_asks(dialect: Dialect, choice: object) -> Dialect:
    rows = (dialect.incoming(action) for action in ("RemoteStartTransaction", "RequestStartTransaction"))
    asking = (replace(row, decode=_asking(row, choice == "always")) for row in rows if isinstance(row, In))
    return dialect.plus(*asking)


def _asking(row: In, asks: bool) -> Callable[[Payload, Desk], Any]:
    def decode(payload: Payload, desk: Desk) -> Any:
        ask = row.decode(payload, desk)
        return replace(ask, asks=asks) if isinstance(ask, AskStart) else ask

    return decode


# --- what is said ---------------------------------------------------------------------------------------------------


def id_tag_case(dialect: Dialect, choice: object) -> Dialect:
    spelt = str.upper if choice == "upper" else str.lower

    def change(action: str, payload: Said) -> Said:
        if isinstance(payload.get("idTag"), str):
            return {**payload, "idTag": spelt(payload["idTag"])}
        token = payload.get("idToken")
        if isinstance(token, dict) and isinstance(token.get("idToken"), str):
            return {**payload, "idToken": {**token, "idToken": spelt(token["idToken"])}}
        return payload

    return saying(dialect, change)


def suspended_as_charging(dialect: Dialect, choice: object) -> Dialect:
    return _wording(dialect, {"SuspendedEV": "Charging", "SuspendedEVSE": "Charging"})


def finishing_as_preparing(dialect: Dialect, choice: object) -> Dialect:
    return _wording(dialect, {"Finishing": "Preparing"})


def _wording(dialect: Dialect, words: Mapping[str, str]) -> Dialect:
    """The status that is told, and with which others it is compared."""
    before = dialect.project

    def project(message: StatusChanged) -> Told:
        told = before(message)
        return replace(told, status=words.get(told.status, told.status))

    def change(action: str, payload: Said) -> Said:
        if action != "StatusNotification":
            return payload
        return {**payload, "status": words.get(payload["status"], payload["status"])}

    return replace(saying(dialect, change), project=project)


def security_events_kept(dialect: Dialect, choice: object) -> Dialect:
    return dialect.plus(Mute(SecurityHappened, "a quirk: this backend has no security extension"))


_FRACTION = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z")


def whole_seconds(dialect: Dialect, choice: object) -> Dialect:
    return saying(dialect, lambda action, payload: dict(_whole(payload)))


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return _FRACTION.sub(r"\1Z", value)
    if isinstance(value, dict):
        return {k: _whole(v) for k, v in value.items()}
    return [_whole(v) for v in value] if isinstance(value, list) else value


def without_transaction_data(dialect: Dialect, choice: object) -> Dialect:
    def change(action: str, payload: Said) -> Said:
        return {k: v for k, v in payload.items() if action != "StopTransaction" or k != "transactionData"}

    return saying(dialect, change)


def heartbeat_always(dialect: Dialect, choice: object) -> Dialect:
    return replace(dialect, beats_always=True)
