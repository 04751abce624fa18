"""Contracts of hardware roles: what the agent asks of a device, and the four ways in which a device may fail.

A port's docstring is its contract (Must / Must not / Raises); ``drivers/testkit`` checks it against any driver.
"""

from __future__ import annotations


class DeviceError(Exception):
    """A device did not do what was asked. ``str()`` is one line for a technician: what, where, what to do."""


class Unreachable(DeviceError):
    """No answer, no such port, connection refused: try again later."""


class Garbled(DeviceError):
    """An answer that cannot be true (checksum, length, range): the value must not be used."""


class Refused(DeviceError):
    """The device answered and said no."""


class Broken(DeviceError):
    """Trying again does not help: a person has to repair or configure something."""


class Exchanged(Broken):
    """It works, but it is another device than the one that was put into service: nothing may be billed from it."""
