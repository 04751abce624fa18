"""The message of a backend beside what a page has to say: where it stands, and how a long one is cut.

One in front stands on all parts of the page, as a strip, if it fits there. Otherwise, and in the normal cycle, it has
parts of its own, which keep the title and, where there is room, the code. A page that has to be read at once does
without."""

from __future__ import annotations

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
    broken; empty if that is not wanted."""
    found: list[str] = []
    for sentence in split_sentences(text):
        if found and fits(f"{found[-1]} {sentence}"):
            found[-1] += f" {sentence}"
            continue
        while not (pieces := _cut_text_evenly(sentence, fits)):
            longest = max(sentence.split(), key=len, default="")
            middle = len(longest) // 2
            if not (middle and breaks_words):
                return ()
            sentence = sentence.replace(longest, f"{longest[:middle]} {longest[middle:]}", 1)
        found += pieces
    return tuple(found)


def _cut_text_evenly(text: str, fits: Callable[[str], bool]) -> tuple[str, ...]:
    """Cut a text between words into the fewest pieces that fit; empty if even single words do not. A number stays with
    its unit where it can."""
    for words in (unbreakable_words(text), text.split()):
        for count in range(1, len(words) + 1):
            ends = [len(words) * n // count for n in range(count + 1)]
            pieces = tuple(" ".join(words[a:b]) for a, b in pairwise(ends))
            if all(map(fits, pieces)):
                return pieces
    return ()


def split_sentences(text: str) -> list[str]:
    """Split a text into its sentences. A point within an abbreviation ends none."""
    found: list[str] = [""]
    for word in text.split():
        found[-1] = f"{found[-1]} {word}".lstrip()
        stem = word.rstrip(_ENDS)
        if stem != word and "." not in stem and stem not in _ABBREVIATED:
            found.append("")
    return [sentence for sentence in found if sentence]
