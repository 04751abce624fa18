"""Functional blocks, one per file. ``agent/assembly/station.py`` chooses and orders them."""
