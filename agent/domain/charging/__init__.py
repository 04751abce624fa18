"""Charging profiles: what they are, when they speak, and what they add up to. Pure arithmetic, no orders."""
