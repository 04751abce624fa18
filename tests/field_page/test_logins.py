"""Users, passwords, pauses and logins of the field page, without a server: time is a parameter."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent.cli import main
from agent.commands.fault_texts import MREC_SYNONYMS
from agent.commands.page import login_limits, login_sessions
from agent.commands.page.activity_log import MOST_BYTES, ActivityLog
from agent.commands.page.login_limits import LoginLimits
from agent.commands.page.login_sessions import (
    IDLE_S,
    LONGEST_S,
    MOST_SESSIONS,
    LoginSessions,
    expected_form_token,
    is_expected_form_token,
)
from agent.commands.page.page_texts import LANGUAGES, PageTexts
from agent.commands.page.page_users import UserProblem, load_page_users, make_page_user, password_problem
from agent.commands.page.roles import Role
from agent.domain.messages import ConnectorStatus
from agent.model.accepted_language import accepted_language
from agent.model.types import Fault
from tests.support.busy_machine import stretched
from tests.support.field_page_process import PASSWORD, ROOT, write_page_station, write_users

STATION = '[station]\nstate_dir = "state"\n[[evse]]\nnumber = 1\n'


@pytest.fixture
def station(tmp_path: Path) -> Path:
    path = tmp_path / "station.toml"
    path.write_text(STATION, "utf-8")
    return path


def page_command(*words: str | Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "agent", "page", *map(str, words)]
    return subprocess.run(argv, cwd=ROOT, input=typed, capture_output=True, text=True, timeout=stretched(60))


# --- users ----------------------------------------------------------------------------------------------------------


def test_a_user_from_the_first_to_the_last_day(station: Path) -> None:
    path = station.parent / "state" / "field-page" / "users.json"
    assert page_command("user", "add", station, "anna", "--role", "reader", typed=f"{PASSWORD}\n").returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    users = load_page_users(path)
    assert (users["anna"].role, users["anna"].is_password(PASSWORD), users["anna"].is_password("x")) == (
        Role.READER,
        True,
        False,
    )
    assert PASSWORD not in path.read_text("utf-8")
    again = page_command("user", "add", station, "anna", typed=f"{PASSWORD}\n")
    assert (again.returncode, "exists" in again.stderr) == (2, True)
    assert page_command("user", "password", station, "anna", typed="another phrase\n").returncode == 0
    changed = load_page_users(path)["anna"]
    assert (changed.role, changed.is_password("another phrase")) == (Role.READER, True)
    assert changed.password_mark != users["anna"].password_mark
    assert page_command("user", "list", station).stdout == "anna: reader\n"
    assert page_command("user", "remove", station, "anna").returncode == 0
    assert not path.exists(), "the agent looks for the file"
    assert page_command("user", "remove", station, "anna").returncode == 2
    assert page_command("user", "password", station, "anna", typed="another phrase\n").returncode == 2
    assert page_command("user", "add", station).returncode == 2


def test_a_password_is_asked_for_twice(station: Path) -> None:
    begin = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    argv = [sys.executable, "-m", "agent", "page", "user", "add", str(station), "tom"]

    def typed_twice(first: str, second: str) -> tuple[int, str]:
        terminal, inner = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-c", begin, *argv], cwd=ROOT, start_new_session=True,
            stdin=inner, stdout=inner, stderr=inner,
        )  # fmt: skip
        os.close(inner)
        said = b""
        for question, answer in ((b"Password: ", first), (b"again: ", second)):
            while question not in said:
                said += os.read(terminal, 1024)
            os.write(terminal, answer.encode() + b"\n")
        with contextlib.suppress(OSError):  # the other end has closed
            while more := os.read(terminal, 1024):
                said += more
        os.close(terminal)
        return child.wait(stretched(60)), said.decode()

    code, said = typed_twice(PASSWORD, PASSWORD + "x")
    assert (code, "two different" in said, PASSWORD in said) == (2, True, False)
    assert typed_twice(PASSWORD, PASSWORD)[0] == 0


@pytest.mark.parametrize("password", ["", "short", "x" * 9, "x" * 201, "aaaaaaaaaaaa", "anna1234", "annaannaann"])
def test_a_password_that_is_none(password: str) -> None:
    said = password_problem("anna", password)
    assert said
    assert not password or password not in said
    with pytest.raises(UserProblem):
        make_page_user("anna", Role.READER, password)


@pytest.mark.parametrize("name", ["", "a b", "-x", "x" * 33, "a\n", "ü"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(UserProblem):
        make_page_user(name, Role.READER, PASSWORD)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"version": 2, "users": {}}', '{"version": 1, "users": {"a": {"role": "king"}}}', "\xff"],
)
def test_a_file_of_users_that_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "users.json"
    path.write_text(content, "latin-1")
    path.chmod(0o600)
    with pytest.raises(UserProblem):
        load_page_users(path)


def test_without_a_user_the_page_is_not_served_and_names_the_command(station: Path) -> None:
    served = page_command("serve", "--port", "0", station)
    assert served.returncode == 2
    assert f"chargy-agent page user add {station} NAME" in served.stderr
    address = page_command("address", station)
    assert address.returncode == 1
    assert "[field_page]" in address.stderr


def test_the_address_is_printed(tmp_path: Path) -> None:
    path = write_page_station(tmp_path)
    path.write_text(path.read_text("utf-8").replace("port = 1\n", 'port = 8443\nhost = "fd00::1"\n'), "utf-8")
    said = page_command("address", path)
    assert (said.returncode, said.stdout) == (0, "http://[fd00::1]:8443/\n")


def test_roles_include_the_ones_before() -> None:
    assert [[a.includes_role(b) for b in Role] for a in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


# --- pauses ---------------------------------------------------------------------------------------------------------


def test_the_pause_grows_for_the_address_and_less_for_the_user() -> None:
    limits, now_s, pauses = LoginLimits(), 0.0, []
    for _ in range(16):
        limits.record_failure("10.0.0.1", "anna", now_s)
        pauses.append(limits.remaining_pause_s("10.0.0.1", "other", now_s))
        now_s += pauses[-1]
    assert pauses == [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]
    assert limits.remaining_pause_s("10.0.0.2", "anna", now_s - 900) == login_limits.USER_PAUSE_MOST_S
    assert limits.remaining_pause_s("10.0.0.2", "other", now_s - 900) == 0


def test_a_success_forgives_the_user_and_an_hour_both() -> None:
    """A guesser with an account of their own must not forgive their address by logging in between."""
    limits = LoginLimits()
    for _ in range(9):
        limits.record_failure("a", "u", 0.0)
    limits.record_success("u")
    assert limits.remaining_pause_s("b", "u", 0.0) == 0
    assert limits.remaining_pause_s("a", "u", 0.0) > 0
    limits.record_failure("a", "u", login_limits.FORGET_S + 1)
    assert limits.remaining_pause_s("a", "u", login_limits.FORGET_S + 1) == 0


@pytest.mark.parametrize(
    ("first", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True), ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True), ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("fe80::1%eth1", "fe80::2%eth1", True), ("10.0.0.1", "10.0.0.2", False),
    ],
)  # fmt: skip
def test_a_network_of_ipv6_counts_as_one_address(first: str, other: str, is_same: bool) -> None:
    limits = LoginLimits()
    for number in range(9):
        limits.record_failure(first, f"user {number}", 0.0)
    assert (limits.remaining_pause_s(other, "u", 0.0) > 0) == is_same


def test_what_is_remembered_of_failures_has_an_end() -> None:
    limits = LoginLimits()
    for n in range(5000):
        limits.record_failure(f"address {n}", f"user {n}", 0.0)
    assert len(limits._counts) == login_limits.REMEMBERED


# --- logins ---------------------------------------------------------------------------------------------------------


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_login_ends_when_it_is_not_used_and_at_the_latest_after_a_shift(tmp_path: Path) -> None:
    clock, user = Clock(), make_page_user("anna", Role.READER, PASSWORD)
    sessions = LoginSessions(tmp_path / "sessions.json", clock)
    idle, used = sessions.begin_session(user), sessions.begin_session(user)
    began_s = clock.now_s
    while clock.now_s < began_s + LONGEST_S - 60:
        clock.now_s += 60
        assert sessions.find_session(used) is not None
        assert (sessions.find_session(idle, touch=False) is not None) == (clock.now_s - began_s < IDLE_S)
    clock.now_s = began_s + LONGEST_S
    assert sessions.find_session(used) is None


def test_a_login_outlives_the_page_and_not_the_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock = tmp_path / "sessions.json", Clock()
    first = LoginSessions(path, clock)
    token = first.begin_session(make_page_user("anna", Role.READER, PASSWORD))
    assert token not in path.read_text("utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = LoginSessions(path, clock)
    assert (again.find_session(token) is not None, again.form_key) == (True, first.form_key)
    assert again.find_session(token + "x") is None
    boot = tmp_path / "boot_id"
    boot.write_text("another boot")
    monkeypatch.setattr(login_sessions, "BOOT_ID", boot)
    assert LoginSessions(path, clock).find_session(token) is None
    path.write_text("[]")
    assert LoginSessions(path, clock).find_session(token) is None


def test_without_the_name_of_a_boot_no_login_outlives_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two boots without a name are not the same boot."""
    monkeypatch.setattr(login_sessions, "BOOT_ID", tmp_path / "none")
    path, clock = tmp_path / "sessions.json", Clock()
    token = LoginSessions(path, clock).begin_session(make_page_user("anna", Role.READER, PASSWORD))
    assert LoginSessions(path, clock).find_session(token) is None


