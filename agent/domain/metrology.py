"""What a meter must be, and what of its words may be billed (decision 18). Pure arithmetic over identities, readings.

Always: an identified meter is the one that the bill began with, a reading is not older than the
last, a register does not count in steps that no bill can bear. Where the station file declares an
accuracy class (``declares_class``), moreover: the model is sold in that class. There, and wherever
something is sold (``checks_plausibility``): the register moves as far as the hardware's current
explains, and it moves when there is power.

Directive 2014/32/EU, annexes II and V (MI-003); EN 50470-3 for AC, EN 50470-4 for DC meters.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.model.fastclass import mutable, replace
from agent.model.types import MeterIdentity, MeterPolicy, Reading

COARSEST_WH = 100.0
"""Whatever a station file allows: a register that counts in more than this cannot bill."""
MOST_V = 308.0
"""280 V and a tenth: what a phase can at most deliver per ampere."""
NONSENSE = 3
"""So many refused readings in a row are a fault."""
COMPARED_WH = 1000.0
"""Energy after which register and integrated power are compared (class B measures within 2 %, sampling adds some)."""
APART = 0.03
GAP_S = 30.0
"""Power that was not read for longer is unknown: the comparison starts again."""
FROZEN_WH = 100.0
LOAD_W = 100.0
"""Every meter counts this (three phases at their starting current take a third of it). Less may be noise that it does
not count, or the station's own consumption that it does."""


@mutable
class MeterWatch:
    """What is known of one EVSE's meter. ``pinned``: the meter that bills, on disk; ``present``: who answers now.
    ``base``: the last believed reading; ``power_wh``: energy by integrated power from the reading ``since`` to the
    last one that was ``seen``, believed or not."""

    policy: MeterPolicy = MeterPolicy()
    pinned: MeterIdentity | None = None
    present: MeterIdentity | None = None
    base: Reading | None = None
    refused: int = 0
    since: Reading | None = None
    seen: Reading | None = None
    power_wh: float = 0.0
    load_wh: float = 0.0
    """The same without a sign: whichever way round the meter is connected."""
    idle_wh: int = 0
    idle_most_wh: float = 0.0
    """How far the register moved while nothing worth comparing flowed, and how far that may have moved it."""
    trouble: str = ""

    @property
    def step_wh(self) -> float:
        return self.present.register_step_wh if self.present else 1.0

    def accept_reading(self, reading: Reading) -> None:
        """Take this reading as what later ones are compared with."""
        self.base, self.refused = reading, 0
        self.restart_comparison(reading)

    def restart_comparison(self, reading: Reading | None) -> None:
        """Restart the comparison of register and power."""
        self.since, self.seen, self.power_wh, self.load_wh = reading, reading, 0.0, 0.0
        self.idle_wh, self.idle_most_wh = 0, 0.0

    def moved_under_load_wh(self, reading: Reading) -> float:
        """Return how far the register has moved under load since the comparison began."""
        began_wh = self.since.energy_wh if self.since else reading.energy_wh
        return reading.energy_wh - began_wh - min(self.idle_wh, self.idle_most_wh + self.step_wh)


def why_unfit_for_billing(meter: MeterIdentity, policy: MeterPolicy) -> str:
    """Return why this meter must not bill; "" if it may."""
    if meter.register_step_wh > COARSEST_WH:
        return f"its register counts in {meter.register_step_wh:g} Wh: nothing can be billed from it"
    if not policy.declares_class:
        return ""
    if policy.accuracy_class not in meter.classes:
        sold = " or ".join(meter.classes) or "no known class"
        return f"class {policy.accuracy_class} is declared, a {meter.vendor} {meter.model} is sold in {sold}"
    if meter.mid is False:
        return "it says itself that it is not of the MID variant"
    if policy.firmware and meter.firmware not in policy.firmware:
        return f"its firmware is {meter.firmware!r}, the certificate names {', '.join(policy.firmware)}"
    return ""


def why_exchange_refused(watch: MeterWatch, now: MeterIdentity, billing: bool) -> str:
    """Return why this meter may not take the place of the pinned one; "" if it may. ``billing``: a
    bill has begun."""
    old, serial = watch.pinned, watch.policy.serial
    if serial and now.serial != serial:
        return f"its serial number is {now.serial!r}, the station file names {serial!r}"
    if old is None:
        return ""
    if not _is_other_meter(old, now):
        return describe_exchange(old, now) if billing and _has_changed(old.firmware, now.firmware) else ""
    if billing or (watch.policy.declares_class and not serial):
        return describe_exchange(old, now)
    return ""


def identity_to_pin(old: MeterIdentity | None, now: MeterIdentity) -> MeterIdentity:
    """Return the identity to pin for the meter that answers now. Of the same meter, what could not
    be read this time is kept: a pin must not lose its serial number to one refused register."""
    if old is None or _is_other_meter(old, now):
        return now
    return replace(now, serial=now.serial or old.serial, firmware=now.firmware or old.firmware)


