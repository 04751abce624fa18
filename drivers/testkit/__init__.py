"""Conformance of drivers: ``check_<port>()`` raises ``AssertionError`` naming the broken clause of the port's contract.

No test framework inside: usable in tests, and by a manufacturer against real hardware.
"""
