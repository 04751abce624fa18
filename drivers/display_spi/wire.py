"""The wire under luma: an SPI bus of the kernel (spidev) and GPIO lines (gpiod), in the shapes that luma expects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.ports import Broken, Unreachable
from drivers.display_spi.settings import SpiSettings


class SpiBus:
    """What luma takes for ``spidev.SpiDev``; counts the bytes written."""

    def __init__(self) -> None:
        import spidev

        self._dev = spidev.SpiDev()
        self.written = 0

    def open(self, port: int, device: int) -> None:
        self._dev.open(port, device)

    def writebytes(self, data: Sequence[int]) -> None:
        self._dev.writebytes(data)
        self.written += len(data)

    def close(self) -> None:
        self._dev.close()

    @property
    def max_speed_hz(self) -> int:
        return int(self._dev.max_speed_hz)

    @max_speed_hz.setter
    def max_speed_hz(self, value: float) -> None:
        self._dev.max_speed_hz = int(value)


class GpioLines:
    """What luma takes for ``RPi.GPIO``: output lines of one GPIO chip, low at first."""

    OUT, LOW, HIGH = 0, 0, 1

    def __init__(self, path: str, numbers: tuple[int, ...]) -> None:
        import gpiod
        from gpiod.line import Direction, Value

        self._values = (Value.INACTIVE, Value.ACTIVE)
        config = {numbers: gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.INACTIVE)}
        self._request = gpiod.request_lines(path, consumer="chargy-agent display", config=config)

    def setup(self, pin: int, mode: int) -> None:
        """Do nothing: the lines were requested as outputs."""

    def output(self, pin: int, value: int) -> None:
        self._request.set_value(pin, self._values[bool(value)])

    def cleanup(self, pins: Any = None) -> None:
        """Do nothing: ``close`` releases all of them."""

    def close(self) -> None:
        self._request.release()


def opened_wire(settings: SpiSettings) -> tuple[SpiBus, GpioLines, Any]:
    """Open bus, lines and luma's serial interface over both, and reset the panel. Raises ``Unreachable``,
    ``Broken``."""
    try:
        from luma.core.interface.serial import spi

        bus = SpiBus()
        numbers = tuple(n for n in (settings.dc, settings.reset, settings.backlight) if n >= 0)
        lines = GpioLines(settings.gpio, numbers)
    except ImportError as e:
        raise Broken(f"display {settings.chip}: {e.name} is missing; install chargy-agent[spi]") from e
    except (OSError, ValueError) as e:
        raise _unreachable_error(settings, settings.gpio, e) from e
    port, select = map(int, settings.bus.split("."))
    try:
        serial = spi(
            spi=bus, gpio=lines, port=port, device=select, bus_speed_hz=int(settings.speed_mhz * 1_000_000),
            gpio_DC=settings.dc, gpio_RST=settings.reset if settings.reset >= 0 else None,
            reset_hold_time=0.01, reset_release_time=0.15,
        )  # fmt: skip
    except BaseException as e:
        lines.close()
        if isinstance(e, OSError) or type(e).__name__ == "DeviceNotFoundError":
            raise _unreachable_error(settings, f"/dev/spidev{settings.bus}", e) from e
        raise
    return bus, lines, serial


def _unreachable_error(settings: SpiSettings, path: str, error: BaseException) -> Unreachable:
    advice = "give the service user access (groups spi, gpio)" if isinstance(error, PermissionError) else "check wiring"
    return Unreachable(f"display {settings.chip}: {path}: {error}; {advice}; it is tried again")
