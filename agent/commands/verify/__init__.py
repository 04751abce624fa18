"""``chargy-agent verify``: the conformance checks of every device of a station, on the real hardware."""
