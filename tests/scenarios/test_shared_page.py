"""``simulate --host``: other machines are served if they have the token, and a telephone reaches the payment page."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.scenarios.control_rig import Simulation, simulated, wait_for, write_station
from tests.support.busy_machine import stretched

OTHER = "127.0.0.2"
"""An address of this machine that is not the one it calls itself: for the server another machine's name."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def simulation(folder: Path) -> Iterator[Simulation]:
    path = write_station(folder)
    with path.open("a", encoding="utf-8") as file:
        file.write('\n[web_payment]\ndynamic = true\nallowed_hosts = ["127.0.0.1"]\n')
    with simulated(str(path), "--port", "0", "--speed", "20", "--host", OTHER) as s:
        yield s


def shared(simulation: Simulation) -> tuple[str, int, str]:
    """Host, port and token of the address that was printed for others."""
    line = wait_for(lambda: next((x for x in simulation.lines if "another machine" in x), ""), "the address")
    url = urlsplit(line.rsplit(" ", 1)[1])
    assert url.hostname
    assert url.port
    return url.hostname, url.port, url.query.removeprefix("token=")


def ask(
    simulation: Simulation, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> http.client.HTTPResponse:
    host, port, _ = shared(simulation)
    connection = http.client.HTTPConnection(host, port, timeout=stretched(20))
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.body = answer.read().decode()  # type: ignore[attr-defined]
    connection.close()
    return answer


def test_without_the_token_nothing_is_seen_and_nothing_is_done(simulation: Simulation) -> None:
    for path in ("/", "/app.js", "/api/v1/station", "/api/v1/events", "/api/v1/trace", "/?token=wrong"):
        answer = ask(simulation, path)
        assert answer.status == 403, path
        assert "token" in json.loads(answer.body)["error"]  # type: ignore[attr-defined]
    assert ask(simulation, "/api/v1/evses/1/plug", "POST", "{}").status == 403
    assert ask(simulation, "/api/v1/station", Cookie="chargy-1=x", Authorization="Bearer x").status == 403


def test_the_address_with_the_token_lets_a_browser_in_once_and_for_all(simulation: Simulation) -> None:
    _, port, token = shared(simulation)
    answer = ask(simulation, f"/?token={token}")
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    kept = cookie.partition(";")[0]
    assert kept == f"chargy-{port}={token}"
    assert ask(simulation, "/", Cookie=kept).status == 200
    assert ask(simulation, "/api/v1/limits", "POST", '{"max_a": null}', Cookie=kept).status == 202
    assert ask(simulation, "/api/v1/station", Authorization=f"Bearer {token}").status == 200


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}], ids=str
)
def test_a_foreign_page_gets_in_with_no_token(simulation: Simulation, headers: dict[str, str]) -> None:
    _, port, token = shared(simulation)
    whole = {"Cookie": f"chargy-{port}={token}", **headers}
    assert ask(simulation, "/api/v1/limits", "POST", '{"max_a": null}', **whole).status == 403
    assert ask(simulation, "/pay/x", **headers).status == 403


def test_the_token_is_private_and_stays(simulation: Simulation, folder: Path) -> None:
    path = folder / "world" / "token"
    assert path.read_text() == shared(simulation)[2]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_telephone_pays_at_the_address_of_the_code(simulation: Simulation) -> None:
    host, port, token = shared(simulation)

    def code() -> Any:
        answer = ask(simulation, "/api/v1/station", Authorization=f"Bearer {token}")
        return json.loads(answer.body)["evses"][0]["code"]  # type: ignore[attr-defined]

    url = wait_for(code, "a code on the screen")
    assert url.startswith(f"http://{host}:{port}/pay/CP-1/1/")
    path = urlsplit(url).path
    page = ask(simulation, path)
    assert (page.status, page.headers["Cache-Control"]) == (200, "no-store")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    (action,) = re.findall(r'action="([^"]+)"', page.body)  # type: ignore[attr-defined]
    visit = ask(simulation, action, "POST", "", Origin=f"http://{host}:{port}")
    assert visit.status == 303
    assert "Pay and charge" in ask(simulation, visit.headers["Location"]).body  # type: ignore[attr-defined]
    assert ask(simulation, path).status == 410


def test_an_address_of_another_machine_cannot_be_listened_on(tmp_path: Path) -> None:
    wrong = pytest.raises(AssertionError, match=r"--host: 192\.0\.2\.1 is no IPv4 address of this machine")
    with wrong, simulated(str(write_station(tmp_path)), "--port", "0", "--host", "192.0.2.1"):
        pass
