"""The mask on the journal: whatever writes a line, no whole card number and no secret is in it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.domain.events import CardPresented, RequestReceived, Started, TokenAuthorized, TransactionAcknowledged
from agent.domain.requests import RemoteStartRequest, SetVariablesRequest
from agent.model.types import AuthorizationStatus, Token, Verdict
from agent.services.logs.masking import KEPT, LogMask
from agent.station_file.settings import Backend, Device
from tests.support.busy_machine import stretched

UID, EMAID = "04A1B2C3D4E5F6", "LU-CHA-C12345678-9"


@pytest.fixture
def journal() -> Iterator[tuple[LogMask, io.StringIO]]:
    mask, out = LogMask(), io.StringIO()
    handler = logging.StreamHandler(out)
    logging.getLogger().addHandler(handler)
    mask.install_filter()
    yield mask, out
    mask.remove_filter()
    logging.getLogger().removeHandler(handler)


def test_tokens_of_events_are_masked_in_any_case_and_anywhere(journal: tuple[LogMask, io.StringIO]) -> None:
    mask, out = journal
    mask.before_event(CardPresented(1, Token(UID)))
    mask.before_event(RequestReceived("chargy", "1", RemoteStartRequest(1, Token(EMAID))))
    mask.before_event(
        TokenAuthorized("token:1", Token(UID), Verdict(AuthorizationStatus.ACCEPTED, group="GROUP-OF-CARDS"))
    )
    mask.before_event(
        TransactionAcknowledged("chargy", "s1", "1", Verdict(AuthorizationStatus.ACCEPTED, group="OTHER-GROUP"))
    )
    logging.getLogger("x").warning("refused %s: %r (%s, OTHER-GROUP)", UID.lower(), {"a": EMAID}, "group-of-cards")
    assert out.getvalue() == "refused …E5F6: {'a': '…78-9'} (…ARDS, …ROUP)\n"


def test_a_token_is_found_as_json_spells_it() -> None:
    mask = LogMask()
    mask.before_event(CardPresented(1, Token('käte"4711')))
    assert mask.mask_text(json.dumps({"a": 'of käte"4711, too'})) == '{"a": "of …4711, too"}'


def test_secrets_are_masked_whole(journal: tuple[LogMask, io.StringIO]) -> None:
    mask, out = journal
    mask.learn_secret("the password of the file")
    mask.learn_secret("")
    mask.before_event(
        RequestReceived(
            "chargy", "1", SetVariablesRequest({"authorization_key": "text:0123456789abcdef", "reset_retries": "12345"})
        )
    )
    logging.getLogger("x").error("basic %s / %s / 12345", "the password of the file", "0123456789abcdef")
    assert out.getvalue() == "basic *** / *** / 12345\n"


def test_a_key_of_before_the_restart_is_masked_too(journal: tuple[LogMask, io.StringIO]) -> None:
    mask, out = journal
    mask.before_event(
        Started({"setting": {"authorization_key": {"text": "text:0123456789abcdef"}, "reset_retries": {}}})
    )
    logging.getLogger("x").error("basic 0123456789abcdef")
    assert out.getvalue() == "basic ***\n"


def test_a_traceback_is_masked_too(journal: tuple[LogMask, io.StringIO]) -> None:
    mask, out = journal
    mask.before_event(CardPresented(1, Token(UID)))
    try:
        raise KeyError(UID)
    except KeyError:
        logging.getLogger("x").exception("a defect with %s", Token(UID))
    assert UID not in out.getvalue()
    assert "KeyError: '…E5F6'" in out.getvalue()


def test_short_tokens_and_wrong_format_strings_spoil_no_line(journal: tuple[LogMask, io.StringIO]) -> None:
    mask, out = journal
    mask.before_event(CardPresented(1, Token("1")))
    mask.before_event(CardPresented(1, None, "unreadable"))
    logging.getLogger("x").warning("EVSE 1")
    assert out.getvalue() == "EVSE 1\n"


def test_the_memory_is_bounded_and_keeps_the_newest() -> None:
    mask = LogMask()
    for n in range(KEPT + 10):
        mask.before_event(CardPresented(1, Token(f"CARD-{n:06d}")))
    assert mask.mask_text("CARD-000000") == "CARD-000000"
    assert mask.mask_text(f"CARD-{KEPT + 9:06d}") == f"…0{KEPT + 9}"
    assert len(mask._tokens) == KEPT


def test_an_error_that_ends_the_process_is_masked(tmp_path: Path) -> None:
    script = f"""
import logging, sys
logging.basicConfig(stream=sys.stderr)
from agent.domain.events import CardPresented
from agent.model.types import Token
from agent.services.logs.masking import LogMask
mask = LogMask(); mask.install_filter(); mask.before_event(CardPresented(1, Token({UID!r})))
raise ExceptionGroup("x", [ValueError({UID!r})])
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=stretched(60))
    assert ended.returncode == 1
    assert UID not in ended.stderr
    assert "please report: the process ends" in ended.stderr
    assert "ValueError: …E5F6" in ended.stderr


@pytest.mark.parametrize(
    "value",
    [
        Token(UID),
        CardPresented(1, Token(UID)),
        RemoteStartRequest(1, Token(UID)),
        Backend(password=UID),
        Device("d", {"pin": UID}),
    ],
    ids=lambda v: type(v).__name__,
)
def test_no_repr_shows_a_number_or_a_secret(value: object) -> None:
    assert UID not in repr(value)
    assert UID not in repr([value])
