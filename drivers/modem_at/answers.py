"""Answers of a modem to typed values (3GPP TS 27.007). What cannot be read is reported as unknown, never as a guess."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.model.bearer import Registration, SimState
from drivers.mobile_modem import REGISTRATIONS

SIM_STATES = {
    "READY": SimState.READY,
    "SIM PIN": SimState.PIN_REQUIRED,
    "SIM PUK": SimState.PUK_REQUIRED,
    "SIM PIN2": SimState.READY,
    "SIM PUK2": SimState.READY,
    "NOT INSERTED": SimState.MISSING,
}
"""By the words of +CPIN. The second PIN is of no use here, and stops nothing."""
SIM_ERRORS = {
    10: SimState.MISSING,
    11: SimState.PIN_REQUIRED,
    12: SimState.PUK_REQUIRED,
    13: SimState.FAILED,
    15: SimState.FAILED,
}
"""By the number of +CME ERROR. 14 means that the SIM is busy, and is no state."""
PIN_REFUSALS = (12, 16)
"""Numbers of +CME ERROR after a PIN that mean that it was wrong. Any other, or none, leaves open what became of it."""
TECHNOLOGIES = {
    0: "GSM", 1: "GSM", 2: "UMTS", 3: "EDGE", 4: "HSDPA", 5: "HSUPA", 6: "HSPA", 7: "LTE", 8: "EC-GSM-IoT",
    9: "NB-IoT", 10: "LTE", 11: "NR", 12: "NR", 13: "LTE",
}  # fmt: skip
ERROR_WORDS = {
    3: "not allowed", 4: "not supported", 10: "no SIM", 11: "the SIM needs its PIN", 12: "the SIM needs its PUK",
    13: "the SIM has failed", 14: "the SIM is busy", 15: "wrong SIM", 16: "wrong PIN", 30: "no network",
    31: "the network does not answer", 32: "emergency calls only", 103: "the network refuses the SIM",
    106: "the network refuses the modem", 107: "data is not allowed for this SIM",
    111: "this network is not allowed for this SIM", 112: "this area is not allowed",
    113: "roaming is not allowed for this SIM", 132: "the service is not supported", 133: "the APN is not subscribed",
    148: "the network refuses the connection", 149: "the network refuses user or password of the APN",
}  # fmt: skip
"""By the number of +CME ERROR, for a technician."""
UNKNOWN_SIGNAL, MOST_SIGNAL = 99, 31
EF_ICCID = 12258
"""The file of the SIM that holds the ICCID (ETSI TS 102 221)."""


def answer_text(lines: Sequence[str], prefix: str) -> str:
    """Return what follows the prefix in the last line that has it: a report that comes by itself stands before."""
    return next((line[len(prefix) :].strip() for line in reversed(lines) if line.startswith(prefix)), "")


def sim_state_of(lines: Sequence[str]) -> SimState | None:
    """Return the state of the SIM by ``+CPIN?``; None: the words are not known."""
    return SIM_STATES.get(answer_text(lines, "+CPIN:"))


def pin_tries_of(lines: Sequence[str]) -> int | None:
    """Return how often the SIM still accepts a PIN, by ``+CPINR``."""
    found = re.fullmatch(r'"?SIM PIN"?, ?(\d{1,2})(, ?\d{1,2})?', answer_text(lines, "+CPINR:"))
    return int(found[1]) if found else None


def registration_of(lines: Sequence[str], prefix: str) -> tuple[Registration, str]:
    """Return the registration and the access technology by ``+CREG?`` and its sisters.

    A report that comes by itself in the middle of the answer lacks the first number.
    """
    for line in lines:
        fields = re.fullmatch(
            r'\d, ?(\d{1,2})(, ?"?[0-9A-Fa-f]*"?, ?"?[0-9A-Fa-f]*"?(, ?(\d{1,2}))?.*)?', line[len(prefix) :].strip()
        )
        if line.startswith(prefix) and fields:
            technology = TECHNOLOGIES.get(int(fields[4]), "") if fields[4] else ""
            return REGISTRATIONS.get(int(fields[1]), Registration.UNKNOWN), technology
    return Registration.UNKNOWN, ""


def operator_of(lines: Sequence[str]) -> tuple[str, str]:
    """Return the operator and the access technology by ``+COPS?``."""
    found = re.fullmatch(r'\d,\d,"([^"]*)"(,(\d{1,2}))?', answer_text(lines, "+COPS:"))
    if not found:
        return "", ""
    return found[1], TECHNOLOGIES.get(int(found[3]), "") if found[3] else ""


def operator_choice_mode_of(lines: Sequence[str]) -> int | None:
    """Return how the modem chooses the operator, by ``+COPS?``; None: it does not say."""
    found = re.match(r"(\d)(,|$)", answer_text(lines, "+COPS:"))
    return int(found[1]) if found else None


def signal_dbm_of(lines: Sequence[str]) -> int | None:
    """Return the signal by ``+CSQ``; None: not known."""
    found = re.fullmatch(r"(\d{1,2}), ?\d{1,2}", answer_text(lines, "+CSQ:"))
    if not found or int(found[1]) > MOST_SIGNAL:
        return None
    return -113 + 2 * int(found[1])


def iccid_of_file(lines: Sequence[str]) -> str:
    """Return the ICCID by ``+CRSM``: the two digits of each byte are exchanged, and F fills up."""
    found = re.fullmatch(r'144, ?\d+, ?"?([0-9A-Fa-f]{20})"?', answer_text(lines, "+CRSM:"))
    if not found:
        return ""
    digits = "".join(found[1][i + 1] + found[1][i] for i in range(0, 20, 2))
    return checked_digits(digits, 18, 20)


def checked_digits(text: str, least: int, most: int) -> str:
    """Return a number without its filling; "": it is none of this length."""
    digits = text.strip().strip('"').rstrip("Ff")
    return digits if re.fullmatch(rf"[0-9]{{{least},{most}}}", digits) else ""
