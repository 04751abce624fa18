"""The demonstration's payment page: what a wrong address gets."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from agent.csms.payment_page import PayDesk, parse_limits


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
