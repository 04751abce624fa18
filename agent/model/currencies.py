"""The currencies of ISO 4217 by their minor unit: amounts are reckoned in hundredths here, and a bank counts in minor
units. Funds, metals and test codes are left out: nothing is sold in them."""

from __future__ import annotations

HUNDREDTHS = frozenset(
    """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC
    CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
    KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR
    NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT
    TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905  a list of 150 quoted words is no easier to read
)
OTHERS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""Decimals of the minor unit where these are not two."""


def currency_problem(code: str) -> str:
    """Return why prices cannot be in this currency; "": they can."""
    if code in HUNDREDTHS:
        return ""
    if code in OTHERS:
        return (
            f"{code} has {OTHERS[code]} decimals (ISO 4217); amounts are reckoned in hundredths: it cannot be charged"
        )
    return f"{code!r} is no currency of ISO 4217"
