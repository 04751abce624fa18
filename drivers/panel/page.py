"""A screen put into words: what is said, in which tone, with which icon. Pure, without pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.model.types import Screen, ScreenName
from drivers.panel.colors import Tone
from drivers.panel.cost_text import cost_figure, price_line, price_slots, receipt
from drivers.panel.texts import Texts, duration, wall_time


@dataclass(frozen=True, slots=True)
class Figure:
    label: str
    value: str
    unit: str = ""
    spare: bool = False
    """Is left out where it does not fit."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a screen says, by slots; a layout decides how much of it is shown at a time
    (``drivers/panel/page_parts.py``).

    ``title`` large in the tone's colour, with a ``countdown`` of its own if time runs. ``figures`` (the first one
    largest), ``battery`` (percent). ``price`` as one sentence, or ``prices`` as rows of a name and an amount in the
    order they must be read in, with ``price_notes`` below. ``lines``, then ``hint``. ``qr`` with ``qr_caption``,
    ``qr_quality`` of its error correction, ``qr_px`` pixels per module at most (0: as large as fits)."""

    tone: Tone
    icon: str
    title: str
    countdown: str = ""
    figures: tuple[Figure, ...] = ()
    battery: float | None = None
    battery_label: str = ""
    price: str = ""
    prices: tuple[tuple[str, str], ...] = ()
    price_notes: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    hint: str = ""
    qr: str = ""
    qr_quality: str = ""
    qr_px: int = 0
    qr_caption: str = ""
    pay_at: str = ""
    """The code's address in words, for a panel on which it does not fit."""
    outlet: str = ""
    evse: int = 0
    mark: str = ""
    """Of the network, where this outlet can charge."""
    clock: str = ""
    online: bool = True
    languages: str = ""
    """What the language button leads to."""
    station_label: str = ""
    number: str = ""
    hotline: str = ""


OUT_OF_SERVICE_ICON = "warning"

_LOOK: dict[ScreenName, tuple[Tone, str]] = {
    ScreenName.STARTING: (Tone.QUIET, "hourglass"),
    ScreenName.IDLE: (Tone.FREE, "card"),
    ScreenName.CHECKING: (Tone.ACTIVE, "hourglass"),
    ScreenName.PLUG_IN: (Tone.WAIT, "plug"),
    ScreenName.REFUSED: (Tone.STOP, "cross"),
    ScreenName.CHOOSE_OUTLET: (Tone.WAIT, "plug"),
    ScreenName.PREPARING: (Tone.ACTIVE, "hourglass"),
    ScreenName.CHARGING: (Tone.ACTIVE, "bolt"),
    ScreenName.PAUSED: (Tone.WAIT, "pause"),
    ScreenName.FINISHED: (Tone.FREE, "check"),
    ScreenName.OUT_OF_SERVICE: (Tone.STOP, OUT_OF_SERVICE_ICON),
    ScreenName.RESERVED: (Tone.WAIT, "lock"),
    ScreenName.OFFLINE: (Tone.QUIET, "cloud"),
}


MARKS = {"AC": "Chargy OK", "DC": "SuperChargy OK"}
"""The network's names for stations that any of its cards is accepted at."""
_CANNOT_CHARGE = (ScreenName.STARTING, ScreenName.REFUSED, ScreenName.OUT_OF_SERVICE, ScreenName.OFFLINE)
"""A mark that says OK beside one of these would be believed."""


