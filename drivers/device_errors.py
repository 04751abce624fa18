"""Errors of a device, with the name of the device in front."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from agent.ports import Broken, DeviceError, Exchanged, Garbled, Refused, Unreachable

_KINDS = (Unreachable, Garbled, Refused, Exchanged, Broken)
"""``Exchanged`` is a ``Broken``. A driver's own kinds inside these are of no use outside it."""


def with_device_name(name: str, error: DeviceError) -> DeviceError:
    """Return an error of the same kind whose text begins with the name of the device."""
    text = str(error)
    kind = next(k for k in _KINDS if isinstance(error, k))
    return kind(text if text.startswith(name) else f"{name}: {text}")


@contextlib.contextmanager
def naming_device(name: str) -> Iterator[None]:
    """Put the name of the device in front of the errors of the block."""
    try:
        yield
    except DeviceError as e:
        raise with_device_name(name, e) from e
