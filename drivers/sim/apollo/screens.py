"""The screen of the terminal: what its host lets it show, and what its payment application puts in front of that."""

from __future__ import annotations

from dataclasses import dataclass, field

UI_TYPES = ("info", "notification", "dialog", "selection", "spinner", "carousel")
TEXT_KEYS = ("title", "subtitle", "advice", "message")


class UnknownScreen(ValueError):
    """The host asks for a screen that the terminal does not have."""


@dataclass
class HostScreen:
    """The screen that was last requested. Without a request it is the terminal's own."""

    kind: str = ""
    properties: dict[str, str] = field(default_factory=dict)

    def take_request(self, body: bytes) -> None:
        """Take the body of a UI Request: the type, then keys and values, each ended by a NUL.

        Raises ``UnknownScreen``, and ``IndexError`` for a body that does not have this form.
        """
        texts = body.decode("utf-8").split("\0")
        if texts.pop() or len(texts) % 2 == 0:
            raise IndexError("a text without its end, or a key without its value")
        if texts[0] not in UI_TYPES:
            raise UnknownScreen(texts[0])
        self.kind, self.properties = texts[0], dict(zip(texts[1::2], texts[2::2], strict=True))

    @property
    def qr(self) -> str:
        return self.properties.get("qr", "") if self.kind == "info" else ""

    def shown_lines(self) -> list[str]:
        return [self.properties[key] for key in TEXT_KEYS if self.properties.get(key)] or ["Welcome"]


@dataclass
class StartTexts:
    """The texts of Start Session behind the payment methods. A field that is not there is empty."""

    logo: str = ""
    hides_amount: bool = False
    qr: str = ""
    reference: str = ""
    second_reference: str = ""
    card_message: str = ""


def parse_start_texts(raw: bytes) -> StartTexts:
    """Read the texts that follow the payment methods, as far as the host has sent them."""
    if not raw:
        return StartTexts()
    logo, _, rest = raw.partition(b"\0")
    texts = [part.decode("utf-8", "replace") for part in rest[1:].split(b"\0")]
    qr, reference, second, message = [*texts, "", "", "", ""][:4]
    return StartTexts(logo.decode(), rest[:1] not in (b"", b"\0"), qr, reference, second, message)
