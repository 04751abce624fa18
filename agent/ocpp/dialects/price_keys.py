"""Keys of OCPP 1.6 whose value is JSON in a text: ``DefaultPrice`` and ``DefaultPriceText,<language>`` (OCA application
note "OCPP & California Pricing Requirements"), each made of several settings; and ``AdhocTariffInForce``, which is as
long as a value of 1.6 may be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from agent.domain.csms_cost import parse_micro_amount
from agent.domain.variables import VARIABLES, Value, WrongValue, parse_value
from agent.model import json_limits
from agent.model.fastclass import frozen
from agent.ocpp.wire.text import is_plain

VALUE_MAX = 500
"""Characters of a configuration value (CiString500)."""
_PRICES = {"kWhPrice": "offline_kwh_price", "hourPrice": "offline_hour_price", "flatFee": "offline_flat_price"}


@frozen
class JsonParts:
    """The settings behind one key. ``split``: turns a received value into texts of these
    settings; raises ``WrongValue``. ``join``: the other way. ``settings``: their names."""

    settings: tuple[str, ...]
    split: Callable[[str], dict[str, str]]
    join: Callable[[Mapping[str, Value]], str]


def default_price() -> JsonParts:
    """Return the settings behind ``DefaultPrice``."""
    texts = {"priceText": "tariff_fallback", "priceTextOffline": "tariff_fallback_offline"}
    return _build_parts(texts, _PRICES)


def price_text(language: str) -> JsonParts:
    """Return the settings behind ``DefaultPriceText,<language>``."""
    texts = {"priceText": f"tariff_fallback_{language}", "priceTextOffline": f"tariff_fallback_offline_{language}"}
    return _build_parts(texts, {})


def price_in_force() -> JsonParts:
    """Return the setting behind ``AdhocTariffInForce``."""
    return JsonParts(
        ("adhoc_tariff_in_force",), _refuse_value, lambda values: _short_prices(str(values["adhoc_tariff_in_force"]))
    )


def _refuse_value(value: str) -> dict[str, str]:
    raise WrongValue("is the station's to say")


def _short_prices(text: str) -> str:
    """Return the prices, with the names of the tariffs alone if that would be more than a value of 1.6 may have."""
    if len(text) <= VALUE_MAX:
        return text
    groups = [
        {k: v for k, v in group.items() if k in ("evses", "id", "valid_from", "next")} for group in json.loads(text)
    ]
    short = json.dumps(groups, ensure_ascii=False, separators=(",", ":"))
    return short if len(short) <= VALUE_MAX else "[]"


def _build_parts(texts: Mapping[str, str], prices: Mapping[str, str]) -> JsonParts:
    def split_value(value: str) -> dict[str, str]:
        try:
            found = _split_price_json(value, texts, prices)
            for name, text in found.items():
                parse_value(VARIABLES[name], text)
        except ValueError as e:
            raise WrongValue(f'must be like {{"priceText": "0.45 €/kWh"}} ({e})') from None
        return found

    return JsonParts(
        (*texts.values(), *prices.values()), split_value, lambda values: _join_price_json(values, texts, prices)
    )


def _split_price_json(value: str, texts: Mapping[str, str], prices: Mapping[str, str]) -> dict[str, str]:
    from decimal import Decimal

    data = (
        json_limits.read_json(value, parse_float=Decimal, parse_constant=parse_micro_amount)
        if value.strip()
        else {"priceText": ""}
    )
    if not isinstance(data, dict) or "priceText" not in data:
        raise ValueError("must be an object with a priceText")
    charging = data.get("chargingPrice") or {}
    if not isinstance(charging, dict):
        raise ValueError("chargingPrice must be an object")
    return {name: _require_text(data.get(part)) for part, name in texts.items()} | {
        name: _parse_amount(charging.get(part)) for part, name in prices.items()
    }


def _require_text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise ValueError("a price text must be a text")
    text = " ".join((value or "").split())
    if not is_plain(text):
        raise ValueError("control characters")
    return text


def _parse_amount(value: Any) -> str:
    """Return a plain decimal number; "" for none."""
    if isinstance(value, str):
        raise ValueError("a price must be a number")
    return "" if value is None else _format_amount(parse_micro_amount(value))


def _format_amount(amount_micro: int) -> str:
    whole, part = divmod(amount_micro, 10**6)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".")


def _join_price_json(values: Mapping[str, Value], texts: Mapping[str, str], prices: Mapping[str, str]) -> str:
    """Join the parts, at most ``VALUE_MAX`` characters. Another version may set longer texts;
    then the last part is left out."""
    chosen = {part: values.get(name, "") for part, name in texts.items()}
    parts = [
        f"{_encode_json(part)}:{_encode_json(text)}" for part, text in chosen.items() if text or part == "priceText"
    ]
    amounts = [
        f"{_encode_json(p)}:{_format_amount(parse_micro_amount(values[n]))}" for p, n in prices.items() if values.get(n)
    ]
    parts += [f'"chargingPrice":{{{",".join(amounts)}}}'] if amounts else []
    while len(parts) > 1 and len(",".join(parts)) + 2 > VALUE_MAX:
        parts.pop()
    whole = "{" + ",".join(parts) + "}"
    return "" if not any(chosen.values()) and not amounts else whole if len(whole) <= VALUE_MAX else "{}"


def _encode_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
