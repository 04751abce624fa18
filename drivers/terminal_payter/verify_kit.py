"""For ``chargy-agent verify``: where the line is, and what only a real terminal shows."""

from __future__ import annotations

from agent.ports.driver import Where
from agent.ports.verify import VerifyKit, Wire
from drivers.terminal_payter.settings import PayterSettings


def wire_of_terminal(settings: PayterSettings, where: Where) -> Wire | None:
    """Return the wire of a plain TCP line. There is none for TLS, which names the terminal and no proxy, and none for a
    serial line, whose speed is tried out."""
    return Wire("tcp", host=settings.host, port=settings.port) if settings.line == "tcp" else None


VERIFY_KIT = VerifyKit(
    wire=wire_of_terminal,
    on_hardware=(
        "The open points of the public documents (docs/payments.md) are as the settings say: ask the maker.",
        "Cards of each kind: contactless and chip, a telephone, one that is declined, one whose bank is slow.",
        "The terminal is switched off between the hold and the end of the session: the right amount is charged.",
        "The board is switched off while a card's bank is asked, a while after another payment: the terminal asks for "
        "the next card within a minute, and what the bank holds is given back (`payments list`: Voided), as session "
        "numbers follow one another; otherwise by the terminal's own time-out.",
        "The bank's statement: what was held, charged and given back on the day of the test.",
        "Its screen while no card is waited for: words in the language of the station; a telephone reads the receipt's "
        "code. With screen_hold_s the result is read in that time, and the next card is taken behind it.",
        "With badges = true: a badge at the terminal has the number that it has at the reader (badge_tags, uid_order), "
        "starts and stops; a bank card held there at the same time pays; a telephone is no badge.",
        "Without its SIM or network cable a card is declined, and chargy-agent doctor says so of its bank.",
        "Range and legibility through the front plate; rain, cold, sun.",
    ),
)
