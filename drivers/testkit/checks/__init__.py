"""The checks of ``chargy-agent verify``, one module per role: pure asyncio, no test framework inside.

Each is found by the entry-point group ``chargy_agent.checks``; a package may bring more under a name of its own.
"""
