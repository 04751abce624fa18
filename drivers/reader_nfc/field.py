"""The RF field, as nfcpy offers it: open, look for a card, ask whether it is still there, close.

Runs in the reader's thread only. nfcpy's ``connect()`` is not used: it swallows every OSError and cannot be ended in
time. Neither are its tag classes, which trust the offsets of the answer to select. Its block protocol (ISO-DEP) is, but
a talk has a deadline: by itself nfcpy obeys endless waiting time extensions and endless acknowledgements.
"""

from __future__ import annotations

import errno
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from agent.model.lazy_import import load_later
from agent.ports import Broken, DeviceError, Unreachable
from drivers.reader_nfc.cards import Card
from drivers.reader_nfc.desfire import Gone

RATS_TIMEOUT_S = 0.03
PRESENCE_TIMEOUT_S = 0.081
"""Frame waiting time of MIFARE DESFire (FWI 8, 77.3 ms) and its extension (3.6 ms), ISO/IEC 14443-4, 7.2."""

GARBLED_S = 10.0
"""So long a card may answer with garbage before the reader is blamed for it."""
SHORTEST_WAIT_S = 0.02
"""A card may ask for less (0.3 ms); a host that is busy needs more."""

ANSWER_MS = 1000
"""nfcpy gives a chip on a serial line 100 ms, and less to a command that has little to do in the field. The chip is as
quick as that; a board that dials or unpacks firmware meanwhile is not, and a reader lost for that would be away
for seconds."""

_CALLED_S = 0.5
"""A chip that listens at this rate answers at once."""
_HIGH_BAUD = (921600, 460800, 230400)
_PN532_ACK = bytes.fromhex("0000FF00FF00")
_SET_115200 = bytes(10) + bytes.fromhex("0000FF03FDD410041800")
"""Wake-up preamble and SetSerialBaudRate(115200), PN532 user manual 7.2.8."""
_SET_115200_DONE = bytes.fromhex("0000FF02FED5111A00")


_UNUSED = ("nfc.tag", "nfc.dep", "nfc.llcp", "nfc.snep", "nfc.handover", "usb1")
"""Contents of tags, peers, USB: 2 MiB that nfcpy imports, and that the number of a card does not need (usb1 is loaded
for a reader on USB)."""


class RfField:
    """One opened reader. Methods raise what nfcpy raises; ``to_device_error`` makes a ``DeviceError`` of it."""

    def __init__(self, frontend: Any, nfc: Any) -> None:
        self._frontend = frontend
        self._nfc = nfc
        self._ats = b""
        self._garbled_s = 0.0

    @classmethod
    def open_reader(cls, path: str) -> RfField:
        """Open the reader. Raises ``Unreachable`` or ``Broken``."""
        load_later(*_UNUSED)
        import nfc
        import nfc.clf

        # nfcpy writes UIDs at DEBUG, and an ERROR line for each failed attempt to open: the caller reports that once
        logging.getLogger("nfc").setLevel(logging.CRITICAL)
        try:
            return cls(_open_frontend(nfc, path), nfc)
        except Exception as e:  # noqa: BLE001  (nfcpy lets OSError, IndexError, termios.error, ValueError through)
            failure = to_device_error(e, path)
        port = _serial_port(path)
        if port is None or isinstance(failure, Broken) or not _reset_baud_rate(port):
            raise failure
        try:
            return cls(_open_frontend(nfc, path), nfc)
        except Exception as e:
            raise to_device_error(e, path) from e

    def find_card(self) -> Card | None:
        """Switch the field off and on and look for a card. One to three milliseconds on a PN532, up to 1 s on udp."""
        try:
            target = self._frontend.sense(self._nfc.clf.RemoteTarget("106A"), iterations=1)
        except (IndexError, TypeError, ValueError):
            # a card's broken answer, over which nfcpy stumbles; or a broken reader, if it does not end
            now_s = time.monotonic()
            self._garbled_s = self._garbled_s or now_s
            if now_s - self._garbled_s > GARBLED_S:
                raise
            return None
        self._garbled_s = 0.0
        if target is None:
            return None
        return Card(bytes(target.sdd_res or b""), (target.sel_res or b"\0")[0])

    def activate_card(self) -> bool:
        """Send RATS: after it the card's presence can be checked without a power cycle. False: it did not answer."""
        fsd = 0x70 if self._frontend.max_recv_data_size < 256 else 0x80
        self._ats = self._exchange_frame(bytes((0xE0, fsd)), RATS_TIMEOUT_S)
        return bool(self._ats)

    def preload_protocol(self) -> None:
        """Import nfcpy's block protocol before a card waits for it."""
        from nfc.tag import tt4

        assert tt4.IsoDepInitiator

    def exchange_with_card(self, for_s: float) -> Callable[[bytes], bytes]:
        """Return a callable that sends one APDU to the activated card and returns its answer or raises ``Gone``. It
        works ``for_s`` seconds at most."""
        from nfc.tag import TagCommandError, tt4

        frame, wait_s = frame_limits(self._ats)
        frame = min(frame, self._frontend.max_send_data_size)
        blocks = tt4.IsoDepInitiator(_DeadlineFrontend(self._frontend, time.monotonic() + for_s), frame, wait_s)

        def exchange_apdu(apdu: bytes) -> bytes:
            try:
                return bytes(blocks.exchange(bytearray(apdu)) or b"")
            except (TagCommandError, self._nfc.clf.CommunicationError, IndexError) as e:
                raise Gone(f"no answer from the card ({type(e).__name__})") from None  # IndexError: a torn block

        return exchange_apdu

    def card_is_present(self) -> bool:
        """Make the presence check of ISO/IEC 14443-4 (7.5.5.1): R(NAK) makes the card repeat itself, a random UID
        included."""
        return bool(self._exchange_frame(b"\xb2", PRESENCE_TIMEOUT_S))

    @property
    def reader_description(self) -> str:
        """Return maker and chip of the reader, as it reports them."""
        device = self._frontend.device
        return " ".join(filter(None, (device.vendor_name, device.product_name, device.chipset_name)))

    def close_reader(self) -> None:
        """Close the reader. Raises nothing: on a pulled serial reader nfcpy's close fails with termios.error and leaves
        a dead object."""
        try:
            device = self._frontend.device
            if device is not None and str(device.path).startswith("usb"):
                # an ACR122U that was sent to power-down is not found again until someone replugs it
                device.chipset.power_down = lambda *args, **kwargs: None
        except AttributeError:
            pass  # a reader without such a chip
        try:
            self._frontend.close()
        except Exception as e:  # noqa: BLE001  (see above)
            logging.getLogger(__name__).debug("reader did not close cleanly: %s", type(e).__name__)

    def _exchange_frame(self, frame: bytes, timeout_s: float) -> bytes:
        try:
            return bytes(self._frontend.exchange(bytearray(frame), timeout_s) or b"")
        except self._nfc.clf.CommunicationError:
            return b""


