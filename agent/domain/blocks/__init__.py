"""Functional blocks, one per file. ``agent/compose.py`` chooses and orders them."""
