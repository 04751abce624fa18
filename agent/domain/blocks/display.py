"""Show one screen and one lamp per EVSE, and keep what a screen is made of: notices, the results of
sessions, the language. ``screen_selection.py`` selects the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from agent.domain import service_screen
from agent.domain.cost_screen import Values
from agent.domain.events import (
    AuthorizationDropped,
    BearerReported,
    ButtonPressed,
    ButtonsKnown,
    CardRefused,
    ClockTrusted,
    ConnectionExamined,
    CostChanged,
    Event,
    NoticeShown,
    OutletChosen,
    SessionClosed,
    SessionOpened,
    SettingChanged,
    SituationChanged,
    Started,
    TimeCame,
    TokenAccepted,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.local_time import offset_min
from agent.domain.orders import ExamineConnection, LogNote, Persist, SetLamp, Show, WakeMe
from agent.domain.screen_selection import Notice, Result, ScreenSelection, select_lamp
from agent.domain.session_records import Session
from agent.domain.tariff_screen import (
    bill_of_session,
)
from agent.domain.timers import Timer, TimerKind
from agent.domain.web_payment import address_problem
from agent.model.fastclass import replace
from agent.model.types import STATION, EvseId, Moment, Screen, ScreenName

NOTICE_S = 4.0
"""How long a refusal stays on the screen (real seconds)."""
FAREWELL_S = 15.0
"""How long the result stays after the cable is gone (real seconds)."""
RECEIPT_S = 30.0
"""How long the result stays if its cost comes later (real seconds)."""
MINUTE_S = 60.0

_ENDED_BY = {
    "EVDisconnected": "unplug",
    "Local": "stopped",
    "Remote": "remote",
    "PowerLoss": "power_loss",
    "Timeout": "timeout",
}


_SERVICE_TIMER = Timer(TimerKind.SERVICE_SCREEN)

_PRICES = ("tariff_", "cost_", "currency", "time_offset", "offline_")
"""Settings that change the screen."""


_CAUSED_BY_A_PERSON = (
    ScreenName.CHECKING,
    ScreenName.CHOOSE_OUTLET,
    ScreenName.PLUG_IN,
    ScreenName.REFUSED,
    ScreenName.PREPARING,
    ScreenName.FINISHED,
)
_CHARGES = (ScreenName.CHARGING, ScreenName.PAUSED)


MessageValues: TypeAlias = Callable[[EvseRecord, Moment], Values]
"""Return what the screen of an EVSE shows of the messages of a backend."""


def no_message_values(evse: EvseRecord, now: Moment) -> Values:
    return {}


class Display:
    def __init__(
        self, site: StationState, selection: ScreenSelection, message_values: MessageValues = no_message_values
    ) -> None:
        self._site, self._selection, self._message_values = site, selection, message_values
        self._shown_screens: dict[EvseId, Screen] = {}
        self._act_counts: dict[EvseId, int] = {}
        self._shown_lamps: dict[EvseId, SetLamp] = {}
        self._notices: dict[EvseId, Notice] = {}
        self._results: dict[EvseId, Result] = {}
        self._open_sessions: dict[EvseId, Session] = {}
        self._refused_addresses: set[tuple[EvseId, str]] = set()
        self._service_until_s = 0.0
        """Until when the service screen is shown where no driver is served."""
        self._examined: ConnectionExamined | None = None

    # --- events ------------------------------------------------------------------------------------------------

    @handles_events(Started)
    def show_first_screens(self, event: Started, now: Moment) -> Iterator[Yielded]:
        language = event.remembered.get("screen", {}).get("language", {}).get("code")
        if language in self._site.config.languages:
            self._site.language = str(language)
        self._open_sessions = {e.number: e.session for e in self._site.evses.values() if e.session}
        yield from self._show_all_evses(now)
        yield from self._arm_minute(now)

    @handles_events(SituationChanged)
    def show_changed_situation(self, event: SituationChanged, now: Moment) -> Iterator[Yielded]:
        if event.evse == STATION:
            yield from self._show_all_evses(now)
        else:
            yield from self._show_evse(self._site.evses[event.evse], now)

    @handles_events(ClockTrusted)
    def show_trusted_time(self, event: Event, now: Moment) -> Iterator[Yielded]:
        yield from self._show_all_evses(now)
        yield from self._arm_minute(now)

    def _arm_minute(self, now: Moment) -> Iterator[Yielded]:
        """Wake at the next full minute, for the clock on the screen. There is none until the time
        is known."""
        if not self._site.config.has_viewers:
            return
        yield WakeMe(
            Timer(TimerKind.FULL_MINUTE), None if now.utc_s is None else now.t_s + MINUTE_S - now.utc_s % MINUTE_S
        )

    @handles_events(SettingChanged)
    def apply_screen_setting(self, event: SettingChanged, now: Moment) -> Iterator[Yielded]:
        code = self._site.settings.text_value("language")
        if event.name == "language" and code in self._site.config.languages:
            self._site.language = code
            yield Persist("screen", "language", {"code": code})
        if event.name in ("language", "light_intensity") or event.name.startswith(_PRICES):
            yield from self._show_all_evses(now)

    @handles_events(CardRefused)
    def show_card_refusal(self, event: CardRefused, now: Moment) -> Iterator[Yielded]:
        numbers = list(self._site.evses) if event.evse == STATION else [event.evse]
        until = now.t_s + NOTICE_S * self._site.config.io_s
        for number in numbers:
            self._notices[number] = Notice(event.why, until, event.message)
            yield WakeMe(Timer(TimerKind.DRIVER_NOTICE, number), until)
            yield from self._show_evse(self._site.evses[number], now)

    @handles_events(NoticeShown)
    def show_driver_notice(self, event: NoticeShown, now: Moment) -> Iterator[Yielded]:
        until_s = now.t_s + NOTICE_S * self._site.config.io_s if event.until_s is None else event.until_s
        for number in event.evses:
            self._notices[number] = Notice(event.why, until_s)
            yield WakeMe(Timer(TimerKind.DRIVER_NOTICE, number), until_s or None)
            yield from self._show_evse(self._site.evses[number], now)

    @handles_events(AuthorizationDropped)
    def show_lost_authorization(self, event: AuthorizationDropped, now: Moment) -> Iterator[Yielded]:
        if event.why == "unavailable":
            self._notices[event.evse] = Notice("unavailable", now.t_s + NOTICE_S * self._site.config.io_s)
            yield WakeMe(Timer(TimerKind.DRIVER_NOTICE, event.evse), now.t_s + NOTICE_S * self._site.config.io_s)

    @handles_events(TokenAccepted)
    def drop_refusal_notice(self, event: TokenAccepted, now: Moment) -> Iterator[Yielded]:
        """Drop the refusal of the card before: it must not hide that this card was accepted."""
        self._notices.pop(event.evse, None)
        yield from self._show_evse(self._site.evses[event.evse], now)

    @handles_timer(TimerKind.DRIVER_NOTICE)
    def end_notice_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        number = event.timer.evse
        notice = self._notices.get(number)
        if notice and now.t_s >= notice.until_s:  # another notice may have taken its place just now
            del self._notices[number]
        yield from self._show_evse(self._site.evses[number], now)

    @handles_timer(TimerKind.COUNTDOWN, TimerKind.SESSION_RESULT)
    def refresh_screen_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._show_evse(self._site.evses[event.timer.evse], now)

    @handles_timer(TimerKind.FULL_MINUTE)
    def show_next_minute(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._show_all_evses(now)
        yield from self._arm_minute(now)

    @handles_events(SessionOpened)
    def forget_last_result(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        self._results.pop(event.evse, None)
        self._notices.pop(event.evse, None)
        session = self._site.evses[event.evse].session
        if session is not None:
            self._open_sessions[event.evse] = session
        return iter(())

    @handles_events(SessionClosed)
    def show_session_result(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        session = self._open_sessions.pop(event.evse, None)
        if session is None or session.stop is None:
            return
        end_wh = event.end_wh
        if end_wh is None:
            end_wh = evse.metering.reading.energy_wh if evse.metering.reading else session.last_wh
        seconds = session.stop.at.t_s - session.started.t_s if session.stop.at.boot == session.started.boot else 0.0
        paid = bill_of_session(evse, event.session) is not None
        until = now.t_s + (RECEIPT_S if paid else FAREWELL_S) * self._site.config.io_s
        self._results[event.evse] = Result(
            detail=_end_detail(event.reason, session.stop.note),
            energy_wh=max(end_wh, session.last_wh) - session.start_wh,
            since_s=round(seconds),
            until_s=until,
            session=event.session,
        )
        yield WakeMe(Timer(TimerKind.SESSION_RESULT, event.evse), until)
        yield from self._show_evse(evse, now)

    @handles_events(CostChanged)
    def show_final_cost(self, event: CostChanged, now: Moment) -> Iterator[Yielded]:
        """Show the final cost. It may come after the cable has gone: leave time to read it."""
        result, account = self._results.get(event.evse), self._site.evses[event.evse].pricing.account
        if account is None or not account.session_over or account.cost is None or not account.cost.final:
            return
        until = now.t_s + RECEIPT_S * self._site.config.io_s
        if result is None or result.session != account.session:
            result = Result("", account.energy_wh, None, until, account.session, late=True)
        self._results[event.evse] = replace(result, until_s=max(result.until_s, until))
        yield WakeMe(Timer(TimerKind.SESSION_RESULT, event.evse), self._results[event.evse].until_s)

    @handles_events(ButtonsKnown)
    def note_language_button(self, event: ButtonsKnown, now: Moment) -> Iterator[Yielded]:
        if "language" in event.names and not self._selection.offers_languages:
            self._selection.offers_languages = True
            yield from self._show_all_evses(now)

    @handles_events(ButtonPressed)
    def obey_button(self, event: ButtonPressed, now: Moment) -> Iterator[Yielded]:
        if event.name == "language":
            yield from self._switch_language(now)
        elif event.name == service_screen.BUTTON:
            is_shown = now.t_s < self._service_until_s
            self._service_until_s = 0.0 if is_shown else now.t_s + service_screen.SHOWN_S * self._site.config.io_s
            self._examined = None
            yield from self._refresh_service_screen(now)

    @handles_timer(TimerKind.SERVICE_SCREEN)
    def refresh_service_screen_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._refresh_service_screen(now)

    def _refresh_service_screen(self, now: Moment) -> Iterator[Yielded]:
        """Look at the steps to the backend and at the end of the time, while the service screen is shown."""
        if now.t_s < self._service_until_s:
            yield ExamineConnection()
            next_s = now.t_s + service_screen.LOOK_S * self._site.config.io_s
            yield WakeMe(_SERVICE_TIMER, min(next_s, self._service_until_s))
        else:
            yield WakeMe(_SERVICE_TIMER, None)
        yield from self._show_all_evses(now)

    @handles_events(ConnectionExamined)
    def show_examined_connection(self, event: ConnectionExamined, now: Moment) -> Iterator[Yielded]:
        if now.t_s < self._service_until_s:
            self._examined = event
            yield from self._show_all_evses(now)

    @handles_events(BearerReported)
    def show_bearer_to_technician(self, event: BearerReported, now: Moment) -> Iterator[Yielded]:
        if now.t_s < self._service_until_s:
            yield from self._show_all_evses(now)

    def _switch_language(self, now: Moment) -> Iterator[Yielded]:
        languages = self._site.config.languages
        position = languages.index(self._site.language) if self._site.language in languages else -1
        self._site.language = languages[(position + 1) % len(languages)]
        yield Persist("screen", "language", {"code": self._site.language})
        yield from self._show_all_evses(now)

    @handles_events(OutletChosen)
    def show_chosen_outlet(self, event: OutletChosen, now: Moment) -> Iterator[Yielded]:
        """Count an act, so that this screen is seen even if it has not changed."""
        self._count_act(event.evse)
        yield from self._show_evse(self._site.evses[event.evse], now)

    # --- screen and lamp ---------------------------------------------------------------------------------------

    def _show_all_evses(self, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values():
            yield from self._show_evse(evse, now)

    def _show_evse(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        if not self._site.config.has_viewers:
            return
        name, detail, values = self.select_screen(evse, now)
        if problem := self._qr_address_problem(str(values.get("qr_url") or "")):
            values = {**values, "qr_url": "", "no_code": "unavailable"}
            if (evse.number, problem) not in self._refused_addresses:
                self._refused_addresses.add((evse.number, problem))
                yield LogNote(evse.number, f"a QR code is not shown, its address {problem}", "display")
        values = {**self._common_values(evse, now), **values, **self._message_values(evse, now)}
        if _shows_an_act(self._shown_screens.get(evse.number), name, detail, values):
            self._count_act(evse.number)
        screen = Screen(name, self._site.language, detail, values, self._act_counts.get(evse.number, 0))
        if screen != self._shown_screens.get(evse.number):
            self._shown_screens[evse.number] = screen
            yield Show(evse.number, screen)
        if name in (ScreenName.PLUG_IN, ScreenName.CHOOSE_OUTLET):
            yield WakeMe(Timer(TimerKind.COUNTDOWN, evse.number), now.t_s + self._site.config.io_s)
        evse.lamp = select_lamp(evse, self._select_driver_screen(evse, now)[0])
        lamp = SetLamp(evse.number, evse.lamp, self._site.settings.int_value("light_intensity"))
        if lamp != self._shown_lamps.get(evse.number):
            self._shown_lamps[evse.number] = lamp
            yield lamp

    def select_screen(self, evse: EvseRecord, now: Moment) -> tuple[ScreenName, str, Values]:
        """Select the screen: what a driver needs to know, or what a technician has asked for."""
        shown = self._select_driver_screen(evse, now)
        if now.t_s < self._service_until_s and shown[0] in service_screen.REPLACED:
            return ScreenName.SERVICE, "", service_screen.service_values(self._site, self._examined)
        return shown

    def _select_driver_screen(self, evse: EvseRecord, now: Moment) -> tuple[ScreenName, str, Values]:
        notice, result = self._notices.get(evse.number), self._results.get(evse.number)
        return self._selection.select_screen(evse, notice, result, now)

    def _qr_address_problem(self, url: str) -> str:
        """Return why drivers must not be led to this address, "" if they may. Every code on the
        screen is checked here, whatever has set its address."""
        return address_problem(url, self._site.config.web_payment.hosts) if url else ""

    def _count_act(self, number: EvseId) -> None:
        self._act_counts[number] = self._act_counts.get(number, 0) + 1

    def _common_values(self, evse: EvseRecord, now: Moment) -> Values:
        site = self._site
        offset = offset_min(site.settings, now.utc_s)
        return {
            **({} if offset is None else {"utc_offset_min": offset}),
            "number": site.config.number,
            "hotline": site.config.hotline,
            "evse": evse.number,
            "evses": len(site.evses),
            "online": site.backend_online,
            "time_utc_s": None if now.utc_s is None else now.utc_s // MINUTE_S * MINUTE_S,
        }


def _shows_an_act(before: Screen | None, name: ScreenName, detail: str, values: Values) -> bool:
    """True if a person at this EVSE has just caused this screen. What a vehicle does while it
    charges does not count."""
    if before is None:
        return False
    if name in _CAUSED_BY_A_PERSON and (name, detail) != (before.name, before.detail):
        return name is not ScreenName.PREPARING or before.name not in _CHARGES
    return bool(values.get("plugged")) and not before.values.get("plugged") and before.name is ScreenName.IDLE


def _end_detail(reason: str, note: str) -> str:
    """Return the detail of the end. Lost mains is a fault for the backend, but shown to the driver
    as what it is."""
    return "fault" if note == "fault" and reason != "PowerLoss" else _ENDED_BY.get(reason, "stopped")
