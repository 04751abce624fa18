"""Functional blocks, one per file. ``agent/domain/station.py`` chooses and orders them."""
