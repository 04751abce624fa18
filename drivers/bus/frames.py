"""Which bytes on a line are the answer to a request: unit, function, length and checksum must all fit.

Everything else on the line (noise before or after, the echo of a half-duplex adapter, the late answer to an older
request, another unit's answer) is not the answer, however well-formed it is.
Modbus application protocol V1.1b3; Modbus over serial line V1.02; Modbus messaging on TCP/IP V1.0b.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.bus.line import BITS, READ_HOLDING, READ_INPUT

_MBAP = 7
_EXCEPTION = 0x80
_READS = (READ_HOLDING, READ_INPUT, *BITS)


def modbus_crc16(data: bytes) -> bytes:
    """Compute the CRC of RTU frames (polynomial 0xA001, start 0xFFFF), in the order in which it is sent."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class ExpectedAnswer:
    """The shape of the only acceptable answers: ``head`` and total ``size`` of a good one, the same of a refusal."""

    head: bytes
    size: int
    refusal_head: bytes
    refusal_size: int
    checksum: bool

    @classmethod
    def for_request(cls, packet: bytes, rtu: bool) -> ExpectedAnswer:
        """Build the answer expected for a request, from the request's own bytes as they went out."""
        pdu = packet[1:-2] if rtu else packet[_MBAP:]
        body = _answer_head(pdu)
        length = _answer_length(pdu)
        refusal = bytes((pdu[0] | _EXCEPTION,))
        if rtu:
            unit = packet[:1]
            return cls(unit + body, 1 + length + 2, unit + refusal, 5, checksum=True)
        return cls(
            _mbap_header(packet, length) + body,
            _MBAP + length,
            _mbap_header(packet, 2) + refusal,
            _MBAP + 2,
            checksum=False,
        )

    def find_frame(self, heard: bytes) -> bytes | None:
        """Return the complete answer or refusal in the bytes received so far; None: not (yet) there."""
        return self._find_matching(heard, self.head, self.size) or self._find_matching(
            heard, self.refusal_head, self.refusal_size
        )

    def _find_matching(self, heard: bytes, head: bytes, size: int) -> bytes | None:
        start = heard.find(head)
        while start >= 0:
            frame = heard[start : start + size]
            if len(frame) == size and (not self.checksum or modbus_crc16(frame[:-2]) == frame[-2:]):
                return frame
            start = heard.find(head, start + 1)
        return None


def _answer_head(pdu: bytes) -> bytes:
    if pdu[0] in _READS:
        return bytes((pdu[0], _answer_length(pdu) - 2))
    return pdu[:5]  # all writes are acknowledged with function, address and value or count


def _answer_length(pdu: bytes) -> int:
    """Return the length of the answer: two octets for a register, one for eight bits."""
    count = int.from_bytes(pdu[3:5], "big")
    if pdu[0] in BITS:
        return 2 + -(-count // 8)
    return 2 + 2 * count if pdu[0] in _READS else 5


def _mbap_header(packet: bytes, pdu_length: int) -> bytes:
    return packet[:4] + (pdu_length + 1).to_bytes(2, "big") + packet[6:7]
