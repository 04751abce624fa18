"""Whole card numbers in free words of a terminal or an acquirer: masked, whatever stands between and beside their
digits. Pure."""

from __future__ import annotations

import re

_DIGITS = range(13, 20)
"""How many a card number has (ISO/IEC 7812-1)."""
_FIRST_DIGITS = frozenset("23456789")
"""Of the cards that a terminal takes: 0 and 1 are those of other industries."""
_DIGIT_RUN = re.compile(r"[0-9](?:[\W_]{0,3}[0-9]){12,}")
"""Digits with up to three characters between that are neither digits nor letters: a line break is one."""
_SHOWN = 4
LONGEST_PRINT = _DIGITS[-1] + 3 * (_DIGITS[-1] - 1)
"""Characters that a card number takes at most."""


def mask_card_numbers(words: str) -> str:
    """Return the words with all but the last four digits masked of every sequence of digits whose check digit is that
    of a card number. A number that passes for one by chance is masked too."""
    return _DIGIT_RUN.sub(_masked_digit_run, words)


def _masked_digit_run(found: re.Match[str], last4: str = "") -> str:
    chars = list(found[0])
    places = [at for at, char in enumerate(chars) if "0" <= char <= "9"]
    digits = "".join(chars[at] for at in places)
    for begin in range(len(digits) - _DIGITS[0] + 1):
        for end in range(begin + _DIGITS[0], min(begin + _DIGITS[-1], len(digits)) + 1):
            if digits[:end].endswith(last4) and _passes_for_card_number(digits[begin:end]):
                for at in places[begin : end - _SHOWN]:
                    chars[at] = "*"
    return "".join(chars)


def mask_known_card_number(reference: str, last4: str) -> str:
    """Return the reference with the card number masked that ends with these digits. Of a reference nothing else is
    masked: by chance most long ones have digits that pass for a card number, and an acquirer's file has them whole.
    ``last4`` "": the card is not known, and only a reference that is a card number as a whole is masked."""
    digits = re.sub(r"\D", "", reference)
    if not last4:
        return mask_card_numbers(reference) if digits == reference and _is_whole_number(digits) else reference
    return _DIGIT_RUN.sub(lambda found: _masked_digit_run(found, last4), reference)


def _is_whole_number(digits: str) -> bool:
    return len(digits) in _DIGITS and _passes_for_card_number(digits)


def _passes_for_card_number(digits: str) -> bool:
    total = sum(
        value if n % 2 == 0 else sum(divmod(2 * value, 10)) for n, value in enumerate(int(d) for d in reversed(digits))
    )
    return digits[0] in _FIRST_DIGITS and total % 10 == 0
