"""Conformance of drivers: ``check_<port>()`` raises ``AssertionError`` with the broken clause of the port's contract.

It uses no test framework, so it runs in tests and at a manufacturer's real hardware.
"""
