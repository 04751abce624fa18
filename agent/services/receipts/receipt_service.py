"""Serve the page of each receipt over HTTP, by the reference of its payment. A reference has 60 random bits: who has it
has the code of the receipt, or its card."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from agent.model.accepted_language import accepted_language
from agent.ports.driver import missing_module
from agent.ports.store import StoreError
from agent.services.get_service import GetAnswer, GetRequest, GetService
from agent.services.receipts.receipt_document import receipt_document
from agent.services.receipts.receipt_html import message_page, receipt_page
from agent.services.receipts.receipt_texts import LANGUAGES

log = logging.getLogger(__name__)

PREFIX, PDF = "/r/", ".pdf"
PRINT_S = 30.0
PDF_BYTES_MAX = 4 * 1024 * 1024
HEADERS = (
    "Cache-Control: no-store",
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy: no-referrer",
    "X-Robots-Tag: noindex",
)
Found = tuple[Mapping[str, Any], Mapping[str, Any] | None]
"""A receipt, and the record of its payment if that is kept."""
FindReceipt = Callable[[str], Awaitable[Found | None]]


class ReceiptService(GetService):
    """``find``: finds a receipt by its reference. ``station_file``: of the command that prints: printing takes more
    memory than the agent should have, so it is done in a process of its own, one at a time."""

    def __init__(
        self, host: str, port: int, host_names: tuple[str, ...], tls: ssl.SSLContext | None,
        find: FindReceipt, timezone: str, station_file: Path,
    ) -> None:  # fmt: skip
        super().__init__("payment.receipts", host, port, host_names, tls)
        self.answer_s = PRINT_S
        self._find, self._timezone, self._station_file = find, timezone, station_file
        self._can_print = not missing_module(("fpdf",), "")
        self._printing = asyncio.Lock()

    async def answer_get(self, request: GetRequest) -> GetAnswer:
        chosen = request.query.get("lang", "")
        accepted = accepted_language(request.fields.get("accept-language", ""), LANGUAGES)
        reference, is_pdf = request.path.removeprefix(PREFIX), request.path.endswith(PDF)
        language = chosen if chosen in LANGUAGES else accepted
        if not request.path.startswith(PREFIX) or not reference.removesuffix(PDF).isalnum():
            return _page_answer(HTTPStatus.NOT_FOUND, message_page(language or "en", "not_found"))
        try:
            return await self._answer_receipt(reference.removesuffix(PDF), language, is_pdf)
        except (StoreError, KeyError, TypeError, ValueError) as e:
            log.error("a receipt cannot be shown: %s: %s", type(e).__name__, e)
            return _page_answer(HTTPStatus.SERVICE_UNAVAILABLE, message_page(language or "en", "unavailable"))

    async def _answer_receipt(self, reference: str, language: str, is_pdf: bool) -> GetAnswer:
        found = await self._find(reference)
        if found is None:
            return _page_answer(HTTPStatus.NOT_FOUND, message_page(language or "en", "not_found"))
        receipt, payment = found
        language = language or str(receipt.get("language") or "en")
        document = receipt_document(receipt, payment, language, self._timezone)
        if not is_pdf:
            pdf = f"{reference}{PDF}?lang={document.language}" if self._can_print else ""
            return _page_answer(HTTPStatus.OK, receipt_page(document, pdf))
        printed = await self._print_receipt(reference, document.language) if self._can_print else b""
        if not printed:
            return _page_answer(HTTPStatus.SERVICE_UNAVAILABLE, message_page(document.language, "unavailable"))
        name = f'Content-Disposition: inline; filename="{document.number}.pdf"'
        return GetAnswer(HTTPStatus.OK, printed, ("Content-Type: application/pdf", name, *HEADERS))

    async def _print_receipt(self, reference: str, language: str) -> bytes:
        """Print in a process of its own. Returns no bytes if that fails or another receipt is being printed."""
        if self._printing.locked():
            return b""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        words = ("payments", "receipt", str(self._station_file), reference, "--language", language, "--pdf", "-")
        async with self._printing:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "agent", *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env=environment,
            )
            try:
                async with asyncio.timeout(PRINT_S):
                    printed, _ = await process.communicate()
            except TimeoutError:
                log.error("a receipt was not printed within %g s", PRINT_S)
                return b""
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return printed if process.returncode == 0 and len(printed) <= PDF_BYTES_MAX else b""


def server_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return the TLS context of the page, None without a certificate. Raises ``OSError`` (``ssl.SSLError`` is one)."""
    if cert is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    return context


def _page_answer(status: HTTPStatus, page: str) -> GetAnswer:
    return GetAnswer(status, page.encode(), ("Content-Type: text/html; charset=utf-8", *HEADERS))
