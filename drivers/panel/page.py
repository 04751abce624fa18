"""A screen put into words: which words, in which tone, with which icon. Pure, without pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from agent.model.types import Screen, ScreenName
from agent.ports.driver import StationFacts
from drivers.panel.colors import Tone
from drivers.panel.cost_text import bill_slots, cost_figure, limit_amount, price_line, price_slots, receipt_slots
from drivers.panel.fonts import drawable_text
from drivers.panel.tariff_text import hold_text, next_charge_lines
from drivers.panel.texts import Texts, format_duration, wall_time


@dataclass(frozen=True, slots=True)
class Figure:
    label: str
    value: str
    unit: str = ""
    spare: bool = False
    """Is left out where it does not fit."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a screen shows, by slots; a layout decides how much of it is shown at a time
    (``drivers/panel/page_parts.py``).

    ``title`` large in the tone's colour, with a ``countdown`` of its own if time runs. ``figures`` (the first one
    largest), ``battery`` (percent). ``price`` as one sentence, or ``prices`` as rows of a name and an amount in the
    order they must be read in, with ``price_notes`` below. ``lines``, then ``hint``. ``qr`` with ``qr_caption``,
    ``qr_quality`` of its error correction, ``qr_px`` pixels per module at most (0: as large as fits).

    ``messages`` of a backend, one for each round; ``message``: that of the present round."""

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
    messages: tuple[str, ...] = ()
    message: str = ""
    message_in_front: bool = False
    """It is not to take turns with the page where there is room beside it."""
    message_yields: bool = False
    """The page has to be read at once: no message takes its place."""
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


NOTHING: dict[str, Any] = {
    "figures": (), "battery": None, "price": "", "prices": (), "price_notes": (), "lines": (), "hint": "", "qr": "",
}  # fmt: skip
"""The slots that take turns, without content."""
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
    ScreenName.SERVICE: (Tone.QUIET, "antenna"),
}


MARKS = {"AC": "Chargy OK", "DC": "SuperChargy OK"}
"""The network's names for stations that any of its cards is accepted at."""
_CANNOT_CHARGE = (
    ScreenName.STARTING,
    ScreenName.REFUSED,
    ScreenName.OUT_OF_SERVICE,
    ScreenName.OFFLINE,
    ScreenName.SERVICE,
)
"""A mark that says OK beside one of these would be believed."""


_READ_AT_ONCE = (
    ScreenName.STARTING,
    ScreenName.CHECKING,
    ScreenName.REFUSED,
    ScreenName.CHOOSE_OUTLET,
    ScreenName.FINISHED,
    ScreenName.SERVICE,
)
"""There for seconds, or the end of a driver's visit."""


def count_message_rounds(pages: Iterable[Page]) -> int:
    """Return how many rounds it takes until each message was seen."""
    return max([1, *(len(page.messages) for page in pages)])


def page_of_message_round(page: Page, round_number: int) -> Page:
    """Return the page with its message of this round."""
    if not page.messages:
        return page
    return replace(page, messages=(), message=page.messages[round_number % len(page.messages)])


def page_of_screen(screen: Screen, texts: Texts, facts: StationFacts) -> Page:
    """Build the page of a screen. ``facts``: of the station file, for what the screen does not bring itself."""
    v = screen.values
    facts = facts.facts_of_outlet(v.get("evse"))
    tone, icon = _LOOK[screen.name]
    if screen.name is ScreenName.FINISHED and screen.detail in ("fault", "power_loss", "timeout"):
        tone, icon = Tone.WAIT, "warning"
    if screen.name is ScreenName.IDLE and v.get("free"):
        icon = "plug"
    evses = _number_or_none(v.get("evses"))
    slots = _SLOTS_OF_SCREEN[screen.name](screen, texts, facts)
    common = {
        "messages": tuple(filter(drawable_text, str(v.get("messages") or "").splitlines())),
        "message_in_front": v.get("messages_in_front") is True,
        "message_yields": screen.name in _READ_AT_ONCE,
        "outlet": texts("labels.outlet", evse=v.get("evse")) if evses and evses > 1 and v.get("evse") else "",
        "evse": int(_number_or_none(v.get("evse")) or 0),
        "mark": "" if screen.name in _CANNOT_CHARGE else MARKS.get(facts.kind, MARKS["AC"]),
        "clock": _clock_text(_number_or_none(v.get("time_utc_s")), v.get("utc_offset_min"), facts.timezone),
        "online": v.get("online") is not False,
        "languages": str(v.get("languages") or ""),
        "station_label": texts("labels.station"),
        "number": str(v.get("number") or facts.number),
        "hotline": str(v.get("hotline") or facts.hotline),
    }
    if vat_line := vat_number_line(screen, texts):
        slots = {**slots, "hint": vat_line}
    return Page(**{"tone": tone, "icon": icon, "title": texts(f"{screen.name}.title"), **common, **slots})


