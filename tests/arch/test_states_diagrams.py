"""The diagrams in ``docs/states`` say what the tables say; ``test_generated.py`` sees that they are up to date."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from agent.domain.evse import SERVICES, SessionState
from agent.domain.payment import PayState
from agent.domain.session.table import EVENTS, TABLE
from tests.arch.draw_states import ORDER, PAYMENT, payment, rungs, service, session
from tests.arch.generated import DOCUMENTS

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_the_diagrams_are_generated_documents() -> None:
    assert DOCUMENTS["docs/states/session.svg"] == "tests.arch.draw_states:session"
    assert DOCUMENTS["docs/states/service.svg"] == "tests.arch.draw_states:service"


def test_every_state_is_drawn_once() -> None:
    assert sorted(ORDER) == sorted(SessionState)
    said = texts(session())
    assert [said.count(state) for state in SessionState] == [1] * len(SessionState)


def test_every_declared_way_is_drawn_and_no_other() -> None:
    declared = {
        (origin, target, event.__name__)
        for origin, row in TABLE.items()
        for event, rule in row.items()
        for target in getattr(rule, "targets", ())
        if target is not origin
    }
    assert {(r.origin, r.target, fact) for r in rungs() for fact in r.facts} == declared
    assert len(list(ElementTree.fromstring(session()).iter(f"{SVG}circle"))) == len(list(rungs()))


def test_a_changed_table_is_a_changed_diagram(monkeypatch: pytest.MonkeyPatch) -> None:
    before = session()
    monkeypatch.setitem(TABLE[SessionState.FREE], EVENTS[1], TABLE[SessionState.FREE][EVENTS[-1]])
    assert session() != before


def test_every_service_is_drawn_with_its_condition() -> None:
    said = texts(service())
    assert all(row.said in said and row.service in said for row in SERVICES)


def test_the_payment_is_drawn_from_its_table() -> None:
    said = texts(payment())
    assert [said.count(state) for state in PayState] == [1] * len(PayState)
    assert {r.target for r in rungs(PAYMENT)} | {PayState.NEW} == set(PayState)
