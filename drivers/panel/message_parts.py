"""The message of a backend beside what a page has to say: where it stands, and how a long one is cut.

One in front stands on all parts of the page, as a strip, if it fits there. Otherwise, and in the normal cycle, it has
parts of its own, which keep the title and, where there is room, the code. A page that has to be read at once does
without."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

from drivers.panel.canvas import Canvas, unbreakable_words
from drivers.panel.page import NOTHING, Page

Measure: TypeAlias = Callable[[Page], Canvas]
"""Places a page without drawing. Equal ones place equally."""


_ENDS, _ABBREVIATED = ".!?", ("Min", "inkl", "incl", "MwSt")


def add_message_parts(
    page: Page, split: Callable[[Page, Measure], tuple[Page, ...]], measure: Measure
) -> tuple[Page, ...]:
    """Return the parts of ``page`` with its message. ``split``: splits a page into parts that fit."""
    own = split(replace(page, message=""), measure)
    if page.message_in_front:
        beside = split(page, measure)
        if _shows_as_much(beside, own, measure):
            return beside
    if page.message_yields:
        return own
    parts = _message_parts(page, own, measure)
    return (*parts, *own) if page.message_in_front else (*own, *parts)


def _shows_as_much(beside: tuple[Page, ...], own: tuple[Page, ...], measure: Measure) -> bool:
    """Return whether nothing is cut off, and the code is there as it is without the message."""
    with_message, without = [measure(part) for part in beside], [measure(part) for part in own]
    codes = [c.has_kind("qr") for c in with_message]
    wanted = [c.has_kind("qr") for c in without]
    return all(c.is_complete for c in with_message) and any(codes) >= any(wanted) and all(codes) >= all(wanted)


def _message_parts(page: Page, own: tuple[Page, ...], measure: Measure) -> tuple[Page, ...]:
    """Return the parts that have the message alone. The code stays beside it if it is on all other parts; otherwise it
    has its own."""
    bare = replace(page, **NOTHING, message="", countdown="")
    still = replace(bare, clock="")  # the time goes on, and changes nothing in what fits
    keeps_code = bool(page.qr) and all(measure(part).has_kind("qr") for part in own)
    if keeps_code and (pieces := _cut_text_for_page(page.message, replace(still, qr=page.qr), measure)):
        bare = replace(bare, qr=page.qr)
    else:
        pieces = _cut_text_for_page(page.message, still, measure)
    return tuple(replace(bare, lines=(piece,)) for piece in pieces)


@lru_cache(maxsize=8)
def _cut_text_for_page(text: str, bare: Page, measure: Measure) -> tuple[str, ...]:
    """Cut a text into pieces that fit on ``bare``. Beside a code no word is broken: empty if one would have to be."""

    def fits_on_bare_page(piece: str) -> bool:
        c = measure(replace(bare, lines=(piece,)))
        return c.is_complete and (not bare.qr or c.has_kind("qr"))

    return cut_message_text(text, fits_on_bare_page, breaks_words=not bare.qr)


def cut_message_text(text: str, fits: Callable[[str], bool], breaks_words: bool = True) -> tuple[str, ...]:
    """Cut a text into pieces that fit and that end with a sentence where they can. A word that does not fit alone is
    broken; empty if that is not wanted. To lay out a piece is slow, so each end is found by bisection."""
    if not breaks_words and not fits(max(text.split(), key=len, default="")):
        return ()
    found: list[str] = []
    rest = split_sentences(text)
    while rest:
        joined = _count_fitting_words([*found[-1:], *rest], fits) - len(found[-1:])
        if joined > 0:
            found[-1:] = [" ".join([*found[-1:], *rest[:joined]])]
        elif pieces := _cut_sentence_evenly(rest[0], fits, breaks_words):
            found += pieces
        else:
            return ()
        rest = rest[max(1, joined) :]
    return tuple(found)


def _count_fitting_words(words: list[str], fits: Callable[[str], bool]) -> int:
    """Return how many of the words, from the first one, fit together."""
    return bisect_left(range(1, len(words) + 1), True, key=lambda count: not fits(" ".join(words[:count])))


def _cut_sentence_evenly(text: str, fits: Callable[[str], bool], breaks_words: bool) -> list[str]:
    """Cut a text between words into few pieces that fit, of as many words each where they can; empty if a word that
    must not be broken does not fit. A number stays with its unit where it can."""
    words: list[str] = []
    pieces: list[str] = []
    rest = unbreakable_words(text)
    while rest:
        if count := _count_fitting_words(rest, fits):
            words += rest[:count]
            pieces.append(" ".join(rest[:count]))
            rest = rest[count:]
            continue
        first, middle = rest[0], len(rest[0]) // 2
        if " " in first:
            rest[:1] = first.split()
        elif middle and breaks_words:
            rest[:1] = first[:middle], first[middle:]
        else:
            return []
    ends = [len(words) * n // len(pieces) for n in range(len(pieces) + 1)]
    even = [" ".join(words[begin:end]) for begin, end in pairwise(ends)]
    return even if all(map(fits, even)) else pieces


def split_sentences(text: str) -> list[str]:
    """Split a text into its sentences. A point within an abbreviation ends none."""
    found: list[str] = [""]
    for word in text.split():
        found[-1] = f"{found[-1]} {word}".lstrip()
        stem = word.rstrip(_ENDS)
        if stem != word and "." not in stem and stem not in _ABBREVIATED:
            found.append("")
    return [sentence for sentence in found if sentence]
