"""What a PDF shows, read by a program that did not write it."""

from __future__ import annotations

import pypdfium2

MARGIN_MM, HEAD_MM = 15.0, 8.0
POINTS_PER_MM = 72 / 25.4


def page_texts(pdf: bytes) -> list[str]:
    """The text of each page without blanks and line ends: a long value goes over several lines."""
    pages = pypdfium2.PdfDocument(pdf)
    return ["".join(page.get_textpage().get_text_range().split()).replace("\ufffe", "") for page in pages]


def squeezed(text: str) -> str:
    return "".join(text.split())


def outside_the_margins(pdf: bytes) -> list[int]:
    """Numbers of the pages on which something is drawn too near to an edge."""
    found = []
    for number, page in enumerate(pypdfium2.PdfDocument(pdf), 1):
        image = page.render(scale=1).to_pil().convert("L")
        inside = image.copy()
        left, top = round(MARGIN_MM * POINTS_PER_MM), round(HEAD_MM * POINTS_PER_MM)
        inside.paste(255, (left, top, image.width - left, image.height - top))
        if inside.getextrema() != (255, 255):
            found.append(number)
    return found


def lines_upon_each_other(pdf: bytes) -> list[tuple[int, str]]:
    """Page and text of each letter that stands on a letter of another line."""
    found = []
    for number, page in enumerate(pypdfium2.PdfDocument(pdf), 1):
        text = page.get_textpage()
        boxes = [
            (text.get_text_range(i, 1), text.get_charbox(i)) for i in range(text.count_chars())
            if not text.get_text_range(i, 1).isspace()
        ]  # fmt: skip
        taken: dict[tuple[int, int], tuple[str, float, float]] = {}
        for letter, (left, bottom, right, top) in boxes:
            middle = (left + right) / 2, (bottom + top) / 2
            cell = round(middle[0] / 1.5), round(middle[1] / 1.5)
            if cell in taken and abs(taken[cell][1] - middle[0]) < 0.6 and abs(taken[cell][2] - middle[1]) < 0.6:
                found.append((number, letter))
            taken[cell] = (letter, *middle)
    return found
