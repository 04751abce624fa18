"""The screens of the outlets in the few words of the terminal's own screen (Apollo UI, screen type ``info``). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.model.fastclass import frozen
from agent.model.types import Screen, ScreenName
from agent.ports.driver import StationFacts
from drivers.panel.cost_text import cost_figure, price_line
from drivers.panel.tariff_text import price_notes, price_rows
from drivers.panel.texts import Texts, wall_time

RESULTS = (ScreenName.PLUG_IN, ScreenName.REFUSED, ScreenName.FINISHED)
"""What a driver has to read at once."""
_RUNNING = (ScreenName.CHARGING, ScreenName.PAUSED)
_OF_THE_MOMENT = (*RESULTS, ScreenName.CHECKING, ScreenName.CHOOSE_OUTLET, ScreenName.PREPARING)
TITLE_BYTES, LEAST_SUBTITLE_BYTES = 60, 60
CARD_MESSAGE_BYTES = 127


@frozen
class InfoScreen:
    """``qr``: what is encoded in a QR code above the words; "": none. ``least_subtitle_bytes``: so much of the subtitle
    has to stay beside that code."""

    title: str
    subtitle: str = ""
    qr: str = ""
    least_subtitle_bytes: int = LEAST_SUBTITLE_BYTES


def info_screen_of(screens: Sequence[Screen], texts: Texts, facts: StationFacts) -> InfoScreen | None:
    """Return what the terminal shows; None: nothing for a driver. ``screens``: one of each outlet, that of the newest
    act first. What a driver has just done comes before the sessions that run, and these before a free outlet."""
    shown = [s for s in screens if s.name is not ScreenName.SERVICE]
    running = [s for s in shown if s.name in _RUNNING]
    if not shown:
        return None
    if shown[0].name not in _OF_THE_MOMENT and running:
        said = " · ".join(_session_words(s, texts, facts) for s in running)
        return InfoScreen(_title_of(running[0], texts, facts), _sentences(said, stop_words(running, texts)))
    first = shown[0]
    facts = facts.facts_of_outlet(first.values.get("evse"))
    subtitle = _sentences(_outlet_label(first, texts), *_lines_of(first, texts, facts))
    has_receipt = first.name is ScreenName.FINISHED and first.values.get("cost_final")
    code = str(first.values.get("qr_url") or "") if has_receipt else ""
    least_bytes = _least_subtitle_bytes(first, texts) if code else LEAST_SUBTITLE_BYTES
    return InfoScreen(_title_of(first, texts, facts), subtitle, code, least_bytes)


def card_message_of(screens: Sequence[Screen], texts: Texts, facts: StationFacts) -> str:
    """Return the sentence below the request for a card: what the sessions have come to by this time of day, and how to
    end one. "": no session runs that a card ends. Without a clock it names no amount: it stays as long as the
    terminal waits."""
    running = [s for s in screens if s.name in _RUNNING and s.values.get("stop_hint") == "card"]
    if not running:
        return ""
    at = _wall_time_text(running[0], facts)
    said = " · ".join(_session_words(s, texts, facts) for s in running)
    return _sentences(f"{at}: {said}" if at else "", stop_words(running, texts))


def stop_words(running: Sequence[Screen], texts: Texts) -> str:
    """Return how these sessions are stopped, if it is the same for all."""
    hints = {str(s.values.get("stop_hint") or "") for s in running}
    return texts(f"charging.stop_{hints.pop()}") if len(hints) == 1 else ""


def fit_info_screen(screen: InfoScreen, room: int) -> list[tuple[str, str]]:
    """Return keys and values that fit ``room`` bytes (with a NUL behind each). A code that would leave too little room
    for words is left out, since a cut one leads elsewhere."""
    title = cut_utf8(screen.title, TITLE_BYTES)
    fields = [("title", title), ("subtitle", "")]
    if screen.qr and _size_of([*fields, ("qr", screen.qr)]) + screen.least_subtitle_bytes <= room:
        fields.append(("qr", screen.qr))
    fields[1] = ("subtitle", cut_utf8(screen.subtitle, room - _size_of(fields)))
    return [(key, value) for key, value in fields if value]


def cut_utf8(text: str, longest: int) -> str:
    """Cut a text to so many bytes of UTF-8, between characters; a cut one ends with an ellipsis."""
    raw = text.encode("utf-8")
    if len(raw) <= longest:
        return text
    return raw[: max(0, longest - len("…".encode()))].decode("utf-8", "ignore").rstrip() + "…" if longest > 3 else ""


def _size_of(fields: Sequence[tuple[str, str]]) -> int:
    return sum(len(key) + len(value.encode("utf-8")) + 2 for key, value in fields)


def _title_of(screen: Screen, texts: Texts, facts: StationFacts) -> str:
    if screen.name is ScreenName.IDLE and screen.values.get("free"):
        return texts("idle.title_free")
    if screen.name is ScreenName.IDLE:  # "tap your card" would be read while the terminal takes none
        return f"{texts('labels.station')} {screen.values.get('number') or facts.number}".strip()
    return texts(f"{screen.name}.{screen.detail}.title", f"{screen.name}.title")


def _lines_of(screen: Screen, texts: Texts, facts: StationFacts) -> Iterator[str]:
    name = screen.name
    if name in _RUNNING:
        yield _figures_of(screen, texts)
        yield price_line(screen, texts, facts)
        yield stop_words([screen], texts) if name is ScreenName.CHARGING else texts(f"paused.{screen.detail}")
    elif name is ScreenName.FINISHED:
        yield _figures_of(screen, texts)
        yield _next_charge_words(_offer_words(screen, texts, facts), texts)
        yield texts(f"finished.{screen.detail}", "finished.line")
    elif name is ScreenName.IDLE:
        yield texts("idle.line_free") if screen.values.get("free") else _idle_price_words(screen, texts, facts)
    elif name is ScreenName.OUT_OF_SERVICE:
        yield texts(f"out_of_service.details.{screen.detail}", "out_of_service.line")
    elif name is ScreenName.CHECKING and screen.detail == "paying":
        yield texts("checking.paying_line")
    elif name is ScreenName.PLUG_IN:
        yield texts("plug_in.line_tethered" if facts.outlet == "tethered" else "plug_in.line")
    else:
        yield str(screen.values.get("words") or "") or texts(f"{name}.{screen.detail}.line", f"{name}.line")


def _idle_price_words(screen: Screen, texts: Texts, facts: StationFacts) -> str:
    """Return the price; where nothing is sold by card, the one sentence that there is for it."""
    return _offer_words(screen, texts, facts) or str(screen.values.get("price_line") or "")


def _offer_words(screen: Screen, texts: Texts, facts: StationFacts) -> str:
    """Return the price for a card in the order of the law, with its notes; "": nothing is sold by card."""
    rows = _price_row_words(screen, texts)
    notes = price_notes(screen.values, texts, facts.timezone or "UTC", payer_unknown=True) if rows else ()
    return " · ".join(filter(None, (rows, *notes)))


def _price_row_words(screen: Screen, texts: Texts) -> str:
    return " · ".join(f"{name} {amount}" for name, amount in price_rows(screen.values, texts))


def _next_charge_words(price: str, texts: Texts) -> str:
    """Return the price of the next charge in one sentence: this screen has no pages to take turns."""
    return texts("labels.next_charge", price=price) if price else ""


def _least_subtitle_bytes(screen: Screen, texts: Texts) -> int:
    """Return how much of the words of a result no code may push out: all prices at which the terminal sells."""
    prices = _next_charge_words(_price_row_words(screen, texts), texts)
    whole = _sentences(_outlet_label(screen, texts), _figures_of(screen, texts), f"{prices} …") if prices else ""
    return max(LEAST_SUBTITLE_BYTES, len(whole.encode("utf-8")))


def _session_words(screen: Screen, texts: Texts, facts: StationFacts) -> str:
    label, figures = _outlet_label(screen, texts), _figures_of(screen, texts)
    return f"{label}: {figures}" if label and figures else label or figures


def _figures_of(screen: Screen, texts: Texts) -> str:
    energy_wh, priced = screen.values.get("energy_wh"), cost_figure(screen, texts)
    energy = isinstance(energy_wh, int | float) and not isinstance(energy_wh, bool)
    parts = (f"{texts.format_energy(float(energy_wh or 0))} kWh" if energy else "", priced[1] if priced else "")
    return ", ".join(filter(None, parts))


def _outlet_label(screen: Screen, texts: Texts) -> str:
    evse, evses = screen.values.get("evse"), screen.values.get("evses")
    return texts("labels.outlet", evse=evse) if isinstance(evses, int) and evses > 1 and evse else ""


def _wall_time_text(screen: Screen, facts: StationFacts) -> str:
    utc_s = screen.values.get("time_utc_s")
    if not isinstance(utc_s, int | float):
        return ""
    at = wall_time(float(utc_s), screen.values.get("utc_offset_min"), facts.timezone or "UTC")
    return f"{at:%H:%M}" if at else ""


def _sentences(*parts: str) -> str:
    """Join what is there: a part without a full stop gets one if another one follows."""
    said = [" ".join(part.split()) for part in parts if part.split()]
    return " ".join(part if part[-1] in ".!?…" or part is said[-1] else f"{part}." for part in said)