def has_same_serial(one: MeterIdentity | None, other: MeterIdentity) -> bool:
    """Return whether it is surely the same meter: both report the same serial number."""
    return one is not None and bool(one.serial) and (one.vendor, one.serial) == (other.vendor, other.serial)


def _is_other_meter(old: MeterIdentity, now: MeterIdentity) -> bool:
    """Return whether it is another meter: by the serial number, or by the model where a serial
    number is not known."""
    if old.serial and now.serial:
        return old.serial != now.serial
    return (old.vendor, old.model) != (now.vendor, now.model)


def _has_changed(old: str, now: str) -> bool:
    """Return whether the value has changed. A value that could not be read once proves nothing."""
    return bool(old and now) and old != now


def describe_exchange(old: MeterIdentity, now: MeterIdentity) -> str:
    return (
        f"it was {old.model} {old.serial or 'without a serial number'} (firmware {old.firmware or 'not reported'}), "
        f"is {now.model} {now.serial or 'without a serial number'} (firmware {now.firmware or 'not reported'})"
    )


def why_reading_untrue(watch: MeterWatch, reading: Reading, most_w: float) -> str:
    """Return why this reading cannot be true after the last believed one; "" if it can."""
    base = watch.base
    if base is None:
        return ""
    if reading.at < base.at:
        return "it is older than the last one: a value that was not read again"
    if not watch.policy.checks_plausibility:
        return ""
    more_wh = reading.energy_wh - base.energy_wh
    if more_wh < 0:
        return f"the register went back by {-more_wh} Wh"
    if reading.at.boot != base.at.boot:
        return ""  # it is unknown how long the station was away
    explained_wh = most_w * (reading.at.t_s - base.at.t_s) / 3600 + 2 * watch.step_wh + 1
    if more_wh > explained_wh:
        return f"the register moved by {more_wh} Wh, the outlet can deliver {explained_wh:.0f} Wh in that time"
    return ""


def integrate_power(watch: MeterWatch, reading: Reading) -> None:
    """Add the energy of the power since the last look (trapezoid). Less than ``LOAD_W`` is not compared."""
    seen = watch.seen
    if seen is None or seen.power_w is None or reading.power_w is None:
        watch.restart_comparison(reading)
        return
    passed_s = reading.at.t_s - seen.at.t_s
    if reading.at.boot != seen.at.boot or passed_s > GAP_S:
        watch.restart_comparison(reading)
        return
    mean_w = (seen.power_w + reading.power_w) / 2
    if abs(mean_w) < LOAD_W:
        watch.idle_wh += reading.energy_wh - seen.energy_wh
        watch.idle_most_wh += LOAD_W * passed_s / 3600
    else:
        watch.power_wh += max(mean_w, 0.0) * passed_s / 3600
        watch.load_wh += abs(mean_w) * passed_s / 3600
    watch.seen = reading


def why_register_frozen(watch: MeterWatch, reading: Reading) -> str:
    """Return why the register cannot be counting; "" if it does. There was power, and it stood
    still or moved by half."""
    if watch.since is None:
        return ""
    moved_wh = watch.moved_under_load_wh(reading)
    least_wh = max(FROZEN_WH, 5 * watch.step_wh)
    if watch.load_wh <= least_wh or 2 * (moved_wh + 2 * watch.step_wh) >= watch.load_wh:
        return ""
    said = f"by its own power {watch.load_wh:.0f} Wh were delivered, the register moved by {moved_wh:.0f} Wh"
    if 2 * watch.power_wh < watch.load_wh:
        return f"{said}: line and load, or a transformer, are the wrong way round"
    return said


def power_disagrees(watch: MeterWatch, reading: Reading) -> bool | None:
    """Return whether register and integrated power differ by more than class and sampling explain;
    None: too little energy yet. Starts the next comparison."""
    if watch.since is None:
        return None
    moved_wh = watch.moved_under_load_wh(reading)
    if max(moved_wh, watch.power_wh) < COMPARED_WH:
        return None
    apart_wh = abs(moved_wh - watch.power_wh)
    watch.restart_comparison(reading)
    return apart_wh > APART * moved_wh + 2 * watch.step_wh


def identity_to_record(meter: MeterIdentity) -> dict[str, str]:
    """Return the value for ``Persist("meter", evse, ...)``."""
    return {"vendor": meter.vendor, "model": meter.model, "serial": meter.serial, "firmware": meter.firmware}


def identity_from_record(remembered: Mapping[str, object]) -> MeterIdentity:
    """Read back what ``identity_to_record`` made."""
    identity = {k: str(remembered.get(k, "")) for k in ("vendor", "model", "serial", "firmware")}
    return MeterIdentity(identity["vendor"], identity["model"], identity["serial"], identity["firmware"])