def vat_number_line(screen: Screen, texts: Texts) -> str:
    """Return what is shown of a VAT number that is entered or judged; "": none is."""
    state = str(screen.values.get("vat_state") or "")
    text = str(screen.values.get("vat_text") or "")
    text = text if len(text) <= _TYPED else f"{text[:_TYPED]}…"
    return drawable_text(texts(f"vat.{state}", text=f"{text}_" if state == "entry" else text)) if state else ""


_Slots = dict[str, Any]
_TYPED = 24
"""Characters of an address that people may be asked to type."""


def _idle_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    priced = price_slots(screen, texts, facts)
    if screen.values.get("free"):
        return {"title": texts("idle.title_free"), "lines": (texts("idle.line_free"),), **priced}
    if why := str(screen.values.get("no_code") or ""):
        return {**priced, "hint": texts(f"no_code.{why}", "no_code.unavailable")}
    return {**priced, **qr_code_slots(screen, texts, "scan"), "lines": _nonempty_lines(chosen_limits(screen, texts))}


def chosen_limits(screen: Screen, texts: Texts) -> str:
    """Return what the driver has chosen as the most that the charge may come to; "": nothing."""
    v = screen.values
    energy_wh, time_s = _number_or_none(v.get("limit_energy_wh")), _number_or_none(v.get("limit_time_s"))
    chosen = (
        f"{energy_wh / 1000:g} kWh" if energy_wh is not None else "",
        f"{time_s / 60:.0f} min" if time_s is not None else "",
        limit_amount(screen, texts),
    )
    limits = " · ".join(filter(None, chosen))
    return texts("labels.chosen", limits=limits) if limits else ""


def qr_code_slots(screen: Screen, texts: Texts, caption: str) -> _Slots:
    """Return the slots of a QR code; empty if the screen has none. ``caption``: a key of the labels."""
    url = str(screen.values.get("qr_url") or "")
    if not url:
        return {}
    pay_at = texts(f"labels.{caption}_at", address=_typeable_address(url))
    quality = str(screen.values.get("qr_quality") or "")
    return {"qr": url, "qr_quality": quality, "qr_caption": texts(f"labels.{caption}"), "pay_at": pay_at}


def _typeable_address(url: str) -> str:
    """Return an address that a person can type; of a long one its host."""
    plain = url.partition("://")[2] or url
    return plain if len(plain) <= _TYPED else plain.partition("/")[0]


def _checking_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    tail = str(screen.values.get("token_tail") or "")
    if screen.detail == "paying":
        return {
            "title": texts("checking.paying"),
            "lines": _nonempty_lines(texts("checking.paying_line")),
            "countdown": _time_left(screen, texts),
        }
    card = texts("checking.card", tail=tail) if tail else ""
    return {"lines": _nonempty_lines(texts("checking.line"), card, hold_text(screen.values, texts))}


def _plug_in_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    line = texts(_tethered_key(facts, "plug_in.line"), "plug_in.line")
    return {"lines": _nonempty_lines(line), "countdown": _time_left(screen, texts), **price_slots(screen, texts, facts)}


def _time_left(screen: Screen, texts: Texts) -> str:
    left_s = _number_or_none(screen.values.get("remaining_s"))
    return texts("plug_in.remaining", time=_countdown_text(left_s)) if left_s is not None else ""


def _choose_outlet_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    return {
        "title": texts(f"choose_outlet.{screen.detail}.title", "choose_outlet.title"),
        "lines": _nonempty_lines(texts(f"choose_outlet.{screen.detail}.line", "choose_outlet.line")),
        "countdown": _time_left(screen, texts),
    }


_NOTICES: dict[str, _Slots] = {
    "not_chosen": {"tone": Tone.WAIT, "icon": "card"},
    "just_begun": {"tone": Tone.ACTIVE, "icon": "bolt"},
}
"""What refuses nothing, although it takes the place of a refusal."""


