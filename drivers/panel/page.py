"""A screen put into words: what is said, in which tone, with which icon. Pure, without pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.kinds import Screen, ScreenName
from drivers.panel.price import cost_figure, price_line, receipt
from drivers.panel.texts import Texts, duration, wall_time


class Tone(StrEnum):
    """Colour of the state, to be told apart from across the street."""

    FREE = "free"
    ACTIVE = "active"
    WAIT = "wait"
    STOP = "stop"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Figure:
    label: str
    value: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """``title`` large in the tone's colour, then ``figures`` (the first one largest) or ``lines``, ``hint`` below."""

    tone: Tone
    icon: str
    title: str
    lines: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    hint: str = ""
    price: str = ""
    qr: str = ""
    qr_caption: str = ""
    battery: float | None = None
    outlet: str = ""
    clock: str = ""
    online: bool = True
    station_label: str = ""
    number: str = ""
    hotline: str = ""


_LOOK: dict[ScreenName, tuple[Tone, str]] = {
    ScreenName.STARTING: (Tone.QUIET, "hourglass"),
    ScreenName.IDLE: (Tone.FREE, "card"),
    ScreenName.CHECKING: (Tone.ACTIVE, "hourglass"),
    ScreenName.PLUG_IN: (Tone.WAIT, "plug"),
    ScreenName.REFUSED: (Tone.STOP, "cross"),
    ScreenName.PREPARING: (Tone.ACTIVE, "hourglass"),
    ScreenName.CHARGING: (Tone.ACTIVE, "bolt"),
    ScreenName.PAUSED: (Tone.WAIT, "pause"),
    ScreenName.FINISHED: (Tone.FREE, "check"),
    ScreenName.OUT_OF_SERVICE: (Tone.STOP, "warning"),
    ScreenName.RESERVED: (Tone.WAIT, "lock"),
    ScreenName.OFFLINE: (Tone.QUIET, "cloud"),
}