def test_logins_have_an_end_in_number(tmp_path: Path) -> None:
    clock, user = Clock(), make_page_user("anna", Role.READER, PASSWORD)
    sessions = LoginSessions(tmp_path / "sessions.json", clock)
    tokens = []
    for _ in range(MOST_SESSIONS + 5):
        clock.now_s += 1
        tokens.append(sessions.begin_session(user))
    assert [sessions.find_session(t) is not None for t in tokens] == [False] * 5 + [True] * MOST_SESSIONS


def test_a_form_belongs_to_one_cookie() -> None:
    token = expected_form_token(b"k" * 32, "cookie")
    assert is_expected_form_token(b"k" * 32, "cookie", token)
    for key, text, given in ((b"x" * 32, "cookie", token), (b"k" * 32, "other", token), (b"k" * 32, "cookie", "ü")):
        assert not is_expected_form_token(key, text, given)


def test_the_list_of_activities_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "activity.jsonl"
    activity = ActivityLog(path)
    path.write_bytes(b"x" * (MOST_BYTES + 1))
    activity.record_activity("login", "anna\n", "10.0.0.1", "d" * 1000)
    assert path.stat().st_size < 1000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (line,) = activity.newest_activities(10)
    assert (line["user"], len(line["detail"])) == ("anna\n", 300)
    assert path.with_suffix(".1.jsonl").exists()


