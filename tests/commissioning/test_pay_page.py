"""The demonstration's payment page: what a wrong address gets."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

from agent.csms.payment_page import PayDesk, parse_limits
from agent.csms.payment_page_texts import PAGE_TEXTS


@pytest.mark.parametrize("post", [False, True])
@pytest.mark.parametrize("code", ["", "x", "é" * 8, "\ud7ff", "<script>", "0" * 8])
@pytest.mark.parametrize("connector", ["1", "٣", "²", "-1", "x", "1" * 5000])
async def test_a_code_that_is_none_is_refused(code: str, connector: str, post: bool) -> None:
    central: Any = None
    desk = PayDesk(central, 0.5)
    desk._secrets["CP 1", 0] = "secure!Charging!"
    status, text = await desk.answer_page_request(f"/pay/CP%201/{quote(connector)}/{quote(code)}/v1", post)
    assert status in (403, 404)
    assert "<script>" not in text


@pytest.mark.parametrize(
    ("accepted", "language"), [("", "en"), ("fr-LU, en;q=0.5", "fr"), ("lb, de;q=0.9", "de"), ("es", "en")]
)
async def test_the_page_has_the_language_of_the_telephone(accepted: str, language: str) -> None:
    central: Any = None
    desk = PayDesk(central, 0.5)
    desk._secrets["CP", 0] = "secure!Charging!"
    code = desk._valid_codes("secure!Charging!", "CP")[1].decode()
    for path, key in ((f"/pay/CP/1/{code}/v1", "continue"), ("/pay/CP/1/x/v1", "invalid_do"), ("/pay/none", "unknown")):
        text = (await desk.answer_page_request(path, False, "maxenergy=500", accepted))[1]
        assert PAGE_TEXTS[language][key] in text
        assert f"<html lang={language}>" in text
    price = {"en": "0.50 € per kWh", "fr": "0,50 € par kWh", "de": "0,50 € je kWh"}[language]
    assert price in (await desk.answer_page_request(f"/pay/CP/1/{code}/v1", False, "", accepted))[1]


@pytest.mark.parametrize("language", PAGE_TEXTS)
def test_the_languages_have_the_same_texts_and_values(language: str) -> None:
    values = [
        {key: set(re.findall(r"{\w+}", text)) for key, text in PAGE_TEXTS[code].items()} for code in ("en", language)
    ]
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("query", "limits"),
    [
        ("", {}),
        ("maxenergy=20000&maxtime=3600&maxcost=12.50", {"maxenergy": 20_000, "maxtime": 3600, "maxcost": 12.5}),
        ("maxcost=-1&maxtime=x&maxenergy=nan&speed=9", {}),
        ("maxcost=1e99&maxenergy=inf&maxtime=", {}),
        ("&".join(["a=1"] * 100), {}),
    ],
)
def test_the_parameters_of_an_address_limit_the_charge(query: str, limits: dict[str, float]) -> None:
    """C25.FR.59, C25.FR.60: others are ignored."""
    assert parse_limits(query) == limits
