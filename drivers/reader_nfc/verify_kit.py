"""For ``chargy-agent verify``: what only a real reader shows."""

from __future__ import annotations

from agent.ports.driver import Where
from agent.ports.verify import VerifyKit
from drivers.reader_nfc.settings import NfcSettings


def wire_of_reader(settings: NfcSettings, where: Where) -> None:
    """Return None: nfcpy changes the speed of the line in the middle of it, which no proxy can follow."""


VERIFY_KIT = VerifyKit(
    wire=wire_of_reader,
    on_hardware=(
        "Pull the reader's plug, put it back: the next card is read (no bus shim goes between nfcpy and its reader).",
        "Range and angle through the front plate, with the display and the contactor on; two cards at once.",
        "Cards of each kind that comes: MIFARE DESFire, Classic, a telephone (random number: refused), a bank card.",
        "The number as the back office knows it: uid_order and uid_case, or the file of a secure badge.",
        "Cold and wet: the coldest morning and rain on the plate.",
    ),
)
