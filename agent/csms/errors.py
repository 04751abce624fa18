"""Errors of the test central system that its page and its commands report."""

from __future__ import annotations


class NotConnected(Exception):
    """The station that a command is for has no connection now."""