def page(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> Page:
    """``facts``: of the station file, for what the screen does not bring itself."""
    v = screen.values
    facts = {**facts, **_of_outlet(facts, v.get("evse"))}
    tone, icon = _LOOK[screen.name]
    if screen.name is ScreenName.FINISHED and screen.detail in ("fault", "power_loss", "timeout"):
        tone, icon = Tone.WAIT, "warning"
    if screen.name is ScreenName.IDLE and v.get("free"):
        icon = "plug"
    evses = _number(v.get("evses"))
    said = _SAY[screen.name](screen, texts, facts)
    common = {
        "outlet": texts("labels.outlet", evse=v.get("evse")) if evses and evses > 1 and v.get("evse") else "",
        "evse": int(_number(v.get("evse")) or 0),
        "mark": "" if screen.name in _CANNOT_CHARGE else MARKS.get(str(facts.get("kind")), MARKS["AC"]),
        "clock": _clock(_number(v.get("time_utc_s")), v.get("utc_offset_min"), str(facts.get("timezone") or "")),
        "online": v.get("online") is not False,
        "languages": str(v.get("languages") or ""),
        "station_label": texts("labels.station"),
        "number": str(v.get("number") or facts.get("number") or ""),
        "hotline": str(v.get("hotline") or facts.get("hotline") or ""),
    }
    return Page(**{"tone": tone, "icon": icon, "title": texts(f"{screen.name}.title"), **common, **said})


_Said = dict[str, Any]
_TYPED = 24
"""Characters of an address that people may be asked to type."""


def _idle(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    priced = price_slots(screen, texts, facts)
    if screen.values.get("free"):
        return {"title": texts("idle.title_free"), "lines": (texts("idle.line_free"),), **priced}
    if why := str(screen.values.get("no_code") or ""):
        return {**priced, "hint": texts(f"no_code.{why}", "no_code.unavailable")}
    return {**priced, **code(screen, texts, "scan")}


def code(screen: Screen, texts: Texts, caption: str) -> _Said:
    """The slots of a QR code; empty if the screen has none. ``caption``: a key of the labels."""
    url = str(screen.values.get("qr_url") or "")
    if not url:
        return {}
    pay_at = texts(f"labels.{caption}_at", address=_address(url))
    quality = str(screen.values.get("qr_quality") or "")
    return {"qr": url, "qr_quality": quality, "qr_caption": texts(f"labels.{caption}"), "pay_at": pay_at}


def _address(url: str) -> str:
    """What a person can type; of a long address its host."""
    plain = url.partition("://")[2] or url
    return plain if len(plain) <= _TYPED else plain.partition("/")[0]


def _checking(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    tail = str(screen.values.get("token_tail") or "")
    if screen.detail == "paying":
        return {
            "title": texts("checking.paying"),
            "lines": _lines(texts("checking.paying_line")),
            "countdown": _time_left(screen, texts),
        }
    return {"lines": _lines(texts("checking.line"), texts("checking.card", tail=tail) if tail else "")}


def _plug_in(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    line = texts(_tethered(facts, "plug_in.line"), "plug_in.line")
    return {"lines": _lines(line), "countdown": _time_left(screen, texts), **price_slots(screen, texts, facts)}


def _time_left(screen: Screen, texts: Texts) -> str:
    left_s = _number(screen.values.get("remaining_s"))
    return texts("plug_in.remaining", time=_countdown(left_s)) if left_s is not None else ""


def _choose_outlet(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    return {
        "title": texts(f"choose_outlet.{screen.detail}.title", "choose_outlet.title"),
        "lines": _lines(texts(f"choose_outlet.{screen.detail}.line", "choose_outlet.line")),
        "countdown": _time_left(screen, texts),
    }


_NOTICES: dict[str, _Said] = {
    "not_chosen": {"tone": Tone.WAIT, "icon": "card"},
    "just_begun": {"tone": Tone.ACTIVE, "icon": "bolt"},
}
"""What refuses nothing, although it takes the place of a refusal."""


def _refused(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    return {
        "title": texts(f"refused.{screen.detail}.title", "refused.title"),
        "lines": _lines(str(screen.values.get("words") or texts(f"refused.{screen.detail}.line", "refused.line"))),
        **_NOTICES.get(screen.detail, {}),
    }


def _preparing(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    return {**_plain(screen, texts, facts), **price_slots(screen, texts, facts)}


def _plain(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    return {"lines": _lines(texts(f"{screen.name}.line"))}


def _charging(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    hint = texts(f"charging.stop_{screen.values.get('stop_hint')}")
    return {**_session(screen, texts, live=True), **_price_now(screen, texts, facts), "hint": hint}


def _paused(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    hint = texts(f"paused.{screen.detail}", "paused.line")
    return {**_session(screen, texts, live=False), **_price_now(screen, texts, facts), "hint": hint}


def _price_now(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    """What matters most of the price, in a line; all of it in rows if the screen brings them."""
    return {**price_slots(screen, texts, facts), "price": "", "lines": _lines(price_line(screen, texts, facts))}


def _finished(screen: Screen, texts: Texts, facts: Mapping[str, Any]) -> _Said:
    said = texts(f"finished.{screen.detail}", "finished.line")
    unplug = "" if screen.detail in ("unplug", "timeout") else texts(_tethered(facts, "labels.unplug"), "labels.unplug")
    figures, bill = _session(screen, texts, live=False)["figures"], receipt(screen, texts)
    if not figures:
        return {"lines": _lines(said, unplug)}
    if screen.values.get("cost_final") and cost_figure(screen, texts):  # the amount, and what it is for
        figures = (figures[1], figures[0], *figures[2:])
    if bill["qr"]:  # the receipt says the rest
        return {"figures": figures[:2], "hint": unplug or said, **code(screen, texts, "receipt")}
    line = said if unplug and _bad(screen) else bill["line"]
    return {
        **price_slots(screen, texts, facts),
        "price": "",
        "figures": figures,
        "hint": unplug or said,
        "lines": _lines(line),
    }


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
    ScreenName.CHOOSE_OUTLET: _choose_outlet,
    ScreenName.PREPARING: _preparing,
    ScreenName.CHARGING: _charging,
    ScreenName.PAUSED: _paused,
    ScreenName.FINISHED: _finished,
    ScreenName.OUT_OF_SERVICE: _out_of_service,
    ScreenName.RESERVED: _plain,
    ScreenName.OFFLINE: _plain,
}


def _session(screen: Screen, texts: Texts, live: bool) -> _Said:
    """The figures of a session, by weight; power and limit only while it runs. The battery has its bar."""
    v = screen.values
    energy_wh, power_w = _number(v.get("energy_wh")), _number(v.get("power_w"))
    since_s, limit_a, soc = _number(v.get("since_s")), _number(v.get("limit_a")), _number(v.get("soc_percent"))
    figures = []
    if energy_wh is not None:
        figures.append(Figure(texts("labels.energy"), texts.energy(energy_wh), "kWh"))
    if priced := cost_figure(screen, texts):
        figures.append(Figure(*priced))
    if live and power_w is not None:
        figures.append(Figure(texts("labels.power"), texts.power(power_w), "kW"))
    if since_s is not None:
        figures.append(Figure(texts("labels.duration"), duration(since_s)))
    if live and limit_a is not None and soc is None and not priced:
        figures.append(Figure(texts("labels.limit"), f"{round(limit_a)}", "A", spare=True))
    return {"figures": tuple(figures), "battery": soc, "battery_label": texts("labels.battery")}


def _of_outlet(facts: Mapping[str, Any], evse: object) -> Mapping[str, Any]:
    """What the station file says of this outlet; a display of the whole station has several."""
    outlets = facts.get("evses")
    found = outlets.get(evse) if isinstance(outlets, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _tethered(facts: Mapping[str, Any], key: str) -> str:
    return f"{key}_tethered" if facts.get("outlet") == "tethered" else key


def _lines(*lines: str) -> tuple[str, ...]:
    return tuple(line for line in lines if line.split())


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