def _refused_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    return {
        "title": texts(f"refused.{screen.detail}.title", "refused.title"),
        "lines": _nonempty_lines(
            str(screen.values.get("words") or texts(f"refused.{screen.detail}.line", "refused.line"))
        ),
        **_NOTICES.get(screen.detail, {}),
    }


def _preparing_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    return {**_plain_slots(screen, texts, facts), **price_slots(screen, texts, facts)}


def _plain_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    return {"lines": _nonempty_lines(texts(f"{screen.name}.line"))}


def _charging_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    hint = texts(f"charging.stop_{screen.values.get('stop_hint')}")
    return {**_session_slots(screen, texts, live=True), **_current_price_slots(screen, texts, facts), "hint": hint}


def _paused_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    hint = texts(f"paused.{screen.detail}", "paused.line")
    return {**_session_slots(screen, texts, live=False), **_current_price_slots(screen, texts, facts), "hint": hint}


def _current_price_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    """Return what matters most of the price, in a line, or all of it in rows if the screen brings them."""
    return {
        **price_slots(screen, texts, facts),
        "price": "",
        "lines": _nonempty_lines(price_line(screen, texts, facts)),
    }


def _finished_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    text = texts(f"finished.{screen.detail}", "finished.line")
    unplug = (
        "" if screen.detail in ("unplug", "timeout") else texts(_tethered_key(facts, "labels.unplug"), "labels.unplug")
    )
    figures, bill = _session_slots(screen, texts, live=False)["figures"], receipt_slots(screen, texts)
    next_lines = next_charge_lines(screen.values, texts, facts.timezone or "UTC")
    if not figures:
        return {"lines": _nonempty_lines(text, unplug, *next_lines)}
    if screen.values.get("cost_final") and cost_figure(screen, texts):  # the amount, and what it is for
        figures = (figures[1], figures[0], *figures[2:])
    hint, line = unplug or text, text if unplug and _ended_badly(screen) else bill["line"]
    slots: _Slots = {**bill_slots(screen, texts), "figures": figures, "hint": hint, "lines": _nonempty_lines(line)}
    if bill["qr"]:  # the receipt shows the rest
        slots = {"figures": figures[:2], "hint": hint, **qr_code_slots(screen, texts, "receipt")}
    if next_lines:  # what to do comes before the price of the next charge
        slots |= {"hint": "", "lines": (*slots.get("lines", ()), hint, *next_lines)}
    return slots


def _ended_badly(screen: Screen) -> bool:
    return screen.detail in ("fault", "remote", "power_loss")


def _out_of_service_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    plain = screen.detail.removeprefix("MREC").lstrip("0123456789")
    why = texts(f"out_of_service.details.{screen.detail}", f"out_of_service.details.{plain}")
    return {"lines": _nonempty_lines(why or texts("out_of_service.line"))}


def _service_slots(screen: Screen, texts: Texts, facts: StationFacts) -> _Slots:
    """Return the rows for a technician. Those of which nothing is known are left out."""
    v = screen.values
    rows = {
        "link": texts("service.link_up" if v.get("link_up") else "service.link_down"),
        "bearer": _bearer_text(screen, texts),
        "address": str(v.get("address") or ""),
        "signal": _signal_text(screen, texts),
        "operator": str(v.get("operator") or ""),
        "sim": _sim_text(screen, texts),
        "program": str(v.get("program") or ""),
    }
    slots = {
        "prices": tuple((texts(f"service.{name}"), text) for name, text in rows.items() if text),
        "lines": _nonempty_lines(_problem_text(screen, texts), *_step_lines(screen, texts)),
    }
    if not v.get("problem"):
        return slots
    title = texts("service.title_problem", step=_problem_step(screen, texts))
    return {**slots, "title": title, "tone": Tone.WAIT, "icon": "warning"}


def _problem_step(screen: Screen, texts: Texts) -> str:
    name = str(screen.values.get("problem_step") or "")
    return texts(f"service.steps.{name}") or name


def _problem_text(screen: Screen, texts: Texts) -> str:
    """Return the step to the backend to begin with, what is wrong there, and what to do."""
    subject = str(screen.values.get("problem_subject") or "")
    text = texts(f"service.problems.{screen.values.get('problem')}")
    step = _problem_step(screen, texts)
    key = "service.problem_of" if subject else "service.problem"
    return texts(key, step=step[:1].upper() + step[1:], subject=subject, text=text) if text else ""


