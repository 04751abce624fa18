"""A receipt as a page: one file without scripts, fonts or pictures of other servers."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from agent.services.receipts.receipt_document import Component, ReceiptDocument, Row
from agent.services.receipts.receipt_texts import LANGUAGES, receipt_texts

STYLE = """
:root{color-scheme:light dark;background:Canvas;color:CanvasText}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:40rem;padding:1rem}
nav{display:flex;gap:1rem;flex-wrap:wrap;justify-content:flex-end}
nav a{padding:.5rem 0}
h1{font-size:1.5rem;margin:.5rem 0}
table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid #8886}
th{font-weight:normal}
td.amount,th.amount{text-align:right;padding-right:0;white-space:nowrap}
tfoot tr:first-child th,tfoot tr:first-child td{font-weight:bold}
small{display:block}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8rem}
dd{overflow-wrap:anywhere}
@media print{nav,.pdf{display:none}}
""".strip()


def receipt_page(document: ReceiptDocument, pdf_address: str) -> str:
    """Return the page. ``pdf_address``: of the printed receipt, "" if it cannot be printed here."""
    body = (
        f"<nav>{''.join(_language_links(document.language))}</nav>",
        "<main>",
        f"<h1>{escape(document.title)}</h1>",
        f"<p>{'<br>'.join(map(escape, document.seller))}</p>",
        _fact_table(document.facts),
        _bill_table(document),
        f'<p id="state"><strong>{escape(document.state)}</strong></p>' if document.state else "",
        _fact_table(document.card),
        _signed_part(document),
        _pdf_link(document, pdf_address),
        "</main>",
    )
    return page_of_parts(document.language, f"{document.title} {document.number}", body)


def message_page(language: str, key: str) -> str:
    """Return a page with one text of ``config/receipts``."""
    text = receipt_texts(language).text_of(key)
    return page_of_parts(language, text, (f"<main><h1>{escape(text)}</h1></main>",))


def page_of_parts(language: str, title: str, parts: Iterable[str]) -> str:
    """Return a whole page (HTML) around its parts."""
    head = (
        f'<!doctype html><html lang="{escape(language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
    )
    return f"{head}{''.join(parts)}</body></html>\n"


def _language_links(shown: str) -> Iterable[str]:
    for language in LANGUAGES:
        name = escape(receipt_texts(language).text_of("language"))
        here = ' aria-current="page"' if language == shown else ""
        yield f'<a href="?lang={language}" lang="{language}" hreflang="{language}"{here}>{name}</a>'


def _fact_table(rows: Iterable[Row]) -> str:
    found = "".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(v)}</td></tr>' for k, v in rows)
    return f"<table><tbody>{found}</tbody></table>" if found else ""


def _bill_table(document: ReceiptDocument) -> str:
    what, amount = document.heads
    head = f'<tr><th scope="col">{escape(what)}</th><th scope="col" class="amount">{escape(amount)}</th></tr>'
    lines = "".join(map(_component_row, document.components))
    totals = "".join(
        f'<tr><th scope="row">{escape(k)}</th><td class="amount">{escape(v)}</td></tr>' for k, v in document.totals
    )
    return f'<table id="bill"><thead>{head}</thead><tbody>{lines}</tbody><tfoot>{totals}</tfoot></table>'


def _component_row(one: Component) -> str:
    counted = "".join(f"<small>{escape(text)}</small>" for text in one.counted)
    title = f'<th scope="row">{escape(one.title)}{counted}</th>'
    return f'<tr>{title}<td class="amount">{escape(one.amount)}</td></tr>'


def _signed_part(document: ReceiptDocument) -> str:
    if not document.signed:
        return ""
    *facts, (name, record) = document.signed
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts)
    shown = f'<dl>{listed}</dl><p>{escape(name)}</p><pre id="signed">{escape(record)}</pre>'
    return f"<details><summary>{escape(document.labels['signed'])}</summary>{shown}</details>"


def _pdf_link(document: ReceiptDocument, address: str) -> str:
    return f'<p class="pdf"><a href="{escape(address)}">{escape(document.labels["pdf"])}</a></p>' if address else ""
