"""BER-TLV, as far as PSP's card data needs it. Pure."""

from __future__ import annotations


def parse_tlv(data: bytes) -> dict[str, bytes]:
    """Return the values by tag (hexadecimal). What is cut off or broken ends the reading. What came before it counts,
    since a reservation must not be lost for a garbled receipt line."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        tag_end = _tag_end(data, at)
        sized = _parse_length(data, tag_end)
        if sized is None:
            break
        length, begin = sized
        if begin + length > len(data):
            break
        found.setdefault(data[at:tag_end].hex().upper(), data[begin : begin + length])
        at = begin + length
    return found


def _tag_end(data: bytes, at: int) -> int:
    end = at + 1
    if data[at] & 0x1F == 0x1F:  # further bytes follow, all but the last with their top bit set
        while end < len(data) and data[end] & 0x80:
            end += 1
        end += 1
    return end


def _parse_length(data: bytes, at: int) -> tuple[int, int] | None:
    """Return the length, and where the value begins."""
    if at >= len(data):
        return None
    first = data[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    if not 1 <= count <= 3 or at + 1 + count > len(data):
        return None
    return int.from_bytes(data[at + 1 : at + 1 + count], "big"), at + 1 + count
