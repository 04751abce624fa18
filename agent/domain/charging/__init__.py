"""Charging profiles: what they are, when they are in force, and what they add up to. Pure
arithmetic, no orders."""
