"""Which of our languages a browser asks for (``Accept-Language``, RFC 9110, 12.5.4)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

HEADER_MOST = 500
"""Characters of a header that are looked at."""


def accepted_language(header: str, languages: Collection[str]) -> str:
    """Return the language of ``languages`` (two letters) that the header likes best; "": none is accepted."""
    weighed = [(-_entry_weight(rest), name.strip()[:2].lower()) for name, rest in _split_entries(header[:HEADER_MOST])]
    return next((name for weight, name in sorted(weighed, key=lambda w: w[0]) if name in languages and weight), "")


def _split_entries(header: str) -> Iterable[tuple[str, str]]:
    for entry in header.split(","):
        name, _, rest = entry.partition(";")
        yield name, rest.strip()


def _entry_weight(rest: str) -> float:
    try:
        return float(rest.removeprefix("q=")) if rest else 1.0
    except ValueError:
        return 0.0