# --- texts ----------------------------------------------------------------------------------------------------------


def leaves(table: dict[str, object], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        found |= leaves(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": str(value)}
    return found


def test_each_language_has_each_text_with_the_same_values() -> None:
    by_language = {name: leaves(PageTexts(name).table) for name in LANGUAGES}
    english = by_language["en"]
    for texts in by_language.values():
        assert sorted(texts) == sorted(english)
        for key, text in texts.items():
            assert text.strip()
            assert sorted(re.findall(r"{(\w+)}", text)) == sorted(re.findall(r"{(\w+)}", english[key])), key


def test_each_text_of_the_program_is_there_and_each_text_is_used() -> None:
    sources = "".join(p.read_text("utf-8") for p in (ROOT / "agent" / "commands" / "page").glob("*.py"))
    english = leaves(tomllib.loads((ROOT / "config" / "page" / "en.toml").read_text("utf-8")))
    named = set(re.findall(r"[\"']([a-z]+\.[a-z_.]+)[\"']", sources)) - {"kit.toml"}
    tables = {key.partition(".")[0] for key in english}
    assert {name for name in named if name.partition(".")[0] in tables} <= set(english)
    whole_tables = {
        "roles", "pages", "devices", "undelivered", "status", "commission", "kit.profile", "kit.refused", "faults",
        "problem",
    }  # fmt: skip

    unused = [
        k for k in english if k not in named and k.rpartition(".")[0] not in whole_tables and "commission" not in k
    ]
    assert unused == []


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de-LU,de;q=0.9", "de"),
        ("lb,fr;q=0.8,en;q=0.9", "en"),
        ("fr;q=0,de;q=0.1", "de"),
        ("x;q=y,*", "en"),
    ],
)
def test_the_language_of_the_browser(accepted: str, language: str) -> None:
    assert (accepted_language(accepted, LANGUAGES) or "en") == language


# --- the station file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("", ""),
        ("port = 8443", ""),
        ("port = 70000", "field_page.port"),
        ('port = 8443\nhost = "here"', "must be an IP address"),
        ('port = 8443\nhost = "0.0.0.0"', "field_page.host: would answer in the network of the backend too"),
        ('port = 8443\nhost = "0.0.0.0"\ninterface = "eth1"', ""),
        ('port = 8443\ninterface = "a b"', "field_page.interface"),
        ('port = 8443\nallowed_hosts = ["a b"]', "field_page.allowed_hosts"),
        ('port = 8443\ntls_cert = "cert.pem"', "field_page.tls_key: is missing beside tls_cert"),
        ('port = 8443\ntls_key = "key.pem"', "field_page.tls_cert: is missing beside tls_key"),
        ('port = 8443\ntls_cert = "cert.pem"\ntls_key = "key.pem"', "field_page.tls_key"),
        ('port = 8443\nusers_file = "station.toml"', "field_page.users_file"),
        ("prot = 1", "port"),
    ],
)
def test_check_judges_each_key(station: Path, capsys: pytest.CaptureFixture[str], keys: str, said: str) -> None:
    station.write_text(f"[field_page]\n{keys}\n{STATION}", "utf-8")
    code = main(["check", str(station)])
    text = capsys.readouterr().err
    assert (code, said in text) == (2 if said else 0, True), text


def test_off_unless_the_file_says_otherwise(station: Path) -> None:
    from agent.station_file.settings import load_station_file

    page = load_station_file(station).field_page
    assert (page.port, page.host) == (0, "127.0.0.1")


def test_a_user_may_be_read_from_another_file(tmp_path: Path) -> None:
    from agent.station_file.settings import load_station_file

    path = write_page_station(tmp_path, 'users_file = "users/page.json"')
    write_users(tmp_path / "users" / "page.json", paul=Role.READER)
    file = load_station_file(path)
    assert list(load_page_users(file.field_page_users)) == ["paul"]
    assert json.loads(file.field_page_users.read_text("utf-8"))["version"] == 1


def test_each_fault_and_each_status_has_a_name() -> None:
    names = tomllib.loads((ROOT / "config" / "page" / "en.toml").read_text("utf-8"))
    assert set(names["faults"]) == {str(MREC_SYNONYMS.get(fault, fault)) for fault in Fault}
    assert set(names["status"]) >= {str(status) for status in ConnectorStatus}