def page(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> Page:
    """``facts``: of the station file, for what the screen does not bring itself."""
    v = screen.values
    tone, icon = _LOOK[screen.name]
    if screen.name is ScreenName.FINISHED and screen.detail in ("fault", "power_loss", "timeout"):
        tone, icon = Tone.WAIT, "warning"
    if screen.name is ScreenName.IDLE and v.get("free"):
        icon = "plug"
    evses = _number(v.get("evses"))
    said = _SAY[screen.name](screen, texts, facts)
    common = {
        "outlet": texts("labels.outlet", evse=v.get("evse")) if evses and evses > 1 and v.get("evse") else "",
        "clock": _clock(_number(v.get("time_utc_s")), v.get("utc_offset_min"), str(facts.get("timezone") or "")),
        "online": v.get("online") is not False,
        "station_label": texts("labels.station"),
        "number": str(v.get("number") or facts.get("number") or ""),
        "hotline": str(v.get("hotline") or facts.get("hotline") or ""),
    }
    return Page(**{"tone": tone, "icon": icon, "title": texts(f"{screen.name}.title"), **common, **said})


_Said = dict[str, Any]


def _idle(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    price = str(screen.values.get("price_line") or "")
    if screen.values.get("free"):
        return {"title": texts("idle.title_free"), "lines": (texts("idle.line_free"),), "price": price}
    return {"price": price, "qr": str(screen.values.get("qr_url") or ""), "qr_caption": texts("labels.scan")}


def _checking(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    tail = str(screen.values.get("token_tail") or "")
    return {"lines": _lines(texts("checking.line"), texts("checking.card", tail=tail) if tail else "")}


def _plug_in(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    remaining_s = _number(screen.values.get("remaining_s"))
    left = texts("plug_in.remaining", time=_countdown(remaining_s)) if remaining_s is not None else ""
    price = str(screen.values.get("price_line") or "")
    lines = _lines(texts(_tethered(facts, "plug_in.line"), "plug_in.line"), left)
    return {"lines": (" ".join(lines),) if price else lines, "price": price}


def _refused(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    return {
        "title": texts(f"refused.{screen.detail}.title", "refused.title"),
        "lines": _lines(texts(f"refused.{screen.detail}.line", "refused.line")),
        **({"icon": "plug"} if screen.detail == "choose_outlet" else {}),
    }


def _preparing(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    return {**_plain(screen, texts, facts), "price": str(screen.values.get("price_line") or "")}


def _plain(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    return {"lines": _lines(texts(f"{screen.name}.line"))}


def _charging(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    hint = texts("charging.stop") if screen.values.get("stop_hint") else ""
    return _beside(_session(screen, texts, live=True), price_line(screen, texts, facts), hint)


def _paused(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    hint = texts(f"paused.{screen.detail}", "paused.line")
    return _beside(_session(screen, texts, live=False), price_line(screen, texts, facts), hint)


def _beside(said: _Said, line: str, hint: str) -> _Said:
    """A line more below leaves room for two small figures; the battery still has its bar."""
    figures = said["figures"]
    return {**said, "figures": figures[:3] if line else figures, "lines": _lines(line), "hint": hint}


def _finished(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    said = texts(f"finished.{screen.detail}", "finished.line")
    unplug = "" if screen.detail in ("unplug", "timeout") else texts(_tethered(facts, "labels.unplug"), "labels.unplug")
    figures, bill = _session(screen, texts, live=False)["figures"], receipt(screen, texts)
    if not figures:
        return {"lines": _lines(said, unplug)}
    if bill.get("qr"):  # the amount, and what it is for; the receipt says the rest
        return {"figures": (figures[1], figures[0]), "hint": unplug or said, **bill, "lines": ()}
    line = said if unplug and _bad(screen) else bill["line"]
    return {"figures": figures, "hint": unplug or said, "lines": _lines(line)}


def _bad(screen: Screen) -> bool:
    return screen.detail in ("fault", "remote", "power_loss")


def _out_of_service(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    plain = screen.detail.removeprefix("MREC").lstrip("0123456789")
    why = texts(f"out_of_service.details.{screen.detail}", f"out_of_service.details.{plain}")
    return {"lines": _lines(why or texts("out_of_service.line"))}


_SAY = {
    ScreenName.STARTING: _plain,
    ScreenName.IDLE: _idle,
    ScreenName.CHECKING: _checking,
    ScreenName.PLUG_IN: _plug_in,
    ScreenName.REFUSED: _refused,
    ScreenName.PREPARING: _preparing,
    ScreenName.CHARGING: _charging,
    ScreenName.PAUSED: _paused,
    ScreenName.FINISHED: _finished,
    ScreenName.OUT_OF_SERVICE: _out_of_service,
    ScreenName.RESERVED: _plain,
    ScreenName.OFFLINE: _plain,
}


def _session(screen: Screen, texts: Texts, live: bool) -> _Said:
    """The figures of a session; power and limit only while it runs. Beside a cost there is room for the time alone."""
    v = screen.values
    energy_wh, power_w = _number(v.get("energy_wh")), _number(v.get("power_w"))
    since_s, limit_a, soc = _number(v.get("since_s")), _number(v.get("limit_a")), _number(v.get("soc_percent"))
    figures = []
    if energy_wh is not None:
        figures.append(Figure(texts("labels.energy"), texts.energy(energy_wh), "kWh"))
    if priced := cost_figure(screen, texts):
        figures.append(Figure(*priced))
    if live and power_w is not None and not priced:
        figures.append(Figure(texts("labels.power"), texts.power(power_w), "kW"))
    if since_s is not None:
        figures.append(Figure(texts("labels.duration"), duration(since_s)))
    if soc is not None and not priced:
        figures.append(Figure(texts("labels.battery"), f"{round(soc)}", "%"))
    elif live and limit_a is not None and not priced:
        figures.append(Figure(texts("labels.limit"), f"{round(limit_a)}", "A"))
    return {"figures": tuple(figures), "battery": soc}


def _tethered(facts: Mapping[str, Any], key: str) -> str:
    return f"{key}_tethered" if facts.get("outlet") == "tethered" else key


def _lines(*lines: str) -> tuple[str, ...]:
    return tuple(line for line in lines if line)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _countdown(seconds: float) -> str:
    minutes, s = divmod(max(0, int(seconds)), 60)
    return f"{minutes}:{s:02}"


def _clock(utc_s: float | None, offset_min: object, timezone: str) -> str:
    if utc_s is None:
        return ""  # nobody has told the time yet: better none than 1970
    there = wall_time(utc_s, offset_min, timezone or "UTC")
    if there is None:
        return ""
    return f"{there:%H:%M}" + (" UTC" if there.tzname() == "UTC" else "")  # not everybody's time: said as what it is
