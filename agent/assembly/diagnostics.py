"""The content of a diagnostics archive: enough to find a fault, nothing that identifies a driver or opens a door.

``about.json`` who and when, ``station.json`` the station file without its secrets, ``settings.json``, ``picture.json``
what the agent believes, ``store.json`` how full the queue is, ``agent.log`` the last lines, ``wire.jsonl`` the last
OCPP frames with tokens shortened. A security log has ``security.json`` instead.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from agent import __version__
from agent.domain.orders import SendLog
from agent.domain.variables import VARIABLES, Settings, format_value
from agent.model import json_limits
from agent.model.secret_texts import HIDDEN, mask_urls_in_text
from agent.model.types import Token
from agent.ocpp.transport.transport import without_user_info
from agent.services.logs.buffer import LogRing
from agent.station_file.settings import StationFile

SECRET = ("password", "secret", "pin", "puk", "key", "token_file")
_NO_SECRET = ("keypad", "key_code")
TOKENS = frozenset({
    "idTag", "parentIdTag", "idToken", "groupIdToken", "token", "additionalIdToken", "customerIdentifier",
})  # fmt: skip
"""Names of values that identify a driver (OCPP 1.6 and 2.x, and our own picture)."""
SIGNED = ("signedMeterData",)
"""A signed record names the driver too, hidden in base 64. It is not shown."""


def is_secret(name: str) -> bool:
    low = name.lower()
    return any(s in low for s in SECRET) and not any(s in low for s in _NO_SECRET)


def without_secrets(value: Any, name: str = "") -> Any:
    """Return a copy without the values of secret keys and without users and passwords in URLs."""
    if name and is_secret(name) and not isinstance(value, bool | int):
        return HIDDEN
    if isinstance(value, Mapping):
        return {k: without_secrets(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(v, name) for v in value]
    if isinstance(value, str):
        return without_user_info(value)
    return value if isinstance(value, bool | int | float) or value is None else str(value)


def without_tokens(value: Any, name: str = "") -> Any:
    """Return a copy in which every driver's token is shortened and no address contains credentials."""
    if isinstance(value, Mapping):
        signed = ("value",) if value.get("format") == "SignedData" else ()  # 1.6
        return {k: _length_only(v) if k in (*SIGNED, *signed) else without_tokens(v, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [without_tokens(v, name) for v in value]
    if isinstance(value, str) and name == "data":
        return _data_without_tokens(value)
    if isinstance(value, str):
        return Token(value).masked_value() if name in TOKENS else mask_urls_in_text(value)
    return value


def _data_without_tokens(text: str) -> str:
    """Shorten the tokens in the data of a 1.6 DataTransfer.

    The text may be JSON that names a driver (SetUserPrice). Any other text is replaced by its length, because its
    meaning is unknown.
    """
    try:
        inside = json_limits.read_json(text)
        if isinstance(inside, dict | list):
            return json.dumps(without_tokens(inside), ensure_ascii=False)
    except ValueError:
        pass
    return _length_only(text)


def _length_only(value: Any) -> str:
    return f"({len(str(value))} characters of data)" if value else ""


def frame_lines(lines: Iterable[bytes], oldest_utc_s: float | None, latest_utc_s: float | None) -> str:
    """Return the traced frames as JSON lines. Of a frame that is not JSON only the length is written."""
    out = []
    for line in lines:
        body = json.loads(line)
        at = body.get("t")
        if at is not None and not (oldest_utc_s or 0.0) <= at <= (latest_utc_s or float("inf")):
            continue
        try:
            body["frame"] = without_tokens(json_limits.read_json(body["frame"]))
        except ValueError:
            body["frame"] = f"({len(body['frame'])} characters that are no JSON)"
        out.append(json.dumps({k: body[k] for k in ("n", "t", "dir", "link", "version", "frame")}))
    return "".join(f"{line}\n" for line in out)


def settings_of(settings: Settings) -> dict[str, str]:
    return {n: HIDDEN if v.secret and settings[n] else format_value(v, settings[n]) for n, v in VARIABLES.items()}


def station_file(path: Path) -> Any:
    try:
        return without_secrets(tomllib.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as e:
        return {"unreadable": type(e).__name__}


def as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, default=str) + "\n").encode()


class Diagnostics:
    """Collects the parts of the archive.

    ``frames``: the traced frames as the status socket writes them. ``picture``: what the agent believes. ``store``: how
    full its queue is. ``events``: the log of security events, oldest first.
    """

    def __init__(
        self,
        file: StationFile,
        settings: Settings,
        ring: LogRing,
        frames: Callable[[], Iterable[bytes]],
        picture: Callable[[], dict[str, Any]],
        store: Callable[[], dict[str, Any]],
        events: Callable[[], Iterable[Mapping[str, Any]]],
        utc_s: Callable[[], float | None],
    ) -> None:
        self._file, self._settings, self._ring, self._frames = file, settings, ring, frames
        self._picture, self._store, self._events, self._utc_s = picture, store, events, utc_s

    def collect_parts(self, order: SendLog) -> Callable[[], dict[str, bytes]]:
        """Collect what belongs to the event loop. Call it on the loop.

        The function that it returns builds the parts and may run in any thread.
        """
        oldest, latest = order.oldest_utc_s, order.latest_utc_s
        about = {"station": self._file.station.id, "agent": __version__, "made_utc_s": self._utc_s()}
        first = {"about.json": as_json({**about, "oldest_utc_s": oldest, "latest_utc_s": latest})}
        if order.security:
            events = list(self._events())
            return lambda: first | {"security.json": as_json(_within_period(events, oldest, latest))}
        picture, store = without_tokens(without_secrets(self._picture())), self._store()
        settings, traced = settings_of(self._settings), self._frames()
        return lambda: (
            first
            | {
                "station.json": as_json(station_file(self._file.path)),
                "settings.json": as_json(settings),
                "picture.json": as_json(picture),
                "store.json": as_json(store),
                "agent.log": self._ring.text_between(oldest, latest).encode(),
                "wire.jsonl": frame_lines(traced, oldest, latest).encode(),
            }
        )


def _within_period(events: Iterable[Mapping[str, Any]], oldest: float | None, latest: float | None) -> list[Any]:
    low, high = oldest or 0.0, latest if latest is not None else float("inf")
    return [e for e in events if e.get("utc_s") is None or low <= e["utc_s"] <= high]