def _step_lines(screen: Screen, texts: Texts) -> list[str]:
    """Return one line for each verdict that a step has; the step of the problem has its line already."""
    lines = []
    for verdict in ("steps_wrong", "steps_not_judged", "steps_good"):
        names = str(screen.values.get(verdict) or "").split()
        steps = [texts(f"service.steps.{name}") or name for name in names if name != screen.values.get("problem_step")]
        lines.append(texts(f"service.{verdict}", steps=", ".join(steps)) if steps else "")
    return lines


def _bearer_text(screen: Screen, texts: Texts) -> str:
    """Return the bearer that carries the link, of a modem with its access technology."""
    v = screen.values
    kind = str(v.get("bearer") or "")
    if not kind or kind == "none":
        return texts("service.bearers.none") if kind else ""
    name = texts(f"service.bearers.{kind}")
    if not v.get("bearer_up"):
        return f"{name}: {texts('service.bearers.none')}"
    return f"{name} {v.get('technology') or ''}".strip() if kind == "gprs" else name


def _signal_text(screen: Screen, texts: Texts) -> str:
    dbm = _number_or_none(screen.values.get("signal_dbm"))
    if dbm is None:
        return texts("service.no_signal") if "signal_dbm" in screen.values else ""
    return f"{dbm:.0f} dBm".replace("-", "\N{MINUS SIGN}")


def _sim_text(screen: Screen, texts: Texts) -> str:
    if "sim" not in screen.values:
        return ""
    tail, sim = str(screen.values.get("iccid_tail") or ""), str(screen.values.get("sim"))
    return f"…{tail}" if tail and sim == "ready" else texts("service.sim_not_ready")


_SLOTS_OF_SCREEN = {
    ScreenName.STARTING: _plain_slots,
    ScreenName.IDLE: _idle_slots,
    ScreenName.CHECKING: _checking_slots,
    ScreenName.PLUG_IN: _plug_in_slots,
    ScreenName.REFUSED: _refused_slots,
    ScreenName.CHOOSE_OUTLET: _choose_outlet_slots,
    ScreenName.PREPARING: _preparing_slots,
    ScreenName.CHARGING: _charging_slots,
    ScreenName.PAUSED: _paused_slots,
    ScreenName.FINISHED: _finished_slots,
    ScreenName.OUT_OF_SERVICE: _out_of_service_slots,
    ScreenName.RESERVED: _plain_slots,
    ScreenName.OFFLINE: _plain_slots,
    ScreenName.SERVICE: _service_slots,
}


def _session_slots(screen: Screen, texts: Texts, live: bool) -> _Slots:
    """Return the figures of a session, by weight; power and limit only while it runs. The battery has its bar."""
    v = screen.values
    energy_wh, power_w = _number_or_none(v.get("energy_wh")), _number_or_none(v.get("power_w"))
    since_s, limit_a, soc = (
        _number_or_none(v.get("since_s")),
        _number_or_none(v.get("limit_a")),
        _number_or_none(v.get("soc_percent")),
    )
    figures = []
    if energy_wh is not None:
        figures.append(Figure(texts("labels.energy"), texts.format_energy(energy_wh), "kWh"))
    if priced := cost_figure(screen, texts):
        figures.append(Figure(*priced))
    if live and power_w is not None:
        figures.append(Figure(texts("labels.power"), texts.format_power(power_w), "kW"))
    if since_s is not None:
        figures.append(Figure(texts("labels.duration"), format_duration(since_s)))
    if live and limit_a is not None and soc is None and not priced:
        figures.append(Figure(texts("labels.limit"), f"{round(limit_a)}", "A", spare=True))
    return {"figures": tuple(figures), "battery": soc, "battery_label": texts("labels.battery")}


def _tethered_key(facts: StationFacts, key: str) -> str:
    return f"{key}_tethered" if facts.outlet == "tethered" else key


def _nonempty_lines(*lines: str) -> tuple[str, ...]:
    return tuple(line for line in lines if line.split())


def _number_or_none(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _countdown_text(seconds: float) -> str:
    minutes, s = divmod(max(0, int(seconds)), 60)
    return f"{minutes}:{s:02}"


def _clock_text(utc_s: float | None, offset_min: object, timezone: str) -> str:
    if utc_s is None:
        return ""  # the time is not known yet: better none than 1970
    there = wall_time(utc_s, offset_min, timezone or "UTC")
    if there is None:
        return ""
    return f"{there:%H:%M}" + (" UTC" if there.tzname() == "UTC" else "")  # not the time of all readers: named as UTC