class _DeadlineFrontend:
    """What nfcpy's block protocol knows of a reader; it ends at ``end_s``."""

    def __init__(self, frontend: Any, end_s: float) -> None:
        self._frontend = frontend
        self._end_s = end_s

    def exchange(self, frame: bytes, timeout_s: float) -> bytes:
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise Gone("the card takes too long")
        return self._frontend.exchange(bytearray(frame), min(timeout_s, left_s)) or b""


def frame_limits(ats: bytes) -> tuple[int, float]:
    """Return the longest frame in bytes and frame waiting time in seconds, of an answer to select (ISO/IEC 14443-4,
    5.2)."""
    form = ats[1] if len(ats) > 1 else 0x02
    at = 3 if form & 0x10 else 2
    waiting = ats[at] >> 4 if form & 0x20 and len(ats) > at else 4
    frame = (16, 24, 32, 40, 48, 64, 96, 128, 256)[min(form & 0x0F, 8)]
    return frame, max(SHORTEST_WAIT_S, 4096 / 13.56e6 * 2 ** (waiting if waiting < 15 else 4))


def to_device_error(e: Exception, path: str) -> DeviceError:
    """Convert a foreign exception to one line for a technician."""
    if isinstance(e, DeviceError):
        return e
    what = f"reader {path}: "
    if isinstance(e, FileNotFoundError) and path.startswith("usb"):
        return Broken(what + "the library libusb-1.0 is missing; install the package libusb-1.0-0")
    if isinstance(e, ValueError) and path.startswith("udp"):
        return Broken(what + "this port cannot be used (it has a name in /etc/services); choose another one")
    if isinstance(e, OSError):
        advice = _ADVICE.get(e.errno or 0, "check cable and power; it is tried again")
        return Unreachable(f"{what}{e.strerror or e}; {advice}")
    return Unreachable(f"{what}answers with garbage ({type(e).__name__}); check cable and power; it is tried again")


# EACCES and EBUSY are worth another try: udev sets rights a moment after a hot plug, and a leaving process lets go
_ADVICE = {
    errno.EACCES: "give the service user access (udev rule)",
    errno.EBUSY: "another program or the kernel driver pn533_usb holds it: stop it or put it on the blacklist",
    errno.ENODEV: "no reader found there; check cable, power and path",
    errno.ENOENT: "no such device; check cable and path",
    errno.ETIMEDOUT: "no answer; check cable, power and that it is a reader of this kind",
}


def _open_frontend(nfc: Any, path: str) -> Any:
    """Open the reader by nfcpy's own look-up of ``path``, except for serial ports that its grammar cannot name."""
    if not path.startswith("tty:/"):
        frontend = nfc.ContactlessFrontend(path)
        if _serial_port(path):
            _lengthen_timeouts(frontend.device.chipset.transport)
        return frontend
    import importlib

    transport = importlib.import_module("nfc.clf.transport")
    port, driver = path.removeprefix("tty:").rsplit(":", 1)
    tty = transport.TTY(port)
    _lengthen_timeouts(tty)
    try:
        device = importlib.import_module(f"nfc.clf.{driver}").init(tty)
    except BaseException:
        tty.close()
        raise
    device._path = port
    frontend = nfc.ContactlessFrontend()
    frontend.device = device
    return frontend


def _lengthen_timeouts(line: Any) -> None:
    read = line.read
    line.read = lambda timeout: read(max(timeout, ANSWER_MS))


def _serial_port(path: str) -> str | None:
    """Return the device file of a PN532 on a serial line."""
    if not (m := re.fullmatch(r"tty:(.+):pn532", path)):
        return None
    name = m[1]
    if name.startswith("/"):
        return name
    return f"/dev/tty{name}" if re.fullmatch(r"(S|ACM|AMA|USB)\d+", name) else f"/dev/{name}"


def _reset_baud_rate(port: str) -> bool:
    """Call a PN532 back to 115200 baud. One whose host died stays at the high baud rate that nfcpy chose and is deaf at
    115200."""
    import serial

    for baud in _HIGH_BAUD:
        try:
            with serial.Serial(port, baud, timeout=_CALLED_S) as line:
                line.reset_input_buffer()
                line.write(_SET_115200)
                if line.read(len(_PN532_ACK)) != _PN532_ACK or line.read(9) != _SET_115200_DONE:
                    continue
                line.write(_PN532_ACK)
                line.flush()
                time.sleep(0.01)  # the chip switches after the host's ACK
                return True
        except (OSError, ValueError):
            return False
    return False
