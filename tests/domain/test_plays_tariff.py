"""The ad-hoc price of an outlet: whose word it is, and where it is shown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agent.domain.asks import AskSet
from agent.domain.tariff import Tariff
from agent.domain.terms import Terms
from tests.domain.playbook import Playbook, make_site
from tests.domain.test_plays_cost import ask

PRICE = Tariff(Decimal("0.45"), vat_percent=Decimal(17))


def play(tariff: Tariff | None = PRICE, power_w: float = 22_000, backend: bool = False, **settings: Any) -> Playbook:
    def site() -> Any:
        made = make_site(settings={"cost_display": True, **settings})
        made.evses[1].terms = Terms(tariff, power_w, backend)
        return made

    return Playbook(site)


# --- a backend that sets the price -----------------------------------------------------------------------------------

DEFAULT = {"tariff_fallback": "0.50 €/kWh", "offline_kwh_price": "0.5", "offline_hour_price": "1.2"}


def test_a_backend_sets_the_price_of_a_weak_outlet() -> None:
    p = play(backend=True)
    assert ask(p, AskSet(DEFAULT, whole=True)) == "Accepted"
    assert p.site.settings.text("offline_hour_price") == "1.2"
    terms = p.evse().terms
    assert terms is not None
    assert terms.price(p.site.settings) == Tariff(Decimal("0.5"), Decimal("0.02"), vat_percent=Decimal(17))


@pytest.mark.parametrize("forbidden", [{"offline_hour_price": "1.2"}, {"offline_flat_price": "0.5"}])
def test_a_backend_cannot_ask_what_the_law_forbids(forbidden: dict[str, str]) -> None:
    """All of a default price or nothing of it: what is shown would not be what is asked."""
    p = play(power_w=50_000, backend=True)
    values = {"tariff_fallback": "cheap", "offline_kwh_price": "0.5", **forbidden}
    refused = p.feed(_asked(values))
    assert [o.data for o in refused if hasattr(o, "data")] == [dict.fromkeys(values, "Rejected")]
    assert [p.site.settings.text(n) for n in values] == ["", "", ""]
    assert ask(p.skip(), AskSet({"offline_kwh_price": "0.5", "offline_flat_price": "0"}, whole=True)) == "Accepted"
    assert p.site.settings.text("offline_kwh_price") == "0.5"


def test_a_price_that_is_not_exact_by_the_minute_is_refused() -> None:
    p = play(backend=True)
    p.feed(_asked({"offline_hour_price": "1"}))
    assert p.site.settings.text("offline_hour_price") == ""


def test_a_default_price_for_others_is_no_matter_of_the_law() -> None:
    p = play(power_w=50_000)
    p.feed(_asked({"offline_hour_price": "1"}))
    assert p.site.settings.text("offline_hour_price") == "1"


def _asked(values: dict[str, str]) -> Any:
    from agent.domain.events import Asked
    from tests.domain.playbook import LINK

    return Asked(LINK, "q", AskSet(values, whole=True))
