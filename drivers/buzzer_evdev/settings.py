"""Settings of ``drivers.buzzer_evdev``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass

from agent.model.key_rules import DevicePath


@dataclass(frozen=True, slots=True)
class BuzzerSettings:
    """``path``: ``/dev/input/event1`` or a symlink in ``/dev/input/by-path``. ``bell``: the device has one pitch of its
    own (SND_BELL, ``gpio-beeper``) instead of a tone of any frequency (SND_TONE)."""

    path: DevicePath
    bell: bool = False
